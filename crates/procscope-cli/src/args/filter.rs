//! The message for a filter that cannot be read.

use procscope::FilterError;

/// The error, the filter with a caret under it, and what to type instead. A single word may have
/// been meant as a command.
pub(super) fn complaint(text: &str, error: &FilterError, commands: &[String]) -> String {
    let mut out = format!("the filter is wrong at column {}: {}\n", error.column(), error.what());
    let word = text.trim();
    for line in error.caret().lines().filter(|_| !word.is_empty()) {
        out += &format!("    {line}\n");
    }
    if let Some(suggestion) = error.suggestion() {
        out += &format!("  help: {suggestion}\n");
    }
    if !commands.is_empty() && !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        out +=
            &format!("  help: a command comes first, before all options; the commands are {}\n", commands.join(", "));
    }
    out.truncate(out.trim_end().len());
    out
}
