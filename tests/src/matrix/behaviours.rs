//! The tried behaviours, the same for each source.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::watch::{Counts, Ended, NOBODY, Trouble, Watch, Workload, hold, lives, run_command};
use super::words::{AUTO, LONG, Words};
use super::{cgroups, doctor, places};
use crate::compare::{
    Comparison, ODD_UNDER_PTRACE, UNKNOWN_OLD_NAME, UNOBSERVED_ARGV, UNOBSERVED_PATH, UNREADABLE_ARGV, UNTOLD_BY_PTRACE,
};
use crate::report::Report;
use crate::truth::Line;

type Result<T = ()> = std::result::Result<T, Trouble>;
type Behaviour = fn(&str) -> Result;

const UNREADABLE: &str = "arguments marked unreadable";
const UNOBSERVED: &str = "arguments marked not observed";
const UNOBSERVED_PATHS: &str = "paths marked not observed";
/// Values that a source may mark as missing, each in its words.
const TOLD_AS_MISSING: [(&str, &str); 3] =
    [(UNREADABLE_ARGV, UNREADABLE), (UNOBSERVED_ARGV, UNOBSERVED), (UNOBSERVED_PATH, UNOBSERVED_PATHS)];
const KINDS: [&str; 3] = ["fork", "exec", "exit"];

/// Values that depend on luck in an emulator: an instruction may last for milliseconds, and
/// interrupts strike any process. So two clocks, and their difference, cannot be read at one
/// moment.
fn is_luck(field: &str) -> bool {
    matches!(field, "exit.cpu" | "exit.user_ns") || field.ends_with(".time")
}

/// Those of one named source, once it starts.
const BEHAVIOURS: [(&str, Behaviour); 12] = [
    ("storm", storm),
    ("odd", odd),
    ("failed-execs", failed_execs),
    ("tree", tree),
    ("name", name),
    ("loss", loss),
    ("status", status),
    ("run", run),
    ("cgroup-hybrid", cgroups::hybrid),
    ("cgroup-v1", cgroups::v1),
    ("pid-namespace", places::pid_namespace),
    ("chroot", places::chroot),
];
/// Those of a source whose records are the kernel's own, in a buffer of its own.
const OF_TRACEFS: &[(&str, Behaviour)] = &[
    ("storm", storm),
    ("odd", odd),
    ("failed-execs", failed_execs),
    ("event-probes", event_probes),
    ("user-strings", user_strings),
    ("tree", tree),
    ("loss", loss),
    ("status", status),
    ("run", run),
    ("pid-namespace", places::pid_namespace),
    ("chroot", places::chroot),
    (LONG, long_storm),
];
/// Behaviours of a source that reports only a command run by procscope.
const OF_A_COMMAND: [(&str, Behaviour); 4] =
    [("storm", storm), ("odd", odd), ("failed-execs", failed_execs), ("run", run)];
/// Behaviours of a source that reports what it happens to see.
const OF_POLLING: [(&str, Behaviour); 6] = [
    ("storm", storm),
    ("odd", odd),
    ("failed-execs", failed_execs),
    ("tree", tree),
    ("run", run),
    ("chroot", places::chroot),
];
const OF_AUTO: [(&str, Behaviour); 3] = [
    ("start", |_| start_auto()),
    ("unprivileged", |_| unprivileged_auto()),
    ("doctor", |_| doctor::agrees_with_auto()),
];

pub(super) const SOURCES: [&str; 5] = ["ebpf", "process-connector", "tracefs", "proc-poll", "ptrace"];

/// Runs the chosen behaviours, one after the other, and reports each.
pub(super) fn all(named: &[String], mut report: impl FnMut(&str, &str, Result)) {
    let mut words = Words::new(named);
    for source in SOURCES {
        if !words.has_source(source) {
            continue;
        }
        let started = start(source);
        let rest: &[(&str, Behaviour)] = match source {
            _ if started.is_err() => &[],
            "ptrace" => &OF_A_COMMAND,
            "proc-poll" => &OF_POLLING,
            "tracefs" => OF_TRACEFS,
            _ => &BEHAVIOURS,
        };
        if words.is_to_come(source, "start") {
            report(source, "start", started);
        }
        let always: [(&str, Behaviour); 2] = [("unprivileged", unprivileged), ("doctor", doctor::agrees)];
        for &(what, run) in rest.iter().chain(&always) {
            if words.has(what) && words.is_to_come(source, what) {
                report(source, what, run(source));
            }
        }
    }
    for (what, run) in OF_AUTO {
        if words.has_source(AUTO) && words.has(what) && words.is_to_come(AUTO, what) {
            report(AUTO, what, run(AUTO));
        }
    }
}

