//! Many short-lived processes: the persona prints the truth, and where the original differs it is
//! wrong.

use std::collections::HashMap;

use procscope_tests::truth::{Life, Line};

use super::faults::{self, Faults, Printed, one_line_each, wait_status};
use super::*;
use crate::turn;
use crate::workload::{Workload, lives};

const STORM: &[&str] = &["storm", "--count", "1000"];

/// The personas' form of bytes that could act on a terminal or are not valid UTF-8.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text += "\\n",
                '\t' => text += "\\t",
                '\r' => text += "\\r",
                c if is_unsafe(c) => {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| text += &format!("\\x{byte:02x}"));
                }
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
    }
    text
}

/// Control characters, marks of text direction, and what is invisible.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// The truth about the spawned processes, by pid.
fn spawned(truth: &[Line]) -> HashMap<u32, &Life> {
    lives(truth).filter(|life| life.execs.len() == 1 && life.exit.is_some()).map(|life| (life.pid, life)).collect()
}

/// The arguments, joined by blanks, with the path in place of the first for tools that print it so.
fn command(life: &Life, path: bool) -> String {
    let exec = &life.execs[0];
    let mut words: Vec<_> = exec.argv.iter().map(|word| shown(&word.0)).collect();
    if let Some(path) = exec.path.as_ref().filter(|_| path) {
        words[0] = shown(&path.0);
    }
    words.join(" ")
}

/// Our persona's report on each process: its line is there, and right.
fn all_right(
    name: &str,
    text: &str,
    truth: &HashMap<u32, &Life>,
    read: impl Fn(&str) -> Option<(u32, String)>,
    right: impl Fn(&Life) -> String,
) {
    let mut all = HashMap::<u32, Vec<String>>::new();
    for (pid, says) in text.lines().filter_map(read) {
        all.entry(pid).or_default().push(says);
    }
    for (pid, life) in truth {
        let (says, right) = (all.get(pid).map(Vec::as_slice).unwrap_or_default(), right(life));
        assert!(says.contains(&right), "our {name} of {pid}:\nsays  {says:?}\ntruth {right}");
    }
}

/// The number that is the nth word of a line, and where the words after it begin.
fn pid_and_rest(line: &[u8], place: usize, rest: usize) -> Option<(u32, usize)> {
    let (mut at, mut pid) = (0, None);
    for index in 0..rest {
        at += line[at..].iter().position(|&b| b != b' ')?;
        let end = at + line[at..].iter().position(|&b| b == b' ').unwrap_or(line.len() - at);
        if index == place {
            pid = Some(std::str::from_utf8(&line[at..end]).ok()?.parse().ok()?);
        }
        at = end;
    }
    at += line[at..].iter().position(|&b| b != b' ')?;
    Some((pid?, at))
}

fn pid_at(line: &str, place: usize) -> Option<u32> {
    words(line).get(place)?.parse().ok()
}

/// The text from the nth column of a line on, for columns that are one word each.
fn from_word(line: &str, nth: usize) -> String {
    let mut rest = line;
    for _ in 0..nth {
        rest = rest.trim_start();
        rest = rest.find(' ').map_or("", |at| &rest[at..]);
    }
    rest.strip_prefix(' ').unwrap_or(rest).trim_start().to_owned()
}

#[test]
fn forkstat_shows_every_command_and_status() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (original("forkstat", &[]), persona(&links, "forkstat", &[]));
    wait_for(&[&theirs, &ours]);
    let truth = Workload::new(STORM).run();
    std::thread::sleep(Duration::from_millis(500));
    let (theirs, ours) = (Printed::by(theirs), ours.stop());
    let spawner = faults::spawners_words(&truth);
    let truth = spawned(&truth);
    let is = |line: &str, event: &str| words(line).get(1) == Some(&event);
    // Line breaks become blanks, and no line ends with one.
    let flat = |text: String| text.replace("\\n", " ").replace("\\r", " ").trim_end().to_owned();
    let exec = |line: &str| Some((pid_at(line, 2)?, squeezed(&from_word(line, 3))));
    let command_shown = |life: &Life| squeezed(&flat(command(life, false)));
    all_right("forkstat", &ours, &truth, |line| if is(line, "exec") { exec(line) } else { None }, command_shown);
    let exit = |line: &str| Some((pid_at(line, 2)?, words(line).get(3)?.to_string()));
    let status = |life: &Life| wait_status(life).to_string();
    all_right("forkstat", &ours, &truth, |line| if is(line, "exit") { exit(line) } else { None }, status);
    let child = |line: &str| {
        let words = words(line);
        (words.get(1..4)? == ["fork", words[2], "child"])
            .then(|| Some((pid_at(line, 2)?, squeezed(&from_word(line, 4)))))?
    };
    let words_of_spawner = String::from_utf8_lossy(&spawner.join(&b' ')).into_owned();
    all_right("forkstat", &ours, &truth, child, |_| words_of_spawner.clone());
    faults::forkstat::explain(&theirs, &truth, &spawner);
}

