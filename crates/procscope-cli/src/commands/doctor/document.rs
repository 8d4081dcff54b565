//! The doctor's report for programs.

use serde::Serialize;

use super::facts::Facts;
use super::judge::Check;
use super::storm::{Agreement, Storm};
use super::{Report, Trial, Trouble, Works};

#[derive(Serialize)]
pub(super) struct JsonReport<'a> {
    v: u32,
    #[serde(flatten)]
    facts: &'a Facts,
    auto: Option<&'a str>,
    works: &'a str,
    sources: Vec<JsonTrial<'a>>,
}

#[derive(Serialize)]
struct JsonTrial<'a> {
    id: &'a str,
    works: &'a str,
    checks: Vec<JsonCheck<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storm: Option<JsonStorm<'a>>,
    troubles: &'a [Trouble],
}

#[derive(Serialize)]
struct JsonCheck<'a> {
    name: &'a str,
    claimed: &'a str,
    found: &'a str,
    holds: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

#[derive(Serialize)]
struct JsonStorm<'a> {
    made: u64,
    fork: u64,
    exec: u64,
    exit: u64,
    argv_exact: u64,
    argv_wrong: u64,
    lost: u64,
    agreements: Vec<JsonAgreement<'a>>,
}

#[derive(Serialize)]
struct JsonAgreement<'a> {
    with: &'a str,
    compared: u64,
    agreed: u64,
    alone: u64,
    missing: u64,
    explained: u64,
    differing: u64,
}

impl<'a> JsonReport<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let check = |check: &'a Check| JsonCheck {
            name: check.name,
            claimed: check.claim.name(),
            found: check.found.name(),
            holds: check.holds(),
            detail: &check.detail,
        };
        let agreement = |it: &'a Agreement| JsonAgreement {
            with: it.with,
            compared: it.compared,
            agreed: it.agreed,
            alone: it.alone,
            missing: it.missing,
            explained: it.explained,
            differing: it.differing,
        };
        let storm = |it: &'a Storm| JsonStorm {
            made: it.made,
            fork: it.forks,
            exec: it.execs,
            exit: it.exits,
            argv_exact: it.exact,
            argv_wrong: it.wrong,
            lost: it.lost,
            agreements: it.agreements.iter().map(agreement).collect(),
        };
        let trial = |trial: &'a Trial| JsonTrial {
            id: trial.id,
            works: trial.works.name(),
            checks: trial.checks.iter().map(check).collect(),
            storm: trial.storm.as_ref().map(storm),
            troubles: &trial.troubles,
        };
        Self {
            v: 1,
            facts: &report.facts,
            auto: report.auto,
            works: report.works().unwrap_or(Works::No).name(),
            sources: report.trials.iter().map(trial).collect(),
        }
    }
}
