//! Events of every kind for the renderers' tests.

use procscope::Event;
pub(crate) use procscope_format::samples::*;

use super::Render;

/// A renderer's output for these events.
pub(crate) fn rendered(render: &mut dyn Render, events: &[Event]) -> String {
    let mut out = Vec::new();
    render.begin(&mut out);
    events.iter().for_each(|event| render.event(event, &mut out));
    String::from_utf8(out).unwrap()
}
