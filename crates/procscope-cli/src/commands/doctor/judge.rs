//! The results of the probes, compared with the mechanism's claims.

use procscope::{
    Argv, Capabilities, Event, EventKind, ExitStatus, Field, Flaw, Flaws, Kind, Pid, Process, StartTime, Timestamp,
};

/// A mechanism's claim about a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// As it was at the event.
    Exact,
    /// Looked up afterwards.
    Late,
    /// No claim.
    No,
}

/// The result of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Ok,
    /// Right, but looked up afterwards.
    Late,
    Missing,
    Wrong,
}

impl Claim {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Late => "late",
            Self::No => "no",
        }
    }

    pub(super) fn of_field(capabilities: &Capabilities, field: Field) -> Self {
        if capabilities.exact.contains(&field) {
            Self::Exact
        } else if capabilities.late.contains(&field) {
            Self::Late
        } else {
            Self::No
        }
    }

    fn of_kind(capabilities: &Capabilities, kind: Kind) -> Self {
        if capabilities.events.contains(kind) { Self::Exact } else { Self::No }
    }

    pub(super) fn of_loss(capabilities: &Capabilities) -> Self {
        if capabilities.counts_loss { Self::Exact } else { Self::No }
    }
}

impl Found {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Late => "late",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        }
    }
}

/// One check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) claim: Claim,
    pub(super) found: Found,
    /// An explanation.
    pub(super) detail: String,
}

impl Check {
    pub(super) fn new(name: &'static str, claim: Claim, (found, detail): (Found, String)) -> Self {
        Self { name, claim, found, detail }
    }

    /// It is as claimed. A value that is not claimed may be missing.
    pub(super) fn holds(&self) -> bool {
        match self.claim {
            Claim::Exact => self.found == Found::Ok,
            Claim::Late => matches!(self.found, Found::Ok | Found::Late),
            Claim::No => self.found != Found::Wrong,
        }
    }
}

/// How a probe ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Code(u32),
    /// By this signal, from the doctor.
    Signal(u8),
}

/// A process that was started, and the truth about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Probe {
    pub(super) pid: Pid,
    /// Among them one that no other process has.
    pub(super) argv: Vec<Vec<u8>>,
    pub(super) label: Vec<u8>,
    pub(super) end: End,
}

/// Everything that was done, and the process that did it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Truth {
    pub(super) parent: Pid,
    pub(super) parent_name: Vec<u8>,
    /// Events have other pids than the doctor knows.
    pub(super) other_pids: bool,
    pub(super) probes: Vec<Probe>,
    /// The wall clock before and after all that.
    pub(super) span: [Timestamp; 2],
    /// When the parent was started, as /proc shows it.
    pub(super) parent_start: Option<StartTime>,
    /// The arguments of an exec that failed because its file is missing. No other process has the
    /// last one.
    pub(super) failed: Vec<Vec<u8>>,
}

impl Truth {
    /// The pid by which events call a probe.
    fn pid_of(&self, probe: &Probe, events: &[Event]) -> Option<Pid> {
        if !self.other_pids {
            return Some(probe.pid);
        }
        events.iter().find(|event| event.kind.kind() == Kind::Exec && has_label(event, &probe.label)).and_then(pid)
    }

    /// Whether everything that these can bring has come.
    pub(super) fn have_come(&self, kind: Kind, events: &[Event]) -> bool {
        self.probes.iter().all(|probe| {
            self.pid_of(probe, events)
                .is_some_and(|of| events.iter().any(|event| event.kind.kind() == kind && pid(event) == Some(of)))
        })
    }
}

fn pid(event: &Event) -> Option<Pid> {
    event.process.as_ref().map(|process| process.id.pid)
}

fn has(argv: Option<&Argv>, label: &[u8]) -> bool {
    argv.is_some_and(|argv| argv.iter().any(|argument| *argument == *label))
}

pub(super) fn has_label(event: &Event, label: &[u8]) -> bool {
    has(event.process.as_ref().and_then(|process| process.argv.as_deref()), label)
}

/// The library's statement about a field.
fn by_flaw(flaws: &Flaws, field: Field) -> Found {
    match flaws.get(field) {
        None | Some(Flaw::Inherited) => Found::Ok,
        Some(Flaw::Unreadable | Flaw::NotObserved) => Found::Missing,
        Some(_) => Found::Late,
    }
}

/// Compares a value with the truth.
fn compare<T: PartialEq + ?Sized>(value: Option<&T>, truth: &T, flaw: Found) -> Found {
    match value {
        None => Found::Missing,
        Some(value) if value != truth => Found::Wrong,
        Some(_) => flaw,
    }
}

