//! libbpf-tools' copies up to 127 bytes of each of the first 20 words, and checks whether there
//! is one more. The script of bpftrace sends up to 16 words of 1,023 bytes, apart from the text
//! before them, and prints them up to the first empty one.

use super::*;

const DEFAULT_MAX_ARGS: usize = 20;
const ARGSIZE: usize = 128;

fn cut(word: &[u8], size: usize) -> &[u8] {
    &word[..word.len().min(size - 1)]
}

fn words_with_path(life: &Life) -> Vec<&[u8]> {
    std::iter::once(bytes(&life.execs[0].path)).chain(argv(life).skip(1)).collect()
}

pub(in super::super) fn right(life: &Life) -> Vec<u8> {
    joined(words_with_path(life), " \n")
}

/// The part of a command line in its buffers.
pub(in super::super) fn causes(life: &Life) -> Vec<(&'static str, Vec<u8>)> {
    let words = words_with_path(life);
    let long = words.iter().map(|word| cut(word, ARGSIZE)).take(DEFAULT_MAX_ARGS);
    let text = joined(long, if words.len() > DEFAULT_MAX_ARGS { "  ...\n" } else { " \n" });
    let cause = match (words.len() > DEFAULT_MAX_ARGS, words.iter().any(|word| word.len() >= ARGSIZE)) {
        (true, true) => "more than 20 words, and cut at 127 bytes each",
        (true, false) => "more than 20 words",
        _ => "cut at 127 bytes a word",
    };
    vec![(cause, text)]
}

const JOIN_ARGNUM: usize = 16;
const JOIN_ARGSIZE: usize = 1024;

/// The words that the script sends.
fn sent(life: &Life) -> Vec<u8> {
    let words = argv(life).take(JOIN_ARGNUM).take_while(|word| !word.is_empty());
    joined(words.map(|word| cut(word, JOIN_ARGSIZE)), "\n")
}

/// A line has two halves, sent one by one: time and pid, and the words. Another CPU's output
/// may come between, and either may be lost.
pub(in super::super) fn explain_script(told: &Printed, truth: &HashMap<u32, &Life>) {
    let mut faults = Faults::of("execsnoop.bt");
    let out = &told.out[..];
    let mut heads = HashMap::<u32, Vec<usize>>::new();
    // The places where words may begin.
    let mut begins = Vec::new();
    for at in 0..out.len() {
        if let Some((pid, end)) = head(out, at) {
            heads.entry(pid).or_default().push(end);
            begins.push(end);
        }
        if out[..at].ends_with(b"\n") {
            begins.push(at);
        }
    }
    let stands = |at: usize, text: &[u8]| out[at..].starts_with(text);
    // How often each text follows another head than one of its own.
    let mut apart = HashMap::<Vec<u8>, usize>::new();
    let mut left = Vec::new();
    for (pid, life) in truth {
        let (right, sent) = (joined(argv(life), "\n"), sent(life));
        let heads = heads.get(pid).map(Vec::as_slice).unwrap_or_default();
        let found = || begins.iter().filter(|at| stands(**at, &sent)).count();
        let apart = apart.entry(sent.clone()).or_insert_with(found);
        if heads.iter().any(|at| stands(*at, &right)) {
            faults.right();
            *apart = apart.saturating_sub(1);
        } else if heads.iter().any(|at| stands(*at, &sent)) {
            let empty = argv(life).take(JOIN_ARGNUM).any(<[u8]>::is_empty);
            faults.explained(if empty { "ends before an empty word" } else { "more than 16 words, or of 1,023 bytes" });
            *apart = apart.saturating_sub(1);
        } else {
            left.push((pid, right, sent, !heads.is_empty()));
        }
    }
    for (pid, right, sent, has_head) in left {
        let apart = apart.entry(sent).or_default();
        if has_head && *apart > 0 {
            *apart -= 1;
            faults.explained("its halves stand apart, with another CPU's between");
        } else {
            faults.missing(format!("{pid}: {}", right.escape_ascii()));
        }
    }
    faults.tell("a half is missing: its buffer had no place", told.lost());
}

/// `%-10u %-5d ` at a place: the pid, and where it ends.
fn head(out: &[u8], at: usize) -> Option<(u32, usize)> {
    let rest = &out[at..];
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || at > 0 && out[at - 1].is_ascii_digit() {
        return None;
    }
    let pid_at = digits.max(10) + 1;
    if rest.get(digits..pid_at)?.iter().any(|b| *b != b' ') {
        return None;
    }
    let pid = &rest[pid_at..];
    let digits = pid.iter().take_while(|b| b.is_ascii_digit()).count();
    let width = digits.max(5) + 1;
    let blanks = pid.get(digits..width)?;
    let number = std::str::from_utf8(&pid[..digits]).ok()?.parse().ok()?;
    blanks.iter().all(|b| *b == b' ').then_some((number, at + pid_at + width))
}

impl Faults {
    pub(in super::super) fn tell_lost(self, told: &Printed) {
        self.tell("missing: its buffer had no place", told.lost());
    }
}
