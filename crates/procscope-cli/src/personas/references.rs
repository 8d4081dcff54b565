//! The originals' documented output, for those that do not start here: bcc, perf-tools, the DTrace
//! toolkit. It stays where it is, under its own licences. A test reads it there, makes an event
//! from each row, and compares the persona's line with the row.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use procscope::{
    Argv, Credentials, Event, EventKind, ExecFailure, ExecInfo, Exit, ExitStatus, Process, ProcessId, ProcessRef,
    SourceId, Timestamp, Usage, signal_number,
};
use serde_json::Value;

use super::samples::words;
use super::{execsnoop, exitsnoop, newproc, shortlived};
use crate::render::samples::rendered;

/// The place of the samples: `PROCSCOPE_SAMPLES`, or beside the checkout.
fn samples() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples");
    let dir = std::env::var_os("PROCSCOPE_SAMPLES").map_or_else(beside, PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("WARNING: no samples at {}: only our own rows are held against; set PROCSCOPE_SAMPLES", dir.display());
    None
}

/// A table's row, split by independent means, and as in the documentation.
struct Row {
    fields: Value,
    line: String,
    /// The heading above it.
    heading: String,
}

impl Row {
    fn text(&self, name: &str) -> Option<&str> {
        self.fields[name].as_str()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.fields[name].as_i64()
    }
}

/// The rows of all files whose names begin with this, each with the nearest line above it that has
/// these words.
fn rows(dir: &str, name: &str, heading: &[&str]) -> Vec<Row> {
    let Some(samples) = samples() else { return Vec::new() };
    let read =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(samples.join(dir)).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(of) = path.to_str().unwrap().strip_suffix(".expected.jsonl").filter(|_| file.starts_with(name)) else {
            continue;
        };
        let text = read(Path::new(of));
        let lines: Vec<_> = text.lines().collect();
        rows.extend(read(&path).lines().map(|line| {
            let fields: Value = serde_json::from_str(line).unwrap();
            let at = fields["line"].as_u64().unwrap() as usize - 1;
            let is_heading =
                |line: &&&str| heading.iter().all(|word| line.split_whitespace().any(|other| other == *word));
            let heading = lines[..at].iter().rev().find(is_heading).unwrap_or(&"");
            Row { line: lines[at].to_owned(), heading: (*heading).to_owned(), fields }
        }));
    }
    assert!(!rows.is_empty(), "no samples named {name}* in {dir}");
    rows
}

fn process(row: &Row) -> Process {
    let pid = |name: &str| row.number(name).and_then(|pid| u32::try_from(pid).ok());
    let mut process = Process::new(ProcessId { pid: pid("pid").unwrap_or(1), start: None });
    process.parent = pid("ppid").map(|pid| ProcessRef::new(ProcessId { pid, start: None }, None));
    process.name = row.text("comm").or(row.text("pcomm")).map(|name| name.as_bytes().into());
    process.credentials = pid("uid").map(|uid| Arc::new(Credentials::new([uid; 2], [0; 2])));
    process
}

/// The exec of a row. The arguments of `sh [?]` are unknown; `[...]` means more.
fn exec(row: &Row, path: bool, time: Timestamp) -> Event {
    let args = row.text("args").unwrap_or_default();
    let mut process = process(row);
    let known = args.strip_suffix(" [?]");
    if let Some(name) = known {
        process.name = Some(name.as_bytes().into());
    }
    let strings: Vec<&str> = args.strip_suffix(" [...]").unwrap_or(args).split(' ').collect();
    let more = args.ends_with(" [...]").then_some("more");
    let argv = known.is_none().then(|| Arc::new(Argv::from_strings(strings.iter().copied().chain(more))));
    let given = path.then(|| strings[0].as_bytes());
    let kind = match row.number("ret").filter(|&ret| ret != 0) {
        Some(ret) => {
            let mut failure = ExecFailure::new(ret.unsigned_abs() as u32);
            (failure.path, failure.argv) = (given.map(Into::into), argv);
            EventKind::ExecFailed(failure)
        }
        None => {
            process.argv = argv;
            process.path = given.map(Into::into);
            EventKind::Exec(ExecInfo::default())
        }
    };
    let tid = Some(process.id.pid);
    Event::new(1, time, SourceId::Ebpf, Some(process.into()), tid, kind)
}

/// The cells of a line by the headings above them; the cell under the last one extends to the end
/// of the line.
fn cells<'a>(heading: &'a str, line: &str) -> HashMap<&'a str, String> {
    let names: Vec<_> = heading.split_whitespace().collect();
    let mut rest = line.trim_start();
    let mut cells = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        // A date and time are four words.
        let count = if *name == "STRTIME" { 4 } else { 1 };
        let mut end = 0;
        for _ in 0..count {
            end += rest[end..].len() - rest[end..].trim_start().len();
            end += rest[end..].find(' ').unwrap_or(rest[end..].len());
        }
        let end = if index + 1 == names.len() { rest.len() } else { end };
        cells.insert(*name, rest[..end].trim_end().to_owned());
        rest = rest[end..].trim_start();
    }
    cells
}

