/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The data about its process in every record. */
#pragma once

#include "common.h"
#include "filter.h"

#define PF_KTHREAD 0x00200000
#define PF_EXITING 0x00000004

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
	h->cpu = bpf_get_smp_processor_id();
	h->exec_id = task->self_exec_id;
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

/* Its number in its own pid namespace, for a pid that is not only in the initial one. */
static __always_inline struct upid *own_upid(struct pid *pid)
{
	struct upid *upid = (void *)pid + bpf_core_field_offset(struct pid, numbers);

	return upid + pid->level;
}

static __always_inline u32 read_ns_tgid(struct pid *pid)
{
	if (!pid || !pid->level)
		return read_pid_nr(pid);
	return BPF_CORE_READ(own_upid(pid), nr);
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
	if (n < 0)
		return 1;
	record->len = end + n;
	record->id = (u64)parent;
	return 0;
}

/*
 * Sends the path of a cgroup that was not sent yet. It is made in the ring itself: every program
 * may come here, and if programs may be preempted, two of them on one CPU at a time.
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
	record->header.cpu = 0;
	record->header.exec_id = 0;
	record->id = kn;
	record->hierarchy = hierarchy;
	record->len = 0;
	LOOP(64, 16, cgroup_step, &record);
	record->id = id;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	bpf_map_update_elem(&cgroups_sent, &key, &sent, BPF_ANY);
	return 0;
}

/* Call this before the record with the key is reserved, so that the path precedes it. */
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
	p->loginuid = p->audit_session = PS_UNSET;
	if (bpf_core_field_exists(task->loginuid)) {
		p->loginuid = task->loginuid.val;
		p->audit_session = task->sessionid;
	}
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
		struct upid *upid = own_upid(pid);

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
