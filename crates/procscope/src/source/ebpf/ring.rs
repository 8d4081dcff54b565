//! A reader of BPF_MAP_TYPE_RINGBUF (`kernel/bpf/ringbuf.c`) that can look ahead without consuming.
//!
//! libbpf's own maps the data twice in a row, which doubles the resident memory. This one maps it
//! once, and copies the one record in a round that crosses the end.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const HEADER: usize = 8;

/// Memory shared with the kernel.
struct Mapping {
    start: *mut u8,
    len: usize,
}

// SAFETY: the mapping belongs only to this value, and is not bound to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, offset: u64, len: usize, writable: bool) -> io::Result<Self> {
        let prot = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(ptr::null_mut(), len, prot, MapFlags::SHARED, fd, offset)? };
        Ok(Self { start: start.cast(), len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; nothing borrows from it any more.
        let _ = unsafe { munmap(self.start.cast(), self.len) };
    }
}

pub(super) struct Ring {
    consumer: Mapping,
    /// The producer's page, then the data.
    producer: Mapping,
    page: usize,
    size: usize,
    /// The reader's position; the kernel learns of it in [`Ring::release`].
    at: u64,
    /// A record that crosses the end.
    joined: Vec<u8>,
}

/// The content at a place of the ring.
pub(super) enum Slot<'a> {
    Record(&'a [u8]),
    Discarded,
    /// Reserved, and not written yet.
    Busy,
    End,
}

impl Ring {
    /// Maps the ring of `size` data bytes, a power of two.
    pub(super) fn new(fd: BorrowedFd<'_>, size: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let consumer = Mapping::new(fd, 0, page, true)?;
        let producer = Mapping::new(fd, page as u64, page + size, false)?;
        let mut ring = Self { consumer, producer, page, size, at: 0, joined: Vec::new() };
        ring.at = ring.consumer_position().load(Ordering::Relaxed);
        Ok(ring)
    }

    fn consumer_position(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped as long as self lives, is aligned, and the kernel treats its
        // first word as atomic.
        unsafe { &*self.consumer.start.cast::<AtomicU64>() }
    }

    fn producer_position(&self) -> u64 {
        // SAFETY: as above, read-only.
        unsafe { &*self.producer.start.cast::<AtomicU64>() }.load(Ordering::Acquire)
    }

    /// The place of the next record.
    pub(super) fn end(&self) -> u64 {
        self.producer_position()
    }

    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// The content at a position between [`Ring::position`] and [`Ring::end`], and the position
    /// after it.
    pub(super) fn look(&mut self, position: u64) -> (Slot<'_>, u64) {
        if position >= self.producer_position() {
            return (Slot::End, position);
        }
        let offset = position as usize & (self.size - 1);
        // SAFETY: offset is inside the data and a multiple of 8, so the header does not cross the
        // end.
        let data = unsafe { self.producer.start.add(self.page) };
        // SAFETY: as above; the kernel writes this word atomically.
        let word = unsafe { &*data.add(offset).cast::<AtomicU32>() }.load(Ordering::Acquire);
        if word & BUSY != 0 {
            return (Slot::Busy, position);
        }
        let len = (word & !(BUSY | DISCARD)) as usize;
        let next = position + (HEADER + len).next_multiple_of(8) as u64;
        if word & DISCARD != 0 {
            return (Slot::Discarded, next);
        }
        // The kernel never makes a record longer than the ring; a longer length is not believed.
        let len = len.min(self.size - HEADER);
        let start = (offset + HEADER) & (self.size - 1);
        let first = len.min(self.size - start);
        // SAFETY: start + first is at most size. The kernel leaves a committed record alone until
        // it is released.
        let head = unsafe { std::slice::from_raw_parts(data.add(start), first) };
        if first == len {
            return (Slot::Record(head), next);
        }
        self.joined.clear();
        self.joined.extend_from_slice(head);
        // SAFETY: the rest is at the beginning, and is shorter than the data.
        self.joined.extend_from_slice(unsafe { std::slice::from_raw_parts(data, len - first) });
        (Slot::Record(&self.joined), next)
    }

    /// Moves on; memory before `position` must not be looked at again.
    pub(super) fn advance(&mut self, position: u64) {
        self.at = position;
        // One huge record must not keep its memory for ever.
        if self.joined.capacity() > 1 << 16 {
            self.joined = Vec::new();
        }
    }

    /// Gives the read part back to the kernel.
    pub(super) fn release(&self) {
        self.consumer_position().store(self.at, Ordering::Release);
    }
}

/// The programs' shared words: `struct ps_shared`.
pub(super) struct Shared(Mapping);

impl Shared {
    pub(super) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self(Mapping::new(fd, 0, rustix::param::page_size(), true)?))
    }

    fn word64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: offsets are those of struct ps_shared, inside the page and aligned.
        unsafe { &*self.0.start.add(offset).cast::<AtomicU64>() }
    }

    fn word32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { &*self.0.start.add(offset).cast::<AtomicU32>() }
    }

    /// How many events were lost so far, by kind.
    pub(super) fn lost(&self) -> [u64; super::wire::kind::KINDS] {
        let of = |kind| self.word64(std::mem::offset_of!(super::wire::Shared, lost) + 8 * kind).load(Ordering::Relaxed);
        std::array::from_fn(of)
    }

    /// For one of [`super::wire::TWICE`], the runs for which its second program made up.
    pub(super) fn caught(&self, which: usize) -> u64 {
        self.word64(std::mem::offset_of!(super::wire::Shared, caught) + 8 * which).load(Ordering::Relaxed)
    }

    pub(super) fn set_pacing(&self, pacing: u32) {
        self.word32(std::mem::offset_of!(super::wire::Shared, pacing)).store(pacing, Ordering::SeqCst);
    }

    pub(super) fn set_trees(&self, state: u32) {
        self.word32(std::mem::offset_of!(super::wire::Shared, trees)).store(state, Ordering::SeqCst);
    }
}
