//! The old hierarchies of cgroups, beside the unified one or without it.

use std::ffi::CStr;
use std::fs;
use std::path::Path;

use super::watch::{Trouble, Watch, Workload, hold, lives};
use super::{mount, unmount};

type Result = std::result::Result<(), Trouble>;

const ROOT: &CStr = c"/sys/fs/cgroup";
const UNIFIED: &CStr = c"/sys/fs/cgroup/unified";
const PIDS: &CStr = c"/sys/fs/cgroup/pids";

/// Old hierarchies and the unified one, which systemd calls hybrid.
pub(super) fn hybrid(source: &str) -> Result {
    among(source, &[UNIFIED, PIDS])
}

/// The old ones alone.
pub(super) fn v1(source: &str) -> Result {
    among(source, &[PIDS])
}

fn among(source: &str, hierarchies: &[&'static CStr]) -> Result {
    let _mounted = Mounted::new(hierarchies)?;
    filters_by_path(source)
}

/// A filter by a cgroup of an old hierarchy, while other processes run.
fn filters_by_path(source: &str) -> Result {
    const CGROUP: &str = "/outer/inner";
    let dir = Path::new("/sys/fs/cgroup/pids/outer/inner");
    fs::create_dir_all(dir)?;
    let mut stranger = Workload::new(&["storm", "--count", "10", "--seed", "99"], "stranger")?;
    let mut chosen = Workload::new(&["storm", "--count", "30"], "cgroup")?;
    fs::write(dir.join("cgroup.procs"), chosen.pid().to_string())?;
    let watch = Watch::start(source, &["-e", "exec,exit", "--cgroup", CGROUP])?;
    stranger.run()?;
    let truth = chosen.run()?;
    let ended = watch.stop()?.well()?;
    let events: Vec<_> = ended.events()?.into_iter().filter(|seen| seen.event != "lost").collect();
    let other = events.iter().find(|seen| seen.cgroup.as_deref() != Some(CGROUP));
    hold(other.is_none(), || format!("of another cgroup: {other:?}"))?;
    // If cgroups are looked up late, some come too late.
    let expected = lives(&truth).map(|life| life.execs.len()).sum::<usize>();
    let execs = events.iter().filter(|seen| seen.event == "exec").count();
    let enough = if source == "ebpf" { execs == expected } else { (1..=expected).contains(&execs) };
    hold(enough, || format!("{execs} of {expected} execs came"))
}

/// The mounts over the unified hierarchy; removed when dropped.
struct Mounted(Vec<&'static CStr>);

impl Mounted {
    fn new(hierarchies: &[&'static CStr]) -> std::result::Result<Self, Trouble> {
        mount(ROOT, c"tmpfs", c"")?;
        let mut mounted = Self(vec![ROOT]);
        for &at in hierarchies {
            fs::create_dir(Path::new(&*at.to_string_lossy()))?;
            let (kind, options) = if at == UNIFIED { (c"cgroup2", c"") } else { (c"cgroup", c"pids") };
            mount(at, kind, options)?;
            mounted.0.push(at);
        }
        Ok(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A hierarchy stays as long as it has a cgroup; leftovers show in the next behaviour.
        for name in ["outer/inner", "outer"] {
            let _ = fs::remove_dir(Path::new("/sys/fs/cgroup/pids").join(name));
        }
        self.0.drain(..).rev().for_each(|at| _ = unmount(at));
    }
}
