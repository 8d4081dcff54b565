//! The committed object: which of its programs are loaded, with what settings, and the meaning of
//! the kernel's refusals.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use libbpf_rs::{ErrorKind, MapCore, Object, ObjectBuilder, OpenObject};
use rustix::fs::{Mode, OFlags};
use rustix::thread::CapabilitySet;
use zerocopy::IntoBytes;

use super::calls::{EXECVEAT_NUMBER, is_for_every_call, kinds_of, numbers};
use super::complaints::Complaints;
use super::tracepoint::Tracefs;
use super::tracepoint::is_refused;
use super::wire::{self, kind};
use crate::error::limit_of;
use crate::source::cgroups::Cgroups;
use crate::source::{self, perhaps_filtered};
use crate::{Cause, EnvWanted, Error, EventSet, Kind, Lack, Obstacle, Remedy, SourceId, Verdict, Want, sys};

static OBJECT: &[u8] = include_bytes!("../../../../../bpf/gen/procscope.bpfel.o");

/// The smallest useful ring, bytes.
const LEAST_RING: usize = 64 << 10;
/// The default size of the ring, bytes.
pub(super) const DEFAULT_RING: usize = 8 << 20;

/// The mount point of tracefs, if any.
const TRACEFS: &str = "/sys/kernel/tracing";

/// Whether a program is needed, and the kind of event that is lost when the kernel skips it.
pub(super) fn purpose(program: &str, want: &Want) -> Option<Kind> {
    let asks = |kind| want.events.contains(kind);
    let wants = |kind| asks(kind) || want.needs.contains(kind);
    let ids = asks(Kind::Uid) || asks(Kind::Gid);
    let trees = !want.trees.is_empty();
    let (needed, kind) = match program {
        "task_newtask" => (wants(Kind::Fork) || wants(Kind::Clone) || trees, Kind::Fork),
        "sched_process_exec" => (wants(Kind::Exec) || ids, if wants(Kind::Exec) { Kind::Exec } else { Kind::Uid }),
        "sched_process_exit" => (wants(Kind::Exit) || wants(Kind::ThreadExit) || trees, Kind::Exit),
        "sched_wakeup_new" | "signal_generate" => (asks(Kind::Exit), Kind::Lost),
        "task_rename" => {
            (wants(Kind::Exec) || wants(Kind::Comm) || ids, if wants(Kind::Comm) { Kind::Comm } else { Kind::Lost })
        }
        "signal_deliver" => {
            (asks(Kind::Core) || asks(Kind::Exit), if asks(Kind::Core) { Kind::Core } else { Kind::Lost })
        }
        "existing" => (true, Kind::Existing),
        _ if let Some(first) = first_of(program) => {
            return if is_preemptible() { purpose(first, want) } else { None };
        }
        _ if is_for_every_call(program) => {
            let needed = kinds_of(program).is_some_and(|kinds| kinds.into_iter().any(asks));
            (needed && (!program.ends_with("_2") || is_preemptible()), Kind::Lost)
        }
        _ => return kinds_of(program)?.into_iter().find(|&kind| asks(kind)),
    };
    needed.then_some(kind)
}

/// The program for which a second one makes up.
pub(super) fn first_of(program: &str) -> Option<&str> {
    program.strip_suffix("_2").filter(|first| wire::TWICE.contains(first))
}

/// Since Linux 7.0 programs on tracepoints may be preempted, and their other runs on that CPU are
/// skipped meanwhile.
fn is_preemptible() -> bool {
    sys::kernel_version() >= (7, 0)
}

pub(super) fn map<'a>(object: &'a Object, name: &str) -> io::Result<libbpf_rs::Map<'a>> {
    object.maps().find(|map| map.name() == name).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn unavailable(what: Lack, cause: Cause, remedy: Remedy) -> Error {
    Error::Unavailable { source_id: SourceId::Ebpf, obstacle: Obstacle::new(what, cause, remedy) }
}

/// The first kernel that has all that the programs need.
const LEAST: (u32, u32) = (5, 11);

/// The programs know only the pids of the initial namespace, and nothing else gives the command's
/// pid there.
pub(super) fn command_elsewhere() -> Error {
    may_load().err().unwrap_or_else(|| {
        let remedy = Remedy::Host { options: &["--pid=host"], user_namespace: true };
        unavailable(Lack::UnknownCommandPid, Cause::Privilege, remedy)
    })
}

pub(super) fn require_btf() -> Result<(), Error> {
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Ok(());
    }
    if !Path::new("/sys/kernel").exists() {
        let remedy = Remedy::Mount { fs: "sysfs", at: "/sys", options: String::new(), sudo: false };
        return Err(unavailable(Lack::NotMounted { path: "/sys" }, Cause::NotConfigured, remedy));
    }
    let remedy = Remedy::Kernel { least: Some(LEAST), options: &["CONFIG_DEBUG_INFO_BTF"] };
    Err(unavailable(Lack::NoKernelTypes, Cause::NotConfigured, remedy))
}

