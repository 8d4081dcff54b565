//! The events of a feed, rendered and written.

use std::io;
use std::ops::ControlFlow;

use procscope::{Error, Event, EventKind, Feed, FeedError, Session, Sink, Summary};

use crate::failure::Failure;
use crate::output::{Output, Screen};
use crate::render::Render;
use crate::writer::{CHUNK_BYTES, Writer};

/// Why events could not be printed.
pub(crate) enum Trouble {
    Output(Failure),
    Monitor(Error),
    /// The feed of the events, which is not a monitor, failed.
    Feed(Failure),
}

impl Trouble {
    fn of_feed(error: FeedError, target: &str) -> Self {
        match error {
            FeedError::Sink(error) => Self::Output(Failure::writing(target, &error)),
            FeedError::Source(error) => match error.downcast::<Error>() {
                Ok(error) => Self::Monitor(*error),
                Err(error) => Self::Feed(Failure::reading(&*error)),
            },
            other => Self::Feed(Failure::reading(&other)),
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Output(failure) | Trouble::Feed(failure) => failure,
            Trouble::Monitor(error) => error.into(),
        }
    }
}

/// How events are printed.
pub(crate) struct Telling<R, W> {
    /// Makes the renderer, from the session and the terminal, if there is one.
    pub(crate) render: R,
    /// Receives each event too.
    pub(crate) watch: W,
    /// After how many events to stop.
    pub(crate) count: Option<u64>,
}

impl<R, W> Telling<R, W>
where
    R: FnOnce(&Session, Option<&Screen>) -> Box<dyn Render>,
    W: FnMut(&Event),
{
    /// Prints all events of a feed. `None` if the output's reader is gone.
    pub(crate) fn tell(self, feed: Box<dyn Feed>, output: Output) -> Result<Option<Summary>, Trouble> {
        let target = output.name.clone();
        let writing = |error: io::Error| Trouble::Output(Failure::writing(&target, &error));
        let stop = feed.stop_handle();
        let screen = output.screen().map_err(writing)?;
        let render = (self.render)(feed.session(), screen.as_ref());
        #[cfg(target_os = "linux")]
        let pipe = output.pipe().map_err(writing)?;
        let out = output.into_writer().map_err(writing)?;
        let writer = Writer::spawn(out, move || stop.stop()).map_err(writing)?;
        #[cfg(target_os = "linux")]
        if let Some(pipe) = pipe {
            writer.watch_reader(pipe).map_err(writing)?;
        }
        let buffer = Writer::buffer();
        let mut sink = Written { render, buffer, writer, screen, begun: false, watch: self.watch, left: self.count };
        let ran = feed.run(&mut sink);
        if let Ok(summary) = &ran {
            sink.render.end(summary, &mut sink.buffer);
        }

        // If writing failed, that is why the run ended.
        match sink.finish() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
            Err(error) => return Err(writing(error)),
            Ok(()) => {}
        }
        ran.map(Some).map_err(|error| Trouble::of_feed(error, &target))
    }
}

/// Renders events and passes the text to the writer.
struct Written<W> {
    render: Box<dyn Render>,
    buffer: Vec<u8>,
    writer: Writer,
    screen: Option<Screen>,
    /// Something of this batch was rendered.
    begun: bool,
    watch: W,
    /// How many events are still wanted.
    left: Option<u64>,
}

impl<W> Written<W> {
    /// Writes the rest, and returns whether everything was written.
    fn finish(mut self) -> io::Result<()> {
        let pushed = self.writer.push(&mut self.buffer);
        pushed.and(self.writer.finish())
    }
}

impl<W: FnMut(&Event)> Sink for Written<W> {
    fn begin(&mut self, _: &Session) -> io::Result<()> {
        self.render.begin(&mut self.buffer);
        self.writer.push(&mut self.buffer)
    }

    fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
        if !std::mem::replace(&mut self.begun, true)
            && let Some(size) = self.screen.as_ref().and_then(Screen::size)
        {
            self.render.resize(size);
        }
        self.render.event(event, &mut self.buffer);
        (self.watch)(event);
        if self.buffer.len() >= CHUNK_BYTES {
            self.writer.push(&mut self.buffer)?;
        }
        if let Some(left) = &mut self.left
            && !matches!(event.kind, EventKind::Lost(_))
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(if self.render.is_done() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn batch_end(&mut self) -> io::Result<()> {
        self.begun = false;
        self.writer.push(&mut self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use procscope::{BootId, Lost, SourceId, Timestamp};

    use super::*;
    use procscope_format::json::JsonLines;

    #[test]
    fn lost_marks_do_not_count() {
        let mut sink = Written {
            render: Box::new(JsonLines::new(BootId::default())),
            buffer: Writer::buffer(),
            writer: Writer::spawn(Box::new(io::sink()), || ()).unwrap(),
            screen: None,
            begun: false,
            watch: |_: &Event| (),
            left: Some(2),
        };
        let mut event = |kind| {
            let event = Event::new(1, Timestamp(0), SourceId::Ebpf, None, None, kind);
            sink.event(&event).unwrap().is_break()
        };
        assert!(!event(EventKind::Lost(Lost::default())));
        assert!(!event(EventKind::Sid));
        assert!(!event(EventKind::Lost(Lost::default())));
        assert!(event(EventKind::Sid));
        sink.finish().unwrap();
    }
}
