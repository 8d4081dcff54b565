/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The records that the BPF programs send. The only source of truth: a test compares the Rust side's
 * offsets with the BTF of the compiled object. All times are nanoseconds of CLOCK_BOOTTIME, all ids
 * those of the initial namespaces.
 */
#ifndef PROCSCOPE_H
#define PROCSCOPE_H

#define PS_COMM_LEN 16

#define PS_UNSET 0xffffffffu

/* The limit of a record's strings, bytes. */
#define PS_PATH_MAX 4096
/*
 * The path of an exec: the called one has at most PATH_MAX bytes, and the kernel may put
 * "/dev/fd/NUMBER/" before it.
 */
#define PS_CALLED_MAX (PS_PATH_MAX + 32)
#define PS_INLINE_ARGV 24576
#define PS_INLINE_ENV 16384
#define PS_CHUNK 28672
#define PS_CGROUP_MAX 1024
/* The longest argument of a refused exec: MAX_ARG_STRLEN does not fit, so a longer one is cut. */
#define PS_FAILED_ARG 32768
#define PS_DATA_MAX 65536

/* How far a path is followed, a list of arguments read, a list of threads summed. */
#define PS_MAX_COMPONENTS 4096
#define PS_MAX_CHUNKS 256
#define PS_MAX_FAILED_ARGS 65536
#define PS_MAX_THREADS 65536

enum ps_kind {
	PS_EXISTING = 0,
	PS_FORK = 1,
	PS_CLONE = 2,
	PS_EXEC = 3,
	PS_EXEC_FAILED = 4,
	PS_EXIT = 5,
	PS_THREAD_EXIT = 6,
	PS_CORE = 7,
	PS_COMM = 8,
	PS_UID = 9,
	PS_GID = 10,
	PS_SID = 11,
	PS_PTRACE = 12,
	/* Up to here kinds of event; from here on data that events need. */
	PS_KINDS = 13,
	PS_CHUNK_ARGV = 13,
	PS_CHUNK_ENV = 14,
	PS_CGROUP = 15,
	PS_LOSSES = 16,
};

/* ps_header.flags */
enum ps_flag {
	PS_F_PATH_CUT = 1 << 0,
	PS_F_EXE_CUT = 1 << 1,
	PS_F_CWD_CUT = 1 << 2,
	PS_F_ARGV_CUT = 1 << 3,
	PS_F_ENV_CUT = 1 << 4,
	PS_F_ARGV_UNREADABLE = 1 << 5,
	PS_F_PATH_UNREADABLE = 1 << 6,
	PS_F_NO_OLD_COMM = 1 << 7,
	PS_F_USAGE_RACED = 1 << 8,
	PS_F_OOM = 1 << 9,
	PS_F_KTHREAD = 1 << 10,
	PS_F_CWD_DELETED = 1 << 11,
	PS_F_COMPAT = 1 << 12,
	PS_F_ENV_UNREADABLE = 1 << 13,
	PS_F_USAGE_TICK = 1 << 14,
	PS_F_UNASKED = 1 << 15, /* sent only for the reader's tables */
};

/* ps_exec.exe_traits */
enum ps_exe_trait {
	PS_EXE_MEMFD = 1 << 0,
	PS_EXE_DELETED = 1 << 1,
	PS_EXE_SETUID = 1 << 2,
	PS_EXE_SETGID = 1 << 3,
	PS_EXE_SECURE = 1 << 4,
};

/* The meaning of the system calls whose numbers matter. */
enum ps_call {
	PS_CALL_OTHER = 0,
	PS_CALL_EXECVE = 1,
	PS_CALL_EXECVEAT = 2,
	PS_CALL_SETID = 3,
	PS_CALL_SETSID = 4,
	PS_CALL_PTRACE = 5,
};

/*
 * The tables of system calls: that of the machine, that of 32-bit programs, that of x32 without
 * its bit.
 */
enum ps_table {
	PS_NATIVE = 0,
	PS_COMPAT = 1,
	PS_X32 = 2,
	PS_TABLES = 3,
};

/* No call of interest has a higher number, in any table. */
#define PS_NUMBERS 576

struct ps_config {
	__u64 bell_bytes; /* this much in the ring wakes the reader early */
	__u32 want_events; /* bits, by ps_kind */
	__u32 need_events; /* likewise: sent whatever the filters say, with PS_F_UNASKED if it was not requested */
	__u8 want_env;
	__u8 filter_pids;
	__u8 filter_trees;
	__u8 filter_uids;
	__u8 filter_names;
	__u8 filter_cgroups;
	__u8 pad[2];
	__u32 again; /* if programs may be preempted, how many CPUs there may be; otherwise 0 */
	__u32 execveat; /* its number in the native table */
	__u8 calls[PS_TABLES][PS_NUMBERS]; /* ps_call, for the numbers without a tracepoint of their own */
};

/* Programs with a second one after them, for the runs of the first that the kernel skips. */
enum ps_twice {
	PS_TWICE_FORK = 0,
	PS_TWICE_EXEC = 1,
	PS_TWICE_EXIT = 2,
	PS_TWICE = 3,
};

enum ps_pace {
	PS_PACE_SLEEP = 0, /* the reader sleeps until a record comes */
	PS_PACE_TIMER = 1, /* it comes by itself */
	PS_PACE_RUNG = 2, /* it was woken early */
};

/* The reader's progress with the watched trees. */
enum ps_trees {
	PS_TREES_PLANTING = 0, /* not all present members are in the map: everything is sent, and every fork */
	PS_TREES_SWITCHING = 1, /* all are; programs at work may not know, so every fork is still sent */
	PS_TREES_READY = 2,
};

