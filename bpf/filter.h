/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Which events are wanted. */
#pragma once

#include "common.h"

/* For an address; the other walks have typed pointers, which are read without a call. */
static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *kn)
{
	if (bpf_core_field_exists(((struct kernfs_node___rcu *)0)->__parent))
		return (void *)BPF_CORE_READ((struct kernfs_node___rcu *)kn, __parent);
	return BPF_CORE_READ(kn, parent);
}

#define CGROUP_OF(SUBSYS)                                                                                                   \
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, SUBSYS)) {                                                    \
		struct cgroup *cgroup = set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, SUBSYS)]->cgroup;            \
		if (cgroup->level > 0)                                                                                      \
			return cgroup;                                                                                      \
	}

/* If the unified hierarchy says nothing, the first controller of the old ones that does. */
static __always_inline struct cgroup *cgroup_of(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct cgroup *unified;

	if (!set)
		return NULL;
	unified = set->dfl_cgrp;
	if (unified->level > 0)
		return unified;
	CGROUP_OF(memory_cgrp_id)
	CGROUP_OF(pids_cgrp_id)
	CGROUP_OF(cpu_cgrp_id)
	CGROUP_OF(cpuset_cgrp_id)
	CGROUP_OF(devices_cgrp_id)
	return unified;
}

static __always_inline bool in_cgroups(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct kernfs_node *kn;

	if (!set)
		return false;
	kn = BPF_CORE_READ(set, dfl_cgrp, kn);
	for (int i = 0; i < 32 && kn; i++) {
		struct cgroup_key key = { .id = BPF_CORE_READ(kn, id) };

		if (bpf_map_lookup_elem(&cgroups, &key))
			return true;
		kn = kernfs_parent(kn);
	}
	return false;
}

/* A member's child for whose fork no program was run. */
static __always_inline bool adopts(struct task_struct *task)
{
	u32 tgid = task->tgid, parent;
	u8 in = 1;

	if (!config.again)
		return false;
	parent = task->real_parent->tgid;
	if (!bpf_map_lookup_elem(&trees, &parent))
		return false;
	bpf_map_update_elem(&trees, &tgid, &in, BPF_ANY);
	return true;
}

static __always_inline bool wanted(struct task_struct *task)
{
	u32 tgid = task->tgid;

	if (config.filter_pids && !bpf_map_lookup_elem(&pids, &tgid))
		return false;
	if (config.filter_trees && shared.trees != PS_TREES_PLANTING && !bpf_map_lookup_elem(&trees, &tgid) && !adopts(task))
		return false;
	if (config.filter_uids) {
		u32 uid = task->cred->uid.val;

		if (!bpf_map_lookup_elem(&uids, &uid))
			return false;
	}
	if (config.filter_names) {
		struct task_struct *leader = task->group_leader;
		struct comm_value name = {};

		bpf_probe_read_kernel_str(name.comm, sizeof(name.comm), leader->comm);
		if (!bpf_map_lookup_elem(&names, &name))
			return false;
	}
	if (config.filter_cgroups && !in_cgroups(task))
		return false;
	return true;
}

/* Whether a record of this kind is sent; an unrequested one is marked. */
static __always_inline bool sends(u32 kind, struct task_struct *task, u16 *flags)
{
	if (wants(kind) && wanted(task))
		return true;
	if (!needs(kind))
		return false;
	*flags |= PS_F_UNASKED;
	return true;
}
