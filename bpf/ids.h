/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Events: uid, gid, sid. */
#pragma once

#include "process.h"

/* The ids before a call or an exec that may change them. */
static __always_inline int keep_ids(struct task_struct *task)
{
	const struct cred *cred = task->cred;
	struct id_call ids = { .uid = cred->uid.val, .gid = cred->gid.val, .euid = cred->euid.val, .egid = cred->egid.val };
	u32 tid = task->pid;

	bpf_map_update_elem(&id_calls, &tid, &ids, BPF_ANY);
	return 0;
}

static __always_inline void tell_id(struct task_struct *task, u32 kind, u32 old, u32 old_effective)
{
	struct ps_change *record = reserve_change(task, kind, bpf_ktime_get_boot_ns());

	if (!record)
		return;
	record->value[0] = old;
	record->value[1] = old_effective;
	bpf_ringbuf_submit(record, wake_flags());
}

static __always_inline int tell_ids(struct task_struct *task)
{
	const struct cred *cred = task->cred;
	u32 tid = task->pid;
	struct id_call *ids = bpf_map_lookup_elem(&id_calls, &tid), old;

	if (!ids)
		return 0;
	old = *ids;
	bpf_map_delete_elem(&id_calls, &tid);
	if (!wanted(task))
		return 0;
	if (wants(PS_UID) && (old.uid != cred->uid.val || old.euid != cred->euid.val))
		tell_id(task, PS_UID, old.uid, old.euid);
	if (wants(PS_GID) && (old.gid != cred->gid.val || old.egid != cred->egid.val))
		tell_id(task, PS_GID, old.gid, old.egid);
	return 0;
}

static __always_inline int tell_sid(s64 ret)
{
	struct task_struct *task = untrusted(bpf_get_current_task_btf());
	struct ps_change *record;

	if (ret < 0 || !wanted(task))
		return 0;
	record = reserve_change(task, PS_SID, bpf_ktime_get_boot_ns());
	if (record)
		bpf_ringbuf_submit(record, wake_flags());
	return 0;
}

SEC("tracepoint")
int sys_enter_setid(void *ctx)
{
	return keep_ids(untrusted(bpf_get_current_task_btf()));
}

SEC("tracepoint")
int sys_exit_setid(void *ctx)
{
	return tell_ids(untrusted(bpf_get_current_task_btf()));
}

SEC("tracepoint")
int sys_exit_setsid(struct syscall_trace_exit *ctx)
{
	return tell_sid(ctx->ret);
}