/// Compares a persona's line for one event with the row: the cells under each heading that both
/// have. `renamed` maps headings to their names here.
fn compare(row: &Row, printed: &str, renamed: &[(&str, &str)]) {
    let mut lines = printed.lines().rev();
    let (line, heading) = (lines.next().unwrap(), lines.next().unwrap());
    let (ours, theirs) = (cells(heading, line), cells(&row.heading, &row.line));
    for (name, cell) in &theirs {
        let name = renamed.iter().find(|(old, _)| old == name).map_or(*name, |(_, new)| *new);
        let ours = ours.get(name).unwrap_or_else(|| panic!("no {name} in {heading}"));
        assert_eq!(ours, cell, "{name} of\n{}\n{}\nis here\n{heading}\n{line}", row.heading, row.line);
    }
}

/// A time of the day, on the day of the sample events.
fn time_of_day(text: &str) -> Timestamp {
    let time = format!("2026-01-31T{text}Z").parse::<jiff::Timestamp>().unwrap();
    Timestamp(time.as_nanosecond() as i64)
}

/// The options that make the columns of a heading.
fn options(heading: &str, letters: &[(&str, &str)]) -> String {
    let has = |name: &str| heading.split_whitespace().any(|word| word == name);
    letters.iter().filter(|(name, _)| has(name)).map(|(_, option)| format!("{option} ")).collect()
}

#[test]
fn execsnoop_of_bcc() {
    let letters = [("TIME", "-T"), ("TIME(s)", "-t"), ("UID", "-U"), ("CPU", "-C")];
    // Older versions have another name for the comm.
    let own = Row {
        fields: serde_json::json!({"comm": "ls", "pid": 7, "ppid": 3, "ret": -2, "args": "/no/ls -l", "uid": 4}),
        line: "4     ls               7       3       11    -2 /no/ls -l".to_owned(),
        heading: "UID   PCOMM            PID     PPID    CPU  RET ARGS".to_owned(),
    };
    for row in rows("linux-execsnoop", "bcc-execsnoop", &["PID", "RET", "ARGS"]).into_iter().chain([own]) {
        let begin = time_of_day(row.text("time").unwrap_or("12:00:00"));
        let elapsed = row.text("time(s)").map_or(0, |text| text.replace('.', "").parse::<i64>().unwrap() * 1_000_000);
        let mut event = exec(&row, true, Timestamp(begin.0));
        event.processor = cells(&row.heading, &row.line).get("CPU").and_then(|cell| cell.parse().ok());
        let line = format!("-x {}", options(&row.heading, &letters));
        let begin = Timestamp(begin.0 - elapsed);
        let mut render = execsnoop::bcc_for_test(words(&line), begin, TimeZone::UTC);
        compare(&row, &rendered(&mut *render, &[event]), &[("PCOMM", "COMM")]);
    }
}

#[test]
fn execsnoop_of_perf_tools() {
    let own = Row {
        fields: serde_json::json!({"pid": 7, "ppid": 3, "args": "ls -a b c d e f g h [...]"}),
        line: "     7      3 ls -a b c d e f g h [...]".to_owned(),
        heading: "   PID   PPID ARGS".to_owned(),
    };
    for row in rows("linux-execsnoop", "perftools-execsnoop", &["PID", "PPID", "ARGS"]).into_iter().chain([own]) {
        let since_boot = row.text("times").map_or(0, |text| text.replace('.', "").parse::<i64>().unwrap() * 1000);
        let time = time_of_day("12:00:00");
        let event = exec(&row, false, time);
        // The example shows 8 arguments; by default the persona shows all.
        let args = row.text("args").unwrap_or_default();
        let most = if args.ends_with("[...]") { args.split(' ').count() - 2 } else { 99 };
        let line = format!("-a {most} {}", options(&row.heading, &[("TIMEs", "-t")]));
        let mut render = execsnoop::perf_tools_for_test(words(&line), time, since_boot);
        compare(&row, &rendered(&mut *render, &[event]), &[]);
    }
}

#[test]
fn execsnoop_of_the_dtrace_toolkit() {
    let own = Row {
        fields: serde_json::json!({"strtime": "2005 Jan 22 00:07:22", "uid": 0, "pid": 7, "ppid": 3, "args": "df -k"}),
        line: "2005 Jan 22 00:07:22     0      7      3 df -k".to_owned(),
        heading: "STRTIME                UID    PID   PPID ARGS".to_owned(),
    };
    for row in rows("dtrace", "toolkit-execsnoop", &["UID", "PID", "ARGS"]).into_iter().chain([own]) {
        let time = row.text("strtime").map_or(time_of_day("12:00:00"), |text| {
            let time = jiff::Timestamp::strptime("%Y %b %d %H:%M:%S %z", format!("{text} +0000")).unwrap();
            Timestamp(time.as_nanosecond() as i64)
        });
        let event = exec(&row, false, time);
        let line = options(&row.heading, &[("STRTIME", "-v")]);
        let mut render = execsnoop::dtrace_for_test(words(&line), time);
        compare(&row, &rendered(&mut *render, &[event]), &[]);
    }
}

