//! Lines of a stream, each of a bounded length.

use std::io::{self, BufRead, BufReader, Read};

use memchr::memchr;

/// No event is longer: 2 MiB of arguments and as much environment, escaped and in base64.
const MOST_BYTES: usize = 64 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// The next part.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// A line, without its end.
    Line,
    /// A line longer than any event; it was skipped.
    TooLong,
    /// The last line, without an end: its writer was cut off, or is still writing.
    Unended,
    /// Nothing more.
    End,
}

pub(super) struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    /// The line, if there is one.
    pub(super) line: Vec<u8>,
    /// Its number, from 1.
    pub(super) number: u64,
}

impl Lines {
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self { input: BufReader::with_capacity(BUFFER_BYTES, input), line: Vec::new(), number: 0 }
    }

    /// Whether a whole line is at hand, so that reading it does not wait.
    pub(super) fn at_hand(&self) -> bool {
        memchr(b'\n', self.input.buffer()).is_some()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// The stream's own. The part of the line read by then is in `line`.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        self.line.clear();
        // A single huge line must not keep its memory for ever.
        self.line.shrink_to(BUFFER_BYTES);
        self.number += 1;
        let mut dropped = false;
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            let end = memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if self.line.len() + part.len() > MOST_BYTES {
                dropped = true;
                self.line.clear();
            }
            if !dropped {
                self.line.extend_from_slice(part);
            }
            let is_over = buffer.is_empty();
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            match () {
                () if end.is_some() && dropped => return Ok(Next::TooLong),
                () if end.is_some() => return Ok(Next::Line),
                () if is_over && dropped => return Ok(Next::TooLong),
                () if is_over && self.line.is_empty() => return Ok(Next::End),
                () if is_over => return Ok(Next::Unended),
                () => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Lines {
        Lines::new(Box::new(io::Cursor::new(text.to_vec())))
    }

    #[test]
    fn each_line_comes_once() {
        let mut lines = lines(b"a\n\nbc");
        for (next, line, at_hand) in [(Next::Line, "a", true), (Next::Line, "", false), (Next::Unended, "bc", false)] {
            assert_eq!(lines.next().unwrap(), next);
            assert_eq!((&lines.line[..], lines.at_hand()), (line.as_bytes(), at_hand));
        }
        assert_eq!(lines.next().unwrap(), Next::End);
        assert_eq!(lines.number, 4);
    }

    #[test]
    fn a_line_without_bound_is_passed_over() {
        let long = io::Read::take(io::repeat(b'x'), MOST_BYTES as u64 + 1);
        let mut lines = Lines::new(Box::new(long.chain(&b"\nb\n"[..])));
        assert_eq!(lines.next().unwrap(), Next::TooLong);
        assert_eq!(lines.next().unwrap(), Next::Line);
        assert_eq!(lines.line, b"b");
        assert!(lines.line.capacity() <= 2 * BUFFER_BYTES);
    }
}
