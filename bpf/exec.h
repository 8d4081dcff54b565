/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Events: exec. */
#pragma once

#include "ids.h"
#include "path.h"

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

/* Sends a long list before its exec, in parts. Returns how many bytes were sent. */
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

/* PATH_LIMIT is the latest end of the paths: three of them, 4096 bytes each and one more name. */
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

	n = bpf_probe_read_kernel_str(scratch->data, PS_CALLED_MAX, bprm->filename);
	off = n > 0 ? n - 1 : 0;
	if (n <= 0)
		flags |= PS_F_PATH_UNREADABLE;
	record->path_len = off;
	record->interp_len = 0;
	opaque(off);
	if (off > PS_CALLED_MAX)
		off = PS_CALLED_MAX;
	if (bprm->interp != bprm->filename) {
		n = bpf_probe_read_kernel_str(scratch->data + off, PS_CALLED_MAX, bprm->interp);
		if (n > 0) {
			record->interp_len = n - 1;
			off += n - 1;
		}
	}
	opaque(off);
	if (off > 2 * PS_CALLED_MAX)
		off = 2 * PS_CALLED_MAX;
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
	if (wants(PS_UID) || wants(PS_GID))
		tell_ids(untrusted(task));
	end_first(PS_TWICE_EXEC);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(sched_process_exec_2, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	if (!begin_second(PS_TWICE_EXEC, task))
		return 0;
	on_exec(task, old_pid, bprm, false);
	return wants(PS_UID) || wants(PS_GID) ? tell_ids(untrusted(task)) : 0;
}
