// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Process events from the kernel's tracepoints. Nothing here needs kprobes, fentry or LSM hooks, so it loads on kernels
 * without them and under lockdown=integrity.
 */
#include "core_types.h"
#include "procscope.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 0x00000004
#define TS_COMPAT 0x0002
#define S_ISUID 0004000
#define S_ISGID 0002000
#define PTRACE_TRACEME 0
#define PTRACE_ATTACH 16
#define PTRACE_DETACH 17
#define PTRACE_SEIZE 0x4206

/* Set before loading: the verifier removes what is off. */
const volatile struct ps_config config = {};

/* Shared with the reader through mmap. */
struct ps_shared shared = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} ring SEC(".maps");

/* A walk from a directory entry to the root. In memory, where the verifier forgets each step's values. */
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
	u64 argv;
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
 * One slot a CPU; each map belongs to one program, which the kernel never runs twice at a time on a CPU. Where programs may be
 * preempted as many again, for the second program.
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
 * The comm that an exec under way replaced, at the place that the tid chooses: a hash map cost five times as much. Who finds
 * another tid there, before or after reading, says that it does not know.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OLD_COMMS);
	__type(key, u32);
	__type(value, struct old_comm);
} old_comms SEC(".maps");

struct call {
	u64 path;
	u64 argv;
	s32 dirfd;
	u32 has_dirfd;
};

/* By tid: the exec under way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct call);
} calls SEC(".maps");

struct id_call {
	u32 uid, gid, euid, egid;
};

/* By tid: the ids before a set*id call. */
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

struct killer_key {
	u32 tgid;
	u32 signo;
};

/* Who sent the signals whose default is to end the process. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct killer_key);
	__type(value, struct ps_ref);
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
 * Which of these each CPU saw last, in one word, that no other program can see half of it: the id and 8 bits of hierarchy. Larger
 * ones are looked up each time.
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

/* The tasks whose event a first program took on: by PS_TWICE_* and tid. */
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

/* By CPU: the tasks that first programs are at work for. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct at_work);
} at_work SEC(".maps");

#define wants(kind) (config.want_events & (1u << (kind)))
#define needs(kind) (config.need_events & (1u << (kind)))

void *bpf_rdonly_cast(const void *object, u32 btf_id) __ksym __weak;

/*
 * For each pointer read through a trusted one the verifier (6.2 and later) searches the kernel's whole BTF several times by name.
 * Through this one it does not: it took nine tenths of the time to load these programs.
 */
static __always_inline struct task_struct *untrusted(struct task_struct *task)
{
	if (bpf_ksym_exists(bpf_rdonly_cast))
		return bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
	return task;
}

/* Keeps the compiler from undoing a bound that the verifier needs. */
#define opaque(x) asm volatile("" : "+r"(x))

/*
 * Runs STEP(i, context) till it returns 1: MOST times at the most where the kernel has bpf_loop() (5.17), which verifies a step
 * once; else FEW times, each of which the verifier follows.
 */
#define LOOP(MOST, FEW, STEP, CONTEXT)                                                                                      \
	do {                                                                                                                \
		if (bpf_core_enum_value_exists(enum bpf_func_id___loop, BPF_FUNC_loop___loop)) {                            \
			bpf_loop(MOST, STEP, CONTEXT, 0);                                                                   \
		} else {                                                                                                    \
			for (int i = 0; i < (FEW); i++)                                                                     \
				if (STEP(i, CONTEXT))                                                                       \
					break;                                                                              \
		}                                                                                                           \
	} while (0)

/*
 * Since Linux 7.0 a program on a tracepoint may be preempted, and while it is under way the kernel skips each other run of it on
 * that CPU. So behind the first program stands a second one, which does the same for the tasks that the first one was not run for.
 * What the kernel skips when a program has just begun or is about to end nobody makes up for; it is counted.
 */
static __always_inline void begin_first(u32 which, struct task_struct *task)
{
	u32 cpu = bpf_get_smp_processor_id(), tid, slot, *of;
	struct at_work *work;

	if (!config.again)
		return;
	tid = untrusted(task)->pid;
	slot = which * TAKEN + tid % TAKEN;
	work = bpf_map_lookup_elem(&at_work, &cpu);
	of = bpf_map_lookup_elem(&taken, &slot);
	if (!work || !of)
		return;
	*(volatile u32 *)&work->tid[which] = tid;
	*(volatile u32 *)of = tid;
}

static __always_inline void end_first(u32 which)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct at_work *work;

	if (!config.again)
		return;
	work = bpf_map_lookup_elem(&at_work, &cpu);
	if (work)
		*(volatile u32 *)&work->tid[which] = 0;
}

/* Whether the first program was not run for this task, since it is under way for another one. */
static __always_inline bool begin_second(u32 which, struct task_struct *task)
{
	u32 cpu = bpf_get_smp_processor_id(), tid = untrusted(task)->pid, slot = which * TAKEN + tid % TAKEN, *of;
	struct at_work *work = bpf_map_lookup_elem(&at_work, &cpu);

	of = bpf_map_lookup_elem(&taken, &slot);
	if (!work || !of)
		return false;
	if (__sync_val_compare_and_swap(of, tid, 0) == tid || !*(volatile u32 *)&work->tid[which])
		return false;
	__sync_fetch_and_add(&shared.caught[which], 1);
	return true;
}

/* Where a program that is to be run FIRST, or else second, has its scratch space. */
static __always_inline u32 slot_of(bool first)
{
	return bpf_get_smp_processor_id() + (first ? 0 : config.again);
}

static __always_inline void count_loss(u32 kind)
{
	__sync_fetch_and_add(&shared.lost[kind], 1);
	__sync_fetch_and_add(&shared.lost_total, 1);
}

/*
 * The reader drains every few milliseconds while there are events, and is woken only when it sleeps for want of them or
 * when the ring fills up.
 */
static __always_inline u64 wake_flags(void)
{
	u32 pace = shared.pacing;

	if (pace == PS_PACE_SLEEP)
		return 0;
	if (pace == PS_PACE_TIMER && bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > config.bell_bytes) {
		shared.pacing = PS_PACE_RUNG;
		return BPF_RB_FORCE_WAKEUP;
	}
	return BPF_RB_NO_WAKEUP;
}

static __noinline int send_losses(void)
{
	u64 total = shared.lost_total;
	struct ps_losses *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record)
		return 0;
	record->header.size = sizeof(*record);
	record->header.kind = PS_LOSSES;
	record->header.flags = 0;
	record->header.boot_ns = 0;
	record->header.lost = total;
	record->header.tgid = 0;
	record->header.tid = 0;
	record->header.start_ns = 0;
	for (int kind = 0; kind < PS_KINDS; kind++)
		record->lost[kind] = shared.lost[kind];
	shared.lost_told = total;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/* To be called before a record is reserved: what was lost before it is told of before it, however late the reader comes. */
static __always_inline void losses_first(void)
{
	if (shared.lost_total != shared.lost_told)
		send_losses();
}

/* Of an address; the other walks have typed pointers, which are read without a call. */
static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *kn)
{
	if (bpf_core_field_exists(((struct kernfs_node___rcu *)0)->__parent))
		return (void *)BPF_CORE_READ((struct kernfs_node___rcu *)kn, __parent);
	return BPF_CORE_READ(kn, parent);
}