/// Lets ps-workload run with these words while the source watches.
fn told(source: &str, uid: u32, options: &[&str], words: &[&str], name: &str) -> Result<(Ended, Vec<Line>)> {
    if source == "ptrace" {
        return run_command(source, uid, options, words, name);
    }
    let watch = Watch::spawn(source, uid, options)?;
    let truth = Workload::new(words, name)?.run()?;
    Ok((watch.stop()?, truth))
}

fn start(source: &str) -> Result {
    starts(source, 0)
}

fn unprivileged(source: &str) -> Result {
    starts(source, NOBODY)
}

fn starts(source: &str, uid: u32) -> Result {
    let ended = if source == "ptrace" {
        run_command(source, uid, &[], &["storm", "--count", "3"], "start")?.0
    } else {
        Watch::spawn(source, uid, &["--duration", "300ms"])?.end()?
    }
    .well()?;
    hold(ended.stderr.contains(&format!("({source})")), || ended.stderr.clone())
}

fn start_auto() -> Result {
    chosen(Watch::start("auto", &["--duration", "300ms"])?)
}

fn unprivileged_auto() -> Result {
    chosen(Watch::spawn("auto", NOBODY, &["--duration", "300ms"])?)
}

/// The choice: the line that says why it is not the best, or the source.
fn chosen(watch: Watch) -> Result {
    let ended = watch.end()?.well()?;
    let why = ended.stderr.lines().find(|line| line.contains(" because of "));
    let watching = ended.stderr.lines().find(|line| line.starts_with("procscope: watching"));
    Err(Trouble::Says(why.or(watching).unwrap_or_default().to_owned()))
}

fn storm(source: &str) -> Result {
    let (ended, truth) = told(source, 0, &["-e", "fork,exec,exit"], &["storm", "--count", "400"], "storm")?;
    right(source, &ended.well()?, truth, Some(&KINDS))
}

/// So many that none keeps up by luck: missing ones are counted.
fn long_storm(source: &str) -> Result {
    let watch = Watch::start(source, &["-e", "fork,exec,exit"])?;
    let begun = Instant::now();
    let truth = Workload::new(&["storm", "--count", "20000", "--compact"], "long")?.run()?;
    let took = begun.elapsed();
    let ended = watch.stop()?.well()?;
    let (report, lost) = recorded(&ended, truth, Some(&KINDS))?;
    println!("{source} {LONG}: {:.0} s, {lost} records lost; {report}", took.as_secs_f64());
    Ok(())
}

/// A command that procscope runs: by the same source, and if possible as an ordinary user.
fn run(source: &str) -> Result {
    let uid = if source == "ptrace" { NOBODY } else { 0 };
    let words = ["storm", "--count", "150"];
    let (ended, truth) = run_command(source, uid, &["-e", "fork,exec,exit"], &words, "run")?;
    right(source, &ended.well()?, truth, Some(&KINDS))?;
    for (words, code) in [(&["/bin/ps-workload", "no-such-word"][..], 2), (&["/no/such/program"], 127)] {
        let mut command = Command::new("/bin/procscope");
        command.args(["run", "-q", "--source", source, "-o", "/dev/null", "--"]).args(words);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        hold(status.code() == Some(code), || format!("{words:?}: {status}, not {code}"))?;
    }
    Ok(())
}

/// As far as such a source claims it.
pub(super) fn right(source: &str, ended: &Ended, truth: Vec<Line>, kinds: Option<&[&str]>) -> Result {
    match source {
        "ebpf" => exact(ended, truth, kinds, &[]),
        "ptrace" => exact(ended, truth, kinds, &UNTOLD_BY_PTRACE),
        "proc-poll" => sampled(ended, &truth),
        "tracefs" => recorded(ended, truth, kinds).map(drop),
        _ => counted(ended, &truth),
    }
}

fn odd(source: &str) -> Result {
    const TRACED: &str = "fork,clone,exec,exec-failed,exit,thread-exit";
    let (events, kinds) = match source {
        "ebpf" => ("all", None),
        "ptrace" => (TRACED, Some(TRACED.split(',').collect::<Vec<_>>())),
        _ => ("fork,exec,exit", None),
    };
    let (ended, truth) = told(source, 0, &["-e", events, "--env"], &["odd"], "odd")?;
    // Under ptrace no case can trace another, and the generator says so.
    let ended = if source == "ptrace" { ended } else { ended.well()? };
    let skipped = truth.iter().filter_map(|line| match line {
        Line::Skipped { case, why, fault } if !(*fault && source == "ptrace") => Some(format!("{case}: {why}")),
        _ => None,
    });
    let skipped: Vec<_> = skipped.collect();
    match source {
        "ptrace" => exact(&ended, truth, kinds.as_deref(), &[&UNTOLD_BY_PTRACE[..], &ODD_UNDER_PTRACE].concat())?,
        _ => right(source, &ended, truth, kinds.as_deref())?,
    }
    // The table says on which machine a case may be left out.
    if skipped.is_empty() { Ok(()) } else { Err(Trouble::Says(format!("not made: {}", skipped.join("; ")))) }
}

