//! The C library's treatment of freed memory.

/// Larger allocations are mappings of their own, bytes. Buffers of output are smaller, and reused.
const MAPPED: i32 = 1 << 20;

/// Makes the memory of one long list go back to the system as soon as it is freed. By itself the C
/// library raises both bounds to the largest block that was ever freed (`mallopt(3)`), and from
/// then on keeps that much and more.
pub(crate) fn give_back_at_once() {
    // SAFETY: no other thread runs yet; a refused setting stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, MAPPED);
    }
}
