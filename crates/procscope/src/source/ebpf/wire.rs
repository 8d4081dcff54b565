//! The records of `bpf/procscope.h`, field by field; a test compares these offsets with the
//! compiled object's BTF. Packed, so that they are read in place.
#![allow(missing_docs)]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

macro_rules! wire {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug)]
        #[repr(C, packed)]
        pub(crate) struct $name { $(pub(crate) $field: $ty,)* }

        #[cfg(test)]
        impl $name {
            /// Name, offset and size of each field.
            pub(crate) const FIELDS: &'static [(&'static str, usize, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field), size_of::<$ty>())),*];
        }
    };
}

pub(crate) const COMM_LEN: usize = 16;

pub(crate) mod kind {
    pub(crate) const EXISTING: u16 = 0;
    pub(crate) const FORK: u16 = 1;
    pub(crate) const CLONE: u16 = 2;
    pub(crate) const EXEC: u16 = 3;
    pub(crate) const EXEC_FAILED: u16 = 4;
    pub(crate) const EXIT: u16 = 5;
    pub(crate) const THREAD_EXIT: u16 = 6;
    pub(crate) const CORE: u16 = 7;
    pub(crate) const COMM: u16 = 8;
    pub(crate) const UID: u16 = 9;
    pub(crate) const GID: u16 = 10;
    pub(crate) const SID: u16 = 11;
    pub(crate) const PTRACE: u16 = 12;
    pub(crate) const KINDS: usize = 13;
    pub(crate) const CHUNK_ARGV: u16 = 13;
    pub(crate) const CHUNK_ENV: u16 = 14;
    pub(crate) const CGROUP: u16 = 15;
    pub(crate) const LOSSES: u16 = 16;
}

/// `enum ps_killer`
pub(crate) mod killer {
    pub(crate) const KNOWN: u32 = 1;
    pub(crate) const UNKNOWN: u32 = 2;
}

pub(crate) mod flag {
    pub(crate) const PATH_CUT: u16 = 1 << 0;
    pub(crate) const EXE_CUT: u16 = 1 << 1;
    pub(crate) const CWD_CUT: u16 = 1 << 2;
    pub(crate) const ARGV_CUT: u16 = 1 << 3;
    pub(crate) const ENV_CUT: u16 = 1 << 4;
    pub(crate) const ARGV_UNREADABLE: u16 = 1 << 5;
    pub(crate) const PATH_UNREADABLE: u16 = 1 << 6;
    pub(crate) const NO_OLD_COMM: u16 = 1 << 7;
    pub(crate) const USAGE_RACED: u16 = 1 << 8;
    pub(crate) const OOM: u16 = 1 << 9;
    pub(crate) const KTHREAD: u16 = 1 << 10;
    pub(crate) const CWD_DELETED: u16 = 1 << 11;
    pub(crate) const COMPAT: u16 = 1 << 12;
    pub(crate) const ENV_UNREADABLE: u16 = 1 << 13;
    pub(crate) const USAGE_TICK: u16 = 1 << 14;
    pub(crate) const UNASKED: u16 = 1 << 15;
}

wire!(Config {
    bell_bytes: u64,
    want_events: u32,
    need_events: u32,
    want_env: u8,
    filter_pids: u8,
    filter_trees: u8,
    filter_uids: u8,
    filter_names: u8,
    filter_cgroups: u8,
    pad: [u8; 2],
    again: u32,
    execveat: u32,
    calls: [[u8; NUMBERS]; TABLES],
});

/// The tables of system calls by `enum ps_table`, and how many numbers of each are distinguished.
pub(crate) const TABLES: usize = 3;
pub(crate) const NUMBERS: usize = 576;

/// Tasks that the map of this name has room for, TAKEN of each program.
pub(crate) const TAKEN: u32 = 4096 * TWICE.len() as u32;

/// Programs with a second one after them, by `enum ps_twice`.
pub(crate) const TWICE: [&str; 3] = ["task_newtask", "sched_process_exec", "sched_process_exit"];

wire!(Shared {
    lost: [u64; kind::KINDS],
    lost_total: u64,
    lost_told: u64,
    caught: [u64; TWICE.len()],
    clock_offset: u64,
    clock_read: u64,
    pacing: u32,
    trees: u32
});

wire!(Header {
    size: u32,
    kind: u16,
    flags: u16,
    boot_ns: u64,
    lost: u64,
    tgid: u32,
    tid: u32,
    start_ns: u64,
    cpu: u32,
    exec_id: u32
});

wire!(Process {
    ppid: u32,
    ns_tgid: u32,
    parent_start_ns: u64,
    uid: u32,
    gid: u32,
    euid: u32,
    egid: u32,
    sid: u32,
    pgid: u32,
    tty: u32,
    cgroup_hierarchy: u32,
    cgroup_id: u64,
    ns_mnt: u32,
    ns_pid: u32,
    ns_net: u32,
    ns_uts: u32,
    ns_ipc: u32,
    ns_user: u32,
    ns_cgroup: u32,
    ns_time: u32,
    loginuid: u32,
    audit_session: u32,
    comm: [u8; COMM_LEN],
    parent_comm: [u8; COMM_LEN],
});

