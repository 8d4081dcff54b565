//! docs/fuzzing.md: how much each target was tried, over time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::Ran;
use super::targets::TARGETS;
use crate::workspace;

const FILE: &str = "docs/fuzzing.md";
const HEAD: &str =
    "| target | inputs tried | minutes | inputs a second, last run | panics found |\n|---|---:|---:|---:|---:|\n";

#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Row {
    inputs: u64,
    minutes: f64,
    rate: u64,
    panics: u64,
}

/// The file: its text up to the table, and the table.
#[derive(PartialEq, Debug)]
pub(super) struct Tally {
    text: String,
    rows: BTreeMap<String, Row>,
}

impl Tally {
    pub(super) fn read() -> Result<Self> {
        let text = fs::read_to_string(workspace::root().join(FILE)).context(FILE)?;
        Self::parse(&text).with_context(|| format!("{FILE} has no table that can be read"))
    }

    fn parse(text: &str) -> Option<Self> {
        let (text, table) = text.split_once(HEAD)?;
        let row = |line: &str| {
            let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().replace(['`', ','], ""));
            let name = cells.next()?;
            let mut number = || cells.next()?.parse::<f64>().ok();
            let row =
                Row { inputs: number()? as u64, minutes: number()?, rate: number()? as u64, panics: number()? as u64 };
            Some((name, row))
        };
        Some(Self { text: text.to_owned(), rows: table.lines().map(row).collect::<Option<_>>()? })
    }

    pub(super) fn add(mut self, name: &str, ran: &Ran) -> Self {
        let row = self.rows.entry(name.to_owned()).or_default();
        row.inputs += ran.inputs;
        row.minutes += ran.seconds / 60.0;
        row.rate = (ran.inputs as f64 / ran.seconds.max(1.0)) as u64;
        row.panics += u64::from(ran.fault.is_some());
        self
    }

    fn text(&self) -> String {
        let mut out = format!("{}{HEAD}", self.text);
        for name in TARGETS.iter().map(|target| target.name) {
            let Row { inputs, minutes, rate, panics } = self.rows.get(name).copied().unwrap_or_default();
            let _ = writeln!(out, "| `{name}` | {} | {minutes:.1} | {} | {panics} |", grouped(inputs), grouped(rate));
        }
        out
    }

    pub(super) fn write(&self) -> Result<()> {
        fs::write(workspace::root().join(FILE), self.text()).context(FILE)
    }
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_as_it_is_written() {
        let tally = Tally { text: "# Fuzzing\n\n".into(), rows: BTreeMap::new() };
        let ran = Ran { inputs: 1_234_567, seconds: 90.0, fault: Some("x".into()) };
        let once = tally.add("filter", &ran);
        assert!(once.text().contains("| `filter` | 1,234,567 | 1.5 | 13,717 | 1 |"), "{}", once.text());
        let again = Tally::parse(&once.text()).unwrap().add("filter", &ran);
        assert_eq!(again.rows["filter"], Row { inputs: 2_469_134, minutes: 3.0, rate: 13_717, panics: 2 });
        assert_eq!(Tally::parse("no table"), None);
    }

    #[test]
    fn the_committed_table_names_every_target() {
        let tally = Tally::read().unwrap();
        assert!(TARGETS.iter().all(|target| tally.rows.contains_key(target.name)) && tally.rows.len() == TARGETS.len());
    }
}
