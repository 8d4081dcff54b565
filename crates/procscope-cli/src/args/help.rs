//! What `--help` says below the options. Manual pages make a section of each paragraph that opens with a title, and a test
//! runs every line of the examples.

/// Of `procscope` itself.
pub(super) const PROCSCOPE: &str = "\
Events: existing fork clone exec exec-failed exit thread-exit core comm uid gid
sid ptrace, or all. Repeat -p, --tree, -n, -u, --cgroup, --container for more.

Examples:
  procscope 'exe ~ /tmp/* and user != root'     see docs/filter.md
  procscope run make -j2                        what a build runs";

pub(super) const WATCH: &str = "\
Events: existing fork clone exec exec-failed exit thread-exit core comm uid gid
sid ptrace, or all. Repeat -p, --tree, -n, -u, --cgroup, --container for more.

Filters: see docs/filter.md; --explain tells what the kernel decides of one.

Exit status: 0, or 1 after an error, 2 after a wrong option, 3 by --strict.

Examples:
  procscope watch                               what starts and ends, and how
  procscope watch -e all --tree 1234            everything below one process
  procscope watch -u www-data --format json -o web.json
  procscope watch 'duration < 50ms and exit != 0'
  procscope watch -e exec-failed --columns time,parent,info,command";

pub(super) const SOURCES: &str = "\
Examples:
  procscope sources                             what there is, and what it takes
  procscope sources --format json | jq -r .auto";

pub(super) const DOCTOR: &str = "\
Exit status: 0 where a mechanism works with all that it claims, 3 where one works
in part, 1 where none does.

Examples:
  procscope doctor                              tries all, in a second or two
  procscope doctor --deep                       holds them against each other
  procscope doctor --format json | jq .works";

pub(super) const RUN: &str = "\
Events go to stderr, or to FILE by -o; CMD has stdin, stdout, stderr and the
terminal. For the kinds of event and filters see procscope watch --help.

Exit status: that of CMD; 128 and the signal that ended it; 127 where there is
no CMD, 126 where it cannot be run; 1, 2 and 3 as of watch.

Examples:
  procscope run make -j2                        what a build runs
  procscope run -o log.json --format json -- sh -c 'ls; ls no-such-file || true'
  procscope run --filter 'exit != 0' --wait-all sh -c 'sleep 1 & true'";

pub(super) const PERSONAS: &str = "\
Each is a command too: procscope forkstat --help tells its options, and what
differs from the original.

Examples:
  procscope personas                            what it can stand in for
  procscope personas --install ~/bin            then type: forkstat";

pub(super) const COMPLETIONS: &str = "\
Examples:
  source <(procscope completions bash)          for this shell, or in ~/.bashrc
  procscope completions zsh > _procscope        in a directory of $fpath
  procscope completions fish > procscope.fish   in ~/.config/fish/completions";

pub(super) const MAN: &str = "\
Examples:
  procscope man | man -l -                      the first page, to read it now
  procscope man man1                            all pages, for a MANPATH";

/// The screen of `procscope --help`: clap would leave out either the commands or the blank that `{all-args}` wastes.
pub(super) const TEMPLATE: &str = "{about}

{usage-heading} {usage}

Commands:
{subcommands}

Options:
{options}{after-help}
";

/// The screen of a command that has nothing but options.
pub(super) const OPTIONS_TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n\n{options}{after-help}\n";

/// The paragraphs below the options, by title: `Exit status: 0, or …` is ("Exit status", "0, or …").
pub(crate) fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n\n").filter_map(|paragraph| {
        let (title, body) = paragraph.split_once(':')?;
        Some((title, body.strip_prefix('\n').unwrap_or(body.trim_start())))
    })
}
