//! shortlived.d: the cost of processes that begin and end while it watches.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::Hash;
use std::io::Write as _;
use std::process::ExitCode;

use procscope::{Event, EventKind, EventSet, Kind, Monitor, Pid, Summary, Timestamp};

use super::options::{Grammar, Refusal, Table};
use super::session::Watch;
use super::text;
use crate::render::Render;

/// How many names are distinguished, and how many parents, so that ever new ones do not fill the
/// memory.
const MOST: usize = 65_536;

pub(super) const TABLE: Table<()> = Table {
    name: "shortlived",
    about: "Sums the CPU time of processes that begin and end, as shortlived.d does",
    usage: "shortlived.d",
    grammar: Grammar::Getopt,
    original: &[],
    added: &[],
    help: &["-h"],
    help_status: 0,
    wrong_status: 1,
    notes: "\
Differs:
  Times are those of the processes alone, without the parent's cost of the
  fork. Nanoseconds are added up, and the sums rounded; the original rounds
  each process down to milliseconds.
  If a mechanism reports no CPU times, a line says for how many processes they
  are missing.
  Characters that could act on a terminal are printed as \\x1b.

Examples:
  procscope shortlived --duration 1s            a second's worth",
};

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = TABLE.parse(words)?;
    let builder = Monitor::builder().events(EventSet::NONE.with(Kind::Exit)).user_names(false);
    Watch::new(builder, line.common)?.run(|session, _| Box::new(Sums::new(session.attached)))?;
    Ok(ExitCode::SUCCESS)
}

struct Sums {
    begin: Timestamp,
    total_ns: u64,
    names: HashMap<Box<[u8]>, u64>,
    parents: HashMap<Option<Pid>, u64>,
    /// Processes whose time is not known.
    untold: u64,
    /// CPU time of names and parents beyond those that are distinguished.
    others_ns: [u64; 2],
}

impl Sums {
    fn new(begin: Timestamp) -> Self {
        Self { begin, total_ns: 0, names: HashMap::new(), parents: HashMap::new(), untold: 0, others_ns: [0; 2] }
    }
}

impl Render for Sums {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Tracing... Hit Ctrl-C to stop.\n");
    }

    fn event(&mut self, event: &Event, _: &mut Vec<u8>) {
        let (EventKind::Exit(exit), Some(process)) = (&event.kind, event.process.as_deref()) else { return };
        let born = exit.duration_ns.map(|age| event.time.0.saturating_sub_unsigned(age));
        if born.is_some_and(|born| born < self.begin.0) {
            return;
        }
        let Some(ns) = exit.usage.cpu_ns().filter(|_| born.is_some()) else {
            self.untold += 1;
            return;
        };
        self.total_ns += ns;
        let name = process.name.as_deref().unwrap_or(b"?");
        if !add(&mut self.names, name, ns) {
            self.others_ns[0] += ns;
        }
        let parent = process.parent.as_ref().map(|parent| parent.id.pid);
        if !add(&mut self.parents, &parent, ns) {
            self.others_ns[1] += ns;
        }
    }

    fn end(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        let seconds = |ns: u64| format!("{:>6}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1000);
        let _ = writeln!(out, "short lived processes: {} secs", seconds(self.total_ns));
        let _ = writeln!(out, "total sample duration: {} secs", seconds(summary.elapsed_ns));
        let named = self.names.iter().map(|(name, ns)| {
            let mut shown = Vec::new();
            text::push(&mut shown, name);
            (String::from_utf8_lossy(&shown).into_owned(), *ns)
        });
        push_sums("process name", named.collect(), self.others_ns[0], out);
        let parent = |pid: Option<Pid>| pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        let parents = self.parents.iter().map(|(pid, ns)| (parent(*pid), *ns));
        push_sums("PPID", parents.collect(), self.others_ns[1], out);
        if self.untold > 0 {
            let _ = writeln!(out, "\nThe CPU time of {} more processes is not known here.", self.untold);
        }
    }
}

/// Adds to a sum; false if there are too many.
fn add<K, Q>(sums: &mut HashMap<K, u64>, key: &Q, ns: u64) -> bool
where
    K: Borrow<Q> + Eq + Hash,
    Q: ?Sized + Eq + Hash + ToOwned,
    Q::Owned: Into<K>,
{
    if let Some(sum) = sums.get_mut(key) {
        *sum += ns;
        return true;
    }
    if sums.len() >= MOST {
        return false;
    }
    sums.insert(key.to_owned().into(), ns);
    true
}

/// By time, the most at the end, as `printa` of DTrace does.
fn push_sums(by: &str, mut sums: Vec<(String, u64)>, others_ns: u64, out: &mut Vec<u8>) {
    sums.sort_by(|(a_name, a), (b_name, b)| a.cmp(b).then_with(|| a_name.cmp(b_name)));
    if others_ns > 0 {
        sums.insert(0, ("<others>".to_owned(), others_ns));
    }
    let _ = writeln!(out, "\nTotal time by {by},");
    for (name, ns) in sums {
        let _ = writeln!(out, "{name:>18} {:>12} ms", (ns + 500_000) / 1_000_000);
    }
}

/// A renderer that sums up from this moment on.
#[cfg(test)]
pub(crate) fn for_test(begin: Timestamp) -> Box<dyn Render> {
    Box::new(Sums::new(begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn layout() {
        let mut sums = Sums::new(samples::NOON);
        let mut text = samples::rendered(&mut sums, &samples::events()).into_bytes();
        let mut summary = Summary::default();
        summary.elapsed_ns = 9_352_000_000;
        sums.end(&summary, &mut text);
        insta::assert_snapshot!(String::from_utf8(text).unwrap());
    }

    #[test]
    fn who_began_before_does_not_count() {
        let late = procscope::Timestamp(samples::NOON.0 + 3_600_000_000_000);
        let mut sums = Sums::new(late);
        samples::rendered(&mut sums, &samples::events());
        // A process of unknown age may have begun since.
        assert_eq!((sums.total_ns, sums.untold), (0, 3));
    }
}
