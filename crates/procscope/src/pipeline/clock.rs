use crate::Timestamp;

/// Turns the kernel's time since boot into wall time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// CLOCK_REALTIME minus CLOCK_BOOTTIME, ns.
    offset_ns: i64,
}

impl Clock {
    /// Two readings of the same moment, ns. To be renewed now and then, for people set clocks.
    pub(crate) fn new(real_ns: i64, boot_ns: u64) -> Self {
        Self { offset_ns: real_ns.saturating_sub_unsigned(boot_ns) }
    }

    pub(crate) fn wall(self, boot_ns: u64) -> Timestamp {
        Timestamp(self.offset_ns.saturating_add_unsigned(boot_ns))
    }
}
