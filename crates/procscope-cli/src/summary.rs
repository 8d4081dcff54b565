use std::collections::HashMap;
use std::fmt::Write;

use procscope::{Event, EventKind, ExeTraits, Kind, Name, SourceId, Summary};

use crate::render::time::human_span;
use procscope_format::quote;

/// How many programs are counted by name, so that a stream of ever new names does not fill the
/// memory.
const MAX_PROGRAMS: usize = 4096;

/// How many of them the summary names.
const BUSIEST: usize = 5;

/// Counts which programs ran, by comm.
#[derive(Default)]
pub(crate) struct Tally {
    programs: HashMap<Box<[u8]>, Program>,
    /// Execs of programs that came after the first [`MAX_PROGRAMS`].
    uncounted: u64,
    /// Execs of set-uid programs without the rights of their owner, because they are traced; and
    /// the names of the first.
    powerless: u64,
    powerless_names: Vec<Name>,
}

#[derive(Clone, Copy, Default)]
struct Program {
    execs: u64,
    cpu_ns: Option<u64>,
}

impl Tally {
    pub(crate) fn record(&mut self, event: &Event) {
        let Some(name) = event.process.as_ref().and_then(|process| process.name.as_deref()) else { return };
        match &event.kind {
            EventKind::Exec(_) => {
                if is_powerless(event) {
                    self.powerless += 1;
                    let names = &mut self.powerless_names;
                    if names.len() < BUSIEST && !names.iter().any(|known| **known == *name) {
                        names.push(name.into());
                    }
                }
                if let Some(program) = self.programs.get_mut(name) {
                    program.execs += 1;
                } else if self.programs.len() < MAX_PROGRAMS {
                    self.programs.insert(name.into(), Program { execs: 1, cpu_ns: None });
                } else {
                    self.uncounted += 1;
                }
            }
            EventKind::Exit(exit) => {
                if let (Some(program), Some(cpu)) = (self.programs.get_mut(name), exit.usage.cpu_ns()) {
                    program.cpu_ns = Some(program.cpu_ns.unwrap_or(0).saturating_add(cpu));
                }
            }
            _ => {}
        }
    }

    fn powerless(&self) -> Option<String> {
        let mut shown = Vec::new();
        for (index, name) in self.powerless_names.iter().enumerate() {
            shown.extend_from_slice(if index > 0 { b", " } else { b"" });
            quote::text(name, &mut shown);
        }
        let names = String::from_utf8_lossy(&shown);
        let why = "without the owner's rights: the kernel gives a traced program none without CAP_SYS_PTRACE";
        (self.powerless > 0).then(|| format!("{} ran {why}: {names}", self.powerless))
    }

    fn busiest(&self) -> Option<String> {
        let mut programs = self.programs.iter().collect::<Vec<_>>();
        programs.sort_by(|(a_name, a), (b_name, b)| b.execs.cmp(&a.execs).then(a_name.cmp(b_name)));
        let mut text = String::new();
        for (index, (name, program)) in programs.into_iter().take(BUSIEST).enumerate() {
            let mut shown = Vec::new();
            quote::text(name, &mut shown);
            let _ = write!(
                text,
                "{}{} {}",
                if index > 0 { ", " } else { "" },
                program.execs,
                String::from_utf8_lossy(&shown)
            );
            if let Some(cpu) = program.cpu_ns {
                let _ = write!(text, " ({} CPU)", human_span(cpu));
            }
        }
        if self.uncounted > 0 {
            let _ = write!(text, "; beyond {MAX_PROGRAMS} names, {} execs were not counted by name", self.uncounted);
        }
        (!text.is_empty()).then_some(text)
    }
}

/// A set-uid program that gained nothing.
fn is_powerless(event: &Event) -> bool {
    let Some(process) = event.process.as_ref().filter(|_| event.source == SourceId::Ptrace) else { return false };
    process.credentials.as_ref().is_some_and(|who| {
        let bits = [(ExeTraits::SETUID, who.uid, who.euid), (ExeTraits::SETGID, who.gid, who.egid)];
        who.uid != 0 && bits.iter().any(|(bit, real, effective)| process.exe_traits.contains(*bit) && real == effective)
    })
}

