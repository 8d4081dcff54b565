mod complete;
mod filter;
pub(crate) mod help;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use procscope::{EnvWanted, EventSet, Filter, Pid};

use crate::output;
use crate::output::say;
use crate::render::columns::Columns;
use crate::values::{
    RingSize, Source, parse_container, parse_count, parse_duration, parse_env, parse_name, parse_pid, parse_speed,
    parse_user,
};
use procscope_format::escape::visible_lines;

/// The command line.
#[derive(Parser, Debug)]
#[command(
    name = "procscope",
    version,
    about = "Prints every process that starts and every process that ends.",
    after_help = help::PROCSCOPE,
    mut_arg("no_header", |arg| arg.hide(true)),
    mut_arg("csv_safe", |arg| arg.hide(true)),
    mut_arg("explain", |arg| arg.hide(true)),
    mut_arg("ring_size", |arg| arg.hide(true)),
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 80,
    override_usage = "procscope [watch] [OPTIONS] [FILTER]",
    help_template = help::TEMPLATE
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    watch: Watch,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Print events as they happen; the default
    #[command(
        after_help = help::WATCH,
        override_usage = "procscope [watch] [OPTIONS] [FILTER]",
        max_term_width = 80,
        help_template = help::OPTIONS_TEMPLATE
    )]
    Watch(Box<Watch>),
    /// Run a command, and print what it and its descendants do
    #[command(
        after_help = help::RUN,
        override_usage = "procscope run [OPTIONS] [--] CMD [ARG]...",
        max_term_width = 80,
        help_template = help::OPTIONS_TEMPLATE
    )]
    Run(Box<Run>),
    /// Replay events from a file of JSON Lines, or from a pipe
    #[command(
        after_help = help::REPLAY,
        override_usage = "procscope replay [OPTIONS] FILE [FILTER]",
        max_term_width = 80,
        help_template = help::OPTIONS_TEMPLATE
    )]
    Replay(Box<Replay>),
    /// List the mechanisms: what each reports, needs and costs here
    #[command(after_help = help::SOURCES, max_term_width = 80)]
    Sources(Sources),
    /// Try each mechanism on real processes, and name the fixes
    #[command(after_help = help::DOCTOR, max_term_width = 80)]
    Doctor(Doctor),
    /// Stand in for forkstat, execsnoop and others; make their links
    #[command(after_help = help::PERSONAS, max_term_width = 80)]
    Personas(Personas),
    /// Print a script that completes procscope's command line
    #[command(after_help = help::COMPLETIONS, max_term_width = 80)]
    Completions(Completions),
    /// Print the manual page, or write all pages to a directory
    #[command(after_help = help::MAN, max_term_width = 80)]
    Man(Man),
}

/// The options of `sources`.
#[derive(Args, Debug)]
pub(crate) struct Sources {
    /// text or json
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, hide_default_value = true)]
    pub(crate) format: Report,
}

/// The options of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Only this mechanism, as procscope sources names it
    #[arg(long, default_value = "auto", hide_default_value = true)]
    pub(crate) source: Source,

    /// Also compare all with each other, in a storm of processes
    #[arg(long)]
    pub(crate) deep: bool,

    /// text or json
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, hide_default_value = true)]
    pub(crate) format: Report,
}

/// The options of `personas`.
#[derive(Args, Debug)]
pub(crate) struct Personas {
    /// List them; the default
    #[arg(value_parser = ["list"], hide_possible_values = true)]
    list: Option<String>,

    /// Make a link for each name in this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) install: Option<PathBuf>,

    /// Replace existing files of these names, whatever they are
    #[arg(long, requires = "install")]
    pub(crate) force: bool,
}

/// The format of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Report {
    #[default]
    Text,
    Json,
}

/// The options of `completions`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// The options of `man`.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Write procscope.1, procscope-watch.1 and so on here
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

/// The options of `watch`.
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// Only events that match this filter: exit != 0
    #[arg(value_name = "FILTER", value_parser = complete::FilterWord, hide_possible_values = true)]
    filter_words: Vec<String>,

    #[command(flatten)]
    pub(crate) options: Options,
}

/// The options of `run`.
#[derive(Args, Debug)]
#[command(mut_arg("pids", |arg| arg.hide(true)), mut_arg("trees", |arg| arg.hide(true)))]
pub(crate) struct Run {
    /// The command, after all options
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,

    /// Only events that match this filter: 'exit != 0'
    #[arg(long = "filter", value_name = "FILTER", value_parser = complete::FilterWord, hide_possible_values = true)]
    filter_text: Option<String>,

