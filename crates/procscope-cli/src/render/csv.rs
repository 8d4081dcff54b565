use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use bstr::ByteSlice as _;
use csv::{ByteRecord, Writer, WriterBuilder};
use procscope::{
    BootId, Credentials, Event, EventKind, Exit, ExitStatus, ForkInfo, Login, Lost, Process, ProcessRef, PtraceChange,
    Usage, errno_name, signal_name,
};

use super::time::Rfc3339;
use super::{Render, argv, duration_ns, exit_status, flaws, name, path, push_number, quote};

/// What the cells of a row are made from.
struct Row<'a> {
    event: &'a Event,
    boot: BootId,
    time: Vec<u8>,
}

type Fill = fn(&Row<'_>, &mut Vec<u8>);

/// The columns, always all of them and in this order. A cell without a value is empty.
const COLUMNS: &[(&str, Fill)] = &[
    ("seq", |row, out| push_number(out, row.event.seq)),
    ("time", |row, out| out.extend_from_slice(&row.time)),
    ("event", |row, out| word(out, Some(row.event.kind.kind().name()))),
    ("id", |row, out| word(out, row.process().map(|p| p.id.display(row.boot)))),
    ("pid", |row, out| number(out, row.process().map(|p| p.id.pid))),
    ("ppid", |row, out| number(out, row.parent().map(|p| p.id.pid))),
    ("tid", |row, out| number(out, row.event.tid)),
    ("processor", |row, out| number(out, row.event.processor)),
    ("parent_name", |row, out| text(out, row.parent().and_then(|p| p.name.as_deref()))),
    ("parent_id", |row, out| word(out, row.parent().map(|p| p.id.display(row.boot)))),
    ("name", |row, out| text(out, name(row.event))),
    ("old_name", |row, out| text(out, row.old_name())),
    ("path", |row, out| text(out, path(row.event))),
    ("exe", |row, out| text(out, row.process().and_then(|p| p.exe.as_deref()))),
    ("interpreter", |row, out| text(out, row.own_program().and_then(|p| p.interpreter.as_deref()))),
    ("command", |row, out| argv(row.event).into_iter().for_each(|argv| quote::command(argv, out))),
    ("cwd", |row, out| text(out, row.process().and_then(|p| p.cwd.as_deref()))),
    ("uid", |row, out| number(out, row.who().map(|who| who.uid))),
    ("user", |row, out| text(out, row.who().and_then(|who| who.user.as_deref()).map(str::as_bytes))),
    ("euid", |row, out| number(out, row.who().map(|who| who.euid))),
    ("euser", |row, out| text(out, row.who().and_then(|who| who.euser.as_deref()).map(str::as_bytes))),
    ("gid", |row, out| number(out, row.who().map(|who| who.gid))),
    ("group", |row, out| text(out, row.who().and_then(|who| who.group.as_deref()).map(str::as_bytes))),
    ("egid", |row, out| number(out, row.who().map(|who| who.egid))),
    ("egroup", |row, out| text(out, row.who().and_then(|who| who.egroup.as_deref()).map(str::as_bytes))),
    ("loginuid", |row, out| number(out, row.login().map(|login| login.uid))),
    ("login_user", |row, out| text(out, row.login().and_then(|login| login.user.as_deref()).map(str::as_bytes))),
    ("audit_session", |row, out| number(out, row.login().and_then(|login| login.session))),
    ("sid", |row, out| number(out, row.process().and_then(|p| p.sid))),
    ("pgid", |row, out| number(out, row.process().and_then(|p| p.pgid))),
    ("tty", |row, out| word(out, row.process().and_then(|p| p.tty))),
    ("cgroup", |row, out| text(out, row.process().and_then(|p| p.cgroup.as_deref()).map(str::as_bytes))),
    ("container", |row, out| text(out, row.process().and_then(|p| p.container.as_deref()).map(str::as_bytes))),
    ("unit", |row, out| text(out, row.process().and_then(|p| p.unit.as_deref()).map(str::as_bytes))),
    ("ns_pid", |row, out| number(out, row.process().and_then(|p| p.ns_pid))),
    ("call", |row, out| word(out, row.fork().and_then(|fork| fork.call).map(|call| call.name()))),
    ("flags", |row, out| number(out, row.fork().and_then(|fork| fork.flags))),
    ("creator_pid", |row, out| number(out, row.fork().and_then(|fork| fork.creator.as_ref()).map(|c| c.id.pid))),
    ("creator_tid", |row, out| number(out, row.fork().and_then(|fork| fork.creator_tid))),
    ("errno", |row, out| word(out, row.errno())),
    ("exit_code", |row, out| number(out, row.exit_code())),
    ("signal", |row, out| word(out, row.signal().map(signal_name))),
    ("core", |row, out| word(out, row.core())),
    ("oom", |row, out| word(out, row.exit().map(|exit| exit.oom))),
    ("killer_pid", |row, out| number(out, row.killer().map(|killer| killer.id.pid))),
    ("killer_name", |row, out| text(out, row.killer().and_then(|killer| killer.name.as_deref()))),
    ("duration_ns", |row, out| number(out, duration_ns(row.event))),
    ("user_ns", |row, out| number(out, row.usage().and_then(|usage| usage.user_ns))),
    ("system_ns", |row, out| number(out, row.usage().and_then(|usage| usage.system_ns))),
    ("max_rss_bytes", |row, out| number(out, row.usage().and_then(|usage| usage.max_rss_bytes))),
    ("read_bytes", |row, out| number(out, row.usage().and_then(|usage| usage.read_bytes))),
    ("write_bytes", |row, out| number(out, row.usage().and_then(|usage| usage.write_bytes))),
    ("rchar", |row, out| number(out, row.usage().and_then(|usage| usage.rchar))),
    ("wchar", |row, out| number(out, row.usage().and_then(|usage| usage.wchar))),
    ("nvcsw", |row, out| number(out, row.usage().and_then(|usage| usage.nvcsw))),
    ("nivcsw", |row, out| number(out, row.usage().and_then(|usage| usage.nivcsw))),
    ("minflt", |row, out| number(out, row.usage().and_then(|usage| usage.minflt))),
    ("majflt", |row, out| number(out, row.usage().and_then(|usage| usage.majflt))),
    ("thread_name", |row, out| text(out, row.thread_name())),
    ("old_uid", |row, out| number(out, row.old_uids()[0])),
    ("old_euid", |row, out| number(out, row.old_uids()[1])),
    ("old_gid", |row, out| number(out, row.old_gids()[0])),
    ("old_egid", |row, out| number(out, row.old_gids()[1])),
    ("ptrace", |row, out| word(out, row.ptrace().map(|change| if change.attach { "attach" } else { "detach" }))),
    ("tracer_pid", |row, out| number(out, row.tracer().map(|tracer| tracer.id.pid))),
    ("tracer_name", |row, out| text(out, row.tracer().and_then(|tracer| tracer.name.as_deref()))),
    ("count", |row, out| number(out, row.lost().map(Lost::total))),
    ("lost", |row, out| {
        pairs(out, row.lost().into_iter().flat_map(Lost::iter).map(|(kind, count)| (kind.name(), count)));
    }),
    ("source", |row, out| word(out, Some(row.event.source.name()))),
    ("flaws", |row, out| pairs(out, flaws(row.event).map(|(field, flaw)| (field.name(), flaw.name())))),
];

impl Row<'_> {
    fn process(&self) -> Option<&Process> {
        self.event.process.as_deref()
    }

    /// The process where what it runs is what the event is about.
    fn own_program(&self) -> Option<&Process> {
        self.process().filter(|_| !matches!(self.event.kind, EventKind::ExecFailed(_)))
    }

    fn parent(&self) -> Option<&ProcessRef> {
        self.process()?.parent.as_ref()
    }

    fn who(&self) -> Option<&Credentials> {
        self.process()?.credentials.as_deref()
    }

    fn login(&self) -> Option<&Login> {
        self.who()?.login.as_ref()
    }

    fn old_name(&self) -> Option<&[u8]> {
        match &self.event.kind {
            EventKind::Exec(exec) => exec.old_name.as_deref(),
            EventKind::Comm(change) => change.old.as_deref(),
            _ => None,
        }
    }

    fn fork(&self) -> Option<&ForkInfo> {
        match &self.event.kind {
            EventKind::Fork(fork) | EventKind::Clone(fork) => Some(fork),
            _ => None,
        }
    }

    fn errno(&self) -> Option<String> {
        match &self.event.kind {
            EventKind::ExecFailed(failure) => {
                Some(errno_name(failure.errno).map_or_else(|| format!("E{}", failure.errno), str::to_owned))
            }
            _ => None,
        }
    }

    fn signal(&self) -> Option<u8> {
        match (&self.event.kind, exit_status(self.event)) {
            (EventKind::Core(dump), _) => dump.signo,
            (_, Some(ExitStatus::Signal { signo, .. })) => Some(signo),
            _ => None,
        }
    }

    fn exit_code(&self) -> Option<u32> {
        match exit_status(self.event)? {
            ExitStatus::Code(code) => Some(code),
            _ => None,
        }
    }

    fn core(&self) -> Option<bool> {
        match exit_status(self.event)? {
            ExitStatus::Signal { core, .. } => Some(core),
            _ => None,
        }
    }

    fn exit(&self) -> Option<&Exit> {
        match &self.event.kind {
            EventKind::Exit(exit) => Some(exit),
            _ => None,
        }
    }

    fn killer(&self) -> Option<&ProcessRef> {
        self.exit()?.killer.as_ref()
    }

    fn usage(&self) -> Option<&Usage> {
        Some(&self.exit()?.usage)
    }

    fn thread_name(&self) -> Option<&[u8]> {
        match &self.event.kind {
            EventKind::ThreadExit(exit) => exit.thread_name.as_deref(),
            _ => None,
        }
    }

    fn old_uids(&self) -> [Option<u32>; 2] {
        match &self.event.kind {
            EventKind::Uid(change) => [change.old_real, change.old_effective],
            _ => [None; 2],
        }
    }

    fn old_gids(&self) -> [Option<u32>; 2] {
        match &self.event.kind {
            EventKind::Gid(change) => [change.old_real, change.old_effective],
            _ => [None; 2],
        }
    }

    fn ptrace(&self) -> Option<&PtraceChange> {
        match &self.event.kind {
            EventKind::Ptrace(change) => Some(change),
            _ => None,
        }
    }

    fn tracer(&self) -> Option<&ProcessRef> {
        self.ptrace()?.tracer.as_ref()
    }

    fn lost(&self) -> Option<&Lost> {
        match &self.event.kind {
            EventKind::Lost(lost) => Some(lost),
            _ => None,
        }
    }
}

