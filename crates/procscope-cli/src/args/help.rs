//! The text of `--help` below the options. In manual pages each paragraph that begins with a title is
//! a section. A test runs every line of the examples.

/// For `procscope` itself.
pub(super) const PROCSCOPE: &str = "\
Events: existing fork clone exec exec-failed exit thread-exit core comm uid gid
sid ptrace, or all. Repeat -p, --tree, -n, -u, --cgroup, --container for more.

Examples:
  procscope 'exe ~ /tmp/* and user != root'     see docs/filter.md
  procscope run make -j2                        what a build runs";

pub(super) const WATCH: &str = "\
Events: existing fork clone exec exec-failed exit thread-exit core comm uid gid
sid ptrace, or all. Repeat -p, --tree, -n, -u, --cgroup, --container for more.

Filters: see docs/filter.md; --explain shows which terms the kernel decides.

Exit status: 0, 1 after an error, 2 after a wrong option, 3 with --strict.

Examples:
  procscope watch                               what starts and ends, and how
  procscope watch -e all --tree 1234            everything below one process
  procscope watch -u www-data --format json -o web.json
  procscope watch 'duration < 50ms and exit != 0'
  procscope watch -e exec-failed --columns time,parent,info,command";

pub(super) const SOURCES: &str = "\
Examples:
  procscope sources                             what works here, and its needs
  procscope sources --format json | jq -r .auto";

pub(super) const DOCTOR: &str = "\
Exit status: 0 if a mechanism works with all that it claims, 3 if one works in
part, 1 if none works.

Examples:
  procscope doctor                              tries all, in about a second
  procscope doctor --deep                       compares them in a storm
  procscope doctor --format json | jq .works";

pub(super) const RUN: &str = "\
Events go to stderr, or with -o to FILE; CMD has stdin, stdout, stderr and the
terminal. For the kinds of event and filters see procscope watch --help.

Exit status: that of CMD; 128 plus the signal that ended it; 127 if CMD does not
exist, 126 if it cannot be run; 1, 2 and 3 as for watch.

Examples:
  procscope run make -j2                        what a build runs
  procscope run -o log.json --format json -- sh -c 'ls; ls no-such-file || true'
  procscope run --filter 'exit != 0' --wait-all sh -c 'sleep 1 & true'";

pub(super) const REPLAY: &str = "\
First record events: procscope --format json -o events.jsonl. They come at once,
or with --speed as they happened. Unreadable lines are skipped, with a message.
Repeat -p, --tree, -n, -u, --cgroup, --container for more.
Personas replay too: procscope forkstat --replay FILE.

Exit status: 0, 1 after an error, 2 after a wrong option, 3 with --strict.

Examples:
  procscope replay events.jsonl 'exit != 0'     what failed
  procscope replay --format csv events.jsonl > events.csv
  procscope --format json | procscope replay - --columns time,command";

pub(super) const PERSONAS: &str = "\
Each is a command too: procscope forkstat --help shows its options, and the
differences from the original.

Examples:
  procscope personas                            the tools it stands in for
  procscope personas --install ~/bin            then type: forkstat";

pub(super) const COMPLETIONS: &str = "\
Examples:
  source <(procscope completions bash)          for this shell, or in ~/.bashrc
  procscope completions zsh > _procscope        in a directory of $fpath
  procscope completions fish > procscope.fish   in ~/.config/fish/completions";

pub(super) const MAN: &str = "\
Examples:
  procscope man | man -l -                      the first page, to read now
  procscope man man1                            all pages, for a MANPATH";

/// The screen of `procscope --help`: clap would leave out either the commands or a blank line that
/// `{all-args}` wastes.
pub(super) const TEMPLATE: &str = "{about}

{usage-heading} {usage}

Commands:
{subcommands}

Options:
{options}{after-help}
";

/// The screen of a command that has only options.
pub(super) const OPTIONS_TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n\n{options}{after-help}\n";

/// The paragraphs below the options, by title: `Exit status: 0, or …` is ("Exit status", "0, or …").
pub(crate) fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n\n").filter_map(|paragraph| {
        let (title, body) = paragraph.split_once(':')?;
        Some((title, body.strip_prefix('\n').unwrap_or(body.trim_start())))
    })
}
