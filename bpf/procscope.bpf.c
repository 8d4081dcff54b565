// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Process events from the kernel's tracepoints. Nothing here needs kprobes, fentry or LSM hooks, so it loads on kernels
 * without them and under lockdown=integrity.
 */
#include "core_types.h"
#include "procscope.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* One object, one compilation: the programs share maps and records. */
#include "fork.h"
#include "clock.h"
#include "exec.h"
#include "comm.h"
#include "exec_failed.h"
#include "exit.h"
#include "signals.h"
#include "ids.h"
#include "ptrace.h"
#include "calls.h"
#include "existing.h"