fn number(out: &mut Vec<u8>, number: Option<impl itoa::Integer>) {
    number.into_iter().for_each(|number| push_number(out, number));
}

/// Appends words of ours. Writing to a Vec does not fail.
fn word(out: &mut Vec<u8>, word: Option<impl std::fmt::Display>) {
    word.into_iter().for_each(|word| _ = write!(out, "{word}"));
}

fn text(out: &mut Vec<u8>, text: Option<&[u8]>) {
    text.into_iter().for_each(|text| quote::text(text, out));
}

/// Appends `a=1 b=2`.
fn pairs(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'static str, impl std::fmt::Display)>) {
    for (index, (key, value)) in pairs.enumerate() {
        word(out, Some(format_args!("{}{key}={value}", if index > 0 { " " } else { "" })));
    }
}

/// Writes events as comma-separated values: RFC 4180, but with a line feed alone at the end of a line.
pub(crate) struct Csv {
    boot: BootId,
    header: bool,
    safe: bool,
    time: Rfc3339,
    cell: Vec<u8>,
    record: ByteRecord,
    writer: Writer<Tap>,
    written: Tap,
}

impl Csv {
    pub(crate) fn new(boot: BootId, header: bool) -> Self {
        let written = Tap::default();
        let writer = WriterBuilder::new().from_writer(written.clone());
        let (time, cell, record) = (Rfc3339::new(), Vec::new(), ByteRecord::new());
        Self { boot, header, safe: false, time, cell, record, writer, written }
    }

