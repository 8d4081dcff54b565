use crate::proc::timens::Offsets;
use crate::{Field, Flaw, Flaws, Process, SourceId, Timestamp};

/// Turns the kernel's time since boot into wall time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// CLOCK_REALTIME minus CLOCK_BOOTTIME, ns.
    offset_ns: i64,
    /// The addition of the time namespace in which it was read.
    namespace: Offsets,
    /// That is unknown: the times are by the namespace's clock.
    shifted: bool,
}

impl Clock {
    /// Two readings of the same moment, ns. Renew them now and then, because people set clocks.
    pub(crate) fn new(real_ns: i64, boot_ns: u64) -> Self {
        Self { offset_ns: real_ns.saturating_sub_unsigned(boot_ns), ..Self::default() }
    }

    /// The namespace in which both were read, as far as it is known.
    pub(crate) fn read_in(self, namespace: Offsets, known: bool) -> Self {
        Self { namespace, shifted: !known, ..self }
    }

    pub(crate) fn wall(self, boot_ns: u64) -> Timestamp {
        Timestamp(self.offset_ns.saturating_add_unsigned(boot_ns))
    }

    /// Whether [`Self::doubts`] can find anything.
    pub(crate) fn is_doubtful(self) -> bool {
        self.shifted || self.namespace.boot_ns != 0
    }

    /// The fields of this source's events that the namespace leaves open. All sources except eBPF
    /// read starts from /proc.
    pub(crate) fn doubts(self, process: &Process, source: SourceId) -> Flaws {
        let mut flaws = Flaws::new();
        if self.shifted {
            flaws.mark(Field::Time, Flaw::Estimated);
        }
        if source == SourceId::Ebpf {
            return flaws;
        }
        if self.shifted {
            flaws.mark(Field::Duration, Flaw::Estimated);
        }
        let blurred = |start| self.shifted || self.namespace.blurs(start);
        if process.id.start.is_some_and(blurred) {
            flaws.mark(Field::Id, Flaw::Estimated);
        }
        if process.parent.as_ref().and_then(|parent| parent.id.start).is_some_and(blurred) {
            flaws.mark(Field::Parent, Flaw::Estimated);
        }
        flaws
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProcessId, StartTime};

    #[test]
    fn what_a_namespace_leaves_open_is_marked() {
        let process = |start| Process::new(ProcessId { pid: 7, start: Some(StartTime(start)) });
        let clock = |boot_ns, known| Clock::new(0, 0).read_in(Offsets { mono_ns: 0, boot_ns }, known);
        let marked = |clock: Clock, source, start| clock.doubts(&process(start), source).iter().collect::<Vec<_>>();
        let (whole, odd) = (clock(10_000_000_000, true), clock(10_000_000_001, true));
        assert!(!clock(0, true).is_doubtful() && whole.is_doubtful() && clock(0, false).is_doubtful());
        assert_eq!(marked(whole, SourceId::Tracefs, 5), []);
        assert_eq!(marked(odd, SourceId::Tracefs, 5), [(Field::Id, Flaw::Estimated)]);
        assert_eq!(marked(odd, SourceId::Ebpf, 5), []);
        // One that ran before the namespace's clock began, and one that did not.
        let earlier = clock(-10_000_000_000, true);
        assert_eq!(marked(earlier, SourceId::ProcPoll, 999), [(Field::Id, Flaw::Estimated)]);
        assert_eq!(marked(earlier, SourceId::ProcPoll, 1000), []);
        assert_eq!(marked(clock(0, false), SourceId::Ebpf, 5), [(Field::Time, Flaw::Estimated)]);
    }
}
