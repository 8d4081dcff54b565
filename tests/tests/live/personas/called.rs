//! How they are called, and how they end.

use std::os::unix::process::CommandExt as _;

use super::*;
use crate::turn;
use crate::watch::{for_everyone, run};

fn help(words: &[&str]) -> String {
    let output = Command::new(program()).args(words).output().expect("procscope can be run");
    assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("help is text")
}

#[test]
fn links_and_words_mean_the_same() {
    let _turn = turn::take();
    let links = Links::new();
    for (link, words) in [
        ("forkstat", &["forkstat"][..]),
        ("execsnoop-perf", &["execsnoop", "--style", "perf-tools"]),
        ("exitsnoop-libbpf", &["exitsnoop", "--style=libbpf"]),
        ("newproc.d", &["newproc"]),
    ] {
        let output = Command::new(links.path(link)).arg("--help").output().expect("it can be run");
        let words: Vec<_> = words.iter().copied().chain(["--help"]).collect();
        assert_eq!(String::from_utf8_lossy(&output.stdout), help(&words), "{link}");
    }
    // An unknown name means procscope itself.
    let other = links.0.path().join("something");
    std::os::unix::fs::symlink(program(), &other).expect("it is ours");
    let output = Command::new(other).arg("--version").output().expect("it can be run");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("procscope "), "{output:?}");
}

/// The status of each original.
#[test]
fn a_wrong_option_has_the_originals_status() {
    let _turn = turn::take();
    let links = Links::new();
    for (name, status) in [
        ("forkstat", 1),
        ("execsnoop", 2),
        ("execsnoop-libbpf", 64),
        ("execsnoop-perf", 0),
        ("execsnoop-dtrace", 1),
        ("exitsnoop", 2),
        ("exitsnoop-libbpf", 64),
        ("extrace", 1),
        ("pwait", 1),
    ] {
        let output = Command::new(links.path(name)).arg("-~").output().expect("it can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{name}: {stderr}");
        assert_eq!(stderr.lines().count(), 3, "{name}: {stderr}");
    }
    for name in ["forkstat", "execsnoop", "exitsnoop", "extrace", "pwait"] {
        let ours = Command::new(links.path(if name.ends_with("snoop") { continue } else { name })).arg("-~").output();
        let theirs = Command::new(peer(name)).arg("-~").output();
        assert_eq!(ours.expect("it runs").status.code(), theirs.expect("it runs").status.code(), "{name}");
    }
}

#[test]
fn the_examples_of_every_help_work() {
    let _turn = turn::take();
    let links = Links::new();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let list = help(&["personas"]);
    let names = list.lines().filter(|line| !line.starts_with(' ')).map(|line| words(line)[0]);
    let styles = ["bcc", "libbpf", "perf-tools", "bpftrace", "dtrace"];
    let screens = names.map(|name| help(&[name, "--help"]));
    let screens = screens.chain(styles.map(|style| help(&["execsnoop", "--style", style, "--help"])));
    let mut count = 0;
    for screen in screens {
        assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
        assert!(screen.contains("Differs:"), "{screen}");
        let examples =
            screen.lines().skip_while(|line| *line != "Examples:").skip(1).take_while(|line| !line.is_empty());
        for example in examples {
            count += 1;
            let typed = example.trim();
            let typed = typed.find("   ").map_or(typed, |end| &typed[..end]);
            let ends = ["pwait", " -D ", "--duration", " -d 1 "].iter().any(|word| typed.contains(word));
            let line = if ends { typed.to_owned() } else { format!("{typed} --duration 300ms") };
            let path = format!("{}:{}", links.0.path().display(), std::env::var("PATH").unwrap_or_default());
            let path = format!("{}:{path}", program().parent().expect("it is in a directory").display());
            let mut bash = Command::new("bash");
            bash.args(["--norc", "-c", &line]).current_dir(dir.path()).env("PATH", path).stdin(Stdio::null());
            let output = bash.output().expect("bash can be run");
            assert!(output.status.success(), "{line}: {output:?}");
        }
    }
    assert!(count > 15, "{count} examples");
}