#define CGROUP_OF(SUBSYS)                                                                                                   \
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, SUBSYS)) {                                                    \
		struct cgroup *cgroup = set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, SUBSYS)]->cgroup;            \
		if (cgroup->level > 0)                                                                                      \
			return cgroup;                                                                                      \
	}

/* Where the unified hierarchy says nothing, the first controller of the old ones that does. */
static __always_inline struct cgroup *cgroup_of(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct cgroup *unified;

	if (!set)
		return NULL;
	unified = set->dfl_cgrp;
	if (unified->level > 0)
		return unified;
	CGROUP_OF(memory_cgrp_id)
	CGROUP_OF(pids_cgrp_id)
	CGROUP_OF(cpu_cgrp_id)
	CGROUP_OF(cpuset_cgrp_id)
	CGROUP_OF(devices_cgrp_id)
	return unified;
}

static __always_inline bool in_cgroups(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct kernfs_node *kn;

	if (!set)
		return false;
	kn = BPF_CORE_READ(set, dfl_cgrp, kn);
	for (int i = 0; i < 32 && kn; i++) {
		struct cgroup_key key = { .id = BPF_CORE_READ(kn, id) };

		if (bpf_map_lookup_elem(&cgroups, &key))
			return true;
		kn = kernfs_parent(kn);
	}
	return false;
}

/* A member's child whose fork no program was run for. */
static __always_inline bool adopts(struct task_struct *task)
{
	u32 tgid = task->tgid, parent;
	u8 in = 1;

	if (!config.again)
		return false;
	parent = task->real_parent->tgid;
	if (!bpf_map_lookup_elem(&trees, &parent))
		return false;
	bpf_map_update_elem(&trees, &tgid, &in, BPF_ANY);
	return true;
}

static __always_inline bool wanted(struct task_struct *task)
{
	u32 tgid = task->tgid;

	if (config.filter_pids && !bpf_map_lookup_elem(&pids, &tgid))
		return false;
	if (config.filter_trees && shared.trees != PS_TREES_PLANTING && !bpf_map_lookup_elem(&trees, &tgid) && !adopts(task))
		return false;
	if (config.filter_uids) {
		u32 uid = task->cred->uid.val;

		if (!bpf_map_lookup_elem(&uids, &uid))
			return false;
	}
	if (config.filter_names) {
		struct task_struct *leader = task->group_leader;
		struct comm_value name = {};

		bpf_probe_read_kernel_str(name.comm, sizeof(name.comm), leader->comm);
		if (!bpf_map_lookup_elem(&names, &name))
			return false;
	}
	if (config.filter_cgroups && !in_cgroups(task))
		return false;
	return true;
}

/* Whether a record of this kind is sent; where nobody asked for it, it says so. */
static __always_inline bool sends(u32 kind, struct task_struct *task, u16 *flags)
{
	if (wants(kind) && wanted(task))
		return true;
	if (!needs(kind))
		return false;
	*flags |= PS_F_UNASKED;
	return true;
}

static __always_inline void fill_header(struct ps_header *h, struct task_struct *task, u32 size, u16 kind, u16 flags, u64 now)
{
	struct task_struct *leader = task->group_leader;

	h->size = size;
	h->kind = kind;
	h->flags = flags;
	h->boot_ns = now;
	h->lost = shared.lost_total;
	h->tgid = task->tgid;
	h->tid = task->pid;
	h->start_ns = leader->start_boottime;
}

/* Two plain loads: a helper's call costs ten times as much. */
static __always_inline void copy_comm(char *to, struct task_struct *task)
{
	((u64 *)to)[0] = *(u64 *)task->comm;
	((u64 *)to)[1] = *(u64 *)(task->comm + 8);
}

static __always_inline void fill_ref(struct ps_ref *ref, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	ref->tgid = task->tgid;
	ref->tid = task->pid;
	ref->start_ns = leader->start_boottime;
	copy_comm(ref->comm, leader);
}

static __always_inline u32 read_pid_nr(struct pid *pid)
{
	return pid ? pid->numbers[0].nr : 0;
}

/* The walks keep their state in memory, where the verifier forgets each step's values. */
static long cgroup_step(u32 i, struct ps_cgroup **context)
{
	struct ps_cgroup *record = *context;
	struct kernfs_node *kn = (void *)record->id, *parent = kernfs_parent(kn);
	u32 end = record->len;
	long n;

	if (!parent) {
		record->header.flags = 0;
		return 1;
	}
	opaque(end);
	if (end > PS_CGROUP_MAX - 256)
		return 1;
	n = bpf_probe_read_kernel_str(record->names + end, 256, BPF_CORE_READ(kn, name));
	if (n > 0)
		record->len = end + n;
	record->id = (u64)parent;
	return 0;
}

/*
 * Sends the path of a cgroup that was not sent yet. It is made in the ring itself: every program may come here, and where programs
 * may be preempted, two of them on one CPU at a time.
 */
static __noinline int send_cgroup(u64 kn, u64 id, u64 hierarchy)
{
	struct cgroup_key key = { .id = id, .hierarchy = hierarchy };
	struct ps_cgroup *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	u8 sent = 1;

	if (!record)
		return 0;
	record->header.size = sizeof(*record);
	record->header.kind = PS_CGROUP;
	record->header.flags = PS_F_PATH_CUT;
	record->header.boot_ns = 0;
	record->header.lost = shared.lost_total;
	record->header.tgid = 0;
	record->header.tid = 0;
	record->header.start_ns = 0;
	record->id = kn;
	record->hierarchy = hierarchy;
	record->len = 0;
	LOOP(64, 16, cgroup_step, &record);
	record->id = id;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	bpf_map_update_elem(&cgroups_sent, &key, &sent, BPF_ANY);
	return 0;
}

/* To be called before the record that bears the key is reserved, so that the path precedes it. */
static __always_inline struct cgroup_key find_cgroup(struct task_struct *task)
{
	struct cgroup *cgroup = cgroup_of(task);
	struct cgroup_key key = {};
	struct kernfs_node *kn;
	u32 cpu = bpf_get_smp_processor_id();
	u64 *last;

	if (!cgroup)
		return key;
	kn = cgroup->kn;
	key.id = kn->id;
	key.hierarchy = cgroup->root->hierarchy_id;
	last = bpf_map_lookup_elem(&last_cgroups, &cpu);
	if (last && *last == (key.id << 8 | key.hierarchy) && key.id >> 56 == 0 && key.hierarchy < 256)
		return key;
	if (!bpf_map_lookup_elem(&cgroups_sent, &key))
		send_cgroup((u64)kn, key.id, key.hierarchy);
	else if (last)
		*last = key.id << 8 | key.hierarchy;
	return key;
}

