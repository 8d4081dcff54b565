use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::launch::{Held, Launch};
use crate::{EventSet, Filter, Pid};

/// Which environment variables to read at exec.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum EnvWanted {
    /// None.
    #[default]
    No,
    /// Those with these names.
    Named(Vec<Vec<u8>>),
    /// All.
    All,
}

/// The request. Lists of one kind widen the choice, different kinds narrow it; an empty list
/// chooses everything.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Want {
    /// The kinds of event.
    pub events: EventSet,
    /// Only these processes.
    pub pids: Vec<Pid>,
    /// Only these processes and all their descendants, present and future.
    pub trees: Vec<Pid>,
    /// Only processes with this comm; of a longer name the first 15 bytes count, as in the kernel.
    pub names: Vec<Vec<u8>>,
    /// Only processes of these real user ids.
    pub uids: Vec<u32>,
    /// Only processes in these cgroups or below: a path under the cgroup mount, or as
    /// `/proc/PID/cgroup` prints it.
    pub cgroups: Vec<PathBuf>,
    /// Only processes in the containers whose ids begin with this.
    pub containers: Vec<String>,
    /// Only events that match this.
    pub filter: Option<Filter>,
    /// The environment.
    pub env: EnvWanted,
    /// Whether to look up the names of users and groups.
    pub user_names: bool,
    /// The size of the kernel's buffer, bytes; less if the kernel refuses that much. `None` is the
    /// mechanism's default.
    pub ring_bytes: Option<usize>,
    /// When to stop by itself.
    pub duration: Option<Duration>,
    /// The command to run.
    pub(crate) launch: Option<Launch>,
    /// The running command: the process to follow.
    pub(crate) held: Option<Arc<Held>>,
    /// Kinds that the pipeline always has to learn of: they go to
    /// [`crate::pipeline::Outlet::note`].
    pub(crate) needs: EventSet,
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
            user_names: true,
            ring_bytes: None,
            duration: None,
            launch: None,
            held: None,
            needs: EventSet::NONE,
        }
    }
}