/// The verdict without loading anything.
pub(super) fn probe() -> Verdict {
    if let Err(error) = require_btf() {
        return Verdict::Unavailable(error.obstacle());
    }
    let release = sys::kernel_version();
    if release < LEAST {
        let remedy = Remedy::Kernel { least: Some(LEAST), options: &[] };
        return Verdict::Unavailable(Obstacle::new(Lack::OldKernel { release, least: LEAST }, Cause::TooOld, remedy));
    }
    if let Err(error) = may_load() {
        return Verdict::Unavailable(error.obstacle());
    }
    if is_confidential() {
        return Verdict::Unsure(Obstacle::new(CONFIDENTIAL, Cause::Privilege, Remedy::Try).or(LESS_CONFIDENTIAL));
    }
    let mut obstacles = Vec::new();
    if let Err(error) = Tracefs::open().and_then(|tracefs| tracefs.id("sys_enter_execve")) {
        let missing = EventSet::NONE.with(Kind::ExecFailed).with(Kind::Uid).with(Kind::Gid);
        obstacles.push(calls_missing(missing.with(Kind::Sid).with(Kind::Ptrace), &error));
    }
    if sys::list_processes().is_empty() {
        obstacles.push(without_proc());
    }
    if obstacles.is_empty() { Verdict::Ready } else { Verdict::Degraded(obstacles) }
}

pub(super) fn without_proc() -> Obstacle {
    source::without_proc(|why| Lack::ArgumentsBefore { why })
}

/// Why kinds of event are missing that come from tracepoints of system calls.
pub(super) fn calls_missing(kinds: EventSet, error: &io::Error) -> Obstacle {
    let (why, cause, remedy) = match error.kind() {
        io::ErrorKind::PermissionDenied => (Lack::UnreadableTracepoints, Cause::Privilege, let_read_tracefs()),
        io::ErrorKind::NotFound => {
            let remedy = Remedy::Kernel { least: None, options: &["CONFIG_FTRACE_SYSCALLS"] };
            (Lack::NoCallTracepoints, Cause::NotConfigured, remedy)
        }
        _ => (Lack::Tracefs { error: error.into() }, Cause::Io, mount_tracefs(String::new(), true)),
    };
    Obstacle::new(Lack::Kinds { kinds, why: why.into() }, cause, remedy)
}

fn mount_tracefs(options: String, sudo: bool) -> Remedy {
    Remedy::Mount { fs: "tracefs", at: TRACEFS, options, sudo }
}

/// The mount that lets the caller's group read tracefs.
fn let_read_tracefs() -> Remedy {
    let (gid, root) = (rustix::process::getegid().as_raw(), rustix::process::geteuid().is_root());
    let options = format!("gid={gid},mode=750");
    // `TRACEFS_MAGIC` in `include/uapi/linux/magic.h`.
    match rustix::fs::statfs(TRACEFS).is_ok_and(|fs| fs.f_type as u64 == 0x7472_6163) {
        true => Remedy::Remount { at: TRACEFS, options },
        false if root => mount_tracefs(String::new(), false),
        false => mount_tracefs(options, true),
    }
}

const CONFIDENTIAL: Lack = Lack::LockedDown { by: SourceId::Ebpf };
const LESS_CONFIDENTIAL: Remedy = Remedy::Boot { parameter: "lockdown=integrity" };

/// `lockdown=confidentiality`, under which not even root may let BPF programs read kernel memory:
/// `kernel_lockdown(7)`.
fn is_confidential() -> bool {
    let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown");
    lockdown.is_ok_and(|modes| modes.contains("[confidentiality]"))
}

/// Whether a BPF file system gives a token, by which a user namespace may load programs (Linux
/// 6.9). libbpf looks for it at the same place: `bpf_object_prepare_token` in its `libbpf.c`.
fn has_token() -> bool {
    let path = std::env::var_os("LIBBPF_BPF_TOKEN_PATH").unwrap_or_else(|| "/sys/fs/bpf".into());
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(fs) = rustix::fs::open(Path::new(&path), flags, Mode::empty()) else { return false };
    // SAFETY: the descriptor is open, and without options nothing is read.
    let token = unsafe { libbpf_rs::libbpf_sys::bpf_token_create(fs.as_raw_fd(), std::ptr::null_mut()) };
    // SAFETY: the kernel just gave it, and nothing else has it.
    let token = (token >= 0).then(|| unsafe { OwnedFd::from_raw_fd(token) });
    token.is_some()
}

