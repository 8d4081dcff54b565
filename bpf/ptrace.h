/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Events: ptrace. */
#pragma once

#include "process.h"

#define PTRACE_TRACEME 0
#define PTRACE_ATTACH 16
#define PTRACE_DETACH 17
#define PTRACE_SEIZE 0x4206

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

/*
 * A tracee is in its tracer's list; the newest first. The tracer's pid may be of another pid
 * namespace.
 */
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

static __always_inline int enter_ptrace(u64 request, s32 nr)
{
	struct ptrace_call call = { .request = request };
	u32 tid = bpf_get_current_pid_tgid();

	if (call.request != PTRACE_TRACEME && call.request != PTRACE_ATTACH && call.request != PTRACE_SEIZE && call.request != PTRACE_DETACH)
		return 0;
	if (call.request == PTRACE_DETACH) {
		struct task_struct *task = find_tracee(bpf_get_current_task_btf(), nr);

		if (!task)
			return 0;
		fill_ref_of(&call.target, task);
	}
	bpf_map_update_elem(&ptrace_calls, &tid, &call, BPF_ANY);
	return 0;
}

/* The header is the caller's; other is the tracee, or with value[1] set the caller's tracer. */
static __always_inline int leave_ptrace(s64 ret)
{
	struct task_struct *task = untrusted(bpf_get_current_task_btf());
	u32 tid = task->pid;
	struct ptrace_call *found = bpf_map_lookup_elem(&ptrace_calls, &tid), call;
	struct ps_change *record;

	if (!found)
		return 0;
	call = *found;
	bpf_map_delete_elem(&ptrace_calls, &tid);
	if (ret < 0)
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

SEC("tracepoint")
int sys_enter_ptrace(struct syscall_trace_enter *ctx)
{
	return enter_ptrace(ctx->args[0], ctx->args[1]);
}

SEC("tracepoint")
int sys_exit_ptrace(struct syscall_trace_exit *ctx)
{
	return leave_ptrace(ctx->ret);
}