/// Where events come from.
#[derive(Clone, Copy)]
pub(crate) enum Origin {
    /// A mechanism, as they happen.
    Live(SourceId),
    /// A file, whose events happened within this time.
    Recording { span_ns: u64 },
}

impl Origin {
    /// The remedy for losses.
    fn what_helps(self, lost: u64, skipped: u64) -> String {
        match self {
            Self::Live(source) => what_helps(source, lost, skipped),
            Self::Recording { .. } => "missing when it was recorded".to_owned(),
        }
    }

    fn malformed(self) -> &'static str {
        match self {
            Self::Live(_) => "records of the kernel that this version cannot read",
            Self::Recording { .. } => "lines that were skipped, because they cannot be read",
        }
    }
}

/// The result of a run, in lines for people.
pub(crate) fn text(origin: Origin, summary: &Summary, tally: &Tally) -> String {
    let total = summary.total_delivered();
    let (span_ns, within) = match origin {
        Origin::Live(_) => (summary.elapsed_ns, "in"),
        Origin::Recording { span_ns } => (span_ns, "recorded in"),
    };
    let rate = u128::from(total) * 1_000_000_000 / u128::from(span_ns.max(1));
    let none = || "none".to_owned();
    let lost = match summary.total_lost() {
        0 => none(),
        lost => {
            let mut kinds = by_kind(|kind| summary.lost(kind));
            let unknown = summary.lost(Kind::Lost);
            if unknown > 0 {
                kinds.push(format!("{unknown} of unknown kind"));
            }
            format!("{lost}: {}; {}", kinds.join(", "), origin.what_helps(lost, summary.skipped))
        }
    };
    let delivered = by_kind(|kind| summary.delivered(kind));
    let incomplete = summary.incomplete.iter().filter(|(_, count)| *count > 0);
    let incomplete = incomplete.map(|(field, count)| format!("{count} {}", field.name())).collect::<Vec<_>>();
    let mut rows = vec![
        ("delivered", if delivered.is_empty() { none() } else { delivered.join(", ") }),
        ("lost", lost),
        ("incomplete", if incomplete.is_empty() { none() } else { incomplete.join(", ") }),
    ];
    if summary.undecided > 0 {
        let why = "refused because of unknown values; a filter that ends in `or flaws? or not FIELD?` shows them";
        rows.push(("undecided", format!("{}: {why}", summary.undecided)));
    }
    if summary.malformed > 0 {
        rows.push(("malformed", format!("{}: {}", summary.malformed, origin.malformed())));
    }
    rows.extend(tally.powerless().map(|powerless| ("set-uid", powerless)));
    rows.extend(tally.busiest().map(|busiest| ("busiest", busiest)));
    let mut text = format!("procscope: {total} events {within} {}, {rate} a second\n", human_span(span_ns));
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:<11} {value}");
    }
    text
}

/// The remedy for losses.
fn what_helps(source: SourceId, lost: u64, skipped: u64) -> String {
    let ring = "a larger ring helps: --ring-size 64MiB";
    match source {
        SourceId::ProcPoll => {
            "these are pids of processes or threads that were gone before they could be seen; other mechanisms \
             see all: \
             procscope doctor"
                .to_owned()
        }
        _ if skipped == 0 => ring.to_owned(),
        _ if skipped >= lost => {
            "the kernel skipped programs that were at work on that CPU; no larger ring helps".to_owned()
        }
        _ => format!(
            "{skipped} because the kernel skipped programs that were at work on that CPU; for the others {ring}"
        ),
    }
}

/// `600 exec`, …: the kinds with events; the marks of loss do not count.
fn by_kind(count: impl Fn(Kind) -> u64) -> Vec<String> {
    let kinds = Kind::ALL.iter().copied().filter(|&kind| kind != Kind::Lost);
    kinds.map(|kind| (kind, count(kind))).filter(|(_, n)| *n > 0).map(|(kind, n)| format!("{n} {kind}")).collect()
}

#[cfg(test)]
mod tests {
    use procscope::{Credentials, ExecInfo, Exit, ExitStatus, Field, Lost, Process, ProcessId, Timestamp, Usage};

    use super::*;

