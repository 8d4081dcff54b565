/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Event: core; and who sends the signals that end processes. */
#pragma once

#include "process.h"

#define TRACE_SIGNAL_DELIVERED 0
#define SEND_SIG_NOINFO ((void *)0)
#define SEND_SIG_PRIV ((void *)1)

/* Signals that end nothing by default: CHLD CONT STOP TSTP TTIN TTOU URG WINCH. */
#define HARMLESS (1ull << 17 | 1ull << 18 | 1ull << 19 | 1ull << 20 | 1ull << 21 | 1ull << 22 | 1ull << 23 | 1ull << 28)
/* QUIT ILL TRAP ABRT BUS FPE SEGV XCPU XFSZ SYS */
#define CORE_SIGNALS (1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 7 | 1ull << 8 | 1ull << 11 | 1ull << 24 | 1ull << 25 | 1ull << 31)

SEC("tp_btf/signal_generate")
int BPF_PROG(signal_generate, int sig, struct kernel_siginfo *info, struct task_struct *trusted, int group, int result)
{
	struct task_struct *task = untrusted(trusted);
	struct task_struct *sender;
	struct killer_key key = {};
	struct ps_ref ref = {};

	if (sig < 1 || sig > 64 || result != TRACE_SIGNAL_DELIVERED)
		return 0;
	if (sig < 32 && 1ull << sig & HARMLESS)
		return 0;
	if (sig != 9) {
		/* Read as a number: before 6.2 the verifier refuses to add a signal to a typed pointer. */
		void *action = (void *)BPF_CORE_READ(task, sighand) + bpf_core_field_offset(struct sighand_struct, action);
		void *handler = NULL;

		action += (sig - 1) * bpf_core_type_size(struct k_sigaction);
		bpf_probe_read_kernel(&handler, sizeof(handler), action + bpf_core_field_offset(struct k_sigaction, sa.sa_handler));
		if (handler)
			return 0;
	}
	key.tgid = task->tgid;
	key.signo = sig;
	/* Sent by the kernel itself: nobody to name, and an older sender is not to be named either. */
	if (info == SEND_SIG_PRIV || (info != SEND_SIG_NOINFO && BPF_CORE_READ(info, si_code) > 0)) {
		bpf_map_delete_elem(&killers, &key);
		return 0;
	}
	sender = untrusted(bpf_get_current_task_btf());
	fill_ref(&ref, sender);
	bpf_map_update_elem(&killers, &key, &ref, BPF_ANY);
	return 0;
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(signal_deliver, int sig, struct kernel_siginfo *info, struct k_sigaction *action)
{
	struct task_struct *task;
	struct ps_change *record;

	if (sig < 1 || sig > 31 || !(1ull << sig & CORE_SIGNALS) || BPF_CORE_READ(action, sa.sa_handler))
		return 0;
	task = untrusted(bpf_get_current_task_btf());
	if (!wanted(task))
		return 0;
	record = reserve_change(task, PS_CORE, bpf_ktime_get_boot_ns());
	if (!record)
		return 0;
	record->value[0] = sig;
	bpf_ringbuf_submit(record, wake_flags());
	return 0;
}
