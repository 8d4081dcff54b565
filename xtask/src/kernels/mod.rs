//! The kernel matrix: the same behaviours of each source on several kernels, in emulated guests.

mod arm64;
mod boot;
mod download;
mod guest;
mod table;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Result, bail};

use crate::{packages, workspace};
use boot::Console;
use table::{Arch, Expected, KERNELS, Kernel, TABLE};

/// The packages that it needs.
pub(crate) const NEEDS: &[&[packages::Package]] = &[packages::BUILD, packages::CROSS, packages::GUEST];

/// The result of a behaviour that a guest did not report.
const NOTHING: &str = "nothing came";

/// A guest's result for a behaviour.
struct Seen {
    outcome: String,
    text: String,
}

type Column<'a> = BTreeMap<(String, String), Seen>;

/// The chosen part of the table.
#[derive(Clone, Default)]
struct Choice {
    /// Slow behaviours, too.
    full: bool,
    /// These sources; each if none is named.
    sources: Vec<String>,
    /// These behaviours; each if none is named.
    behaviours: Vec<String>,
}

impl Choice {
    fn has(&self, row: &table::Row) -> bool {
        let one_of = |names: &[String], name: &str| names.is_empty() || names.iter().any(|it| it == name);
        one_of(&self.sources, row.source)
            && one_of(&self.behaviours, row.behaviour)
            && (self.full || !row.long || !self.behaviours.is_empty())
    }

    /// The same for ps-matrix, which reports for each source whether it starts.
    fn words(&self) -> String {
        let all = (self.full && self.behaviours.is_empty()).then_some("all");
        self.sources.iter().chain(&self.behaviours).map(String::as_str).chain(all).collect::<Vec<_>>().join(" ")
    }
}

