use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use procscope::{Event, Monitor, Timestamp};
use regex::bytes::Regex;

use super::maps::{Holds, Set};
use super::{Arguments, STYLE_HELP, comm, pattern, ppid, returned, uid, wanted};
use crate::output::say;
use crate::personas::options::{
    Grammar, Line, NO_PROGRAM, Opt, Refusal, Table, as_id, both, leading_number, long, path,
};
use crate::personas::session::{Watch, note_path};
use crate::personas::text::{self, local_clock};
use crate::render::Render;
use crate::render::time::WallClock;
use crate::values::parse_user;
use procscope_format::escape::visible;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Time,
    Timestamp,
    Fails,
    CgroupMap,
    MountMap,
    Uid,
    Quote,
    Name,
    Line,
    PrintUid,
    PrintCpu,
    PrintParent,
    MaxArgs,
    Ppid,
    Cgroup,
    Ebpf,
    Ignored,
    Argv0,
    Style,
}

const ARGV0: Opt<Key> = long(Key::Argv0, "argv0", "The first argument in place of the path");
const STYLE: Opt<Key> = long(Key::Style, "style", STYLE_HELP).takes("STYLE");

pub(super) const BCC: Table<Key> = Table {
    name: "execsnoop",
    about: "Shows execs with their arguments as execsnoop of bcc does",
    usage: "execsnoop [-TtxqUCM] [-u USER] [-n NAME] [-l LINE] [-P PPID]\n                 [--max-args N] [--style STYLE]",
    grammar: Grammar::Argparse,
    original: &[
        both(Key::Time, b'T', "time", "A column with the time: HH:MM:SS"),
        both(Key::Timestamp, b't', "timestamp", "A column with the seconds since the start"),
        both(Key::Fails, b'x', "fails", "Failed execs too"),
        long(Key::CgroupMap, "cgroupmap", "Only cgroups of this pinned BPF map").takes("PATH"),
        long(Key::MountMap, "mntnsmap", "Only mount namespaces of this pinned BPF map").takes("PATH"),
        both(Key::Uid, b'u', "uid", "Only this user, by name or number").takes("USER"),
        both(Key::Quote, b'q', "quote", "Arguments in quotation marks"),
        both(Key::Name, b'n', "name", "Only comms that match this regular expression").takes("NAME"),
        both(Key::Line, b'l', "line", "Only arguments, joined by blanks, that match this one").takes("LINE"),
        both(Key::PrintUid, b'U', "print-uid", "A column with the user's number"),
        both(Key::PrintCpu, b'C', "print-cpu", "A column with the CPU"),
        both(Key::PrintParent, b'M', "print-pcomm", "A column with the parent's comm"),
        long(Key::MaxArgs, "max-args", "At most this many arguments, the program included").takes("N"),
        both(Key::Ppid, b'P', "ppid", "Only children of this process").takes("PPID"),
        long(Key::Ebpf, "ebpf", ""),
    ],
    added: &[ARGV0, STYLE],
    help: &["-h"],
    help_status: 0,
    wrong_status: 2,
    notes: "\
Differs:
  All arguments are shown in full, unless --max-args limits them; '...' means
  that there are more.
  execveat is shown too, and execs by threads other than the first.
  -u 0 works. Times are the kernel's.
  ARGS begins with the path as called, in place of the first argument, as in
  the original; --argv0 shows the argument itself. If the mechanism does not
  know the path, a line says so, and the argument is shown.
  Line breaks are printed as \\n, and characters that could act on a terminal
  as \\x1b.
  '[?]' are arguments that could not be read. Lost events are reported on
  stderr.
  Regular expressions have no look-around and no back-references.
  It needs neither kernel headers nor kprobes.

Examples:
  procscope execsnoop                           every exec
  procscope execsnoop -xTU                      failed ones too, time and user
  procscope execsnoop --style perf-tools -t     columns of perf-tools",
};

