use procscope::Kind;

use super::*;

fn parsed(line: &str) -> Result<Options, String> {
    match parsed_command(line)? {
        Command::Watch(watch) => Ok(watch.options),
        Command::Run(run) => Ok(run.options),
        other => Err(format!("{other:?}")),
    }
}

fn parsed_command(line: &str) -> Result<Command, String> {
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
    assert_eq!(watch.ring_size, None);
    assert_eq!(watch.source, Source(None));
}

#[test]
fn words_that_are_no_options_are_the_filter() {
    for line in ["exit != 0", "watch exit != 0", "-q exit != 0", "exit != 0 -q", "exit -q != 0"] {
        let watch = parsed(line).unwrap();
        assert_eq!(watch.filter.unwrap().to_string(), "exit_code != 0", "{line}");
        assert_eq!(watch.events, EventSet::default());
    }
    assert_eq!(parsed("-e all exit != 0").unwrap().events, EventSet::ALL);
    assert_eq!(parsed("user == root").unwrap().events, EventSet::default());
    assert!(parsed("event == fork").unwrap().events.contains(Kind::Fork));
    assert_eq!(parsed("name == watch").unwrap().filter.unwrap().to_string(), "name == watch");
}

#[test]
fn what_follows_the_command_is_its_own() {
    let run = |line: &str| match parsed_command(line) {
        Ok(Command::Run(run)) => run,
        other => panic!("{line}: {other:?}"),
    };
    for line in ["run -q --wait-all make -j2 -- -q", "run -q --wait-all -- make -j2 -- -q"] {
        let run = run(line);
        assert!(run.options.quiet && run.wait_all, "{line}");
        assert_eq!(run.command, ["make", "-j2", "--", "-q"], "{line}");
    }
    assert_eq!(run("run --filter exit!=0 -- x").options.filter.unwrap().to_string(), "exit_code != 0");
    assert!(parsed("run").is_err() && parsed("run --tree 1 x").unwrap_err().contains("descendants"));
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
    insta::assert_snapshot!(short);
    let names = command().get_subcommands().map(|command| command.get_name().to_owned()).collect::<Vec<_>>();
    let screens = names.iter().map(|name| parsed(&format!("{name} --help")).unwrap_err());
    for screen in screens.chain([short]) {
        assert!(screen.lines().count() <= 42, "{} lines: {screen}", screen.lines().count());
        assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    }
}

#[test]
fn help_lists_every_command_and_each_ends_with_examples() {
    let top = command();
    let screen = parsed("--help").unwrap_err();
    for command in top.get_subcommands() {
        assert!(screen.contains(&format!("\n  {} ", command.get_name())), "{}", command.get_name());
    }
    for command in top.get_subcommands().chain([&top]) {
        let text = command.get_after_help().unwrap_or_else(|| panic!("{}", command.get_name())).to_string();
        let (title, examples) = help::sections(&text).last().unwrap();
        assert_eq!(title, "Examples");
        let name = if command.get_name() == "procscope" { "" } else { command.get_name() };
        assert!(examples.lines().all(|line| line.contains(&format!("procscope {name}"))), "{examples}");
    }
}

#[test]
fn commands_are_told_apart() {
    assert!(matches!(parsed_command("completions zsh"), Ok(Command::Completions(Completions { shell: Shell::Zsh }))));
    assert!(matches!(parsed_command("man"), Ok(Command::Man(Man { dir: None }))));
    assert!(parsed_command("completions").is_err() && parsed_command("completions tcsh").is_err());
    assert!(parsed_command("-e all man").is_err());
    assert!(matches!(parsed_command("sources"), Ok(Command::Sources(Sources { format: Report::Text }))));
    let Ok(Command::Doctor(doctor)) = parsed_command("doctor --deep --source ebpf --format json") else { panic!() };
    assert_eq!((doctor.deep, doctor.format, doctor.source.0.is_some()), (true, Report::Json, true));
}

#[test]
fn the_documentation_has_every_option_and_event() {
    let page = include_str!("../../../../docs/cli.md");
    let top = command();
    let options = top.get_subcommands().chain([&top]).flat_map(|command| command.get_arguments());
    for option in options.filter_map(|option| option.get_long()) {
        let known = page.contains(&format!("--{option} "))
            || page.contains(&format!("--{option}`"))
            || page.contains(&format!("--{option}["));
        assert!(known || option == "version", "--{option}");
    }
    for name in command().get_subcommands().map(|command| command.get_name().to_owned()) {
        assert!(page.contains(&format!("`procscope {name}")) || name == "watch", "{name}");
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
        "-p -1",
        "-u -5",
        "--count -1",
        "--duration -1",
        "--ring-size -1",
        "-u no-such-user-here",
        "--columns time,nope",
        "--format json --columns pid",
        "--format json --csv-safe",
        "--format xml",
        "--color blue",
        "--duration 0",
        "--duration 5parsecs",
        "--duration 99999999999999999999d",
        "-u 4294967295",
        "--count 0",
        "--ring-size 1KiB",
        "--ring-size lots",
        "--source etw",
        "sources --format csv",
        "doctor --source etw",
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
