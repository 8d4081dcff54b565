//! It reads `/proc/PID` when it gets to the message of an exec, and reports on stderr if there
//! is none any more.

use super::*;

pub(in super::super) fn right(life: &Life) -> Vec<u8> {
    let words: Vec<_> = argv(life).map(quoted).collect();
    joined(words.iter().map(|word| &word[..]), "\n")
}

pub(in super::super) fn causes(_: &Life) -> Vec<(&'static str, Vec<u8>)> {
    vec![("had ended, so that no arguments were left", b"''\n".to_vec())]
}

/// A process named on stderr.
pub(in super::super) fn missing(told: &Printed, life: &Life) -> Option<&'static str> {
    let begin = "extrace: process vanished";
    let pid = life.pid;
    let name = String::from_utf8_lossy(&life.execs[0].argv[0].0).into_owned();
    let has = |line: &str| told.err.lines().any(|other| other == line);
    if has(&format!("{begin} before notification: pid {pid}")) {
        Some("missing: was gone, as it says")
    } else if has(&format!("{begin} before we found its parent: pid {pid}: {name}")) {
        Some("missing: ended while it looked for the parent, as it says")
    } else if has(&format!("{begin} without a name: pid {pid}")) {
        Some("missing: ended while it looked for a name, as it says")
    } else {
        None
    }
}

/// A word as extrace prints it.
fn quoted(word: &[u8]) -> Vec<u8> {
    let special = |b: &u8| *b <= b' ' || *b == 0x7f || b"`^#*[]=|\\?${}()'\"<>&;".contains(b);
    if !word.is_empty() && !word.iter().any(special) {
        return word.to_vec();
    }
    let mut text = b"'".to_vec();
    for byte in word {
        match byte {
            b'\'' => text.extend(b"'\\''"),
            b'\n' => text.extend(b"'$'\\n''"),
            byte => text.push(*byte),
        }
    }
    text.push(b'\'');
    text
}

impl Faults {
    pub(in super::super) fn tell_dropped(self, told: &Printed) {
        let told_so = told.err.contains("out of order message");
        self.tell("missing: the socket had no place", if told_so { told.drops } else { 0 });
    }
}
