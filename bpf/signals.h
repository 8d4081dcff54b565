/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Event: core; and the sender of the signal that ends a process. */
#pragma once

#include "process.h"

#define TRACE_SIGNAL_DELIVERED 0
#define TRACE_SIGNAL_LOSE_INFO 4
#define SEND_SIG_NOINFO 0
#define SEND_SIG_PRIV 1
#define SIGNAL_GROUP_EXIT 0x00000004
#define SIGKILL 9
#define SIGSYS 31

/* include/uapi/asm-generic/siginfo.h: above SI_USER are the kernel's own. */
#define SI_USER 0
#define SI_TIMER -2
#define SI_ASYNCIO -4
#define SI_SIGIO -5

/* No kernel has a larger stack, without KASAN. */
#define STACK_SIZE 16384

/* Signals that end no process by default: CHLD CONT STOP TSTP TTIN TTOU URG WINCH. */
#define HARMLESS (1ull << 17 | 1ull << 18 | 1ull << 19 | 1ull << 20 | 1ull << 21 | 1ull << 22 | 1ull << 23 | 1ull << 28)
/* QUIT ILL TRAP ABRT BUS FPE SEGV XCPU XFSZ SYS */
#define CORE_SIGNALS (1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 7 | 1ull << 8 | 1ull << 11 | 1ull << 24 | 1ull << 25 | 1ull << 31)

static __always_inline bool may_kill(int sig)
{
	return sig >= 1 && sig <= 64 && !(sig < 32 && 1ull << sig & HARMLESS);
}

static __always_inline bool is_kernels(s32 code)
{
	return code > SI_USER || code == SI_TIMER || code == SI_ASYNCIO || code == SI_SIGIO;
}

/* The verifier believes a tracepoint's pointer to be valid, and removes tests for 0. */
static __always_inline u64 plain_argument(unsigned long long *ctx, u32 n)
{
	u64 argument = 0;

	bpf_probe_read_kernel(&argument, sizeof(argument), &ctx[n]);
	return argument;
}

static __always_inline void read_info(u64 address, struct pending_key *key)
{
	struct kernel_siginfo *info = (void *)address;

	key->code = BPF_CORE_READ(info, si_code);
	key->pid = BPF_CORE_READ(info, _sifields._kill._pid);
}

/* The sender of a signal, and the one that its siginfo will name. It is not always the running task. */
static __always_inline void find_sender(int sig, u64 info, struct task_struct *task, int result, struct pending_key *key, struct sender *sender)
{
	struct task_struct *current = untrusted(bpf_get_current_task_btf());
	bool own = current->tgid == task->tgid;

	sender->how = PS_KILLER_KNOWN;
	if (info == SEND_SIG_PRIV) {
		sender->how = PS_KILLER_NONE;
	} else if (info == SEND_SIG_NOINFO) {
		/*
		 * A kernel function, for the caller itself: the signal for a broken pipe or too
		 * large a file.
		 */
		if (own && sig != SIGKILL)
			sender->how = PS_KILLER_NONE;
		key->pid = own ? read_ns_tgid(task->group_leader->thread_pid) : 0;
	} else {
		read_info(info, key);
		/* Timers keep theirs elsewhere than on a stack: a process may claim to be one. */
		if (key->code > SI_USER)
			sender->how = PS_KILLER_NONE;
		else if (is_kernels(key->code))
			sender->how = info - (u64)current->stack < STACK_SIZE ? PS_KILLER_UNKNOWN : PS_KILLER_NONE;
	}
	if (result == TRACE_SIGNAL_LOSE_INFO) {
		key->code = SI_USER;
		key->pid = 0;
	}
	if (sender->how == PS_KILLER_KNOWN)
		fill_ref(&sender->who, current);
}

static __always_inline bool is_same(struct sender *a, struct sender *b)
{
	return a->how == b->how && a->who.tgid == b->who.tgid && a->who.start_ns == b->who.start_ns;
}

/* The first one stays: it has ended the process. */
static __always_inline void keep_killer(u32 tgid, int sig, struct sender *sender)
{
	struct killer_key key = { .tgid = tgid, .signo = sig };
	struct sender *before = bpf_map_lookup_elem(&killers, &key);

	if (!before || before->victim_start != sender->victim_start)
		bpf_map_update_elem(&killers, &key, sender, BPF_ANY);
}

