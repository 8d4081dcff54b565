//! Directories, roots, namespaces, cgroups, terminals.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::path::{Path, PathBuf};

use super::{Case, Stage, checked, unsupported};
use crate::actor::{Actor, Call, HOLD, List};
use crate::tiny::c_path;
use crate::truth::Change;

pub(super) const CASES: &[(&str, Case)] = &[
    ("cwd-deep", |stage| cwd_deep(stage, 100)),
    ("cwd-longer-than-path-max", |stage| cwd_deep(stage, 300)),
    ("cwd-longer-than-a-record", |stage| cwd_deep(stage, 550)),
    ("cwd-deleted", cwd_deleted),
    ("chroot", chroot),
    ("namespaces", namespaces),
    ("namespace-user", namespace_user),
    ("namespace-pid", namespace_pid),
    ("cgroup-docker", |stage| cgroup(stage, &format!("docker/{HEX}"), Some(HEX), None)),
    ("cgroup-unit", |stage| cgroup(stage, "system.slice/ps-workload.service", None, Some("ps-workload.service"))),
    ("cgroup-containerd", |stage| {
        cgroup(
            stage,
            &format!(
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b2c3d_0000_1111_2222_333344445555.slice/cri-containerd-{HEX}.scope"
            ),
            Some(HEX),
            None,
        )
    }),
    ("cgroup-crio", |stage| cgroup(stage, &format!("kubepods.slice/crio-{HEX}.scope"), Some(HEX), None)),
    ("cgroup-podman", |stage| cgroup(stage, &format!("machine.slice/libpod-{HEX}.scope/container"), Some(HEX), None)),
    ("tty", tty),
];

const HEX: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdef0123456789abcdef";

/// A directory so deep that its path is `depth` times 31 bytes long; beyond 4096 `/proc` cannot
/// show it.
fn cwd_deep(stage: &mut Stage, depth: usize) -> io::Result<()> {
    let top = stage.bin.path().join(stage.case);
    fs::create_dir(&top)?;
    let names: Vec<String> = (0..depth).map(|n| format!("{n:030}")).collect();
    let (c_top, c_names) = (c_path(&top), names.iter().map(|name| c_path(Path::new(name))).collect::<Vec<_>>());
    let mut actor = stage.tiny_after(|child| {
        // SAFETY: strings with their NULs.
        unsafe {
            child.must("chdir", libc::chdir(c_top.as_ptr()));
            for name in &c_names {
                child.must("mkdir", libc::mkdir(name.as_ptr(), 0o755));
                child.must("chdir", libc::chdir(name.as_ptr()));
            }
        }
    })?;
    let cwd = names.iter().fold(top.into_os_string().into_encoded_bytes(), |mut path, name| {
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        path
    });
    if let Some(exec) = actor.life.execs.last_mut() {
        if cwd.len() < 4096 && exec.cwd != Some(cwd.clone().into()) {
            return Err(io::Error::other(format!("/proc shows another directory: {:?}", exec.cwd)));
        }
        exec.cwd = Some(cwd.into());
    }
    stage.note(actor.end()?);
    Ok(())
}

fn cwd_deleted(stage: &mut Stage) -> io::Result<()> {
    let dir = stage.bin.path().join(stage.case);
    fs::create_dir(&dir)?;
    let dir = c_path(&dir);
    let actor = stage.tiny_after(|child| {
        // SAFETY: strings with their NULs.
        unsafe {
            child.must("chdir", libc::chdir(dir.as_ptr()));
            child.must("rmdir", libc::rmdir(dir.as_ptr()));
        }
    })?;
    stage.note(actor.end()?);
    Ok(())
}

fn chroot(stage: &mut Stage) -> io::Result<()> {
    let root = stage.bin.path().join("root");
    fs::create_dir_all(root.join("bin"))?;
    fs::create_dir(root.join("home"))?;
    fs::copy(stage.bin.tiny(), root.join("bin/inside"))?;
    let root = c_path(&root);
    let path = Path::new("/bin/inside");
    let (argv, env) = (List::new([stage.case]), List::steps(&format!("{HOLD}e0")));
    let mut actor = stage.actor(|child| {
        // SAFETY: strings with their NULs.
        unsafe {
            child.must("chroot", libc::chroot(root.as_ptr()));
            child.must("chdir", libc::chdir(c"/home".as_ptr()));
        }
        child.exec(path, &argv, &env);
    })?;
    actor.go()?;
    // `/proc` shows the paths from our root, which is that of the mount namespace.
    actor.saw_exec(path, &argv.bytes())?;
    stage.note(actor.end()?);
    Ok(())
}

fn namespaces(stage: &mut Stage) -> io::Result<()> {
    let flags =
        libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET | libc::CLONE_NEWCGROUP;
    // SAFETY: a plain system call.
    let mut actor = stage.tiny_after(|child| child.must("unshare", unsafe { libc::unshare(flags) }))?;
    let own = crate::proc_files::Sight::of(std::process::id())?.namespaces;
    if let Some(namespaces) = actor.life.execs.last_mut().and_then(|exec| exec.namespaces.as_ref()) {
        let differ = namespaces.iter().filter(|(name, inode)| own.get(*name) != Some(inode)).count();
        if differ != 5 {
            return Err(io::Error::other(format!("{differ} namespaces differ, not 5")));
        }
    }
    stage.note(actor.end()?);
    Ok(())
}

