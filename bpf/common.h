/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The common steps of all programs: whether an event is wanted, whether it runs twice, how losses
 * are reported and the reader is woken.
 */
#pragma once

#include "maps.h"

#define wants(kind) (config.want_events & (1u << (kind)))
#define needs(kind) (config.need_events & (1u << (kind)))

void *bpf_rdonly_cast(const void *object, u32 btf_id) __ksym __weak;

/*
 * For each pointer read through a trusted one the verifier (6.2 and later) searches the kernel's
 * whole BTF several times by name. Through this one it does not: that search was nine tenths of the
 * time to load these programs.
 */
static __always_inline struct task_struct *untrusted(struct task_struct *task)
{
	if (bpf_ksym_exists(bpf_rdonly_cast))
		return bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
	return task;
}

/* Keeps the compiler from undoing a bound that the verifier needs. */
#define opaque(x) asm volatile("" : "+r"(x))

/*
 * Runs STEP(i, context) until it returns 1: at most MOST times if the kernel has bpf_loop() (5.17),
 * which verifies a step once; otherwise FEW times, each of which the verifier follows.
 */
#define LOOP(MOST, FEW, STEP, CONTEXT)                                                                                      \
	do {                                                                                                                \
		if (bpf_core_enum_value_exists(enum bpf_func_id___loop, BPF_FUNC_loop___loop)) {                            \
			bpf_loop(MOST, STEP, CONTEXT, 0);                                                                   \
		} else {                                                                                                    \
			for (int i = 0; i < (FEW); i++)                                                                     \
				if (STEP(i, CONTEXT))                                                                       \
					break;                                                                              \
		}                                                                                                           \
	} while (0)

/*
 * Since Linux 7.0 a program on a tracepoint may be preempted, and until it ends the kernel skips
 * each other run of it on that CPU. So a second program follows the first, and does the same for
 * the tasks for which the first one was not run. Nothing makes up for runs that the kernel skips
 * when a program has just begun or is about to end; they are counted.
 */
static __always_inline void begin_first(u32 which, struct task_struct *task)
{
	u32 cpu = bpf_get_smp_processor_id(), tid, slot, *of;
	struct at_work *work;

	if (!config.again)
		return;
	tid = untrusted(task)->pid;
	slot = which * TAKEN + tid % TAKEN;
	work = bpf_map_lookup_elem(&at_work, &cpu);
	of = bpf_map_lookup_elem(&taken, &slot);
	if (!work || !of)
		return;
	*(volatile u32 *)&work->tid[which] = tid;
	*(volatile u32 *)of = tid;
}

static __always_inline void end_first(u32 which)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct at_work *work;

	if (!config.again)
		return;
	work = bpf_map_lookup_elem(&at_work, &cpu);
	if (work)
		*(volatile u32 *)&work->tid[which] = 0;
}

/* Whether the first program was not run for this task, because it is at work for another one. */
static __always_inline bool begin_second(u32 which, struct task_struct *task)
{
	u32 cpu = bpf_get_smp_processor_id(), tid = untrusted(task)->pid, slot = which * TAKEN + tid % TAKEN, *of;
	struct at_work *work = bpf_map_lookup_elem(&at_work, &cpu);

	of = bpf_map_lookup_elem(&taken, &slot);
	if (!work || !of)
		return false;
	if (__sync_val_compare_and_swap(of, tid, 0) == tid || !*(volatile u32 *)&work->tid[which])
		return false;
	__sync_fetch_and_add(&shared.caught[which], 1);
	return true;
}

/* The scratch space of a program that runs FIRST, or otherwise second. */
static __always_inline u32 slot_of(bool first)
{
	return bpf_get_smp_processor_id() + (first ? 0 : config.again);
}

static __always_inline void count_loss(u32 kind)
{
	__sync_fetch_and_add(&shared.lost[kind], 1);
	__sync_fetch_and_add(&shared.lost_total, 1);
}

/*
 * The reader drains every few milliseconds while there are events. It is woken only when it sleeps
 * because there were none, or when the ring fills up.
 */
static __always_inline u64 wake_flags(void)
{
	u32 pace = shared.pacing;

	if (pace == PS_PACE_SLEEP)
		return 0;
	if (pace == PS_PACE_TIMER && bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > config.bell_bytes) {
		shared.pacing = PS_PACE_RUNG;
		return BPF_RB_FORCE_WAKEUP;
	}
	return BPF_RB_NO_WAKEUP;
}

/* Not static: the verifier goes through it once, not for each caller. */
__noinline int send_losses(void)
{
	u64 total = shared.lost_total;
	struct ps_losses *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record)
		return 0;
	record->header.size = sizeof(*record);
	record->header.kind = PS_LOSSES;
	record->header.flags = 0;
	record->header.boot_ns = 0;
	record->header.lost = total;
	record->header.tgid = 0;
	record->header.tid = 0;
	record->header.start_ns = 0;
	record->header.cpu = 0;
	record->header.exec_id = 0;
	for (int kind = 0; kind < PS_KINDS; kind++)
		record->lost[kind] = shared.lost[kind];
	shared.lost_told = total;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/*
 * Call this before a record is reserved: earlier losses are then reported before it, however late
 * the reader comes.
 */
static __always_inline void losses_first(void)
{
	if (shared.lost_total != shared.lost_told)
		send_losses();
}
