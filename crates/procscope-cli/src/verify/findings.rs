//! What a comparison found, in words.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use procscope::{
    Counts, Discrepancy, Event, EventKind, EventSet, ExitStatus, Field, Kind, Side, SourceId, Verification, signal_name,
};

use crate::render::time::WallClock;
use procscope_format::quote;

/// This many discrepancies are printed in a second; the others are counted.
const LINES: u64 = 20;
const A_SECOND: Duration = Duration::from_secs(1);
/// The summary names this many of a sort.
const NAMED: usize = 5;

/// The findings, in words.
pub(super) struct Findings {
    names: [SourceId; 2],
    clock: WallClock,
    /// When the present second began, and how many lines were printed and suppressed in it.
    begun: Instant,
    told: u64,
    untold: u64,
    /// The first few: missing from the first, missing from the second, differing.
    named: [Vec<String>; 3],
}

impl Findings {
    pub(super) fn new(names: [SourceId; 2], zone: TimeZone) -> Self {
        let clock = WallClock::new(zone);
        Self { names, clock, begun: Instant::now(), told: 0, untold: 0, named: Default::default() }
    }

    /// A line for each, as far as there is room.
    pub(super) fn lines(&mut self, found: impl Iterator<Item = Discrepancy>, last: bool) -> String {
        let mut text = String::new();
        let mut found = found.peekable();
        if found.peek().is_none() && self.untold == 0 {
            return text;
        }
        if self.begun.elapsed() > A_SECOND {
            text += &self.rest();
            (self.begun, self.told) = (Instant::now(), 0);
        }
        for discrepancy in found {
            let line = self.line(&discrepancy);
            if self.told < LINES {
                self.told += 1;
                let _ = writeln!(text, "procscope: {line}");
            } else {
                self.untold += 1;
            }
        }
        if last {
            text += &self.rest();
        }
        text
    }

    /// The number of suppressed lines.
    fn rest(&mut self) -> String {
        match std::mem::take(&mut self.untold) {
            0 => String::new(),
            n => format!("procscope: and {n} more discrepancies\n"),
        }
    }

    fn line(&mut self, discrepancy: &Discrepancy) -> String {
        let [first, second] = self.names.map(SourceId::name);
        let (which, name, line) = match discrepancy {
            Discrepancy::Missing { event, from } => {
                let missing_from_first = *from == self.names[0];
                let only = if missing_from_first { second } else { first };
                let name = self.name(event);
                (usize::from(!missing_from_first), name.clone(), format!("only {only} reported {name}"))
            }
            Discrepancy::Differs { field, first: one, second: other } => {
                let name = self.name(one);
                let values = format!("{} against {}", value(*field, one), value(*field, other));
                let line = format!("{first} and {second} differ in the {} of {name}: {values}", field.name());
                (2, format!("{} of {name}", field.name()), line)
            }
            _ => (2, String::new(), "a discrepancy that this version cannot describe".to_owned()),
        };
        if self.named[which].len() < NAMED {
            self.named[which].push(name);
        }
        line
    }

    /// `exec of 4711 ls at 12:00:06.123`.
    fn name(&mut self, event: &Event) -> String {
        let mut text = format!("{} of ", event.kind.kind());
        if let Some(process) = &event.process {
            let mut shown = Vec::new();
            process.name.as_deref().into_iter().for_each(|name| quote::text(name, &mut shown));
            let blank = if shown.is_empty() { "" } else { " " };
            let _ = write!(text, "{}{blank}{}", process.id.pid, String::from_utf8_lossy(&shown));
        }
        let time = self.clock.time(event.time);
        let _ = write!(text, " at {}", String::from_utf8_lossy(&time));
        text
    }

    /// The verdict, for people.
    pub(super) fn text(&self, it: &Verification, compared_kinds: EventSet) -> String {
        let [first, second] = self.names.map(SourceId::name);
        let (compared, agreed) = (it.total_compared(), it.total_agreed());
        let kinds = kinds(compared_kinds);
        let mut text = match compared {
            0 => format!("procscope: {second} confirms nothing: there were no {kinds} events to compare\n"),
            _ if agreed == compared => format!("procscope: {second} confirms all {compared} {kinds} events\n"),
            _ => format!("procscope: {second} confirms {agreed} of {compared} {kinds} events\n"),
        };
        let mut row = |title: &str, value: String| _ = writeln!(text, "  {title:<11} {value}");
        row("agreed", counted(agreed, &it.agreed));
        for (side, name) in [(Side::Second, first), (Side::First, second)] {
            let missing = it.total_missing(side);
            let which = usize::from(side == Side::Second);
            row(
                "only",
                format!("{name}: {}{}", counted(missing, &it.missing[side as usize]), such(&self.named[which])),
            );
        }
        for (side, name) in [(Side::First, first), (Side::Second, second)] {
            let explained = it.total_explained(side);
            if explained > 0 {
                let kinds = counted(explained, &it.explained[side as usize]);
                row("explained", format!("{kinds}; {name} counted them as lost"));
            }
        }
        let differing: Vec<_> = it.differing.iter().map(|(field, n)| format!("{n} {}", field.name())).collect();
        if !differing.is_empty() {
            row("differing", format!("{}{}", differing.join(", "), such(&self.named[2])));
        }
        for (side, name) in [(Side::First, first), (Side::Second, second)] {
            let unheld = it.optional[side as usize];
            if unheld > 0 {
                row(
                    "unheld",
                    format!("{unheld} that {name} need not report: because of a filter, or it cannot know all"),
                );
            }
        }
        if it.outside > 0 {
            row("left out", format!("{} while only one of the two was attached", it.outside));
        }
        if it.given_up > 0 {
            row("given up", format!("{}: one side was too far behind the other", it.given_up));
        }
        text
    }
}

