/// The widest line of a report.
const WIDTH: usize = 80;

/// A paragraph after a title, its further lines indented, at most 80 columns wide if its words
/// allow.
pub(crate) fn wrap(title: &str, indent: usize, text: &str) -> String {
    let mut lines = String::new();
    let mut line = title.to_owned();
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += line.trim_end();
            lines.push('\n');
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    lines + line.trim_end() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole() {
        assert_eq!(wrap("  a: ", 5, "b c"), "  a: b c\n");
        assert_eq!(wrap("  a: ", 5, ""), "  a:\n");
        let text = wrap("  a: ", 5, &["word"; 30].join(" "));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.split_whitespace().filter(|word| *word == "word").count(), 30);
        assert!(text.lines().skip(1).all(|line| line.starts_with("     word")), "{text}");
        let long = "x".repeat(100);
        assert_eq!(wrap("t ", 2, &format!("a {long} b")), format!("t a\n  {long}\n  b\n"));
    }
}
