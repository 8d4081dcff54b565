/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * System calls by a number that the tracepoints of calls by name do not show: those of 32-bit
 * programs, of int 0x80 and of x32. Every call of every process passes these tracepoints, so the
 * number is checked first.
 */
#pragma once

#include "exec_failed.h"
#include "ids.h"
#include "ptrace.h"

#define X32_BIT 0x40000000u

/* enum ps_call, from the kernel's number. */
static __always_inline u32 find_call(struct task_struct *task, u32 nr, u32 *table)
{
	u32 of = is_compat(task) ? PS_COMPAT : nr & X32_BIT ? PS_X32 : PS_NATIVE;

	nr &= ~X32_BIT;
	opaque(nr);
	if (nr >= PS_NUMBERS)
		return PS_CALL_OTHER;
	*table = of;
	return config.calls[of][nr];
}

static __always_inline int on_enter(void *regs, u32 nr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 table = 0, call = find_call(task, nr, &table);

	if (call == PS_CALL_SETID && (wants(PS_UID) || wants(PS_GID)))
		return keep_ids(untrusted(task));
	if (call == PS_CALL_PTRACE && wants(PS_PTRACE))
		return enter_ptrace(call_arg(regs, 0, table), call_arg(regs, 1, table));
	return 0;
}

static __always_inline u32 call_number(void *regs)
{
	if (bpf_core_field_exists(((struct pt_regs___x86 *)0)->orig_ax))
		return ((struct pt_regs___x86 *)regs)->orig_ax;
	if (bpf_core_field_exists(((struct pt_regs___arm64 *)0)->syscallno))
		return ((struct pt_regs___arm64 *)regs)->syscallno;
	return ~X32_BIT;
}

static __always_inline int on_leave(void *regs, s64 ret, bool first)
{
	bool failures_only = !wants(PS_UID) && !wants(PS_GID) && !wants(PS_SID) && !wants(PS_PTRACE);
	struct task_struct *task;
	u32 table = 0, call, tid;
	u8 done = 1;

	/* Nearly every call of the machine ends here. */
	if (failures_only && ret >= 0)
		return 0;
	task = bpf_get_current_task_btf();
	call = find_call(task, call_number(regs), &table);
	if (call == PS_CALL_OTHER)
		return 0;
	tid = untrusted(task)->pid;
	if (config.again && first)
		bpf_map_update_elem(&calls_done, &tid, &done, BPF_ANY);
	else if (!first && !bpf_map_delete_elem(&calls_done, &tid))
		return 0;
	if (call == PS_CALL_EXECVE || call == PS_CALL_EXECVEAT) {
		u32 slot = bpf_get_smp_processor_id() + (first ? 1 : 2) * config.again;

		return wants(PS_EXEC_FAILED) && ret < 0 ? failed_exec(regs, ret, call, table, slot) : 0;
	}
	if (call == PS_CALL_SETID && (wants(PS_UID) || wants(PS_GID)))
		return tell_ids(untrusted(task));
	if (call == PS_CALL_SETSID && wants(PS_SID))
		return tell_sid(ret);
	if (call == PS_CALL_PTRACE && wants(PS_PTRACE))
		return leave_ptrace(ret);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, void *regs, long nr)
{
	return on_enter(regs, nr);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, void *regs, long ret)
{
	return on_leave(regs, ret, true);
}

/* For programs that may be preempted. Keeping the same ids twice does no harm. */
SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter_2, void *regs, long nr)
{
	return on_enter(regs, nr);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit_2, void *regs, long ret)
{
	return on_leave(regs, ret, false);
}
