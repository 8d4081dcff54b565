use unicode_width::UnicodeWidthChar;

use procscope_format::quote::Pieces;

/// The sign that a cell was cut to fit the terminal: one column wide.
const CUT: &str = "…";

/// The text of one cell, never wider than its limit.
pub(crate) struct Cell {
    text: Vec<u8>,
    width: usize,
    /// The text's maximum width now, and that with the mark.
    limit: usize,
    full: usize,
    /// The length and width up to which the text still fits together with [`CUT`].
    safe: (usize, usize),
    cut: bool,
}

impl Cell {
    pub(crate) fn new() -> Self {
        Self { text: Vec::new(), width: 0, limit: 0, full: 0, safe: (0, 0), cut: false }
    }

    /// Empties the cell, for text of at most `limit` columns.
    pub(crate) fn reset(&mut self, limit: usize) {
        self.text.clear();
        self.width = 0;
        self.limit = limit;
        self.full = limit;
        self.safe = (0, 0);
        self.cut = false;
        // One huge argument must not keep its memory for ever.
        self.text.shrink_to(1 << 16);
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Keeps room at the end for a mark, which has to be visible even if the text before it is cut.
    pub(crate) fn reserve(&mut self, mark: &str) {
        self.limit = self.full.saturating_sub(width(mark));
    }

    /// Appends the mark for which room was kept.
    pub(crate) fn mark(&mut self, mark: &str) {
        if self.width + width(mark) <= self.full {
            self.text.extend_from_slice(mark.as_bytes());
            self.width += width(mark);
        }
    }
}

impl Pieces for Cell {
    fn piece(&mut self, text: &str) {
        if self.cut {
            return;
        }
        let width = width(text);
        // Characters without a width of their own could pile up endlessly on the last column.
        let too_long = self.text.len() + text.len() > self.limit.saturating_mul(32);
        if self.width + width > self.limit || too_long {
            self.cut = true;
            (_, self.width) = self.safe;
            self.text.truncate(self.safe.0);
            if self.width < self.limit {
                self.text.extend_from_slice(CUT.as_bytes());
                self.width += 1;
            }
            return;
        }
        self.text.extend_from_slice(text.as_bytes());
        self.width += width;
        if self.width < self.limit {
            self.safe = (self.text.len(), self.width);
        }
    }

    fn is_full(&self) -> bool {
        self.cut
    }
}

/// The maximum number of columns that a text needs.
fn width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(|c| c.width().unwrap_or(1)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use procscope_format::escape::is_unsafe;

    fn fill(limit: usize, pieces: &[&str], mark: &str) -> (String, bool) {
        let mut cell = Cell::new();
        cell.reset(limit);
        cell.reserve(mark);
        pieces.iter().for_each(|piece| cell.piece(piece));
        cell.mark(mark);
        assert_eq!(cell.width(), width(std::str::from_utf8(cell.text()).unwrap()));
        (String::from_utf8(cell.text().to_vec()).unwrap(), cell.is_cut())
    }

    #[test]
    fn cuts_at_the_limit_and_never_inside_a_piece() {
        assert_eq!(fill(5, &["a", "b", "c", "d", "e"], ""), ("abcde".to_owned(), false));
        assert_eq!(fill(4, &["a", "b", "c", "d", "e"], ""), ("abc…".to_owned(), true));
        assert_eq!(fill(5, &["a", "b", "\\x1b", "d"], ""), ("ab…".to_owned(), true));
        assert_eq!(fill(4, &["日", "本", "語"], ""), ("日…".to_owned(), true));
        assert_eq!(fill(6, &["日", "本", "語"], ""), ("日本語".to_owned(), false));
        assert_eq!(fill(6, &["a", "b", "c", "d", "e"], " ~"), ("abc… ~".to_owned(), true));
        assert_eq!(fill(0, &["a"], ""), (String::new(), true));
        assert_eq!(fill(1, &["ab"], ""), ("…".to_owned(), true));
        assert!(fill(1, &["a"], " ~").1);
    }

    #[test]
    fn marks_above_a_letter_do_not_pile_up() {
        let pile = vec!["\u{301}"; 100_000];
        let (text, cut) = fill(80, &pile, "");
        assert!(cut && text.len() < 4000);
    }

    proptest! {
        #[test]
        fn never_wider_than_the_limit(pieces: Vec<String>, limit in 0usize..60) {
            let pieces = pieces.iter().map(String::as_str).filter(|s| !s.contains(is_unsafe)).collect::<Vec<_>>();
            let (text, cut) = fill(limit, &pieces, "");
            prop_assert!(text.width() <= limit);
            prop_assert_eq!(cut, text != pieces.concat());
        }
    }
}
