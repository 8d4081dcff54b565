//! The cost for a command of running under `procscope run --source ptrace`, under `strace -f`, and
//! under tracexec's ptrace mode.

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
    use std::ffi::OsString;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitCode, Stdio};
    use std::time::Instant;

    use anyhow::{Context as _, ensure};
    use clap::Parser;
    use procscope_benches::median;
    use procscope_benches::storm::{self, Storm};

    const NOBODY: u32 = 65534;
    /// The word that makes this program start others, each of which makes as many system calls as a
    /// small C program.
    const WORD: &str = "start-programs";
    const SPAWNERS: usize = 2;

    /// Compares a load alone with the same under each tracer, in turns, as the user nobody.
    #[derive(Parser)]
    struct Arguments {
        /// How many processes.
        #[arg(long, default_value_t = 3_000)]
        count: u32,
        /// How often each.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// A procscope other than the one beside this program.
        #[arg(long)]
        procscope: Option<PathBuf>,
    }

    /// Starts this many, and writes the duration, seconds.
    fn start_programs(mut words: impl Iterator<Item = OsString>) -> anyhow::Result<ExitCode> {
        let mut word = || words.next().context("a word is missing");
        let count: usize = word()?.to_str().context("a number")?.parse()?;
        let file = word()?;
        let began = Instant::now();
        std::thread::scope(|scope| {
            let spawner = |first: usize| -> anyhow::Result<()> {
                for _ in (first..count).step_by(SPAWNERS) {
                    ensure!(Command::new("/bin/true").status()?.success());
                }
                Ok(())
            };
            let threads: Vec<_> = (0..SPAWNERS).map(|first| scope.spawn(move || spawner(first))).collect();
            threads.into_iter().try_for_each(|it| it.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        std::fs::write(file, began.elapsed().as_secs_f64().to_string())?;
        Ok(ExitCode::SUCCESS)
    }

    /// The command.
    #[derive(Clone, Copy)]
    enum Load {
        Storm,
        Programs,
    }

    impl Load {
        fn name(self) -> &'static str {
            match self {
                Self::Storm => "tiny static programs",
                Self::Programs => "/bin/true",
            }
        }

        /// Leaves its result in the file.
        fn command(self, count: u32, seed: u64, file: &Path) -> anyhow::Result<Command> {
            match self {
                Self::Storm => Storm { count, spawners: SPAWNERS as u32, seed, pages: 0 }.command(file, true),
                Self::Programs => {
                    let mut command = Command::new(std::env::current_exe()?);
                    command.arg(WORD).arg(count.to_string()).arg(file);
                    Ok(command)
                }
            }
        }

        fn wall_s(self, file: &Path) -> anyhow::Result<f64> {
            match self {
                Self::Storm => Ok(storm::past(file)?.wall_s),
                Self::Programs => Ok(std::fs::read_to_string(file)?.parse()?),
            }
        }
    }

    fn installed(program: &str) -> bool {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&dirs).any(|dir| dir.join(program).is_file())
    }

    /// CPU of the tracer and everything that it ran, seconds.
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
        let mut words = std::env::args_os().skip(1);
        if words.next().is_some_and(|word| word == WORD) {
            return start_programs(words);
        }
        let arguments = Arguments::parse();
        let ours = match arguments.procscope {
            Some(path) => path,
            None => std::env::current_exe()?.with_file_name("procscope"),
        };
        let words = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        let all = "run -q --source ptrace -e fork,exec,exec-failed,exit --format json -o /dev/null --";
        let mut tracers = vec![
            ("alone", Vec::new()),
            ("procscope run", std::iter::once(ours.into_os_string()).chain(words(all)).collect()),
        ];
        for (name, line) in [
            ("strace -f", "strace -f -o /dev/null"),
            ("tracexec log", "tracexec --no-profile log --no-foreground -o /dev/null --"),
        ] {
            if installed(line.split_whitespace().next().unwrap_or_default()) {
                tracers.push((name, words(line)));
            } else {
                println!("{name} is absent here\n");
            }
        }
        for load in [Load::Programs, Load::Storm] {
            compare(load, arguments.count, arguments.rounds, &tracers)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn compare(load: Load, count: u32, rounds: u32, tracers: &[(&str, Vec<OsString>)]) -> anyhow::Result<()> {
        // SAFETY: it never fails.
        let root = unsafe { libc::geteuid() } == 0;
        // tracexec writes a log there.
        let home = tempfile::tempdir()?;
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777))?;
        let mut walls = vec![Vec::new(); tracers.len()];
        let mut cpus = walls.clone();
        for seed in 0..u64::from(rounds) {
            for (index, (name, tracer)) in tracers.iter().enumerate() {
                let file = tempfile::NamedTempFile::new()?;
                file.as_file().set_permissions(std::fs::Permissions::from_mode(0o666))?;
                let plain = load.command(count, seed, file.path())?;
                let mut all = tracer.iter().cloned().chain([plain.get_program().to_owned()]);
                let mut command = Command::new(all.next().unwrap_or_default());
                command.args(all).args(plain.get_args()).current_dir("/").env("HOME", home.path());
                command.stdin(Stdio::null()).stdout(Stdio::null());
                if root {
                    command.uid(NOBODY).gid(NOBODY);
                }
                let before = children_cpu_s();
                let status = command.status().with_context(|| format!("{name} cannot be run"))?;
                ensure!(status.success(), "{name}: {status}");
                cpus[index].push(children_cpu_s() - before);
                walls[index].push(load.wall_s(file.path())?);
            }
        }
        let name = load.name();
        println!("| {count} of {name} | wall, s | times | CPU of all per 10,000 more, s |\n|---|---|---|---|");
        for (index, (name, _)) in tracers.iter().enumerate() {
            let more = (median(&cpus[index]) - median(&cpus[0])) * 10_000.0 / f64::from(count);
            let wall = median(&walls[index]);
            println!("| {name} | {wall:.2} | {:.2} | {more:.2} |", wall / median(&walls[0]));
        }
        println!();
        Ok(())
    }
}
