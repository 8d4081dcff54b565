/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Events: exec-failed. */
#pragma once

#include "process.h"

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
