//! The part of a filter that a source may decide: kinds of event, processes, users and names that
//! can pass at all.

use std::collections::BTreeSet;
use std::fmt;

use super::Filter;

use super::parse::Node;
use super::test::{Check, Order, Subject, Test, Wanted};
use crate::{EventSet, FieldType, Kind, Pid};

/// Users by number and by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Users {
    /// Real user ids.
    pub uids: Vec<u32>,
    /// Their names.
    pub names: Vec<String>,
}

/// A term that a source may decide by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Demand {
    /// One of these kinds.
    Events(EventSet),
    /// One of these processes.
    Pids(Vec<Pid>),
    /// A process of one of these real users.
    Users(Users),
    /// A process with one of these names.
    Names(Vec<Vec<u8>>),
}

/// A part of a filter that has to be true for the whole to be true.
#[derive(Clone, Copy)]
pub struct Term<'a>(&'a Node);

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Term({self})")
    }
}

impl Term<'_> {
    /// What it asks for, if that is all of it.
    pub fn demand(&self) -> Option<Demand> {
        demand(self.0)
    }

    /// The kinds of event for which it can be true.
    pub fn events(&self) -> EventSet {
        possible(self.0)
    }
}

impl Filter {
    /// The terms that all have to be true: those that `and` joins at the top.
    pub fn terms(&self) -> impl Iterator<Item = Term<'_>> {
        let terms = match &*self.root {
            Node::And(nodes) => nodes.as_slice(),
            node => std::slice::from_ref(node),
        };
        terms.iter().map(Term)
    }

    /// The kinds of event that can pass: `duration < 1s` can be true only for exits, say.
    pub fn events(&self) -> EventSet {
        possible(&self.root)
    }

    /// The kinds to watch if none were requested: these and those that the filter names, as far as
    /// they can pass; if none of them can, all that can.
    #[must_use]
    pub fn choose_events(&self, usual: EventSet) -> EventSet {
        let mut named = EventSet::NONE;
        visit(&self.root, &mut |test| {
            if let (Check::Kinds(kinds), false) = (&test.check, test.negative) {
                named = named.union(*kinds);
            }
        });
        let possible = self.events();
        match usual.union(named).intersection(possible) {
            EventSet::NONE => possible,
            chosen => chosen,
        }
    }

    /// True where it asks about ancestors.
    pub fn reads_ancestry(&self) -> bool {
        let mut reads = false;
        visit(&self.root, &mut |test| {
            reads |= matches!(&test.subject, Subject::Field(spec) if matches!(spec.of, FieldType::Ancestor(_)))
        });
        reads
    }

    /// True if it asks about the result of a process's last exec: its arguments, files, directory
    /// or environment.
    pub fn reads_image(&self) -> bool {
        let mut reads = false;
        visit(&self.root, &mut |test| {
            reads |= match &test.subject {
                Subject::Field(spec) => spec.of_image || spec.of == FieldType::Flaws,
                Subject::Arg(_) | Subject::Variable(_) | Subject::Flaw(_) => true,
            }
        });
        reads
    }

    /// True where it asks about the environment as a whole.
    pub fn reads_environment(&self) -> bool {
        let mut reads = false;
        visit(&self.root, &mut |test| reads |= matches!(&test.subject, Subject::Field(spec) if spec.name == "env"));
        reads
    }

    /// The variables that it asks about.
    pub fn variables(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        visit(&self.root, &mut |test| {
            if let Subject::Variable(name) = &test.subject {
                names.insert(&**name);
            }
        });
        names
    }
}

fn visit<'a>(node: &'a Node, see: &mut impl FnMut(&'a Test)) {
    match node {
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| visit(node, see)),
        Node::Not(node) => visit(node, see),
        Node::Test(test) => see(test),
    }
}