pub(super) const LIBBPF: Table<Key> = Table {
    name: "execsnoop",
    about: "Shows execs with their arguments as execsnoop of libbpf-tools does",
    usage: "execsnoop [-TtxqU] [-u USER] [-n NAME] [-l LINE] [-c CGROUP]\n                 [--max-args N] [--style STYLE]",
    grammar: Grammar::Argp,
    original: &[
        both(Key::Time, b'T', "time", "A column with the time: HH:MM:SS"),
        both(Key::Timestamp, b't', "timestamp", "A column with the seconds since the start"),
        both(Key::Fails, b'x', "fails", "Failed execs too"),
        both(Key::Uid, b'u', "uid", "Only this user, by name or number").takes("USER"),
        both(Key::Quote, b'q', "quote", "Arguments in quotation marks"),
        both(Key::Name, b'n', "name", "Only comms that contain this text").takes("NAME"),
        both(Key::Line, b'l', "line", "Only arguments, joined by blanks, that contain this text").takes("LINE"),
        both(Key::PrintUid, b'U', "print-uid", "A column with the user's number"),
        long(Key::MaxArgs, "max-args", "At most this many arguments, the program included").takes("N"),
        both(Key::Ignored, b'v', "verbose", "Accepted: there is no more to show"),
        both(Key::Cgroup, b'c', "cgroup", "Only processes in this cgroup and below").takes("PATH"),
    ],
    added: &[ARGV0, STYLE],
    help: &["-h", "-?"],
    help_status: 0,
    wrong_status: 64,
    notes: "\
Differs:
  All arguments are shown in full, unless --max-args limits them.
  -l tests the arguments, not the comm.
  execveat is shown too, and execs by threads other than the first.
  -u accepts names too; an unknown word counts as 0, as in the original, and a
  line says so. Times are the kernel's. No line ends in a blank.
  ARGS begins with the path as called, in place of the first argument, as in
  the original; --argv0 shows the argument itself. If the mechanism does not
  know the path, a line says so, and the argument is shown.
  Line breaks are printed as \\n, and characters that could act on a terminal
  as \\x1b.
  '[?]' are arguments that could not be read. '?' is an unknown value. Lost
  events are reported on stderr.

Examples:
  procscope execsnoop --style libbpf -xTU       failed ones too, time and user
  procscope execsnoop --style libbpf -q         arguments in quotation marks",
};

/// The text to look for.
#[derive(Clone, Debug)]
enum Find {
    Pattern(Regex),
    Text(Vec<u8>),
}

impl Find {
    fn is_in(&self, text: &[u8]) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.is_match(text),
            Self::Text(part) => bstr::ByteSlice::contains_str(text, part),
        }
    }
}

/// The options.
#[derive(Clone, Debug, Default)]
struct Options {
    libbpf: bool,
    time: bool,
    timestamp: bool,
    fails: bool,
    uid: Option<u32>,
    /// A word that is not a user, and means 0 to the original.
    unknown_user: Option<String>,
    ppid: Option<u32>,
    name: Option<Find>,
    line: Option<Find>,
    print_uid: bool,
    print_cpu: bool,
    print_parent: bool,
    cgroup: Option<Vec<u8>>,
    /// Pinned maps.
    maps: Vec<(Vec<u8>, Holds)>,
    arguments: Arguments,
}

/// A word that is not a user's name, as the originals read it: libbpf-tools' as strtol does, so
/// that any word is a number; bcc's as Python's `int`.
fn number_of_user(libbpf: bool, text: &str) -> Option<i64> {
    if libbpf {
        let number = leading_number(text.as_bytes()).unwrap_or(0);
        return (0..i64::from(u32::MAX)).contains(&number).then_some(number);
    }
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    leading_number(text.replace('_', "").as_bytes()).filter(|_| is_number)
}