#[test]
fn exitsnoop_of_bcc() {
    let own = Row {
        fields: serde_json::json!({"pcomm": "x", "pid": 7, "ppid": 3, "tid": 9, "age(s)": "0.23", "exit_code": "signal 11 (SEGV)"}),
        line: "x                7       3       9       0.23    signal 11 (SEGV)".to_owned(),
        heading: "PCOMM            PID     PPID    TID     AGE(s)  EXIT_CODE".to_owned(),
    };
    for row in rows("linux-execsnoop", "bcc-exitsnoop", &["PCOMM", "EXIT_CODE"]).into_iter().chain([own]) {
        let code = row.text("exit_code").unwrap();
        let status = match code.split_whitespace().collect::<Vec<_>>()[..] {
            ["0"] => ExitStatus::Code(0),
            ["code", code] => ExitStatus::Code(code.parse().unwrap()),
            ["signal", number, name] => {
                assert_eq!(signal_number(name.trim_matches(['(', ')'])).unwrap().to_string(), number);
                ExitStatus::Signal { signo: number.parse().unwrap(), core: false }
            }
            _ => panic!("{code}"),
        };
        let age = row.text("age(s)").unwrap().replace('.', "").parse::<u64>().unwrap() * 10_000_000;
        let mut exit = Exit::new(status, Usage::default());
        exit.duration_ns = Some(age);
        let time = time_of_day(row.text("time-utc").unwrap_or("12:00:00"));
        let tid = row.number("tid").map(|tid| tid as u32);
        let event = Event::new(1, time, SourceId::Ebpf, Some(process(&row).into()), tid, EventKind::Exit(exit));
        let label = row.text("label").map(|label| format!("--label={label} ")).unwrap_or_default();
        let line = label + &options(&row.heading, &[("TIME-UTC", "--utc")]);
        let mut render = exitsnoop::bcc_for_test(words(&line), TimeZone::UTC);
        compare(&row, &rendered(&mut *render, &[event]), &[]);
    }
}

/// No mechanism has the probe's number.
#[test]
fn newproc_of_the_dtrace_toolkit() {
    let own = Row {
        fields: serde_json::json!({"probe": "exec_common:exec-success", "args": "man ls"}),
        line: "  0   3297         exec_common:exec-success   man ls".to_owned(),
        heading: "CPU     ID                    FUNCTION:NAME".to_owned(),
    };
    for row in rows("dtrace", "toolkit-newproc", &["CPU", "ID", "FUNCTION:NAME"]).into_iter().chain([own]) {
        let mut render = newproc::solaris_for_test();
        let mut event = exec(&row, false, time_of_day("12:00:00"));
        let number = row.line.split_whitespace().next().unwrap();
        event.processor = number.parse().ok();
        let printed = rendered(&mut *render, &[event]);
        let (heading, line) = printed.trim_end().split_once('\n').unwrap();
        assert_eq!(heading.trim(), row.heading.trim());
        assert_eq!(line.split_whitespace().next(), Some(number));
        let tail = |line: &str| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
        assert_eq!(tail(line), tail(&row.line));
        // The same place in the line.
        let indent = |line: &str, heading: &str| line.find("exec_common").unwrap() - heading.find("CPU").unwrap();
        assert_eq!(indent(line, heading), indent(&row.line, &row.heading));
    }
}

/// Its sums include the parents' forks, so only rows are compared with rows.
#[test]
fn shortlived_of_the_dtrace_toolkit() {
    let own = Row {
        fields: serde_json::json!({"by": "process name", "key": "perl", "ms": 380}),
        line: "              perl          380 ms".to_owned(),
        heading: String::new(),
    };
    for row in rows("dtrace", "toolkit-shortlived", &[]).into_iter().chain([own]) {
        let (Some(key), Some(ms)) = (row.text("key"), row.number("ms")) else { continue };
        let by_name = row.text("by") == Some("process name");
        let mut process = Process::new(ProcessId { pid: 7, start: None });
        process.name = Some(if by_name { key } else { "x" }.as_bytes().into());
        let ppid = if by_name { 1 } else { key.parse().unwrap() };
        process.parent = Some(ProcessRef::new(ProcessId { pid: ppid, start: None }, None));
        let mut usage = Usage::default();
        (usage.user_ns, usage.system_ns) = (Some(ms as u64 * 1_000_000), Some(0));
        let mut exit = Exit::new(ExitStatus::Code(0), usage);
        exit.duration_ns = Some(0);
        let time = time_of_day("12:00:00");
        let event = Event::new(1, time, SourceId::Ebpf, Some(process.into()), None, EventKind::Exit(exit));
        let mut render = shortlived::for_test(time);
        let mut printed = rendered(&mut *render, &[event]).into_bytes();
        render.end(&procscope::Summary::default(), &mut printed);
        let printed = String::from_utf8(printed).unwrap();
        assert!(printed.lines().any(|line| line.trim_start() == row.line.trim_start()), "{}\n{printed}", row.line);
    }
}
