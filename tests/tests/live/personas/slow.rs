//! The same lines, for processes slow enough that the originals can read them.

use super::*;
use crate::turn;

/// In Perl, which is on every Debian: a process that forks one, which waits, becomes another
/// program and ends with 3, and one that is killed; all slowly. It prints the pids.
const SLOW: &str = r#"
    $| = 1;
    sub rest { select undef, undef, undef, 0.3 }
    rest;
    my $first = fork;
    unless ($first) { rest; exec $ENV{CHILD}, '-e', 'select undef, undef, undef, 0.3; exit 3', 'a b', 'é' }
    waitpid $first, 0;
    rest;
    my $second = fork;
    unless ($second) { rest; exec $ENV{CHILD}, '-e', 'sleep 9', 'killed' }
    rest; rest; rest;
    kill 'TERM', $second;
    waitpid $second, 0;
    rest;
    print "$$ $first $second\n";
    exit 5;
"#;

/// The pids of such processes, when they have ended, and the name of the program that two of them became.
fn slow() -> ([String; 3], String) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let name = format!("slow{}", std::process::id());
    let child = dir.path().join(&name);
    fs::copy(peer("perl"), &child).expect("perl can be copied");
    let script = dir.path().join("script");
    fs::write(&script, SLOW).expect("it is ours");
    let output = Command::new(peer("perl")).arg(&script).args(["the", "slow one"]).env("CHILD", &child).output();
    let output = output.expect("perl can be run");
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let pids = String::from_utf8(output.stdout).expect("numbers");
    let pids: Vec<_> = pids.split_whitespace().map(str::to_owned).collect();
    std::thread::sleep(Duration::from_millis(300));
    (pids.try_into().expect("three pids"), name)
}

/// Lines in which the word at this place is one of the pids.
fn of<'a>(text: &'a str, place: usize, pids: &[String]) -> Vec<&'a str> {
    let is_one = |line: &&str| words(line).get(place).is_some_and(|word| pids.iter().any(|pid| pid == word));
    text.lines().filter(is_one).collect()
}

/// Removes a number of seconds from a line, as this word, if it is near to the other.
fn close(one: &str, other: &str) -> bool {
    let seconds = |text: &str| text.trim_end_matches('s').parse::<f64>();
    match (seconds(one), seconds(other)) {
        (Ok(one), Ok(other)) => (one - other).abs() < 0.25,
        _ => one == other,
    }
}

#[test]
fn forkstat() {
    let _turn = turn::take();
    let links = Links::new();
    for options in [&[][..], &["-x", "-g"], &["-c"], &["-s", "-x"]] {
        let (theirs, ours) = (original("forkstat", options), persona(&links, "forkstat", options));
        wait_for(&[&theirs, &ours]);
        let (pids, _) = slow();
        let heading = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let lines = |text: &str| -> Vec<String> {
            let mut lines = Vec::new();
            for line in of(text, 2, &pids) {
                let words = words(line);
                // The original reads the first one's arguments at the fork too late or not at all:
                // it execs at once.
                let first =
                    words[2] == pids[0] && words[1] == "fork" && words.iter().any(|word| word.contains("child"));
                if !first {
                    // The layout counts, except the time.
                    lines.push(line.trim_end()[8..].to_owned());
                }
            }
            lines
        };
        let (theirs, ours) = (theirs.stop(), ours.stop());
        assert_eq!(heading(&ours), heading(&theirs));
        let (mut theirs, mut ours) = (lines(&theirs), lines(&ours));
        // Durations are measured, and may differ by the time that the original needs to read.
        for lines in [&mut theirs, &mut ours] {
            lines.sort();
        }
        assert_eq!(theirs.len(), ours.len(), "{options:?}: {ours:#?} {theirs:#?}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let same = words(ours).len() == words(theirs).len()
                && words(ours).iter().zip(words(theirs)).all(|(one, other)| close(one, other));
            assert!(same && ours.len() == theirs.len(), "{options:?}:\nours   {ours}\ntheirs {theirs}");
        }
        assert!(ours.iter().any(|line| line.contains(" 768 ") || line.contains("⇥   768 ")), "{ours:#?}");
    }
}