    /// Where `safe`, no cell is a formula to a spreadsheet: see [`is_formula`].
    pub(crate) fn safe(self, safe: bool) -> Self {
        Self { safe, ..self }
    }

    /// Moves the record to the buffer. The writer's own end is a Vec, which takes everything.
    fn write_record(&mut self, out: &mut Vec<u8>) {
        let _ = self.writer.write_byte_record(&self.record);
        let _ = self.writer.flush();
        out.append(&mut self.written.0.borrow_mut());
        self.record.clear();
    }
}

impl Render for Csv {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.header {
            self.record.extend(COLUMNS.iter().map(|(name, _)| name));
            self.write_record(out);
        }
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let mut time = Vec::with_capacity(30);
        self.time.push(&mut time, event.time);
        let row = Row { event, boot: self.boot, time };
        for (_, fill) in COLUMNS {
            self.cell.clear();
            fill(&row, &mut self.cell);
            if self.safe && is_formula(&self.cell) {
                self.cell.insert(0, b'\'');
            }
            self.record.push_field(&self.cell);
        }
        self.write_record(out);
        // One huge argument must not hold its memory for ever.
        if self.cell.capacity() > 1 << 16 {
            self.cell = Vec::new();
            self.record = ByteRecord::new();
            self.written.0.replace(Vec::new());
        }
    }
}

