/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The registers of a task's system call. */
#pragma once

#include "common.h"

/* x86: the present call uses a number of the 32-bit table. */
#define TS_COMPAT 0x0002
/* arm64: a 32-bit program. */
#define TIF_32BIT (1ul << 22)

#define IS_X86 bpf_core_field_exists(((struct pt_regs___x86 *)0)->orig_ax)
#define IS_ARM64 bpf_core_field_exists(((struct pt_regs___arm64 *)0)->syscallno)
#define HAS_TASK_PT_REGS \
	bpf_core_enum_value_exists(enum bpf_func_id___task_pt_regs, BPF_FUNC_task_pt_regs___task_pt_regs)

static __always_inline bool is_compat(struct task_struct *task)
{
	if (bpf_core_field_exists(task->thread_info.status))
		return task->thread_info.status & TS_COMPAT;
	return IS_ARM64 && task->thread_info.flags & TIF_32BIT;
}

/* One of the first three arguments of the present call. */
static __always_inline u64 call_arg(void *regs, u32 n, u32 table)
{
	struct pt_regs___x86 *x86 = regs;
	struct pt_regs___arm64 *arm64 = regs;
	u64 arg = 0;

	if (IS_X86 && table == PS_COMPAT)
		arg = n == 0 ? BPF_CORE_READ(x86, bx) : n == 1 ? BPF_CORE_READ(x86, cx) : BPF_CORE_READ(x86, dx);
	else if (IS_X86)
		arg = n == 0 ? BPF_CORE_READ(x86, di) : n == 1 ? BPF_CORE_READ(x86, si) : BPF_CORE_READ(x86, dx);
	else if (IS_ARM64)
		arg = n == 0 ? BPF_CORE_READ(arm64, orig_x0) : n == 1 ? BPF_CORE_READ(arm64, regs[1]) : BPF_CORE_READ(arm64, regs[2]);
	return table == PS_COMPAT ? (u32)arg : arg;
}
