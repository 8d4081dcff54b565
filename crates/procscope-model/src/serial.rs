//! Feature `serde`: the types as they are, with words for their words.
//!
//! Kinds, fields, flaws, mechanisms and sets of kinds are the words of JSON Lines. Flaws and numbers by
//! kind are objects; traits of a file are a list. Bytes are a string if they are valid UTF-8 and else a
//! list of numbers; in binary formats they are bytes. All other types have the structure of their Rust
//! declarations. This is not the format of `--format json`, which `procscope-format` writes and reads.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Argv, Counts, EventSet, ExeTraits, Field, Flaw, Flaws, Kind, Name, SourceId};

macro_rules! by_word {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

by_word!(Kind, Field, Flaw, SourceId, EventSet);

impl Serialize for Flaws {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Flaws {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Marks;

        impl<'de> Visitor<'de> for Marks {
            type Value = Flaws;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("flaws by field")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flaws, A::Error> {
                let mut flaws = Flaws::new();
                while let Some((field, flaw)) = map.next_entry()? {
                    flaws.mark(field, flaw);
                }
                Ok(flaws)
            }
        }

        from.deserialize_map(Marks)
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let numbers = BTreeMap::<Kind, u64>::deserialize(from)?;
        let mut counts = Self::default();
        numbers.into_iter().for_each(|(kind, n)| counts.set(kind, n));
        Ok(counts)
    }
}

impl Serialize for ExeTraits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter_names().map(|(name, _)| name.to_ascii_lowercase()))
    }
}

impl<'de> Deserialize<'de> for ExeTraits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let one = |name: String| {
            let known = Self::from_name(&name.to_ascii_uppercase());
            known.ok_or_else(|| D::Error::custom(format_args!("there is no trait of a file '{}'", name.escape_debug())))
        };
        Vec::<String>::deserialize(from)?.into_iter().map(one).collect()
    }
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(self.0) {
            _ if !to.is_human_readable() => to.serialize_bytes(self.0),
            Ok(text) => to.serialize_str(text),
            Err(_) => to.collect_seq(self.0),
        }
    }
}

struct ByteBuf(Vec<u8>);

impl<'de> Deserialize<'de> for ByteBuf {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = ByteBuf;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of bytes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ByteBuf, E> {
                Ok(ByteBuf(text.into()))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<ByteBuf, E> {
                Ok(ByteBuf(bytes.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ByteBuf, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                Ok(ByteBuf(bytes))
            }
        }

        if from.is_human_readable() { from.deserialize_any(Text) } else { from.deserialize_byte_buf(Text) }
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Bytes(self).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        ByteBuf::deserialize(from).map(|ByteBuf(bytes)| Self::new(&bytes))
    }
}

impl Serialize for Argv {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(|string| Bytes(string)))
    }
}

impl<'de> Deserialize<'de> for Argv {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let strings = Vec::<ByteBuf>::deserialize(from)?;
        Ok(Self::from_strings(strings.into_iter().map(|ByteBuf(bytes)| bytes)))
    }
}

/// For members that are bytes: `#[serde(with = …)]`.
pub(crate) mod bytes {
    use super::{ByteBuf, Bytes, Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer, T: AsRef<[u8]>>(bytes: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| Bytes(bytes.as_ref())).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: From<Vec<u8>>>(from: D) -> Result<Option<T>, D::Error> {
        Ok(Option::<ByteBuf>::deserialize(from)?.map(|ByteBuf(bytes)| bytes.into()))
    }
}