#[test]
fn execsnoop_shows_every_command() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (original("execsnoop", &[]), persona(&links, "execsnoop-libbpf", &[]));
    wait_for(&[&theirs, &ours]);
    let truth = Workload::new(STORM).run();
    faults::one_more_on_each_cpu();
    std::thread::sleep(Duration::from_millis(500));
    let (theirs, ours) = (Printed::by(theirs), ours.stop());
    let truth = spawned(&truth);
    // Names may have blanks: the following columns are found from the 18th character on.
    let read = |line: &str| {
        let rest = line.get(17..)?;
        Some((pid_at(rest, 0)?, squeezed(&from_word(rest, 3))))
    };
    all_right("execsnoop", &ours, &truth, read, |life| squeezed(&command(life, true)));
    let read = |line: &[u8]| pid_and_rest(line.get(17..)?, 0, 3).map(|(pid, at)| (pid, at + 17));
    let mut faults = Faults::of("execsnoop");
    one_line_each(&mut faults, &theirs, &truth, read, faults::execsnoop::right, faults::execsnoop::causes, |_| None);
    faults.tell_lost(&theirs);
}

#[test]
fn execsnoop_bt_shows_every_command() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (original("execsnoop.bt", &[]), persona(&links, "execsnoop.bt", &[]));
    wait_for(&[&theirs, &ours]);
    let truth = Workload::new(STORM).run();
    faults::one_more_on_each_cpu();
    std::thread::sleep(Duration::from_millis(500));
    let (theirs, ours) = (Printed::by(theirs), ours.stop());
    let truth = spawned(&truth);
    let read = |line: &str| Some((pid_at(line, 1)?, squeezed(&from_word(line, 2))));
    all_right("execsnoop.bt", &ours, &truth, read, |life| squeezed(&command(life, false)));
    faults::execsnoop::explain_script(&theirs, &truth);
}

#[test]
fn exitsnoop_shows_every_end() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (original("exitsnoop", &[]), persona(&links, "exitsnoop-libbpf", &[]));
    wait_for(&[&theirs, &ours]);
    let truth = Workload::new(STORM).run();
    faults::one_more_on_each_cpu();
    std::thread::sleep(Duration::from_millis(500));
    let (theirs, ours) = (Printed::by(theirs), ours.stop());
    let truth = spawned(&truth);
    let read = |line: &str| {
        let rest = line.get(17..)?;
        let said = from_word(rest, 4);
        // Without the words for a signal.
        Some((pid_at(rest, 0)?, said.split(" (").next().unwrap_or_default().to_owned()))
    };
    let right = |life: &Life| match (wait_status(life) & 0x7f, wait_status(life) >> 8) {
        (0, 0) => "0".to_owned(),
        (0, code) => format!("code {code}"),
        (signo, _) => format!("signal {signo}"),
    };
    all_right("exitsnoop", &ours, &truth, read, right);
    let read = |line: &[u8]| pid_and_rest(line.get(17..)?, 0, 4).map(|(pid, at)| (pid, at + 17));
    let mut faults = Faults::of("exitsnoop");
    let whole = |life: &Life| {
        let signo = (wait_status(life) & 0x7f) as i32;
        // SAFETY: glibc's own text, which stays.
        let words = || unsafe { std::ffi::CStr::from_ptr(libc::strsignal(signo)) }.to_string_lossy().into_owned();
        let words = if signo > 0 { format!(" ({})", words()) } else { String::new() };
        format!(
            "{}{words}
",
            right(life)
        )
        .into_bytes()
    };
    one_line_each(&mut faults, &theirs, &truth, read, whole, |_| Vec::new(), |_| None);
    faults.tell_lost(&theirs);
}