/// Except the column that the older one lacks.
#[test]
fn statistics_of_forkstat() {
    let _turn = turn::take();
    let links = Links::new();
    let options = ["-S", "-e", "exec"];
    let (theirs, ours) = (original("forkstat", &options), persona(&links, "forkstat", &options));
    wait_for(&[&theirs, &ours]);
    let (_, name) = slow();
    let rows = |text: &str| -> Vec<String> {
        let table = text.lines().skip_while(|line| !words(line).contains(&"Coredump"));
        let rows = table
            .map(squeezed)
            .filter(|line| line.contains("the slow one") || line.contains(&name) || line.contains("Fork"));
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows
    };
    let (mut ours, mut theirs) = (rows(&ours.stop()), rows(&theirs.stop()));
    // `Fork Exec Exit Coredump Comm Clone Ptrace Uid Sid NonzeroExit Total Process`
    for row in &mut ours {
        let columns: Vec<_> =
            words(row).into_iter().enumerate().filter(|(at, _)| *at != 9).map(|(_, word)| word.to_owned()).collect();
        *row = columns.join(" ");
    }
    assert_eq!(ours.len(), 4, "{ours:#?}");
    // The first one becomes a program at once: if the original reads after that, it counts for the
    // program itself.
    let late = |row: &String| match row.strip_prefix("2 3 1 0 0 0 0 0 0 6 ") {
        Some(rest) => format!("2 2 1 0 0 0 0 0 0 5 {rest}"),
        None => row.clone(),
    };
    theirs = theirs.iter().map(late).collect();
    assert!(ours.iter().any(|row| row.starts_with("2 2 1 ") && row.ends_with("the slow one")), "{ours:#?}");
    assert_same(&ours, &theirs);
}

#[test]
fn execsnoop_of_libbpf_tools() {
    let _turn = turn::take();
    let links = Links::new();
    for options in [&["-x"][..], &["-T", "-U", "-q"], &["--max-args", "2", "-n", "slow"]] {
        let (theirs, ours) = (original("execsnoop", options), persona(&links, "execsnoop-libbpf", options));
        wait_for_execs(&theirs, &ours, options);
        let (pids, _) = slow();
        let (theirs, ours) = (theirs.stop(), ours.stop());
        let lines = |text: &str| -> Vec<String> {
            let mine = |line: &&str| words(line).iter().take(4).any(|word| pids.iter().any(|pid| pid == word));
            let cut = |line: &str| squeezed(if options.contains(&"-T") { &line[8..] } else { line });
            text.lines().filter(mine).map(cut).collect()
        };
        assert_eq!(ours.lines().next(), theirs.lines().next());
        assert_same(&lines(&ours), &lines(&theirs));
    }
}

/// With a filter on names the sign would not be seen.
fn wait_for_execs(theirs: &Tool, ours: &Tool, options: &[&str]) {
    if options.contains(&"-n") {
        let begun = Instant::now();
        while [theirs, ours].iter().any(|tool| !tool.text().contains("ARGS")) {
            assert!(begun.elapsed() < PATIENCE, "{} {}", theirs.stderr(), ours.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
        return;
    }
    wait_for(&[theirs, ours]);
}

#[test]
fn exitsnoop_of_libbpf_tools() {
    let _turn = turn::take();
    let links = Links::new();
    for options in [&[][..], &["-x"], &["-T"]] {
        let (theirs, ours) = (original("exitsnoop", options), persona(&links, "exitsnoop-libbpf", options));
        if options.contains(&"-x") {
            let begun = Instant::now();
            while [&theirs, &ours].iter().any(|tool| !tool.text().contains("EXIT_CODE")) {
                assert!(begun.elapsed() < PATIENCE, "{} {}", theirs.stderr(), ours.stderr());
                std::thread::sleep(Duration::from_millis(20));
            }
        } else {
            wait_for(&[&theirs, &ours]);
        }
        let (pids, _) = slow();
        let (theirs, ours) = (theirs.stop(), ours.stop());
        assert_eq!(ours.lines().next(), theirs.lines().next());
        let lines = |text: &str| -> Vec<String> { of(text, 1, &pids).into_iter().map(str::to_owned).collect() };
        let (ours, theirs) = (lines(&ours), lines(&theirs));
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), 3, "{ours:#?}");
    }
}

#[test]
fn execsnoop_of_bpftrace() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (original("execsnoop.bt", &[]), persona(&links, "execsnoop.bt", &[]));
    wait_for(&[&theirs, &ours]);
    let (pids, _) = slow();
    let (theirs, ours) = (theirs.stop(), ours.stop());
    let lines =
        |text: &str| -> Vec<String> { of(text, 1, &pids).into_iter().map(|line| words(line)[1..].join(" ")).collect() };
    let heading = |text: &str| text.lines().find(|line| line.starts_with("TIME")).map(str::to_owned);
    assert_eq!(heading(&ours), heading(&theirs));
    assert_same(&lines(&ours), &lines(&theirs));
}

