use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::Arc;

use procscope::{Event, EventKind, ExitStatus, Kind, Pid, Process, Summary, Timestamp, signal_name};
use terminal_size::{Height, terminal_size_of};

use super::Options;
use super::statistics::{Counted, Statistics};
use crate::personas::session;
use crate::personas::text::{self, is_kernel_thread, local_clock};
use crate::render::time::WallClock;
use crate::render::{Render, Size};

/// Rows of a screen if standard input is not a terminal.
const ROWS: usize = 25;

/// Prints events as forkstat does.
pub(super) struct Lines {
    options: Options,
    clock: WallClock,
    pid_width: usize,
    /// The heading comes again after this many rows; below 3 never.
    rows: usize,
    row: usize,
    statistics: Option<Statistics>,
    /// The programs of living processes, and whether their arguments are cut, because an exec
    /// counts for the earlier program: bounded by the number of pids. Empty without statistics.
    living: HashMap<Pid, (Arc<Process>, bool)>,
    /// The name of the current process.
    name: Vec<u8>,
    /// How many events were left out because their process group is unknown.
    ungrouped: u64,
}

/// The text left of the name.
struct Row<'a> {
    time: Timestamp,
    event: &'a str,
    pid: Pid,
    process: &'a Process,
    glyph: &'a str,
    /// 6 characters.
    info: &'a str,
    duration: &'a str,
}

impl Lines {
    pub(super) fn new(options: Options) -> Self {
        let rows = terminal_size_of(io::stdin()).map(|(_, Height(rows))| usize::from(rows)).filter(|&rows| rows > 0);
        Self::with(options, local_clock(), pid_digits(), rows.unwrap_or(ROWS))
    }

    fn with(options: Options, clock: WallClock, pid_width: usize, rows: usize) -> Self {
        let statistics = options.statistics.then(Statistics::default);
        Self {
            options,
            clock,
            pid_width,
            rows,
            row: 0,
            statistics,
            living: HashMap::new(),
            name: Vec::new(),
            ungrouped: 0,
        }
    }

    fn heading(&self, out: &mut Vec<u8>) {
        if self.options.quiet {
            return;
        }
        let time = if self.options.exact_time { "Time                         " } else { "Time    " };
        let extra = if self.options.extra { "    UID    EUID TTY    " } else { "" };
        let glyph = if self.options.glyphs { " " } else { "" };
        let _ = writeln!(out, "{time} Event {:>1$} {extra}{glyph}Info   Duration Process", "PID", self.pid_width);
    }

    fn next_row(&mut self, out: &mut Vec<u8>) {
        self.row += 1;
        if self.rows > 2 && self.row >= self.rows {
            self.heading(out);
            self.row = 2;
        }
    }

    fn time(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        if self.options.exact_time {
            out.extend_from_slice(&self.clock.date(time));
            out.push(b' ');
            text::push_clock(out, &mut self.clock, time);
            let _ = write!(out, ".{:09}", time.0.rem_euclid(1_000_000_000));
        } else {
            text::push_clock(out, &mut self.clock, time);
        }
    }

    /// A row with a name at its end, in brackets for a kernel thread.
    fn row(&mut self, row: &Row<'_>, name: &[u8], out: &mut Vec<u8>) {
        self.next_row(out);
        self.time(row.time, out);
        let _ = write!(out, " {:<5} {:>2$} ", row.event, row.pid, self.pid_width);
        if self.options.extra {
            push_extra(row.process, out);
        }
        if self.options.glyphs {
            out.extend_from_slice(row.glyph.as_bytes());
        }
        let _ = write!(out, "{:>6} {:>8} ", row.info, row.duration);
        let kernel = is_kernel_thread(row.process) && !name.is_empty();
        if kernel {
            out.push(b'[');
        }
        out.extend_from_slice(name);
        if kernel {
            out.push(b']');
        }
        while out.last() == Some(&b' ') {
            out.pop();
        }
        out.push(b'\n');
    }

    fn count(&mut self, counted: Counted) {
        if let Some(statistics) = &mut self.statistics {
            statistics.count(&self.name, counted);
        }
    }

    /// Counts an exec for the program that called it.
    fn count_exec(&mut self, process: &Process, old_name: Option<&[u8]>) {
        let Some(statistics) = &mut self.statistics else { return };
        let mut name = Vec::new();
        let same = |(before, _): &&(Arc<Process>, bool)| {
            before.id.start.zip(process.id.start).is_none_or(|(one, other)| one == other)
        };
        match self.living.get(&process.id.pid).filter(same) {
            Some((before, is_cut)) if !self.options.comm => push_name(&self.options, before, *is_cut, &mut name),
            _ => text::push(&mut name, old_name.unwrap_or(b"<unknown>")),
        }
        statistics.count(&name, Counted::Exec);
    }