struct ps_shared {
	__u64 lost[PS_KINDS];
	__u64 lost_total;
	__u64 lost_told; /* lost_total when a ps_losses was last sent */
	__u64 caught[PS_TWICE]; /* runs for which the second program made up */
	__u64 clock_offset; /* CLOCK_MONOTONIC minus the scheduler's clock, ns; renewed at forks, 0 before the first */
	__u64 clock_read; /* when that was, by the scheduler's clock */
	__u32 pacing; /* ps_pace */
	__u32 trees; /* ps_trees */
};

struct ps_header {
	__u32 size; /* of the whole record */
	__u16 kind;
	__u16 flags;
	__u64 boot_ns;
	__u64 lost; /* events lost before this one, all kinds, since the start */
	__u32 tgid;
	__u32 tid;
	__u64 start_ns; /* of the thread group's leader */
	__u32 cpu;
	__u32 exec_id; /* self_exec_id: rises with each exec, and a copy has its creator's */
};

struct ps_process {
	__u32 ppid;
	__u32 ns_tgid;
	__u64 parent_start_ns;
	__u32 uid;
	__u32 gid;
	__u32 euid;
	__u32 egid;
	__u32 sid;
	__u32 pgid;
	__u32 tty; /* major << 20 | minor; 0 is none */
	__u32 cgroup_hierarchy;
	__u64 cgroup_id;
	__u32 ns_mnt;
	__u32 ns_pid;
	__u32 ns_net;
	__u32 ns_uts;
	__u32 ns_ipc;
	__u32 ns_user;
	__u32 ns_cgroup;
	__u32 ns_time;
	__u32 loginuid; /* the login; PS_UNSET is none, and without CONFIG_AUDIT unknown */
	__u32 audit_session;
	char comm[PS_COMM_LEN];
	char parent_comm[PS_COMM_LEN];
};

struct ps_ref {
	__u64 start_ns;
	__u32 tgid;
	__u32 tid;
	char comm[PS_COMM_LEN];
};

/* PS_FORK, PS_CLONE */
struct ps_fork {
	struct ps_header header;
	struct ps_process process;
	struct ps_ref creator;
	__u64 clone_flags;
	__s32 syscall; /* -1 is unknown */
	__u32 pad;
};

/*
 * PS_EXEC, PS_EXISTING. Then the strings, in this order: path, interpreter, exe, cwd, argv, env.
 * exe and cwd are names from the leaf to the root, each with its NUL; path and interpreter have
 * none. A process whose first thread has ended comes as PS_EXISTING once for each of its threads.
 */
struct ps_exec {
	struct ps_header header;
	struct ps_process process;
	char old_comm[PS_COMM_LEN];
	__u32 old_tid; /* PS_EXISTING: 1 if the filters accept it */
	__u16 exe_traits;
	__u8 has_cwd; /* 0: it could not be read */
	__u8 pad;
	__u16 path_len;
	__u16 interp_len;
	__u16 exe_len;
	__u16 cwd_len;
	__u32 argv_len; /* of the whole list; the part that is not inline came before, in chunks */
	__u32 argv_inline;
	__u32 env_len;
	__u32 env_inline;
};

/*
 * PS_CHUNK_*: a part of a long list, sent before its exec, which has the same tid and time. Then
 * the bytes.
 */
struct ps_chunk {
	struct ps_header header;
	__u32 offset;
	__u32 len;
};

/* PS_EXEC_FAILED. Then path (no NUL), argv. */
struct ps_exec_failed {
	struct ps_header header;
	struct ps_process process;
	__s32 error;
	__s32 dirfd;
	__u32 path_len;
	__u32 argv_len;
	__u32 has_dirfd;
	__u32 pad;
};

/* ps_exit.killer_how */
enum ps_killer {
	PS_KILLER_NONE = 0, /* the kernel, or no signal */
	PS_KILLER_KNOWN = 1,
	PS_KILLER_UNKNOWN = 2,
};

/* PS_EXIT */
struct ps_exit {
	struct ps_header header;
	struct ps_process process;
	__u32 wait_status;
	__u32 killer_how;
	struct ps_ref killer;
	__u64 utime_ns; /* as sampled by the tick */
	__u64 stime_ns;
	__u64 runtime_ns; /* exact, of which the two above are shares */
	__u64 maxrss_pages;
	__u64 read_bytes;
	__u64 write_bytes;
	__u64 rchar;
	__u64 wchar;
	__u64 nvcsw;
	__u64 nivcsw;
	__u64 min_flt;
	__u64 maj_flt;
};

/* PS_THREAD_EXIT */
struct ps_thread_exit {
	struct ps_header header;
	struct ps_process process;
	__u32 wait_status;
	__u32 pad;
	__u64 thread_start_ns;
	char thread_comm[PS_COMM_LEN];
};

/* PS_CORE, PS_COMM, PS_UID, PS_GID, PS_SID, PS_PTRACE */
struct ps_change {
	struct ps_header header;
	struct ps_process process;
	struct ps_ref other; /* PS_PTRACE: the tracer */
	__u32 value[2]; /* PS_CORE: signal. PS_UID, PS_GID: real and effective id before. PS_PTRACE: 1 is attach */
	char old_comm[PS_COMM_LEN];
	char new_comm[PS_COMM_LEN];
};

/*
 * PS_CGROUP: names from the leaf to the root, each with its NUL, len bytes of them. Sent before
 * the first event in that cgroup.
 */
struct ps_cgroup {
	struct ps_header header;
	__u64 id;
	__u32 hierarchy;
	__u32 len;
	__u8 names[PS_CGROUP_MAX];
};

/* PS_LOSSES: the events lost so far, by kind. Sent before the first record after new losses. */
struct ps_losses {
	struct ps_header header;
	__u64 lost[PS_KINDS];
};

#endif