/// Whether a spreadsheet may compute a cell in place of showing it: by its first character (OWASP, "CSV Injection"), in full width too. Numbers
/// of ours have no sign, and TAB and CR stand as `$'\t'` and `$'\r'`.
fn is_formula(cell: &[u8]) -> bool {
    let first = cell.chars().next();
    first.is_some_and(|first| "=+-@\t\r\n\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(first))
}

/// The end of the csv writer, which does not let go of what it writes to.
#[derive(Clone, Default)]
struct Tap(Rc<RefCell<Vec<u8>>>);

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::escape::is_unsafe;
    use super::super::samples::{self, BOOT};
    use super::*;

    fn read(text: &str) -> Vec<csv::StringRecord> {
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes())
            .records()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn every_kind_of_event() {
        let text = samples::rendered(&mut Csv::new(BOOT, true), &samples::events());
        let rows = read(&text);
        assert!(rows.iter().all(|row| row.len() == COLUMNS.len()));
        assert_eq!(rows[0].iter().collect::<Vec<_>>(), COLUMNS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_column_is_filled_by_some_event() {
        let rows = read(&samples::rendered(&mut Csv::new(BOOT, true), &samples::events()));
        for (index, (name, _)) in COLUMNS.iter().enumerate() {
            assert!(rows[1..].iter().any(|row| !row[index].is_empty()), "{name} is always empty");
        }
    }

    #[test]
    fn the_documentation_has_every_column_in_order() {
        let page = include_str!("../../../../docs/cli.md");
        let list = COLUMNS.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" ");
        assert!(page.split_whitespace().collect::<Vec<_>>().join(" ").contains(&list), "{list}");
    }

    #[test]
    fn the_header_can_be_left_out() {
        assert_eq!(samples::rendered(&mut Csv::new(BOOT, false), &[]), "");
    }

    #[test]
    fn a_spreadsheet_computes_nothing_where_it_must_not() {
        let mut process = samples::odd_process();
        process.name = Some(procscope::Name::from_comm(b"@SUM(1+1)\0\0\0\0\0\0\0"));
        process.argv = Some(std::sync::Arc::new(procscope::Argv::from_strings(["-bash", "=1"])));
        process.path = Some(b"=cmd|calc"[..].into());
        process.exe = Some("\u{ff1d}1".as_bytes().into());
        process.cwd = Some(b"\t=1"[..].into());
        let event = samples::event(1, &process, samples::kinds().swap_remove(5));
        let row = |safe| {
            let text = samples::rendered(&mut Csv::new(BOOT, false).safe(safe), std::slice::from_ref(&event));
            let cell = |name| COLUMNS.iter().position(|(column, _)| *column == name).unwrap();
            let row = read(&text).remove(0);
            ["name", "command", "path", "exe", "cwd", "pid"].map(|name| row[cell(name)].to_owned())
        };
        let (plain, safe) = (row(false), row(true));
        assert_eq!(plain[..5], ["@SUM(1+1)", "-bash =1", "=cmd|calc", "\u{ff1d}1", "$'\\t=1'"]);
        assert_eq!(safe[..5], ["'@SUM(1+1)", "'-bash =1", "'=cmd|calc", "'\u{ff1d}1", "$'\\t=1'"]);
        assert_eq!(plain[5], safe[5]);
    }

    proptest! {
        #[test]
        fn any_event_is_one_safe_row(event in samples::any_event()) {
            let text = samples::rendered(&mut Csv::new(BOOT, false), &[event]);
            prop_assert!(!text.trim_end_matches('\n').contains(is_unsafe));
            let rows = read(&text);
            prop_assert_eq!(rows.len(), 1);
            prop_assert_eq!(rows[0].len(), COLUMNS.len());
        }
    }
}
