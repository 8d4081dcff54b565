use std::fmt;
use std::ops::Deref;

use bstr::ByteSlice;

/// On Linux every comm fits (15 bytes), so a name costs no allocation; a `Name` is as long as a
/// `Vec`.
const INLINE: usize = 22;

/// The name of a process or a thread: bytes, which need not be text.
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE] },
    Boxed(Box<[u8]>),
}

impl Name {
    /// Copies the bytes.
    pub fn new(name: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..name.len()) {
            Some(room) => {
                room.copy_from_slice(name);
                Self(Repr::Inline { len: name.len() as u8, bytes })
            }
            None => Self(Repr::Boxed(name.into())),
        }
    }

    /// The bytes up to the first NUL, as the kernel keeps a comm.
    pub fn from_comm(comm: &[u8; 16]) -> Self {
        let word = u128::from_le_bytes(*comm);
        let zero = word.wrapping_sub(u128::MAX / 255) & !word & (u128::MAX / 255) << 7;
        let len = zero.trailing_zeros() / 8;
        let kept = if len < 16 { word & ((1 << (8 * len)) - 1) } else { word };
        let mut bytes = [0; INLINE];
        bytes[..16].copy_from_slice(&kept.to_le_bytes());
        Self(Repr::Inline { len: len as u8, bytes })
    }
}

impl Deref for Name {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Repr::Boxed(bytes) => bytes,
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bstr().fmt(f)
    }
}

impl fmt::Display for Name {
    /// U+FFFD is in place of bytes that are not valid UTF-8. What could act on a terminal is unchanged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str_lossy())
    }
}

impl std::str::FromStr for Name {
    type Err = std::convert::Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(name.into())
    }
}

impl From<&[u8]> for Name {
    fn from(name: &[u8]) -> Self {
        Self::new(name)
    }
}

impl<const N: usize> From<&[u8; N]> for Name {
    fn from(name: &[u8; N]) -> Self {
        Self::new(name)
    }
}

impl<const N: usize> From<[u8; N]> for Name {
    fn from(name: [u8; N]) -> Self {
        Self::new(&name)
    }
}

impl From<Vec<u8>> for Name {
    fn from(name: Vec<u8>) -> Self {
        Self::new(&name)
    }
}

impl From<Box<[u8]>> for Name {
    fn from(name: Box<[u8]>) -> Self {
        Self::new(&name)
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self::new(name.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_absent_name_takes_no_more_room() {
        assert_eq!((size_of::<Name>(), size_of::<Option<Name>>()), (24, 24));
    }

    #[test]
    fn a_name_shows_its_text() {
        assert_eq!(Name::new(b"a\xffb").to_string(), "a\u{fffd}b");
        assert_eq!("cc1plus".parse::<Name>().unwrap().to_string(), "cc1plus");
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let name = Name::new(&bytes);
            prop_assert_eq!(&*name, &bytes[..]);
            prop_assert_eq!(&name, &Name::from(bytes));
        }

        #[test]
        fn a_comm_ends_at_its_first_nul(comm in proptest::array::uniform16(prop_oneof![Just(0u8), Just(1), Just(128), any::<u8>()])) {
            let slow = comm.split(|&b| b == 0).next().unwrap();
            prop_assert_eq!(&*Name::from_comm(&comm), slow);
        }
    }
}
