use jiff::tz::TimeZone;
use procscope::{
    Argv, Credentials, Event, EventKind, ExeTraits, ExitStatus, Flaw, Process, ProcessRef, Usage, errno_name,
    signal_name,
};

use super::cell::Cell;
use super::columns::Column;
use super::time::{WallClock, human_bytes, human_span};
use procscope_format::quote::{self, Pieces};

/// Fills the cells of the table.
pub(crate) struct Cells {
    clock: WallClock,
}

impl Cells {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self { clock: WallClock::new(zone) }
    }

    /// Appends the text of a column for an event, and the mark of its flaw.
    ///
    /// `?` is unknown, `-` is absent; ` …[cut]` follows a text that is not whole, and `~` a value
    /// that may have been different at the time of the event. A value inherited at a fork is exact
    /// and has no mark.
    ///
    /// In or for a command, all of these are comments to a shell.
    pub(crate) fn fill(&mut self, column: Column, event: &Event, out: &mut Cell) {
        let flaw = column.fields().iter().find_map(|&field| event.flaw(field).filter(|flaw| flaw.is_incomplete()));
        let mark = match (column, flaw) {
            (_, None) => "",
            (Column::Command, Some(_)) if event.argv().is_none() => "",
            (Column::Command, Some(Flaw::Truncated)) => " #…[cut]",
            (Column::Command, Some(_)) => " #~",
            (_, Some(Flaw::Truncated)) => " …[cut]",
            (_, Some(_)) => "~",
        };
        out.reserve(mark);
        let some = self.value(column, event, out);
        if !some {
            if column == Column::Command {
                out.piece("#");
            }
            out.piece(if flaw.is_some() { "?" } else { "-" });
        }
        out.mark(if some { mark } else { "" });
    }

    /// False if there is nothing to show.
    fn value(&mut self, column: Column, event: &Event, out: &mut Cell) -> bool {
        let process = event.process.as_deref();
        let credentials = process.and_then(|process| process.credentials.as_deref());
        match column {
            Column::Time => ascii(out, &self.clock.time(event.time)),
            Column::Date => ascii(out, &self.clock.date(event.time)),
            Column::Seq => number(out, Some(event.seq)),
            Column::Event => word(out, Some(event.kind.kind().name())),
            Column::Pid => number(out, process.map(|process| process.id.pid)),
            Column::Ppid => number(out, parent(process).map(|parent| parent.id.pid)),
            Column::Tid => number(out, event.tid),
            Column::Processor => number(out, event.processor),
            Column::Parent => parent(process).map(|parent| reference(out, parent)).is_some(),
            Column::User => user(out, credentials),
            Column::Uid => number(out, credentials.map(|who| who.uid)),
            Column::Euid => number(out, credentials.map(|who| who.euid)),
            Column::Gid => number(out, credentials.map(|who| who.gid)),
            Column::Login => credentials
                .and_then(|who| who.login.as_ref())
                .is_some_and(|login| owner(out, login.user.as_deref(), login.uid)),
            Column::Sid => number(out, process.and_then(|process| process.sid)),
            Column::Pgid => number(out, process.and_then(|process| process.pgid)),
            Column::Tty => word(out, process.and_then(|process| process.tty).map(|tty| tty.to_string())),
            Column::Name => text(out, event.name()),
            Column::Exe => text(out, process.and_then(|process| process.exe.as_deref())),
            Column::Path => text(out, event.path()),
            Column::Cwd => text(out, process.and_then(|process| process.cwd.as_deref())),
            Column::Cgroup => text(out, process.and_then(|process| process.cgroup.as_deref()).map(str::as_bytes)),
            Column::Container => {
                // As many digits as docker prints.
                let id = process.and_then(|process| process.container.as_deref()).map(str::as_bytes);
                text(out, id.map(|id| &id[..id.len().min(12)]))
            }
            Column::Unit => text(out, process.and_then(|process| process.unit.as_deref()).map(str::as_bytes)),
            Column::Status => status(out, event),
            Column::Duration => word(out, event.duration_ns().map(human_span)),
            Column::Cpu => word(out, usage(event).and_then(Usage::cpu_ns).map(human_span)),
            Column::UserTime => word(out, usage(event).and_then(|usage| usage.user_ns).map(human_span)),
            Column::SystemTime => word(out, usage(event).and_then(|usage| usage.system_ns).map(human_span)),
            Column::Rss => word(out, usage(event).and_then(|usage| usage.max_rss_bytes).map(human_bytes)),
            Column::Read => word(out, usage(event).and_then(|usage| usage.read_bytes).map(human_bytes)),
            Column::Write => word(out, usage(event).and_then(|usage| usage.write_bytes).map(human_bytes)),
            Column::Info => {
                info(out, event);
                true
            }
            Column::Source => word(out, Some(event.source.name())),
            Column::Flaws => {
                let all = event.all_flaws().map(|(field, flaw)| format!("{}={}", field.name(), flaw.name()));
                word(out, Some(all.collect::<Vec<_>>().join(",")).filter(|all| !all.is_empty()))
            }
            Column::Command => command(out, event),
        }
    }
}