impl Options {
    fn read(table: &Table<Key>, line: &Line<Key>) -> Result<Self, Refusal> {
        let libbpf = table.grammar == Grammar::Argp;
        let find = |option: &str, value: &[u8]| {
            if libbpf {
                return Ok(Find::Text(value.to_vec()));
            }
            pattern(table, option, value).map(Find::Pattern)
        };
        let mut it = Self { libbpf, ..Self::default() };
        it.arguments = Arguments { path: true, more: "...", ..Arguments::default() };
        for (key, value) in &line.options {
            let bad = |option: &str, help: &str| table.bad_value(option, &String::from_utf8_lossy(value), help);
            match key {
                Key::Time => it.time = true,
                Key::Timestamp => it.timestamp = true,
                Key::Fails => it.fails = true,
                Key::Uid => {
                    let text = String::from_utf8_lossy(value);
                    it.uid = Some(match (parse_user(&text), number_of_user(libbpf, &text)) {
                        (Ok(uid), _) => uid,
                        (Err(_), Some(number)) => {
                            it.unknown_user = leading_number(value).is_none().then(|| text.into_owned());
                            as_id(number)
                        }
                        (Err(help), None) => return Err(bad("--uid", &help)),
                    });
                }
                Key::Quote => it.arguments.quoted = true,
                Key::Name => it.name = Some(find("--name", value)?),
                Key::Line => it.line = Some(find("--line", value)?),
                Key::PrintUid => it.print_uid = true,
                Key::PrintCpu => it.print_cpu = true,
                Key::PrintParent => it.print_parent = true,
                Key::MaxArgs => {
                    // Its TOTAL_MAX_ARGS.
                    let most = leading_number(value).filter(|most| !libbpf || (1..=60).contains(most));
                    let help = match libbpf {
                        true => "type how many arguments to show, from 1 to 60; the default is all",
                        false => "type how many arguments to show, such as 20",
                    };
                    let most = most.ok_or_else(|| bad("--max-args", help))?;
                    it.arguments.most = Some(usize::try_from(most).unwrap_or(0));
                }
                // The original ignores an empty text.
                Key::Ppid if value.is_empty() => it.ppid = None,
                Key::Ppid => {
                    let pid = leading_number(value).map(as_id);
                    it.ppid = Some(pid.ok_or_else(|| bad("--ppid", "type a process id, such as 1234"))?);
                }
                Key::Cgroup => it.cgroup = Some(value.clone()),
                Key::CgroupMap => it.maps.push((value.clone(), Holds::Cgroups)),
                Key::MountMap => it.maps.push((value.clone(), Holds::Mounts)),
                Key::Ebpf => return Err(Refusal::Said(NO_PROGRAM)),
                Key::Argv0 => it.arguments.path = false,
                Key::Ignored | Key::Style => {}
            }
        }
        if !line.operands.is_empty() {
            return Err(table.wrong("it accepts only options".to_owned()));
        }
        Ok(it)
    }
}