/// By extrace's own quoting, which its source and its manual show.
#[test]
fn extrace_shows_every_command() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (original("extrace", &["-f"]), persona(&links, "extrace", &["-f"]));
    wait_for(&[&theirs, &ours]);
    let truth = Workload::new(STORM).run();
    std::thread::sleep(Duration::from_millis(500));
    let (theirs, ours) = (Printed::by(theirs), ours.stop());
    let truth = spawned(&truth);
    let some: HashMap<_, _> = truth.iter().take(300).map(|(pid, life)| (*pid, *life)).collect();
    let read = |line: &str| {
        let (pid, rest) = line.split_once(' ')?;
        Some((pid.parse().ok().filter(|pid| some.contains_key(pid))?, read_by_shell(rest)))
    };
    let right = |life: &Life| {
        let words: Vec<u8> = life.execs[0].argv.iter().flat_map(|word| [&word.0[..], b"\0"].concat()).collect();
        shown(&words)
    };
    all_right("extrace", &ours, &some, read, right);
    let mut faults = Faults::of("extrace");
    let gone = |life: &Life| faults::extrace::missing(&theirs, life);
    let read = |line: &[u8]| pid_and_rest(line, 0, 1);
    one_line_each(&mut faults, &theirs, &truth, read, faults::extrace::right, faults::extrace::causes, gone);
    faults.tell_dropped(&theirs);
}

/// What bash makes of words.
fn read_by_shell(text: &str) -> String {
    let output = Command::new("bash").args(["--norc", "-c", &format!("set +H; printf '%s\\0' {text}")]).output();
    shown(&output.expect("bash can be run").stdout)
}

/// Events that the original does not show, or shows as something else: ids, sessions, names, ends
/// of threads, core dumps, debuggers.
#[test]
fn forkstat_shows_every_change() {
    use procscope_tests::truth::Change;
    let _turn = turn::take();
    let links = Links::new();
    let ours = persona(&links, "forkstat", &["-E"]);
    wait_for(&[&ours]);
    let truth = Workload::new(&["odd", "all"]).run();
    std::thread::sleep(Duration::from_millis(500));
    let text = ours.stop();
    let lines: Vec<_> = text.lines().map(squeezed).collect();
    let has = |part: &str| lines.iter().any(|line| line.get(9..).is_some_and(|line| line.starts_with(part)));
    let name = |getent: &str, id: u32| {
        let output = Command::new("getent").args([getent, &id.to_string()]).output().expect("getent can be run");
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        line.split(':').next().filter(|name| !name.is_empty()).map_or_else(|| id.to_string(), str::to_owned)
    };
    let mut count = [0; 7];
    for life in lives(&truth) {
        let pid = life.pid;
        for change in &life.changes {
            let (index, line) = match change {
                Change::Uid { euid, .. } => (0, format!("uid {pid} {}", name("passwd", *euid))),
                Change::Gid { egid, .. } => (1, format!("gid {pid} {}", name("group", *egid))),
                Change::Sid => (2, format!("sid {pid} {pid}")),
                Change::Comm { tid, old, new } => {
                    (3, squeezed(&format!("comm {tid} {} -> {}", shown(&old.0), shown(&new.0))))
                }
                Change::ThreadExit { tid, code: Some(code) } => (4, format!("texit {tid} {}", code << 8)),
                Change::PtraceAttach { .. } => (5, format!("ptrce {pid} attach ")),
                _ => continue,
            };
            assert!(has(&line), "no line '{line}' for {change:?} of {}", life.case);
            count[index] += 1;
        }
        if life.exit.as_ref().is_some_and(|exit| exit.code.is_some() || exit.signal.is_some()) {
            let dumped = life.exit.as_ref().is_some_and(|exit| exit.core);
            if dumped {
                assert!(has(&format!("core {pid} ")), "no core of {}", life.case);
                count[6] += 1;
            }
            let line = format!("exit {pid} {} ", wait_status(life) | u32::from(dumped) << 7);
            assert!(has(&line), "no line '{line}' of {}", life.case);
        }
    }
    assert!(count.iter().all(|&count| count > 0), "{count:?}");
}

/// The original prints durations such as 0.4294966887s for these.
#[test]
fn who_ran_before_has_a_duration() {
    let _turn = turn::take();
    let links = Links::new();
    for source in ["ebpf", "process-connector"] {
        let begun = Instant::now();
        let mut old = quiet("sleep", ["60"]).spawn().expect("sleep can be run");
        std::thread::sleep(Duration::from_millis(1200));
        let ours = persona(&links, "forkstat", &["-e", "exec,exit", "--source", source]);
        wait_for(&[&ours]);
        old.kill().and_then(|()| old.wait()).expect("our child");
        let lived = begun.elapsed().as_secs_f64();
        std::thread::sleep(Duration::from_millis(300));
        let text = ours.stop();
        let of_old = |line: &&str| words(line).get(2) == Some(&&*old.id().to_string());
        let line = text.lines().find(of_old).unwrap_or_else(|| panic!("{text}"));
        let words = words(line);
        let told: f64 = words[4].trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{line}"));
        assert_eq!((words[1], words[3], words[5]), ("exit", "9", "sleep"), "{line}");
        assert!((told - lived).abs() < 1.0, "{line}: lived for {lived}");
    }
}

