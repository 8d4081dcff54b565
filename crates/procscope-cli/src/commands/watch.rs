use std::process::ExitCode;

use jiff::tz::TimeZone;
use procscope::{DecidedBy, Error, Event, EventSet, Monitor, MonitorBuilder, Session, Summary};

use crate::args::{Color, Format, Options};
use crate::failure::Failure;
use crate::output::{self, Output, Screen, say};
use crate::render::Render;
use crate::render::table::{Look, Table};
use crate::summary::{self, Origin, Tally};
use crate::telling::{Telling, Trouble};
use crate::verify::{self, Proven, Second};
use procscope_format::csv::Csv;
use procscope_format::escape;
use procscope_format::json::JsonLines;

/// The exit status if events were lost, with `--strict`.
pub(super) const STATUS_LOST: u8 = 3;

/// Prints events until stopped.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    if options.explain {
        return explain(options);
    }
    let output = Output::open(options.output.as_deref(), options.duration, options.quiet)?;
    let monitor = builder(options).build()?;
    let second = verify::open(options, monitor.session(), None)?;
    #[cfg_attr(not(target_os = "linux"), allow(unused_mut))]
    let mut notes = notes(&monitor, second.as_ref());
    // Before the first thread: each has its own capabilities.
    #[cfg(target_os = "linux")]
    notes.extend(crate::rights::give_up_all_but(&rights(&monitor, second.as_ref())));
    #[cfg(unix)]
    crate::signals::stop_on_signals(monitor.stop_handle()).map_err(crate::signals::failure)?;
    let told = tell(options, monitor, second, output, "Ctrl-C ends", &notes)?;
    Ok(if told.is_some_and(|told| told.fails(options)) { ExitCode::from(STATUS_LOST) } else { ExitCode::SUCCESS })
}

/// The first lines about the mechanisms.
pub(super) fn notes(monitor: &Monitor, second: Option<&Second>) -> Vec<String> {
    let mut notes = crate::program::notes(monitor.session());
    notes.extend(second.into_iter().flat_map(Second::notes));
    notes
}

/// What both still need.
#[cfg(target_os = "linux")]
pub(super) fn rights(monitor: &Monitor, second: Option<&Second>) -> Vec<&'static str> {
    let sessions = [Some(monitor.session()), second.map(Second::session)];
    sessions.into_iter().flatten().flat_map(|session| session.rights).copied().collect()
}

/// The events of a run, and how far they are proven.
pub(super) struct Outcome {
    summary: Summary,
    proven: Option<Proven>,
}

impl Outcome {
    /// Whether `--strict` makes it a failure.
    pub(super) fn fails(&self, options: &Options) -> bool {
        let proven = self.proven.as_ref().is_none_or(|proven| proven.verification.is_complete());
        options.strict && (self.summary.total_lost() > 0 || !proven)
    }
}

/// Prints all events of a monitor. `None` if the output's reader is gone.
pub(super) fn tell(
    options: &Options,
    monitor: Monitor,
    second: Option<Second>,
    output: Output,
    ends: &str,
    notes: &[String],
) -> Result<Option<Outcome>, Trouble> {
    let source = monitor.session().source;
    if !options.quiet {
        say(&greeting(monitor.session(), ends, notes));
    }
    let verifying = second.map(Second::start).transpose();
    let verifying = verifying.map_err(|error| Trouble::Monitor(Error::System { what: "starting a thread", error }))?;
    let first = verifying.as_ref().map(|it| it.first());
    let mut tally = Tally::default();
    let telling = Telling {
        render: |session: &Session, screen: Option<&Screen>| renderer(options, session, screen),
        watch: |event: &Event| {
            tally.record(event);
            if let Some(first) = &first {
                first.event(event);
            }
        },
        count: options.count,
    };
    let told = telling.tell(Box::new(monitor), output);
    let until = told.as_ref().ok().and_then(Option::as_ref).map(|summary| summary.until);
    let proven = verifying.map(|it| it.end(until)).transpose();
    let Some(summary) = told? else { return Ok(None) };
    if !options.quiet {
        say(&summary::text(Origin::Live(source), &summary, &tally));
    }
    let proven = proven.map_err(Trouble::Monitor)?;
    if let Some(proven) = proven.as_ref().filter(|_| !options.quiet) {
        say(&proven.text);
    }
    Ok(Some(Outcome { summary, proven }))
}