    /// End when all descendants have ended, not just CMD
    #[arg(long)]
    pub(crate) wait_all: bool,

    #[command(flatten)]
    pub(crate) options: Options,
}

/// The options of `replay`.
#[derive(Args, Debug)]
#[command(
    mut_arg("explain", |arg| arg.hide(true)),
    mut_arg("env", |arg| arg.hide(true)),
    mut_arg("duration", |arg| arg.help("Only events within this time from the start: 10s, 5m")),
    mut_arg("source", |arg| arg.hide(true)),
    mut_arg("verify", |arg| arg.hide(true)),
    mut_arg("ring_size", |arg| arg.hide(true)),
    mut_arg("asked_events", |arg| arg.help("Kinds of event; default all that are recorded")),
    mut_arg("pids", |arg| arg.help("Only processes with this pid")),
    mut_arg("trees", |arg| arg.help("Only processes with this pid, and their descendants")),
    mut_arg("strict", |arg| arg.help("Status 3 if events are missing or lines were skipped"))
)]
pub(crate) struct Replay {
    /// The output of --format json, also compressed; - is stdin
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Only events that match this filter: exit != 0
    #[arg(value_name = "FILTER")]
    filter_words: Vec<String>,

    /// As fast as it happened, or N times: 1, 10, 0.5
    #[arg(long, value_name = "N", value_parser = parse_speed, allow_negative_numbers = true)]
    pub(crate) speed: Option<f64>,

    #[command(flatten)]
    pub(crate) options: Options,
}

impl Replay {
    /// An option of `watch` that only a mechanism can fulfil.
    fn of_a_mechanism(&self) -> Option<&'static str> {
        let it = &self.options;
        let given = [
            ("--explain", it.explain),
            ("--env", it.env.is_some()),
            ("--source", it.source.0.is_some()),
            ("--verify", it.verify.is_some()),
            ("--ring-size", it.ring_size.is_some()),
        ];
        given.into_iter().find_map(|(name, given)| given.then_some(name))
    }
}

/// The options of all three.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The filter; not read by clap
    #[arg(skip)]
    pub(crate) filter: Option<Filter>,

    /// Kinds of event; default exec,exec-failed,exit
    #[arg(short = 'e', long = "events", value_name = "LIST")]
    asked_events: Option<EventSet>,

    /// Those, or the kinds that the filter is about
    #[arg(skip)]
    pub(crate) events: EventSet,

    /// Print which terms the kernel decides, and end
    #[arg(long)]
    pub(crate) explain: bool,

    /// Only this process, and no later one with its pid
    #[arg(short, long = "pid", value_name = "PID", value_parser = parse_pid, allow_negative_numbers = true)]
    pub(crate) pids: Vec<Pid>,

    /// Only this process and all its descendants
    #[arg(long = "tree", value_name = "PID", value_parser = parse_pid, allow_negative_numbers = true)]
    pub(crate) trees: Vec<Pid>,

    /// Only processes with this name (its first 15 bytes)
    #[arg(short, long = "name", value_name = "NAME", value_parser = OsStringValueParser::new().try_map(parse_name))]
    pub(crate) names: Vec<Vec<u8>>,

    /// Only processes of this user, by name or number
    #[arg(short, long = "user", value_name = "USER", value_parser = parse_user, allow_negative_numbers = true)]
    pub(crate) uids: Vec<u32>,

    /// Only processes in this cgroup and below
    #[arg(long = "cgroup", value_name = "PATH")]
    pub(crate) cgroups: Vec<PathBuf>,

    /// Only containers whose ids begin with ID
    #[arg(long = "container", value_name = "ID", value_parser = parse_container)]
    pub(crate) containers: Vec<String>,

    /// Also read the environment, or these variables (JSON)
    #[arg(
        long,
        value_name = "NAME,…",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = crate::values::ALL_VARIABLES,
        value_parser = OsStringValueParser::new().try_map(parse_env)
    )]
    pub(crate) env: Option<EnvWanted>,

    /// table, json or csv
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, hide_default_value = true)]
    pub(crate) format: Format,

    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Columns of the table, such as pid,status,command
    #[arg(long, value_name = "LIST", value_parser = complete::ColumnList, hide_possible_values = true)]
    pub(crate) columns: Option<Columns>,

    /// No header above table and csv
    #[arg(long)]
    pub(crate) no_header: bool,

    /// Mark csv cells that a spreadsheet would compute
    #[arg(long)]
    pub(crate) csv_safe: bool,

    /// auto, always or never; auto honours NO_COLOR
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub(crate) color: Color,

    /// Stop after this time: 10, 10s, 500ms, 5m, 1h
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true)]
    pub(crate) duration: Option<Duration>,

    /// Stop after N events
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    pub(crate) count: Option<u64>,

    /// Print only errors on stderr
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Status 3 on lost events and on findings of --verify
    #[arg(long)]
    pub(crate) strict: bool,

    /// auto, or a name that procscope sources lists
    #[arg(long, default_value = "auto", hide_default_value = true)]
    pub(crate) source: Source,

    /// Report events that only one of two sources saw
    #[arg(long, value_name = "SOURCE", num_args = 0..=1, require_equals = true, default_missing_value = "auto")]
    pub(crate) verify: Option<Source>,

    /// The kernel's buffer, such as 256KiB or 64MiB
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) ring_size: Option<RingSize>,
}

