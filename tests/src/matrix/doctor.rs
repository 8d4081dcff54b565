//! doctor's report on a source, compared with the source's behaviour.

use std::process::Command;

use serde_json::Value;

use super::watch::{NOBODY, Trouble, Watch, Workload, hold, lives, run_command, said, wrong};
use crate::seen::Seen;
use crate::truth::Line;

type Result<T = ()> = std::result::Result<T, Trouble>;

/// For one source, as root and as nobody.
pub(super) fn agrees(source: &str) -> Result {
    for uid in [0, NOBODY] {
        let report = report(uid)?;
        let sources = report["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
        let told = sources.iter().find(|told| told["id"] == source).ok_or_else(|| wrong(format!("{report}")))?;
        let works = text(told, "works")?;
        match begin(source, uid) {
            Ok((events, truth)) => {
                hold(matches!(works, "yes" | "partly"), || format!("it works for uid {uid}, and doctor says: {told}"))?;
                match source {
                    // Its reports on other processes than doctor's do not matter here.
                    "proc-poll" => hold(!events.is_empty(), || "it reports nothing".into())?,
                    _ => compare(told, &events, &truth)?,
                }
            }
            Err(Trouble::Says(why)) => {
                let trouble = &told["troubles"][0];
                let words = format!("{}; {}", text(trouble, "cause")?, text(trouble, "help")?);
                hold(works == "no" && words == why, || format!("for uid {uid} it says: {why}; and doctor: {told}"))?;
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(())
}

/// For the default source.
pub(super) fn agrees_with_auto() -> Result {
    for uid in [0, NOBODY] {
        let report = report(uid)?;
        let taken = match Watch::spawn("auto", uid, &["--duration", "300ms"]) {
            Ok(watch) => {
                let ended = watch.end()?.well()?;
                Some(said(&ended.stderr).unwrap_or_default())
            }
            Err(Trouble::Says(_)) => None,
            Err(trouble) => return Err(trouble),
        };
        hold(report["auto"].as_str() == taken.as_deref(), || format!("for uid {uid} {taken:?}; and doctor: {report}"))?;
    }
    Ok(())
}

fn report(uid: u32) -> Result<Value> {
    let mut command = Command::new("/bin/procscope");
    let output = super::watch::as_user(&mut command, uid).args(["doctor", "--format", "json"]).output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let best = match text(&report, "works")? {
        "yes" => 0,
        "partly" => 3,
        _ => 1,
    };
    hold(output.status.code() == Some(best) && output.stderr.is_empty(), || format!("{output:?}"))?;
    Ok(report)
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().ok_or_else(|| wrong(format!("no {key}: {value}")))
}

/// Lets the source report a process that is held still, and an exec that is refused.
fn begin(source: &str, uid: u32) -> Result<(Vec<Seen>, Vec<Line>)> {
    const EVENTS: [&str; 2] = ["-e", "fork,exec,exec-failed,exit"];
    let mut events = Vec::new();
    let mut truth = Vec::new();
    for words in [["odd", "fork"], ["odd", "enoent"]] {
        let ended = if source == "ptrace" {
            let (ended, lines) = run_command(source, uid, &EVENTS, &words, "doctor")?;
            truth.extend(lines);
            ended
        } else {
            let watch = Watch::spawn(source, uid, &EVENTS)?;
            truth.extend(Workload::new(&words, "doctor")?.run()?);
            watch.stop()?
        };
        events.extend(ended.well()?.events()?);
    }
    Ok((events, truth))
}

/// Compares each of doctor's findings with the events of known processes.
fn compare(told: &Value, events: &[Seen], truth: &[Line]) -> Result {
    let checks = told["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |kind: &str| -> Vec<&Seen> {
        let known = |seen: &&Seen| seen.event == kind && lives(truth).any(|life| seen.pid == Some(life.pid));
        events.iter().filter(known).collect()
    };
    let came = |kind: &str| if of(kind).is_empty() { "missing" } else { "ok" };
    let execs = of("exec");
    let argv = if execs.iter().any(|seen| seen.arguments().is_some() && seen.flaws.contains_key("argv")) {
        "late"
    } else if execs.iter().any(|seen| seen.arguments().is_some()) {
        "ok"
    } else {
        "missing"
    };
    let ends = of("exit");
    let status = match ends.iter().find(|seen| seen.exit_code.is_some()) {
        Some(seen) if seen.flaws.contains_key("status") => "late",
        Some(_) => "ok",
        None => "missing",
    };
    for (name, found) in [
        ("fork", came("fork")),
        ("exec", came("exec")),
        ("exit", came("exit")),
        ("exec-failed", came("exec-failed")),
        ("argv", argv),
        ("status", status),
    ] {
        let check =
            checks.iter().find(|check| check["name"] == name).ok_or_else(|| wrong(format!("{name}: {told}")))?;
        // A value that may come late may also come in time.
        let either =
            check["claimed"] == "late" && found != "missing" && (check["found"] == "ok" || check["found"] == "late");
        hold(check["found"] == found || either, || format!("{name} is {found}, and doctor says: {check}"))?;
    }
    Ok(())
}
