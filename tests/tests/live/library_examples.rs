//! The examples of the library `procscope`, running.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::turn;
use crate::watch::PATIENCE;

/// An example that runs until it is dropped, and the lines that it prints.
struct Example {
    child: Child,
    lines: Receiver<String>,
}

impl Example {
    /// The places of `cargo test --workspace` and `cargo build --examples`.
    fn path(name: &str) -> PathBuf {
        let dir = match std::env::var_os("PROCSCOPE_EXAMPLES") {
            Some(dir) => PathBuf::from(dir),
            None => Path::new(env!("CARGO_BIN_EXE_ps-workload")).with_file_name("examples"),
        };
        let path = dir.join(name);
        let help = "type: cargo build -p procscope --examples, or set PROCSCOPE_EXAMPLES";
        assert!(path.exists(), "there is no {}; {help}", path.display());
        path
    }

    fn start(name: &str, args: &[&str]) -> Self {
        let mut command = Command::new(Self::path(name));
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().expect("it can be run");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it prints a line")
    }

    /// The lines up to one, without it.
    fn until(&self, found: impl Fn(&str) -> bool) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let line = self.line();
            if found(&line) {
                return before;
            }
            before.push(line);
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("our own child") {
            return status;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    panic!("it does not end");
}

/// Makes a copy of a program under another name.
fn copy(program: &str, to: &Path) {
    fs::create_dir_all(to.parent().expect("it has one")).expect("it is ours");
    fs::copy(program, to).expect("it can be copied");
}

#[test]
fn sketch_names_the_pid_of_what_starts() {
    let _turn = turn::take();
    let example = Example::start("sketch", &[]);
    // It does not say when it watches: earlier events are not reported.
    let began = Instant::now();
    loop {
        let mut child = Command::new("/bin/true").spawn().expect("it can be run");
        let line = format!("Process started: PID {}", child.id());
        child.wait().expect("our own child");
        let heard = example.lines.recv_timeout(Duration::from_millis(500)).ok();
        if heard.is_some_and(|heard| heard == line || example.lines.try_iter().any(|heard| heard == line)) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "it never reported ours");
    }
}

#[test]
fn tree_shows_who_started_whom() {
    let _turn = turn::take();
    // `:` after each, or the shell would become the program that it is to start. It waits until the
    // example shows it.
    let script = "read go; /bin/sh -c '/bin/true inner; /bin/sh -c \"/bin/true deep; :\"; :'; /bin/true outer; :";
    let mut shell = Command::new("/bin/sh");
    let mut shell = shell.args(["-c", script]).stdin(Stdio::piped()).spawn().expect("a shell can be run");
    let mut example = Example::start("tree", &[&shell.id().to_string()]);
    let mut lines = vec![example.line()];
    shell.stdin.take().expect("it is piped").write_all(b"go\n").expect("it reads");
    assert!(wait(&mut shell).success());
    assert!(wait(&mut example.child).success());
    lines.extend(example.lines.iter());
    assert!(lines[0].starts_with(&format!("{} /bin/sh -c read go;", shell.id())), "{lines:?}");
    // Each line without its pid and all but the last word.
    let shape: Vec<_> = lines[1..]
        .iter()
        .map(|line| (line.len() - line.trim_start().len(), line.split(' ').next_back().unwrap_or_default()))
        .collect();
    assert_eq!(shape, [(2, ":"), (4, "inner"), (4, ":"), (6, "deep"), (2, "outer")], "{lines:#?}");
}

/// All that the example prints, by its first words: `procscope_starts_total{name="true"}` and the
/// like.
fn scrape(url: &str) -> Vec<(String, u64)> {
    let (address, path) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("it is a URL");
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            (series.to_owned(), value.parse().expect("a count"))
        })
        .collect()
}

