//! Byte strings as words of bash, so that a printed command can be pasted back.

use bstr::ByteSlice;
use procscope_model::Argv;

use crate::escape::is_unsafe;

/// A sink for text in pieces that must not be cut: a character, or a whole escape.
pub trait Pieces {
    /// Appends one piece, which holds nothing unsafe.
    fn piece(&mut self, text: &str);

    /// True if no further piece will be shown.
    fn is_full(&self) -> bool {
        false
    }
}

impl Pieces for Vec<u8> {
    fn piece(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

/// Words that are grammar to bash at the beginning of a command: its manual, "Reserved Words".
/// Words with other characters than letters are quoted anyway.
const RESERVED: [&str; 17] = [
    "if", "then", "elif", "else", "fi", "time", "for", "in", "until", "while", "do", "done", "case", "esac", "coproc",
    "select", "function",
];

/// Appends a command line, one word for each argument.
pub fn command(argv: &Argv, out: &mut impl Pieces) {
    for (index, argument) in argv.iter().enumerate() {
        if out.is_full() {
            return;
        }
        if index > 0 {
            out.piece(" ");
        }
        match index {
            0 => program(argument, out),
            _ => word(argument, true, out),
        }
    }
}

/// Appends the first word of a command, which must look neither like an assignment, nor like a job,
/// nor like grammar.
pub fn program(text: &[u8], out: &mut impl Pieces) {
    let plain =
        !text.contains(&b'=') && !text.starts_with(b"%") && !RESERVED.iter().any(|word| text == word.as_bytes());
    word(text, plain, out);
}

/// Appends one word; with `plain`, without quotes if it needs none.
fn word(text: &[u8], plain: bool, out: &mut impl Pieces) {
    if plain && !text.is_empty() && text.iter().all(|&b| is_plain(b)) {
        pieces(text, out);
    } else if is_printable(text) {
        out.piece("'");
        for c in text.chars() {
            if out.is_full() {
                return;
            }
            match c {
                '\'' => out.piece("'\\''"),
                _ => out.piece(c.encode_utf8(&mut [0; 4])),
            }
        }
        out.piece("'");
    } else {
        escaped(text, out);
    }
}

/// Appends a text unchanged if that is harmless, otherwise as bash's `$'…'`. For paths and names,
/// which are shown alone.
pub fn text(text: &[u8], out: &mut impl Pieces) {
    if is_printable(text) && !text.starts_with(b"$'") { pieces(text, out) } else { escaped(text, out) }
}

/// Characters that bash reads as themselves anywhere in a word.
fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&b)
}

fn is_printable(text: &[u8]) -> bool {
    text.to_str().is_ok_and(|text| !text.contains(is_unsafe))
}

/// Appends text that is known to be printable.
fn pieces(text: &[u8], out: &mut impl Pieces) {
    for c in text.chars() {
        if out.is_full() {
            return;
        }
        out.piece(c.encode_utf8(&mut [0; 4]));
    }
}

/// Appends a text in bash's `$'…'`, as its manual says under "ANSI-C Quoting".
fn escaped(text: &[u8], out: &mut impl Pieces) {
    out.piece("$'");
    for (start, end, c) in text.char_indices() {
        if out.is_full() {
            return;
        }
        let bytes = &text[start..end];
        match c {
            '\n' => out.piece("\\n"),
            '\t' => out.piece("\\t"),
            '\r' => out.piece("\\r"),
            '\x1b' => out.piece("\\e"),
            '\'' => out.piece("\\'"),
            '\\' => out.piece("\\\\"),
            // An interactive bash would insert a line of its history there.
            '!' => hex(bytes, out),
            // Bytes that are not valid UTF-8 are U+FFFD here, and so is U+FFFD itself.
            '\u{fffd}' if bytes != "\u{fffd}".as_bytes() => hex(bytes, out),
            _ if is_unsafe(c) => hex(bytes, out),
            _ => out.piece(c.encode_utf8(&mut [0; 4])),
        }
    }
    out.piece("'");
}

