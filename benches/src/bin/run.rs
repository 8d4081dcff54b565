//! What it costs a storm to be run by `procscope run --source ptrace`, and by `strace -f`.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<std::process::ExitCode> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    procscope_benches::only_linux();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::PathBuf;
    use std::process::{Command, ExitCode, Stdio};

    use anyhow::ensure;
    use clap::Parser;
    use procscope_benches::median;
    use procscope_benches::storm::{self, Storm};

    /// Compares a storm alone with the same under each tracer, in turns.
    #[derive(Parser)]
    struct Arguments {
        /// How many processes.
        #[arg(long, default_value_t = 3_000)]
        count: u32,
        /// How often each.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Another procscope than the one beside this program.
        #[arg(long)]
        procscope: Option<PathBuf>,
    }

    /// CPU of the tracer and all it ran, seconds.
    fn children_cpu_s() -> f64 {
        let usage = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        // SAFETY: plain data, which the kernel fills.
        unsafe {
            let mut all: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut all);
            usage(all.ru_utime) + usage(all.ru_stime)
        }
    }

    pub(super) fn main() -> anyhow::Result<ExitCode> {
        if let Some(generated) = storm::generate() {
            return Ok(generated);
        }
        let arguments = Arguments::parse();
        let ours = match arguments.procscope {
            Some(path) => path,
            None => std::env::current_exe()?.with_file_name("procscope"),
        };
        let words = ["run", "-q", "--source", "ptrace", "--format", "json", "-o", "/dev/null", "--"];
        let tracers: [(&str, Vec<String>); 3] = [
            ("alone", Vec::new()),
            ("procscope run", std::iter::once(ours.display().to_string()).chain(words.map(str::to_owned)).collect()),
            ("strace -f", ["strace", "-f", "-o", "/dev/null"].map(str::to_owned).to_vec()),
        ];
        let mut walls = vec![Vec::new(); tracers.len()];
        let mut cpus = walls.clone();
        for seed in 0..u64::from(arguments.rounds) {
            let storm = Storm { count: arguments.count, spawners: 2, seed, pages: 0 };
            for (index, (name, tracer)) in tracers.iter().enumerate() {
                let truth = tempfile::NamedTempFile::new()?;
                let plain = storm.command(truth.path(), true)?;
                let mut all = tracer.iter().map(Into::into).chain([plain.get_program().to_owned()]);
                let mut command = Command::new(all.next().unwrap_or_default());
                command.args(all).args(plain.get_args()).stdin(Stdio::null()).stdout(Stdio::null());
                let before = children_cpu_s();
                let status = command.status()?;
                ensure!(status.success(), "{name}: {status}");
                cpus[index].push(children_cpu_s() - before);
                walls[index].push(storm::past(truth.path())?.wall_s);
            }
        }
        println!(
            "| a storm of {} | wall, s | times | CPU of all per 10,000 more, s |\n|---|---|---|---|",
            arguments.count
        );
        for (index, (name, _)) in tracers.iter().enumerate() {
            let more = (median(&cpus[index]) - median(&cpus[0])) * 10_000.0 / f64::from(arguments.count);
            let wall = median(&walls[index]);
            println!("| {name} | {wall:.2} | {:.2} | {more:.2} |", wall / median(&walls[0]));
        }
        Ok(ExitCode::SUCCESS)
    }
}
