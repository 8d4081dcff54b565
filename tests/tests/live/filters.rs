//! Events that are not chosen do not come, and chosen ones come whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use procscope_tests::plan::NAMES;
use procscope_tests::truth::{Bytes, Line};

use crate::turn;
use crate::watch::{Ended, Watch};
use crate::workload::{Workload, lives};

const KINDS: &[&str] = &["fork", "exec", "exit"];

/// Runs a workload that is chosen and one that is not.
pub(crate) fn beside_another(options: &[&str], mut chosen: Workload) -> (Ended, Vec<Line>) {
    let mut all = vec!["-e", "fork,exec,exit"];
    all.extend(options);
    let mut other = Workload::new(&["storm", "--count", "300", "--seed", "99"]);
    let watch = Watch::start(all);
    other.go();
    chosen.go();
    let truth = chosen.truth();
    other.truth();
    (watch.stop().well(), truth)
}

/// All of these processes, and no other.
pub(crate) fn exactly(ended: &Ended, truth: Vec<Line>, also: u32) {
    let mut pids: BTreeSet<u32> = lives(&truth).map(|life| life.pid).collect();
    pids.insert(also);
    let strangers: Vec<_> =
        ended.events().into_iter().filter(|seen| !seen.pid.is_some_and(|p| pids.contains(&p))).collect();
    assert!(strangers.is_empty(), "{} strangers, such as {:?}", strangers.len(), strangers.first());
    let report = ended.compare(truth, Some(KINDS));
    assert!(report.is_exact(), "{report}");
}

#[test]
fn by_pid() {
    let _turn = turn::take();
    let workload = Workload::new(&["storm", "--count", "50"]);
    let pid = workload.pid();
    let (ended, _) = beside_another(&["-p", &pid.to_string()], workload);
    let events = ended.events();
    assert_eq!(events.iter().map(|seen| (&*seen.event, seen.pid)).collect::<Vec<_>>(), [("exit", Some(pid))]);
}

#[test]
fn by_tree() {
    let _turn = turn::take();
    let workload = Workload::new(&["storm", "--count", "300"]);
    let pid = workload.pid();
    let (ended, truth) = beside_another(&["--tree", &pid.to_string()], workload);
    exactly(&ended, truth, pid);
}

/// Nor do unchosen events come while procscope starts.
#[test]
fn nothing_slips_in_at_the_start() {
    let _turn = turn::take();
    let chosen = Workload::new(&["storm", "--count", "50"]);
    let pid = chosen.pid().to_string();
    for _ in 0..5 {
        let mut other = Workload::new(&["storm", "--count", "4000", "--compact"]);
        other.go();
        let watch = Watch::start(["-e", "existing,fork,exec,exit", "--tree", &pid]);
        let events = watch.stop().well().events();
        assert_eq!(
            events.iter().map(|seen| (&*seen.event, seen.pid)).collect::<Vec<_>>(),
            [("existing", Some(chosen.pid()))]
        );
        other.truth();
    }
}

/// Including children of a process that is gone by then.
#[test]
fn by_tree_with_orphans() {
    let _turn = turn::take();
    let workload = Workload::new(&["odd", "double-fork-init"]);
    let pid = workload.pid();
    let (ended, truth) = beside_another(&["--tree", &pid.to_string()], workload);
    exactly(&ended, truth, pid);
}

#[test]
fn by_name() {
    let _turn = turn::take();
    for name in NAMES {
        let comm = Bytes::from(&name.as_bytes()[..name.len().min(15)]);
        // The other storm has the same names, so there is none here.
        let watch = Watch::start(["-e", "exec,exit", "-n", name]);
        let truth = Workload::new(&["storm", "--count", "200"]).run();
        let ended = watch.stop().well();
        let chosen: Vec<Line> = truth
            .into_iter()
            .filter(|line| match line {
                Line::Life(life) => life.execs.first().is_some_and(|exec| exec.name.as_ref() == Some(&comm)),
                _ => true,
            })
            .collect();
        let pids: BTreeSet<u32> = lives(&chosen).map(|life| life.pid).collect();
        assert!(pids.len() > 20);
        for seen in ended.events() {
            assert_eq!(seen.name.as_deref().map(str::as_bytes), Some(&*comm.0), "{seen:?}");
        }
        let report = ended.compare(chosen, Some(&["exec", "exit"]));
        assert!(report.is_exact(), "{name}: {report}");
    }
}

