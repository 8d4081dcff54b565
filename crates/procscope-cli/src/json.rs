//! JSON documents. Unlike the lines of events, they need not be fast.

use serde::Serialize;

use procscope_format::escape::is_unsafe;

/// A document with indents; characters that could act on a terminal become escapes.
pub(crate) fn document(value: &impl Serialize) -> Vec<u8> {
    // It fails only if a map's keys are not strings.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut safe = String::with_capacity(text.len() + 1);
    let mut units = [0; 2];
    for c in text.chars() {
        // Its own newlines are between values, never within a string.
        if c != '\n' && is_unsafe(c) {
            c.encode_utf16(&mut units).iter().for_each(|unit| safe += &format!("\\u{unit:04x}"));
        } else {
            safe.push(c);
        }
    }
    safe.push('\n');
    safe.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_a_terminal() {
        let text = "a\x1b\n\x7f\u{202e}\u{e0001}é\"";
        let document = String::from_utf8(document(&[text])).unwrap();
        assert_eq!(document, "[\n  \"a\\u001b\\n\\u007f\\u202e\\udb40\\udc01é\\\"\"\n]\n");
        assert_eq!(serde_json::from_str::<[String; 1]>(&document).unwrap(), [text]);
    }
}