static __always_inline void fill_process(struct ps_process *p, struct task_struct *task, struct cgroup_key *cgroup)
{
	struct task_struct *leader = task->group_leader;
	struct task_struct *parent = task->real_parent;
	struct signal_struct *signal = task->signal;
	struct nsproxy *nsproxy = task->nsproxy;
	const struct cred *cred = task->cred;
	struct tty_struct *tty = signal->tty;
	struct pid *pid = leader->thread_pid;

	p->cgroup_id = cgroup->id;
	p->cgroup_hierarchy = cgroup->hierarchy;
	p->ppid = parent->tgid;
	parent = parent->group_leader;
	p->parent_start_ns = parent->start_boottime;
	copy_comm(p->parent_comm, parent);
	copy_comm(p->comm, leader);
	p->uid = cred->uid.val;
	p->gid = cred->gid.val;
	p->euid = cred->euid.val;
	p->egid = cred->egid.val;
	p->ns_user = cred->user_ns->ns.inum;
	p->pgid = read_pid_nr(signal->pids[2]);
	p->sid = read_pid_nr(signal->pids[3]);
	p->tty = 0;
	if (tty) {
		struct tty_driver *driver = tty->driver;

		p->tty = (u32)driver->major << 20 | ((u32)(driver->minor_start + tty->index) & 0xfffff);
	}
	p->ns_tgid = p->ns_pid = 0;
	if (pid && !pid->level) {
		p->ns_tgid = pid->numbers[0].nr;
		p->ns_pid = pid->numbers[0].ns->ns.inum;
	} else if (pid) {
		struct upid *upid = (void *)pid + bpf_core_field_offset(struct pid, numbers);

		upid += pid->level;
		p->ns_tgid = BPF_CORE_READ(upid, nr);
		p->ns_pid = BPF_CORE_READ(upid, ns, ns.inum);
	}
	p->ns_mnt = p->ns_net = p->ns_uts = p->ns_ipc = p->ns_cgroup = p->ns_time = 0;
	if (nsproxy) {
		p->ns_mnt = nsproxy->mnt_ns->ns.inum;
		p->ns_net = nsproxy->net_ns->ns.inum;
		p->ns_uts = nsproxy->uts_ns->ns.inum;
		p->ns_ipc = nsproxy->ipc_ns->ns.inum;
		p->ns_cgroup = nsproxy->cgroup_ns->ns.inum;
		if (bpf_core_field_exists(nsproxy->time_ns))
			p->ns_time = nsproxy->time_ns->ns.inum;
	}
}

static __always_inline s32 read_syscall(struct task_struct *task, u16 *flags)
{
	void *regs;

	if (task->flags & PF_KTHREAD)
		return -1;
	if (!bpf_core_enum_value_exists(enum bpf_func_id___task_pt_regs, BPF_FUNC_task_pt_regs___task_pt_regs))
		return -1;
	regs = (void *)bpf_task_pt_regs((void *)task);
	if (bpf_core_field_exists(task->thread_info.status) && task->thread_info.status & TS_COMPAT)
		*flags |= PS_F_COMPAT;
	if (bpf_core_field_exists(((struct pt_regs___x86 *)0)->orig_ax)) {
		struct pt_regs___x86 *typed;

		if (!bpf_ksym_exists(bpf_rdonly_cast))
			return (s32)BPF_CORE_READ((struct pt_regs___x86 *)regs, orig_ax);
		typed = bpf_rdonly_cast(regs, bpf_core_type_id_kernel(struct pt_regs___x86));
		return typed->orig_ax;
	}
	if (bpf_core_field_exists(((struct pt_regs___arm64 *)0)->syscallno))
		return BPF_CORE_READ((struct pt_regs___arm64 *)regs, syscallno);
	return -1;
}

