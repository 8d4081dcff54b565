//! The common work of all personas: attach, report what is missing, give up rights, render until
//! stopped.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use procscope::{Event, EventKind, Feed, Kind, Lost, MonitorBuilder, Session, SourceId, StopHandle, Summary};

use super::options::Common;
use crate::failure::Failure;
use crate::output::say;
use crate::output::{Output, Screen};
use crate::program;
use crate::recording;
use crate::render::Render;
use crate::telling::Telling;
use procscope_format::escape;

/// A persona about to watch.
pub(crate) struct Watch {
    pub(crate) builder: MonitorBuilder,
    pub(crate) output: Output,
    /// Run with SCHED_FIFO at the highest priority.
    pub(crate) realtime: bool,
    /// Only errors on stderr.
    pub(crate) quiet: bool,
    /// A command to run meanwhile, with the original rights; it is watched like all others, and the
    /// run ends with it.
    pub(crate) meanwhile: Vec<OsString>,
    /// A recording to read, in place of a mechanism.
    replay: Option<PathBuf>,
}

impl Watch {
    /// Events of this choice to standard output.
    pub(crate) fn new(builder: MonitorBuilder, common: Common) -> Result<Self, Failure> {
        let builder = match common.source {
            Some(source) => builder.source(source),
            None => builder,
        };
        let builder = match common.duration {
            Some(duration) => builder.duration(duration),
            None => builder,
        };
        Ok(Self {
            builder,
            output: Output::open(None, None, false)?,
            realtime: false,
            quiet: false,
            meanwhile: Vec::new(),
            replay: common.replay,
        })
    }

    /// Watches until stopped; `None` if the output's reader is gone.
    pub(crate) fn run(
        self,
        render: impl FnOnce(&Session, Option<&Screen>) -> Box<dyn Render>,
    ) -> Result<Option<Summary>, Failure> {
        self.attach()?.run(render)
    }

    /// Attaches: from now on nothing is missed. Gives up rights, and catches signals.
    pub(crate) fn attach(self) -> Result<Attached, Failure> {
        if let Some(path) = &self.replay {
            let feed = replayed(path, &self.builder, self.quiet)?;
            return Ok(Attached { feed, output: self.output, quiet: self.quiet, live: false });
        }
        let monitor = self.builder.build()?;
        let meanwhile = self.meanwhile.split_first().map(|(program, words)| {
            let begun = Command::new(program).args(words).spawn();
            begun.map_err(|error| Failure {
                what: format!("cannot run {}", escape::visible(&program.to_string_lossy())),
                cause: crate::failure::describe(&error),
                help: "name a program in $PATH, or a file by its path: ./program".to_owned(),
            })
        });
        let meanwhile = meanwhile.transpose()?;
        #[cfg_attr(not(target_os = "linux"), allow(unused_mut))]
        let mut notes = program::notes(monitor.session());
        #[cfg(target_os = "linux")]
        {
            if self.realtime {
                notes.extend(super::realtime::begin());
            }
            // Before the first thread, because each has its own capabilities. A command has its
            // rights already.
            if monitor.command().is_none() {
                notes.extend(crate::rights::give_up_all_but(monitor.session().rights));
            }
        }
        #[cfg(unix)]
        match monitor.command() {
            Some(command) => crate::signals::pass_on(command, monitor.stop_handle()),
            None => crate::signals::stop_on_signals(monitor.stop_handle()),
        }
        .map_err(crate::signals::failure)?;
        if !self.quiet {
            notes.iter().for_each(|note| say(&line(note)));
        }
        if let Some(mut child) = meanwhile {
            let stop = monitor.stop_handle();
            // It continues if this ends first, like a program that a shell started.
            std::thread::spawn(move || {
                let _ = child.wait();
                stop.stop();
            });
        }
        Ok(Attached { feed: Box::new(monitor), output: self.output, quiet: self.quiet, live: true })
    }
}

/// A recording, of which only the persona's events are given.
fn replayed(path: &Path, builder: &MonitorBuilder, quiet: bool) -> Result<Box<dyn Feed>, Failure> {
    let reader = recording::open(path, None, quiet)?.ok_or_else(|| recording::empty(path))?;
    #[cfg(unix)]
    crate::signals::stop_on_signals(reader.stop_handle()).map_err(crate::signals::failure)?;
    recording::select(reader, builder.want())
}

/// A persona that watches.
pub(crate) struct Attached {
    feed: Box<dyn Feed>,
    output: Output,
    quiet: bool,
    live: bool,
}

impl Attached {
    /// Ends it from anywhere.
    pub(crate) fn stop_handle(&self) -> StopHandle {
        self.feed.stop_handle()
    }

    /// Prints events until stopped; `None` if the output's reader is gone.
    pub(crate) fn run(
        self,
        render: impl FnOnce(&Session, Option<&Screen>) -> Box<dyn Render>,
    ) -> Result<Option<Summary>, Failure> {
        let Self { quiet, live, .. } = self;
        let watch = |event: &Event| {
            if let EventKind::Lost(lost) = &event.kind
                && !quiet
            {
                say(&line(&told(lost)));
            }
        };
        let telling = Telling { render, watch, count: None };
        let summary = telling.tell(self.feed, self.output).map_err(Failure::from)?;
        if let Some(summary) = summary.as_ref().filter(|summary| live && summary.malformed > 0) {
            say(&line(&format!("{} records of the kernel could not be read", summary.malformed)));
        }
        Ok(summary)
    }
}

fn line(text: &str) -> String {
    format!("procscope: {}\n", escape::visible(text))
}

/// `123 events were lost here: 100 exec, 23 exit`.
pub(crate) fn told(lost: &Lost) -> String {
    let total = lost.total();
    let kinds = lost.iter().map(|(kind, count)| match kind {
        Kind::Lost => format!("{count} of unknown kind"),
        kind => format!("{count} {kind}"),
    });
    format!("{total} events were lost here: {}", kinds.collect::<Vec<_>>().join(", "))
}

/// Prints a line if a mechanism does not report the path as called.
pub(crate) fn note_path(source: SourceId) {
    if matches!(source, SourceId::ProcessConnector | SourceId::ProcPoll) {
        let text = format!("{} does not report the path as called: ARGS begins with the first argument", source.name());
        say(&line(&text));
    }
}
