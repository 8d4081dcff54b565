mod filter;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use procscope::{EnvWanted, EventSet, Filter, Pid};

use self::values::{
    RingSize, Source, parse_container, parse_count, parse_duration, parse_env, parse_name, parse_pid, parse_user,
};
use crate::render::columns::Columns;

const AFTER_HELP: &str = "\
Events: existing fork clone exec exec-failed exit thread-exit core comm uid gid
sid ptrace, or all. Repeat -p, --tree, -n, -u, --cgroup, --container for more.
Filters: see docs/filter.md, and --explain.
Exit status: 0, or 1 after an error, 2 after a wrong option, 3 by --strict.

Examples:
  procscope                                     what starts and ends, and how
  procscope 'exe ~ /tmp/* and not user == root'
  procscope -e all --tree 1234                  everything below one process
  procscope -u www-data --format json -o web.json
  procscope -e exec-failed --columns time,parent,info,command";

/// The command line.
#[derive(Parser, Debug)]
#[command(
    name = "procscope",
    version,
    about = "Prints every process that starts and every process that ends.",
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 80,
    override_usage = "procscope [watch] [OPTIONS] [FILTER]",
    help_template = "{about}\n\n{usage-heading} {usage}\n\n{options}{after-help}\n"
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Prints events as they happen; what procscope does when no command is named.
    #[command(
        after_help = AFTER_HELP,
        override_usage = "procscope [watch] [OPTIONS] [FILTER]",
        max_term_width = 80,
        help_template = "{about}\n\n{usage-heading} {usage}\n\n{options}{after-help}\n"
    )]
    Watch(Watch),
}

/// The options of `watch`.
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// Only events that this filter takes: exit != 0
    #[arg(value_name = "FILTER")]
    filter_words: Vec<String>,

    /// What the words above say; not read by clap
    #[arg(skip)]
    pub(crate) filter: Option<Filter>,

    /// Kinds of event; exec,exec-failed,exit without it
    #[arg(short = 'e', long = "events", value_name = "LIST")]
    asked_events: Option<EventSet>,

    /// Those, or what the filter is about
    #[arg(skip)]
    pub(crate) events: EventSet,

    /// Print what of the filter the kernel decides, and end
    #[arg(long)]
    pub(crate) explain: bool,

    /// Only this process
    #[arg(short, long = "pid", value_name = "PID", value_parser = parse_pid)]
    pub(crate) pids: Vec<Pid>,

    /// Only this process and all below it, also to come
    #[arg(long = "tree", value_name = "PID", value_parser = parse_pid)]
    pub(crate) trees: Vec<Pid>,

    /// Only processes of this name: the first 15 bytes count
    #[arg(short, long = "name", value_name = "NAME", value_parser = OsStringValueParser::new().try_map(parse_name))]
    pub(crate) names: Vec<Vec<u8>>,

    /// Only processes of this user, by name or number
    #[arg(short, long = "user", value_name = "USER", value_parser = parse_user)]
    pub(crate) uids: Vec<u32>,

    /// Only processes in this cgroup and below
    #[arg(long = "cgroup", value_name = "PATH")]
    pub(crate) cgroups: Vec<PathBuf>,

    /// Only processes in containers whose ids begin so
    #[arg(long = "container", value_name = "ID", value_parser = parse_container)]
    pub(crate) containers: Vec<String>,

    /// Also read the environment, or these variables (JSON)
    #[arg(
        long,
        value_name = "NAME,…",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = values::ALL_VARIABLES,
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
    #[arg(long, value_name = "LIST")]
    pub(crate) columns: Option<Columns>,

    /// No header above table and csv
    #[arg(long)]
    pub(crate) no_header: bool,

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
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,

    /// Stop after N events
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) count: Option<u64>,

    /// Say nothing on stderr but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// End with status 3 where events were lost
    #[arg(long)]
    pub(crate) strict: bool,

    /// auto or ebpf
    #[arg(long, default_value = "auto", hide_default_value = true)]
    pub(crate) source: Source,

    /// The kernel's buffer: 256KiB, 8MiB (the default), …
    #[arg(long, value_name = "SIZE", default_value = "8MiB", hide_default_value = true)]
    pub(crate) ring_size: RingSize,
}

/// How events are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Csv,
}

