//! Readers of the monitors' texts.

use std::collections::HashMap;

use procscope_tests::seen::Seen;

use super::{ByPid, Status, signal_number};

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b'\n')
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

/// The next word, and the text after the following blanks.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    (&text[..end], text[end..].trim_ascii_start())
}

fn blanks(text: &[u8]) -> Vec<Vec<u8>> {
    text.trim_ascii_end().split(|&b| b == b' ').map(<[u8]>::to_vec).collect()
}

/// `procscope --format json`, from a mechanism that cannot report everything.
pub fn procscope(text: &[u8]) -> ByPid {
    let mut all = ByPid::new();
    for line in lines(text) {
        let Ok(seen) = serde_json::from_slice::<Seen>(line) else { continue };
        let Some(pid) = seen.pid else { continue };
        let told = all.entry(pid).or_default();
        match &*seen.event {
            "fork" => told.ppid = seen.ppid,
            "exec" => {
                let argv = seen.arguments();
                let name = argv.as_ref().and_then(|argv| argv.first().cloned());
                told.exec = name
                    .or_else(|| seen.exe.clone().map(String::into_bytes))
                    .map(|name| (name, argv.unwrap_or_default()));
                told.name = seen.name.map(String::into_bytes);
            }
            "exit" => {
                let signal = seen.signal.as_deref().and_then(signal_number).map(Status::Signal);
                told.status = seen.exit_code.map(Status::Code).or(signal);
            }
            _ => {}
        }
    }
    all
}

/// `forkstat -e all`: no marks around arguments, and of a line break no sign, so the rest of one is another line.
///
///     19:09:04 fork  15049 parent          /bin/sh
///     19:09:04 fork  15050 child           /bin/sh
///     19:09:04 exec  15052                 true
///     19:09:04 exit  15052  24064   0.000s true
pub fn forkstat(text: &[u8]) -> ByPid {
    let mut all = ByPid::new();
    let mut parent = None;
    for line in lines(text) {
        let (_, rest) = word(line);
        let (event, rest) = word(rest);
        let (pid, rest) = word(rest);
        let Some(pid) = number(pid) else { continue };
        match event {
            b"fork" => match word(rest).0 {
                b"parent" => parent = Some(pid),
                b"child" => all.entry(pid).or_default().ppid = parent.take(),
                _ => {}
            },
            b"exec" => all.entry(pid).or_default().exec = Some((rest.to_vec(), blanks(rest))),
            b"exit" => {
                let status = number(word(rest).0);
                all.entry(pid).or_default().status = status.map(|raw| match raw & 0x7f {
                    0 => Status::Code(raw >> 8 & 0xff),
                    signal => Status::Signal(signal as u8),
                });
            }
            _ => {}
        }
    }
    all
}

/// `extrace -f -t`: arguments as a shell would quote them.
///
/// ```text
/// 15805+ '/tmp/sp ace' 'it'\''s' 'line'$'\n''break'
/// 15805- '/tmp/sp ace' exited signal=SIGTERM time=0.000s
/// ```
pub fn extrace(text: &[u8]) -> ByPid {
    let mut all = ByPid::new();
    for line in lines(text) {
        let digits = line.iter().take_while(|b| b.is_ascii_digit()).count();
        let (Some(pid), Some(sign)) = (number(&line[..digits]), line.get(digits)) else { continue };
        let rest = line[digits + 1..].trim_ascii_start();
        match sign {
            b'+' => all.entry(pid).or_default().exec = Some((rest.to_vec(), unquote_shell(rest))),
            b'-' => {
                let text = String::from_utf8_lossy(rest);
                let Some((_, end)) = text.rsplit_once(" exited ") else { continue };
                let word = end.split(' ').next().unwrap_or_default();
                let code = || word.strip_prefix("status=")?.parse().ok().map(Status::Code);
                let signal = || word.strip_prefix("signal=").and_then(signal_number).map(Status::Signal);
                all.entry(pid).or_default().status = code().or_else(signal);
            }
            _ => {}
        }
    }
    all
}

/// Undoes a shell's quoting.
fn unquote_shell(text: &[u8]) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' => list.extend(word.take()),
            b'\'' => word.get_or_insert_default().extend(bytes.by_ref().take_while(|b| *b != b'\'')),
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            b'$' if bytes.peek() == Some(&b'\'') => {
                bytes.next();
                let word = word.get_or_insert_default();
                while let Some(byte) = bytes.next().filter(|b| *b != b'\'') {
                    word.extend(if byte == b'\\' { bytes.next().map(escaped) } else { Some(byte) });
                }
            }
            byte => word.get_or_insert_default().push(byte),
        }
    }
    list.extend(word);
    list
}

