//! Arbitrary texts.

use proptest::prelude::*;

use super::*;

/// Texts that are almost filters.
fn any_text() -> impl Strategy<Value = String> {
    let words: Vec<&'static str> = vec![
        "pid",
        "name",
        "argv",
        "argv[1]",
        "env.A",
        "exit",
        "duration",
        "event",
        "user",
        "flaw.argv",
        "core",
        "tty",
        "ancestor.name",
        "id",
        "time",
        "signal",
        "==",
        "!=",
        "<",
        ">=",
        "~",
        "!~",
        "=~",
        "!=~",
        "in",
        "not",
        "and",
        "or",
        "(",
        ")",
        ",",
        "?",
        "!",
        "&&",
        "||",
        "1",
        "0x1f",
        "50ms",
        "10MiB",
        "exec",
        "SIGKILL",
        "\"a b\"",
        "'\\x1b'",
        "/tmp/*",
        "[a-z]?",
        "\"(\"",
        "é",
        "\u{1b}",
        "\"",
        "\\",
        "2026-01-31T12:00:00Z",
        "1b4e28ba-1-2",
    ];
    let word = prop_oneof![4 => proptest::sample::select(words), 1 => Just(" ")];
    prop_oneof![any::<String>(), proptest::collection::vec(word, 0..16).prop_map(|words| words.join(" "))]
}

/// Terms that are filters.
fn any_filter() -> impl Strategy<Value = String> {
    let term = prop_oneof![
        (0u32..9000).prop_map(|pid| format!("pid == {pid}")),
        "[ -~]{0,8}".prop_map(|text| format!("name == {}", lex::quote(text.as_bytes()))),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| format!("arg == {}", lex::quote(&bytes))),
        "[a-z*?/]{1,8}".prop_map(|glob| format!("exe ~ \"{glob}\"")),
        "[a-z.+]{1,8}".prop_map(|regex| format!("argv =~ \"a{regex}\"")),
        Just("event in (exec, exit)".to_owned()),
        Just("container?".to_owned()),
        Just("core".to_owned()),
    ];
    term.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|terms| format!("({})", terms.join(" and "))),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|terms| format!("({})", terms.join(" or "))),
            inner.prop_map(|term| format!("not {term}")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in any_text()) {
        match Filter::parse(&text) {
            Ok(filter) => {
                let normal = filter.to_string();
                prop_assert_eq!(Filter::parse(&normal).unwrap().to_string(), normal);
                let _ = filter.matches(&exit(ExitStatus::Code(0)), &());
            }
            Err(error) => {
                let shown = format!("{error}{}", error.caret());
                prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{}", shown);
                prop_assert!(text.get(error.span()).is_some());
            }
        }
    }

    #[test]
    fn the_normal_form_chooses_the_same(text in any_filter(), code in 0u32..2) {
        let (filter, ended) = (filter(&text), exit(ExitStatus::Code(code)));
        let normal = Filter::parse(&filter.to_string()).unwrap();
        prop_assert_eq!(&normal, &filter);
        prop_assert_eq!(normal.matches(&ended, &()), filter.matches(&ended, &()));
        prop_assert!(!(filter.is_undecided(&ended, &()) && filter.matches(&ended, &())));
        let mut flawless = ended.clone();
        Arc::make_mut(flawless.process.as_mut().unwrap()).flaws = Flaws::new();
        prop_assert!(!filter.is_undecided(&flawless, &()));
        if filter.matches(&ended, &()) {
            prop_assert!(filter.events().contains(Kind::Exit));
        }
    }

    #[test]
    fn strings_come_back(bytes: Vec<u8>) {
        let quoted = lex::quote(&bytes);
        let mut process = process();
        process.name = Some(bytes.into());
        let mut ended = exit(ExitStatus::Code(0));
        ended.process = Some(Arc::new(process));
        prop_assert!(chosen(&format!("name == {quoted}"), &ended), "{}", quoted);
    }
}
