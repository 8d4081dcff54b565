/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The scheduler's clock, for the CPU time of a process that ends within a tick. */
#pragma once

#include "common.h"

/* How long an offset counts as true, ns. */
#define CLOCK_KEEPS 1000000

/*
 * Programs cannot read the scheduler's clock, but the kernel just read it for the new task:
 * wake_up_new_task(), sched_info_enqueue().
 */
SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(sched_wakeup_new, struct task_struct *trusted)
{
	struct task_struct *task = untrusted(trusted);
	u64 queued;

	if (!bpf_core_field_exists(task->sched_info))
		return 0;
	queued = task->sched_info.last_queued;
	/*
	 * The two clocks differ by at most 500 parts in a million, and each renewal takes the
	 * words from the other CPUs.
	 */
	if (queued - shared.clock_read < CLOCK_KEEPS)
		return 0;
	shared.clock_read = queued;
	shared.clock_offset = bpf_ktime_get_ns() - queued;
	return 0;
}

/*
 * The running task's CPU time since the scheduler last added it up, at most a tick: the time since
 * it came to run, without the parts added since then.
 */
static __always_inline u64 unaccounted_ns(struct task_struct *task, u16 *flags)
{
	s64 ns;

	if (!bpf_core_field_exists(task->sched_info) || !shared.clock_offset) {
		*flags |= PS_F_USAGE_TICK;
		return 0;
	}
	ns = bpf_ktime_get_ns() - shared.clock_offset - task->sched_info.last_arrival;
	ns -= task->se.sum_exec_runtime - task->se.prev_sum_exec_runtime;
	if (ns < 0)
		return 0;
	if (ns > 10000000)
		return 10000000;
	return ns;
}
