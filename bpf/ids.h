/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Events: uid, gid, sid. */
#pragma once

#include "process.h"

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
