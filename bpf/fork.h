/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Events: fork, clone. */
#pragma once

#include "process.h"
#include "registers.h"

static __always_inline s32 read_syscall(struct task_struct *task, u16 *flags)
{
	void *regs;

	if (task->flags & PF_KTHREAD)
		return -1;
	if (!HAS_TASK_PT_REGS)
		return -1;
	regs = (void *)bpf_task_pt_regs((void *)task);
	if (is_compat(task))
		*flags |= PS_F_COMPAT;
	if (IS_X86) {
		struct pt_regs___x86 *typed;

		if (!bpf_ksym_exists(bpf_rdonly_cast))
			return (s32)BPF_CORE_READ((struct pt_regs___x86 *)regs, orig_ax);
		typed = bpf_rdonly_cast(regs, bpf_core_type_id_kernel(struct pt_regs___x86));
		return typed->orig_ax;
	}
	if (IS_ARM64)
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
		/* With CLONE_PARENT these are two. */
		u32 parent = task->real_parent->tgid, maker = creator->tgid;

		if (bpf_map_lookup_elem(&trees, &parent) || (maker != parent && bpf_map_lookup_elem(&trees, &maker))) {
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