fn escaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        other => other,
    }
}

/// `execsnoop -q -x` of libbpf-tools: marks around arguments, but a backslash of their own looks like one of the tool's.
///
///     true             14419  14417    0 "/tmp/true" "line\nbreak" "it's"
pub fn execsnoop(text: &[u8]) -> ByPid {
    let mut all = ByPid::new();
    for line in lines(text) {
        // The comm may have blanks, but fills 16 columns.
        let Some((name, rest)) = line.split_at_checked(16) else { continue };
        let (pid, rest) = word(rest);
        let (ppid, rest) = word(rest);
        let (result, rest) = word(rest);
        let (Some(pid), Some(ppid), Some(0)) = (number(pid), number(ppid), number(result)) else { continue };
        let told = all.entry(pid).or_default();
        told.exec = Some((rest.to_vec(), unquote_marks(rest)));
        told.ppid = Some(ppid);
        told.name = Some(name.trim_ascii_end().to_vec());
    }
    all
}

fn unquote_marks(text: &[u8]) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, &mut word) {
            (b'"', None) => word = Some(Vec::new()),
            (b'"', Some(_)) => list.extend(word.take()),
            (b'\\', Some(word)) => match bytes.peek() {
                Some(b'n' | b't' | b'r' | b'"' | b'\\') => word.extend(bytes.next().map(escaped)),
                _ => word.push(byte),
            },
            (_, Some(word)) => word.push(byte),
            (_, None) => {}
        }
    }
    list
}

/// `execsnoop.bt` of bpftrace: no marks, 16 arguments at most.
///
/// ```text
/// 3823       15144 /bin/true it's one
/// ```
pub fn bpftrace(text: &[u8]) -> ByPid {
    let mut all = ByPid::new();
    for line in lines(text) {
        let (time, rest) = word(line);
        let (pid, rest) = word(rest);
        if let (Some(_), Some(pid)) = (number(time), number(pid)) {
            all.entry(pid).or_default().exec = Some((rest.to_vec(), blanks(rest)));
        }
    }
    all
}

/// `perf script -F event,trace` of what `perf record -e 'sched:sched_process_*'` noted: no arguments, no status.
///
/// ```text
/// sched:sched_process_fork: comm=sh pid=49 child_comm=sh child_pid=52
/// sched:sched_process_exec: filename=/tmp/sp ace pid=52 old_pid=52
/// ```
pub fn perf(text: &[u8]) -> ByPid {
    let mut all = ByPid::new();
    for line in lines(text) {
        let line = String::from_utf8_lossy(line);
        let Some((event, rest)) = line.trim_start().split_once(": ") else { continue };
        match event {
            "sched:sched_process_fork" => {
                let Some((rest, child)) = rest.rsplit_once(" child_pid=") else { continue };
                let Some((rest, _)) = rest.rsplit_once(" child_comm=") else { continue };
                let parent = rest.rsplit_once(" pid=").and_then(|(_, pid)| pid.parse().ok());
                let Ok(child) = child.trim_end().parse() else { continue };
                all.entry(child).or_default().ppid = parent;
            }
            "sched:sched_process_exec" => {
                let Some((rest, _)) = rest.rsplit_once(" old_pid=") else { continue };
                let Some((name, pid)) = rest.rsplit_once(" pid=") else { continue };
                let (Some(name), Ok(pid)) = (name.trim_start().strip_prefix("filename="), pid.parse()) else {
                    continue;
                };
                all.entry(pid).or_default().exec = Some((name.as_bytes().to_vec(), Vec::new()));
            }
            _ => {}
        }
    }
    all
}