pub(super) fn load(want: &Want, cgroups: &Cgroups) -> Result<(Object, usize), Error> {
    let page = rustix::param::page_size();
    let mut ring_bytes = want.ring_bytes.unwrap_or(DEFAULT_RING).clamp(page, 1 << 30).next_power_of_two();
    loop {
        let error = match prepare(want, cgroups, ring_bytes).and_then(OpenObject::load) {
            Ok(object) => return Ok((object, ring_bytes)),
            Err(error) => error,
        };
        // Before 5.11 the ring counts against RLIMIT_MEMLOCK, which looks like a missing
        // permission.
        let memory = matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::PermissionDenied);
        if !memory || ring_bytes <= LEAST_RING || (error.kind() == ErrorKind::PermissionDenied && may_load().is_err()) {
            return Err(refusal(&error));
        }
        ring_bytes /= 2;
    }
}

/// CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN, of the initial user namespace: `capabilities(7)`.
fn may_load() -> Result<(), Error> {
    let enough = [CapabilitySet::SYS_ADMIN, CapabilitySet::BPF | CapabilitySet::PERFMON];
    if !enough.into_iter().any(sys::has_capabilities) {
        let names = &["CAP_BPF", "CAP_PERFMON"];
        let root = rustix::process::geteuid().is_root();
        let remedy = if root { Remedy::Capabilities { names } } else { Remedy::Root };
        return Err(unavailable(Lack::Capabilities { names }, Cause::Privilege, remedy));
    }
    if !sys::in_initial_user_namespace() && !has_token() {
        let remedy = Remedy::Host { options: &["--privileged"], user_namespace: false };
        return Err(unavailable(Lack::OtherUserNamespace { of: SourceId::Ebpf }, Cause::Privilege, remedy));
    }
    let refused = || perhaps_filtered("bpf(2)", None);
    if let Some(obstacle) = is_refused().then(refused).flatten() {
        return Err(Error::Unavailable { source_id: SourceId::Ebpf, obstacle });
    }
    Ok(())
}

fn refusal(error: &libbpf_rs::Error) -> Error {
    if let Err(error) = may_load() {
        return error;
    }
    if is_confidential() {
        return unavailable(CONFIDENTIAL, Cause::Privilege, LESS_CONFIDENTIAL);
    }
    // Its number is only in the text.
    let whole = format!("{error:#}");
    let number = [libc::EMFILE, libc::ENFILE].into_iter().find(|it| whole.contains(&format!("(os error {it})")));
    if let Some(obstacle) = limit_of(number) {
        return Error::Unavailable { source_id: SourceId::Ebpf, obstacle };
    }
    let complaint = Complaints::take().into_iter().find(|line| line.contains("failed"));
    let complaint = complaint.unwrap_or(whole);
    let what = Lack::RefusedPrograms { complaint };
    match error.kind() {
        ErrorKind::PermissionDenied => unavailable(what, Cause::Privilege, Remedy::RootUnconfined),
        ErrorKind::OutOfMemory => unavailable(what, Cause::Busy, Remedy::Memory),
        _ => unavailable(what, Cause::TooOld, Remedy::Kernel { least: Some(LEAST), options: &[] }),
    }
}

fn prepare(want: &Want, cgroups: &Cgroups, ring_bytes: usize) -> libbpf_rs::Result<OpenObject> {
    let mut object = ObjectBuilder::default().open_memory(OBJECT)?;
    let cpus = libbpf_rs::num_possible_cpus()? as u32;
    let bits = |kinds: EventSet| {
        kinds.iter().filter(|&kind| (kind as usize) < kind::KINDS).fold(0, |set, kind| set | 1 << kind as u32)
    };
    let config = wire::Config {
        bell_bytes: ring_bytes as u64 / 4,
        want_events: bits(want.events),
        need_events: bits(want.needs),
        want_env: (want.env != EnvWanted::No).into(),
        filter_pids: (!want.pids.is_empty()).into(),
        filter_trees: (!want.trees.is_empty()).into(),
        filter_uids: (!want.uids.is_empty()).into(),
        filter_names: (!want.names.is_empty()).into(),
        filter_cgroups: (!cgroups.unified.is_empty()).into(),
        pad: [0; 2],
        again: if is_preemptible() { cpus } else { 0 },
        execveat: EXECVEAT_NUMBER,
        calls: numbers(want),
    };
    let slots = cpus + config.again;
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        match name.as_str() {
            "ring" => map.set_max_entries(ring_bytes as u32)?,
            "exec_scratches" | "chunk_scratches" => map.set_max_entries(slots)?,
            "failed_scratches" => map.set_max_entries(cpus + 2 * config.again)?,
            "last_cgroups" | "at_work" => map.set_max_entries(cpus)?,
            "taken" if is_preemptible() => map.set_max_entries(wire::TAKEN)?,
            "trees" if !want.trees.is_empty() => map.set_max_entries(1 << 16)?,
            _ if name.ends_with(".rodata") => {
                if let Some(value) = map.initial_value_mut() {
                    let len = value.len().min(size_of::<wire::Config>());
                    value[..len].copy_from_slice(&config.as_bytes()[..len]);
                }
            }
            _ => {}
        }
    }
    for mut program in object.progs_mut() {
        let needed = purpose(&program.name().to_string_lossy(), want).is_some();
        program.set_autoload(needed);
    }
    Ok(object)
}