/// The kinds for which a node can be true.
fn possible(node: &Node) -> EventSet {
    match node {
        Node::And(nodes) => nodes.iter().map(possible).fold(EventSet::ALL, EventSet::intersection),
        Node::Or(nodes) => nodes.iter().map(possible).fold(EventSet::NONE, EventSet::union),
        // A field says nothing about an event that lacks it: then `not` is true.
        Node::Not(node) => match &**node {
            Node::Test(test) if test.is_of_kind() => test.kinds(true),
            Node::Not(inner) => possible(inner),
            Node::Or(nodes) => {
                nodes.iter().map(|node| exactly(node).unwrap_or(EventSet::NONE)).fold(EventSet::ALL, without)
            }
            node => exactly(node).map_or(EventSet::ALL, |kinds| without(EventSet::ALL, kinds)),
        },
        Node::Test(test) => test.kinds(false),
    }
}

/// The kinds for which a node is true, if it asks for nothing else.
fn exactly(node: &Node) -> Option<EventSet> {
    match node {
        Node::And(nodes) => nodes.iter().map(exactly).try_fold(EventSet::ALL, |a, b| Some(a.intersection(b?))),
        Node::Or(nodes) => nodes.iter().map(exactly).try_fold(EventSet::NONE, |a, b| Some(a.union(b?))),
        Node::Not(node) => exactly(node).map(|kinds| without(EventSet::ALL, kinds)),
        Node::Test(test) => test.is_of_kind().then(|| test.kinds(false)),
    }
}

fn without(all: EventSet, kinds: EventSet) -> EventSet {
    all.iter().filter(|&kind| kind == Kind::Lost || !kinds.contains(kind)).fold(EventSet::NONE, EventSet::with)
}

impl Test {
    fn is_of_kind(&self) -> bool {
        matches!(self.check, Check::Kinds(_))
    }

    /// The kinds for which it can be true, or its opposite if it asks only for kinds.
    fn kinds(&self, inverted: bool) -> EventSet {
        match (&self.check, &self.subject) {
            (Check::Kinds(kinds), _) if self.negative != inverted => without(EventSet::ALL, *kinds),
            (Check::Kinds(kinds), _) => *kinds,
            (_, Subject::Field(spec)) => spec.kinds,
            _ => EventSet::ALL,
        }
    }
}

fn demand(node: &Node) -> Option<Demand> {
    if let Some(kinds) = exactly(node) {
        return Some(Demand::Events(kinds));
    }
    match node {
        Node::Or(nodes) => {
            let mut demands = nodes.iter().map(demand);
            let first = demands.next()??;
            demands.try_fold(first, |sum, next| match (sum, next?) {
                (Demand::Pids(mut all), Demand::Pids(more)) => {
                    all.extend(more);
                    Some(Demand::Pids(all))
                }
                (Demand::Names(mut all), Demand::Names(more)) => {
                    all.extend(more);
                    Some(Demand::Names(all))
                }
                (Demand::Users(mut all), Demand::Users(more)) => {
                    all.uids.extend(more.uids);
                    all.names.extend(more.names);
                    Some(Demand::Users(all))
                }
                _ => None,
            })
        }
        Node::Test(test) if !test.negative => of_test(test),
        _ => None,
    }
}

fn of_test(test: &Test) -> Option<Demand> {
    let Subject::Field(spec) = &test.subject else { return None };
    let numbers = || {
        let numbers = match &test.check {
            Check::Compare(Order::Equal, number) => std::slice::from_ref(number),
            Check::Numbers(numbers) => numbers,
            _ => return None,
        };
        // A value that is not a pid belongs to no process.
        Some(numbers.iter().filter_map(|&number| u32::try_from(number).ok()).collect::<Vec<_>>())
    };
    match (spec.name, spec.of, &test.check) {
        ("pid", ..) => numbers().map(Demand::Pids),
        ("uid", ..) => numbers().map(|uids| Demand::Users(Users { uids, names: Vec::new() })),
        ("user", FieldType::Owner, Check::Owner { names, numbers }) => {
            let names = names.iter().map(|name| String::from_utf8(name.to_vec()).ok()).collect::<Option<_>>()?;
            Some(Demand::Users(Users { uids: numbers.clone(), names }))
        }
        ("name", _, Check::Text(Wanted::Equal(name))) => Some(Demand::Names(vec![name.to_vec()])),
        ("name", _, Check::Text(Wanted::Among(names))) => {
            Some(Demand::Names(names.iter().map(|name| name.to_vec()).collect()))
        }
        _ => None,
    }
}
