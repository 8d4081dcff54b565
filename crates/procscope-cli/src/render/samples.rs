//! Events of every kind for the tests of the renderers.

use procscope::Event;
pub(crate) use procscope_format::samples::*;

use super::Render;

/// What a renderer makes of these events.
pub(crate) fn rendered(render: &mut dyn Render, events: &[Event]) -> String {
    let mut out = Vec::new();
    render.begin(&mut out);
    events.iter().for_each(|event| render.event(event, &mut out));
    String::from_utf8(out).unwrap()
}
