use super::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Time,
    Timestamp,
    Name,
    Style,
}

fn table(grammar: Grammar) -> Table<Key> {
    const ORIGINAL: &[Opt<Key>] = &[
        both(Key::Time, b'T', "time", "x"),
        both(Key::Timestamp, b't', "timestamp", "x"),
        both(Key::Name, b'n', "name", "x").takes("NAME"),
    ];
    const ADDED: &[Opt<Key>] = &[long(Key::Style, "style", "x").takes("STYLE")];
    Table {
        name: "tool",
        about: "x",
        usage: "tool",
        grammar,
        original: ORIGINAL,
        added: ADDED,
        help: &["-h"],
        help_status: 3,
        wrong_status: 64,
        notes: "",
    }
}

fn read(grammar: Grammar, line: &str) -> Result<Line<Key>, Refusal> {
    table(grammar).parse(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from))
}

fn options(grammar: Grammar, line: &str) -> Vec<(Key, String)> {
    let line = read(grammar, line).unwrap();
    line.options.into_iter().map(|(key, value)| (key, String::from_utf8(value).unwrap())).collect()
}

#[test]
fn letters_can_be_joined_and_the_last_takes_the_rest() {
    for grammar in [Grammar::Getopt, Grammar::Posix, Grammar::Argparse, Grammar::Argp] {
        for line in ["-Ttn mount", "-Ttnmount", "-T -t -n mount"] {
            let expected = [(Key::Time, ""), (Key::Timestamp, ""), (Key::Name, "mount")];
            assert_eq!(options(grammar, line), expected.map(|(key, value)| (key, value.to_owned())), "{line}");
        }
        assert_eq!(options(grammar, "-n -T"), [(Key::Name, "-T".to_owned())]);
    }
    assert_eq!(options(Grammar::Argparse, "-n=x"), [(Key::Name, "x".to_owned())]);
    assert_eq!(options(Grammar::Argp, "-n=x"), [(Key::Name, "=x".to_owned())]);
}

#[test]
fn long_options_can_be_shortened() {
    let all = [(Key::Time, String::new()), (Key::Timestamp, String::new()), (Key::Name, "a=b".to_owned())];
    assert_eq!(options(Grammar::Argp, "--time --times --na=a=b"), all);
    assert_eq!(options(Grammar::Argparse, "--time --timestamp --n a=b"), all);
    assert_eq!(options(Grammar::Argp, "--sty=bcc"), [(Key::Style, "bcc".to_owned())]);
    let Err(Refusal::Wrong(failure, 64)) = read(Grammar::Argp, "--ti") else { panic!() };
    assert!(failure.cause.contains("--time or --timestamp"), "{failure}");
    let common = read(Grammar::Argp, "--so process-connector --d 5").unwrap().common;
    assert_eq!(common.source, Some(SourceId::ProcessConnector));
    assert_eq!(common.duration, Some(Duration::from_secs(5)));
}

#[test]
fn operands_end_the_options_or_do_not() {
    let line = read(Grammar::Getopt, "a -T b -- -t").unwrap();
    assert_eq!((line.options.len(), line.operands), (1, ["a", "b", "-t"].map(OsString::from).to_vec()));
    let line = read(Grammar::Posix, "-T a -T --help").unwrap();
    assert_eq!((line.options.len(), line.operands), (1, ["a", "-T", "--help"].map(OsString::from).to_vec()));
    assert_eq!(read(Grammar::Posix, "-").unwrap().operands, [OsString::from("-")]);
}

#[test]
fn what_is_wrong_is_said() {
    for line in ["-z", "--zzz", "-n", "--name", "--time=1", "--source etw", "--duration 0"] {
        let Err(Refusal::Wrong(failure, 64)) = read(Grammar::Argp, line) else { panic!("{line}") };
        assert_eq!(failure.to_string().lines().count(), 3, "{line}");
    }
    assert_eq!(read(Grammar::Argp, "-Th").unwrap_err(), Refusal::Help(3));
    assert_eq!(read(Grammar::Argp, "--help").unwrap_err(), Refusal::Help(0));
    assert_eq!(read(Grammar::Argp, "-TV").unwrap_err(), Refusal::Version);
    assert_eq!(read(Grammar::Argp, "--usage").unwrap_err(), Refusal::Usage);
}

#[test]
fn numbers_are_read_as_c_reads_them() {
    for (text, number) in
        [("10", Some(10)), (" 7x", Some(7)), ("-3", Some(-3)), ("+4", Some(4)), ("x", None), ("", None)]
    {
        assert_eq!(leading_number(text.as_bytes()), number, "{text:?}");
    }
    assert_eq!(leading_number(&[b'9'; 40]), Some(i64::MAX));
}