    /// Keeps a process's program after an event.
    fn keep(&mut self, event: &Event, process: &Arc<Process>) {
        if self.statistics.is_none() {
            return;
        }
        match event.kind {
            EventKind::Exit(_) => _ = self.living.remove(&process.id.pid),
            _ => _ = self.living.insert(process.id.pid, (Arc::clone(process), text::is_cut(event))),
        }
    }

    fn shows(&self, kind: Kind) -> bool {
        !self.options.quiet && self.options.shows(kind)
    }

    fn is_in_group(&mut self, process: &Process) -> bool {
        match (self.options.group, process.pgid) {
            (None, _) => true,
            (Some(group), Some(pgid)) => group == pgid,
            (Some(_), None) => {
                self.ungrouped += 1;
                false
            }
        }
    }

    fn process_event(&mut self, event: &Event, process: &Process, out: &mut Vec<u8>) {
        if !self.is_in_group(process) {
            return;
        }
        let mut name = std::mem::take(&mut self.name);
        name.clear();
        push_name(&self.options, process, text::is_cut(event), &mut name);
        self.name = name;

        let pid = process.id.pid;
        let tid = event.tid.unwrap_or(pid);
        let row = |event_name, pid, glyph, info, duration| Row {
            time: event.time,
            event: event_name,
            pid,
            process,
            glyph,
            info,
            duration,
        };
        match &event.kind {
            EventKind::Fork(info) => {
                self.count(Counted::Fork);
                if self.shows(Kind::Fork) {
                    let parent = process.parent.as_ref();
                    let ppid = parent.map_or(0, |it| it.id.pid);
                    // The child has its creator's arguments. With CLONE_PARENT that is not the
                    // parent, whose comm is known.
                    if info.creator.as_ref().is_none_or(|it| it.id.pid == ppid) {
                        self.named(&row("fork", ppid, "┬", "parent", ""), out);
                    } else {
                        let mut name = Vec::new();
                        text::push(&mut name, parent.and_then(|it| it.name.as_deref()).unwrap_or(b"<unknown>"));
                        self.row(&row("fork", ppid, "┬", "parent", ""), &name, out);
                    }
                    self.named(&row("fork", pid, "└", "child ", ""), out);
                }
            }
            EventKind::Clone(_) => {
                self.count(Counted::Clone);
                if self.shows(Kind::Clone) {
                    self.named(&row("clone", pid, "┬", "parent", ""), out);
                    self.named(&row("clone", tid, "└", "thread", ""), out);
                }
            }
            EventKind::Exec(exec) => {
                self.count_exec(process, exec.old_name.as_deref());
                if self.shows(Kind::Exec) {
                    self.named(&row("exec", pid, "→", "", ""), out);
                }
            }
            EventKind::Exit(exit) => {
                self.count(Counted::Exit);
                let failed = !exit.status.is_success();
                if failed {
                    self.count(Counted::NonzeroExit);
                }
                if self.shows_exit(failed) {
                    let (info, duration) = (self.status(exit.status), duration(exit.duration_ns));
                    self.named(&row("exit", pid, "⇥", &info, &duration), out);
                }
            }
            EventKind::ThreadExit(exit) => {
                let failed = !exit.status.is_success();
                if self.shows_exit(failed) {
                    let (info, duration) = (self.status(exit.status), duration(exit.duration_ns));
                    self.named(&row("texit", tid, "⇥", &info, &duration), out);
                }
            }
            EventKind::Core(_) => {
                self.count(Counted::Coredump);
                if self.shows(Kind::Core) {
                    self.named(&row("core", tid, "☠", "", ""), out);
                }
            }
            EventKind::Comm(change) => {
                self.count(Counted::Comm);
                if self.shows(Kind::Comm) {
                    let mut names = Vec::new();
                    text::push(&mut names, change.old.as_deref().unwrap_or(b"<unknown>"));
                    names.extend_from_slice(b" -> ");
                    text::push(&mut names, &change.new);
                    self.row(&row("comm", tid, "↻", "", ""), &names, out);
                }
            }
            EventKind::Uid(_) => {
                self.count(Counted::Uid);
                if self.shows(Kind::Uid) {
                    let who = process.credentials.as_deref();
                    let info = owner(who.map(|who| (who.euser.as_deref(), who.euid)));
                    self.named(&row("uid", tid, " ", &info, ""), out);
                }
            }
            EventKind::Gid(_) => {
                self.count(Counted::Uid);
                if self.shows(Kind::Gid) {
                    let who = process.credentials.as_deref();
                    let info = owner(who.map(|who| (who.egroup.as_deref(), who.egid)));
                    self.named(&row("gid", tid, " ", &info, ""), out);
                }
            }
            EventKind::Sid => {
                self.count(Counted::Sid);
                if self.shows(Kind::Sid) {
                    let info = process.sid.map_or_else(|| "?".to_owned(), |sid| sid.to_string());
                    self.named(&row("sid", pid, " ", &info, ""), out);
                }
            }
            EventKind::Ptrace(change) => {
                self.count(Counted::Ptrace);
                if self.shows(Kind::Ptrace) {
                    if change.attach {
                        self.named(&row("ptrce", tid, " ", "attach", ""), out);
                    } else {
                        self.row(&row("ptrce", tid, " ", "detach", ""), b"", out);
                    }
                }
            }
            _ => {}
        }
    }

