//! Globs over bytes: `*` is any bytes, `/` too; `?` is one byte; `[a-z]` and `[!a-z]` are one of a
//! set.

use memchr::memmem::Finder;

use super::error::Fault;
use super::lex::take_escape;

/// One byte of a glob.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Atom {
    Byte(u8),
    Any,
    /// By value.
    Set(Box<[bool; 256]>),
}

impl Atom {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => *wanted == byte,
            Self::Any => true,
            Self::Set(set) => set[usize::from(byte)],
        }
    }
}

/// The text between two stars.
#[derive(Clone, Debug)]
enum Part {
    Bytes(Box<Finder<'static>>),
    Atoms(Vec<Atom>),
}

impl Part {
    fn new(atoms: Vec<Atom>) -> Self {
        let bytes = atoms.iter().map(|atom| match atom {
            Atom::Byte(byte) => Some(*byte),
            _ => None,
        });
        match bytes.collect::<Option<Vec<u8>>>() {
            Some(bytes) => Self::Bytes(Box::new(Finder::new(&bytes).into_owned())),
            None => Self::Atoms(atoms),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.needle().len(),
            Self::Atoms(atoms) => atoms.len(),
        }
    }

    fn is(&self, text: &[u8]) -> bool {
        match self {
            // Some memcmp() need 100 ns for no bytes: they load, masked, from where an empty list's
            // pointer leads.
            Self::Bytes(bytes) => bytes.needle().len() == text.len() && (text.is_empty() || bytes.needle() == text),
            Self::Atoms(atoms) => {
                atoms.len() == text.len() && atoms.iter().zip(text).all(|(atom, &byte)| atom.takes(byte))
            }
        }
    }

    fn find(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Bytes(bytes) => bytes.find(text),
            Self::Atoms(atoms) => text.windows(atoms.len()).position(|window| self.is(window)),
        }
    }
}

/// A pattern that has to match the whole text.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    /// Without a star it is everything, otherwise the beginning.
    first: Part,
    /// After the first star: what comes in this order, and the end.
    rest: Option<(Vec<Part>, Part)>,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Result<Self, Fault> {
        let mut parts = vec![Vec::new()];
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            let atom = match c {
                '*' => {
                    parts.push(Vec::new());
                    continue;
                }
                '?' => Atom::Any,
                '[' => set(&mut chars)?,
                '\\' => Atom::Byte(escape(&mut chars)?),
                _ => {
                    let last = parts.last_mut().into_iter();
                    last.for_each(|part| part.extend(c.encode_utf8(&mut [0; 4]).bytes().map(Atom::Byte)));
                    continue;
                }
            };
            parts.last_mut().into_iter().for_each(|part| part.push(atom.clone()));
        }
        let mut parts = parts.into_iter().map(Part::new);
        let first = parts.next().unwrap_or_else(|| Part::new(Vec::new()));
        let mut middle: Vec<Part> = parts.collect();
        let rest = middle.pop().map(|last| (middle.into_iter().filter(|part| part.len() > 0).collect(), last));
        Ok(Self { first, rest })
    }

    /// The text, if the pattern matches only one.
    pub(super) fn literal(&self) -> Option<&[u8]> {
        match self {
            Self { first: Part::Bytes(bytes), rest: None } => Some(bytes.needle()),
            _ => None,
        }
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let Some((middle, last)) = &self.rest else { return self.first.is(text) };
        let Some((head, text)) = text.split_at_checked(self.first.len()) else { return false };
        let Some(end) = text.len().checked_sub(last.len()) else { return false };
        let (mut text, tail) = text.split_at(end);
        // The leftmost place of each part leaves the most room to those after it.
        self.first.is(head)
            && last.is(tail)
            && middle.iter().all(|part| match part.find(text) {
                Some(at) => {
                    text = &text[at + part.len()..];
                    true
                }
                None => false,
            })
    }
}

fn escape(chars: &mut std::str::Chars<'_>) -> Result<u8, Fault> {
    match chars.next() {
        Some(c @ ('*' | '?' | '[' | ']' | '!' | '^' | '-')) => Ok(c as u8),
        other => take_escape(other, chars),
    }
}

fn set(chars: &mut std::str::Chars<'_>) -> Result<Atom, Fault> {
    let open = || Fault::new("a bracket of this pattern is not closed").or("type \\[ for a bracket itself");
    let negated = chars.as_str().starts_with(['!', '^']);
    if negated {
        chars.next();
    }
    let mut taken = Box::new([false; 256]);
    let mut first = true;
    loop {
        let from = match chars.next().ok_or_else(open)? {
            ']' if !first => break,
            c => member(c, chars)?,
        };
        first = false;
        let mut ahead = chars.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(c)) if c != ']' => {
                chars.next();
                chars.next();
                member(c, chars)?
            }
            _ => from,
        };
        if from > to {
            return Err(Fault::new(format!("the range {}-{} is empty", from.escape_ascii(), to.escape_ascii())));
        }
        (from..=to).for_each(|byte| taken[usize::from(byte)] = true);
    }
    if negated {
        taken.iter_mut().for_each(|byte| *byte = !*byte);
    }
    Ok(Atom::Set(taken))
}

fn member(c: char, chars: &mut std::str::Chars<'_>) -> Result<u8, Fault> {
    match c {
        '\\' => escape(chars),
        _ if c.is_ascii() => Ok(c as u8),
        _ => Err(Fault::new("brackets hold single bytes, and this character has several").or("use =~ for it")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(pattern: &str, text: &[u8]) -> bool {
        Glob::new(pattern).unwrap().matches(text)
    }

    #[test]
    fn patterns() {
        for (pattern, text, is) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "a/b", true),
            ("/tmp/*", "/tmp/a/b", true),
            ("/tmp/*", "/tmp", false),
            ("*.so", "a.so.1", false),
            ("a*a", "a", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "aba", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("*?b", "ab", true),
            ("*?b", "b", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[^]]", "]", false),
            ("[a-]", "-", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\x41", "A", true),
            ("[\\x80-\\xff]", "A", false),
        ] {
            assert_eq!(glob(pattern, text.as_bytes()), is, "{pattern} {text}");
        }
        assert!(glob("[\\x80-\\xff]", &[0x90]));
        for wrong in ["[", "[]", "[a", "[z-a]", "\\", "\\q", "[é]", "\\x4"] {
            assert!(Glob::new(wrong).is_err(), "{wrong}");
        }
    }

    /// By trying everything.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                naive(rest, text) || text.split_first().is_some_and(|(_, text)| naive(pattern, text))
            }
            (Some((b'?', rest)), Some((_, text))) => naive(rest, text),
            (Some((wanted, rest)), Some((byte, text))) if wanted == byte => naive(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn as_the_naive_model(pattern in "[ab*?]{0,10}", text in "[ab]{0,14}") {
            prop_assert_eq!(glob(&pattern, text.as_bytes()), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