fn such(named: &[String]) -> String {
    if named.is_empty() { String::new() } else { format!("; such as {}", named.join(", ")) }
}

/// `12: 10 exec, 2 exit`.
fn counted(total: u64, counts: &Counts) -> String {
    let kinds = counts.iter();
    let kinds: Vec<_> = kinds.map(|(kind, n)| format!("{n} {kind}")).collect();
    if total == 0 { "none".to_owned() } else { format!("{total}: {}", kinds.join(", ")) }
}

fn value(field: Field, event: &Event) -> String {
    let mut shown = Vec::new();
    match (field, &event.kind, &event.process) {
        (Field::Status, EventKind::Exit(exit), _) => return status(exit.status),
        (Field::Ppid, _, Some(process)) => {
            return process.parent.as_ref().map_or("none".to_owned(), |parent| parent.id.pid.to_string());
        }
        (Field::Name, EventKind::Comm(change), _) => quote::text(&change.new, &mut shown),
        (Field::User, EventKind::Gid(_), Some(process)) => {
            return ids(process.credentials.as_ref().map(|who| [who.gid, who.egid]));
        }
        (Field::User, _, Some(process)) => return ids(process.credentials.as_ref().map(|who| [who.uid, who.euid])),
        (Field::Argv, _, Some(process)) => process.argv.iter().for_each(|argv| quote::command(argv, &mut shown)),
        _ => {}
    }
    String::from_utf8_lossy(&shown).into_owned()
}

/// Real and effective.
fn ids(ids: Option<[u32; 2]>) -> String {
    ids.map_or("unknown".to_owned(), |[real, effective]| format!("{real}/{effective}"))
}

fn status(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exit {code}"),
        ExitStatus::Signal { signo, core } => {
            format!("{}{}", signal_name(signo), if core { " core" } else { "" })
        }
        _ => "unknown".to_owned(),
    }
}

/// `exec, exec-failed and exit`.
pub(crate) fn kinds(events: EventSet) -> String {
    if events.with(Kind::Start) == EventSet::ALL {
        return "all".to_owned();
    }
    let mut names = events.iter().filter(|&kind| kind != Kind::Lost).map(Kind::name).collect::<Vec<_>>();
    match (names.pop(), names.join(", ")) {
        (None, _) => Kind::Lost.name().to_owned(),
        (Some(last), others) if others.is_empty() => last.to_owned(),
        (Some(last), others) => format!("{others} and {last}"),
    }
}

#[cfg(test)]
mod tests {
    use procscope::{ExecInfo, Exit, Pid, Process, ProcessId, Timestamp, Usage};

    use super::*;

    fn event(pid: Pid, name: &[u8], ns: i64, kind: EventKind) -> Event {
        let mut process = Process::new(ProcessId { pid, start: None });
        process.name = Some(name.into());
        Event::new(1, Timestamp(ns), SourceId::Ebpf, Some(process.into()), None, kind)
    }

    fn exec(pid: Pid, name: &[u8], ns: i64) -> Event {
        event(pid, name, ns, EventKind::Exec(ExecInfo::default()))
    }

    fn exit(pid: Pid, status: ExitStatus) -> Event {
        let usage = Usage::default();
        event(pid, b"ls", 0, EventKind::Exit(Exit::new(status, usage)))
    }

    #[test]
    fn findings_are_told_in_words() {
        let mut findings = Findings::new([SourceId::Ebpf, SourceId::ProcessConnector], TimeZone::UTC);
        let killed = ExitStatus::Signal { signo: 9, core: false };
        let found = vec![
            Discrepancy::Missing { event: exec(4711, b"ls", 1_500_000_000).into(), from: SourceId::ProcessConnector },
            Discrepancy::Missing { event: exec(4712, b"\x1b[2J\n", 0).into(), from: SourceId::Ebpf },
            Discrepancy::Differs {
                field: Field::Status,
                first: exit(7, killed).into(),
                second: exit(7, ExitStatus::Code(1)).into(),
            },
        ];
        let lines = findings.lines(found.into_iter(), true);
        let mut it = Verification::default();
        let kinds = EventSet::NONE.with(Kind::Exec).with(Kind::Exit);
        let quiet = findings.text(&it, kinds);
        it.agreed.add(Kind::Exit, 12);
        it.missing[0].add(Kind::Exec, 1);
        it.missing[1].add(Kind::Exec, 1);
        it.explained[1].add(Kind::Exit, 3);
        it.differing = vec![(Field::Status, 1)];
        (it.outside, it.given_up, it.optional) = (4, 5, [0, 6]);
        insta::assert_snapshot!(format!("{lines}\n{}\n{quiet}", findings.text(&it, kinds)));
    }

    #[test]
    fn lines_are_bounded() {
        let mut findings = Findings::new([SourceId::Ebpf, SourceId::ProcessConnector], TimeZone::UTC);
        let missing = |pid| Discrepancy::Missing { event: exec(pid, b"x", 0).into(), from: SourceId::Ebpf };
        let text = findings.lines((0..500).map(missing), false) + &findings.lines([].into_iter(), true);
        assert_eq!(text.lines().count() as u64, LINES + 1);
        assert!(text.ends_with("procscope: and 480 more discrepancies\n"), "{text}");
        assert_eq!(findings.named[0].len(), NAMED);
    }

    #[test]
    fn kinds_are_told_in_words() {
        assert_eq!(kinds(EventSet::default()), "exec, exec-failed and exit");
        assert_eq!(kinds(EventSet::ALL), "all");
        assert_eq!(kinds(EventSet::NONE.with(Kind::Fork)), "fork");
        assert_eq!(kinds(EventSet::NONE), "lost");
    }
}
