/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The programs' own and shared state. */
#pragma once

/* Set before loading: the verifier removes code that is switched off. */
const volatile struct ps_config config = {};

/* Shared with the reader through mmap. */
struct ps_shared shared = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} ring SEC(".maps");

/*
 * A walk from a directory entry to the root. In memory, where the verifier forgets each step's
 * values.
 */
struct walk {
	struct dentry *dentry;
	struct dentry *root;
	struct vfsmount *vfsmount;
	struct mount *mount;
	u32 off;
	u32 limit;
	bool whole;
};

struct exec_scratch {
	struct ps_exec record;
	u8 data[PS_DATA_MAX];
	struct walk walk;
};

struct failed_walk {
	u64 regs; /* a typed pointer cannot be an argument of a function that is verified once */
	u64 argv;
	u32 pointer; /* bytes of one */
	u32 off;
	u16 flags;
	bool whole;
};

struct failed_scratch {
	struct ps_exec_failed record;
	u8 data[PS_DATA_MAX];
	struct failed_walk walk;
};

struct chunk_scratch {
	struct ps_chunk record;
	u8 data[PS_CHUNK];
};

/*
 * One slot for each CPU; each map belongs to one program, which the kernel never runs twice at a
 * time on a CPU. If programs may be preempted, as many again for each further program.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct exec_scratch);
} exec_scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct chunk_scratch);
} chunk_scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct failed_scratch);
} failed_scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct exec_scratch);
} iter_scratch SEC(".maps");

struct comm_value {
	char comm[PS_COMM_LEN];
};

#define OLD_COMMS 16384

struct old_comm {
	u32 tid;
	char comm[PS_COMM_LEN];
};

/*
 * The comm that an unfinished exec replaced, at the place that the tid chooses: a hash map cost
 * five times as much. A reader that finds another tid there, before or after reading, reports it as
 * unknown.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OLD_COMMS);
	__type(key, u32);
	__type(value, struct old_comm);
} old_comms SEC(".maps");

/* By tid, for programs that may be preempted: the calls for which the first program was run. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u8);
} calls_done SEC(".maps");

struct id_call {
	u32 uid, gid, euid, egid;
};

/* By tid: the ids before a set*id call or an exec. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct id_call);
} id_calls SEC(".maps");

struct ptrace_call {
	u64 request;
	struct ps_ref target;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct ptrace_call);
} ptrace_calls SEC(".maps");

struct sender {
	u64 victim_start;
	struct ps_ref who;
	u32 how; /* ps_killer */
	u32 pad;
};

/* A signal that waits, as its siginfo names it. */
struct pending_key {
	u32 tgid;
	u32 signo;
	s32 code;
	u32 pid; /* the sender's, as the receiver sees it or the sender claims */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct pending_key);
	__type(value, struct sender);
} senders SEC(".maps");

struct killer_key {
	u32 tgid;
	u32 signo;
};

/* The sender of the first signal that ended the process. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct killer_key);
	__type(value, struct sender);
} killers SEC(".maps");

struct cgroup_key {
	u64 id;
	u64 hierarchy;
};

/* The cgroups whose paths were sent. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct cgroup_key);
	__type(value, u8);
} cgroups_sent SEC(".maps");

/*
 * Which of these each CPU saw last, in one word, so that no other program can see half of it: the
 * id and 8 bits of hierarchy. Larger ones are looked up each time.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} last_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u8);
} pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u8);
} trees SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, u32);
	__type(value, u8);
} uids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct comm_value);
	__type(value, u8);
} names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct cgroup_key);
	__type(value, u8);
} cgroups SEC(".maps");

/* The tasks whose event a first program handled: by PS_TWICE_* and tid. */
#define TAKEN 4096

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} taken SEC(".maps");

struct at_work {
	u32 tid[4];
};

/* By CPU: the tasks for which first programs are at work. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct at_work);
} at_work SEC(".maps");
