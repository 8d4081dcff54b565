//! How soon an event is printed when the system is quiet, and how soon procscope itself is ready.

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
    use std::collections::HashSet;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, ExitCode, Stdio};
    use std::sync::mpsc;
    use std::time::{Duration, Instant, SystemTime};

    use anyhow::{Context as _, ensure};
    use clap::Parser;
    use procscope_benches::machine::Machine;
    use procscope_benches::{meter, monitor};
    use procscope_tests::seen::Seen;

    /// Measures how soon an event is printed.
    #[derive(Parser)]
    struct Args {
        /// How many processes to start, one at a time.
        #[arg(long, default_value_t = 200)]
        processes: u32,
        /// How often to start procscope.
        #[arg(long, default_value_t = 20)]
        starts: u32,
    }

    pub(crate) fn main() -> ExitCode {
        match run(Args::parse()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(args: Args) -> anyhow::Result<()> {
        println!("{}", Machine::here());
        println!("\n| | median, ms | 99 %, ms | largest, ms |\n|---|---|---|---|");
        let (execs, exits) = delays(args.processes)?;
        row("exec to output, quiet", execs);
        row("exit to output, quiet", exits);
        let mut starts = Vec::new();
        for _ in 0..args.starts {
            starts.push(first_event()?);
        }
        row("start to first event", starts);
        Ok(())
    }

    fn row(what: &str, mut times: Vec<Duration>) {
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        println!("| {what} ({}) | {:.1} | {:.1} | {:.1} |", times.len(), at(50), at(99), at(100));
    }

    /// Delays of the execs, and of the exits soon after them.
    fn delays(processes: u32) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
        let mut child = Command::new(monitor::procscope()?)
            .args(["--format", "json", "-e", "exec,exit"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("it is piped")?);
        let (sender, arrivals) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            while stdout.read_line(&mut line).is_ok_and(|n| n > 0) {
                // Sent before the line is read, so that reading does not add to the delay.
                if sender.send((SystemTime::now(), std::mem::take(&mut line))).is_err() {
                    return;
                }
            }
        });
        meter::settle(child.id());
        let mut own = HashSet::new();
        for number in 0..processes {
            let mut process = Command::new("/bin/true").spawn()?;
            own.insert(process.id());
            process.wait()?;
            // Uneven, so that it does not keep step with any timer.
            std::thread::sleep(Duration::from_micros(15_000 + u64::from(number) * 7_919 % 20_000));
        }
        std::thread::sleep(Duration::from_millis(200));
        // SAFETY: our child, not waited for yet.
        unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
        child.wait()?;
        let (mut execs, mut exits) = (Vec::new(), Vec::new());
        for (arrived, line) in arrivals {
            let seen: Seen = serde_json::from_str(&line)?;
            if seen.pid.is_some_and(|pid| own.contains(&pid)) {
                let now = arrived.duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as i64;
                let happened = seen.time_ns().context("an event without a time")?;
                let delays = if seen.event == "exec" { &mut execs } else { &mut exits };
                delays.push(Duration::from_nanos((now - happened).max(0) as u64));
            }
        }
        let told = [execs.len(), exits.len()];
        ensure!(told == [processes as usize; 2], "{told:?} execs and exits, not {processes} of each");
        Ok((execs, exits))
    }

    /// While something starts every 2 ms.
    fn first_event() -> anyhow::Result<Duration> {
        let stop = mpsc::channel::<()>();
        let spawner = std::thread::spawn(move || {
            while stop.1.recv_timeout(Duration::from_millis(2)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = Command::new("/bin/true").status();
            }
        });
        let begun = Instant::now();
        let mut child = Command::new(monitor::procscope()?)
            .args(["--format", "json", "-e", "exec", "--count", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it is piped")?).read_line(&mut line)?;
        let took = begun.elapsed();
        drop(stop.0);
        let _ = spawner.join();
        let status = child.wait()?;
        ensure!(status.success() && line.contains("exec"), "procscope: {status}: {line}");
        Ok(took)
    }
}
