//! The request to a source that makes a filter come out right, and cheaply.

use std::fmt;

use crate::{Demand, EnvWanted, EventSet, Filter, Kind, SourceId, Want};

/// The choices that a source can make itself: how many values of each kind at most, 0 for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Pushdown {
    /// It sends only the wanted kinds of event.
    pub(crate) events: bool,
    pub(crate) pids: usize,
    pub(crate) uids: usize,
    pub(crate) names: usize,
    /// Longer names are cut before they are compared.
    pub(crate) name_bytes: usize,
}

/// The decider of a filter's term.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DecidedBy {
    /// The kernel, before anything is sent.
    Kernel,
    /// The monitor, when it has the event.
    Monitor,
}

/// One term of a filter, and its decider.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ExplainedTerm {
    /// The term in its normal form.
    pub text: String,
    /// Its decider.
    pub by: DecidedBy,
    /// The reason, if there is one.
    pub note: Option<String>,
}

/// What a filter makes a source do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The mechanism; the best one if none was named.
    pub source: SourceId,
    /// The kinds of event that can come.
    pub events: EventSet,
    /// Kinds that are read for the filter and not shown.
    pub also: EventSet,
    /// The filter's terms.
    pub terms: Vec<ExplainedTerm>,
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "kernel",
            Self::Monitor => "monitor",
        })
    }
}

/// The request to a source.
pub(crate) struct Plan {
    pub(crate) want: Want,
    pub(crate) explanation: Explanation,
}

/// The kinds of event that this system has.
const HERE: EventSet = if cfg!(target_os = "linux") { EventSet::LINUX } else { EventSet::ALL };

/// Every kind means every kind that this system has.
pub(crate) fn of_this_system(mut want: Want) -> Want {
    want.events = if want.events == EventSet::ALL { HERE } else { want.events };
    want
}

/// If a filter reads the environment, the source reads it, too.
pub(crate) fn with_environment(mut want: Want) -> Want {
    let Some(filter) = &want.filter else { return want };
    let variables: Vec<_> = filter.variables().into_iter().map(|name| name.as_bytes().to_vec()).collect();
    want.env = match want.env {
        _ if filter.reads_environment() => EnvWanted::All,
        EnvWanted::All => EnvWanted::All,
        EnvWanted::No if variables.is_empty() => EnvWanted::No,
        EnvWanted::No => EnvWanted::Named(variables),
        EnvWanted::Named(mut names) => {
            names.extend(variables);
            EnvWanted::Named(names)
        }
    };
    want
}

/// Works out the request to a source. `uid_of` finds a user by name, if the name is unique both
/// ways.
pub(crate) fn plan(want: &Want, source: SourceId, can: &Pushdown, uid_of: impl Fn(&str) -> Option<u32>) -> Plan {
    let mut asked = want.clone();
    let mut explanation = Explanation { source, events: want.events, also: EventSet::NONE, terms: Vec::new() };
    if want.launch.as_ref().is_some_and(|launch| launch.wait_all) {
        asked.needs = asked.needs.with(Kind::Fork).with(Kind::Exit);
    }
    if let Some(filter) = &want.filter {
        explanation.events = want.events.intersection(filter.events());
    }
    let shows_images = shows_images_of_others(explanation.events);
    let needs_images = shows_images && want.filter.as_ref().is_some_and(Filter::reads_image);
    if can.events {
        asked.events = explanation.events;
    }
    // What these events show of a process comes from its last exec, or its creator's.
    if needs_images || shows_images && can.events {
        asked.events = asked.events.with(Kind::Exec).with(Kind::Fork);
    }
    if want.filter.as_ref().is_some_and(Filter::reads_ancestry) {
        asked.needs = asked.needs.with(Kind::Fork).with(Kind::Exec).with(Kind::Comm).with(Kind::Exit);
    }
    let read = asked.events.union(asked.needs);
    explanation.also =
        read.iter().filter(|&kind| !explanation.events.contains(kind)).fold(EventSet::NONE, EventSet::with);

    let Some(filter) = &want.filter else { return Plan { want: asked, explanation } };
    for term in filter.terms() {
        let (by, note) = if needs_images && !matches!(term.demand(), None | Some(Demand::Events(_))) {
            let note = "decided here, because it would exclude events that show what processes run";
            (DecidedBy::Monitor, Some(note.to_owned()))
        } else {
            push(&mut asked, term.demand(), can, &uid_of)
        };
        let kinds = term.events();
        let note = note.or_else(|| {
            let narrows = by == DecidedBy::Monitor && can.events && want.events.intersection(kinds) != want.events;
            narrows.then(|| format!("the kernel sends only {}", list(read)))
        });
        explanation.terms.push(ExplainedTerm { text: term.to_string(), by, note });
    }
    Plan { want: asked, explanation }
}