/// Execs that the originals miss, or cut: execveat, execs by other threads than the first, long and
/// odd arguments; and failed ones.
#[test]
fn execsnoop_shows_every_odd_exec() {
    let _turn = turn::take();
    let links = Links::new();
    let ours = persona(&links, "execsnoop", &["-x", "-u", "0"]);
    let users = persona(&links, "execsnoop-libbpf", &["-x"]);
    wait_for(&[&ours, &users]);
    let truth = Workload::new(&["odd", "all"]).run();
    std::thread::sleep(Duration::from_millis(500));
    let (root, all) = (ours.stop(), users.stop());
    // By pid: the result of an exec, and its arguments.
    let read = |text: &str| -> HashMap<u32, Vec<(String, String)>> {
        let mut execs = HashMap::<u32, Vec<_>>::new();
        for line in text.lines().skip(1) {
            // Names may have blanks, and escaped ones may be longer than their column.
            let columns_at = |line: &str| {
                let columns = words(line);
                let number = |at: usize| columns.get(at).is_some_and(|word| word.parse::<i64>().is_ok());
                let is_row = number(0) && (number(1) || columns.get(1) == Some(&"?")) && number(2);
                let said = || (columns[2].to_owned(), columns[3..].join(" "));
                is_row.then(|| (columns[0].parse::<u32>().unwrap_or(0), said()))
            };
            let behind_blanks = line.match_indices(' ').filter_map(|(at, _)| columns_at(&line[at..])).next();
            let row = line.get(16..).and_then(columns_at).or(behind_blanks);
            if let Some((pid, said)) = row {
                execs.entry(pid).or_default().push(said);
            }
        }
        execs
    };
    let (root, all) = (read(&root), read(&all));
    let (mut checked, mut refused, mut of_others) = (0, 0, 0);
    for life in lives(&truth) {
        let by_root = life.execs.iter().all(|exec| exec.ids.is_none_or(|ids| ids[0] == 0));
        let expected = life.execs.iter().map(|exec| {
            let path = exec.path.as_ref().map(|path| shown(&path.0));
            let first = path.or_else(|| exec.argv.first().map(|word| shown(&word.0))).unwrap_or_default();
            // Words that a script's interpreter receives before the script's path were in no call.
            let is_script = life.case.starts_with("script");
            let script = exec.argv.iter().position(|word| is_script && Some(word) == exec.path.as_ref());
            let rest = exec.argv.iter().skip(1 + script.unwrap_or(0)).map(|word| shown(&word.0));
            ("0".to_owned(), squeezed(&std::iter::once(first).chain(rest).collect::<Vec<_>>().join(" ")))
        });
        let failed = life.failed.iter().filter_map(|failed| {
            let errno = (1..200).find(|&errno| procscope_model::errno_name(errno) == Some(&failed.errno))?;
            let (path, argv) = (failed.path.as_ref()?, failed.argv.as_ref()?);
            let words = std::iter::once(shown(&path.0)).chain(argv.iter().skip(1).map(|word| shown(&word.0)));
            Some((format!("-{errno}"), squeezed(&words.collect::<Vec<_>>().join(" "))))
        });
        for expected in expected.chain(failed) {
            let all = all.get(&life.pid).map(Vec::as_slice).unwrap_or_default();
            let cut = |text: &str| text.chars().take(300).collect::<String>();
            // The beginning of a list that no system call could accept either, with the mark for
            // more.
            let begins = |said: &str| said.strip_suffix(" ...").is_some_and(|said| expected.1.starts_with(said));
            let cut_off = expected.0 == "-7" && all.iter().any(|said| said.0 == "-7" && begins(&said.1));
            assert!(
                cut_off || all.contains(&expected),
                "{}: no {} {} in {}",
                life.case,
                expected.0,
                cut(&expected.1),
                cut(&format!("{all:?}"))
            );
            checked += 1;
            refused += usize::from(expected.0 != "0");
            if by_root && !cut_off {
                assert!(root.get(&life.pid).is_some_and(|root| root.contains(&expected)), "-u 0: {}", life.case);
            }
        }
        if life.execs.iter().any(|exec| exec.ids.is_some_and(|ids| ids[0] != 0)) {
            of_others += 1;
        }
    }
    assert!(checked > 100 && refused > 10 && of_others > 0, "{checked} {refused} {of_others}");
}
