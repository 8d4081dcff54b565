//! The result of a storm, compared with the truth and with other mechanisms.

use procscope::{Capabilities, Field};

use super::judge::{Check, Claim, Found};

/// The size of a storm, and how many events of each kind came or were lost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Storm {
    pub(super) made: u64,
    pub(super) forks: u64,
    pub(super) execs: u64,
    pub(super) exits: u64,
    /// Execs with exactly their arguments, and with others.
    pub(super) exact: u64,
    pub(super) wrong: u64,
    pub(super) lost: u64,
    /// Losses may be of other processes too, or of other kinds.
    pub(super) lost_elsewhere: bool,
    /// The reports of other mechanisms on the same storm.
    pub(super) agreements: Vec<Agreement>,
}

/// Another mechanism's reports on the same time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Agreement {
    pub(super) with: &'static str,
    pub(super) compared: u64,
    pub(super) agreed: u64,
    /// Events that only this one reported, and those that only the other one reported, with no loss
    /// that explains it.
    pub(super) alone: u64,
    pub(super) missing: u64,
    /// Events that are missing, and were counted as lost.
    pub(super) explained: u64,
    /// Values that differ.
    pub(super) differing: u64,
    /// Both count their losses: nothing may be missing.
    pub(super) claimed: bool,
}

/// Each check; losses are taken into account.
pub(super) fn judge_storm(storm: &Storm, capabilities: &Capabilities) -> Vec<Check> {
    let came = storm.forks + storm.execs + storm.exits;
    let (all, accounted) = (3 * storm.made, came + storm.lost);
    let too_many = [storm.forks, storm.execs, storm.exits].into_iter().any(|count| count > storm.made);
    let found = if too_many || (accounted > all && !storm.lost_elsewhere) {
        Found::Wrong
    } else if accounted < all {
        Found::Missing
    } else {
        Found::Ok
    };
    let whose = if storm.lost_elsewhere { "of anybody's, " } else { "" };
    let detail = format!(
        "{} processes: {} forks, {} execs, {} exits came; {whose}{} events were lost and counted",
        storm.made, storm.forks, storm.execs, storm.exits, storm.lost
    );
    let claim = Claim::of_field(capabilities, Field::Argv);
    let argv = match storm.exact {
        _ if storm.wrong > 0 => Found::Wrong,
        exact if exact >= storm.execs => Found::Ok,
        // A life this short may be all or nothing.
        _ if claim == Claim::Late => Found::Late,
        _ => Found::Missing,
    };
    let wrong = if storm.wrong > 0 { format!(", {} wrong", storm.wrong) } else { String::new() };
    let arguments = format!("exact of {} of {} execs{wrong}", storm.exact, storm.execs);
    let mut checks = vec![
        Check::new("storm", Claim::of_loss(capabilities), (found, detail)),
        Check::new("storm-argv", claim, (argv, arguments)),
    ];
    checks.extend(storm.agreements.iter().map(judge_agreement));
    checks
}

fn judge_agreement(it: &Agreement) -> Check {
    let found = if it.differing > 0 {
        Found::Wrong
    } else if it.missing > 0 {
        Found::Missing
    } else {
        Found::Ok
    };
    let mut detail = format!("with {} on {} of {} events", it.with, it.agreed, it.compared);
    let others = [
        (it.missing, "only it reported"),
        (it.alone, "it did not report"),
        (it.explained, "either counted as lost"),
        (it.differing, "values differ:"),
    ];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        detail += &format!("; {what} {count}");
    }
    let claim = if it.claimed { Claim::Exact } else { Claim::No };
    Check::new("agreement", claim, (found, detail))
}

#[cfg(test)]
mod tests {
    use procscope::{SourceId, sources};

    use super::*;

    /// Results of eBPF, which claims everything.
    fn all() -> Capabilities {
        sources().into_iter().find(|info| info.id == SourceId::Ebpf).unwrap().capabilities
    }

    #[test]
    fn storms_are_counted() {
        let whole = Storm { made: 100, forks: 100, execs: 100, exits: 100, exact: 100, ..Storm::default() };
        let checks = |storm: Storm| judge_storm(&storm, &all()).iter().map(|it| it.found).collect::<Vec<_>>();
        let found = |storm: Storm| checks(storm)[0];
        let whole = || whole.clone();
        assert_eq!(checks(whole()), [Found::Ok, Found::Ok]);
        assert_eq!(found(Storm { execs: 90, lost: 10, ..whole() }), Found::Ok);
        assert_eq!(found(Storm { execs: 90, lost: 9, ..whole() }), Found::Missing);
        assert_eq!(found(Storm { lost: 1, ..whole() }), Found::Wrong);
        assert_eq!(found(Storm { lost: 1, lost_elsewhere: true, ..whole() }), Found::Ok);
        assert_eq!(found(Storm { exits: 101, forks: 99, lost_elsewhere: true, ..whole() }), Found::Wrong);
        assert_eq!(checks(Storm { exact: 99, ..whole() })[1], Found::Missing);
        assert_eq!(checks(Storm { exact: 99, wrong: 1, ..whole() })[1], Found::Wrong);
        let mut late = all();
        (late.exact, late.late) = (&[], &[Field::Argv]);
        assert!(judge_storm(&Storm { exact: 3, ..whole() }, &late)[1].holds());
    }

    #[test]
    fn who_is_alone_with_an_event_is_told() {
        let whole = Agreement {
            with: "ebpf",
            compared: 300,
            agreed: 300,
            alone: 0,
            missing: 0,
            explained: 0,
            differing: 0,
            claimed: true,
        };
        let check = |it: &Agreement| {
            let check = judge_agreement(it);
            (check.found, check.holds(), check.detail)
        };
        assert_eq!(check(&whole), (Found::Ok, true, "with ebpf on 300 of 300 events".to_owned()));
        let holed = Agreement { agreed: 297, missing: 2, explained: 1, ..whole.clone() };
        let detail = "with ebpf on 297 of 300 events; only it reported 2; either counted as lost 1";
        assert_eq!(check(&holed), (Found::Missing, false, detail.to_owned()));
        assert!(check(&Agreement { alone: 2, ..whole.clone() }).1);
        assert!(!check(&Agreement { differing: 2, ..whole.clone() }).1);
        assert!(check(&Agreement { missing: 2, claimed: false, ..whole }).1);
    }
}