    /// A row with the process's name.
    fn named(&mut self, row: &Row<'_>, out: &mut Vec<u8>) {
        let name = std::mem::take(&mut self.name);
        self.row(row, &name, out);
        self.name = name;
    }

    fn shows_exit(&self, failed: bool) -> bool {
        !self.options.quiet && (self.options.shows(Kind::Exit) || failed && self.options.shown.failed_exits)
    }

    fn status(&self, status: ExitStatus) -> String {
        match (self.options.status, status) {
            (false, ExitStatus::Code(code)) => (code << 8).to_string(),
            (false, ExitStatus::Signal { signo, core }) => (u32::from(signo) | u32::from(core) << 7).to_string(),
            (true, ExitStatus::Code(code)) => code.to_string(),
            (true, ExitStatus::Signal { signo, core: false }) => signal_name(signo).into_owned(),
            (true, ExitStatus::Signal { signo, core: true }) => format!("{}+core", signal_name(signo)),
            _ => "?".to_owned(),
        }
    }
}

impl Render for Lines {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.heading(out);
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match (&event.kind, event.process.as_deref()) {
            (EventKind::Lost(lost), _) if !self.options.quiet => {
                self.time(event.time, out);
                let _ = writeln!(out, " recv ----- nobufs          ({})", session::told(lost));
            }
            (EventKind::Existing, _) => {}
            (_, Some(process)) => self.process_event(event, process, out),
            _ => {}
        }
        if let Some(process) = &event.process {
            self.keep(event, process);
        }
    }

    fn resize(&mut self, _: Size) {
        if let Some((_, Height(rows @ 1..))) = terminal_size_of(io::stdin()) {
            self.rows = rows.into();
        }
    }

    fn end(&mut self, _: &Summary, out: &mut Vec<u8>) {
        if let Some(statistics) = &self.statistics {
            statistics.report(out);
        }
        if self.ungrouped > 0 {
            let _ = writeln!(out, "\n{} events of processes whose group is not known were left out.", self.ungrouped);
        }
    }
}

/// As in `/proc/sys/kernel/pid_max`, at least 5.
fn pid_digits() -> usize {
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max");
    most.map_or(6, |most| most.bytes().take_while(u8::is_ascii_digit).count().max(5))
}

/// `%7.7s %7.7s %6.6s `: user, effective user, terminal.
fn push_extra(process: &Process, out: &mut Vec<u8>) {
    let who = process.credentials.as_deref();
    let user = owner(who.map(|who| (who.user.as_deref(), who.uid)));
    let euser = owner(who.map(|who| (who.euser.as_deref(), who.euid)));
    let _ = write!(out, "{user:>7.7} {euser:>7.7} ");
    match process.tty {
        Some(tty) => _ = write!(out, "{:<6.6} ", tty.to_string()),
        None => out.extend_from_slice(b"     ? "),
    }
}

fn owner(known: Option<(Option<&str>, u32)>) -> String {
    match known {
        Some((Some(name), _)) => procscope_format::escape::visible(name).into_owned(),
        Some((None, number)) => number.to_string(),
        None => "?".to_owned(),
    }
}

fn push_name(options: &Options, process: &Process, is_cut: bool, out: &mut Vec<u8>) {
    let argv = process.argv.as_deref().filter(|argv| !argv.is_empty() && !options.comm);
    let Some(argv) = argv else {
        let name = process.name.as_deref().unwrap_or(b"<unknown>");
        return push_flat(if options.short { first_word(name) } else { name }, out);
    };
    for (index, argument) in argv.iter().enumerate() {
        let mut argument: &[u8] = argument;
        if index > 0 {
            out.push(b' ');
        } else {
            if options.strip {
                argument = argument.rsplit(|&b| b == b'/').next().unwrap_or_default();
            }
            if options.short {
                argument = first_word(argument);
            }
        }
        push_flat(argument, out);
        if options.short {
            return;
        }
    }
    if is_cut {
        out.extend_from_slice(b" ...");
    }
}

fn first_word(text: &[u8]) -> &[u8] {
    text.split(|b| b" \r\n".contains(b)).next().unwrap_or_default()
}