/// Tries the named ones, `--all`, or the default ones; only the named sources and behaviours.
pub(crate) fn check(args: &[String]) -> Result<()> {
    let is_kernel = |name: &String| KERNELS.iter().any(|kernel| kernel.name == name);
    let (sources, rest): (Vec<_>, Vec<_>) =
        args.iter().cloned().partition(|arg| TABLE.iter().any(|row| row.source == arg));
    let (behaviours, args): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|arg| TABLE.iter().any(|row| row.behaviour == arg));
    if let Some(other) = args.iter().find(|arg| *arg != "--all" && !is_kernel(arg)) {
        let names: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
        bail!("there is no kernel '{other}'; the kernels are {}, or --all", names.join(" "));
    }
    let choice = Choice { full: !args.is_empty(), sources, behaviours };
    let words = choice.words();
    if std::env::consts::ARCH != "x86_64" {
        bail!("the guests run the programs that are built here, for amd64 or, by a cross compiler, arm64");
    }
    let all = args.iter().any(|arg| arg == "--all");
    let chosen = |kernel: &Kernel| match &args[..] {
        [] => kernel.by_default,
        _ => all || args.iter().any(|arg| arg == kernel.name),
    };
    packages::ensure(NEEDS)?;
    let dir = workspace::target_dir()?.join("kernels");
    fs::create_dir_all(&dir)?;
    let mut initramfs = BTreeMap::new();
    for arch in [Arch::Amd64, Arch::Arm64] {
        if KERNELS.iter().any(|kernel| kernel.arch == arch && chosen(kernel)) {
            initramfs.insert(arch, guest::build(&dir, arch)?);
        }
    }

    let mut guests = Vec::new();
    // The longest first: those of arm64, and last the oldest, where ebpf does not start.
    for kernel in KERNELS.iter().rev().filter(|kernel| chosen(kernel)) {
        guests.push((kernel, download::image(kernel)?));
    }

    let consoles = boot::all(&dir, &guests, &initramfs, &words)?;

    let mut faults = Vec::new();
    let mut columns: Vec<Option<Column>> = Vec::new();
    for (index, kernel) in KERNELS.iter().enumerate() {
        let Some(console) = consoles.get(kernel.name) else {
            columns.push(None);
            continue;
        };
        let Console { text: console, stalled } = console;
        let column = read(console);
        let mut found = differences(index, &column, &choice);
        if *stalled {
            let before = found.len();
            found.retain(|fault| !fault.ends_with(NOTHING));
            found.insert(
                0,
                format!(
                    "nothing came for {} s, from a further guest either: {} were to come",
                    guest::STALLED.as_secs(),
                    before - found.len()
                ),
            );
        } else if !console.lines().any(|line| line.trim_end() == "@@ end 0") {
            found.push(format!("it did not end as it should; see {}", boot::log(&dir, kernel).display()));
        }
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", kernel.name)));
        columns.push(Some(column));
    }
    show(&columns);
    if !faults.is_empty() {
        bail!("not as the table has it:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

/// The lines of ps-matrix, among those of the kernel.
fn read(console: &str) -> Column<'_> {
    let cells = console.lines().filter_map(|line| line.trim_end().split_once("@@ cell "));
    let cells = cells.filter_map(|(_, cell)| {
        let mut words = cell.splitn(4, ' ').map(str::to_owned);
        let key = (words.next()?, words.next()?);
        Some((key, Seen { outcome: words.next()?, text: words.next().unwrap_or_default() }))
    });
    cells.collect()
}

/// Differences from the table in the kernel's column: better, worse, or missing.
fn differences(index: usize, column: &Column, choice: &Choice) -> Vec<String> {
    let mut found = Vec::new();
    for row in TABLE.iter().filter(|row| choice.has(row)) {
        let seen = column.get(&(row.source.to_owned(), row.behaviour.to_owned()));
        let right = match (row.expected[index], seen) {
            (Expected::Absent, None) => true,
            (Expected::Works, Some(seen)) => seen.outcome == "works",
            (Expected::WorksOrSays(words), Some(seen)) => {
                seen.outcome == "works" || seen.outcome == "says" && seen.text.contains(words)
            }
            (Expected::Says(words), Some(seen)) => seen.outcome == "says" && seen.text.contains(words),
            _ => false,
        };
        if !right {
            let expected = match row.expected[index] {
                Expected::Absent => "not tried".to_owned(),
                Expected::Works => "works".to_owned(),
                Expected::WorksOrSays(words) => format!("works, or says '{words}'"),
                Expected::Says(words) => format!("says '{words}'"),
            };
            let seen = seen.map_or(NOTHING.to_owned(), |seen| format!("{} {}", seen.outcome, seen.text));
            found.push(format!("{} {}: expected: {expected}; seen: {seen}", row.source, row.behaviour));
        }
    }
    let known = |key: &(String, String)| TABLE.iter().any(|row| row.source == key.0 && row.behaviour == key.1);
    let unknown = column.keys().filter(|key| !known(key));
    found.extend(unknown.map(|(source, behaviour)| format!("{source} {behaviour} is not in the table")));
    found
}

fn show(columns: &[Option<Column>]) {
    let shown: Vec<_> = KERNELS.iter().zip(columns).filter_map(|(k, column)| Some((k, column.as_ref()?))).collect();
    print!("\n{:<32}", "");
    shown.iter().for_each(|(kernel, _)| print!("{:<11}", kernel.name));
    println!();
    let tried = |row: &&table::Row| {
        let key = (row.source.to_owned(), row.behaviour.to_owned());
        shown.iter().any(|(_, column)| column.contains_key(&key))
    };
    for row in TABLE.iter().filter(tried) {
        print!("{:<32}", format!("{} {}", row.source, row.behaviour));
        for (_, column) in &shown {
            let seen = column.get(&(row.source.to_owned(), row.behaviour.to_owned()));
            print!("{:<11}", seen.map_or("-", |seen| &seen.outcome));
        }
        println!();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(kernel: usize) -> String {
        let cells = TABLE.iter().filter_map(|row| {
            let seen = match row.expected[kernel] {
                Expected::Absent => return None,
                Expected::Works | Expected::WorksOrSays(_) => "works".to_owned(),
                Expected::Says(words) => format!("says so: {words}."),
            };
            Some(format!("[ 1.5] noise\r\n@@ cell {} {} {seen}\r\n", row.source, row.behaviour))
        });
        cells.collect()
    }

    fn full() -> Choice {
        Choice { full: true, ..Choice::default() }
    }

    #[test]
    fn what_is_not_chosen_is_not_missed() {
        let choice = |words: [&[&str]; 2]| {
            let [sources, behaviours] = words.map(|words| words.iter().map(|&word| word.to_owned()).collect());
            Choice { full: true, sources, behaviours }
        };
        let column = "@@ cell tracefs tree works";
        assert_eq!(differences(1, &read(column), &choice([&["tracefs"], &["tree"]])), Vec::<String>::new());
        assert!(differences(1, &read(column), &choice([&["tracefs"], &[]])).len() > 3);
        assert_eq!(choice([&["tracefs"], &[]]).words(), "tracefs all");
        assert_eq!(choice([&["tracefs"], &["tree"]]).words(), "tracefs tree");
    }

    #[test]
    fn what_the_table_has_passes() {
        for kernel in 0..KERNELS.len() {
            assert_eq!(differences(kernel, &read(&console(kernel)), &full()), Vec::<String>::new());
        }
    }

    #[test]
    fn what_takes_long_is_tried_where_everything_is() {
        let (long, short): (Vec<_>, Vec<_>) = TABLE.iter().partition(|row| row.long);
        let column = |rows: &[&table::Row]| -> String {
            rows.iter().map(|row| format!("@@ cell {} {} works\r\n", row.source, row.behaviour)).collect()
        };
        let about = |found: &[String]| {
            long.iter()
                .filter(|row| found.iter().any(|it| it.contains(&format!("{} {}:", row.source, row.behaviour))))
                .count()
        };
        let short = column(&short);
        assert_eq!(about(&differences(1, &read(&short), &Choice::default())), 0);
        assert_eq!(about(&differences(1, &read(&short), &full())), long.len());
    }

    #[test]
    fn better_worse_and_missing_all_fail() {
        let good = console(0);
        for (from, to) in [
            ("auto unprivileged says so: ", "auto unprivileged wrong "),
            ("process-connector storm works", "process-connector storm wrong 3 are missing"),
            ("process-connector storm works", ""),
            ("ebpf start says so: boot", "ebpf start works boot"),
            ("ebpf start", "ebpf storm works\r\n@@ cell ebpf start"),
            ("tracefs storm-20000 works", ""),
        ] {
            let changed = good.replacen(from, to, 1);
            let found = differences(0, &read(&changed), &full());
            assert!(changed != good && !found.is_empty(), "{from}: {found:?}");
        }
    }
}
