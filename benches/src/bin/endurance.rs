//! A million processes: does the memory stay flat, are ids unique, is nothing lost?

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
    use std::collections::HashMap;
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    use std::io::BufReader;
    use std::process::{Command, ExitCode, Stdio};
    use std::time::{Duration, Instant};

    use anyhow::{Context as _, ensure};
    use clap::Parser;
    use procscope_benches::machine::Machine;
    use procscope_benches::storm::{self, Past, Storm};
    use procscope_benches::{meter, monitor};
    use procscope_tests::plan::Spawn;
    use procscope_tests::seen::Seen;
    use procscope_tests::truth::{Bytes, Life};

    /// Runs procscope through a long storm.
    #[derive(Parser)]
    struct Args {
        /// How many processes.
        #[arg(long, default_value_t = 1_000_000)]
        count: u32,
        /// The number of spawners.
        #[arg(long, default_value_t = 2)]
        spawners: u32,
    }

    /// One event, as small as can be.
    struct Noted {
        pid: u32,
        start_ticks: u64,
        kind: u8,
        argv: u64,
    }

    const KINDS: [&str; 3] = ["fork", "exec", "exit"];

    pub(crate) fn main() -> ExitCode {
        if let Some(code) = storm::generate() {
            return code;
        }
        match run(Args::parse()) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(args: Args) -> anyhow::Result<bool> {
        println!("{}", Machine::here());
        let mut child = Command::new(monitor::procscope()?)
            .args(["--format", "json", "-e", "fork,exec,exit"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let pid = child.id();
        let stdout = BufReader::new(child.stdout.take().context("it is piped")?);
        let reader = std::thread::spawn(move || read(stdout));
        meter::settle(pid);
        println!("resident before: {:.1} MiB", meter::rss_kib(pid) as f64 / 1024.0);

        let truth = tempfile::NamedTempFile::new()?;
        let storm = Storm { count: args.count, spawners: args.spawners, seed: 1, pages: 0 };
        let mut generator = storm.command(truth.path(), true)?.spawn()?;
        let begun = Instant::now();
        let mut sampled = Instant::now();
        let mut samples = Vec::new();
        let status = loop {
            if let Some(status) = generator.try_wait()? {
                break status;
            }
            if sampled.elapsed() > Duration::from_secs(5) {
                sampled = Instant::now();
                samples.push(meter::rss_kib(pid));
                println!("{:>5.0} s: {:.1} MiB", begun.elapsed().as_secs_f64(), meter::rss_kib(pid) as f64 / 1024.0);
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        ensure!(status.success(), "the generator: {status}");
        meter::settle(pid);
        let (rss, max_rss) = (meter::rss_kib(pid), meter::max_rss_kib(pid));
        let cpu_s = meter::cpu_ns(pid) as f64 / 1e9;
        // SAFETY: our child, not waited for yet.
        unsafe { libc::kill(pid as i32, libc::SIGINT) };
        let status = child.wait()?;
        let (noted, lost) = reader.join().ok().context("the reader broke off")??;
        ensure!(status.success(), "procscope: {status}");
        let past = storm::past(truth.path())?;
        let rate = f64::from(args.count) / past.wall_s;
        println!("{} processes in {:.0} s, {rate:.0} a second", args.count, past.wall_s);
        println!("resident after: {:.1} MiB, at most {:.1} MiB", rss as f64 / 1024.0, max_rss as f64 / 1024.0);
        println!("CPU: {:.3} s per 10,000 processes", cpu_s * 10_000.0 / f64::from(args.count));
        let third = samples.len() / 3;
        if third > 0 {
            let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len() as f64 / 1024.0;
            let (first, last) = (mean(&samples[..third]), mean(&samples[samples.len() - third..]));
            println!("mean of the first third {first:.2} MiB, of the last {last:.2} MiB");
        }
        Ok(check(&past, &noted, lost))
    }

    fn read(mut stdout: impl std::io::BufRead) -> anyhow::Result<(Vec<Noted>, u64)> {
        let (mut all, mut lost, mut line) = (Vec::new(), 0, Vec::new());
        loop {
            line.clear();
            if stdout.read_until(b'\n', &mut line)? == 0 {
                return Ok((all, lost));
            }
            let seen: Seen = serde_json::from_slice(&line)?;
            let Some(kind) = KINDS.iter().position(|kind| *kind == seen.event) else {
                lost += seen.count.unwrap_or(0);
                continue;
            };
            let argv = if seen.event == "exec" { digest(seen.arguments().unwrap_or_default().iter()) } else { 0 };
            let start_ticks = seen.start_ticks().context("an id without its start")?;
            all.push(Noted { pid: seen.pid.unwrap_or(0), start_ticks, kind: kind as u8, argv });
        }
    }

    fn digest<'a>(argv: impl Iterator<Item = &'a Vec<u8>>) -> u64 {
        let mut hasher = DefaultHasher::new();
        argv.for_each(|arg| arg.hash(&mut hasher));
        hasher.finish()
    }

    /// Each process's three events once, with its arguments, under an id of its own.
    fn check(past: &Past, noted: &[Noted], lost: u64) -> bool {
        let mut by_id: HashMap<(u32, u64), [(u32, u64); 3]> = HashMap::with_capacity(noted.len() / 3);
        for Noted { pid, start_ticks, kind, argv } in noted {
            let entry = &mut by_id.entry((*pid, *start_ticks)).or_default()[usize::from(*kind)];
            *entry = (entry.0 + 1, *argv);
        }
        let (mut missing, mut wrong, mut shared) = ([0u64; 3], 0u64, 0u64);
        let mut taken = std::collections::HashSet::new();
        let lives = past.lives();
        let mut spawn = Spawn::default();
        for life in &lives {
            let id =
                ticks(life).map(|ticks| (life.pid, ticks)).find(|id| by_id.contains_key(id) && !taken.contains(id));
            let Some(id) = id else {
                missing.iter_mut().for_each(|n| *n += 1);
                continue;
            };
            taken.insert(id);
            let events = &by_id[&id];
            for (kind, (count, _)) in events.iter().enumerate() {
                missing[kind] += u64::from(*count == 0);
                shared += u64::from(*count > 1);
            }
            wrong += u64::from(events[1].1 != expected(life, &mut spawn, past));
        }
        println!(
            "{} ids for {} processes of the storm; {} more of others",
            taken.len(),
            lives.len(),
            by_id.len() - taken.len()
        );
        for (kind, missing) in KINDS.iter().zip(missing) {
            println!("{kind}: {missing} missing");
        }
        println!("ids with two events of one kind: {shared}; wrong arguments: {wrong}; lost by its own count: {lost}");
        missing == [0; 3] && shared == 0 && wrong == 0 && lost == 0
    }

    fn ticks(life: &Life) -> std::ops::RangeInclusive<u64> {
        let (from, to) = life.born_ns.unwrap_or_default();
        from / 10_000_000..=to / 10_000_000
    }

    fn expected(life: &Life, spawn: &mut Spawn, past: &Past) -> u64 {
        let Some(planned) = life.planned else { return 0 };
        spawn.plan(past.seed(), planned);
        let path = life.execs.first().and_then(|exec| exec.path.clone()).unwrap_or_default();
        let all: Vec<Vec<u8>> =
            std::iter::once(path).map(|Bytes(p)| p).chain(spawn.arguments().map(<[u8]>::to_vec)).collect();
        digest(all.iter())
    }
}
