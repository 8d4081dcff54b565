use crate::{EventSet, Field};

/// What a mechanism can report at its best, on a system without obstacles.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// The kinds of event that it reports.
    pub events: EventSet,
    /// Fields that the kernel's own record holds, or that follow from such records: as they were at
    /// the event.
    pub exact: &'static [Field],
    /// Fields that are looked up after the event, marked so, and absent if the process was gone.
    pub late: &'static [Field],
    /// Every lost event is counted.
    pub counts_loss: bool,
    /// Which of the options that choose events and processes the kernel applies itself, so that
    /// refused events cost nothing.
    pub kernel_choices: &'static [&'static str],
    /// The order of events.
    pub order: &'static str,
    /// The kernel's clock of the times.
    pub clock: &'static str,
    /// What it needs: kernel, configuration, privileges.
    pub needs: &'static str,
    /// What it costs the system, and what it cannot do.
    pub cost: &'static str,
}

impl Capabilities {
    /// A mechanism that reports these kinds, and no field.
    pub const fn new(events: EventSet) -> Self {
        Self {
            events,
            exact: &[],
            late: &[],
            counts_loss: false,
            kernel_choices: &[],
            order: "",
            clock: "",
            needs: "",
            cost: "",
        }
    }
}
