/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Events: exit, thread-exit. */
#pragma once

#include "clock.h"
#include "signals.h"

/*
 * The part that release_task() has not yet added to the signal struct, of a thread that ended by
 * itself or by a signal for itself.
 */
static __always_inline void add_thread(struct ps_exit *record, struct task_struct *task)
{
	record->utime_ns += BPF_CORE_READ(task, utime);
	record->stime_ns += BPF_CORE_READ(task, stime);
	record->runtime_ns += BPF_CORE_READ(task, se.sum_exec_runtime);
	record->nvcsw += BPF_CORE_READ(task, nvcsw);
	record->nivcsw += BPF_CORE_READ(task, nivcsw);
	record->min_flt += BPF_CORE_READ(task, min_flt);
	record->maj_flt += BPF_CORE_READ(task, maj_flt);
	if (bpf_core_field_exists(task->ioac.read_bytes)) {
		record->rchar += BPF_CORE_READ(task, ioac.rchar);
		record->wchar += BPF_CORE_READ(task, ioac.wchar);
		record->read_bytes += BPF_CORE_READ(task, ioac.read_bytes);
		record->write_bytes += BPF_CORE_READ(task, ioac.write_bytes);
	}
}

static __always_inline u32 stats_sequence(struct signal_struct *signal)
{
	return *(volatile unsigned int *)&signal->stats_lock.seqcount.seqcount.sequence;
}

struct thread_sum {
	struct ps_exit *record;
	void *head;
	void *node;
};

static long thread_step(u32 i, struct thread_sum *sum)
{
	struct list_head *node = sum->node;

	if (node == sum->head || !node)
		return 1;
	add_thread(sum->record, (void *)node - bpf_core_field_offset(struct task_struct, thread_node));
	sum->node = BPF_CORE_READ(node, next);
	return 0;
}

/*
 * Adds up the account of the dead threads and those of the living. False if a thread was moved
 * from the living to the dead meanwhile.
 */
static __noinline bool sum_usage(struct ps_exit *record, struct task_struct *task)
{
	struct thread_sum sum = { .record = record };
	struct signal_struct *signal = task->signal;
	/*
	 * Before the sums: once alone, a thread stays so. The one before it may be counted off
	 * before all of it is added.
	 */
	bool alone = *(volatile int *)&signal->nr_threads <= 1;
	u32 sequence = stats_sequence(signal);

	if (sequence & 1)
		alone = false;
	record->utime_ns = signal->utime;
	record->stime_ns = signal->stime;
	record->runtime_ns = signal->sum_sched_runtime;
	record->nvcsw = signal->nvcsw;
	record->nivcsw = signal->nivcsw;
	record->min_flt = signal->min_flt;
	record->maj_flt = signal->maj_flt;
	record->rchar = record->wchar = record->read_bytes = record->write_bytes = 0;
	if (bpf_core_field_exists(signal->ioac.read_bytes)) {
		record->rchar = signal->ioac.rchar;
		record->wchar = signal->ioac.wchar;
		record->read_bytes = signal->ioac.read_bytes;
		record->write_bytes = signal->ioac.write_bytes;
	}
	if (alone) {
		record->utime_ns += task->utime;
		record->stime_ns += task->stime;
		record->runtime_ns += task->se.sum_exec_runtime;
		record->nvcsw += task->nvcsw;
		record->nivcsw += task->nivcsw;
		record->min_flt += task->min_flt;
		record->maj_flt += task->maj_flt;
		if (bpf_core_field_exists(task->ioac.read_bytes)) {
			record->rchar += task->ioac.rchar;
			record->wchar += task->ioac.wchar;
			record->read_bytes += task->ioac.read_bytes;
			record->write_bytes += task->ioac.write_bytes;
		}
		return true;
	}
	sum.head = (void *)signal + bpf_core_field_offset(struct signal_struct, thread_head);
	sum.node = BPF_CORE_READ(signal, thread_head.next);
	LOOP(PS_MAX_THREADS, 32, thread_step, &sum);
	return sum.node == sum.head && !(sequence & 1) && sequence == stats_sequence(signal);
}

static __always_inline void fill_usage(struct ps_exit *record, struct task_struct *task, u16 *flags)
{
	if (!sum_usage(record, task) && !sum_usage(record, task) && !sum_usage(record, task))
		*flags |= PS_F_USAGE_RACED;
	record->runtime_ns += unaccounted_ns(task, flags);
	record->maxrss_pages = task->signal->maxrss;
}

static __always_inline int on_exit(unsigned long long *ctx, struct task_struct *trusted)
{
	struct task_struct *task = untrusted(trusted);
	struct signal_struct *signal = task->signal;
	u32 tgid = task->tgid, status;
	struct cgroup_key cgroup;
	struct ps_exit *record;
	bool last;
	u16 flags = 0;
	u64 now, start;

	if (bpf_core_field_exists(((struct trace_event_raw_sched_process_exit *)0)->group_dead))
		last = ctx[1] & 1;
	else
		last = signal->live.counter == 0;
	if (!last) {
		struct ps_thread_exit *thread;

		if (!wants(PS_THREAD_EXIT) || !wanted(task))
			return 0;
		cgroup = find_cgroup(task);
		losses_first();
		now = bpf_ktime_get_boot_ns();
		thread = bpf_ringbuf_reserve(&ring, sizeof(*thread), 0);
		if (!thread) {
			count_loss(PS_THREAD_EXIT);
			return 0;
		}
		fill_header(&thread->header, task, sizeof(*thread), PS_THREAD_EXIT, 0, now);
		fill_process(&thread->process, task, &cgroup);
		thread->wait_status = task->exit_code;
		thread->pad = 0;
		thread->thread_start_ns = task->start_boottime;
		bpf_probe_read_kernel(thread->thread_comm, PS_COMM_LEN, task->comm);
		bpf_ringbuf_submit(thread, wake_flags());
		return 0;
	}
	if (!sends(PS_EXIT, task, &flags))
		goto forget;
	cgroup = find_cgroup(task);
	losses_first();
	now = bpf_ktime_get_boot_ns();
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_loss(PS_EXIT);
		goto forget;
	}
	/* As wait_task_zombie() reports it: the leader's, unless the whole group was ended. */
	if (signal->flags & SIGNAL_GROUP_EXIT)
		status = signal->group_exit_code;
	else
		status = task->group_leader->exit_code;
	record->wait_status = status;
	start = task->group_leader->start_boottime;
	fill_killer(record, tgid, start, status & 0x7f);
	if (status & 0x7f && signal->oom_mm)
		flags |= PS_F_OOM;
	fill_usage(record, task, &flags);
	if (task->flags & PF_KTHREAD)
		flags |= PS_F_KTHREAD;
	fill_process(&record->process, task, &cgroup);
	fill_header(&record->header, task, sizeof(*record), PS_EXIT, flags, now);
	bpf_ringbuf_submit(record, wake_flags());
forget:
	if (config.filter_trees)
		bpf_map_delete_elem(&trees, &tgid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit, struct task_struct *task)
{
	begin_first(PS_TWICE_EXIT, task);
	on_exit(ctx, task);
	end_first(PS_TWICE_EXIT);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit_2, struct task_struct *task)
{
	return begin_second(PS_TWICE_EXIT, task) ? on_exit(ctx, task) : 0;
}
