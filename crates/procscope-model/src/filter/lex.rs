//! Words of a filter. The parser says what it expects: a name may hold other characters than a
//! value.

use std::ops::Range;

use super::error::{Fault, FilterError, shown};

/// A value as it was typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Value<'a> {
    pub(super) span: Range<usize>,
    /// The text between the quotes, if it is quoted.
    pub(super) text: &'a str,
    pub(super) quoted: bool,
}

/// Operators between a field and a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    NotLike,
    Matches,
    NotMatches,
    In,
    NotIn,
}

impl Operator {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Like => "~",
            Self::NotLike => "!~",
            Self::Matches => "=~",
            Self::NotMatches => "!=~",
            Self::In => "in",
            Self::NotIn => "not in",
        }
    }

    /// True for those that hold if the value differs.
    pub(super) fn is_negative(self) -> bool {
        matches!(self, Self::NotEqual | Self::NotLike | Self::NotMatches | Self::NotIn)
    }
}

/// The longest first.
const SIGNS: [(&str, Operator); 10] = [
    ("!=~", Operator::NotMatches),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=~", Operator::Matches),
    ("!~", Operator::NotLike),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Like),
];

/// Characters that end a value without quotes.
fn ends_value(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '(' | ')' | ',' | '"' | '\'' | '&' | '|' | '<' | '>' | '\\' | ';')
}

fn begins_value(c: char) -> bool {
    !ends_value(c) && !matches!(c, '=' | '!' | '~')
}

/// True if the text is a value without quotes.
pub(super) fn is_bare(text: &str) -> bool {
    text.starts_with(begins_value)
        && !text.contains(ends_value)
        && !is_keyword(text)
        && text.chars().all(|c| c.is_ascii_graphic())
}

pub(super) fn is_keyword(word: &str) -> bool {
    ["and", "or", "not", "in"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// The text and how far it was read.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn error(&self, span: Range<usize>, fault: Fault) -> FilterError {
        FilterError::new(self.text, span, fault)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn skip_blanks(&mut self) -> usize {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.at
    }

    pub(super) fn at_end(&mut self) -> bool {
        self.skip_blanks() == self.text.len()
    }

    /// Consumes this sign if it comes next.
    pub(super) fn take(&mut self, sign: &str) -> bool {
        self.skip_blanks();
        let taken = self.rest().starts_with(sign);
        self.at += if taken { sign.len() } else { 0 };
        taken
    }

    /// Consumes this sign if it comes at once, without a blank before.
    pub(super) fn take_adjacent(&mut self, sign: &str) -> bool {
        let taken = self.rest().starts_with(sign);
        self.at += if taken { sign.len() } else { 0 };
        taken
    }

    fn keyword_len(&self, keyword: &str) -> Option<usize> {
        let word = self.rest().get(..keyword.len()).filter(|word| word.eq_ignore_ascii_case(keyword))?;
        let after = self.rest()[word.len()..].chars().next();
        let ends = after.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[')));
        ends.then_some(word.len())
    }

    /// Consumes this keyword, in either case, if it comes next.
    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        self.skip_blanks();
        let len = self.keyword_len(keyword);
        self.at += len.unwrap_or(0);
        len.is_some()
    }

    /// Consumes the name of a field, without an index or a question mark.
    pub(super) fn take_name(&mut self) -> Option<(Range<usize>, &'a str)> {
        let start = self.skip_blanks();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        let rest = self.rest();
        let name = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        self.at += name.len();
        (!name.is_empty()).then_some((start..self.at, name))
    }

    /// Consumes the text between brackets, if one opens at once.
    pub(super) fn take_index(&mut self) -> Option<Result<(Range<usize>, &'a str), FilterError>> {
        let start = self.at;
        self.rest().strip_prefix('[')?;
        Some(match self.rest().find(']') {
            Some(end) => {
                let inside = &self.rest()[1..end];
                self.at += end + 1;
                Ok((start + 1..self.at - 1, inside))
            }
            None => Err(self.error(start..start + 1, Fault::new("this bracket is not closed").or("type argv[1]"))),
        })
    }

    /// Consumes an operator.
    pub(super) fn take_operator(&mut self) -> Option<(Range<usize>, Operator)> {
        let start = self.skip_blanks();
        let sign = SIGNS.iter().find(|(sign, _)| self.rest().starts_with(sign));
        let operator = match sign {
            Some((sign, operator)) => {
                self.at += sign.len();
                *operator
            }
            None if self.take_keyword("in") => Operator::In,
            None if self.take_keyword("not") => {
                if !self.take_keyword("in") {
                    self.at = start;
                    return None;
                }
                Operator::NotIn
            }
            None => return None,
        };
        Some((start..self.at, operator))
    }

    /// Consumes a value.
    pub(super) fn take_value(&mut self) -> Result<Value<'a>, FilterError> {
        let start = self.skip_blanks();
        let rest = self.rest();
        match rest.chars().next() {
            None => Err(self.error(start..start, Fault::new("a value is missing at the end"))),
            Some(quote @ ('"' | '\'')) => {
                let mut escaped = false;
                let end = rest[1..].find(|c| {
                    let ends = c == quote && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                let end = end.ok_or_else(|| self.error(start..start + 1, Fault::new("this quote is not closed")))?;
                self.at += end + 2;
                Ok(Value { span: start..self.at, text: &rest[1..end + 1], quoted: true })
            }
            Some(c) if begins_value(c) => {
                let word = &rest[..rest.find(ends_value).unwrap_or(rest.len())];
                self.at += word.len();
                let span = start..self.at;
                if is_keyword(word) {
                    let fault = Fault::new("a value is missing before this word");
                    return Err(self.error(span, fault.or(format!("quote it where it is the value: \"{word}\""))));
                }
                Ok(Value { span, text: word, quoted: false })
            }
            Some('\\') => Err(self.error(start..start + 1, Fault::new("a backslash stands in quotes alone"))),
            Some(c) => {
                let fault = Fault::new(format!("a value is missing before '{}'", shown(c.encode_utf8(&mut [0; 4]))));
                Err(self.error(start..start + c.len_utf8(), fault.or("quote it where it begins the value")))
            }
        }
    }

    /// What comes next, for an error.
    pub(super) fn next_word(&mut self) -> (Range<usize>, &'a str) {
        let start = self.skip_blanks();
        let rest = self.rest();
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let word = rest.find(ends_value).unwrap_or(rest.len()).max(first);
        (start..start + word, &rest[..word])
    }
}

/// The bytes of a quoted string. In a pattern, which has its own escapes, only quotes lose their
/// backslash.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next();
        bytes.push(take_escape(escape, &mut chars)?);
    }
    Ok(bytes)
}

