//! Which mechanism is the best for what was asked: what each of them says that it can tell decides, and nothing else.

use super::{Mechanism, SOURCES};
use crate::{Capabilities, Field, Kind, Want};

/// The fields that somebody who asks for a kind of event asks it for.
fn fields_of(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Fork => &[Field::Ppid],
        Kind::Exec => &[Field::Ppid, Field::Argv],
        Kind::Exit => &[Field::Status],
        _ => &[],
    }
}

/// How far a mechanism falls short of what was asked: the less the better, what comes first weighs most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Shortfall {
    /// Kinds of event that it does not tell of.
    kinds: usize,
    /// Fields that it has not at all.
    absent: usize,
    /// Fields that it looks up after the event.
    late: usize,
    /// Losses that it does not count.
    uncounted: bool,
}

fn shortfall(can: &Capabilities, want: &Want) -> Shortfall {
    let asked = || want.events.iter().filter(|&kind| kind != Kind::Lost);
    let fields = || asked().filter(|&kind| can.events.contains(kind)).flat_map(|kind| fields_of(kind).iter());
    let has = |fields: &[Field], field| fields.contains(field);
    Shortfall {
        kinds: asked().filter(|&kind| !can.events.contains(kind)).count(),
        absent: fields().filter(|field| !has(can.exact, field) && !has(can.late, field)).count(),
        late: fields().filter(|field| !has(can.exact, field) && has(can.late, field)).count(),
        uncounted: !can.counts_loss,
    }
}

/// The mechanisms, the best for this first; those that watch a command alone are there where there is one. Of equals that comes
/// first which does in [`SOURCES`].
pub(super) fn best_first(want: &Want) -> Vec<&'static dyn Mechanism> {
    let mut all: Vec<_> = SOURCES.to_vec();
    all.retain(|mechanism| want.launch.is_some() || !mechanism.needs_command());
    all.sort_by_key(|mechanism| shortfall(&mechanism.capabilities(), want));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::Launch;
    use crate::{EventSet, SourceId};

    fn order(events: &str, run: bool) -> Vec<SourceId> {
        let launch = run.then(Launch::default);
        let want = Want { events: events.parse().unwrap(), launch, ..Want::default() };
        best_first(&want).into_iter().map(|mechanism| mechanism.id()).collect()
    }

    fn before(events: &str, run: bool, first: SourceId, second: SourceId) {
        let order = order(events, run);
        let at = |id| order.iter().position(|&it| it == id).unwrap();
        assert!(at(first) < at(second), "{events}: {order:?}");
    }

    #[test]
    fn what_was_asked_decides() {
        use SourceId::{ProcPoll, ProcessConnector, Ptrace};
        for events in ["exec,exec-failed,exit", "all", "exit", "fork", "comm", "existing", "clone,thread-exit"] {
            #[cfg(feature = "ebpf")]
            assert_eq!(order(events, false)[0], SourceId::Ebpf, "{events}");
            before(events, false, ProcessConnector, ProcPoll);
            assert!(!order(events, false).contains(&Ptrace));
        }
        before("exec,exec-failed,exit", true, Ptrace, ProcessConnector);
        before("exec", true, Ptrace, ProcessConnector);
        // It does not tell of these.
        before("comm,uid", true, ProcessConnector, Ptrace);
        before("comm,uid", true, ProcPoll, Ptrace);
    }

    #[test]
    fn a_kind_that_is_missing_weighs_most() {
        let kinds = EventSet::NONE.with(Kind::Exec).with(Kind::Exit);
        let want = |events| Want { events, ..Want::default() };
        let mut late = Capabilities::new(kinds);
        late.late = &[Field::Ppid, Field::Argv, Field::Status];
        let mut exact = Capabilities::new(EventSet::NONE.with(Kind::Exit));
        exact.exact = &[Field::Status];
        exact.counts_loss = true;
        assert!(shortfall(&late, &want(kinds)) < shortfall(&exact, &want(kinds)));
        assert!(
            shortfall(&exact, &want(EventSet::NONE.with(Kind::Exit)))
                < shortfall(&late, &want(EventSet::NONE.with(Kind::Exit)))
        );
        // Where nothing else tells them apart.
        let mut counting = late.clone();
        counting.counts_loss = true;
        assert!(shortfall(&counting, &want(kinds)) < shortfall(&late, &want(kinds)));
        assert_eq!(shortfall(&late, &want(kinds)), shortfall(&late, &want(kinds.with(Kind::Lost))));
    }
}
