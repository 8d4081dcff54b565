//! The same storm without a monitor and with each, by turns.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    return linux::main();
    #[cfg(not(target_os = "linux"))]
    {
        procscope_benches::only_linux();
        ExitCode::FAILURE
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::ExitCode;

    use anyhow::ensure;
    use clap::Parser;
    use procscope_benches::accounts::Score;
    use procscope_benches::bpf::Stats;
    use procscope_benches::machine::{self, Machine};
    use procscope_benches::median;
    use procscope_benches::monitor::{self, Done, Monitor};
    use procscope_benches::storm::{self, Storm};

    /// Measures procscope and its peers on the same storm, and prints a table.
    #[derive(Parser)]
    struct Args {
        /// How many pairs of runs, without and with the monitor, each monitor gets.
        #[arg(long, default_value_t = 9)]
        pairs: u32,
        /// How many processes a storm has.
        #[arg(long, default_value_t = 20_000)]
        count: u32,
        /// The number of spawners.
        #[arg(long, default_value_t = 2)]
        spawners: u32,
        /// How many pages of fresh memory each process touches: 130 make a storm of about 9,000 a
        /// second, as small C programs do.
        #[arg(long, default_value_t = 0)]
        pages: u32,
        /// The monitors; the default is all except strace, beside which a storm lasts for minutes.
        #[arg(long, value_delimiter = ',')]
        monitors: Vec<String>,
    }

    #[derive(Default)]
    struct Figures {
        ratios: Vec<f64>,
        bare_s: Vec<f64>,
        done: Vec<Done>,
        bpf_s: Option<f64>,
        trouble: Option<String>,
    }

    pub(crate) fn main() -> ExitCode {
        if let Some(code) = storm::generate() {
            return code;
        }
        match run(Args::parse()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(args: Args) -> anyhow::Result<()> {
        let known = monitor::all();
        for name in &args.monitors {
            ensure!(known.iter().any(|m| m.name == name), "there is no monitor '{name}'");
        }
        let chosen: Vec<Monitor> = known
            .into_iter()
            .filter(|m| if args.monitors.is_empty() { !m.slow } else { args.monitors.iter().any(|n| n == m.name) })
            .collect();
        let here = Machine::here();
        if let Err(error) = machine::see_tracefs() {
            eprintln!("tracefs cannot be mounted, so that some monitors may not work: {error}");
        }
        let mut figures: Vec<Figures> = chosen.iter().map(|_| Figures::default()).collect();
        // One to warm up the files and the frequency.
        storm(&args, 0)?.run(false)?;
        for pair in 0..args.pairs {
            for (monitor, figures) in chosen.iter().zip(&mut figures) {
                if figures.trouble.is_none() && monitor.is_there() {
                    eprintln!("pair {} of {}: {}", pair + 1, args.pairs, monitor.name);
                    if let Err(error) = measure(&args, pair, monitor, figures) {
                        figures.trouble = Some(format!("{error:#}"));
                    }
                }
            }
        }
        for (monitor, figures) in chosen.iter().zip(&mut figures) {
            if figures.trouble.is_none() && monitor.is_there() {
                eprintln!("BPF run time: {}", monitor.name);
                figures.bpf_s = in_bpf(&args, monitor).ok();
            }
        }
        print(&args, &here, &chosen, &figures);
        Ok(())
    }

    fn storm(args: &Args, pair: u32) -> anyhow::Result<Storm> {
        Ok(Storm { count: args.count, spawners: args.spawners, seed: u64::from(pair) + 1, pages: args.pages })
    }

    /// Which of the two comes first changes from pair to pair, so that a drift of the machine
    /// favours neither.
    fn measure(args: &Args, pair: u32, monitor: &Monitor, figures: &mut Figures) -> anyhow::Result<()> {
        let storm = storm(args, pair)?;
        let bare_first = pair.is_multiple_of(2);
        let before = if bare_first { Some(storm.run(false)?.wall_s) } else { None };
        let running = monitor.start()?;
        let past = storm.run(false)?;
        let done = running.stop(&past)?;
        let bare_s = match before {
            Some(bare_s) => bare_s,
            None => storm.run(false)?.wall_s,
        };
        figures.ratios.push(past.wall_s / bare_s);
        figures.bare_s.push(bare_s);
        figures.done.push(done);
        Ok(())
    }

    fn in_bpf(args: &Args, monitor: &Monitor) -> anyhow::Result<f64> {
        let _stats = Stats::enable()?;
        let running = monitor.start()?;
        let past = storm(args, 0)?.run(false)?;
        Ok(running.stop(&past)?.bpf_ns as f64 / 1e9)
    }

    fn print(args: &Args, here: &Machine, chosen: &[Monitor], figures: &[Figures]) {
        let per_10000 = |seconds: f64| seconds * 10_000.0 / f64::from(args.count);
        let bare: Vec<f64> = figures.iter().flat_map(|f| f.bare_s.iter().copied()).collect();
        let rate = |seconds: f64| f64::from(args.count) / seconds;
        println!("{here}");
        println!(
            "\n{} processes from {} spawners; {} pairs of runs each; without a monitor {:.0} processes a second (median), {:.0} to {:.0}\n",
            args.count,
            args.spawners,
            args.pairs,
            rate(median(&bare)),
            rate(bare.iter().copied().fold(f64::MIN, f64::max)),
            rate(bare.iter().copied().fold(f64::MAX, f64::min)),
        );
        println!(
            "| monitor | execs named % | misnamed % | argv exact % | exit status right % | parent right % | slow-down of the storm (quartiles) | monitor CPU, s per 10,000 | in BPF, s per 10,000 | max RSS, MiB |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
        for (monitor, figures) in chosen.iter().zip(figures) {
            let name = monitor.command_line();
            if !monitor.is_there() {
                println!("| {name} | absent here | | | | | | | | |");
                continue;
            }
            if figures.done.is_empty() {
                println!("| {name} | {} | | | | | | | | |", figures.trouble.as_deref().unwrap_or("not run"));
                continue;
            }
            let percent = |of: fn(&Score) -> Option<f64>| mean(figures.done.iter().filter_map(|done| of(&done.score)));
            let cpu: Vec<f64> = figures.done.iter().map(|done| done.cpu_ns as f64 / 1e9).collect();
            let rss = figures.done.iter().map(|done| done.max_rss_kib).max().unwrap_or(0);
            let bpf = figures.bpf_s.map_or("not measured".to_owned(), |s| match s {
                0.0 => "–".to_owned(),
                s => format!("{:.3}", per_10000(s)),
            });
            println!(
                "| {name} | {} | {} | {} | {} | {} | {} | {:.3} | {bpf} | {:.1} |",
                percent(|score| score.named),
                percent(|score| score.misnamed),
                percent(|score| score.argv),
                percent(|score| score.status),
                percent(|score| score.parent),
                quartiles(&figures.ratios),
                per_10000(median(&cpu)),
                rss as f64 / 1024.0,
            );
            let inexact = figures.done.iter().filter(|done| done.exact == Some(false)).count();
            if inexact > 0 {
                eprintln!("{}: {inexact} of {} runs were not exact", monitor.name, figures.done.len());
            }
        }
        for (monitor, figures) in chosen.iter().zip(figures) {
            if let (Some(trouble), false) = (&figures.trouble, figures.done.is_empty()) {
                println!("\n{} broke off after {} pairs: {trouble}", monitor.name, figures.done.len());
            }
        }
    }

    /// In percent; 100 means that everything is right.
    fn mean(values: impl Iterator<Item = f64>) -> String {
        let all: Vec<f64> = values.collect();
        if all.is_empty() {
            return "–".to_owned();
        }
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        if mean > 99.99 && mean < 100.0 { "99.99".to_owned() } else { format!("{mean:.2}").replace(".00", "") }
    }

    fn quartiles(ratios: &[f64]) -> String {
        let mut sorted = ratios.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |part: usize| sorted[(sorted.len() - 1) * part / 4];
        format!("{:.3} ({:.3}–{:.3})", median(&sorted), at(1), at(3))
    }
}