/// Prints which terms of the filter the kernel decides, and attaches nothing.
pub(super) fn explain(watch: &Options) -> Result<ExitCode, Failure> {
    let explanation = builder(watch).explain()?;
    let mut text = match &watch.filter {
        Some(filter) => format!("filter: {filter}\n"),
        None => "filter: none\n".to_owned(),
    };
    text += &format!("source: {}\n", explanation.source.name());
    text += &format!("events: {}\n", verify::kinds(explanation.events));
    if explanation.also != EventSet::NONE {
        text += &format!("also read, not shown: {}\n", verify::kinds(explanation.also));
    }
    for term in &explanation.terms {
        let note = term.note.as_ref().map(|note| format!("   ({note})")).unwrap_or_default();
        let by = if term.by == DecidedBy::Kernel { "kernel" } else { "procscope" };
        text += &format!("  {by:<9}  {}{note}\n", term.text);
    }
    if explanation.terms.iter().any(|term| term.by == DecidedBy::Kernel) {
        text += "procscope checks the kernel's decisions again.\n";
    }
    output::print(escape::visible_lines(&text).as_bytes()).map(|()| ExitCode::SUCCESS)
}

pub(super) fn builder(watch: &Options) -> MonitorBuilder {
    let mut builder = Monitor::builder().events(watch.events);
    builder = watch.pids.iter().fold(builder, |builder, &pid| builder.pid(pid));
    builder = watch.trees.iter().fold(builder, |builder, &pid| builder.tree(pid));
    builder = watch.names.iter().fold(builder, |builder, name| builder.name(name.clone()));
    builder = watch.uids.iter().fold(builder, |builder, &uid| builder.uid(uid));
    builder = watch.cgroups.iter().fold(builder, |builder, path| builder.cgroup(path));
    builder = watch.containers.iter().fold(builder, |builder, id| builder.container(id));
    if let Some(filter) = &watch.filter {
        builder = builder.filter(filter.clone());
    }
    if let Some(env) = &watch.env {
        builder = builder.env(env.clone());
    }
    if let Some(size) = watch.ring_size {
        builder = builder.ring_bytes(size.0);
    }
    if let Some(duration) = watch.duration {
        builder = builder.duration(duration);
    }
    match watch.source.0 {
        Some(source) => builder.source(source),
        None => builder,
    }
}

pub(super) fn renderer(watch: &Options, session: &Session, screen: Option<&Screen>) -> Box<dyn Render> {
    match watch.format {
        Format::Json => Box::new(JsonLines::new(session.boot_id)),
        Format::Csv => Box::new(Csv::new(session.boot_id, !watch.no_header).safe(watch.csv_safe)),
        Format::Table => {
            let look = Look {
                columns: watch.columns.clone().unwrap_or_default(),
                header: !watch.no_header,
                color: match watch.color {
                    Color::Always => true,
                    Color::Never => false,
                    Color::Auto => screen.is_some() && output::colors_are_welcome(),
                },
                size: screen.and_then(Screen::size),
            };
            Box::new(Table::new(look, TimeZone::system(), session.boot_id))
        }
    }
}

fn greeting(session: &Session, ends: &str, notes: &[String]) -> String {
    let source = session.source.name();
    let mut text = format!("procscope: watching {} events ({source}); {ends}\n", verify::kinds(session.events));
    for note in notes {
        text += &format!("procscope: {}\n", escape::visible(note));
    }
    text
}