pub(super) fn run(table: &Table<Key>, words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = table.parse(words)?;
    let options = Options::read(table, &line)?;
    let mut builder = Monitor::builder().events(wanted(options.fails)).user_names(false);
    if let Some(uid) = options.uid {
        builder = builder.uid(uid);
    }
    if let Some(cgroup) = &options.cgroup {
        builder = builder.cgroup(path(cgroup.clone()));
    }
    let why = "there is no map: its content is of the present";
    table.refuse_replay(&line.common, !options.maps.is_empty(), why)?;
    let open = |(map, holds): &(Vec<u8>, Holds)| Set::open(&path(map.clone()), *holds);
    let sets = options.maps.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    if let Some(user) = &options.unknown_user {
        say(&format!("procscope: there is no user '{}': as in the original, it counts as 0\n", visible(user)));
    }
    let watch = Watch::new(builder, line.common)?;
    watch.run(|session, _| {
        if options.arguments.path {
            note_path(session.source);
        }
        let mut columns = Columns::new(options, session.attached, local_clock());
        columns.sets = sets;
        Box::new(columns)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints execs in bcc's columns, or libbpf-tools'.
struct Columns {
    options: Options,
    begin: Timestamp,
    clock: WallClock,
    joined: Vec<u8>,
    /// An event has to be in all.
    sets: Vec<Set>,
}

impl Columns {
    fn new(options: Options, begin: Timestamp, clock: WallClock) -> Self {
        Self { options, begin, clock, joined: Vec::new(), sets: Vec::new() }
    }

    fn is_chosen(&mut self, event: &Event) -> bool {
        let it = &self.options;
        if it.ppid.is_some() && it.ppid != ppid(event) || it.name.as_ref().is_some_and(|name| !name.is_in(comm(event)))
        {
            return false;
        }
        if !self.sets.iter_mut().all(|set| set.has(event)) {
            return false;
        }
        let Some(line) = &it.line else { return true };
        self.joined.clear();
        it.arguments.joined(event, &mut self.joined);
        line.is_in(&self.joined)
    }

    /// The width of a pid's column.
    fn pid_width(&self) -> usize {
        if self.options.libbpf { 6 } else { 7 }
    }
}

impl Render for Columns {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let it = &self.options;
        let blank = if it.libbpf { " " } else { "" };
        let width = self.pid_width();
        if it.time {
            let _ = write!(out, "{:<9}", "TIME");
        }
        if it.timestamp {
            let _ = write!(out, "{:<8}{blank}", "TIME(s)");
        }
        if it.print_uid {
            let _ = write!(out, "{:<6}{blank}", "UID");
        }
        let _ = write!(out, "{:<16} {:<width$} ", if it.libbpf { "PCOMM" } else { "COMM" }, "PID");
        if it.print_parent {
            let _ = write!(out, "{:<16} ", "PCOMM");
        }
        let _ = write!(out, "{:<width$} ", "PPID");
        if it.print_cpu {
            let _ = write!(out, "{:<4} ", "CPU");
        }
        let _ = writeln!(out, "{:>3} ARGS", "RET");
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (Some(returned), Some(process)) = (returned(event), event.process.as_deref()) else { return };
        if returned != 0 && !self.options.fails || !self.is_chosen(event) {
            return;
        }
        let width = self.pid_width();
        let it = &self.options;
        if it.time {
            text::push_clock(out, &mut self.clock, event.time);
            out.push(b' ');
        }
        if it.timestamp {
            text::push_elapsed(out, self.begin, event.time);
        }
        if it.print_uid {
            // At least one blank: uids may have 10 digits.
            text::push_known(out, uid(event), 5);
            out.push(b' ');
        }
        text::push_padded(out, comm(event), 16);
        out.push(b' ');
        text::push_known(out, Some(process.id.pid), width);
        out.push(b' ');
        if it.print_parent {
            let parent = process.parent.as_ref().and_then(|parent| parent.name.as_deref());
            text::push_padded(out, parent.unwrap_or(b"?"), 16);
            out.push(b' ');
        }
        text::push_known(out, ppid(event), width);
        out.push(b' ');
        if it.print_cpu {
            text::push_known(out, event.processor, 4);
            out.push(b' ');
        }
        let _ = write!(out, "{returned:>3} ");
        it.arguments.push(event, out);
        out.push(b'\n');
    }
}

/// A renderer with these options of bcc's.
#[cfg(test)]
pub(crate) fn for_test(words: Vec<OsString>, begin: Timestamp, zone: jiff::tz::TimeZone) -> Box<dyn Render> {
    let options = Options::read(&BCC, &BCC.parse(words).unwrap()).unwrap();
    Box::new(Columns::new(options, begin, WallClock::new(zone)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::personas::samples::{execs, words};

    fn printed(table: &Table<Key>, line: &str) -> String {
        let line = table.parse(words(line)).unwrap();
        let options = Options::read(table, &line).unwrap();
        let (begin, events) = execs();
        let mut render = Columns::new(options, begin, WallClock::new(jiff::tz::TimeZone::UTC));
        crate::render::samples::rendered(&mut render, &events)
    }

    #[test]
    fn layouts() {
        let mut text = String::new();
        for line in ["", "-x -TtUCM", "-qx", "--max-args 2", "-n ^l", "-l my.dir", "-P 9", "--argv0"] {
            text += &format!("$ execsnoop {line}\n{}\n", printed(&BCC, line));
        }
        for line in ["", "-xTtU", "-q --max-args=1", "-n s -l dir"] {
            text += &format!("$ execsnoop --style libbpf {line}\n{}\n", printed(&LIBBPF, line));
        }
        insta::assert_snapshot!(text);
    }

    /// The interpreter, its argument and the script's path precede the words of the call.
    #[test]
    fn a_script_is_shown_as_it_was_called() {
        use procscope::{Argv, EventKind, ExecInfo, Field, Flaw};
        use std::sync::Arc;
        let shown = |interpreter: Option<&[u8]>, late: bool, argv: &[&str]| {
            let mut process = crate::render::samples::process();
            process.path = Some((*b"./script").into());
            process.interpreter = interpreter.map(Into::into);
            process.argv = Some(Arc::new(Argv::from_strings(argv)));
            if late {
                process.flaws.mark(Field::Argv, Flaw::ReadLate);
            }
            let kind = EventKind::Exec(ExecInfo::default());
            let event = crate::render::samples::event(1, &process, kind);
            let options = Options::read(&BCC, &BCC.parse(words("")).unwrap()).unwrap();
            let mut render = Columns::new(options, event.time, WallClock::new(jiff::tz::TimeZone::UTC));
            let text = crate::render::samples::rendered(&mut render, &[event]);
            text.lines().nth(1).unwrap()[37..].to_owned()
        };
        let sh = Some(&b"/bin/sh"[..]);
        assert_eq!(shown(sh, false, &["/bin/sh", "./script", "a", "./script"]), "./script a ./script");
        assert_eq!(shown(sh, false, &["/bin/sh", "-e", "./script", "a"]), "./script a");
        // Not a script: the argument is the same by chance.
        assert_eq!(shown(None, false, &["x", "./script", "a"]), "./script ./script a");
        // /proc does not show whether it is one.
        assert_eq!(shown(None, true, &["/bin/sh", "./script", "a"]), "/bin/sh ./script a");
        assert_eq!(shown(None, true, &["x", "a"]), "./script a");
    }

    /// Those of bcc's execsnoop.py and of libbpf-tools' execsnoop.c.
    #[test]
    fn nothing_is_refused_that_the_originals_accept() {
        for line in [
            "-T --time -t --timestamp -x --fails -q --quote -U --print-uid -C --print-cpu -M --print-pcomm",
            "-u 0 --uid root -n main --name=ma.n -l tpkg --line tpkg --max-args 5 -P 181 --ppid 181",
            "-Ttn mount --print-u --print-c --print-p --fail --li x",
            "-Uu1000 -n=x --max-args=0",
            "--max-args -1 -u -1 -u 1_000 -u 99999999999 -P -1 --ppid= -P0",
        ] {
            assert!(Options::read(&BCC, &BCC.parse(words(line)).unwrap()).is_ok(), "{line}");
        }
        for line in [
            "-T --time -t --timestamp -x --fails -q --quote -U --print-uid -v --verbose",
            "-u 0 --uid=1000 -n main --name=main -l tpkg --line=x --max-args=60 -c /sys/fs/cgroup --cgroup=/x",
            "--c /x --na x --ver -TtxUqvn main",
            "-u abc -u 12abc --uid= -u 4294967294",
        ] {
            assert!(Options::read(&LIBBPF, &LIBBPF.parse(words(line)).unwrap()).is_ok(), "{line}");
        }
        let refused = ["-u -1", "-u 4294967295", "-u 99999999999"].into_iter();
        let refused = refused.chain(["x", "0", "61", "-1", "99999999999999999999"].map(|most| {
            let line: &str = Box::leak(format!("--max-args {most}").into_boxed_str());
            line
        }));
        let refused = refused.map(|line| (&LIBBPF, line)).chain([(&BCC, "-u no-such-user"), (&BCC, "x")]);
        for (table, line) in refused {
            let read = table.parse(words(line)).and_then(|line| Options::read(table, &line).map(|_| ()));
            assert!(matches!(read, Err(Refusal::Wrong(_, status)) if status == table.wrong_status), "{line}");
        }
    }
}