fn failed_execs(source: &str) -> Result {
    let mut missing = Vec::new();
    let mut note = None;
    for case in ["enoent", "enoent-empty", "e2big-argument", "efault-argv", "search-path"] {
        let (ended, truth) = told(source, 0, &["-e", "exec-failed"], &["odd", case], "failed")?;
        if let Some(line) = ended.stderr.lines().find(|line| line.contains("events are missing")) {
            hold(ended.events()?.iter().all(|seen| seen.event == "lost"), || "events came all the same".into())?;
            return Err(Trouble::Says(line.to_owned()));
        }
        let ended = ended.well()?;
        note = ended.stderr.lines().find(|line| line.contains("exec-failed events have")).map(str::to_owned);
        match right(source, &ended, truth, Some(&["exec-failed"])) {
            // A probe's record is no longer than a page.
            Err(Trouble::Says(text)) if note.is_none() && case == "e2big-argument" && text == one(UNOBSERVED) => {}
            Err(Trouble::Says(text)) if TOLD_AS_MISSING.iter().any(|(_, words)| text.contains(words)) => {
                missing.push(format!("{case}: {text}"));
            }
            right => right?,
        }
    }
    missing.splice(0..0, note);
    if missing.is_empty() { Ok(()) } else { Err(Trouble::Says(missing.join("; "))) }
}

/// As in a kernel without kprobes.
fn event_probes(source: &str) -> Result {
    let _hidden = places::Hidden::new(&["kprobe_events"])?;
    storm(source)?;
    failed_execs(source)
}

/// As in a kernel without any probes.
fn user_strings(source: &str) -> Result {
    let _hidden = places::Hidden::new(&["kprobe_events", "dynamic_events"])?;
    storm(source)?;
    let told = failed_execs(source);
    match &told {
        // It reads with a fault, so every path is there.
        Err(Trouble::Says(text)) if text.contains("a longer path is cut") => {
            hold(!text.contains(UNOBSERVED_PATHS), || text.clone())?;
            told
        }
        _ => told,
    }
}

fn one(what: &str) -> String {
    format!("{what}: 1")
}

fn tree(source: &str) -> Result {
    let mut other = Workload::new(&["storm", "--count", "150", "--seed", "99"], "other")?;
    let mut chosen = Workload::new(&["storm", "--count", "150"], "chosen")?;
    let pid = chosen.pid();
    let watch = Watch::start(source, &["-e", "fork,exec,exit", "--tree", &pid.to_string()])?;
    other.go()?;
    let truth = chosen.run()?;
    other.truth()?;
    let ended = watch.stop()?.well()?;
    let mut known: BTreeSet<u32> = lives(&truth).map(|life| life.pid).collect();
    known.insert(pid);
    let mut events = ended.events()?.into_iter().filter(|seen| seen.event != "lost");
    let stranger = events.find(|seen| !seen.pid.is_some_and(|p| known.contains(&p)));
    hold(stranger.is_none(), || format!("a stranger: {stranger:?}"))?;
    right(source, &ended, truth, Some(&KINDS))
}

fn name(source: &str) -> Result {
    const NAME: &str = "ps-tiny";
    let watch = Watch::start(source, &["-e", "exec", "-n", NAME])?;
    let truth = Workload::new(&["storm", "--count", "150"], "name")?.run()?;
    let ended = watch.stop()?.well()?;
    let (lost, events): (Vec<_>, Vec<_>) = ended.events()?.into_iter().partition(|seen| seen.event == "lost");
    let others = events.iter().filter(|seen| seen.name.as_deref() != Some(NAME)).count();
    hold(others == 0, || format!("{others} of {} have another name", events.len()))?;
    let execs = lives(&truth).flat_map(|life| &life.execs);
    let expected = execs.filter(|exec| exec.name.as_ref().is_some_and(|name| name.0 == NAME.as_bytes())).count();
    hold(expected > 0, || format!("the storm has no {NAME}"))?;
    if !lost.is_empty() {
        return told_as_lost(format!("{lost:?}"));
    }
    // If names are looked up late, some come too late.
    let enough = if source == "ebpf" { events.len() == expected } else { events.len() <= expected };
    hold(enough, || format!("{} of {expected} came", events.len()))
}

