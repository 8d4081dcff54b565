use std::process::ExitCode;

use procscope::{Event, Feed as _, Session};

use super::watch::{self, STATUS_LOST};
use crate::args::Replay;
use crate::failure::Failure;
use crate::output::say;
use crate::output::{Output, Screen};
use crate::recording;
use crate::summary::{self, Origin, Tally};
use crate::telling::Telling;
use procscope_format::escape::visible;

/// Prints the events of a recording.
pub(crate) fn run(replay: &Replay) -> Result<ExitCode, Failure> {
    let options = &replay.options;
    let name = visible(&replay.file.display().to_string()).into_owned();
    let Some(reader) = recording::open(&replay.file, replay.speed, options.quiet)? else {
        if !options.quiet {
            say(&format!("procscope: {name} has no events\n"));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let output = Output::open(options.output.as_deref(), None, options.quiet)?;
    #[cfg(unix)]
    crate::signals::stop_on_signals(reader.stop_handle()).map_err(crate::signals::failure)?;
    let begun = reader.session().attached;
    if !options.quiet {
        say(&format!("procscope: replaying {name} ({})\n", reader.session().source.name()));
    }
    let feed = recording::select(reader, watch::builder(options).want())?;
    let mut tally = Tally::default();
    let telling = Telling {
        render: |session: &Session, screen: Option<&Screen>| watch::renderer(options, session, screen),
        watch: |event: &Event| tally.record(event),
        count: options.count,
    };
    let Some(summary) = telling.tell(feed, output)? else { return Ok(ExitCode::SUCCESS) };
    if !options.quiet {
        let span_ns = u64::try_from(summary.until.0.saturating_sub(begun.0)).unwrap_or(0);
        say(&summary::text(Origin::Recording { span_ns }, &summary, &tally));
    }
    let missing = summary.total_lost() > 0 || summary.malformed > 0;
    Ok(if options.strict && missing { ExitCode::from(STATUS_LOST) } else { ExitCode::SUCCESS })
}