/// Ids are reported as the initial namespace numbers them, whatever the process itself sees.
fn namespace_user(stage: &mut Stage) -> io::Result<()> {
    let (path, argv, env) = (stage.bin.tiny(), List::new([stage.case]), List::steps(&format!("{HOLD}e0")));
    let mut actor = stage.actor(|child| {
        // SAFETY: plain system calls.
        unsafe {
            child.must("unshare", libc::unshare(libc::CLONE_NEWUSER));
            child.tell(".");
            child.wait();
            child.must("setresgid", libc::setresgid(5, 5, 5));
            child.must("setresuid", libc::setresuid(7, 7, 7));
        }
        child.exec(&path, &argv, &env);
    })?;
    actor.go()?;
    actor.runs()?;
    let proc = Path::new("/proc").join(actor.life.pid.to_string());
    fs::write(proc.join("uid_map"), "0 100000 100")?;
    fs::write(proc.join("gid_map"), "0 200000 100")?;
    actor.life.changes.push(Change::Gid { gid: 200_005, egid: 200_005 });
    actor.life.changes.push(Change::Uid { uid: 100_007, euid: 100_007 });
    actor.go()?;
    actor.saw_exec(&path, &argv.bytes())?;
    stage.note(actor.end()?);
    Ok(())
}

fn namespace_pid(stage: &mut Stage) -> io::Result<()> {
    let (path, argv, env) = (stage.bin.tiny(), List::new([stage.case]), List::steps(&format!("{HOLD}e0")));
    let call = Call::Clone(libc::CLONE_NEWPID as u64);
    let mut actor = Actor::begin(stage.case, call, |child| child.exec(&path, &argv, &env))?;
    if let Some(fork) = &mut actor.life.fork {
        fork.ns_pid = Some(1);
    }
    actor.go()?;
    let exec = actor.saw_exec(&path, &argv.bytes())?;
    if exec.ns_pid != Some(1) {
        return Err(io::Error::other(format!("its own pid is {:?}, not 1", exec.ns_pid)));
    }
    stage.note(actor.end()?);
    Ok(())
}

/// Directories of the unified hierarchy that are new; removed when dropped.
struct Cgroup(Vec<PathBuf>);

impl Cgroup {
    fn new(path: &str) -> io::Result<Self> {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let Some(root) = roots.iter().map(Path::new).find(|root| root.join("cgroup.controllers").exists()) else {
            return Err(unsupported("there is no unified cgroup hierarchy"));
        };
        let mut made = Self(Vec::new());
        let mut dir = root.to_owned();
        for component in Path::new(path) {
            dir.push(component);
            match fs::create_dir(&dir) {
                Ok(()) => made.0.push(dir.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unsupported(format!("{}: {error}", dir.display()))),
            }
        }
        match made.0.last() {
            Some(last) if *last == dir => Ok(made),
            _ => Err(unsupported(format!("{} is there already", dir.display()))),
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.0.iter().rev().for_each(|dir| drop(fs::remove_dir(dir)));
    }
}

fn cgroup(stage: &mut Stage, path: &str, container: Option<&str>, unit: Option<&str>) -> io::Result<()> {
    let cgroup = Cgroup::new(path)?;
    let procs = c_path(&cgroup.0.last().map(|dir| dir.join("cgroup.procs")).unwrap_or_default());
    let mut actor = stage.tiny_after(|child| {
        // SAFETY: strings with their NULs, and a buffer of the given length.
        unsafe {
            let fd = libc::open(procs.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            child.must("open cgroup.procs", fd);
            child.must("write cgroup.procs", libc::write(fd, c"0".as_ptr().cast(), 1) as i64);
        }
    })?;
    if let Some(exec) = actor.life.execs.last_mut() {
        if exec.cgroup != Some(format!("/{path}")) {
            return Err(io::Error::other(format!("it is in {:?}", exec.cgroup)));
        }
        exec.container = container.map(str::to_owned);
        exec.unit = unit.map(str::to_owned);
    }
    stage.note(actor.end()?);
    Ok(())
}

/// A session with a pseudo-terminal of its own.
fn tty(stage: &mut Stage) -> io::Result<()> {
    let mut name = [0; 64];
    // SAFETY: nothing else owns the descriptor, and the buffer has the given length.
    let master = unsafe {
        let fd = checked(libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC))? as i32;
        let master = File::from_raw_fd(fd);
        checked(libc::grantpt(fd))?;
        checked(libc::unlockpt(fd))?;
        checked(libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()))?;
        master
    };
    let mut actor = stage.tiny_after(|child| {
        // SAFETY: a string with its NUL.
        unsafe {
            child.must("setsid", libc::setsid());
            // The first terminal that a session leader opens becomes its own.
            child.must("open the terminal", libc::open(name.as_ptr(), libc::O_RDWR));
        }
    })?;
    actor.life.changes.push(Change::Sid);
    let tty = actor.life.execs.last().and_then(|exec| exec.tty.clone()).unwrap_or_default();
    if !tty.starts_with("pts/") {
        return Err(io::Error::other(format!("its terminal is {tty:?}")));
    }
    // The end of the master would send it SIGHUP.
    let life = actor.end()?;
    drop(master);
    stage.note(life);
    Ok(())
}
