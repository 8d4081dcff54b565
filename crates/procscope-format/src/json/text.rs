//! Members of a JSON object, each after a comma.

use procscope_model::Argv;

use super::base64::{push_base64, push_base64_list};
use crate::escape::push_json;

/// The text before a value: comma, key, colon. The function that appends it is inlined, so its
/// length is known and no call copies it.
macro_rules! key {
    ($name:expr) => {
        concat!(",\"", $name, "\":")
    };
}

/// Appends a byte string under its key. If it is not valid UTF-8, also appends its exact bytes
/// under that key with `_b64`.
macro_rules! text {
    ($out:expr, $name:literal, $value:expr) => {
        if let Some(value) = $value {
            $crate::json::text::push_text($out, key!($name), key!(concat!($name, "_b64")), value);
        }
    };
}

/// The same for a list of byte strings.
macro_rules! list {
    ($out:expr, $name:literal, $value:expr) => {
        if let Some(value) = $value {
            $crate::json::text::push_list($out, key!($name), key!(concat!($name, "_b64")), value);
        }
    };
}

/// Appends a number under its key if it is known.
macro_rules! number {
    ($out:expr, $name:literal, $value:expr) => {
        if let Some(value) = $value {
            $out.extend_from_slice(key!($name).as_bytes());
            $crate::number::push_number($out, value);
        }
    };
}

pub(super) use {key, list, number, text};

/// Appends a word of ours, which needs no escape.
#[inline(always)]
pub(super) fn push_word(out: &mut Vec<u8>, key: &str, word: &str) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

#[inline(always)]
pub(super) fn push_true(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"true");
}

#[inline(always)]
pub(super) fn push_text(out: &mut Vec<u8>, key: &str, key_b64: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    let lossy = push_json(out, value, b"\\u0000");
    out.push(b'"');
    if lossy {
        out.extend_from_slice(key_b64.as_bytes());
        out.push(b'"');
        push_base64(out, value);
        out.push(b'"');
    }
}

#[inline(always)]
pub(super) fn push_list(out: &mut Vec<u8>, key: &str, key_b64: &str, list: &Argv) {
    out.extend_from_slice(key.as_bytes());
    if list.is_empty() {
        out.extend_from_slice(b"[]");
        return;
    }
    // The strings follow each other, each with a NUL at its end, so that one pass is enough for
    // all.
    let block = list.block();
    out.extend_from_slice(b"[\"");
    let strings = block.strip_suffix(b"\0").unwrap_or(block);
    let lossy = push_json(out, strings, b"\",\"");
    out.extend_from_slice(b"\"]");
    if lossy {
        out.extend_from_slice(key_b64.as_bytes());
        out.extend_from_slice(b"[\"");
        push_base64_list(out, strings, b"\",\"");
        out.extend_from_slice(b"\"]");
    }
}

/// Appends an object whose members `push` writes, each from after the quote that opens its key.
pub(super) fn push_object<T>(
    out: &mut Vec<u8>,
    members: impl Iterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    let mut before: &[u8] = b"{\"";
    for member in members {
        out.extend_from_slice(before);
        push(out, member);
        before = b",\"";
    }
    out.extend_from_slice(if before == b"{\"" { b"{}" } else { b"}" });
}
