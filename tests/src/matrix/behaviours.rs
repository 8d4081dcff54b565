//! What is tried, for each source the same.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use super::watch::{Counts, Ended, Trouble, Watch, Workload, hold, lives, wrong};
use crate::compare::Comparison;
use crate::truth::Line;

type Result<T = ()> = std::result::Result<T, Trouble>;
type Behaviour = fn(&str) -> Result;

const KINDS: [&str; 3] = ["fork", "exec", "exit"];

/// What an emulator makes a matter of luck: an instruction may last for milliseconds, and interrupts strike whom they will. So
/// two clocks cannot be read at one moment, nor their distance.
fn is_luck(field: &str) -> bool {
    matches!(field, "exit.cpu" | "exit.user_ns") || field.ends_with(".time")
}

/// Those of one named source, once it starts.
const BEHAVIOURS: [(&str, Behaviour); 7] = [
    ("storm", storm),
    ("odd", odd),
    ("failed-execs", failed_execs),
    ("tree", tree),
    ("name", name),
    ("loss", loss),
    ("status", status),
];

/// Everything, one after the other.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str, Result)> {
    let named = ["ebpf", "process-connector"].into_iter().flat_map(|source| {
        let started = start(source);
        let rest: &[(&str, Behaviour)] = if started.is_ok() { &BEHAVIOURS } else { &[] };
        let first = std::iter::once((source, "start", started));
        let last = std::iter::once_with(move || (source, "unprivileged", unprivileged(source)));
        first.chain(rest.iter().map(move |(what, run)| (source, *what, run(source)))).chain(last)
    });
    let auto = [("start", start_auto as fn() -> Result), ("unprivileged", unprivileged_auto)];
    named.chain(auto.into_iter().map(|(what, run)| ("auto", what, run())))
}

fn start(source: &str) -> Result {
    let ended = Watch::start(source, &["--duration", "300ms"])?.end()?.well()?;
    hold(ended.stderr.contains(&format!("({source})")), || ended.stderr.clone())
}

fn unprivileged(source: &str) -> Result {
    Watch::unprivileged(source, &["--duration", "300ms"])?.end()?.well().map(drop)
}

fn start_auto() -> Result {
    chosen(Watch::start("auto", &["--duration", "300ms"])?)
}

fn unprivileged_auto() -> Result {
    chosen(Watch::unprivileged("auto", &["--duration", "300ms"])?)
}

/// Says what was chosen: the line that tells why it is not the best, or the source.
fn chosen(watch: Watch) -> Result {
    let ended = watch.end()?.well()?;
    let why = ended.stderr.lines().find(|line| line.contains(" because of "));
    let watching = ended.stderr.lines().find(|line| line.starts_with("procscope: watching"));
    Err(Trouble::Says(why.or(watching).unwrap_or_default().to_owned()))
}

fn storm(source: &str) -> Result {
    let watch = Watch::start(source, &["-e", "fork,exec,exit"])?;
    let truth = Workload::new(&["storm", "--count", "400"], "storm")?.run()?;
    let ended = watch.stop()?.well()?;
    match source {
        "ebpf" => exact(&ended, truth, Some(&KINDS)),
        _ => counted(&ended, &truth),
    }
}

fn odd(source: &str) -> Result {
    let events = if source == "ebpf" { "all" } else { "fork,exec,exit" };
    let watch = Watch::start(source, &["-e", events, "--env"])?;
    let truth = Workload::new(&["odd"], "odd")?.run()?;
    let ended = watch.stop()?.well()?;
    let skipped = truth.iter().filter_map(|line| match line {
        Line::Skipped { case, why, .. } => Some(format!("{case}: {why}")),
        _ => None,
    });
    let skipped: Vec<_> = skipped.collect();
    match source {
        "ebpf" => exact(&ended, truth, None)?,
        _ => counted(&ended, &truth)?,
    }
    // The table says on which kernel a case may be left out.
    if skipped.is_empty() { Ok(()) } else { Err(Trouble::Says(format!("not made: {}", skipped.join("; ")))) }
}

fn failed_execs(source: &str) -> Result {
    for case in ["enoent", "enoent-empty", "e2big-argument", "efault-argv", "search-path"] {
        let watch = Watch::start(source, &["-e", "exec-failed"])?;
        let truth = Workload::new(&["odd", case], "failed")?.run()?;
        let ended = watch.stop()?.well()?;
        if let Some(line) = ended.stderr.lines().find(|line| line.contains("events are missing")) {
            hold(ended.events()?.is_empty(), || "events came all the same".into())?;
            return Err(Trouble::Says(line.to_owned()));
        }
        exact(&ended, truth, Some(&["exec-failed"]))?;
    }
    Ok(())
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
    match source {
        "ebpf" => exact(&ended, truth, Some(&KINDS)),
        _ => counted(&ended, &truth),
    }
}

