//! Records for the tests of what takes them.

use super::{
    Body, CgroupKey, Comm, ExitRecord, ImageRecord, ListRecord, LoginRecord, NamesUp, Record, RefRecord, Subject,
    UsageRecord,
};
use crate::{Flaws, Pid};

pub(crate) fn comm(name: &str) -> Comm {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    comm
}

pub(crate) fn reference_to(pid: Pid, start_ns: u64) -> RefRecord {
    RefRecord { pid, tid: pid, start_ns, comm: comm("parent") }
}

pub(crate) fn subject(pid: Pid, start_ns: u64, name: &str) -> Subject {
    Subject {
        pid,
        tid: pid,
        start_ns,
        comm: comm(name),
        parent: reference_to(1, 0),
        ns_pid: pid,
        uid: 0,
        gid: 7,
        euid: 0,
        egid: 0,
        login: LoginRecord::default(),
        sid: 1,
        pgid: 1,
        tty: None,
        cgroup: CgroupKey::default(),
        namespaces: crate::Namespaces::default(),
        kthread: false,
        exec_id: None,
    }
}

pub(crate) fn record(boot_ns: u64, body: Body<'_>) -> Record<'_> {
    Record { boot_ns, processor: None, body, flaws: Flaws::new(), about: Flaws::new() }
}

pub(crate) fn exec<'a>(subject: Subject, argv: &'a [u8], len: usize) -> Body<'a> {
    let argv = ListRecord { inline: argv, len };
    let image = ImageRecord { path: Some(b"p"), exe: Some(NamesUp(b"p\0")), argv, ..ImageRecord::default() };
    Body::Exec { subject, old_comm: Some(comm("old")), old_tid: Some(subject.pid), image }
}

pub(crate) fn exit(subject: Subject) -> Body<'static> {
    let exit = ExitRecord {
        wait_status: Some(0x0300),
        killer: None,
        oom: false,
        usage: Some(UsageRecord {
            utime_ns: 0,
            stime_ns: 0,
            runtime_ns: 5,
            maxrss_pages: 2,
            read_bytes: 0,
            write_bytes: 0,
            rchar: 0,
            wchar: 0,
            nvcsw: 0,
            nivcsw: 0,
            min_flt: 0,
            maj_flt: 0,
        }),
    };
    Body::Exit { subject, exit }
}