/// The worst of several, and how many there were of each.
fn together(all: impl IntoIterator<Item = Found>) -> (Found, String) {
    let all: Vec<_> = all.into_iter().collect();
    let worst = [Found::Wrong, Found::Missing, Found::Late].into_iter().find(|found| all.contains(found));
    let worst = worst.unwrap_or(Found::Ok);
    let such = all.iter().filter(|found| **found == worst).count();
    let detail = if such == all.len() { String::new() } else { format!("{such} of {}", all.len()) };
    (worst, detail)
}

/// The results of the probes. `lost` is how many events were lost meanwhile.
pub(super) fn judge(truth: &Truth, capabilities: &Capabilities, events: &[Event], lost: u64) -> Vec<Check> {
    let of = |probe: &Probe, kind: Kind| {
        let of = truth.pid_of(probe, events)?;
        events.iter().find(|event| event.kind.kind() == kind && pid(event) == Some(of))
    };
    let came = |kind| {
        let found = |probe| if of(probe, kind).is_some() { Found::Ok } else { Found::Missing };
        Check::new(kind.name(), Claim::of_kind(capabilities, kind), together(truth.probes.iter().map(found)))
    };
    let field = |name, field, found: &dyn Fn(&Probe) -> Found| {
        Check::new(name, Claim::of_field(capabilities, field), together(truth.probes.iter().map(found)))
    };
    let process = |probe: &Probe, kind| of(probe, kind).and_then(|event| event.process.as_deref());
    let argv = |probe: &Probe| {
        let Some(process) = process(probe, Kind::Exec) else { return Found::Missing };
        let argv = process.argv.as_ref().map(|argv| argv.iter().map(|text| text.to_vec()).collect::<Vec<_>>());
        compare(argv.as_ref(), &probe.argv, by_flaw(&process.flaws, Field::Argv))
    };
    let parent = |probe: &Probe| {
        let Some(process) = process(probe, Kind::Exec) else { return Found::Missing };
        is_parent(truth, process)
    };
    let status = |probe: &Probe| {
        let Some(event) = of(probe, Kind::Exit) else { return Found::Missing };
        let EventKind::Exit(exit) = &event.kind else { return Found::Missing };
        let ended = match probe.end {
            End::Code(code) => ExitStatus::Code(code),
            End::Signal(signo) => ExitStatus::Signal { signo, core: false },
        };
        let told = (exit.status != ExitStatus::Unknown).then_some(&exit.status);
        compare(told, &ended, by_flaw(&event.flaws, Field::Status))
    };
    let killers = truth.probes.iter().filter(|probe| matches!(probe.end, End::Signal(_))).map(|probe| {
        let Some(EventKind::Exit(exit)) = of(probe, Kind::Exit).map(|event| &event.kind) else { return Found::Missing };
        match &exit.killer {
            None => Found::Missing,
            Some(killer) if truth.other_pids || killer.id.pid == truth.parent => Found::Ok,
            Some(_) => Found::Wrong,
        }
    });
    let losses = if lost == 0 { String::new() } else { format!("{lost} lost meanwhile") };
    vec![
        came(Kind::Fork),
        came(Kind::Exec),
        time(truth, capabilities, events),
        field("argv", Field::Argv, &argv),
        field("parent", Field::Ppid, &parent),
        came(Kind::Exit),
        field("status", Field::Status, &status),
        Check::new("killer", Claim::of_field(capabilities, Field::Killer), together(killers)),
        failed_exec(truth, capabilities, events),
        Check::new("loss", Claim::of_loss(capabilities), (Found::Ok, losses)),
    ]
}

/// A time may be this far off: clocks are set, and some are read late. A clock of another kind is
/// off by more.
const SLACK_NS: i64 = 2_000_000_000;

/// Whether events have times at which the probes were running.
fn time(truth: &Truth, capabilities: &Capabilities, events: &[Event]) -> Check {
    let [begun, ended] = truth.span;
    let of_probe = |event: &&Event| truth.probes.iter().any(|probe| pid(event) == truth.pid_of(probe, events));
    let off = |event: &Event| (begun.0 - event.time.0).max(event.time.0 - ended.0).max(0);
    let found = |event: &Event| match off(event) {
        0..=SLACK_NS => by_flaw(&event.flaws, Field::Time),
        _ => Found::Wrong,
    };
    let (found, mut detail) = together(events.iter().filter(of_probe).map(found));
    if found == Found::Wrong {
        let most = events.iter().filter(of_probe).map(off).max().unwrap_or(0);
        detail = format!("off by {} s", most / 1_000_000_000);
    }
    Check::new("time", Claim::of_field(capabilities, Field::Time), (found, detail))
}