#[test]
fn extrace() {
    let _turn = turn::take();
    let links = Links::new();
    for options in [&["-f", "-t", "-d"][..], &["-t"], &["-f", "-l"], &["-q"]] {
        let (theirs, ours) = (original("extrace", options), persona(&links, "extrace", options));
        wait_for(&[&theirs, &ours]);
        let (pids, name) = slow();
        let (theirs, ours) = (theirs.stop(), ours.stop());
        let lines = |text: &str| -> Vec<String> {
            let is_one = |line: &&str| {
                let first = line.trim_start().split([' ', '+', '-']).next().unwrap_or_default().to_owned();
                pids.contains(&first) && !line.contains(" execed ")
            };
            // The original cuts names.
            let whole = |line: &str| match line.find("- ") {
                Some(at) if line.contains(" exited ") && line.contains("slow") || line.contains("- /tmp") => {
                    let end = line.find(" exited").unwrap_or(line.len());
                    format!("{}- …{}", &line[..at], &line[end..])
                }
                _ => line.to_owned(),
            };
            text.lines().filter(is_one).map(whole).collect()
        };
        let (ours, theirs) = (lines(&ours), lines(&theirs));
        assert_eq!(ours.len(), theirs.len(), "{options:?}: {ours:#?} {theirs:#?}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let near = |one: &str, other: &str| {
                one == other || close(one.trim_start_matches("time="), other.trim_start_matches("time="))
            };
            let same = words(ours).iter().zip(words(theirs)).all(|(one, other)| near(one, other));
            let indent = |line: &str| line.len() - line.trim_start().len();
            assert!(same && indent(ours) == indent(theirs), "{options:?} {name}:\nours   {ours}\ntheirs {theirs}");
        }
        assert!(ours.len() >= 2);
    }
}

#[test]
fn pwait() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (peer("pwait"), links.path("pwait"));
    for (script, options) in [("sleep 1.5; exit 0", "-vc"), ("sleep 1.5; exit 3", "-vc"), ("exec sleep 9", "-v")] {
        let told: Vec<_> = [&theirs, &ours]
            .into_iter()
            .map(|program| {
                let mut child = quiet("sh", ["-c", script]).spawn().expect("sh can be run");
                let pid = child.id().to_string();
                let mut command = Command::new(program);
                command.args([options, &pid, "x", "999999999"]).stdout(Stdio::piped()).stderr(Stdio::piped());
                let waiting = command.spawn().expect("it can be run");
                std::thread::sleep(Duration::from_millis(1000));
                if script.contains("exec") {
                    child.kill().expect("our child");
                }
                child.wait().expect("our child");
                let output = waiting.wait_with_output().expect("our child");
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&pid, "PID");
                (output.status.code(), text(&output.stdout), text(&output.stderr))
            })
            .collect();
        assert_eq!(told[0], told[1], "{script}");
    }
}

/// Any mechanism: all report the same about slow processes, except values that the connector does
/// not claim.
#[test]
fn the_process_connector_shows_the_same() {
    let _turn = turn::take();
    let links = Links::new();
    for (name, options, place) in [
        ("forkstat", &["-x", "-e", "fork,exec,exit"][..], 2),
        ("execsnoop", &["-U"], 2),
        ("exitsnoop", &[], 1),
        ("extrace", &["-f", "-u", "-t"], 0),
        ("execsnoop-perf", &["-r"], 0),
    ] {
        let start = |source: &str| {
            let mut words = vec!["--source", source];
            words.extend(options);
            persona(&links, name, &words)
        };
        let (ebpf, connector) = (start("ebpf"), start("process-connector"));
        wait_for(&[&ebpf, &connector]);
        let (pids, _) = slow();
        let lines = |text: &str| -> Vec<String> {
            let digits = |word: &str| word.trim_end_matches(['+', '-']).to_owned();
            let mine = |line: &&str| words(line).get(place).is_some_and(|word| pids.contains(&digits(word)));
            // Times differ by milliseconds.
            let timeless = |line: &str| {
                let words = words(line).into_iter().filter(|word| !word.contains([':', '.']) || word.contains('/'));
                words.collect::<Vec<_>>().join(" ")
            };
            text.lines().filter(mine).map(timeless).collect()
        };
        let (ebpf, connector) = (lines(&ebpf.stop()), lines(&connector.stop()));
        assert_same(&connector, &ebpf);
        assert!(ebpf.len() >= 3, "{name}: {ebpf:#?}");
    }
}