fn parent(process: Option<&Process>) -> Option<&ProcessRef> {
    process?.parent.as_ref()
}

fn usage(event: &Event) -> Option<&Usage> {
    match &event.kind {
        EventKind::Exit(exit) => Some(&exit.usage),
        _ => None,
    }
}

fn ascii(out: &mut Cell, text: &[u8]) -> bool {
    word(out, std::str::from_utf8(text).ok())
}

/// Appends words of our own, which contain nothing unsafe.
fn word(out: &mut Cell, word: Option<impl AsRef<str>>) -> bool {
    word.map(|word| word.as_ref().chars().for_each(|c| out.piece(c.encode_utf8(&mut [0; 4])))).is_some()
}

fn number(out: &mut Cell, number: Option<impl itoa::Integer>) -> bool {
    word(out, number.map(|number| itoa::Buffer::new().format(number).to_owned()))
}

fn text(out: &mut Cell, text: Option<&[u8]>) -> bool {
    text.map(|text| quote::text(text, out)).is_some()
}

/// Appends another process as `123 bash`.
fn reference(out: &mut Cell, process: &ProcessRef) {
    number(out, Some(process.id.pid));
    if let Some(name) = &process.name {
        out.piece(" ");
        quote::text(name, out);
    }
}

fn user(out: &mut Cell, who: Option<&Credentials>) -> bool {
    who.is_some_and(|who| owner(out, who.user.as_deref(), who.uid))
}

/// Appends a name, or the number without a name.
fn owner(out: &mut Cell, name: Option<&str>, id: u32) -> bool {
    match name {
        Some(name) => text(out, Some(name.as_bytes())),
        None => number(out, Some(id)),
    }
}

fn command(out: &mut Cell, event: &Event) -> bool {
    if let Some(argv) = event.argv().filter(|argv| !argv.is_empty()) {
        quote::command(argv, out);
        return true;
    }
    if let EventKind::ExecFailed(failure) = &event.kind {
        return failure.path.as_deref().map(|path| quote::program(path, out)).is_some();
    }
    // A kernel thread has no arguments; those of other processes may be unseen.
    let name = event.process.as_ref().and_then(|process| process.name.as_deref());
    name.map(|name| {
        out.piece("#");
        out.piece("[");
        quote::text(name, out);
        out.piece("]");
    })
    .is_some()
}

