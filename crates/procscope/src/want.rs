use std::path::PathBuf;
use std::time::Duration;

use crate::{EventSet, Filter, Pid};

/// Which environment variables to read at exec.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum EnvWanted {
    /// None.
    #[default]
    No,
    /// Those of these names.
    Named(Vec<Vec<u8>>),
    /// All.
    All,
}

/// What to watch. Lists of one kind widen the choice, different kinds narrow it; an empty list chooses everything.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Want {
    /// The kinds of event.
    pub events: EventSet,
    /// Only these processes.
    pub pids: Vec<Pid>,
    /// Only these processes and all their descendants, also those to come.
    pub trees: Vec<Pid>,
    /// Only processes of this comm; of a longer name the first 15 bytes count, as in the kernel.
    pub names: Vec<Vec<u8>>,
    /// Only processes of these real user ids.
    pub uids: Vec<u32>,
    /// Only processes in these cgroups or below: a path under the cgroup mount, or as `/proc/PID/cgroup` prints it.
    pub cgroups: Vec<PathBuf>,
    /// Only processes in the containers whose ids start so.
    pub containers: Vec<String>,
    /// Only events that this takes.
    pub filter: Option<Filter>,
    /// The environment.
    pub env: EnvWanted,
    /// The size of the kernel's ring, bytes; rounded up to a power of two, and down to what may be had.
    pub ring_bytes: usize,
    /// When to stop by itself.
    pub duration: Option<Duration>,
    /// Kinds that the pipeline has to learn of whatever was asked for: they go to [`crate::pipeline::Outlet::note`].
    pub(crate) needs: EventSet,
}

impl Want {
    /// The ring's size where nothing else is asked for, bytes.
    pub const DEFAULT_RING_BYTES: usize = 8 << 20;
}

impl Default for Want {
    fn default() -> Self {
        Self {
            events: EventSet::default(),
            pids: Vec::new(),
            trees: Vec::new(),
            names: Vec::new(),
            uids: Vec::new(),
            cgroups: Vec::new(),
            containers: Vec::new(),
            filter: None,
            env: EnvWanted::No,
            ring_bytes: Self::DEFAULT_RING_BYTES,
            duration: None,
            needs: EventSet::NONE,
        }
    }
}
