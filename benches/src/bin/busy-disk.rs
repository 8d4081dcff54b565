//! The storm beside writers that keep the disk busy; procscope's output is on the same disk.

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
    use std::io::{Seek as _, Write as _};
    use std::process::ExitCode;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread::JoinHandle;

    use anyhow::Context as _;
    use clap::Parser;
    use procscope_benches::machine::Machine;
    use procscope_benches::median;
    use procscope_benches::monitor;
    use procscope_benches::storm::{self, Storm};

    /// Runs the storm beside a busy disk, without and with procscope.
    #[derive(Parser)]
    struct Args {
        /// How many pairs of runs.
        #[arg(long, default_value_t = 5)]
        pairs: u32,
        /// How many processes a storm has.
        #[arg(long, default_value_t = 20_000)]
        count: u32,
        /// The number of spawners.
        #[arg(long, default_value_t = 2)]
        spawners: u32,
        /// How many writers.
        #[arg(long, default_value_t = 2)]
        writers: u32,
    }

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
        let procscope = monitor::all().into_iter().find(|m| m.name == "procscope").context("it is known")?;
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..args.writers).map(|_| writer(stop.clone(), written.clone())).collect();
        let begun = std::time::Instant::now();
        let (mut ratios, mut cpu, mut exact) = (Vec::new(), Vec::new(), 0);
        for pair in 0..args.pairs {
            let storm = Storm { count: args.count, spawners: args.spawners, seed: u64::from(pair) + 1, pages: 0 };
            let bare = storm.run(false)?;
            // Beside busy writers of this same process the machine never settles, but its own CPU
            // time does.
            let running = procscope.start()?;
            let past = storm.run(false)?;
            let done = running.stop(&past)?;
            ratios.push(past.wall_s / bare.wall_s);
            cpu.push(done.cpu_ns as f64 / 1e9 * 10_000.0 / f64::from(args.count));
            exact += u32::from(done.exact == Some(true));
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().ok().context("a writer broke off")??;
        }
        let mib = written.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
        println!("{} writers, {mib:.0} MiB a second with fsync after each", args.writers);
        println!("exact and nothing lost: {exact} of {} runs", args.pairs);
        println!("slow-down of the storm, median: {:.3}", median(&ratios));
        println!("CPU: {:.3} s per 10,000 processes", median(&cpu));
        Ok(exact == args.pairs)
    }

    /// A MiB at a time, each synced to the disk.
    fn writer(stop: Arc<AtomicBool>, written: Arc<AtomicU64>) -> JoinHandle<anyhow::Result<()>> {
        std::thread::spawn(move || {
            let mut file = tempfile::tempfile()?;
            let data = vec![0x5a; 1 << 20];
            while !stop.load(Ordering::Relaxed) {
                file.write_all(&data)?;
                file.sync_all()?;
                if written.fetch_add(1, Ordering::Relaxed) % 64 == 63 {
                    file.rewind()?;
                }
            }
            Ok(())
        })
    }
}