/// Appends how it ended, or why it did not begin.
fn status(out: &mut Cell, event: &Event) -> bool {
    match &event.kind {
        EventKind::ExecFailed(failure) => {
            let name = errno_name(failure.errno).map(str::to_owned);
            return word(out, Some(name.unwrap_or_else(|| format!("E{}", failure.errno))));
        }
        EventKind::Core(dump) => return word(out, dump.signo.map(signal_name)),
        _ => {}
    }
    match event.exit_status() {
        None => return false,
        Some(ExitStatus::Code(code)) => word(out, Some(format!("exit {code}"))),
        Some(ExitStatus::Signal { signo, core }) => {
            word(out, Some(signal_name(signo)));
            word(out, core.then_some(" core"))
        }
        Some(_) => word(out, Some("?")),
    };
    if let EventKind::Exit(exit) = &event.kind {
        word(out, exit.oom.then_some(" oom"));
        if let Some(killer) = &exit.killer {
            word(out, Some(" by "));
            reference(out, killer);
        }
    }
    true
}

/// Appends the essentials of this kind of event.
fn info(out: &mut Cell, event: &Event) {
    match &event.kind {
        EventKind::Fork(fork) => _ = word(out, fork.call.map(|call| call.name())),
        EventKind::Clone(_) => _ = word(out, event.tid.map(|tid| format!("thread {tid}"))),
        EventKind::Exec(_) => traits(out, event),
        EventKind::ThreadExit(_) => {
            word(out, event.tid.map(|tid| format!("thread {tid} ")));
            ended(out, event);
        }
        EventKind::Exit(_) => ended(out, event),
        EventKind::ExecFailed(failure) => {
            status(out, event);
            // Shells try one directory after the other; the arguments do not show which.
            let first = failure.argv.as_deref().and_then(Argv::first);
            if let (Some(path), Some(first)) = (&failure.path, first)
                && *first != path[..]
            {
                out.piece(" ");
                quote::text(path, out);
            }
        }
        EventKind::Core(_) => _ = status(out, event),
        EventKind::Comm(change) => {
            match &change.old {
                Some(old) => quote::text(old, out),
                None => out.piece("?"),
            }
            word(out, Some(" -> "));
            quote::text(&change.new, out);
        }
        EventKind::Uid(change) | EventKind::Gid(change) => {
            let who = event.process.as_ref().and_then(|process| process.credentials.as_deref());
            let is_user = matches!(event.kind, EventKind::Uid(_));
            let new = who.map(|who| if is_user { (who.uid, who.euid) } else { (who.gid, who.egid) });
            let names = if is_user { ["uid", "euid"] } else { ["gid", "egid"] };
            changed_ids(out, names, [change.old_real, change.old_effective], new);
        }
        EventKind::Sid => {
            let sid = event.process.as_ref().and_then(|process| process.sid);
            word(out, sid.map(|sid| format!("session {sid}")));
        }
        EventKind::Ptrace(change) => {
            word(out, Some(if change.attach { "attach" } else { "detach" }));
            if let Some(tracer) = &change.tracer {
                word(out, Some(" by "));
                reference(out, tracer);
            }
        }
        _ => {}
    }
}

fn ended(out: &mut Cell, event: &Event) {
    status(out, event);
    word(out, event.duration_ns().map(|ns| format!(", {}", human_span(ns))));
}

fn traits(out: &mut Cell, event: &Event) {
    let Some(process) = &event.process else { return };
    let mut before = "";
    for (one, name) in [
        (ExeTraits::MEMFD, "memfd"),
        (ExeTraits::DELETED, "deleted"),
        (ExeTraits::SETUID, "setuid"),
        (ExeTraits::SETGID, "setgid"),
    ] {
        if process.exe_traits.contains(one) {
            word(out, Some(before));
            word(out, Some(name));
            before = " ";
        }
    }
}

/// Appends `uid 0 -> 1000, euid 0 -> 1000`, as far as they changed.
fn changed_ids(out: &mut Cell, names: [&str; 2], old: [Option<u32>; 2], new: Option<(u32, u32)>) {
    let mut before = "";
    for (index, name) in names.into_iter().enumerate() {
        let new = new.map(|(real, effective)| if index == 0 { real } else { effective });
        if old[index] == new {
            continue;
        }
        let [old, new] = [old[index], new].map(|id| id.map_or_else(|| "?".to_owned(), |id| id.to_string()));
        word(out, Some(format!("{before}{name} {old} -> {new}")));
        before = ", ";
    }
}
