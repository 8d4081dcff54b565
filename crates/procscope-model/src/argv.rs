use bstr::{BStr, ByteSlice};
use std::ffi::OsStr;

/// A list of byte strings, as the kernel lays them out: each one ends with a NUL.
///
/// Used for arguments and for environments. Exact: empty strings, newlines and bytes that are not
/// valid UTF-8 stay as they were. Source: Linux keeps both at `mm->arg_start..arg_end` and
/// `mm->env_start..env_end` in this form (`fs/exec.c`).
#[derive(Clone, Default)]
pub struct Argv {
    /// Every string followed by a NUL, except perhaps the last one of a cut list.
    bytes: Box<[u8]>,
}

impl Argv {
    /// Makes a list from a NUL-separated block, as in `/proc/PID/cmdline`. A last string without
    /// its NUL counts.
    pub fn from_block(bytes: impl Into<Box<[u8]>>) -> Self {
        Self { bytes: bytes.into() }
    }

    /// Joins strings into a list. A NUL inside one would split it, so the string ends there.
    pub fn from_strings<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Self {
        let mut bytes = Vec::new();
        for string in strings {
            let string = string.as_ref();
            bytes.extend_from_slice(string.split(|&b| b == 0).next().unwrap_or_default());
            bytes.push(0);
        }
        Self { bytes: bytes.into() }
    }

    /// The block with its NULs.
    pub fn block(&self) -> &[u8] {
        &self.bytes
    }

    /// True where there is no string at all; a list of one empty string is not empty.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The number of strings.
    pub fn count(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is any string, and all of them with a NUL between them.
    fn strings(&self) -> (bool, &[u8]) {
        (self.is_empty(), self.bytes.strip_suffix(b"\0").unwrap_or(&self.bytes))
    }

    /// The strings in order, without their NULs.
    pub fn iter(&self) -> impl Iterator<Item = &BStr> + Clone {
        let (empty, block) = self.strings();
        (!empty).then(|| block.split(|&b| b == 0).map(|s| s.as_bstr())).into_iter().flatten()
    }

    /// The strings as the system's; `None` where one is not valid there: outside Unix, not UTF-8.
    pub fn os_strs(&self) -> impl Iterator<Item = Option<&OsStr>> + Clone {
        self.iter().map(|string| os_str(string))
    }

    /// The first string, which by custom names the program.
    pub fn first(&self) -> Option<&BStr> {
        self.iter().next()
    }
}

impl PartialEq for Argv {
    /// True if the strings are the same: a cut last NUL makes no difference.
    fn eq(&self, other: &Self) -> bool {
        self.strings() == other.strings()
    }
}

impl Eq for Argv {}

impl std::hash::Hash for Argv {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.strings().hash(state);
    }
}

impl std::fmt::Debug for Argv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Bytes as a string of the system. Unix takes any; elsewhere they must be UTF-8.
pub(crate) fn os_str(bytes: &[u8]) -> Option<&OsStr> {
    #[cfg(unix)]
    return Some(std::os::unix::ffi::OsStrExt::from_bytes(bytes));
    #[cfg(not(unix))]
    str::from_utf8(bytes).ok().map(OsStr::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn empty_strings_are_kept() {
        assert_eq!(Argv::from_block(*b"").count(), 0);
        assert_eq!(Argv::from_block(*b"\0").iter().collect::<Vec<_>>(), [""]);
        assert_eq!(Argv::from_block(*b"a\0\0b\0\0").iter().collect::<Vec<_>>(), ["a", "", "b", ""]);
        assert_eq!(Argv::from_block(*b"a\0cut").iter().collect::<Vec<_>>(), ["a", "cut"]);
    }

    #[test]
    fn strings_of_the_system() {
        let argv = Argv::from_strings(["ls", "", "é"]);
        let words: Option<Vec<_>> = argv.os_strs().collect();
        assert_eq!(words.unwrap(), ["ls", "", "é"]);
        let bytes = Argv::from_strings([b"\xff"]);
        assert_eq!(bytes.os_strs().next().unwrap().is_some(), cfg!(unix));
    }

    proptest! {
        #[test]
        fn strings_come_back(list in proptest::collection::vec(proptest::collection::vec(1u8..=255, 0..20), 0..20)) {
            let argv = Argv::from_strings(&list);
            prop_assert_eq!(argv.iter().map(|s| s.to_vec()).collect::<Vec<_>>(), list);
        }

        #[test]
        fn any_block_is_taken(block: Vec<u8>) {
            let argv = Argv::from_block(block.clone());
            prop_assert_eq!(argv.is_empty(), argv.iter().next().is_none());
            prop_assert_eq!(argv.block(), &block[..]);
        }
    }
}