/// The byte of an escape, from what follows its backslash.
pub(super) fn take_escape(escape: Option<char>, rest: &mut std::str::Chars<'_>) -> Result<u8, Fault> {
    Ok(match escape {
        Some(c @ ('"' | '\'' | '\\')) => c as u8,
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('e') => 0x1b,
        Some('0') => 0,
        Some('x') => {
            let digits = rest.as_str().get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let byte = byte.ok_or_else(|| Fault::new("\\x takes two hexadecimal digits, as in \\x1b"))?;
            rest.next();
            rest.next();
            byte
        }
        other => {
            let other = other.map(|c| shown(c.encode_utf8(&mut [0; 4]))).unwrap_or_default();
            return Err(Fault::new(format!("there is no escape \\{other}"))
                .or("the escapes are \\\\ \\\" \\' \\n \\r \\t \\e \\0 \\xNN"));
        }
    })
}

/// A pattern without the backslashes before quotes; its other escapes are its own.
pub(super) fn unquote_pattern(value: &Value<'_>) -> String {
    if !value.quoted {
        return value.text.to_owned();
    }
    let mut pattern = String::with_capacity(value.text.len());
    let mut chars = value.text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\').1.then(|| chars.next()).flatten() {
            Some(quote @ ('"' | '\'')) => pattern.push(quote),
            Some(other) => pattern.extend([c, other]),
            None => pattern.push(c),
        }
    }
    pattern
}

/// Writes a pattern so that reading gives the same.
pub(super) fn quote_pattern(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 2);
    out.push('"');
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.extend(std::iter::once(c).chain(chars.next())),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Writes a string so that reading gives the same, if possible without quotes; a text that looks
/// like a pattern needs them.
pub(super) fn quote(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && is_bare(text)
        && !text.contains(['*', '?'])
    {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\'' => out.push(c),
                // Characters that would act on a terminal, and those that are not seen there.
                _ if c.escape_debug().len() != 1 => {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
                }
                _ => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out.push('"');
    out
}