/// `strace -f -o`: arguments as C would write them.
///
/// ```text
/// 49 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_VFORK|SIGCHLD <unfinished ...>
/// 52 execve("/tmp/sp ace", ["/tmp/sp ace", "line\nbreak"], 0x7ffc /* 1 var */) = 0
/// 49 <... clone resumed>) = 52
/// 52 +++ killed by SIGTERM +++
/// ```
pub fn strace(text: &[u8]) -> ByPid {
    let mut all = ByPid::new();
    for line in lines(text) {
        let (pid, rest) = word(line);
        let Some(pid) = number(pid) else { continue };
        let starts = |words: &[&[u8]]| words.iter().any(|word| rest.starts_with(word));
        if let Some(call) = rest.strip_prefix(b"execve(") {
            // The last of several: the earlier ones failed.
            let mut strings = unquote_c(call).into_iter();
            if let Some(path) = strings.next() {
                all.entry(pid).or_default().exec = Some((path, strings.collect()));
            }
        } else if starts(&[b"clone", b"vfork(", b"fork(", b"<... clone", b"<... vfork", b"<... fork"]) {
            let result = rest.rsplitn(2, |&b| b == b'=').next().and_then(number);
            if let Some(child) = result.filter(|_| !rest.ends_with(b"...>")) {
                all.entry(child).or_default().ppid = Some(pid);
            }
        } else if let Some(end) = rest.strip_prefix(b"+++ ") {
            let end = String::from_utf8_lossy(end);
            let code = end.strip_prefix("exited with ").and_then(|end| end.split(' ').next()?.parse().ok());
            let signal = end.strip_prefix("killed by ").and_then(|end| signal_number(end.split(' ').next()?));
            all.entry(pid).or_default().status = code.map(Status::Code).or(signal.map(Status::Signal));
        }
    }
    all
}

/// The text in quotes, up to the end of the first list.
fn unquote_c(text: &[u8]) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b']' => break,
            b'"' => {
                let mut string = Vec::new();
                while let Some(byte) = bytes.next().filter(|b| *b != b'"') {
                    if byte != b'\\' {
                        string.push(byte);
                        continue;
                    }
                    let mut octal = Vec::new();
                    while octal.len() < 3
                        && let Some(digit) = bytes.next_if(|b| (b'0'..=b'7').contains(b))
                    {
                        octal.push(digit);
                    }
                    if octal.is_empty() {
                        string.extend(bytes.next().map(|byte| match byte {
                            b'v' => 11,
                            b'f' => 12,
                            byte => escaped(byte),
                        }));
                    } else {
                        string.push(
                            octal.iter().fold(0, |value: u8, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')),
                        );
                    }
                }
                list.push(string);
            }
            _ => {}
        }
    }
    list
}

/// auditd's log, in its raw format: an argument that is more than plain text is written in hexadecimal digits, a long one in parts.
///
/// ```text
/// type=SYSCALL msg=audit(1.2:9): arch=c000003e syscall=59 success=yes exit=0 a0=5 ppid=49 pid=52 comm="x" exe="/x"
/// type=EXECVE msg=audit(1.2:9): argc=2 a0="/x" a1=610A
/// ```
pub fn auditd(text: &[u8]) -> ByPid {
    let mut all = ByPid::new();
    // Records of several CPUs' events are mixed.
    let mut pids = HashMap::new();
    for line in lines(text) {
        let line = String::from_utf8_lossy(line);
        let Some((kind, rest)) = line.split_once(" msg=audit(") else { continue };
        let Some((serial, rest)) = rest.split_once("):") else { continue };
        let mut fields = rest.split_ascii_whitespace().filter_map(|field| field.split_once('='));
        match kind {
            "type=SYSCALL" => {
                let of = |key: &str| fields.clone().find(|field| field.0 == key).map(|field| field.1);
                let pid = of("pid").and_then(|pid| pid.parse::<u32>().ok());
                if let Some(pid) = pid.filter(|_| of("success") == Some("yes")) {
                    pids.insert(serial.to_owned(), pid);
                    let told = all.entry(pid).or_default();
                    told.ppid = of("ppid").and_then(|ppid| ppid.parse().ok());
                    told.name = of("comm").map(audited);
                }
            }
            "type=EXECVE" => {
                let Some(pid) = pids.get(serial) else { continue };
                let (text, argv) = all.entry(*pid).or_default().exec.get_or_insert_default();
                // A record for some of them, and another for the rest.
                for (key, value) in fields.by_ref().filter(|(key, _)| *key != "argc" && !key.ends_with("_len")) {
                    let (number, part) =
                        key[1..].split_once('[').map_or((&key[1..], false), |(number, _)| (number, true));
                    let Ok(number) = number.parse::<usize>() else { continue };
                    if number == argv.len() {
                        argv.push(audited(value));
                    } else if part && let Some(argument) = argv.get_mut(number) {
                        argument.extend(audited(value));
                    }
                }
                *text = argv.first().cloned().unwrap_or_default();
            }
            _ => {}
        }
    }
    all
}

fn audited(value: &str) -> Vec<u8> {
    if let Some(plain) = value.strip_prefix('"') {
        return plain.strip_suffix('"').unwrap_or(plain).into();
    }
    let digits: Vec<u32> = value.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