wire!(Ref { start_ns: u64, tgid: u32, tid: u32, comm: [u8; COMM_LEN] });

wire!(Fork { header: Header, process: Process, creator: Ref, clone_flags: u64, syscall: i32, pad: u32 });

wire!(Exec {
    header: Header,
    process: Process,
    old_comm: [u8; COMM_LEN],
    old_tid: u32,
    exe_traits: u16,
    has_cwd: u8,
    pad: u8,
    path_len: u16,
    interp_len: u16,
    exe_len: u16,
    cwd_len: u16,
    argv_len: u32,
    argv_inline: u32,
    env_len: u32,
    env_inline: u32,
});

wire!(Chunk { header: Header, offset: u32, len: u32 });

wire!(ExecFailed {
    header: Header,
    process: Process,
    error: i32,
    dirfd: i32,
    path_len: u32,
    argv_len: u32,
    has_dirfd: u32,
    pad: u32,
});

wire!(Exit {
    header: Header,
    process: Process,
    wait_status: u32,
    killer_how: u32,
    killer: Ref,
    utime_ns: u64,
    stime_ns: u64,
    runtime_ns: u64,
    maxrss_pages: u64,
    read_bytes: u64,
    write_bytes: u64,
    rchar: u64,
    wchar: u64,
    nvcsw: u64,
    nivcsw: u64,
    min_flt: u64,
    maj_flt: u64,
});

wire!(ThreadExit {
    header: Header,
    process: Process,
    wait_status: u32,
    pad: u32,
    thread_start_ns: u64,
    thread_comm: [u8; COMM_LEN],
});

wire!(Change {
    header: Header,
    process: Process,
    other: Ref,
    value: [u32; 2],
    old_comm: [u8; COMM_LEN],
    new_comm: [u8; COMM_LEN],
});

wire!(Cgroup { header: Header, id: u64, hierarchy: u32, len: u32 });

wire!(Losses { header: Header, lost: [u64; kind::KINDS] });

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::collections::BTreeMap;

    use libbpf_rs::HasSize;
    use libbpf_rs::btf::types::{MemberAttr, Struct};
    use libbpf_rs::btf::{Btf, BtfKind, BtfType};

    use super::*;

    type Layout = BTreeMap<String, usize>;

    fn of_object(btf: &Btf<'_>, name: &str) -> (Layout, usize) {
        let all = btf.type_by_kind::<BtfType<'_>>();
        let ty = all.into_iter().find(|ty| ty.kind() == BtfKind::Struct && ty.name().is_some_and(|n| n == name));
        let ty = Struct::try_from(ty.unwrap_or_else(|| panic!("the object has no struct {name}"))).unwrap();
        let offset = |attr| match attr {
            MemberAttr::Normal { offset } | MemberAttr::BitField { offset, .. } => offset as usize / 8,
        };
        let fields = ty.iter().map(|field| (field.name.unwrap().to_string_lossy().into_owned(), offset(field.attr)));
        (fields.collect(), ty.size())
    }

    /// A test makes sure that the committed object and this file have one layout.
    #[test]
    fn layouts_are_those_of_the_object() {
        let object = include_bytes!("../../../../../bpf/gen/procscope.bpfel.o");
        let btf = Btf::from_raw("procscope", object).unwrap().unwrap();
        type Fields = &'static [(&'static str, usize, usize)];
        let structs: [(&str, Fields, usize); 14] = [
            ("ps_config", Config::FIELDS, size_of::<Config>()),
            ("ps_shared", Shared::FIELDS, size_of::<Shared>()),
            ("ps_header", Header::FIELDS, size_of::<Header>()),
            ("ps_process", Process::FIELDS, size_of::<Process>()),
            ("ps_ref", Ref::FIELDS, size_of::<Ref>()),
            ("ps_fork", Fork::FIELDS, size_of::<Fork>()),
            ("ps_exec", Exec::FIELDS, size_of::<Exec>()),
            ("ps_chunk", Chunk::FIELDS, size_of::<Chunk>()),
            ("ps_exec_failed", ExecFailed::FIELDS, size_of::<ExecFailed>()),
            ("ps_exit", Exit::FIELDS, size_of::<Exit>()),
            ("ps_thread_exit", ThreadExit::FIELDS, size_of::<ThreadExit>()),
            ("ps_change", Change::FIELDS, size_of::<Change>()),
            ("ps_cgroup", Cgroup::FIELDS, 0),
            ("ps_losses", Losses::FIELDS, size_of::<Losses>()),
        ];
        for (name, fields, size) in structs {
            let (mut theirs, their_size) = of_object(&btf, name);
            // Here the names of a cgroup's path follow its struct; there they are inside it.
            assert!(theirs.remove("names").is_none_or(|offset| offset == size_of::<Cgroup>()));
            let ours: Layout = fields.iter().map(|&(field, offset, _)| (field.to_owned(), offset)).collect();
            assert_eq!(ours, theirs, "{name}");
            assert!(size == 0 || size == their_size, "{name} has {size} bytes here and {their_size} there");
        }
    }
}
