/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Paths of files and directories, from the leaf to the root. */
#pragma once

#include "common.h"

#define S_ISUID 0004000
#define S_ISGID 0002000

/* A flag beside an offset: the path is not complete. */
#define CUT (1ull << 32)

/* The place of a mount: its parent, the entry in it, and the parent's own root. */
struct place {
	struct mount *above;
	struct dentry *mountpoint;
	struct dentry *root;
};

static __always_inline struct place place_of(struct mount *mount)
{
	struct place place;

	if (bpf_ksym_exists(bpf_rdonly_cast)) {
		struct mount *typed = bpf_rdonly_cast(mount, bpf_core_type_id_kernel(struct mount));

		place.above = typed->mnt_parent;
		place.mountpoint = typed->mnt_mountpoint;
		place.root = typed->mnt_parent->mnt.mnt_root;
	} else {
		place.above = BPF_CORE_READ(mount, mnt_parent);
		place.mountpoint = BPF_CORE_READ(mount, mnt_mountpoint);
		place.root = BPF_CORE_READ(mount, mnt_parent, mnt.mnt_root);
	}
	return place;
}

static long path_step(u32 i, struct exec_scratch **context)
{
	struct exec_scratch *scratch = *context;
	struct walk *walk = &scratch->walk;
	struct dentry *dentry = walk->dentry, *parent;
	const unsigned char *name;
	u32 off = walk->off;
	long n;

	if (dentry == walk->root) {
		struct mount *mount = walk->mount;
		struct place place = place_of(mount);

		if (place.above == mount || !place.above) {
			walk->whole = true;
			return 1;
		}
		walk->dentry = place.mountpoint;
		walk->mount = place.above;
		walk->root = place.root;
		return 0;
	}
	if (bpf_ksym_exists(bpf_rdonly_cast)) {
		struct dentry *typed = bpf_rdonly_cast(dentry, bpf_core_type_id_kernel(struct dentry));

		parent = typed->d_parent;
		name = typed->d_name.name;
	} else {
		parent = BPF_CORE_READ(dentry, d_parent);
		name = BPF_CORE_READ(dentry, d_name.name);
	}
	opaque(off);
	if (off > walk->limit || off > PS_DATA_MAX - 256)
		return 1;
	n = bpf_probe_read_kernel_str(scratch->data + off, 256, name);
	if (n < 0)
		return 1;
	walk->off = off + n;
	if (parent == dentry || !parent) {
		walk->whole = true;
		return 1;
	}
	walk->dentry = parent;
	return 0;
}

/* The slot for processes that are already running. */
#define OF_EXISTING (~0u)

/*
 * Names from the walk's dentry and vfsmount to the root of the mount namespace, as
 * d_absolute_path() goes. Returns the new end. No lock is held: a directory renamed in the same
 * microsecond may appear under either name. A function that is not static is verified once for all
 * callers.
 */
__noinline u64 read_path(u32 off, u32 limit, u32 slot)
{
	struct exec_scratch *scratch;
	struct vfsmount *vfsmount;
	u32 zero = 0;

	if (slot == OF_EXISTING)
		scratch = bpf_map_lookup_elem(&iter_scratch, &zero);
	else
		scratch = bpf_map_lookup_elem(&exec_scratches, &slot);
	if (!scratch)
		return CUT | off;
	vfsmount = scratch->walk.vfsmount;
	scratch->walk.mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	if (bpf_ksym_exists(bpf_rdonly_cast)) {
		struct vfsmount *typed = bpf_rdonly_cast(vfsmount, bpf_core_type_id_kernel(struct vfsmount));

		scratch->walk.root = typed->mnt_root;
	} else {
		scratch->walk.root = BPF_CORE_READ(vfsmount, mnt_root);
	}
	scratch->walk.off = off;
	scratch->walk.limit = limit;
	scratch->walk.whole = false;
	LOOP(PS_MAX_COMPONENTS, 64, path_step, &scratch);
	return scratch->walk.whole ? scratch->walk.off : CUT | scratch->walk.off;
}

static __always_inline bool is_unhashed(struct dentry *dentry)
{
	return !dentry->d_hash.pprev;
}

static __always_inline bool is_root(struct dentry *dentry)
{
	return dentry->d_parent == dentry;
}

static __always_inline u32 read_exe_traits(struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;
	u16 mode = file->f_inode->i_mode;
	u32 traits = 0;

	if (mode & S_ISUID)
		traits |= PS_EXE_SETUID;
	if (mode & S_ISGID)
		traits |= PS_EXE_SETGID;
	if (is_unhashed(dentry)) {
		if (is_root(dentry)) {
			char name[8] = {};

			/*
			 * Files of memfd_create(2) are in no directory: mm/memfd.c gives them this
			 * prefix.
			 */
			bpf_probe_read_kernel_str(name, sizeof(name), dentry->d_name.name);
			if (*(u32 *)name == 0x666d656d && name[4] == 'd' && name[5] == ':')
				traits |= PS_EXE_MEMFD;
		}
		traits |= PS_EXE_DELETED;
	}
	return traits;
}

/* Reads the paths of the executed file and of the working directory into data, from off on. */
static __always_inline u32 read_places(struct exec_scratch *scratch, u32 off, struct task_struct *task, struct mm_struct *mm, u32 slot, u16 *flags)
{
	struct ps_exec *record = &scratch->record;
	struct file *file = mm ? mm->exe_file : NULL;
	struct fs_struct *fs = task->fs;
	u32 start = off;
	u64 end;

	record->exe_traits = record->pad = 0;
	record->has_cwd = fs != NULL;
	if (file) {
		scratch->walk.vfsmount = file->f_path.mnt;
		scratch->walk.dentry = file->f_path.dentry;
		end = read_path(off, 12288 - 256, slot);
		if (end & CUT)
			*flags |= PS_F_EXE_CUT;
		off = end;
		record->exe_traits = read_exe_traits(file);
	}
	record->exe_len = off - start;
	start = off;
	if (fs) {
		struct dentry *dentry = fs->pwd.dentry;

		if (dentry && is_unhashed(dentry) && !is_root(dentry))
			*flags |= PS_F_CWD_DELETED;
		scratch->walk.vfsmount = fs->pwd.mnt;
		scratch->walk.dentry = dentry;
		end = read_path(off, 16384 - 256, slot);
		if (end & CUT)
			*flags |= PS_F_CWD_CUT;
		off = end;
	}
	record->cwd_len = off - start;
	return off;
}