#[test]
fn prometheus_counts_right() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    // Names that no other process runs meanwhile, one of them hostile.
    let (good, bad, odd) = (dir.path().join("ps-good"), dir.path().join("ps-bad"), dir.path().join("ps\"\\\n"));
    copy("/bin/true", &good);
    copy("/bin/false", &bad);
    copy("/bin/true", &odd);
    let sleeper = dir.path().join("ps-sleep");
    copy("/bin/sleep", &sleeper);

    let example = Example::start("prometheus", &["127.0.0.1:0"]);
    let url = example.line();
    for (program, times) in [(&good, 7), (&bad, 3), (&odd, 1)] {
        for _ in 0..times {
            Command::new(program).status().expect("it can be run");
        }
    }
    let mut child = Command::new(&sleeper).arg("60").spawn().expect("it can be run");
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    let expected = [
        (r#"procscope_starts_total{name="ps-good"}"#, 7),
        (r#"procscope_starts_total{name="ps-bad"}"#, 3),
        (r#"procscope_starts_total{name="ps\"\\\n"}"#, 1),
        (r#"procscope_starts_total{name="ps-sleep"}"#, 1),
        (r#"procscope_ends_total{name="ps-good",how="ok"}"#, 7),
        (r#"procscope_ends_total{name="ps-bad",how="error"}"#, 3),
        (r#"procscope_ends_total{name="ps\"\\\n",how="ok"}"#, 1),
        (r#"procscope_ends_total{name="ps-sleep",how="signal"}"#, 1),
        ("procscope_lost_total", 0),
    ];
    let began = Instant::now();
    loop {
        let told = scrape(&url);
        if expected.iter().all(|(series, count)| told.iter().any(|(name, n)| name == series && n == count)) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{told:#?}");
        thread::sleep(Duration::from_millis(50));
    }

    // However many names there are, the labels are bounded.
    for number in 0..250 {
        let program = dir.path().join(format!("ps-many-{number}"));
        fs::hard_link(&good, &program).expect("it is ours");
        Command::new(&program).status().expect("it can be run");
    }
    let other = |told: &[(String, u64)]| {
        told.iter().find(|(name, _)| name == r#"procscope_starts_total{name="other"}"#).map_or(0, |(_, n)| *n)
    };
    let began = Instant::now();
    loop {
        let told = scrape(&url);
        let names = told.iter().filter(|(name, _)| name.starts_with("procscope_starts_total")).count();
        assert!(names <= 201, "{names}");
        let many = told.iter().filter(|(name, _)| name.starts_with(r#"procscope_starts_total{name="ps-many-"#));
        let many = many.map(|(_, n)| n).sum::<u64>();
        if many > 100 && many + other(&told) >= 250 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{told:#?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn forbid_kills_what_the_rule_forbids_and_nothing_else() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let forbidden = dir.path().join("any/where/miner");
    let allowed = dir.path().join("any/where/miner-not");
    let elsewhere = dir.path().join("miner");
    for to in [&forbidden, &allowed, &elsewhere] {
        copy("/bin/sleep", to);
    }
    let sleep = |program: &Path| Command::new(program).arg("60").spawn().expect("it can be run");
    // One that was already running is left alone: the rule is about starts.
    let mut before = sleep(&forbidden);
    let pattern = format!("{}/*/miner", dir.path().display());
    let example = Example::start("forbid", &[&pattern]);
    example.until(|line| line == "watching");
    let mut bystanders = [sleep(&allowed), sleep(&elsewhere), sleep(Path::new("/bin/sleep"))];
    for _ in 0..3 {
        let mut victim = sleep(&forbidden);
        let status = wait(&mut victim);
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
        assert_eq!(example.line(), format!("killed {} {}", victim.id(), forbidden.display()));
    }
    // By another name in argv it is the same file; and a shell that becomes it is killed, too.
    let script = format!("exec -a innocent {} 60", forbidden.display());
    let mut shell = Command::new("bash").args(["-c", &script]).spawn().expect("bash can be run");
    assert_eq!(wait(&mut shell).signal(), Some(libc::SIGKILL));
    // One that is over before it can be killed is not an error.
    Command::new(&forbidden).arg("0").status().expect("it can be run");
    example.until(|line| line.starts_with("gone ") || line.starts_with("killed "));

    for child in bystanders.iter_mut().chain([&mut before]) {
        assert!(child.try_wait().expect("our own child").is_none(), "a bystander was killed");
        child.kill().expect("our own child");
        child.wait().expect("our own child");
    }
}
