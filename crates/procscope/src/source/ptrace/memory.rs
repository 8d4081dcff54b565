//! Strings and lists in the memory of a process that is held still.

use super::calls;
use crate::Pid;

/// This much of a failed exec's arguments is read, bytes.
const MOST_TRIED: usize = 128 << 10;
/// `linux/limits.h`.
pub(super) const PATH_MAX: usize = 4096;
const PAGE: usize = 4096;

/// The path as it was given to exec: `AT_EXECFN` of getauxval(3).
pub(super) fn path_of(pid: Pid) -> Option<Vec<u8>> {
    const AT_EXECFN: u64 = 31;
    let auxv = std::fs::read(format!("/proc/{pid}/auxv")).ok()?;
    let find = |word: usize| {
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |sum, &b| sum << 8 | u64::from(b));
        let mut pairs = auxv.chunks_exact(2 * word).map(|pair| (number(&pair[..word]), number(&pair[word..])));
        pairs.find(|(key, _)| *key == AT_EXECFN).map(|(_, value)| value)
    };
    // A 32-bit program has pairs of half that size, which read as wide ones make no such key.
    read_string(pid, find(8).or_else(|| find(4))?, PATH_MAX)
}

/// Reads up to a NUL, and not beyond a page that may be the last.
pub(super) fn read_string(tid: Pid, address: u64, most: usize) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut chunk = [0; PAGE];
    while text.len() < most {
        let at = address.checked_add(text.len() as u64)?;
        let room = PAGE - at as usize % PAGE;
        let read = calls::read_memory(tid, at, &mut chunk[..room]);
        if read == 0 {
            return None;
        }
        match chunk[..read].iter().position(|&b| b == 0) {
            Some(end) => {
                text.extend_from_slice(&chunk[..end]);
                return Some(text);
            }
            None => text.extend_from_slice(&chunk[..read]),
        }
    }
    text.truncate(most);
    Some(text)
}

/// Reads a number of at most eight bytes.
pub(super) fn read_word(tid: Pid, address: u64, bytes: usize) -> Option<u64> {
    let mut word = [0; 8];
    let word_read = calls::read_memory(tid, address, &mut word[..bytes]);
    (word_read == bytes).then(|| u64::from_le_bytes(word))
}

/// Reads a list of pointers to strings; returns each string with its NUL, and whether that is all.
pub(super) fn read_list(tid: Pid, address: u64, pointer: usize) -> (Vec<u8>, bool) {
    let mut list = Vec::new();
    // As for execve(2), a missing list is an empty one.
    if address == 0 {
        return (list, true);
    }
    for index in 0.. {
        let mut bytes = [0; 8];
        if calls::read_memory(tid, address + index * pointer as u64, &mut bytes[..pointer]) < pointer {
            return (list, false);
        }
        let string = u64::from_le_bytes(bytes);
        if string == 0 {
            return (list, true);
        }
        let room = MOST_TRIED.saturating_sub(list.len());
        let Some(string) = read_string(tid, string, room) else { return (list, false) };
        let cut = string.len() >= room;
        list.extend_from_slice(&string);
        list.push(0);
        if cut {
            return (list, false);
        }
    }
    (list, true)
}
