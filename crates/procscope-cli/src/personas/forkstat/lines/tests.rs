use jiff::tz::TimeZone;

use super::super::{Options, TABLE};
use super::*;
use crate::render::samples;

fn printed(line: &str) -> String {
    let line = TABLE.parse(line.split_whitespace().map(Into::into)).unwrap();
    let options = Options::read(&line).unwrap();
    let mut lines = Lines::with(options, WallClock::new(TimeZone::UTC), 7, 25);
    let mut text = samples::rendered(&mut lines, &samples::events());
    let mut end = Vec::new();
    lines.end(&Summary::default(), &mut end);
    text += &String::from_utf8(end).unwrap();
    text
}

#[test]
fn every_kind_of_event() {
    insta::assert_snapshot!(
        ["-E", "-X --status -d", "-E -s -d --exact-time", "-E -c", "-e nonzeroexit", "-q"]
            .map(|line| format!("$ forkstat {line}\n{}", printed(line)))
            .join("\n")
    );
}

#[test]
fn an_exec_counts_for_who_called_it() {
    let line = TABLE.parse(["-qs".into()]).unwrap();
    let mut lines = Lines::with(Options::read(&line).unwrap(), WallClock::new(TimeZone::UTC), 7, 25);
    let exec = |old: &[u8]| EventKind::Exec(procscope::ExecInfo::new(Some(old.into()), None));
    let (before, mut after) = (samples::process(), samples::process());
    after.argv = Some(Arc::new(procscope::Argv::from_strings(["other", "program"])));
    let events = [
        samples::event(1, &before, EventKind::Existing),
        samples::event(2, &after, exec(b"comm")),
        samples::event(3, &after, exec(b"comm")),
    ];
    samples::rendered(&mut lines, &events);
    // An unknown process is shown by its comm.
    lines.living.clear();
    samples::rendered(&mut lines, &events[2..]);
    let mut end = Vec::new();
    lines.end(&Summary::default(), &mut end);
    let text = String::from_utf8(end).unwrap();
    let execs = |name: &str| text.lines().find(|line| line.ends_with(name)).map(|line| line[9..17].trim().to_owned());
    assert_eq!(["ls", "other", "comm"].map(execs), ["1", "1", "1"].map(|count| Some(count.to_owned())));
}

#[test]
fn durations_are_forkstats() {
    for (ns, text) in [
        (Some(0), "  0.000s"),
        (Some(1_499_999), "  0.001s"),
        (Some(1_500_000), "  0.002s"),
        (Some(10_003_000_000), " 10.003s"),
        (Some(60_000_000_000), " 60.000s"),
        (Some(90_000_000_000), "  1.300m"),
        (Some(5_400_000_000_000), "  1.300h"),
        (Some(129_600_000_000_000), "  1.500d"),
        (Some(u64::MAX), "584.942y"),
        (None, "unknown"),
    ] {
        assert_eq!(duration(ns), text);
    }
}

#[test]
fn a_storm_of_bytes_stays_in_its_line() {
    proptest::proptest!(|(event in samples::any_event())| {
        let options = Options { shown: super::super::Shown { kinds: Some(procscope::EventSet::ALL), failed_exits: true }, ..Options::default() };
        let mut lines = Lines::with(options, WallClock::new(TimeZone::UTC), 5, 1000);
        let mut out = Vec::new();
        lines.event(&event, &mut out);
        let text = String::from_utf8(out).unwrap();
        proptest::prop_assert!(text.lines().count() <= 2);
        proptest::prop_assert!(!text.replace('\n', "").contains(procscope_format::escape::is_unsafe));
    });
}