/// They show what a process runs, and do not all hold it themselves.
fn shows_images_of_others(events: EventSet) -> bool {
    let tell = EventSet::NONE.with(Kind::Existing).with(Kind::Exec).with(Kind::Lost);
    events.union(tell) != tell
}

fn list(kinds: EventSet) -> String {
    let names: Vec<_> = kinds.iter().filter(|&kind| kind != Kind::Lost).map(Kind::name).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Leaves a term to the source if that excludes nothing that the term accepts.
fn push(
    asked: &mut Want,
    demand: Option<Demand>,
    can: &Pushdown,
    uid_of: &impl Fn(&str) -> Option<u32>,
) -> (DecidedBy, Option<String>) {
    let here = |note: Option<&str>| (DecidedBy::Monitor, note.map(str::to_owned));
    match demand {
        None => here(None),
        Some(Demand::Events(_)) if can.events => (DecidedBy::Kernel, None),
        Some(Demand::Pids(pids)) => narrowed(&mut asked.pids, pids, can.pids, |a, b| a == b),
        Some(Demand::Users(users)) => {
            let named: Option<Vec<u32>> = users.names.iter().map(|name| uid_of(name)).collect();
            let Some(named) = named else { return here(Some("there is no such user now")) };
            narrowed(&mut asked.uids, [users.uids, named].concat(), can.uids, |a, b| a == b)
        }
        Some(Demand::Names(names)) => {
            let names_two = |kind| asked.events.contains(kind);
            if can.names == 0 {
                return here(None);
            }
            if names_two(Kind::Comm) || names_two(Kind::Existing) {
                return here(Some("existing and comm events have two names"));
            }
            if names.iter().any(|name| name.len() > can.name_bytes || name.contains(&0)) {
                return here(Some("names have at most 15 bytes"));
            }
            let most = can.name_bytes;
            narrowed(&mut asked.names, names, can.names, |chosen, name| chosen[..chosen.len().min(most)] == **name)
        }
        _ => here(None),
    }
}

/// Puts values into an option's list, or keeps only these of its values. A list must not become
/// empty: that would mean everything.
fn narrowed<T: Clone + Ord>(
    chosen: &mut Vec<T>,
    mut values: Vec<T>,
    most: usize,
    same: impl Fn(&T, &T) -> bool,
) -> (DecidedBy, Option<String>) {
    values.sort_unstable();
    values.dedup();
    if most == 0 {
        return (DecidedBy::Monitor, None);
    }
    if values.len() > most {
        return (DecidedBy::Monitor, Some(format!("more than {most}")));
    }
    let both: Vec<T> = if chosen.is_empty() {
        values
    } else {
        chosen.iter().filter(|&chosen| values.iter().any(|value| same(chosen, value))).cloned().collect()
    };
    if both.is_empty() {
        return (DecidedBy::Monitor, Some("no process matches both this and the options".to_owned()));
    }
    *chosen = both;
    (DecidedBy::Kernel, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EBPF: Pushdown = Pushdown { events: true, pids: 4, uids: 4, names: 4, name_bytes: 15 };

    /// Ends, and events about processes that ended.
    const ENDS: EventSet = EventSet::NONE.with(Kind::Exit).with(Kind::Exec).with(Kind::Fork).with(Kind::Lost);

    fn planned(filter: &str, want: Want) -> Plan {
        let want = Want { filter: Some(filter.parse().unwrap()), ..want };
        plan(&with_environment(want), SourceId::Ebpf, &EBPF, |name| (name == "root").then_some(0))
    }

    fn kernel(plan: &Plan) -> Vec<&str> {
        let terms = plan.explanation.terms.iter().filter(|term| term.by == DecidedBy::Kernel);
        terms.map(|term| &*term.text).collect()
    }

    fn kinds(kinds: &[Kind]) -> EventSet {
        kinds.iter().fold(EventSet::NONE, |set, &kind| set.with(kind))
    }

    #[test]
    fn without_a_filter_all_stays_as_it_is() {
        let plan = |want: &Want| plan(want, SourceId::Ebpf, &EBPF, |_| None);
        let want = Want { pids: vec![1], events: kinds(&[Kind::Existing, Kind::Exec]), ..Want::default() };
        assert_eq!(plan(&want).want, want);
        // A process that ended has the arguments of its exec, or of its creator's.
        let want = Want { events: kinds(&[Kind::Exit]), ..want };
        let Plan { want: asked, explanation } = plan(&want);
        assert_eq!((asked.events, explanation.also), (ENDS, kinds(&[Kind::Exec, Kind::Fork])));
        assert_eq!(Want { events: want.events, ..asked }, want);
        // A source that reports all in any case needs no request.
        let can = Pushdown::default();
        assert_eq!(super::plan(&want, SourceId::ProcessConnector, &can, |_| None).want, want);
    }

    #[test]
    fn what_the_kernel_can_decide_is_left_to_it() {
        let plan =
            planned("event in (exec, exit) and pid in (2, 1) and user == root and name == make", Want::default());
        assert_eq!(kernel(&plan).len(), 4);
        assert_eq!(plan.want.events, ENDS);
        assert_eq!(
            (&*plan.want.pids, &*plan.want.uids, &plan.want.names[0][..]),
            (&[1, 2][..], &[0][..], &b"make"[..])
        );
        assert_eq!((plan.want.needs, plan.explanation.also), (EventSet::NONE, kinds(&[Kind::Fork])));
        let plan = planned("duration < 1s", Want::default());
        assert_eq!((plan.want.events, kernel(&plan).len()), (ENDS, 0));
        assert_eq!(plan.explanation.events, kinds(&[Kind::Exit]));
        let exits = Want { events: kinds(&[Kind::Exit]), ..Want::default() };
        assert_eq!(planned("duration < 1s", exits).want.events, ENDS);
    }

    #[test]
    fn what_it_would_get_wrong_is_not() {
        for (filter, want) in [
            ("user == nobody-here", Want::default()),
            ("user in (root, nobody-here)", Want::default()),
            ("not user == root", Want::default()),
            ("pid == 1 or user == root", Want::default()),
            ("pid in (1, 2, 3, 4, 5)", Want::default()),
            ("pid == -1", Want::default()),
            ("name == sixteen-bytes-it", Want::default()),
            ("name == \"a\\x00\"", Want::default()),
            ("name == sh", Want { events: EventSet::default().with(Kind::Comm), ..Want::default() }),
            ("name == sh", Want { events: EventSet::default().with(Kind::Existing), ..Want::default() }),
            ("pid == 5", Want { pids: vec![1, 2], ..Want::default() }),
            ("user == root and exe ~ x*", Want::default()),
        ] {
            let before = want.clone();
            let plan = planned(filter, want);
            assert_eq!(kernel(&plan), [""; 0], "{filter}");
            assert_eq!((plan.want.pids, plan.want.uids, plan.want.names), (before.pids, before.uids, before.names));
        }
    }

    #[test]
    fn options_and_filter_choose_together() {
        let want = Want { pids: vec![1, 2], names: vec![b"systemd-journald".to_vec()], ..Want::default() };
        let plan = planned("pid in (2, 3) and name == systemd-journal", want);
        assert_eq!(plan.want.pids, [2]);
        assert_eq!(plan.want.names, [b"systemd-journald"]);
        let plan = planned("pid in (1, 2) and pid == 2", Want::default());
        assert_eq!(plan.want.pids, [2]);
    }

    #[test]
    fn what_the_filter_needs_is_read() {
        let exits = Want { events: kinds(&[Kind::Exit]), ..Want::default() };
        let plan = planned("exe ~ /tmp/*", exits.clone());
        assert_eq!(plan.want.events, ENDS);
        assert_eq!(plan.explanation.also, kinds(&[Kind::Exec, Kind::Fork]));
        let plan = planned("event == exec and exe ~ /tmp/* and user == root", Want::default());
        assert_eq!((plan.want.events, kernel(&plan).len()), (kinds(&[Kind::Exec]), 2));
        let plan = planned("ancestor.name == sshd and user == root", exits.clone());
        assert_eq!(plan.want.events, ENDS);
        assert_eq!(plan.want.needs, kinds(&[Kind::Fork, Kind::Exec, Kind::Comm, Kind::Exit]));
        assert_eq!(kernel(&plan), ["user == root"]);
        let plan = planned("env.B == x and env.A?", exits.clone());
        assert_eq!(plan.want.env, EnvWanted::Named(vec![b"A".to_vec(), b"B".to_vec()]));
        assert_eq!(planned("env ~ A=*", exits).want.env, EnvWanted::All);
    }

    #[test]
    fn a_source_that_can_do_nothing_is_asked_for_all() {
        let want = Want { filter: Some("event == exec and pid == 1".parse().unwrap()), ..Want::default() };
        let plan = plan(&want, SourceId::Ebpf, &Pushdown::default(), |_| None);
        assert_eq!((plan.want.events, plan.want.pids.len(), kernel(&plan).len()), (want.events, 0, 0));
    }
}
