//! Whether ftrace can be used here, and why not.

use std::io;

use rustix::thread::CapabilitySet;

use super::decode::Role;
use super::instance::Tracefs;
use super::probes::{has_event_probes, has_kprobes};
use crate::error::limit_of;
use crate::source::no_proc;
use crate::{Cause, Error, Lack, Obstacle, Remedy, SourceId, Verdict, sys};

pub(super) fn unavailable(obstacle: Obstacle) -> Error {
    Error::Unavailable { source_id: SourceId::Tracefs, obstacle }
}

const FTRACE: Remedy = Remedy::Kernel { least: None, options: &["CONFIG_FTRACE", "CONFIG_FTRACE_SYSCALLS"] };

fn mount(fs: &'static str, at: &'static str) -> Remedy {
    Remedy::Mount { fs, at, options: String::new(), sudo: false }
}

/// `lockdown=confidentiality` closes tracefs to all (`security/lockdown`, Linux 5.4).
fn locked_down() -> bool {
    let state = std::fs::read_to_string("/sys/kernel/security/lockdown");
    state.is_ok_and(|state| state.contains("[confidentiality]"))
}

pub(super) fn refused(error: &io::Error) -> Obstacle {
    if let Some(limit) = limit_of(error.raw_os_error()) {
        return limit;
    }
    let of = SourceId::Tracefs;
    match error.raw_os_error() {
        _ if locked_down() => {
            let remedy = Remedy::Boot { parameter: "lockdown=integrity" };
            Obstacle::new(Lack::LockedDown { by: of }, Cause::NotConfigured, remedy)
        }
        Some(libc::EACCES | libc::EPERM) if !sys::in_initial_user_namespace() => {
            let remedy = Remedy::Host { options: &["--privileged"], user_namespace: false };
            Obstacle::new(Lack::OtherUserNamespace { of }, Cause::Privilege, remedy)
        }
        Some(libc::EACCES | libc::EPERM) => {
            Obstacle::new(Lack::TracefsOfRoot { error: error.into() }, Cause::Privilege, Remedy::Root)
        }
        Some(libc::ENODEV | libc::ENOENT | libc::ENOSYS) if sys::kernel_version() < (5, 2) => {
            let debugfs = sys::kernel_version() < (4, 1);
            let remedy =
                if debugfs { mount("debugfs", "/sys/kernel/debug") } else { mount("tracefs", "/sys/kernel/tracing") };
            Obstacle::new(Lack::NotMounted { path: "tracefs" }, Cause::NotConfigured, remedy)
        }
        Some(libc::ENODEV | libc::ENOENT) => {
            Obstacle::new(Lack::NoTracefs { error: error.into() }, Cause::NotConfigured, FTRACE)
        }
        _ => {
            let remedy = mount("tracefs", "/sys/kernel/tracing");
            Obstacle::new(Lack::Tracefs { error: error.into() }, Cause::Io, remedy)
        }
    }
}

/// Opens tracefs if it can be useful; changes nothing.
pub(super) fn open_tracefs() -> Result<Tracefs, Obstacle> {
    if !sys::in_initial_pid_namespace() {
        let remedy = Remedy::Host { options: &["--pid=host"], user_namespace: true };
        return Err(Obstacle::new(Lack::OtherPidNamespace { of: SourceId::Tracefs }, Cause::Privilege, remedy));
    }
    let tracefs = Tracefs::open().map_err(|error| refused(&error))?;
    if !tracefs.has("instances") {
        let old =
            Obstacle::new(Lack::NoInstances, Cause::TooOld, Remedy::Kernel { least: Some((3, 10)), options: &[] });
        return Err(old.or(Remedy::OtherSource { id: Some(SourceId::ProcessConnector) }));
    }
    tracefs.may_write("instances").map_err(|error| refused(&error))?;
    for role in [Role::NewTask, Role::Exec, Role::Exit] {
        let Some((group, name)) = role.event() else { continue };
        if !tracefs.has(&format!("events/{group}/{name}/format")) {
            return Err(Obstacle::new(Lack::NoTraceEvent { group, name }, Cause::NotConfigured, FTRACE));
        }
    }
    // It alone says whose the threads are that ftrace names.
    if sys::list_processes().is_empty() {
        return Err(sys::limit_at_proc().unwrap_or_else(no_proc));
    }
    Ok(tracefs)
}

/// `ptrace(2)`, access mode PTRACE_MODE_READ_FSCREDS.
pub(super) fn reads_others() -> bool {
    sys::has_capabilities(CapabilitySet::SYS_PTRACE)
}

/// Whether this kernel is known to have no kprobes; `false` if that may not be read.
pub(super) fn lacks_kprobes() -> bool {
    open_tracefs().is_ok_and(|tracefs| !has_kprobes(&tracefs))
}

/// Whether it can be used, and what is missing.
pub(super) fn probe() -> Verdict {
    let tracefs = match open_tracefs() {
        Ok(tracefs) => tracefs,
        Err(obstacle) => return Verdict::Unavailable(obstacle),
    };
    let mut obstacles = Vec::new();
    if !has_kprobes(&tracefs) {
        let lack = Lack::NoKprobes { event_probes: has_event_probes(&tracefs) };
        let remedy = Remedy::Kernel { least: None, options: &["CONFIG_KPROBE_EVENTS"] };
        let ebpf = Remedy::OtherSource { id: Some(SourceId::Ebpf) };
        obstacles.push(Obstacle::new(lack, Cause::NotConfigured, remedy).or(ebpf));
    }
    if !reads_others() {
        obstacles.push(Obstacle::new(Lack::OtherUsersFields, Cause::Privilege, Remedy::Root));
    }
    if obstacles.is_empty() { Verdict::Ready } else { Verdict::Degraded(obstacles) }
}
