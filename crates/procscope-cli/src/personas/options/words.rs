//! Values of options, as C and the shell's originals take them.

use std::ffi::OsString;
use std::path::PathBuf;

/// A number at the beginning of a text, as strtol(3) and atoi(3) read it: blanks before it and
/// anything after it do not matter.
pub(crate) fn leading_number(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let number = digits[..length]
        .iter()
        .fold(0i64, |number, digit| number.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Some(if negative { -number } else { number })
}

/// A number as that of a process or user; the highest, which none has, if it can be none's.
pub(crate) fn as_id(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The values of a long option in words that are not read yet, because the meaning of the others
/// may depend on it.
pub(crate) fn words_of<'a>(words: &'a [OsString], long: &str) -> impl Iterator<Item = &'a [u8]> {
    let words = words.iter().map(|word| word.as_encoded_bytes()).take_while(|word| *word != b"--");
    let mut words = words.collect::<Vec<_>>().into_iter();
    let name = format!("--{long}");
    std::iter::from_fn(move || {
        loop {
            let word = words.next()?;
            match word.strip_prefix(name.as_bytes()) {
                Some([]) => return words.next(),
                Some([b'=', value @ ..]) => return Some(value),
                _ => {}
            }
        }
    })
}

/// A path from its bytes.
pub(crate) fn path(bytes: Vec<u8>) -> PathBuf {
    #[cfg(unix)]
    return <OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes).into();
    #[cfg(not(unix))]
    String::from_utf8_lossy(&bytes).into_owned().into()
}
