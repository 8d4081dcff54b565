use jiff::tz::TimeZone;
use procscope::{
    Argv, BootId, Event, EventKind, ExeTraits, ExitStatus, FieldSpec, FieldType, Flaw, ProcessRef, Value, errno_name,
    signal_name,
};

use super::cell::Cell;
use super::columns::{Column, Composed, Shows};
use super::time::{WallClock, human_bytes, human_span};
use procscope_format::quote::{self, Pieces};

/// Fills the cells of the table.
pub(crate) struct Cells {
    clock: WallClock,
    boot: BootId,
}

impl Cells {
    pub(crate) fn new(zone: TimeZone, boot: BootId) -> Self {
        Self { clock: WallClock::new(zone), boot }
    }

    /// Appends the text of a column for an event, and the mark of its flaw.
    ///
    /// `?` is unknown, `-` is absent; ` …[cut]` follows a text that is not whole, and `~` a value
    /// that may have been different at the time of the event. A value inherited at a fork is exact
    /// and has no mark.
    ///
    /// In or for a command, all of these are comments to a shell.
    pub(crate) fn fill(&mut self, column: Column, event: &Event, out: &mut Cell) {
        let flaw = column.flaws().find_map(|field| event.flaw(field).filter(|flaw| flaw.is_incomplete()));
        let is_command = matches!(column.shows, Shows::Composed(Composed::Command));
        let mark = match (is_command, flaw) {
            (_, None) => "",
            (true, Some(_)) if event.argv().is_none() => "",
            (true, Some(Flaw::Truncated)) => " #…[cut]",
            (true, Some(_)) => " #~",
            (false, Some(Flaw::Truncated)) => " …[cut]",
            (false, Some(_)) => "~",
        };
        out.reserve(mark);
        let some = self.value(column, event, out);
        if !some {
            if is_command {
                out.piece("#");
            }
            out.piece(if flaw.is_some() { "?" } else { "-" });
        }
        out.mark(if some { mark } else { "" });
    }

    /// False if there is nothing to show.
    fn value(&mut self, column: Column, event: &Event, out: &mut Cell) -> bool {
        let composed = match column.shows {
            Shows::Field { spec, brief } => return self.field(spec, brief, event, out),
            Shows::Composed(composed) => composed,
        };
        match composed {
            Composed::Time => ascii(out, &self.clock.time(event.time)),
            Composed::Date => ascii(out, &self.clock.date(event.time)),
            Composed::Parent => event.parent().map(|parent| reference(out, parent)).is_some(),
            Composed::Login => event.login().is_some_and(|login| owner(out, login.user.as_deref(), login.uid)),
            Composed::Container => {
                // As many digits as docker prints.
                let id = event.process().and_then(|process| process.container.as_deref()).map(str::as_bytes);
                text(out, id.map(|id| &id[..id.len().min(12)]))
            }
            Composed::Status => status(out, event),
            Composed::Info => {
                info(out, event);
                true
            }
            Composed::Command => command(out, event),
        }
    }

    /// The same for a field alone.
    fn field(&mut self, spec: &FieldSpec, brief: bool, event: &Event, out: &mut Cell) -> bool {
        if spec.of == FieldType::Flaws {
            let all = event.all_flaws().iter().map(|(field, flaw)| format!("{}={}", field.name(), flaw.name()));
            return word(out, Some(all.collect::<Vec<_>>().join(",")).filter(|all| !all.is_empty()));
        }
        let Some(value) = spec.value(event) else { return false };
        match (spec.of, value) {
            (FieldType::Span { .. }, Value::Number(ns)) if brief => word(out, u64::try_from(ns).ok().map(human_span)),
            (FieldType::Size { .. }, Value::Number(size)) if brief => {
                word(out, u64::try_from(size).ok().map(human_bytes))
            }
            (FieldType::Signal, Value::Number(signo)) => word(out, u8::try_from(signo).ok().map(signal_name)),
            (FieldType::Errno, Value::Number(errno)) => word(out, u32::try_from(errno).ok().map(name_of_error)),
            (_, Value::Number(value)) => number(out, Some(value)),
            (_, Value::Text(value)) => text(out, Some(value)),
            (_, Value::Texts(list)) => {
                quote::command(list, out);
                true
            }
            (_, Value::Word(value)) => word(out, Some(value)),
            (_, Value::Owner(name, id)) => owner(out, name, id),
            (_, Value::Truth(truth)) => word(out, Some(truth.to_string())),
            (_, Value::Kind(kind)) => word(out, Some(kind.name())),
            (_, Value::Time(time)) => word(out, Some(rfc3339(time))),
            (_, Value::Id(id)) => word(out, Some(id.display(self.boot).to_string())),
            (_, Value::Tty(tty)) => word(out, Some(tty.to_string())),
            // Objects, whose members are columns of their own; and types of a later library.
            _ => false,
        }
    }
}

fn rfc3339(time: procscope::Timestamp) -> String {
    let mut text = Vec::new();
    procscope_format::time::Rfc3339::new().push(&mut text, time);
    String::from_utf8_lossy(&text).into_owned()
}

fn name_of_error(errno: u32) -> String {
    errno_name(errno).map_or_else(|| format!("E{errno}"), str::to_owned)
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
    let name = event.process().and_then(|process| process.name.as_deref());
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
            return word(out, Some(name_of_error(failure.errno)));
        }
        EventKind::Core(dump) => return word(out, dump.signo.map(signal_name)),
        _ => {}
    }
    match event.exit_status() {
        None => return false,
        Some(status @ ExitStatus::Code(code)) if status.is_nt_status() => word(out, Some(format!("exit {code:#010X}"))),
        Some(ExitStatus::Code(code)) => word(out, Some(format!("exit {code}"))),
        Some(ExitStatus::Signal { signo, core }) => {
            word(out, Some(signal_name(signo)));
            word(out, core.then_some(" core"))
        }
        Some(_) => word(out, Some("?")),
    };
    if let Some(exit) = event.exit() {
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
        EventKind::Exec(_) | EventKind::Start(_) => traits(out, event),
        EventKind::ThreadExit(_) => {
            word(out, event.tid.map(|tid| format!("thread {tid} ")));
            ended(out, event);
        }
        EventKind::Exit(_) => ended(out, event),
        EventKind::ExecFailed(failure) => {
            status(out, event);
            // Shells try one directory after the other; the arguments do not show which.
            let first = event.argv().and_then(Argv::first);
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
            let who = event.credentials();
            let is_user = matches!(event.kind, EventKind::Uid(_));
            let new = who.map(|who| if is_user { (who.uid, who.euid) } else { (who.gid, who.egid) });
            let names = if is_user { ["uid", "euid"] } else { ["gid", "egid"] };
            changed_ids(out, names, [change.old_real, change.old_effective], new);
        }
        EventKind::Sid => {
            let sid = event.process().and_then(|process| process.sid);
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
    let Some(process) = event.process() else { return };
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
