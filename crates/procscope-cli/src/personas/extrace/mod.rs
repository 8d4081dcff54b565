//! extrace: execs as a tree.

mod lineage;
mod lines;

use std::ffi::OsString;
use std::process::ExitCode;

use procscope::{EnvWanted, EventSet, Kind, Monitor, Pid};

use self::lineage::Lineage;
use self::lines::Lines;
use super::options::{Grammar, Line, Refusal, Table, flag, path};
use super::session::Watch;
use crate::output::Output;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Directory,
    Environment,
    Flat,
    FullPath,
    Output,
    Pid,
    NoArguments,
    NoErrors,
    Exits,
    Users,
    Ignored,
}

pub(super) const TABLE: Table<Key> = Table {
    name: "extrace",
    about: "Shows execs as a tree, and how they end, as extrace does",
    usage: "extrace [-deflqQtu] [-o FILE] [-p PID | CMD ...]",
    grammar: Grammar::Posix,
    original: &[
        flag(Key::Directory, b'd', "The working directory of each process"),
        flag(Key::Environment, b'e', "Its environment"),
        flag(Key::Flat, b'f', "Without indentation"),
        flag(Key::FullPath, b'l', "The path of the executed file, not the first argument"),
        flag(Key::Output, b'o', "Write to a file").takes("FILE"),
        flag(Key::Pid, b'p', "Only descendants of this process; ends with it").takes("PID"),
        flag(Key::NoArguments, b'q', "Without arguments"),
        flag(Key::NoErrors, b'Q', "Nothing on stderr except fatal errors"),
        flag(Key::Exits, b't', "Exit status and time, too"),
        flag(Key::Users, b'u', "The user"),
        flag(Key::Ignored, b'w', "Accepted, as by the original, and without effect"),
    ],
    added: &[],
    help: &["-h"],
    help_status: 0,
    wrong_status: 1,
    notes: "\
With CMD it runs CMD, shows only its descendants, and ends with it.

Differs:
  No process vanishes before it is shown: arguments, directory, user and parent
  come with the event. (Mechanisms without eBPF look them up, as extrace does.
  They show a process that is gone by its name and '[?]'.)
  Names in the lines of -t are whole, not their first 31 bytes.
  Characters that could act on a terminal are printed as '$'\\x1b'', like line
  breaks.
  An orphan is indented by its present ancestors; with -p and CMD it is still
  shown.
  CMD needs no rights: without any, it is traced. A CMD that cannot be run is
  an error.

Examples:
  procscope extrace -t -u                       execs, users, ends
  procscope extrace -f -d -l                    directories and full paths",
};

/// The options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Options {
    directory: bool,
    environment: bool,
    flat: bool,
    full_path: bool,
    no_arguments: bool,
    quiet: bool,
    exits: bool,
    users: bool,
    pid: Option<Pid>,
    output: Option<Vec<u8>>,
}

impl Options {
    fn read(line: &Line<Key>) -> Result<Self, Refusal> {
        let mut it = Self::default();
        for (key, value) in &line.options {
            match key {
                Key::Directory => it.directory = true,
                Key::Environment => it.environment = true,
                Key::Flat => it.flat = true,
                Key::FullPath => it.full_path = true,
                Key::Output => it.output = Some(value.clone()),
                Key::Pid => {
                    // Here the whole text has to be a number.
                    let pid = std::str::from_utf8(value).ok().and_then(|text| text.trim_start().parse::<Pid>().ok());
                    let pid = pid.filter(|&pid| pid > 0);
                    let help = "type a process id, such as 1234";
                    it.pid = Some(pid.ok_or_else(|| TABLE.bad_value("-p", &String::from_utf8_lossy(value), help))?);
                }
                Key::NoArguments => it.no_arguments = true,
                Key::NoErrors => it.quiet = true,
                Key::Exits => it.exits = true,
                Key::Users => it.users = true,
                Key::Ignored => {}
            }
        }
        // All are descendants of init.
        it.pid = it.pid.filter(|&pid| pid != 1);
        if it.pid.is_some() && !line.operands.is_empty() {
            return Err(TABLE.wrong("-p PID and CMD do not go together".to_owned()));
        }
        Ok(it)
    }
}

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = TABLE.parse(words)?;
    let options = Options::read(&line)?;
    let mut events = EventSet::NONE.with(Kind::Exec);
    if options.exits || !options.flat || options.pid.is_some() {
        events = events.with(Kind::Exit);
    }
    if !options.flat {
        events = events.with(Kind::Existing).with(Kind::Fork);
    }
    let mut builder = Monitor::builder().events(events).user_names(options.users);
    if options.environment {
        builder = builder.env(EnvWanted::All);
    }
    let replays = line.common.replay.is_some();
    TABLE.refuse_replay(&line.common, !line.operands.is_empty(), "there is no CMD: nothing is run")?;
    let mut root = 1;
    if let Some(pid) = options.pid {
        #[cfg(target_os = "linux")]
        if !replays && std::fs::metadata("/proc/self").is_ok() && std::fs::metadata(format!("/proc/{pid}")).is_err() {
            return Err(TABLE.bad_value("-p", &pid.to_string(), "there is no such process; ps -e lists them"));
        }
        (builder, root) = (builder.tree(pid), pid);
    }
    if !line.operands.is_empty() {
        (builder, root) = (builder.command(&line.operands).sole_command(true), std::process::id());
    }
    let duration = line.common.duration;
    let mut watch = Watch::new(builder, line.common)?;
    watch.quiet = options.quiet;
    if let Some(output) = &options.output {
        watch.output = Output::open(Some(&path(output.clone())), duration, watch.quiet)?;
    }
    let lineage = if replays { Lineage::recorded() } else { Lineage::default() };
    watch.run(|_, _| Box::new(Lines::new(options, root, lineage)))?;
    Ok(ExitCode::SUCCESS)
}
