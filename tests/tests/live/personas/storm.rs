//! Many short-lived processes: what the persona prints is the truth, and where the original differs it is wrong.

use std::collections::HashMap;

use procscope_tests::truth::{Life, Line};

use super::*;
use crate::turn;
use crate::workload::{Workload, lives};

const STORM: &[&str] = &["storm", "--count", "1000"];

/// As the personas print what could act on a terminal or is no UTF-8.
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

/// What really happened to the processes that the spawners made, by pid.
fn spawned(truth: &[Line]) -> HashMap<u32, &Life> {
    lives(truth).filter(|life| life.execs.len() == 1 && life.exit.is_some()).map(|life| (life.pid, life)).collect()
}

/// The arguments, joined by blanks, with the path in place of the first where a tool has it so.
fn command(life: &Life, path: bool) -> String {
    let exec = &life.execs[0];
    let mut words: Vec<_> = exec.argv.iter().map(|word| shown(&word.0)).collect();
    if let Some(path) = exec.path.as_ref().filter(|_| path) {
        words[0] = shown(&path.0);
    }
    words.join(" ")
}

/// Holds two tools' lines against the truth: ours are all there and right; theirs may be missing or wrong, but where they differ from
/// ours the truth is on our side. `read` gives a line's pid and what it says of that process.
fn judge<'a>(
    tools: [(&str, &'a str); 2],
    truth: &HashMap<u32, &Life>,
    read: impl Fn(&'a str) -> Option<(u32, String)>,
    right: impl Fn(&Life) -> String,
) {
    let [(our_name, ours), (their_name, theirs)] = tools;
    let of = |text: &'a str| -> HashMap<u32, Vec<String>> {
        let mut all = HashMap::<u32, Vec<String>>::new();
        for (pid, says) in text.lines().filter_map(&read).filter(|(pid, _)| truth.contains_key(pid)) {
            all.entry(pid).or_default().push(says);
        }
        all
    };
    let (ours, theirs) = (of(ours), of(theirs));
    let (mut missing, mut wrong) = (0, 0);
    for (pid, life) in truth {
        let right = right(life);
        let says = ours.get(pid).map(Vec::as_slice).unwrap_or_default();
        assert!(says.contains(&right), "{our_name} of {pid}:\nsays  {says:?}\ntruth {right}");
        match theirs.get(pid) {
            None => missing += 1,
            Some(says) => wrong += usize::from(!says.contains(&right)),
        }
    }
    println!("of {}: {our_name} has all right; {their_name} misses {missing}, has {wrong} wrong", truth.len());
}

fn pid_at(line: &str, place: usize) -> Option<u32> {
    words(line).get(place)?.parse().ok()
}

/// What stands from the nth column of a line on, for columns that are one word each.
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
    let options = ["-e", "exec,exit"];
    let (theirs, ours) = (original("forkstat", &options), persona(&links, "forkstat", &options));
    wait_for(&[&theirs, &ours]);
    let truth = Workload::new(STORM).run();
    std::thread::sleep(Duration::from_millis(500));
    let (theirs, ours) = (theirs.stop(), ours.stop());
    let truth = spawned(&truth);
    let tools = [("our forkstat", &*ours), ("forkstat", &*theirs)];
    // Its line breaks are blanks, and no line ends with one.
    let flat = |text: String| text.replace("\\n", " ").replace("\\r", " ").trim_end().to_owned();
    let is = |line: &str, event: &str| words(line).get(1) == Some(&event);
    judge(
        tools,
        &truth,
        |line| is(line, "exec").then(|| Some((pid_at(line, 2)?, squeezed(&from_word(line, 3)))))?,
        |life| squeezed(&flat(command(life, false))),
    );
    judge(
        tools,
        &truth,
        |line| is(line, "exit").then(|| Some((pid_at(line, 2)?, words(line).get(3)?.to_string())))?,
        |life| wait_status(life).to_string(),
    );
}

/// As `wait(2)` has it; the storm writes no cores.
fn wait_status(life: &Life) -> u32 {
    let exit = life.exit.as_ref().expect("it ended");
    match (&exit.signal, exit.code) {
        (Some(name), _) => procscope_model::signal_number(name).expect("a signal").into(),
        (None, code) => code.expect("a code") << 8,
    }
}

#[test]
fn execsnoop_shows_every_command() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (original("execsnoop", &[]), persona(&links, "execsnoop-libbpf", &[]));
    wait_for(&[&theirs, &ours]);
    let truth = Workload::new(STORM).run();
    std::thread::sleep(Duration::from_millis(500));
    let (theirs, ours) = (theirs.stop(), ours.stop());
    // Names may have blanks: the columns behind are found from the 17th character on.
    let read = |line: &str| {
        let rest = line.get(17..)?;
        Some((pid_at(rest, 0)?, squeezed(&from_word(rest, 3))))
    };
    let tools = [("our execsnoop", &*ours), ("execsnoop", &*theirs)];
    judge(tools, &spawned(&truth), read, |life| squeezed(&command(life, true)));
}

#[test]
fn execsnoop_bt_shows_every_command() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (original("execsnoop.bt", &[]), persona(&links, "execsnoop.bt", &[]));
    wait_for(&[&theirs, &ours]);
    let truth = Workload::new(STORM).run();
    std::thread::sleep(Duration::from_millis(500));
    let (theirs, ours) = (theirs.stop(), ours.stop());
    let read = |line: &str| Some((pid_at(line, 1)?, squeezed(&from_word(line, 2))));
    let tools = [("our execsnoop.bt", &*ours), ("execsnoop.bt", &*theirs)];
    judge(tools, &spawned(&truth), read, |life| squeezed(&command(life, false)));
}

#[test]
fn exitsnoop_shows_every_end() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (original("exitsnoop", &[]), persona(&links, "exitsnoop-libbpf", &[]));
    wait_for(&[&theirs, &ours]);
    let truth = Workload::new(STORM).run();
    std::thread::sleep(Duration::from_millis(500));
    let (theirs, ours) = (theirs.stop(), ours.stop());
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
    let tools = [("our exitsnoop", &*ours), ("exitsnoop", &*theirs)];
    judge(tools, &spawned(&truth), read, right);
}

#[test]
fn extrace_shows_every_command() {
    let _turn = turn::take();
    let links = Links::new();
    let (theirs, ours) = (original("extrace", &["-f"]), persona(&links, "extrace", &["-f"]));
    wait_for(&[&theirs, &ours]);
    let truth = Workload::new(STORM).run();
    std::thread::sleep(Duration::from_millis(500));
    let (theirs, ours) = (theirs.stop(), ours.stop());
    let read = |line: &str| {
        let (pid, rest) = line.split_once(' ')?;
        Some((pid.parse().ok()?, rest.to_owned()))
    };
    // Its quoting is proved elsewhere: here the words are read back by a shell.
    let unquoted = |text: &str| {
        let output = Command::new("bash").args(["--norc", "-c", &format!("set +H; printf '%s\\0' {text}")]).output();
        shown(&output.expect("bash can be run").stdout)
    };
    let tools = [("our extrace", &*ours), ("extrace", &*theirs)];
    let right = |life: &Life| {
        let words: Vec<u8> = life.execs[0].argv.iter().flat_map(|word| [&word.0[..], b"\0"].concat()).collect();
        shown(&words)
    };
    let some = spawned(&truth).into_iter().take(200).collect();
    judge(
        tools,
        &some,
        |line| read(line).filter(|(pid, _)| some.contains_key(pid)).map(|(pid, text)| (pid, unquoted(&text))),
        right,
    );
}