/// When to colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// Reads the command line; ends the program where it is wrong, or where it asks for help.
pub(crate) fn parse() -> Watch {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

fn parse_from(words: impl IntoIterator<Item = OsString>) -> Result<Watch, clap::Error> {
    let line = CommandLine::try_parse_from(words)?;
    let (mut watch, named) = match line.command {
        Some(Command::Watch(watch)) => (watch, true),
        None => (line.watch, false),
    };
    if !watch.filter_words.is_empty() {
        let text = watch.filter_words.join(" ");
        let filter = Filter::parse(&text).map_err(|error| {
            let commands: Vec<_> =
                CommandLine::command().get_subcommands().map(|it| it.get_name().to_owned()).collect();
            let commands = if named { &[] } else { &commands[..] };
            CommandLine::command().error(ErrorKind::ValueValidation, filter::complaint(&text, &error, commands))
        })?;
        watch.filter = Some(filter);
    }
    let usual = EventSet::default();
    watch.events = watch.asked_events.unwrap_or_else(|| match &watch.filter {
        Some(filter) => filter.choose_events(usual),
        None => usual,
    });
    if watch.columns.is_some() && watch.format != Format::Table {
        let text = "--columns chooses the columns of the table; json and csv always hold every field. \
                    Leave out --columns, or use --format table";
        return Err(CommandLine::command().error(ErrorKind::ArgumentConflict, text));
    }
    Ok(watch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Watch, String> {
        let words = std::iter::once("procscope").chain(line.split_whitespace()).map(OsString::from);
        parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn watch_is_the_default() {
        for line in ["-e all -p 1 -p 2 --env", "watch -e all -p 1 -p 2 --env"] {
            let watch = parsed(line).unwrap();
            assert_eq!(watch.events, EventSet::ALL);
            assert_eq!(watch.pids, [1, 2]);
            assert_eq!(watch.env, Some(EnvWanted::All));
        }
        assert!(parsed("-e all watch").unwrap_err().contains("a command comes first"));
        let watch = parsed("").unwrap();
        assert_eq!(watch.events, EventSet::default());
        assert_eq!(watch.env, None);
        assert_eq!(watch.ring_size, RingSize::default());
        assert_eq!(watch.source, Source(None));
    }

    #[test]
    fn words_that_are_no_options_are_the_filter() {
        for line in ["exit != 0", "watch exit != 0", "-q exit != 0", "exit != 0 -q", "exit -q != 0"] {
            let watch = parsed(line).unwrap();
            assert_eq!(watch.filter.unwrap().to_string(), "exit_code != 0", "{line}");
            assert_eq!(watch.events, "exit".parse().unwrap());
        }
        assert_eq!(parsed("-e all exit != 0").unwrap().events, EventSet::ALL);
        assert_eq!(parsed("user == root").unwrap().events, EventSet::default());
        assert_eq!(parsed("name == watch").unwrap().filter.unwrap().to_string(), "name == watch");
    }

    #[test]
    fn environment_variables_need_an_equals_sign() {
        let named = EnvWanted::Named(vec![b"PATH".to_vec(), b"HOME".to_vec()]);
        assert_eq!(parsed("--env=PATH,HOME").unwrap().env, Some(named));
        assert!(parsed("--env PATH").is_err());
    }

    #[test]
    fn help_fits_a_screen() {
        let short = parsed("-h").unwrap_err();
        assert_eq!(short, parsed("--help").unwrap_err());
        assert!(short.lines().count() <= 42, "{} lines", short.lines().count());
        let widest = short.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?}");
        insta::assert_snapshot!(short);
    }

    #[test]
    fn the_documentation_has_every_option_and_event() {
        let page = include_str!("../../../../docs/cli.md");
        for option in CommandLine::command().get_arguments().filter_map(|option| option.get_long()) {
            let known = page.contains(&format!("--{option} "))
                || page.contains(&format!("--{option}`"))
                || page.contains(&format!("--{option}["));
            assert!(known || option == "version", "--{option}");
        }
        for kind in EventSet::ALL.iter() {
            assert!(page.contains(&format!("`{kind}`")), "{kind}");
        }
    }

    #[test]
    fn wrong_values_say_what_to_type() {
        let lines = [
            "-e exce",
            "-e ",
            "-p 0",
            "-p x",
            "-u no-such-user-here",
            "--columns time,nope",
            "--format json --columns pid",
            "--format xml",
            "--color blue",
            "--duration 0",
            "--duration 5parsecs",
            "--count 0",
            "--ring-size 1KiB",
            "--ring-size lots",
            "--source etw",
            "--env=",
            "--container ../x",
            "record",
            "watch record",
            "exit != 0 and usr == root",
            "exit = 0",
            "duration < 50",
        ];
        let mut text = String::new();
        for line in lines {
            text += &format!("$ procscope {line}\n{}\n", parsed(line).unwrap_err());
        }
        insta::assert_snapshot!(text);
    }
}
