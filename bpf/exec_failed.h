/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Events: exec-failed. */
#pragma once

#include "process.h"
#include "registers.h"

/* include/linux/errno.h: the call begins again, after a signal. */
#define ERESTARTNOINTR 513

/* The length with the NUL, or an error. Older kernels (6.12 is one) return 0 for an empty string. */
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

	/* Linux reads a null argv as an empty one. */
	if (walk->argv && bpf_probe_read_user(&arg, walk->pointer == 4 ? 4 : 8, (void *)walk->argv)) {
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
	walk->argv += walk->pointer;
	return n == PS_FAILED_ARG;
}

/*
 * A refused exec left the old program's memory in place, arguments included; and the registers. The
 * beginning of a call that seccomp(2) refuses is not seen.
 */
__noinline int send_failed(s64 ret, u32 call, u32 table, u32 slot)
{
	struct task_struct *task = untrusted(bpf_get_current_task_btf());
	u32 at = call == PS_CALL_EXECVEAT, off;
	struct failed_walk *walk;
	struct failed_scratch *scratch;
	struct ps_exec_failed *record;
	struct cgroup_key cgroup;
	u16 flags = 0;
	void *regs;
	long n;

	scratch = bpf_map_lookup_elem(&failed_scratches, &slot);
	if (!scratch || !wanted(task))
		return 0;
	walk = &scratch->walk;
	regs = (void *)walk->regs;
	record = &scratch->record;
	cgroup = find_cgroup(task);
	losses_first();
	record->error = -ret;
	record->dirfd = at ? call_arg(regs, 0, table) : 0;
	record->has_dirfd = at;
	record->pad = 0;
	n = read_string(scratch->data, PS_PATH_MAX, call_arg(regs, at, table));
	if (n < 0)
		flags |= PS_F_PATH_UNREADABLE;
	else if (n == PS_PATH_MAX)
		flags |= PS_F_PATH_CUT;
	record->path_len = n > 0 ? n - 1 : 0;
	walk->off = record->path_len;
	walk->argv = call_arg(regs, 1 + at, table);
	walk->pointer = table == PS_NATIVE ? 8 : 4;
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
	return 0;
}

static __always_inline int failed_exec(void *regs, s64 ret, u32 call, u32 table, u32 slot)
{
	struct failed_scratch *scratch = bpf_map_lookup_elem(&failed_scratches, &slot);

	if (!scratch || ret == -ERESTARTNOINTR)
		return 0;
	scratch->walk.regs = (u64)regs;
	return send_failed(ret, call, table, slot);
}

/*
 * For execve and execveat. Before 5.15 the registers are not available here: there sys_exit
 * handles these calls too.
 */
SEC("tracepoint")
int sys_exit_exec(struct syscall_trace_exit *ctx)
{
	u32 call = ctx->nr == config.execveat ? PS_CALL_EXECVEAT : PS_CALL_EXECVE;
	struct task_struct *task = bpf_get_current_task_btf();

	if (ctx->ret >= 0 || !HAS_TASK_PT_REGS)
		return 0;
	return failed_exec((void *)bpf_task_pt_regs(task), ctx->ret, call, PS_NATIVE, bpf_get_smp_processor_id());
}
