//! What the C library does with memory that was freed.

/// From here on an allocation is a mapping of its own, bytes. Buffers of output are smaller, and used again.
const MAPPED: i32 = 1 << 20;

/// Has what was allocated for one long list go back to the system as soon as it is freed. By itself the C library raises both bounds to
/// the largest block that was ever freed (`mallopt(3)`), and keeps that much and more ever after.
pub(crate) fn give_back_at_once() {
    // SAFETY: no other thread runs yet; what cannot be set stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, MAPPED);
    }
}
