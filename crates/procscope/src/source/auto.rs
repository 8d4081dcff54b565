//! The best mechanism for a request: only what each says that it can report decides.

use super::Mechanism;
use crate::{Capabilities, Field, Kind, Want};

/// The fields that a user of a kind of event wants.
fn fields_of(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Fork => &[Field::Ppid],
        Kind::Exec => &[Field::Ppid, Field::Argv],
        Kind::Exit => &[Field::Status],
        _ => &[],
    }
}

/// How far a mechanism falls short of the request: less is better, the first field weighs most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Shortfall {
    /// Kinds of event that it does not report.
    kinds: usize,
    /// Fields that it lacks.
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

/// The mechanisms, the best for this first; those that watch only a command are included if there
/// is one. Among equals their order decides.
pub(super) fn best_first(all: &[&'static dyn Mechanism], want: &Want) -> Vec<&'static dyn Mechanism> {
    let mut all = all.to_vec();
    all.retain(|mechanism| want.launch.is_some() || !mechanism.needs_command());
    all.sort_by_key(|mechanism| shortfall(&mechanism.capabilities(), want));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::Launch;
    use crate::source::table::SOURCES;
    use crate::{EventSet, SourceId};

    fn order(events: &str, run: bool) -> Vec<SourceId> {
        let launch = run.then(Launch::default);
        let want = Want { events: events.parse().unwrap(), launch, ..Want::default() };
        best_first(SOURCES, &want).into_iter().map(|mechanism| mechanism.id()).collect()
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
        // It does not report these.
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
        // If nothing else distinguishes them.
        let mut counting = late.clone();
        counting.counts_loss = true;
        assert!(shortfall(&counting, &want(kinds)) < shortfall(&late, &want(kinds)));
        assert_eq!(shortfall(&late, &want(kinds)), shortfall(&late, &want(kinds.with(Kind::Lost))));
    }
}
