//! The filter language: `docs/filter.md`.

mod check;
mod error;
mod field;
mod glob;
mod lex;
mod number;
mod parse;
mod push;
mod test;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use error::FilterError;
pub use push::{Demand, Term, Users};

use crate::{Event, EventKind, FieldSpec, Parentage};
use parse::Node;

/// A choice of events, such as `exe ~ "/tmp/*" and not user == root`.
///
/// Two filters are equal if they are shown alike. Cloning is cheap.
#[derive(Clone)]
pub struct Filter {
    root: Arc<Node>,
}

impl Filter {
    /// Reads a filter, and checks types and units.
    ///
    /// # Errors
    /// [`FilterError`] says where it is wrong, and suggests a correction.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self { root: Arc::new(parse::parse(text)?) })
    }

    /// The fields that a filter knows.
    pub fn fields() -> impl Iterator<Item = &'static FieldSpec> + Clone {
        field::fields()
    }

    /// Whether an event is chosen. [`EventKind::Lost`] always is: loss is never hidden.
    ///
    /// A comparison with an unknown value is false, whatever its operator; `not` inverts that like
    /// any other.
    pub fn matches(&self, event: &Event, parentage: &dyn Parentage) -> bool {
        matches!(event.kind, EventKind::Lost(_)) || holds(&self.root, event, parentage)
    }

    /// Whether an event that [`Filter::matches`] refuses may nevertheless be wanted. It is if it
    /// was refused because of a value that, by its flaws, was not observed, could not be read, was
    /// cut, or is doubtful after a loss.
    pub fn is_undecided(&self, event: &Event, parentage: &dyn Parentage) -> bool {
        let process = event.process.iter().flat_map(|process| process.flaws.iter());
        let flawed = event.flaws.iter().chain(process).any(|(_, flaw)| flaw.is_incomplete());
        flawed && !self.matches(event, parentage) && surely_holds(&self.root, event, parentage).is_none()
    }
}

/// Kleene's logic: the result is unknown if no known term decides it.
fn surely_holds(node: &Node, event: &Event, parentage: &dyn Parentage) -> Option<bool> {
    let all = |nodes: &[Node], neutral: bool| {
        let mut known = Some(neutral);
        for node in nodes {
            match surely_holds(node, event, parentage) {
                Some(holds) if holds == neutral => {}
                Some(holds) => return Some(holds),
                None => known = None,
            }
        }
        known
    };
    match node {
        Node::And(nodes) => all(nodes, true),
        Node::Or(nodes) => all(nodes, false),
        Node::Not(node) => surely_holds(node, event, parentage).map(|holds| !holds),
        Node::Test(test) => test.surely_holds(event, parentage),
    }
}

fn holds(node: &Node, event: &Event, parentage: &dyn Parentage) -> bool {
    match node {
        Node::And(nodes) => nodes.iter().all(|node| holds(node, event, parentage)),
        Node::Or(nodes) => nodes.iter().any(|node| holds(node, event, parentage)),
        Node::Not(node) => !holds(node, event, parentage),
        Node::Test(test) => test.holds(event, parentage),
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl fmt::Display for Filter {
    /// In the normal form, which is read as the same filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({self})")
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root) || self.to_string() == other.to_string()
    }
}

impl Eq for Filter {}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, nodes: &[Node], join: &str| {
            for (index, node) in nodes.iter().enumerate() {
                f.write_str(if index > 0 { join } else { "" })?;
                match node {
                    Node::Or(_) => write!(f, "({node})")?,
                    _ => node.fmt(f)?,
                }
            }
            Ok(())
        };
        match self {
            Self::And(nodes) => list(f, nodes, " and "),
            Self::Or(nodes) => list(f, nodes, " or "),
            Self::Not(node) => match &**node {
                Self::And(_) | Self::Or(_) => write!(f, "not ({node})"),
                _ => write!(f, "not {node}"),
            },
            Self::Test(test) => test.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
