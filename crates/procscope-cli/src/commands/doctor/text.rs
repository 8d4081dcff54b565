//! The doctor's report for people.

use std::fmt::Write;

use super::facts::Linux;
use super::judge::{Check, Claim};
use super::{Report, Trial, Trouble, Works};
use crate::render::wrap::wrap;
use procscope_format::escape;

/// The report, at most 80 columns wide.
pub(super) fn text(report: &Report) -> String {
    let facts = &report.facts;
    let mut text = format!("procscope {} on {} {} {}\n", facts.procscope, facts.os, facts.kernel, facts.arch);
    if let Some(linux) = &facts.linux {
        push_linux(&mut text, linux);
    }
    for trial in &report.trials {
        push_trial(&mut text, trial);
    }
    let last = match report.auto {
        Some(auto) => format!("procscope picks {auto}."),
        None if report.trials.iter().any(|trial| trial.works >= Works::Partly) => {
            "Only procscope run can use what works here.".to_owned()
        }
        None => "None of these works here.".to_owned(),
    };
    let _ = writeln!(text, "\n{last}");
    escape_lines(&text)
}

fn escape_lines(text: &str) -> String {
    text.lines().map(|line| escape::visible(line).into_owned() + "\n").collect()
}

fn push_linux(text: &mut String, linux: &Linux) {
    let capabilities =
        if linux.capabilities.is_empty() { "none that helps".to_owned() } else { linux.capabilities.join(" ") };
    let namespaces = match (linux.initial_pid_namespace, linux.initial_user_namespace) {
        (Some(true), Some(true)) => "the initial ones",
        (Some(false), Some(true)) => "another pid namespace",
        (Some(true), Some(false)) => "another user namespace",
        (Some(false), Some(false)) => "another pid and another user namespace",
        _ => "unknown: /proc does not show it",
    };
    let rows = [
        ("user", format!("uid {}", linux.uid)),
        (
            "capabilities",
            if linux.initial_user_namespace == Some(false) {
                format!("{capabilities}, only in this user namespace")
            } else {
                capabilities
            },
        ),
        ("namespaces", format!("{namespaces}{}", if linux.container { ", in a container" } else { "" })),
        ("kernel types", if linux.btf { "/sys/kernel/btf/vmlinux" } else { "none" }.to_owned()),
        ("lockdown", linux.lockdown.clone().unwrap_or_else(|| "none".to_owned())),
        ("/proc", if linux.proc { "mounted" } else { "not mounted" }.to_owned()),
        ("tracefs", if linux.tracefs == "unmounted" { "not mounted" } else { linux.tracefs }.to_owned()),
    ];
    for (name, value) in rows {
        text.push_str(&wrap(&format!("  {name:<13} "), 16, &value));
    }
}

fn push_trial(text: &mut String, trial: &Trial) {
    let verdict = match trial.works {
        Works::Yes => "works",
        Works::Partly => "works in part",
        Works::Unknown => "could not be tried",
        Works::No => "does not work",
    };
    let _ = writeln!(text, "\n{}: {verdict}", trial.id);
    for check in &trial.checks {
        push_check(text, check);
    }
    for Trouble { what, cause, help } in &trial.troubles {
        text.push('\n');
        for (title, value) in [("what:", what), ("cause:", cause), ("help:", help)] {
            text.push_str(&wrap(&format!("  {title:<6} "), 9, value));
        }
    }
}

fn push_check(text: &mut String, check: &Check) {
    let claim = match check.claim {
        Claim::No => "not reported by this mechanism",
        Claim::Late if check.holds() => "looked up after the event, as claimed",
        _ => "",
    };
    let details = [claim, &check.detail].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
    let found = if check.claim == Claim::No && check.holds() { "-" } else { check.found.name() };
    text.push_str(&wrap(&format!("  {found:<8} {:<12} ", check.name), 24, &details));
}