/// The reader is stopped while more happens than fits into the buffer.
fn loss(source: &str) -> Result {
    let mut workload = Workload::new(&["storm", "--count", "1500"], "loss")?;
    let tree = workload.pid().to_string();
    let mut options = vec!["-e", "fork,exec,exit", "--ring-size", "256KiB", "--strict"];
    if source == "ebpf" {
        options.extend(["--tree", &tree]);
    }
    let watch = Watch::start(source, &options)?;
    watch.signal(libc::SIGSTOP);
    let truth = workload.run()?;
    watch.signal(libc::SIGCONT);
    let ended = watch.stop()?;
    hold(ended.code == Some(3), || format!("status {:?}: {}", ended.code, ended.stderr))?;
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let mut lost = 0;
    for seen in ended.events()? {
        match seen.lost {
            Some(kinds) => kinds.into_iter().for_each(|(kind, count)| *told.entry(kind).or_default() += count),
            None => *told.entry(seen.event.clone()).or_default() += 1,
        }
        if seen.event == "lost" {
            lost += seen.count.unwrap_or_default();
        }
    }
    hold(lost > 500, || format!("only {lost} were lost"))?;
    // The spawners do not exec, and the generator itself ends.
    let execs = lives(&truth).map(|life| life.execs.len() as u64).sum();
    let forks = lives(&truth).count() as u64;
    let right = if source == "ebpf" {
        let expected = [("fork", forks), ("exec", execs), ("exit", forks + 1)];
        told == expected.map(|(kind, count)| (kind.to_owned(), count)).into()
    } else {
        told.values().sum::<u64>() >= 2 * forks + execs
    };
    hold(right, || format!("{told:?}, with {forks} forks and {execs} execs, {lost} lost"))
}

fn status(source: &str) -> Result {
    let watch = Watch::start(source, &["--count", "3"])?;
    Workload::new(&["storm", "--count", "10"], "status")?.run()?;
    let ended = watch.end()?.well()?;
    let events = ended.events()?.len();
    hold(events == 3, || format!("{events} events, not 3"))?;
    for (code, options) in [(2, ["--duration", "soon"]), (1, ["-o", "/dev/full"])] {
        let mut command = Command::new("/bin/procscope");
        command.args(["--source", source, "-e", "existing,exec", "--duration", "5s"].iter().filter(|word| {
            // An option may be given once.
            code != 2 || !["--duration", "5s"].contains(*word)
        }));
        let status = command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        hold(status.code() == Some(code), || format!("{options:?}: {status}, not {code}"))?;
    }
    Ok(())
}

/// Every field exact; if procscope reports a loss, no more missing than that.
fn exact(ended: &Ended, truth: Vec<Line>, kinds: Option<&[&str]>, untold: &[&str]) -> Result {
    let mut comparison = Comparison::new(truth.clone());
    if let Some(kinds) = kinds {
        comparison = comparison.only(kinds);
    }
    comparison.feed_all(ended.lines()?)?;
    let report = comparison.finish();
    if !report.lost.is_empty() {
        counted(ended, &truth)?;
        return told_as_lost(format!("{:?}", report.lost));
    }
    let differs = |field: &&str| report.wrong(field) > 0 && !is_luck(field) && !untold.contains(field);
    let fields: Vec<_> = report.fields.keys().copied().filter(differs).collect();
    if fields == [UNREADABLE_ARGV] {
        return Err(Trouble::Says(format!("{UNREADABLE}: {}", report.wrong(UNREADABLE_ARGV))));
    }
    if fields == [UNKNOWN_OLD_NAME] {
        return told_as_lost(format!("{} old names", report.wrong(UNKNOWN_OLD_NAME)));
    }
    hold(fields.is_empty(), || {
        let told = |field: &&str| {
            let tally = &report.fields[field];
            format!("{field}: {} of {} differ: {}", tally.wrong, tally.checked, tally.examples.join("; "))
        };
        fields.iter().map(told).collect::<Vec<_>>().join("\n")
    })
}