#[test]
fn a_full_disk_and_a_closed_pipe() {
    let _turn = turn::take();
    let links = Links::new();
    let mut command = Command::new(links.path("execsnoop"));
    command.args(["--duration", "20s"]).stdin(Stdio::null()).stderr(Stdio::piped());
    let full = File::options().write(true).open("/dev/full").expect("it is there");
    let child = command.stdout(full).spawn().expect("it can be run");
    let output = child.wait_with_output().expect("our child");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("No space left") && stderr.contains("help: "), "{stderr}");

    let mut command = Command::new(links.path("forkstat"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be run");
    drop(child.stdout.take());
    std::thread::sleep(Duration::from_millis(500));
    assert!(quiet("true", [""; 0]).status().expect("true can be run").success());
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[test]
fn a_command_needs_no_rights() {
    let _turn = turn::take();
    let (dir, path) = for_everyone();
    let link = dir.path().join("extrace");
    std::os::unix::fs::symlink(&path, &link).expect("it is ours");
    let mut command = Command::new(link);
    command.uid(65534).gid(65534).args(["-t", "-f", "sh", "-c", "/bin/true one 'two  three'; exit 3"]);
    let output = command.output().expect("it can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for part in ["/bin/true one 'two  three'", "- /bin/true exited status=0 time=0.", "- sh exited status=3 time="] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

/// Also without rights, if the kernel lets every process listen to the process connector, or by
/// pidfd.
#[test]
fn pwait_needs_no_rights() {
    let _turn = turn::take();
    let (dir, path) = for_everyone();
    let link = dir.path().join("pwait");
    std::os::unix::fs::symlink(&path, &link).expect("it is ours");
    let mut child = quiet("sh", ["-c", "sleep 0.7; exit 3"]).spawn().expect("sh can be run");
    let mut command = Command::new(&link);
    command.uid(65534).gid(65534).args(["-v", &child.id().to_string()]);
    let output = command.output().expect("it can be run");
    child.wait().expect("our child");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let told = format!("{}: exited with status 3.\n", child.id());
    assert!(text == told || text == format!("{}: terminated.\n", child.id()), "{output:?}");
    // In a network namespace the connector is silent.
    let mut child = quiet("sleep", ["0.7"]).spawn().expect("sleep can be run");
    let mut command = Command::new("unshare");
    command.args(["--net", "setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all"]);
    let output = command.arg(&link).args(["-v", &child.id().to_string()]).output().expect("it can be run");
    child.wait().expect("our child");
    let text = String::from_utf8_lossy(&output.stdout);
    let told = format!("{}: exited with status 0.\n", child.id());
    assert!(text == told || text == format!("{}: terminated.\n", child.id()), "{output:?}");
    assert!(output.status.success());
}

/// Characters that could act on a terminal, or forge a line, never come out.
#[test]
fn hostile_arguments_stay_in_their_line() {
    let _turn = turn::take();
    let links = Links::new();
    let names = ["forkstat", "execsnoop", "execsnoop-perf", "execsnoop.bt", "execsnoop-dtrace", "extrace", "newproc.d"];
    let tools: Vec<_> = names.iter().map(|name| persona(&links, name, &[])).collect();
    wait_for(&tools.iter().collect::<Vec<_>>());
    let status = quiet("true", ["hostile", "\x1b[2J", "x\n00:00:00 exec 1 forged", "\u{202e}"]).status();
    assert!(status.expect("true can be run").success());
    std::thread::sleep(Duration::from_millis(300));
    for tool in tools {
        let name = tool.name.clone();
        let text = tool.stop();
        let line = text.lines().find(|line| line.contains("hostile")).unwrap_or_else(|| panic!("{name}: {text}"));
        assert!(line.contains("forged") && line.contains("\\x1b"), "{name}: {line}");
        assert!(!text.contains(['\x1b', '\u{202e}']) && !text.contains("\n00:00:00 exec 1"), "{name}");
    }
}

#[test]
fn realtime_is_taken_where_it_may_be() {
    let _turn = turn::take();
    let links = Links::new();
    let tool = persona(&links, "forkstat", &["-r", "-e", "exec"]);
    let begun = Instant::now();
    while tool.text().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{}", tool.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", tool.child.id())).expect("it runs");
    let fields: Vec<_> = words(stat.rsplit(')').next().expect("fields")).into_iter().map(str::to_owned).collect();
    // Fields 40 and 41 of proc_pid_stat(5), of which 3 is the first here.
    let (priority, policy) = (&fields[37], &fields[38]);
    let refused = tool.stderr().contains("without real-time scheduling");
    assert!(priority == "99" && policy == "1" || refused, "{priority} {policy} {}", tool.stderr());
    let (_, plain) = run(quiet(links.path("forkstat"), ["-e", "exec", "-D", "1"]));
    assert!(!plain.contains("real-time"), "{plain}");
}

/// bcc's execsnoop: sets of cgroups and of mount namespaces, as pinned maps that other programs
/// fill while it runs.
#[test]
fn pinned_maps_choose() {
    const SCRIPT: &str = r#"
        bytes() { for shift in 0 8 16 24 32 40 48 56; do printf '%d ' $(($1 >> shift & 255)); done; }
        dir=$1 execsnoop=$2
        mount -t bpf bpf "$dir"
        for name in groups mounts; do bpftool map create "$dir/$name" type hash key 8 value 4 entries 8 name $name; done
        at=$(findmnt -n -t cgroup2 -o TARGET | head -1)
        own=$at$(sed -n 's/^0:://p' /proc/self/cgroup)
        bpftool map update pinned "$dir/groups" key $(bytes "$(stat -c %i "$own")") value 0 0 0 0
        "$execsnoop" --cgroupmap "$dir/groups" --duration 4s >groups & one=$!
        "$execsnoop" --mntnsmap "$dir/mounts" --duration 4s >mounts & other=$!
        sleep 2
        /bin/true before-it-is-there
        bpftool map update pinned "$dir/mounts" key $(bytes "$(stat -Lc %i /proc/self/ns/mnt)") value 0 0 0 0
        sleep 0.7
        /bin/true in-both
        unshare --mount /bin/true in-another
        wait $one && wait $other
    "#;
    let _turn = turn::take();
    let links = Links::new();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let at = dir.path().join("bpf");
    fs::create_dir(&at).expect("it is ours");
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-euc", SCRIPT, "bash"]).arg(&at).arg(links.path("execsnoop"));
    let output = command.current_dir(dir.path()).output().expect("unshare can be run");
    assert!(output.status.success(), "{output:?}");
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("it is ours");
    let (groups, mounts) = (read("groups"), read("mounts"));
    assert!(groups.contains("in-both") && groups.contains("in-another"), "{groups}");
    assert!(mounts.contains("in-both") && !mounts.contains(" 0 /bin/true in-another"), "{mounts}");
    assert!(!mounts.contains("before-it-is-there"), "{mounts}");
    let output = Command::new(links.path("execsnoop")).args(["--cgroupmap", "/no/such/map"]).output();
    let output = output.expect("it can be run");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 3, "{output:?}");
}
