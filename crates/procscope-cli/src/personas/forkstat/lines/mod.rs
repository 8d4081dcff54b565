mod cells;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::Arc;

use procscope::{Event, EventKind, ExitStatus, Kind, Pid, Process, Summary, Timestamp, signal_name};
use terminal_size::{Height, terminal_size_of};

use cells::{duration, owner, pid_digits, push_extra, push_name};

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
            // A wait status has no room for another code.
            (false, ExitStatus::Code(code @ ..=0xff)) => (code << 8).to_string(),
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
