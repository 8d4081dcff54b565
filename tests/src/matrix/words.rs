//! The words that choose what is tried.

use super::behaviours::SOURCES;

/// Behaviours that need minutes in an emulator.
pub(super) const LONG: &str = "storm-20000";
/// The default mechanism.
pub(super) const AUTO: &str = "auto";
/// The word for everything, slow behaviours included.
const ALL: &str = "all";
/// The beginning of the word that names the last finished cell: `after:SOURCE:BEHAVIOUR`.
const AFTER: &str = "after:";

/// Sources, or each if none is named; behaviours, or all short ones if none is named; and where to
/// continue.
pub(super) struct Words<'a> {
    sources: Vec<&'a str>,
    behaviours: Vec<&'a str>,
    done: Option<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    pub(super) fn new(named: &'a [String]) -> Self {
        let done = named.iter().find_map(|word| word.strip_prefix(AFTER)?.split_once(':'));
        let rest = named.iter().map(String::as_str).filter(|word| !word.starts_with(AFTER));
        let (sources, behaviours) = rest.partition(|word| *word == AUTO || SOURCES.contains(word));
        Self { sources, behaviours, done }
    }

    /// Some behaviour of this source is left to do.
    pub(super) fn has_source(&self, source: &str) -> bool {
        (self.sources.is_empty() || self.sources.contains(&source)) && self.done.is_none_or(|(of, _)| of == source)
    }

    pub(super) fn has(&self, behaviour: &str) -> bool {
        match &self.behaviours[..] {
            [] => behaviour != LONG,
            words => words.iter().any(|word| [behaviour, ALL].contains(word)),
        }
    }

    /// Whether a cell is after the finished ones. Ask for each cell in turn.
    pub(super) fn is_to_come(&mut self, source: &str, behaviour: &str) -> bool {
        let to_come = self.done.is_none();
        self.done.take_if(|last| *last == (source, behaviour));
        to_come
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_guest_goes_on_behind_what_is_done() {
        let named = ["tracefs", "all", "proc-poll", "after:tracefs:odd"].map(str::to_owned);
        let mut words = Words::new(&named);
        assert!(!words.has_source("ebpf") && !words.has_source("proc-poll") && words.has_source("tracefs"));
        let cells = ["start", "storm", "odd", "tree", "loss"];
        let to_come: Vec<_> = cells.into_iter().filter(|what| words.is_to_come("tracefs", what)).collect();
        assert_eq!(to_come, ["tree", "loss"]);
        assert!(words.has_source("proc-poll") && words.has(LONG));
        assert!(!Words::new(&[]).has(LONG) && Words::new(&[]).has("odd") && Words::new(&[]).has_source(AUTO));
    }
}