/// The format of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Csv,
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// Reads the command line. A wrong one, or a request for help, is answered here and gives the exit
/// status.
pub(crate) fn parse() -> Result<Command, ExitCode> {
    parse_from(std::env::args_os()).map_err(|error| {
        if error.use_stderr() {
            // It repeats words that other users may have chosen, so it has no colours of its own.
            say(&visible_lines(&error.render().to_string()));
            return ExitCode::from(2);
        }
        let text = error.render();
        let colors = io::stdout().is_terminal() && output::colors_are_welcome();
        let text = if colors { text.ansi().to_string() } else { text.to_string() };
        match output::print(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                failure.print();
                ExitCode::from(1)
            }
        }
    })
}

/// The command line as clap reads it.
pub(crate) fn command() -> clap::Command {
    CommandLine::command()
}

/// The same with the personas, for manual pages and completions. They read their own command lines.
pub(crate) fn command_with_personas() -> clap::Command {
    let personas =
        crate::personas::ALL.iter().map(|persona| persona.command(&[]).help_template(help::OPTIONS_TEMPLATE));
    command().subcommands(personas)
}

fn parse_from(words: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let line = CommandLine::try_parse_from(words)?;
    let named = line.command.is_some();
    let mut command = line.command.unwrap_or_else(|| Command::Watch(Box::new(line.watch)));
    match &mut command {
        Command::Watch(watch) => {
            let text = (!watch.filter_words.is_empty()).then(|| watch.filter_words.join(" "));
            check(&mut watch.options, text, named)?;
        }
        Command::Run(run) => {
            let options = &mut run.options;
            if !options.pids.is_empty() || !options.trees.is_empty() {
                let text = "run watches CMD and its descendants. Leave out --pid and --tree, or use procscope watch";
                return Err(self::command().error(ErrorKind::ArgumentConflict, text));
            }
            check(options, run.filter_text.take(), true)?;
        }
        Command::Replay(replay) => {
            if let Some(option) = replay.of_a_mechanism() {
                let text = format!("{option} is about watching, and a recording is already made. Leave it out");
                return Err(self::command().error(ErrorKind::ArgumentConflict, text));
            }
            let options = &mut replay.options;
            options.asked_events.get_or_insert(EventSet::ALL);
            let text = (!replay.filter_words.is_empty()).then(|| replay.filter_words.join(" "));
            check(options, text, true)?;
        }
        Command::Sources(_) | Command::Doctor(_) | Command::Personas(_) | Command::Completions(_) | Command::Man(_) => {
        }
    }
    Ok(command)
}

fn check(options: &mut Options, filter_text: Option<String>, named: bool) -> Result<(), clap::Error> {
    if let Some(text) = filter_text {
        let filter = Filter::parse(&text).map_err(|error| {
            let commands: Vec<_> =
                CommandLine::command().get_subcommands().map(|it| it.get_name().to_owned()).collect();
            let commands = if named { &[] } else { &commands[..] };
            CommandLine::command().error(ErrorKind::ValueValidation, filter::complaint(&text, &error, commands))
        })?;
        options.filter = Some(filter);
    }
    let usual = EventSet::default();
    options.events = options.asked_events.unwrap_or_else(|| match &options.filter {
        Some(filter) => filter.choose_events(usual).union(usual),
        None => usual,
    });
    if options.columns.is_some() && options.format != Format::Table {
        let text = "--columns chooses the columns of the table; json and csv always hold every field. \
                    Leave out --columns, or use --format table";
        return Err(command().error(ErrorKind::ArgumentConflict, text));
    }
    if options.csv_safe && options.format != Format::Csv {
        let text = "--csv-safe changes only csv. Leave it out, or use --format csv";
        return Err(command().error(ErrorKind::ArgumentConflict, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
