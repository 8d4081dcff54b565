//! What is compared of two mechanisms, and in which fields two reports of one event differ.

use crate::source::table;
use crate::{Credentials, Event, EventKind, EventSet, ExitStatus, Field, Flaw, Flaws, Kind, Process, SourceId};

/// The kinds that are compared. Each mechanism sees debuggers at another place in the kernel, and a
/// snapshot is of another moment.
pub(crate) const COMPARABLE: EventSet = EventSet::NONE
    .with(Kind::Fork)
    .with(Kind::Clone)
    .with(Kind::Exec)
    .with(Kind::ExecFailed)
    .with(Kind::Exit)
    .with(Kind::ThreadExit)
    .with(Kind::Core)
    .with(Kind::Comm)
    .with(Kind::Uid)
    .with(Kind::Gid)
    .with(Kind::Sid);

/// Those of them of which a sampling mechanism may report one in place of several.
const CHANGES: EventSet = EventSet::NONE.with(Kind::Comm).with(Kind::Uid).with(Kind::Gid).with(Kind::Sid);

/// The kinds that a mechanism has to report.
pub(super) fn comparable(id: SourceId) -> EventSet {
    let capabilities = table::SOURCES.iter().find(|it| it.id() == id).map(|it| it.capabilities());
    let kinds = capabilities.map_or(EventSet::NONE, |it| it.events.intersection(COMPARABLE)).iter();
    let sampled = if counts_loss(id) { EventSet::NONE } else { CHANGES };
    kinds.filter(|&kind| !sampled.contains(kind)).fold(EventSet::NONE, EventSet::with)
}

/// Whether the kernel also reports to this mechanism such a change, which the other one reported.
pub(super) fn is_told(event: &Event, id: SourceId) -> bool {
    let by_connector = id == SourceId::ProcessConnector;
    match event.kind {
        // Only prctl(2) and /proc call `proc_comm_connector`; kernel threads and those of io_uring
        // do not use them.
        EventKind::Comm(_) if by_connector => event.process.as_ref().is_some_and(|process| {
            let is_kthread = process.argv.is_none() && process.flaws.get(Field::Argv).is_none();
            !is_kthread && event.tid == Some(process.id.pid)
        }),
        // `commit_creds` also reports saved and file system ids to the process connector, and user
        // namespaces.
        EventKind::Uid(_) | EventKind::Gid(_) => by_connector,
        _ => true,
    }
}

pub(super) fn counts_loss(id: SourceId) -> bool {
    let capabilities = table::SOURCES.iter().find(|it| it.id() == id).map(|it| it.capabilities());
    capabilities.is_some_and(|capabilities| capabilities.counts_loss)
}

/// The fields that both report as exact, and in which they differ.
pub(super) fn differences(first: &Event, second: &Event) -> Vec<Field> {
    let sure = |flaws: &Flaws, field| matches!(flaws.get(field), None | Some(Flaw::Inherited));
    let (Some(a), Some(b)) = (&first.process, &second.process) else { return Vec::new() };
    let both = |field| sure(&a.flaws, field) && sure(&b.flaws, field);
    let differs = match (&first.kind, &second.kind) {
        (EventKind::Exit(x), EventKind::Exit(y)) => {
            let told = |status| status != ExitStatus::Unknown;
            let both = sure(&first.flaws, Field::Status) && sure(&second.flaws, Field::Status);
            (both && told(x.status) && told(y.status) && x.status != y.status).then_some(Field::Status)
        }
        (EventKind::Core(x), EventKind::Core(y)) => {
            let signals = x.signo.zip(y.signo);
            signals.is_some_and(|(x, y)| x != y).then_some(Field::Status)
        }
        (EventKind::Exec(_), EventKind::Exec(_)) => match (&a.argv, &b.argv) {
            (Some(x), Some(y)) => (both(Field::Argv) && x != y).then_some(Field::Argv),
            _ => None,
        },
        // Later it may change, which the kernel does not report to all.
        (EventKind::Fork(_), EventKind::Fork(_)) => match (&a.parent, &b.parent) {
            (Some(x), Some(y)) => (both(Field::Ppid) && x.id.pid != y.id.pid).then_some(Field::Ppid),
            _ => None,
        },
        (EventKind::Comm(x), EventKind::Comm(y)) => (x.new != y.new).then_some(Field::Name),
        (EventKind::Uid(_), EventKind::Uid(_)) => ids_differ(a, b, |who| (who.uid, who.euid)).then_some(Field::User),
        (EventKind::Gid(_), EventKind::Gid(_)) => ids_differ(a, b, |who| (who.gid, who.egid)).then_some(Field::User),
        _ => None,
    };
    differs.into_iter().collect()
}

/// Changed values are in the record of the change, and exact.
fn ids_differ(a: &Process, b: &Process, ids: impl Fn(&Credentials) -> (u32, u32)) -> bool {
    match (&a.credentials, &b.credentials) {
        (Some(a), Some(b)) => ids(a) != ids(b),
        _ => false,
    }
}
