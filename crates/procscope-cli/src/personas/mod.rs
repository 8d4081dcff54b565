//! Other tools under their own names: the options, columns and lines that their users know, with
//! true content.

mod execsnoop;
mod exitsnoop;
mod extrace;
mod forkstat;
mod newproc;
pub(crate) mod options;
mod pwait;
#[cfg(target_os = "linux")]
mod realtime;
#[cfg(test)]
mod references;
#[cfg(test)]
mod samples;
mod session;
mod shortlived;
mod sketch;
mod text;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use self::options::Refusal;
use crate::failure::Failure;
use crate::output;

/// A tool that procscope can stand in for.
pub(crate) struct Persona {
    /// As a command: `procscope forkstat`.
    pub(crate) name: &'static str,
    /// The names of its links, with the options that each implies.
    pub(crate) links: &'static [(&'static str, &'static [&'static str])],
    run: fn(Vec<OsString>) -> Result<ExitCode, Refusal>,
    /// For help, manual pages and completions, for these words.
    command: fn(&[OsString]) -> clap::Command,
}

pub(crate) const ALL: &[Persona] = &[
    Persona {
        name: "forkstat",
        links: &[("forkstat", &[])],
        run: forkstat::run,
        command: |_| forkstat::TABLE.command(),
    },
    Persona {
        name: "execsnoop",
        links: &[
            ("execsnoop", &[]),
            ("execsnoop-bpfcc", &["--style=bcc"]),
            ("execsnoop-libbpf", &["--style=libbpf"]),
            ("execsnoop-perf", &["--style=perf-tools"]),
            ("execsnoop.bt", &["--style=bpftrace"]),
            ("execsnoop-dtrace", &["--style=dtrace"]),
        ],
        run: execsnoop::run,
        command: execsnoop::command,
    },
    Persona {
        name: "exitsnoop",
        links: &[("exitsnoop", &[]), ("exitsnoop-bpfcc", &["--style=bcc"]), ("exitsnoop-libbpf", &["--style=libbpf"])],
        run: exitsnoop::run,
        command: exitsnoop::command,
    },
    Persona { name: "extrace", links: &[("extrace", &[])], run: extrace::run, command: |_| extrace::TABLE.command() },
    Persona { name: "pwait", links: &[("pwait", &[])], run: pwait::run, command: |_| pwait::TABLE.command() },
    Persona {
        name: "newproc",
        links: &[("newproc", &[]), ("newproc.d", &[])],
        run: newproc::run,
        command: |_| newproc::TABLE.command(),
    },
    Persona {
        name: "shortlived",
        links: &[("shortlived.d", &[])],
        run: shortlived::run,
        command: |_| shortlived::TABLE.command(),
    },
    Persona { name: "sketch", links: &[], run: sketch::run, command: |_| sketch::TABLE.command() },
];

impl Persona {
    /// Its options, for these words.
    pub(crate) fn command(&self, words: &[OsString]) -> clap::Command {
        (self.command)(words)
    }

    /// What it is, in one line.
    pub(crate) fn about(&self) -> String {
        self.command(&[]).get_about().map(ToString::to_string).unwrap_or_default()
    }
}

/// A persona, and its arguments.
pub(crate) struct Call {
    persona: &'static Persona,
    words: Vec<OsString>,
}

/// The persona that a command line means: by the name of the link that called it, or by its first
/// word.
pub(crate) fn called(words: impl IntoIterator<Item = OsString>) -> Option<Call> {
    let mut words = words.into_iter();
    let program = words.next()?;
    if let Some((persona, implied)) = by_link(&program) {
        return Some(Call { persona, words: implied.iter().map(OsString::from).chain(words).collect() });
    }
    let name = words.next()?;
    let persona = ALL.iter().find(|persona| name == persona.name)?;
    Some(Call { persona, words: words.collect() })
}

fn by_link(program: &OsStr) -> Option<(&'static Persona, &'static [&'static str])> {
    let name = Path::new(program).file_name()?.to_str()?;
    let name = name.strip_suffix(".exe").unwrap_or(name);
    ALL.iter().find_map(|persona| {
        let (_, implied) = persona.links.iter().find(|(link, _)| *link == name)?;
        Some((persona, *implied))
    })
}

impl Call {
    pub(crate) fn run(self) -> ExitCode {
        let words = self.words.clone();
        let refusal = match (self.persona.run)(self.words) {
            Ok(status) => return status,
            Err(refusal) => refusal,
        };
        let (text, status) = match refusal {
            Refusal::Help(status) => (self.persona.command(&words).render_help().to_string(), status),
            Refusal::Usage => (format!("{}\n", self.persona.command(&words).render_usage()), 0),
            Refusal::Version => (format!("{} (procscope {})\n", self.persona.name, env!("CARGO_PKG_VERSION")), 0),
            Refusal::Said(text) => (text.to_owned(), 0),
            Refusal::Wrong(failure, status) => return refuse(&failure, status),
            Refusal::Failed(failure) => return refuse(&failure, 1),
        };
        match output::print(text.as_bytes()) {
            Ok(()) => ExitCode::from(status),
            Err(failure) => refuse(&failure, 1),
        }
    }
}

fn refuse(failure: &Failure, status: u8) -> ExitCode {
    failure.print();
    ExitCode::from(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_help_fits_and_says_what_differs() {
        let styles = ["bcc", "libbpf", "perf-tools", "bpftrace", "dtrace"];
        for persona in ALL {
            for style in styles {
                let words = [OsString::from(format!("--style={style}"))];
                let mut command = persona.command(&words);
                command.build();
                let help = command.render_help().to_string();
                assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
                assert!(help.contains("\nDiffers:\n") && help.contains("\nExamples:\n"), "{help}");
            }
        }
    }

    #[test]
    fn names_mean_one_persona_each() {
        let call = |words: &[&str]| called(words.iter().map(OsString::from));
        let mut names = Vec::new();
        for persona in ALL {
            assert_eq!(call(&["procscope", persona.name, "-x"]).unwrap().words, ["-x"]);
            for (link, implied) in persona.links {
                let call = call(&[&format!("/some/where/{link}"), "-x"]).unwrap();
                assert_eq!(call.persona.name, persona.name);
                assert_eq!(call.words.len(), implied.len() + 1);
                names.push(*link);
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(call(&["procscope", "watch"]).is_none() && call(&["procscope"]).is_none() && call(&[]).is_none());
        assert_eq!(call(&["execsnoop.exe"]).unwrap().persona.name, "execsnoop");
    }
}