fn name(source: &str) -> Result {
    const NAME: &str = "ps-tiny";
    let watch = Watch::start(source, &["-e", "exec", "-n", NAME])?;
    let truth = Workload::new(&["storm", "--count", "150"], "name")?.run()?;
    let ended = watch.stop()?.well()?;
    let (lost, events): (Vec<_>, Vec<_>) = ended.events()?.into_iter().partition(|seen| seen.event == "lost");
    let others = events.iter().filter(|seen| seen.name.as_deref() != Some(NAME)).count();
    hold(others == 0, || format!("{others} of {} bear another name", events.len()))?;
    let execs = lives(&truth).flat_map(|life| &life.execs);
    let expected = execs.filter(|exec| exec.name.as_ref().is_some_and(|name| name.0 == NAME.as_bytes())).count();
    hold(expected > 0, || format!("the storm has no {NAME}"))?;
    if !lost.is_empty() {
        return told_as_lost(format!("{lost:?}"));
    }
    // Where names are looked up late, some come too late.
    let enough = if source == "ebpf" { events.len() == expected } else { events.len() <= expected };
    hold(enough, || format!("{} of {expected} came", events.len()))
}

/// The reader stands still while more happens than the buffer holds.
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

/// Every field as it really was; where procscope tells of a loss, no more missing than that.
fn exact(ended: &Ended, truth: Vec<Line>, kinds: Option<&[&str]>) -> Result {
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
    let differs = |field: &&str| report.wrong(field) > 0 && !is_luck(field);
    let fields: Vec<_> = report.fields.keys().copied().filter(differs).collect();
    hold(fields.is_empty(), || {
        let told = |field: &&str| {
            let tally = &report.fields[field];
            format!("{field}: {} of {} differ: {}", tally.wrong, tally.checked, tally.examples.join("; "))
        };
        fields.iter().map(told).collect::<Vec<_>>().join("\n")
    })
}

fn told_as_lost(what: String) -> Result {
    Err(Trouble::Says(format!("told as lost: {what}")))
}

/// Each process as often as it was there, less what was lost; and no arguments that it did not have.
fn counted(ended: &Ended, truth: &[Line]) -> Result {
    let mut expected = Counts::new();
    let mut argv: BTreeMap<u32, Vec<Vec<Vec<u8>>>> = BTreeMap::new();
    for life in lives(truth) {
        let counts = [life.fork.is_some().into(), life.execs.len() as u64, life.exit.is_some().into()];
        KINDS.into_iter().zip(counts).for_each(|(kind, count)| *expected.entry((kind, life.pid)).or_default() += count);
        let lists = life.execs.iter().map(|exec| exec.argv.iter().map(|arg| arg.0.clone()).collect());
        argv.entry(life.pid).or_default().extend(lists);
    }
    let (mut seen_counts, mut lost) = (Counts::new(), BTreeMap::<String, u64>::new());
    for seen in ended.events()? {
        seen.lost.iter().flatten().for_each(|(kind, count)| *lost.entry(kind.clone()).or_default() += count);
        let Some((kind, pid)) = KINDS.into_iter().find(|kind| *kind == seen.event).zip(seen.pid) else { continue };
        let Some(lists) = argv.get(&pid) else { continue };
        *seen_counts.entry((kind, pid)).or_default() += 1;
        if kind != "exec" || seen.flaws.contains_key("argv") {
            continue;
        }
        if let Some(arguments) = seen.arguments() {
            hold(lists.contains(&arguments), || format!("pid {pid} never had {:?}", seen.argv))?;
        }
    }
    for kind in KINDS {
        let mut missing = 0;
        for (key, count) in expected.iter().filter(|((k, _), _)| *k == kind) {
            let seen = seen_counts.get(key).copied().unwrap_or_default();
            hold(seen <= *count, || format!("{kind} of pid {} {seen} times, not {count}", key.1))?;
            missing += count - seen;
        }
        let lost = lost.get(kind).copied().unwrap_or_default();
        if missing > lost {
            return Err(wrong(format!("{missing} {kind} events are missing, {lost} are told as lost")));
        }
    }
    Ok(())
}
