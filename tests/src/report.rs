//! The findings of a comparison.

use std::collections::BTreeMap;
use std::fmt;

/// How many examples of a difference are kept.
const EXAMPLES: usize = 5;
/// How much of each.
const EXAMPLE_CHARS: usize = 600;

/// A field that was compared many times.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How often it was compared.
    pub checked: u64,
    /// How often it differed.
    pub wrong: u64,
    /// Some differences.
    pub examples: Vec<String>,
}

/// All differences, by event and field, such as `exec.argv`.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The compared amounts.
    pub fields: BTreeMap<&'static str, Tally>,
    /// Processes that should have been seen.
    pub lives: u64,
    /// How many execs should have been seen.
    pub execs: u64,
    /// How many ends should have been seen.
    pub exits: u64,
    /// Events of pids that the truth knows, but at another time.
    pub strays: u64,
    /// Events in all.
    pub events: u64,
    /// procscope's own count of losses, by kind.
    pub lost: BTreeMap<String, u64>,
    /// Execs whose arguments a late source reported.
    pub named: u64,
    /// Events of processes of which a late source knows only the pid.
    pub anonymous: u64,
    /// Events whose id was marked as worked out, and how many of these are a clock tick off.
    pub ids_estimated: u64,
    /// See there.
    pub ids_off: u64,
    /// Processes that were charged CPU time after their report, or reported with time that was
    /// stolen from them.
    pub charged_otherwise: u64,
}

impl Report {
    /// Notes a comparison; `example` is called only for the first few differences.
    pub fn check(&mut self, field: &'static str, right: bool, example: impl FnOnce() -> String) {
        let tally = self.fields.entry(field).or_default();
        tally.checked += 1;
        if !right {
            tally.wrong += 1;
            if tally.examples.len() < EXAMPLES {
                let mut example = example();
                if let Some((end, _)) = example.char_indices().nth(EXAMPLE_CHARS) {
                    example.truncate(end);
                    example.push('…');
                }
                tally.examples.push(example);
            }
        }
    }

    /// True if nothing differs at all, and hardly a process was charged differently from its
    /// report.
    pub fn is_exact(&self) -> bool {
        self.fields.values().all(|tally| tally.wrong == 0) && self.charged_otherwise <= 1 + self.exits / 1000
    }

    /// How many were right.
    pub fn right(&self, field: &str) -> u64 {
        self.fields.get(field).map_or(0, |tally| tally.checked - tally.wrong)
    }

    /// How many were wrong.
    pub fn wrong(&self, field: &str) -> u64 {
        self.fields.get(field).map_or(0, |tally| tally.wrong)
    }

    /// How many names of any kind were another process's.
    pub fn misnamed(&self) -> u64 {
        let names = ["argv", "exe", "name", "old_name", "parent", "cwd", "env", "interpreter"];
        let named = |field: &&str| field.split_once('.').is_some_and(|(_, what)| names.contains(&what));
        self.fields.iter().filter(|(field, _)| named(field)).map(|(_, tally)| tally.wrong).sum()
    }

    /// Right ones of the expected ones, in percent.
    pub fn percent(&self, field: &str) -> f64 {
        let expected = if field.starts_with("exit.") { self.exits } else { self.execs };
        if expected == 0 { 100.0 } else { self.right(field) as f64 * 100.0 / expected as f64 }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} processes, {} execs, {} exits; {} events read",
            self.lives, self.execs, self.exits, self.events
        )?;
        for (what, field) in [
            ("execs named", "exec.exe"),
            ("argv exact", "exec.argv"),
            ("parents right", "exec.parent"),
            ("exit status right", "exit.status"),
        ] {
            // A value that is read late may be absent and right.
            let percent = match field {
                "exec.argv" if self.named > 0 => self.named as f64 * 100.0 / self.execs.max(1) as f64,
                _ => self.percent(field),
            };
            writeln!(f, "{what:<18} {percent:>7.3} %")?;
        }
        if !self.lost.is_empty() {
            writeln!(f, "lost, by its own count: {:?}", self.lost)?;
        }
        let wrong: Vec<_> = self.fields.iter().filter(|(_, tally)| tally.wrong > 0).collect();
        if wrong.is_empty() {
            return writeln!(f, "no difference in {} fields", self.fields.len());
        }
        for (field, tally) in wrong {
            writeln!(f, "{field}: {} of {} differ", tally.wrong, tally.checked)?;
            tally.examples.iter().try_for_each(|example| writeln!(f, "    {example}"))?;
        }
        if self.ids_estimated > 0 {
            writeln!(f, "{} of {} estimated ids are a tick off", self.ids_off, self.ids_estimated)?;
        }
        if self.strays > 0 {
            writeln!(f, "{} events of these pids belong to other processes or have a wrong id", self.strays)?;
        }
        Ok(())
    }
}