/// Appends bytes as `\x1f`: bytes, not `\u`, whose meaning depends on the locale.
fn hex(bytes: &[u8], out: &mut impl Pieces) {
    for byte in bytes {
        let [high, low] = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
        let piece = [b'\\', b'x', high, low];
        // Four ASCII characters.
        out.piece(std::str::from_utf8(&piece).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(argv: &[&[u8]]) -> String {
        let mut out = Vec::new();
        command(&Argv::from_strings(argv), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn as_text(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        text(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn words() {
        for (argv, line) in [
            (&[b"ls".as_slice(), b"-l", b"/tmp"] as &[&[u8]], "ls -l /tmp"),
            (&[b"a b", b"", b"it's", b"$HOME"], r"'a b' '' 'it'\''s' '$HOME'"),
            (&[b"A=1", b"B=2"], "'A=1' B=2"),
            (&[b"if", b"if"], "'if' if"),
            (&[b"echo", b"a\nb\x1b[2J", b"\xff\xfe"], r"echo $'a\nb\e[2J' $'\xff\xfe'"),
            (&[b"echo", "naïve 日本".as_bytes(), "x\u{202e}y".as_bytes()], r"echo 'naïve 日本' $'x\xe2\x80\xaey'"),
            (&[b"echo", b"wow!\n", b"back\\slash\n'"], r"echo $'wow\x21\n' $'back\\slash\n\''"),
            (&[b"echo", b"\x01\x7f", "\u{9b}1m \u{fffd}".as_bytes()], "echo $'\\x01\\x7f' $'\\xc2\\x9b1m \u{fffd}'"),
            (&[b"~/x", b"#", b"*", b"[", b"{a,b}", b"-"], "'~/x' '#' '*' '[' '{a,b}' -"),
        ] {
            assert_eq!(quoted(argv), line);
        }
    }

    #[test]
    fn texts() {
        assert_eq!(as_text(b"/usr/bin/my tool's"), "/usr/bin/my tool's");
        assert_eq!(as_text(b"Web\x1bContent"), r"$'Web\eContent'");
        assert_eq!(as_text(b"$'x'"), r"$'$\'x\''");
        assert_eq!(as_text(b"\xc3"), r"$'\xc3'");
        assert_eq!(as_text(b""), "");
    }

    /// The arguments that bash makes from a line, as it passes them to a program.
    #[cfg(unix)]
    fn bash(line: &str) -> Vec<u8> {
        let out = std::process::Command::new("bash")
            .args(["--norc", "--noprofile", "-c", &format!("printf '%s\\0' {line}")])
            .output()
            .unwrap();
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    }

    fn odd_string() -> impl Strategy<Value = Vec<u8>> {
        let odd = "'\"\\$`!*?[]{}()<>|&;~#%^= \n\t\r\x1b\x7fäß日\u{202e}\u{200b}\u{9b}\u{fffd}a0";
        let character = prop_oneof![
            proptest::sample::select(odd.chars().collect::<Vec<_>>()).prop_map(|c| c.to_string().into_bytes()),
            (1u8..).prop_map(|byte| vec![byte]),
        ];
        proptest::collection::vec(character, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        #[cfg(unix)]
        fn bash_reads_the_same_back(argv in proptest::collection::vec(odd_string(), 1..40)) {
            let argv = Argv::from_strings(argv);
            let mut line = Vec::new();
            command(&argv, &mut line);
            prop_assert_eq!(bash(std::str::from_utf8(&line).unwrap()), argv.block());
        }

        #[test]
        #[cfg(unix)]
        fn bash_reads_texts_back(texts in proptest::collection::vec(odd_string(), 1..40)) {
            let escaped = texts.iter().map(|t| as_text(t)).filter(|t| t.starts_with("$'")).collect::<Vec<_>>();
            let expected = texts.iter().filter(|t| as_text(t).starts_with("$'")).flat_map(|t| [t, &b"\0"[..]].concat());
            prop_assume!(!escaped.is_empty());
            prop_assert_eq!(bash(&escaped.join(" ")), expected.collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_printed(argv in proptest::collection::vec(odd_string(), 0..8)) {
            let mut line = Vec::new();
            command(&Argv::from_strings(&argv), &mut line);
            argv.iter().for_each(|bytes| text(bytes, &mut line));
            prop_assert!(!std::str::from_utf8(&line).unwrap().contains(is_unsafe));
        }
    }
}