#[test]
fn by_user() {
    let _turn = turn::take();
    const UID: u32 = 54_321;
    let workload = Workload::as_user(&["storm", "--count", "300"], Some(UID));
    let pid = workload.pid();
    let (ended, truth) = beside_another(&["-u", &UID.to_string()], workload);
    exactly(&ended, truth, pid);
}

/// A cgroup of the unified hierarchy; removed when dropped.
struct Cgroup {
    root: PathBuf,
    path: String,
}

impl Cgroup {
    fn new(path: &str) -> Self {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
        let root = roots.into_iter().find(|root| root.join("cgroup.controllers").exists());
        let root = root.expect("there is a unified cgroup hierarchy");
        fs::create_dir_all(root.join(path)).expect("cgroups can be made");
        Self { root, path: path.to_owned() }
    }

    fn dir(&self) -> PathBuf {
        self.root.join(&self.path)
    }

    fn take(&self, workload: &Workload) {
        fs::write(self.dir().join("cgroup.procs"), workload.pid().to_string()).expect("processes can be moved");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let own = Path::new(&self.path).ancestors().filter(|path| path.components().count() > 0);
        own.for_each(|path| drop(fs::remove_dir(self.root.join(path))));
    }
}

/// The cgroup is named by its path under the mount, or as `/proc/PID/cgroup` prints it, and those
/// below it count.
#[test]
fn by_cgroup() {
    let _turn = turn::take();
    let cgroup = Cgroup::new("procscope-live/below");
    let above = cgroup.root.join("procscope-live");
    for told in [cgroup.dir(), PathBuf::from("/procscope-live/below"), above] {
        let workload = Workload::new(&["storm", "--count", "200"]);
        cgroup.take(&workload);
        let pid = workload.pid();
        let (ended, truth) = beside_another(&["--cgroup", &told.to_string_lossy()], workload);
        exactly(&ended, truth, pid);
    }
}

#[test]
fn by_container() {
    let _turn = turn::take();
    const ID: &str = "4e1f00dc0ffee0123456789abcdef0123456789abcdef0123456789abcdef012";
    let cgroup = Cgroup::new(&format!("docker/{ID}"));
    for told in [ID, &ID[..12]] {
        let workload = Workload::new(&["storm", "--count", "200"]);
        cgroup.take(&workload);
        let pid = workload.pid();
        let (ended, truth) = beside_another(&["--container", told], workload);
        assert!(ended.events().iter().all(|seen| seen.container.as_deref() == Some(ID)));
        exactly(&ended, truth, pid);
    }
}

/// Lists of one kind widen the choice, different kinds narrow it.
#[test]
fn filters_together() {
    let _turn = turn::take();
    let workload = Workload::new(&["storm", "--count", "300"]);
    let pid = workload.pid().to_string();
    let (ended, truth) = beside_another(&["--tree", &pid, "-n", "true", "-n", "ps-tiny"], workload);
    let names: BTreeSet<_> = ended.events().into_iter().filter(|e| e.event != "fork").filter_map(|e| e.name).collect();
    assert_eq!(names, ["ps-tiny", "true"].map(str::to_owned).into());
    let wanted = [b"true".as_slice(), b"ps-tiny"].map(Bytes::from);
    let chosen =
        lives(&truth).filter(|life| life.execs.iter().any(|e| e.name.as_ref().is_some_and(|n| wanted.contains(n))));
    let execs = ended.events().iter().filter(|seen| seen.event == "exec").count();
    assert_eq!(execs, chosen.count());
}
