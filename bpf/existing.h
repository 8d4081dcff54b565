/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Events: existing. */
#pragma once

#include "path.h"
#include "process.h"

/*
 * Makes the object's BTF describe a record that no map and no function names, for the test that
 * compares layouts.
 */
#define KEEP_TYPE(TYPE) asm volatile("" : : "r"(bpf_core_type_id_local(TYPE)))

/*
 * The processes that are already running. Their arguments are not here: only the process itself
 * can read its memory without a fault.
 */
SEC("iter/task")
int existing(struct bpf_iter__task *ctx)
{
	struct task_struct *trusted = ctx->task, *task, *leader;
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
	leader = task->group_leader;
	if (!task->signal || task->signal->live.counter == 0)
		return 0;
	/*
	 * A first thread that has ended has no memory, directory or namespaces any more: each
	 * other living one is sent too.
	 */
	if (task->pid != task->tgid && (!(leader->flags & PF_EXITING) || task->flags & PF_EXITING))
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
	if (task->flags & PF_EXITING && !(task->flags & PF_KTHREAD)) {
		/* The values read may have been released meanwhile. */
		record->exe_len = record->cwd_len = record->has_cwd = off = 0;
		flags &= ~(PS_F_EXE_CUT | PS_F_CWD_CUT | PS_F_CWD_DELETED);
	}
	fill_process(&record->process, task, &cgroup);
	opaque(off);
	if (off > PS_DATA_MAX)
		off = PS_DATA_MAX;
	fill_header(&record->header, task, sizeof(*record) + off, PS_EXISTING, flags, bpf_ktime_get_boot_ns());
	bpf_seq_write(ctx->meta->seq, scratch, sizeof(*record) + off);
	return 0;
}
