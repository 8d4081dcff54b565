/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Event: comm; and the comm before an exec. */
#pragma once

#include "ids.h"

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

		/* The credentials come later in begin_new_exec(). */
		if (wants(PS_UID) || wants(PS_GID))
			keep_ids(task);
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