/// Every field is as it really was or later became, and no more events are missing than records are
/// reported as lost. Returns how many.
fn recorded(ended: &Ended, truth: Vec<Line>, kinds: Option<&[&str]>) -> Result<(Report, u64)> {
    let mut comparison = Comparison::new(truth).late().only(kinds.unwrap_or(&KINDS));
    comparison.feed_all(ended.lines()?)?;
    let report = comparison.finish();
    let lost = ended.events()?.iter().filter(|seen| seen.event == "lost").filter_map(|seen| seen.count).sum();
    let differing: Vec<_> =
        report.fields.iter().filter(|(_, tally)| tally.wrong > 0).map(|(field, _)| *field).collect();
    let (missing, wrong): (Vec<_>, Vec<_>) = differing.into_iter().partition(|field| field.ends_with(".delivered"));
    let told_as_missing = |field: &&str| TOLD_AS_MISSING.iter().any(|(known, _)| known == field);
    hold(wrong.iter().all(|field| is_luck(field) || told_as_missing(field)), || report.to_string())?;
    let told: Vec<_> = TOLD_AS_MISSING
        .iter()
        .filter(|(field, _)| wrong.contains(field))
        .map(|(field, words)| format!("{words}: {}", report.wrong(field)))
        .collect();
    if !told.is_empty() {
        return Err(Trouble::Says(told.join(", ")));
    }
    let missing: u64 = missing.iter().map(|field| report.wrong(field)).sum();
    hold(missing <= lost, || format!("{lost} records are reported as lost: {report}"))?;
    Ok((report, lost))
}

fn told_as_lost(what: String) -> Result {
    Err(Trouble::Says(format!("reported as lost: {what}")))
}

/// Expected, received and lost events.
struct Tally {
    expected: Counts,
    seen: Counts,
    lost: BTreeMap<String, u64>,
    lost_in_all: u64,
}

/// Each process at most as often as it existed, and no arguments that it did not have.
fn tally(ended: &Ended, truth: &[Line]) -> Result<Tally> {
    let mut expected = Counts::new();
    let mut argv: BTreeMap<u32, Vec<Vec<Vec<u8>>>> = BTreeMap::new();
    for life in lives(truth) {
        let counts = [life.fork.is_some().into(), life.execs.len() as u64, life.exit.is_some().into()];
        KINDS.into_iter().zip(counts).for_each(|(kind, count)| *expected.entry((kind, life.pid)).or_default() += count);
        let lists = life.execs.iter().map(|exec| exec.argv.iter().map(|arg| arg.0.clone()).collect());
        argv.entry(life.pid).or_default().extend(lists);
    }
    let mut tally = Tally { expected, seen: Counts::new(), lost: BTreeMap::new(), lost_in_all: 0 };
    for seen in ended.events()? {
        seen.lost.iter().flatten().for_each(|(kind, count)| *tally.lost.entry(kind.clone()).or_default() += count);
        if seen.event == "lost" {
            tally.lost_in_all += seen.count.unwrap_or_default();
        }
        let Some((kind, pid)) = KINDS.into_iter().find(|kind| *kind == seen.event).zip(seen.pid) else { continue };
        let Some(lists) = argv.get(&pid) else { continue };
        *tally.seen.entry((kind, pid)).or_default() += 1;
        if kind != "exec" || seen.flaws.contains_key("argv") {
            continue;
        }
        if let Some(arguments) = seen.arguments() {
            hold(lists.contains(&arguments), || format!("pid {pid} never had {:?}", seen.argv))?;
        }
    }
    for (key, count) in &tally.expected {
        let seen = tally.seen.get(key).copied().unwrap_or_default();
        hold(seen <= *count, || format!("{} of pid {} {seen} times, not {count}", key.0, key.1))?;
    }
    Ok(tally)
}

/// Each process as often as it existed, except lost events; and no arguments that it did not have.
fn counted(ended: &Ended, truth: &[Line]) -> Result {
    let tally = tally(ended, truth)?;
    for kind in KINDS {
        let of = |counts: &Counts| counts.iter().filter(|((k, _), _)| *k == kind).map(|(_, count)| count).sum::<u64>();
        let missing = of(&tally.expected) - of(&tally.seen);
        let lost = tally.lost.get(kind).copied().unwrap_or_default();
        hold(missing <= lost, || format!("{missing} {kind} events are missing, {lost} are reported as lost"))?;
    }
    Ok(())
}

/// An event of each process, or its pid counted; and nothing invented.
fn sampled(ended: &Ended, truth: &[Line]) -> Result {
    let tally = tally(ended, truth)?;
    let pids = |counts: &Counts| counts.keys().map(|(_, pid)| *pid).collect::<BTreeSet<_>>().len() as u64;
    let (made, seen) = (pids(&tally.expected), pids(&tally.seen));
    hold(made - seen <= tally.lost_in_all, || {
        format!("{seen} of {made} processes were seen, {} are reported as lost", tally.lost_in_all)
    })?;
    if seen == 0 { told_as_lost(format!("all of {made} processes")) } else { Ok(()) }
}
