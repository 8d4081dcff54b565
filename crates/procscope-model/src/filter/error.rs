use std::fmt;
use std::ops::Range;

/// The place of an error in a filter, and a suggestion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterError {
    what: String,
    suggestion: Option<String>,
    span: Range<usize>,
    text: Box<str>,
}

/// This many characters of the filter are shown on either side of the error.
const SHOWN: usize = 60;

impl FilterError {
    pub(super) fn new(text: &str, span: Range<usize>, fault: Fault) -> Self {
        Self { what: fault.what, suggestion: fault.suggestion, span, text: text.into() }
    }

    /// What is wrong, in words fit for a terminal.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to type instead, if something is near.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// The fault's place in the filter, bytes.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The fault's column: characters, from 1.
    pub fn column(&self) -> usize {
        self.text[..self.span.start].chars().count() + 1
    }

    /// The filter with a caret under the error: two lines without an end, fit for a terminal. Of a
    /// long filter only the part around it.
    pub fn caret(&self) -> String {
        let before: Vec<char> = self.text[..self.span.start].chars().collect();
        let fault = &self.text[self.span.clone()];
        let after = &self.text[self.span.end..];
        let mut line = String::new();
        if before.len() > SHOWN {
            line.push('…');
        }
        line.extend(before[before.len().saturating_sub(SHOWN)..].iter().map(|&c| visible(c)));
        let indent = line.chars().count();
        line.extend(fault.chars().take(SHOWN).map(visible));
        let width = line.chars().count() - indent;
        line.extend(after.chars().take(SHOWN).map(visible));
        if fault.chars().count() > SHOWN || after.chars().count() > SHOWN {
            line.push('…');
        }
        format!("{line}\n{:indent$}{}", "", "^".repeat(width.max(1)))
    }
}

impl fmt::Display for FilterError {
    /// One line: column, fault, suggestion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column(), self.what)?;
        self.suggestion.iter().try_for_each(|suggestion| write!(f, "; {suggestion}"))
    }
}

impl std::error::Error for FilterError {}

/// A fault without its place.
#[derive(Debug)]
pub(super) struct Fault {
    what: String,
    suggestion: Option<String>,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), suggestion: None }
    }

    pub(super) fn or(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    pub(super) fn or_nearest(mut self, near: Option<String>) -> Self {
        self.suggestion = near.map(|near| format!("did you mean {near}?"));
        self
    }
}

/// A character in a form that is safe on a terminal.
fn visible(c: char) -> String {
    match c {
        '\'' | '"' | '\\' => c.to_string(),
        _ => c.escape_debug().to_string(),
    }
}

/// A user's text in a form that is safe on a terminal; a long one is cut.
pub(super) fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN).map(visible).collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}

/// The word that was most likely meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Nothing is near to such a long text, and comparing costs the product of both lengths.
    let len = word.chars().count();
    if word.is_empty() || len > 40 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let lower = |name: &'a str| (name, name.to_ascii_lowercase());
    let most = (len / 3).max(1);
    let distances = known.into_iter().map(lower).filter_map(|(name, low)| {
        // The beginning of a word means that word.
        if len > 2 && low.starts_with(&word) {
            return Some((1, name));
        }
        // Each added or missing character is a step. The check costs nothing, the distance a table.
        (low.chars().count().abs_diff(len) <= most).then(|| (strsim::osa_distance(&word, &low), name))
    });
    let (_, name) = distances.filter(|(distance, _)| *distance <= most).min_by_key(|(distance, _)| *distance)?;
    Some(name.to_owned())
}