    fn event(name: &[u8], kind: EventKind) -> Event {
        let mut process = Process::new(ProcessId { pid: 1, start: None });
        process.name = Some(name.into());
        Event::new(1, Timestamp(0), SourceId::Ebpf, Some(process.into()), None, kind)
    }

    fn exec(name: &[u8]) -> Event {
        event(name, EventKind::Exec(ExecInfo::default()))
    }

    fn exit(name: &[u8], cpu_ns: Option<u64>) -> Event {
        let mut usage = Usage::default();
        (usage.user_ns, usage.system_ns) = (cpu_ns, cpu_ns.map(|_| 0));
        let status = ExitStatus::Code(0);
        event(name, EventKind::Exit(Exit::new(status, usage)))
    }

    #[test]
    fn all_that_a_summary_can_say() {
        let mut tally = Tally::default();
        for (name, count) in [("sh", 30), ("ls", 20), ("cat", 10), ("\x1b[2J", 5), ("a", 1), ("b", 1)] {
            for _ in 0..count {
                tally.record(&exec(name.as_bytes()));
            }
        }
        let mut su = exec(b"su\x07");
        su.source = SourceId::Ptrace;
        let mut process = Process::new(ProcessId { pid: 1, start: None });
        process.credentials = Some(std::sync::Arc::new(Credentials::new([1000; 2], [1000; 2])));
        process.exe_traits = ExeTraits::SETUID;
        process.name = Some(b"su\x07"[..].into());
        su.process = Some(process.into());
        tally.record(&su);
        tally.record(&exit(b"sh", Some(1_200_000_000)));
        tally.record(&exit(b"sh", Some(34_000_000)));
        tally.record(&exit(b"ls", None));
        tally.record(&exit(b"never seen to begin", Some(1)));
        let mut summary = Summary::default();
        summary.add_delivered(Kind::Exec, 67);
        summary.add_delivered(Kind::Exit, 1200);
        summary.add_delivered(Kind::Lost, 2);
        summary.elapsed_ns = 12_345_000_000;
        let text = |source, summary: &Summary, tally: &Tally| text(Origin::Live(source), summary, tally);
        let quiet = text(SourceId::Ebpf, &summary, &tally);
        let lost = [(Kind::Exec, 100), (Kind::Exit, 20), (Kind::Lost, 3)];
        lost.into_iter().for_each(|(kind, n)| summary.add_lost(&Lost::of(kind, n).counts));
        summary.incomplete = vec![(Field::Argv, 3), (Field::Cwd, 1), (Field::Exe, 0)];
        summary.malformed = 2;
        summary.undecided = 4;
        let empty = text(SourceId::Ebpf, &Summary::default(), &Tally::default());
        let polled = text(SourceId::ProcPoll, &summary, &tally);
        assert!(polled.contains("procscope doctor"), "{polled}");
        let mut other = summary.clone();
        other.skipped = 123;
        let skipped = text(SourceId::Ebpf, &other, &tally);
        assert!(skipped.contains("no larger ring helps") && !skipped.contains("--ring-size"), "{skipped}");
        other.skipped = 23;
        let some = text(SourceId::Ebpf, &other, &tally);
        assert!(some.contains("; 23 because the kernel skipped") && some.contains("--ring-size 64MiB"), "{some}");
        insta::assert_snapshot!(format!("{quiet}\n{}\n{empty}", text(SourceId::Ebpf, &summary, &tally)));
        let replayed = super::text(Origin::Recording { span_ns: 1_000_000_000 }, &summary, &tally);
        assert!(replayed.starts_with("procscope: 1267 events recorded in 1.0s, 1267 a second\n"), "{replayed}");
        assert!(
            replayed.contains("; missing when it was recorded\n") && !replayed.contains("--ring-size"),
            "{replayed}"
        );
        assert!(replayed.contains("malformed   2: lines that were skipped"), "{replayed}");
    }

    #[test]
    fn ever_new_names_do_not_fill_the_memory() {
        let mut tally = Tally::default();
        for number in 0..10_000 {
            tally.record(&exec(format!("{number}").as_bytes()));
        }
        assert_eq!(tally.programs.len(), MAX_PROGRAMS);
        assert!(tally.busiest().unwrap().ends_with("beyond 4096 names, 5904 execs were not counted by name"));
    }
}