static __always_inline int on_newtask(struct task_struct *trusted, u64 clone_flags)
{
	struct task_struct *task = untrusted(trusted), *current = bpf_get_current_task_btf(), *creator = untrusted(current);
	u32 tgid = task->tgid;
	bool thread = task->pid != tgid;
	u32 kind = thread ? PS_CLONE : PS_FORK;
	struct cgroup_key cgroup;
	struct ps_fork *record;
	u16 flags = 0;
	u64 now;

	if (config.filter_trees && !thread) {
		u32 parent = task->real_parent->tgid;

		if (bpf_map_lookup_elem(&trees, &parent)) {
			u8 in = 1;

			bpf_map_update_elem(&trees, &tgid, &in, BPF_ANY);
		}
	}
	if (!(thread ? sends(PS_CLONE, task, &flags) : sends(PS_FORK, task, &flags))) {
		/* The reader needs every fork to complete the trees. */
		if (!config.filter_trees || thread || shared.trees == PS_TREES_READY)
			return 0;
		flags |= PS_F_UNASKED;
	}
	cgroup = find_cgroup(task);
	losses_first();
	now = bpf_ktime_get_boot_ns();
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_loss(kind);
		return 0;
	}
	if (task->flags & PF_KTHREAD)
		flags |= PS_F_KTHREAD;
	record->syscall = read_syscall(current, &flags);
	fill_header(&record->header, task, sizeof(*record), kind, flags, now);
	fill_process(&record->process, task, &cgroup);
	fill_ref(&record->creator, creator);
	record->clone_flags = clone_flags;
	record->pad = 0;
	bpf_ringbuf_submit(record, wake_flags());
	return 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(task_newtask, struct task_struct *task, u64 clone_flags)
{
	begin_first(PS_TWICE_FORK, task);
	on_newtask(task, clone_flags);
	end_first(PS_TWICE_FORK);
	return 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(task_newtask_2, struct task_struct *task, u64 clone_flags)
{
	return begin_second(PS_TWICE_FORK, task) ? on_newtask(task, clone_flags) : 0;
}

/* How long an offset is taken for true, ns. */
#define CLOCK_KEEPS 1000000

/* The scheduler's clock, which cannot be read, was read for the new task just now: wake_up_new_task(), sched_info_enqueue(). */
SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(sched_wakeup_new, struct task_struct *trusted)
{
	struct task_struct *task = untrusted(trusted);
	u64 queued;

	if (!bpf_core_field_exists(task->sched_info))
		return 0;
	queued = task->sched_info.last_queued;
	/* The two clocks part by 500 parts in a million at the most, and each renewal takes the words from the other CPUs. */
	if (queued - shared.clock_read < CLOCK_KEEPS)
		return 0;
	shared.clock_read = queued;
	shared.clock_offset = bpf_ktime_get_ns() - queued;
	return 0;
}

/*
 * What the running task used since the scheduler last added it up, at most a tick: the time since it came to run, without
 * what was added since then.
 */
static __always_inline u64 unaccounted_ns(struct task_struct *task, u16 *flags)
{
	s64 ns;

	if (!bpf_core_field_exists(task->sched_info) || !shared.clock_offset) {
		*flags |= PS_F_USAGE_TICK;
		return 0;
	}
	ns = bpf_ktime_get_ns() - shared.clock_offset - task->sched_info.last_arrival;
	ns -= task->se.sum_exec_runtime - task->se.prev_sum_exec_runtime;
	if (ns < 0)
		return 0;
	if (ns > 10000000)
		return 10000000;
	return ns;
}

/* Beside an offset: not all of it is there. */
#define CUT (1ull << 32)

/* Where a mount hangs: its parent, the entry in there, and the parent's own root. */
struct place {
	struct mount *above;
	struct dentry *mountpoint;
	struct dentry *root;
};

static __always_inline struct place place_of(struct mount *mount)
{
	struct place place;

	if (bpf_ksym_exists(bpf_rdonly_cast)) {
		struct mount *typed = bpf_rdonly_cast(mount, bpf_core_type_id_kernel(struct mount));

		place.above = typed->mnt_parent;
		place.mountpoint = typed->mnt_mountpoint;
		place.root = typed->mnt_parent->mnt.mnt_root;
	} else {
		place.above = BPF_CORE_READ(mount, mnt_parent);
		place.mountpoint = BPF_CORE_READ(mount, mnt_mountpoint);
		place.root = BPF_CORE_READ(mount, mnt_parent, mnt.mnt_root);
	}
	return place;
}

static long path_step(u32 i, struct exec_scratch **context)
{
	struct exec_scratch *scratch = *context;
	struct walk *walk = &scratch->walk;
	struct dentry *dentry = walk->dentry, *parent;
	const unsigned char *name;
	u32 off = walk->off;
	long n;

	if (dentry == walk->root) {
		struct mount *mount = walk->mount;
		struct place place = place_of(mount);

		if (place.above == mount || !place.above) {
			walk->whole = true;
			return 1;
		}
		walk->dentry = place.mountpoint;
		walk->mount = place.above;
		walk->root = place.root;
		return 0;
	}
	if (bpf_ksym_exists(bpf_rdonly_cast)) {
		struct dentry *typed = bpf_rdonly_cast(dentry, bpf_core_type_id_kernel(struct dentry));

		parent = typed->d_parent;
		name = typed->d_name.name;
	} else {
		parent = BPF_CORE_READ(dentry, d_parent);
		name = BPF_CORE_READ(dentry, d_name.name);
	}
	opaque(off);
	if (off > walk->limit || off > PS_DATA_MAX - 256)
		return 1;
	n = bpf_probe_read_kernel_str(scratch->data + off, 256, name);
	if (n > 0)
		walk->off = off + n;
	if (parent == dentry || !parent) {
		walk->whole = true;
		return 1;
	}
	walk->dentry = parent;
	return 0;
}

/* The slot of the processes that run already. */
#define OF_EXISTING (~0u)

/*
 * Names from the walk's dentry and vfsmount to the root of the mount namespace, as d_absolute_path() goes. Returns the new end.
 * No lock is held: a directory renamed in the same microsecond may show under either name.
 * A function that is not static is verified once, whoever calls it.
 */
__noinline u64 read_path(u32 off, u32 limit, u32 slot)
{
	struct exec_scratch *scratch;
	struct vfsmount *vfsmount;
	u32 zero = 0;

	if (slot == OF_EXISTING)
		scratch = bpf_map_lookup_elem(&iter_scratch, &zero);
	else
		scratch = bpf_map_lookup_elem(&exec_scratches, &slot);
	if (!scratch)
		return CUT | off;
	vfsmount = scratch->walk.vfsmount;
	scratch->walk.mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	if (bpf_ksym_exists(bpf_rdonly_cast)) {
		struct vfsmount *typed = bpf_rdonly_cast(vfsmount, bpf_core_type_id_kernel(struct vfsmount));

		scratch->walk.root = typed->mnt_root;
	} else {
		scratch->walk.root = BPF_CORE_READ(vfsmount, mnt_root);
	}
	scratch->walk.off = off;
	scratch->walk.limit = limit;
	scratch->walk.whole = false;
	LOOP(PS_MAX_COMPONENTS, 64, path_step, &scratch);
	return scratch->walk.whole ? scratch->walk.off : CUT | scratch->walk.off;
}

static __always_inline bool is_unhashed(struct dentry *dentry)
{
	return !dentry->d_hash.pprev;
}

static __always_inline bool is_root(struct dentry *dentry)
{
	return dentry->d_parent == dentry;
}

static __always_inline u32 read_exe_traits(struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;
	u16 mode = file->f_inode->i_mode;
	u32 traits = 0;

	if (mode & S_ISUID)
		traits |= PS_EXE_SETUID;
	if (mode & S_ISGID)
		traits |= PS_EXE_SETGID;
	if (is_unhashed(dentry)) {
		if (is_root(dentry)) {
			char name[8] = {};

			/* Files of memfd_create(2) hang in no directory: mm/memfd.c gives them this prefix. */
			bpf_probe_read_kernel_str(name, sizeof(name), dentry->d_name.name);
			if (*(u32 *)name == 0x666d656d && name[4] == 'd' && name[5] == ':')
				traits |= PS_EXE_MEMFD;
		}
		traits |= PS_EXE_DELETED;
	}
	return traits;
}

/* Reads the paths of the executed file and of the working directory behind what stands in data up to off. */
static __always_inline u32 read_places(struct exec_scratch *scratch, u32 off, struct task_struct *task, struct mm_struct *mm, u32 slot, u16 *flags)
{
	struct ps_exec *record = &scratch->record;
	struct file *file = mm ? mm->exe_file : NULL;
	struct fs_struct *fs = task->fs;
	u32 start = off;
	u64 end;

	record->exe_traits = 0;
	if (file) {
		scratch->walk.vfsmount = file->f_path.mnt;
		scratch->walk.dentry = file->f_path.dentry;
		end = read_path(off, 12288 - 256, slot);
		if (end & CUT)
			*flags |= PS_F_EXE_CUT;
		off = end;
		record->exe_traits = read_exe_traits(file);
	}
	record->exe_len = off - start;
	start = off;
	if (fs) {
		struct dentry *dentry = fs->pwd.dentry;

		if (dentry && is_unhashed(dentry) && !is_root(dentry))
			*flags |= PS_F_CWD_DELETED;
		scratch->walk.vfsmount = fs->pwd.mnt;
		scratch->walk.dentry = dentry;
		end = read_path(off, 16384 - 256, slot);
		if (end & CUT)
			*flags |= PS_F_CWD_CUT;
		off = end;
	}
	record->cwd_len = off - start;
	return off;
}

struct chunk_list {
	struct chunk_scratch *chunk;
	u64 addr;
	u32 len;
};

static long chunk_step(u32 i, struct chunk_list *list)
{
	struct chunk_scratch *chunk = list->chunk;
	u32 done = chunk->record.offset, part = list->len - done;

	if (done >= list->len)
		return 1;
	if (part > PS_CHUNK)
		part = PS_CHUNK;
	opaque(part);
	if (part > PS_CHUNK || bpf_probe_read_user(chunk->data, part, (void *)(list->addr + done)))
		return 1;
	chunk->record.header.size = sizeof(chunk->record) + part;
	chunk->record.header.lost = shared.lost_total;
	chunk->record.len = part;
	if (bpf_ringbuf_output(&ring, chunk, sizeof(chunk->record) + part, wake_flags()))
		return 1;
	chunk->record.offset = done + part;
	return 0;
}

/* Sends a long list ahead of its exec, in parts. Returns how many bytes went out. */
__noinline u32 send_chunks(u32 kind, u64 addr, u32 len, u64 now, u32 slot)
{
	struct chunk_list list = { .addr = addr, .len = len };

	list.chunk = bpf_map_lookup_elem(&chunk_scratches, &slot);
	if (!list.chunk)
		return 0;
	fill_header(&list.chunk->record.header, bpf_get_current_task_btf(), 0, kind, 0, now);
	list.chunk->record.offset = 0;
	LOOP(PS_MAX_CHUNKS, 96, chunk_step, &list);
	return list.chunk->record.offset;
}

/* PATH_LIMIT is where the paths end at the latest: three of them, 4096 bytes each and one name more. */
#define PATH_LIMIT 16640

static __always_inline int on_exec(struct task_struct *trusted, int old_pid, struct linux_binprm *bprm, bool first)
{
	struct task_struct *task = untrusted(trusted);
	u32 scratch_slot = slot_of(first), old_tid = old_pid, tid = task->pid, off, len;
	struct exec_scratch *scratch;
	struct old_comm *old_comm;
	struct cgroup_key cgroup;
	struct ps_exec *record;
	struct mm_struct *mm;
	u16 flags = 0;
	u64 now, start;
	u32 slot;
	long n;

	if (wants(PS_EXEC_FAILED))
		bpf_map_delete_elem(&calls, &old_tid);
	if (!sends(PS_EXEC, task, &flags))
		return 0;
	scratch = bpf_map_lookup_elem(&exec_scratches, &scratch_slot);
	mm = task->mm;
	if (!scratch || !mm) {
		count_loss(PS_EXEC);
		return 0;
	}
	record = &scratch->record;
	cgroup = find_cgroup(task);
	losses_first();
	now = bpf_ktime_get_boot_ns();

	n = bpf_probe_read_kernel_str(scratch->data, PS_PATH_MAX, bprm->filename);
	off = n > 0 ? n - 1 : 0;
	if (n <= 0)
		flags |= PS_F_PATH_UNREADABLE;
	record->path_len = off;
	record->interp_len = 0;
	opaque(off);
	if (off > PS_PATH_MAX)
		off = PS_PATH_MAX;
	if (bprm->interp != bprm->filename) {
		n = bpf_probe_read_kernel_str(scratch->data + off, PS_PATH_MAX, bprm->interp);
		if (n > 0) {
			record->interp_len = n - 1;
			off += n - 1;
		}
	}
	opaque(off);
	if (off > 2 * PS_PATH_MAX)
		off = 2 * PS_PATH_MAX;
	off = read_places(scratch, off, task, mm, scratch_slot, &flags);
	if (BPF_CORE_READ_BITFIELD(bprm, secureexec))
		record->exe_traits |= PS_EXE_SECURE;

	start = mm->arg_start;
	len = flags & PS_F_UNASKED ? 0 : mm->arg_end - start;
	record->argv_len = len;
	record->argv_inline = 0;
	opaque(off);
	if (off > PATH_LIMIT)
		off = PATH_LIMIT;
	if (len > PS_INLINE_ARGV) {
		if (send_chunks(PS_CHUNK_ARGV, start, len, now, scratch_slot) != len)
			flags |= PS_F_ARGV_CUT;
	} else {
		opaque(len);
		if (len <= PS_INLINE_ARGV) {
			if (bpf_probe_read_user(scratch->data + off, len, (void *)start)) {
				flags |= PS_F_ARGV_UNREADABLE;
			} else {
				record->argv_inline = len;
				off += len;
			}
		}
	}
	record->env_len = 0;
	record->env_inline = 0;
	if (config.want_env && !(flags & PS_F_UNASKED)) {
		start = mm->env_start;
		len = mm->env_end - start;
		record->env_len = len;
		opaque(off);
		if (off > PATH_LIMIT + PS_INLINE_ARGV)
			off = PATH_LIMIT + PS_INLINE_ARGV;
		if (len > PS_INLINE_ENV) {
			if (send_chunks(PS_CHUNK_ENV, start, len, now, scratch_slot) != len)
				flags |= PS_F_ENV_CUT;
		} else {
			opaque(len);
			if (len <= PS_INLINE_ENV) {
				if (bpf_probe_read_user(scratch->data + off, len, (void *)start)) {
					flags |= PS_F_ENV_UNREADABLE;
				} else {
					record->env_inline = len;
					off += len;
				}
			}
		}
	}

	record->old_tid = old_tid;
	slot = tid % OLD_COMMS;
	old_comm = bpf_map_lookup_elem(&old_comms, &slot);
	__builtin_memset(record->old_comm, 0, PS_COMM_LEN);
	if (old_comm && *(volatile u32 *)&old_comm->tid == tid)
		__builtin_memcpy(record->old_comm, old_comm->comm, PS_COMM_LEN);
	if (!old_comm || __sync_val_compare_and_swap(&old_comm->tid, tid, 0) != tid) {
		__builtin_memset(record->old_comm, 0, PS_COMM_LEN);
		flags |= PS_F_NO_OLD_COMM;
	}
	fill_process(&record->process, task, &cgroup);
	opaque(off);
	if (off > PS_DATA_MAX)
		off = PS_DATA_MAX;
	fill_header(&record->header, task, sizeof(*record) + off, PS_EXEC, flags, now);
	if (bpf_ringbuf_output(&ring, scratch, sizeof(*record) + off, wake_flags()))
		count_loss(PS_EXEC);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(sched_process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	begin_first(PS_TWICE_EXEC, task);
	on_exec(task, old_pid, bprm, true);
	end_first(PS_TWICE_EXEC);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(sched_process_exec_2, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	return begin_second(PS_TWICE_EXEC, task) ? on_exec(task, old_pid, bprm, false) : 0;
}

static __always_inline struct ps_change *reserve_change(struct task_struct *task, u16 kind, u64 now)
{
	struct cgroup_key cgroup = find_cgroup(task);
	struct ps_change *record;

	losses_first();
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_loss(kind);
		return NULL;
	}
	fill_header(&record->header, task, sizeof(*record), kind, 0, now);
	fill_process(&record->process, task, &cgroup);
	__builtin_memset(&record->other, 0, sizeof(record->other));
	record->value[0] = record->value[1] = 0;
	__builtin_memset(record->old_comm, 0, PS_COMM_LEN);
	__builtin_memset(record->new_comm, 0, PS_COMM_LEN);
	return record;
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_rename, struct task_struct *trusted, const char *comm)
{
	struct task_struct *task = untrusted(trusted);
	struct mm_struct *mm = task->mm;
	struct ps_change *record;
	u16 flags = 0;

	/* begin_new_exec() renames when the new mm is in place and has no arguments yet. */
	if (mm && mm->arg_start == 0) {
		u32 tid = task->pid, slot = tid % OLD_COMMS;
		struct old_comm *old = bpf_map_lookup_elem(&old_comms, &slot);

		if (!wants(PS_EXEC) || !old)
			return 0;
		__sync_lock_test_and_set(&old->tid, 0);
		copy_comm(old->comm, task);
		__sync_lock_test_and_set(&old->tid, tid);
		return 0;
	}
	if (!sends(PS_COMM, task, &flags))
		return 0;
	record = reserve_change(task, PS_COMM, bpf_ktime_get_boot_ns());
	if (!record)
		return 0;
	record->header.flags = flags;
	bpf_probe_read_kernel(record->old_comm, PS_COMM_LEN, task->comm);
	bpf_probe_read_kernel_str(record->new_comm, PS_COMM_LEN, comm);
	bpf_ringbuf_submit(record, wake_flags());
	return 0;
}

static __always_inline int enter_exec(const void *path, const void *argv, s32 dirfd, u32 has_dirfd)
{
	struct call call = { .path = (u64)path, .argv = (u64)argv, .dirfd = dirfd, .has_dirfd = has_dirfd };
	u32 tid = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

SEC("tracepoint")
int sys_enter_execve(struct syscall_trace_enter *ctx)
{
	return enter_exec((void *)ctx->args[0], (void *)ctx->args[1], 0, 0);
}

SEC("tracepoint")
int sys_enter_execveat(struct syscall_trace_enter *ctx)
{
	return enter_exec((void *)ctx->args[1], (void *)ctx->args[2], ctx->args[0], 1);
}

/* The length with the NUL, or an error. Older kernels (6.12 is one) say 0 of an empty string. */
static __always_inline long read_string(u8 *to, u32 size, u64 from)
{
	long n = bpf_probe_read_user_str(to, size, (void *)from);

	if (n)
		return n;
	*to = 0;
	return 1;
}

static long failed_step(u32 i, struct failed_scratch **context)
{
	struct failed_scratch *scratch = *context;
	struct failed_walk *walk = &scratch->walk;
	u32 off = walk->off;
	u64 arg = 0;
	long n;

	/* Linux takes a null argv for an empty one. */
	if (walk->argv && bpf_probe_read_user(&arg, sizeof(arg), (void *)walk->argv)) {
		walk->flags |= PS_F_ARGV_UNREADABLE;
		return 1;
	}
	if (!arg) {
		walk->whole = true;
		return 1;
	}
	opaque(off);
	if (off > PS_DATA_MAX - PS_FAILED_ARG)
		return 1;
	n = read_string(scratch->data + off, PS_FAILED_ARG, arg);
	if (n < 0) {
		walk->flags |= PS_F_ARGV_UNREADABLE;
		return 1;
	}
	walk->off = off + n;
	walk->argv += 8;
	return n == PS_FAILED_ARG;
}

/* A refused exec left the old program's memory in place, arguments and all. */
SEC("tracepoint")
int sys_exit_exec(struct syscall_trace_exit *ctx)
{
	struct task_struct *task = untrusted(bpf_get_current_task_btf());
	u32 cpu = bpf_get_smp_processor_id(), tid = bpf_get_current_pid_tgid(), off;
	struct failed_walk *walk;
	struct failed_scratch *scratch;
	struct ps_exec_failed *record;
	struct cgroup_key cgroup;
	struct call *call;
	u16 flags = 0;
	long n;

	if (ctx->ret >= 0)
		return 0;
	call = bpf_map_lookup_elem(&calls, &tid);
	if (!call)
		return 0;
	if (!wanted(task))
		goto forget;
	scratch = bpf_map_lookup_elem(&failed_scratches, &cpu);
	if (!scratch)
		goto forget;
	record = &scratch->record;
	cgroup = find_cgroup(task);
	losses_first();
	record->error = -ctx->ret;
	record->dirfd = call->dirfd;
	record->has_dirfd = call->has_dirfd;
	record->pad = 0;
	n = read_string(scratch->data, PS_PATH_MAX, call->path);
	if (n < 0)
		flags |= PS_F_PATH_UNREADABLE;
	else if (n == PS_PATH_MAX)
		flags |= PS_F_PATH_CUT;
	record->path_len = n > 0 ? n - 1 : 0;
	walk = &scratch->walk;
	walk->off = record->path_len;
	walk->argv = call->argv;
	walk->flags = flags;
	walk->whole = false;
	LOOP(PS_MAX_FAILED_ARGS, 512, failed_step, &scratch);
	if (!walk->whole && !(walk->flags & PS_F_ARGV_UNREADABLE))
		walk->flags |= PS_F_ARGV_CUT;
	off = walk->off;
	flags = walk->flags;
	record->argv_len = off - record->path_len;
	fill_process(&record->process, task, &cgroup);
	opaque(off);
	if (off > PS_DATA_MAX)
		off = PS_DATA_MAX;
	fill_header(&record->header, task, sizeof(*record) + off, PS_EXEC_FAILED, flags, bpf_ktime_get_boot_ns());
	if (bpf_ringbuf_output(&ring, scratch, sizeof(*record) + off, wake_flags()))
		count_loss(PS_EXEC_FAILED);
forget:
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

/* Ended by itself or by a signal for itself: what release_task() has not yet added to the signal struct. */
static __always_inline void add_thread(struct ps_exit *record, struct task_struct *task)
{
	record->utime_ns += BPF_CORE_READ(task, utime);
	record->stime_ns += BPF_CORE_READ(task, stime);
	record->runtime_ns += BPF_CORE_READ(task, se.sum_exec_runtime);
	record->nvcsw += BPF_CORE_READ(task, nvcsw);
	record->nivcsw += BPF_CORE_READ(task, nivcsw);
	record->min_flt += BPF_CORE_READ(task, min_flt);
	record->maj_flt += BPF_CORE_READ(task, maj_flt);
	if (bpf_core_field_exists(task->ioac.read_bytes)) {
		record->rchar += BPF_CORE_READ(task, ioac.rchar);
		record->wchar += BPF_CORE_READ(task, ioac.wchar);
		record->read_bytes += BPF_CORE_READ(task, ioac.read_bytes);
		record->write_bytes += BPF_CORE_READ(task, ioac.write_bytes);
	}
}

static __always_inline u32 stats_sequence(struct signal_struct *signal)
{
	return *(volatile unsigned int *)&signal->stats_lock.seqcount.seqcount.sequence;
}

struct thread_sum {
	struct ps_exit *record;
	void *head;
	void *node;
};

static long thread_step(u32 i, struct thread_sum *sum)
{
	struct list_head *node = sum->node;

	if (node == sum->head || !node)
		return 1;
	add_thread(sum->record, (void *)node - bpf_core_field_offset(struct task_struct, thread_node));
	sum->node = BPF_CORE_READ(node, next);
	return 0;
}

/* Adds up the dead threads' account and that of who is left. False where a thread was moved from these to that meanwhile. */
static __noinline bool sum_usage(struct ps_exit *record, struct task_struct *task)
{
	struct thread_sum sum = { .record = record };
	struct signal_struct *signal = task->signal;
	/* Before the sums: once alone, a thread stays so. The one before it may be counted off before all of it is added. */
	bool alone = *(volatile int *)&signal->nr_threads <= 1;
	u32 sequence = stats_sequence(signal);

	if (sequence & 1)
		alone = false;
	record->utime_ns = signal->utime;
	record->stime_ns = signal->stime;
	record->runtime_ns = signal->sum_sched_runtime;
	record->nvcsw = signal->nvcsw;
	record->nivcsw = signal->nivcsw;
	record->min_flt = signal->min_flt;
	record->maj_flt = signal->maj_flt;
	record->rchar = record->wchar = record->read_bytes = record->write_bytes = 0;
	if (bpf_core_field_exists(signal->ioac.read_bytes)) {
		record->rchar = signal->ioac.rchar;
		record->wchar = signal->ioac.wchar;
		record->read_bytes = signal->ioac.read_bytes;
		record->write_bytes = signal->ioac.write_bytes;
	}
	if (alone) {
		record->utime_ns += task->utime;
		record->stime_ns += task->stime;
		record->runtime_ns += task->se.sum_exec_runtime;
		record->nvcsw += task->nvcsw;
		record->nivcsw += task->nivcsw;
		record->min_flt += task->min_flt;
		record->maj_flt += task->maj_flt;
		if (bpf_core_field_exists(task->ioac.read_bytes)) {
			record->rchar += task->ioac.rchar;
			record->wchar += task->ioac.wchar;
			record->read_bytes += task->ioac.read_bytes;
			record->write_bytes += task->ioac.write_bytes;
		}
		return true;
	}
	sum.head = (void *)signal + bpf_core_field_offset(struct signal_struct, thread_head);
	sum.node = BPF_CORE_READ(signal, thread_head.next);
	LOOP(PS_MAX_THREADS, 32, thread_step, &sum);
	return sum.node == sum.head && !(sequence & 1) && sequence == stats_sequence(signal);
}

static __always_inline void fill_usage(struct ps_exit *record, struct task_struct *task, u16 *flags)
{
	if (!sum_usage(record, task) && !sum_usage(record, task) && !sum_usage(record, task))
		*flags |= PS_F_USAGE_RACED;
	record->runtime_ns += unaccounted_ns(task, flags);
	record->maxrss_pages = task->signal->maxrss;
}

static __always_inline int on_exit(unsigned long long *ctx, struct task_struct *trusted)
{
	struct task_struct *task = untrusted(trusted);
	struct signal_struct *signal = task->signal;
	u32 tgid = task->tgid, status;
	struct cgroup_key cgroup;
	struct ps_exit *record;
	struct killer_key key = {};
	struct ps_ref *killer;
	bool last;
	u16 flags = 0;
	u64 now;

	if (bpf_core_field_exists(((struct trace_event_raw_sched_process_exit *)0)->group_dead))
		last = ctx[1] & 1;
	else
		last = signal->live.counter == 0;
	if (!last) {
		struct ps_thread_exit *thread;

		if (!wants(PS_THREAD_EXIT) || !wanted(task))
			return 0;
		cgroup = find_cgroup(task);
		losses_first();
		now = bpf_ktime_get_boot_ns();
		thread = bpf_ringbuf_reserve(&ring, sizeof(*thread), 0);
		if (!thread) {
			count_loss(PS_THREAD_EXIT);
			return 0;
		}
		fill_header(&thread->header, task, sizeof(*thread), PS_THREAD_EXIT, 0, now);
		fill_process(&thread->process, task, &cgroup);
		thread->wait_status = task->exit_code;
		thread->pad = 0;
		thread->thread_start_ns = task->start_boottime;
		bpf_probe_read_kernel(thread->thread_comm, PS_COMM_LEN, task->comm);
		bpf_ringbuf_submit(thread, wake_flags());
		return 0;
	}
	if (!sends(PS_EXIT, task, &flags))
		goto forget;
	cgroup = find_cgroup(task);
	losses_first();
	now = bpf_ktime_get_boot_ns();
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_loss(PS_EXIT);
		goto forget;
	}
	/* As wait_task_zombie() tells it: the leader's, but where the whole group was ended. */
	if (signal->flags & SIGNAL_GROUP_EXIT)
		status = signal->group_exit_code;
	else
		status = task->group_leader->exit_code;
	record->wait_status = status;
	record->killer_signo = status & 0x7f;
	__builtin_memset(&record->killer, 0, sizeof(record->killer));
	if (status & 0x7f) {
		key.tgid = tgid;
		key.signo = status & 0x7f;
		killer = bpf_map_lookup_elem(&killers, &key);
		if (killer)
			record->killer = *killer;
		if (signal->oom_mm)
			flags |= PS_F_OOM;
	}
	fill_usage(record, task, &flags);
	if (task->flags & PF_KTHREAD)
		flags |= PS_F_KTHREAD;
	fill_process(&record->process, task, &cgroup);
	fill_header(&record->header, task, sizeof(*record), PS_EXIT, flags, now);
	bpf_ringbuf_submit(record, wake_flags());
forget:
	if (key.signo)
		bpf_map_delete_elem(&killers, &key);
	if (config.filter_trees)
		bpf_map_delete_elem(&trees, &tgid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit, struct task_struct *task)
{
	begin_first(PS_TWICE_EXIT, task);
	on_exit(ctx, task);
	end_first(PS_TWICE_EXIT);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit_2, struct task_struct *task)
{
	return begin_second(PS_TWICE_EXIT, task) ? on_exit(ctx, task) : 0;
}

#define TRACE_SIGNAL_DELIVERED 0
#define SEND_SIG_NOINFO ((void *)0)
#define SEND_SIG_PRIV ((void *)1)

/* Signals that end nothing by default: CHLD CONT STOP TSTP TTIN TTOU URG WINCH. */
#define HARMLESS (1ull << 17 | 1ull << 18 | 1ull << 19 | 1ull << 20 | 1ull << 21 | 1ull << 22 | 1ull << 23 | 1ull << 28)
/* QUIT ILL TRAP ABRT BUS FPE SEGV XCPU XFSZ SYS */
#define CORE_SIGNALS (1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 7 | 1ull << 8 | 1ull << 11 | 1ull << 24 | 1ull << 25 | 1ull << 31)

SEC("tp_btf/signal_generate")
int BPF_PROG(signal_generate, int sig, struct kernel_siginfo *info, struct task_struct *trusted, int group, int result)
{
	struct task_struct *task = untrusted(trusted);
	struct task_struct *sender;
	struct killer_key key = {};
	struct ps_ref ref = {};

	if (sig < 1 || sig > 64 || result != TRACE_SIGNAL_DELIVERED)
		return 0;
	if (sig < 32 && 1ull << sig & HARMLESS)
		return 0;
	if (sig != 9) {
		/* Read as a number: before 6.2 the verifier refuses to add a signal to a typed pointer. */
		void *action = (void *)BPF_CORE_READ(task, sighand) + bpf_core_field_offset(struct sighand_struct, action);
		void *handler = NULL;

		action += (sig - 1) * bpf_core_type_size(struct k_sigaction);
		bpf_probe_read_kernel(&handler, sizeof(handler), action + bpf_core_field_offset(struct k_sigaction, sa.sa_handler));
		if (handler)
			return 0;
	}
	key.tgid = task->tgid;
	key.signo = sig;
	/* Sent by the kernel itself: nobody to name, and an older sender is not to be named either. */
	if (info == SEND_SIG_PRIV || (info != SEND_SIG_NOINFO && BPF_CORE_READ(info, si_code) > 0)) {
		bpf_map_delete_elem(&killers, &key);
		return 0;
	}
	sender = untrusted(bpf_get_current_task_btf());
	fill_ref(&ref, sender);
	bpf_map_update_elem(&killers, &key, &ref, BPF_ANY);
	return 0;
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(signal_deliver, int sig, struct kernel_siginfo *info, struct k_sigaction *action)
{
	struct task_struct *task;
	struct ps_change *record;

	if (sig < 1 || sig > 31 || !(1ull << sig & CORE_SIGNALS) || BPF_CORE_READ(action, sa.sa_handler))
		return 0;
	task = untrusted(bpf_get_current_task_btf());
	if (!wanted(task))
		return 0;
	record = reserve_change(task, PS_CORE, bpf_ktime_get_boot_ns());
	if (!record)
		return 0;
	record->value[0] = sig;
	bpf_ringbuf_submit(record, wake_flags());
	return 0;
}

SEC("tracepoint")
int sys_enter_setid(void *ctx)
{
	struct task_struct *task = untrusted(bpf_get_current_task_btf());
	const struct cred *cred = task->cred;
	struct id_call ids = { .uid = cred->uid.val, .gid = cred->gid.val, .euid = cred->euid.val, .egid = cred->egid.val };
	u32 tid = task->pid;

	bpf_map_update_elem(&id_calls, &tid, &ids, BPF_ANY);
	return 0;
}

SEC("tracepoint")
int sys_exit_setid(struct syscall_trace_exit *ctx)
{
	struct task_struct *task = untrusted(bpf_get_current_task_btf());
	const struct cred *cred = task->cred;
	u32 tid = task->pid;
	struct ps_change *record;
	struct id_call *ids = bpf_map_lookup_elem(&id_calls, &tid), old;

	if (!ids)
		return 0;
	old = *ids;
	bpf_map_delete_elem(&id_calls, &tid);
	if (!wanted(task))
		return 0;
	if (wants(PS_UID) && (old.uid != cred->uid.val || old.euid != cred->euid.val)) {
		record = reserve_change(task, PS_UID, bpf_ktime_get_boot_ns());
		if (record) {
			record->value[0] = old.uid;
			record->value[1] = old.euid;
			bpf_ringbuf_submit(record, wake_flags());
		}
	}
	if (wants(PS_GID) && (old.gid != cred->gid.val || old.egid != cred->egid.val)) {
		record = reserve_change(task, PS_GID, bpf_ktime_get_boot_ns());
		if (record) {
			record->value[0] = old.gid;
			record->value[1] = old.egid;
			bpf_ringbuf_submit(record, wake_flags());
		}
	}
	return 0;
}

SEC("tracepoint")
int sys_exit_setsid(struct syscall_trace_exit *ctx)
{
	struct task_struct *task = untrusted(bpf_get_current_task_btf());
	struct ps_change *record;

	if (ctx->ret < 0 || !wanted(task))
		return 0;
	record = reserve_change(task, PS_SID, bpf_ktime_get_boot_ns());
	if (record)
		bpf_ringbuf_submit(record, wake_flags());
	return 0;
}

struct tracee_search {
	void *head;
	void *node;
	struct pid *own;
	s32 nr;
};

static long tracee_step(u32 i, struct tracee_search *search)
{
	struct task_struct *task = search->node - bpf_core_field_offset(struct task_struct, ptrace_entry);
	struct list_head *node = search->node;
	struct pid *pid, *own = search->own;
	struct upid *upid;

	if (search->node == search->head || !search->node)
		return 1;
	pid = BPF_CORE_READ(task, thread_pid);
	upid = (void *)pid + bpf_core_field_offset(struct pid, numbers);
	upid += BPF_CORE_READ(own, level);
	if (pid && BPF_CORE_READ(upid, nr) == search->nr)
		return 1;
	search->node = BPF_CORE_READ(node, next);
	return 0;
}

/* A tracee stands in its tracer's list; the newest first. By pid the tracer may mean another pid namespace's. */
static __always_inline struct task_struct *find_tracee(struct task_struct *tracer, s32 nr)
{
	struct tracee_search search = { .nr = nr };

	search.head = (void *)tracer + bpf_core_field_offset(struct task_struct, ptraced);
	search.node = BPF_CORE_READ(tracer, ptraced.next);
	search.own = BPF_CORE_READ(tracer, thread_pid);
	LOOP(65536, 64, tracee_step, &search);
	if (search.node == search.head || !search.node)
		return NULL;
	return search.node - bpf_core_field_offset(struct task_struct, ptrace_entry);
}

static __always_inline void fill_ref_of(struct ps_ref *ref, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	ref->tgid = BPF_CORE_READ(task, tgid);
	ref->tid = BPF_CORE_READ(task, pid);
	ref->start_ns = BPF_CORE_READ(leader, start_boottime);
	bpf_probe_read_kernel(ref->comm, PS_COMM_LEN, leader->comm);
}

SEC("tracepoint")
int sys_enter_ptrace(struct syscall_trace_enter *ctx)
{
	struct ptrace_call call = { .request = ctx->args[0] };
	u32 tid = bpf_get_current_pid_tgid();

	if (call.request != PTRACE_TRACEME && call.request != PTRACE_ATTACH && call.request != PTRACE_SEIZE && call.request != PTRACE_DETACH)
		return 0;
	if (call.request == PTRACE_DETACH) {
		struct task_struct *task = find_tracee(bpf_get_current_task_btf(), ctx->args[1]);

		if (!task)
			return 0;
		fill_ref_of(&call.target, task);
	}
	bpf_map_update_elem(&ptrace_calls, &tid, &call, BPF_ANY);
	return 0;
}

/* The header is the caller's; other is the tracee, or with value[1] set the tracer of the caller. */
SEC("tracepoint")
int sys_exit_ptrace(struct syscall_trace_exit *ctx)
{
	struct task_struct *task = untrusted(bpf_get_current_task_btf());
	u32 tid = task->pid;
	struct ptrace_call *found = bpf_map_lookup_elem(&ptrace_calls, &tid), call;
	struct ps_change *record;

	if (!found)
		return 0;
	call = *found;
	bpf_map_delete_elem(&ptrace_calls, &tid);
	if (ctx->ret < 0)
		return 0;
	if (call.request == PTRACE_TRACEME) {
		fill_ref_of(&call.target, task->real_parent);
	} else if (call.request != PTRACE_DETACH) {
		struct list_head *node = BPF_CORE_READ(task, ptraced.next);

		fill_ref_of(&call.target, (void *)node - bpf_core_field_offset(struct task_struct, ptrace_entry));
	}
	record = reserve_change(task, PS_PTRACE, bpf_ktime_get_boot_ns());
	if (!record)
		return 0;
	record->other = call.target;
	record->value[0] = call.request != PTRACE_DETACH;
	record->value[1] = call.request == PTRACE_TRACEME;
	bpf_ringbuf_submit(record, wake_flags());
	return 0;
}

/* Has the object's BTF describe a record that no map and no function names, for the test that compares layouts. */
#define KEEP_TYPE(TYPE) asm volatile("" : : "r"(bpf_core_type_id_local(TYPE)))

/* The processes that run already. Their arguments are not here: only the process itself can read its memory without a fault. */
SEC("iter/task")
int existing(struct bpf_iter__task *ctx)
{
	struct task_struct *trusted = ctx->task, *task;
	struct exec_scratch *scratch;
	struct cgroup_key cgroup;
	struct ps_exec *record;
	u32 zero = 0, off;
	u16 flags = 0;

	KEEP_TYPE(struct ps_fork);
	KEEP_TYPE(struct ps_exit);
	KEEP_TYPE(struct ps_thread_exit);
	KEEP_TYPE(struct ps_change);
	KEEP_TYPE(struct ps_losses);
	if (!trusted)
		return 0;
	task = untrusted(trusted);
	if (task->pid != task->tgid || !task->signal || task->signal->live.counter == 0)
		return 0;
	scratch = bpf_map_lookup_elem(&iter_scratch, &zero);
	if (!scratch)
		return 0;
	record = &scratch->record;
	cgroup = find_cgroup(task);
	record->path_len = record->interp_len = 0;
	record->argv_len = record->argv_inline = 0;
	record->env_len = record->env_inline = 0;
	record->old_tid = wanted(task);
	__builtin_memset(record->old_comm, 0, PS_COMM_LEN);
	if (task->flags & PF_KTHREAD)
		flags |= PS_F_KTHREAD;
	off = read_places(scratch, 0, task, task->mm, OF_EXISTING, &flags);
	fill_process(&record->process, task, &cgroup);
	opaque(off);
	if (off > PS_DATA_MAX)
		off = PS_DATA_MAX;
	fill_header(&record->header, task, sizeof(*record) + off, PS_EXISTING, flags, bpf_ktime_get_boot_ns());
	bpf_seq_write(ctx->meta->seq, scratch, sizeof(*record) + off);
	return 0;
}