/*
 * complete_signal() ends the process as a signal is sent, if that is neither blocked nor handled,
 * there is no tracer and no core is to be written. Other signals wait until they are delivered.
 */
SEC("tp_btf/signal_generate")
int BPF_PROG(signal_generate, int sig, struct kernel_siginfo *info, struct task_struct *trusted, int group, int result)
{
	struct task_struct *task = untrusted(trusted);
	struct signal_struct *signal = task->signal;
	struct pending_key key = { .signo = sig };
	struct sender sender = {}, *before;

	if (!may_kill(sig) || (result != TRACE_SIGNAL_DELIVERED && result != TRACE_SIGNAL_LOSE_INFO))
		return 0;
	key.tgid = task->tgid;
	sender.victim_start = task->group_leader->start_boottime;
	find_sender(sig, plain_argument(ctx, 1), task, result, &key, &sender);
	if (signal->flags & SIGNAL_GROUP_EXIT && signal->group_exit_code == sig) {
		keep_killer(key.tgid, sig, &sender);
		return 0;
	}
	/* At delivery the code also shows it. */
	if (sender.how == PS_KILLER_NONE && is_kernels(key.code))
		return 0;
	before = bpf_map_lookup_elem(&senders, &key);
	if (before && before->victim_start == sender.victim_start && !is_same(before, &sender)) {
		sender.how = PS_KILLER_UNKNOWN;
		__builtin_memset(&sender.who, 0, sizeof(sender.who));
	}
	bpf_map_update_elem(&senders, &key, &sender, BPF_ANY);
	return 0;
}

static __always_inline void take_delivered(struct task_struct *task, int sig, u64 info, bool ends)
{
	struct pending_key key = { .tgid = task->tgid, .signo = sig };
	struct sender sender = {}, *found;

	/* The process is already dying. */
	if (info == SEND_SIG_NOINFO || info == SEND_SIG_PRIV)
		return;
	read_info(info, &key);
	found = key.code > SI_USER ? NULL : bpf_map_lookup_elem(&senders, &key);
	sender.victim_start = task->group_leader->start_boottime;
	sender.how = is_kernels(key.code) ? PS_KILLER_NONE : PS_KILLER_UNKNOWN;
	if (found && found->victim_start == sender.victim_start)
		sender = *found;
	if (ends)
		keep_killer(key.tgid, sig, &sender);
	if (found)
		bpf_map_delete_elem(&senders, &key);
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(signal_deliver, int sig, struct kernel_siginfo *info, struct k_sigaction *action)
{
	struct task_struct *task;
	struct ps_change *record;
	bool ends;

	if (!may_kill(sig))
		return 0;
	ends = !BPF_CORE_READ(action, sa.sa_handler);
	task = untrusted(bpf_get_current_task_btf());
	if (wants(PS_EXIT))
		take_delivered(task, sig, plain_argument(ctx, 1), ends);
	if (!wants(PS_CORE) || !ends || sig > 31 || !(1ull << sig & CORE_SIGNALS) || !wanted(task))
		return 0;
	record = reserve_change(task, PS_CORE, bpf_ktime_get_boot_ns());
	if (!record)
		return 0;
	record->value[0] = sig;
	bpf_ringbuf_submit(record, wake_flags());
	return 0;
}

static __always_inline void fill_killer(struct ps_exit *record, u32 tgid, u64 start, u32 sig)
{
	struct killer_key key = { .tgid = tgid, .signo = sig };
	struct sender *sender;

	record->killer_how = PS_KILLER_NONE;
	__builtin_memset(&record->killer, 0, sizeof(record->killer));
	if (!sig)
		return;
	sender = bpf_map_lookup_elem(&killers, &key);
	if (sender && sender->victim_start == start) {
		record->killer_how = sender->how;
		record->killer = sender->who;
	} else if (sig != SIGSYS) {
		/* seccomp(2) ends processes without a signal (5.11). */
		record->killer_how = PS_KILLER_UNKNOWN;
	}
	if (sender)
		bpf_map_delete_elem(&killers, &key);
}