fn is_parent(truth: &Truth, process: &Process) -> Found {
    let Some(parent) = &process.parent else { return Found::Missing };
    let named_so = parent.name.as_deref().is_none_or(|name| *name == *truth.parent_name);
    let starts = truth.parent_start.zip(parent.id.start);
    let is_it = parent.id.pid == truth.parent && starts.is_none_or(|(one, other)| one.0.abs_diff(other.0) <= 1);
    if named_so && (truth.other_pids || is_it) { by_flaw(&process.flaws, Field::Ppid) } else { Found::Wrong }
}

fn failed_exec(truth: &Truth, capabilities: &Capabilities, events: &[Event]) -> Check {
    const ENOENT: u32 = 2;
    let label = truth.failed.last().map(Vec::as_slice).unwrap_or_default();
    // A process whose arguments are marked missing or cut is recognized by its parent.
    let ours = |event: &Event| {
        let parent = event.process.as_ref().and_then(|process| process.parent.as_ref());
        event.flaws.get(Field::Argv).is_some()
            && !truth.other_pids
            && parent.is_some_and(|it| it.id.pid == truth.parent)
    };
    let mut failures = events.iter().filter_map(|event| match &event.kind {
        EventKind::ExecFailed(failure) if has(failure.argv.as_deref(), label) || ours(event) => {
            Some((failure, event.flaws.get(Field::Argv).is_some()))
        }
        _ => None,
    });
    let found = failures.next().map_or(Found::Missing, |(failure, part)| {
        let argv = failure.argv.iter().flat_map(|argv| argv.iter()).map(|text| text.to_vec()).collect::<Vec<_>>();
        let right = argv == truth.failed || part && truth.failed.starts_with(&argv);
        if right && failure.errno == ENOENT { Found::Ok } else { Found::Wrong }
    });
    Check::new("exec-failed", Claim::of_kind(capabilities, Kind::ExecFailed), (found, String::new()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use procscope::{ExecFailure, ExecInfo, Exit, ForkInfo, ProcessId, ProcessRef, SourceId, Usage, sources};

    use super::*;

    fn truth() -> Truth {
        let probe = |pid, label: &str, end| {
            let label = label.as_bytes().to_vec();
            Probe { pid, argv: vec![b"p".to_vec(), label.clone(), b"\xff\n".to_vec(), b"".to_vec()], label, end }
        };
        Truth {
            parent: 10,
            parent_name: b"procscope".to_vec(),
            other_pids: false,
            probes: vec![probe(11, "one", End::Code(7)), probe(12, "two", End::Signal(9))],
            span: [Timestamp(-SLACK_NS), Timestamp(SLACK_NS)],
            parent_start: Some(StartTime(77)),
            failed: vec![b"f".to_vec(), b"three".to_vec()],
        }
    }

    fn events() -> Vec<Event> {
        let id = ProcessId { pid: 10, start: Some(StartTime(78)) };
        let parent = || ProcessRef::new(id, Some("procscope".into()));
        let mut events = Vec::new();
        let mut push = |process: &Process, kind| {
            let process = Some(Arc::new(process.clone()));
            events.push(Event::new(1, Timestamp(0), SourceId::Ebpf, process, None, kind));
        };
        for probe in truth().probes {
            let mut process = Process::new(ProcessId { pid: probe.pid, start: None });
            process.parent = Some(parent());
            push(&process, EventKind::Fork(ForkInfo::default()));
            process.argv = Some(Arc::new(Argv::from_strings(&probe.argv)));
            push(&process, EventKind::Exec(ExecInfo::default()));
            let (status, killer) = match probe.end {
                End::Code(code) => (ExitStatus::Code(code), None),
                End::Signal(signo) => (ExitStatus::Signal { signo, core: false }, Some(parent())),
            };
            let mut exit = Exit::new(status, Usage::default());
            exit.killer = killer;
            push(&process, EventKind::Exit(exit));
        }
        let mut failure = ExecFailure::new(2);
        failure.argv = Some(Arc::new(Argv::from_strings(truth().failed)));
        push(&Process::new(ProcessId { pid: 13, start: None }), EventKind::ExecFailed(failure));
        events
    }

    /// Results of eBPF, which claims everything.
    fn all() -> Capabilities {
        sources().into_iter().find(|info| info.id == SourceId::Ebpf).unwrap().capabilities
    }

    fn judged(truth: &Truth, events: &[Event]) -> Vec<(&'static str, Found)> {
        judge(truth, &all(), events, 0).into_iter().map(|check| (check.name, check.found)).collect()
    }

    fn but(name: &'static str, found: Found) -> Vec<(&'static str, Found)> {
        let mut judged = judged(&truth(), &events());
        judged.iter_mut().filter(|(of, _)| *of == name).for_each(|(_, of)| *of = found);
        judged
    }

    #[test]
    fn all_is_well() {
        let names = ["fork", "exec", "time", "argv", "parent", "exit", "status", "killer", "exec-failed", "loss"];
        assert_eq!(judged(&truth(), &events()), names.map(|name| (name, Found::Ok)));
        let mut truth = truth();
        (truth.other_pids, truth.parent) = (true, 1);
        truth.probes.iter_mut().for_each(|probe| probe.pid -= 9);
        assert_eq!(judged(&truth, &events()), names.map(|name| (name, Found::Ok)));
        assert!(truth.have_come(Kind::Exit, &events()) && !truth.have_come(Kind::Core, &events()));
    }

    fn change(events: &mut [Event], kind: Kind, change: impl Fn(&mut Process)) {
        for event in events.iter_mut().filter(|event| event.kind.kind() == kind) {
            if let Some(process) = &mut event.process {
                change(Arc::make_mut(process));
            }
        }
    }

    #[test]
    fn each_thing_is_looked_at() {
        let mut it = events();
        change(&mut it, Kind::Exec, |process| process.flaws.mark(Field::Argv, Flaw::ReadLate));
        assert_eq!(judged(&truth(), &it), but("argv", Found::Late));
        change(&mut it, Kind::Exec, |process| process.argv = Some(Arc::new(Argv::from_strings(["p"]))));
        assert_eq!(judged(&truth(), &it), but("argv", Found::Wrong));
        change(&mut it, Kind::Exec, |process| process.argv = None);
        assert_eq!(judged(&truth(), &it), but("argv", Found::Missing));

        let mut it = events();
        change(&mut it, Kind::Exec, |process| process.parent = None);
        assert_eq!(judged(&truth(), &it), but("parent", Found::Missing));
        let stranger = ProcessRef::new(ProcessId { pid: 1, start: None }, None);
        change(&mut it, Kind::Exec, |process| process.parent = Some(stranger.clone()));
        assert_eq!(judged(&truth(), &it), but("parent", Found::Wrong));

        let later = ProcessRef::new(ProcessId { pid: 10, start: Some(StartTime(864)) }, None);
        change(&mut it, Kind::Exec, |process| process.parent = Some(later.clone()));
        assert_eq!(judged(&truth(), &it), but("parent", Found::Wrong));

        let mut it = events();
        it.iter_mut().for_each(|event| event.time.0 += 864_000_000_000_000);
        assert_eq!(judged(&truth(), &it), but("time", Found::Wrong));
        let time = judge(&truth(), &all(), &it, 0).into_iter().find(|check| check.name == "time").unwrap();
        assert_eq!(time.detail, "off by 863998 s");

        let mut it = events();
        for event in &mut it {
            match &mut event.kind {
                EventKind::Exit(exit) if exit.killer.is_some() => exit.killer = None,
                EventKind::ExecFailed(failure) => failure.errno = 13,
                _ => {}
            }
        }
        let mut expected = but("killer", Found::Missing);
        expected.iter_mut().filter(|(name, _)| *name == "exec-failed").for_each(|(_, found)| *found = Found::Wrong);
        assert_eq!(judged(&truth(), &it), expected);

        let mut it = events();
        let parent = ProcessRef::new(ProcessId { pid: 10, start: None }, None);
        change(&mut it, Kind::ExecFailed, |process| process.parent = Some(parent.clone()));
        for event in &mut it {
            if let EventKind::ExecFailed(failure) = &mut event.kind {
                failure.argv = None;
            }
        }
        assert_eq!(judged(&truth(), &it), but("exec-failed", Found::Missing));
        for event in it.iter_mut().filter(|event| event.kind.kind() == Kind::ExecFailed) {
            event.flaws.mark(Field::Argv, Flaw::NotObserved);
        }
        assert_eq!(judged(&truth(), &it), judged(&truth(), &events()));

        let mut it = events();
        it.retain(|event| event.kind.kind() != Kind::Fork || pid(event) != Some(12));
        let forks = &judge(&truth(), &all(), &it, 3)[0];
        assert_eq!((forks.found, forks.detail.as_str(), forks.holds()), (Found::Missing, "1 of 2", false));
    }

    #[test]
    fn only_what_is_claimed_has_to_come() {
        let check = |claim, found| Check { name: "x", claim, found, detail: String::new() }.holds();
        assert!(check(Claim::Exact, Found::Ok) && !check(Claim::Exact, Found::Late));
        assert!(check(Claim::Late, Found::Late) && !check(Claim::Late, Found::Missing));
        assert!(check(Claim::No, Found::Missing) && !check(Claim::No, Found::Wrong));
    }
}