/// With blanks for line breaks, as in the original.
fn push_flat(text: &[u8], out: &mut Vec<u8>) {
    for (index, piece) in text.split(|b| b"\r\n".contains(b)).enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        text::push(out, piece);
    }
}

/// Up to a minute seconds; then minutes and seconds as `1.300m`, hours and minutes as `1.300h`,
/// both with tenths; then days, weeks and years with thousandths.
fn duration(ns: Option<u64>) -> String {
    const SCALES: [(char, u64, u64); 6] = [
        ('s', 1000, 1),
        ('m', 600, 60),
        ('h', 600, 3600),
        ('d', 1000, 24 * 3600),
        ('w', 1000, 7 * 24 * 3600),
        ('y', 1000, 365 * 24 * 3600),
    ];
    const S: u64 = 1_000_000_000;
    let Some(ns) = ns else { return "unknown".to_owned() };
    let fits = |next: &(char, u64, u64)| ns <= next.2.saturating_mul(S);
    let index = SCALES[1..].iter().position(fits).unwrap_or(SCALES.len() - 1);
    let (letter, base, seconds) = SCALES[index];
    let unit = u128::from(seconds) * u128::from(S);
    // Half a thousandth of the unit is added, because the original rounds.
    let scaled = u128::from(ns) + unit / 2000;
    let (whole, rest) = (scaled / unit, scaled % unit);
    format!("{whole:>3}.{:03}{letter}", rest * u128::from(base) / unit)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::{Options, TABLE};
    use super::*;
    use crate::render::samples;

    fn printed(line: &str) -> String {
        let line = TABLE.parse(line.split_whitespace().map(Into::into)).unwrap();
        let options = Options::read(&line).unwrap();
        let mut lines = Lines::with(options, WallClock::new(TimeZone::UTC), 7, 25);
        let mut text = samples::rendered(&mut lines, &samples::events());
        let mut end = Vec::new();
        lines.end(&Summary::default(), &mut end);
        text += &String::from_utf8(end).unwrap();
        text
    }

    #[test]
    fn every_kind_of_event() {
        insta::assert_snapshot!(
            ["-E", "-X --status -d", "-E -s -d --exact-time", "-E -c", "-e nonzeroexit", "-q"]
                .map(|line| format!("$ forkstat {line}\n{}", printed(line)))
                .join("\n")
        );
    }

    #[test]
    fn an_exec_counts_for_who_called_it() {
        let line = TABLE.parse(["-qs".into()]).unwrap();
        let mut lines = Lines::with(Options::read(&line).unwrap(), WallClock::new(TimeZone::UTC), 7, 25);
        let exec = |old: &[u8]| EventKind::Exec(procscope::ExecInfo { old_name: Some(old.into()), old_tid: None });
        let (before, mut after) = (samples::process(), samples::process());
        after.argv = Some(Arc::new(procscope::Argv::from_strings(["other", "program"])));
        let events = [
            samples::event(1, &before, EventKind::Existing),
            samples::event(2, &after, exec(b"comm")),
            samples::event(3, &after, exec(b"comm")),
        ];
        samples::rendered(&mut lines, &events);
        // An unknown process is shown by its comm.
        lines.living.clear();
        samples::rendered(&mut lines, &events[2..]);
        let mut end = Vec::new();
        lines.end(&Summary::default(), &mut end);
        let text = String::from_utf8(end).unwrap();
        let execs =
            |name: &str| text.lines().find(|line| line.ends_with(name)).map(|line| line[9..17].trim().to_owned());
        assert_eq!(["ls", "other", "comm"].map(execs), ["1", "1", "1"].map(|count| Some(count.to_owned())));
    }

    #[test]
    fn durations_are_forkstats() {
        for (ns, text) in [
            (Some(0), "  0.000s"),
            (Some(1_499_999), "  0.001s"),
            (Some(1_500_000), "  0.002s"),
            (Some(10_003_000_000), " 10.003s"),
            (Some(60_000_000_000), " 60.000s"),
            (Some(90_000_000_000), "  1.300m"),
            (Some(5_400_000_000_000), "  1.300h"),
            (Some(129_600_000_000_000), "  1.500d"),
            (Some(u64::MAX), "584.942y"),
            (None, "unknown"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn a_storm_of_bytes_stays_in_its_line() {
        proptest::proptest!(|(event in samples::any_event())| {
            let options = Options { shown: super::super::Shown { kinds: Some(procscope::EventSet::ALL), failed_exits: true }, ..Options::default() };
            let mut lines = Lines::with(options, WallClock::new(TimeZone::UTC), 5, 1000);
            let mut out = Vec::new();
            lines.event(&event, &mut out);
            let text = String::from_utf8(out).unwrap();
            proptest::prop_assert!(text.lines().count() <= 2);
            proptest::prop_assert!(!text.replace('\n', "").contains(procscope_format::escape::is_unsafe));
        });
    }
}
