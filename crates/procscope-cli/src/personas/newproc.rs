//! newproc.d, of macOS and of the DTrace toolkit.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use procscope::{Event, EventKind, EventSet, Kind, Monitor, Process};

use super::options::{Grammar, Refusal, Table, long};
use super::session::Watch;
use super::text::{self, local_clock};
use crate::render::Render;
use crate::render::time::WallClock;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Style,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    Apple,
    Solaris,
}

pub(super) const TABLE: Table<Key> = Table {
    name: "newproc",
    about: "Shows new processes as newproc.d does",
    usage: "newproc.d [--style STYLE]",
    grammar: Grammar::Getopt,
    original: &[],
    added: &[long(Key::Style, "style", "whose layout: apple or solaris").takes("STYLE")],
    help: &["-h"],
    help_status: 0,
    wrong_status: 1,
    notes: "\
Differs:
  All arguments are shown in full. '(...)' or '<...>' means that they are not
  known whole.
  Whether a program has 32 or 64 bits is read from its file, soon after the
  exec: '??b' if that cannot be read.
  There is no probe with a number: solaris shows '?' for it, and no line about
  a description.
  Line breaks are printed as \\n, and characters that could act on a terminal
  as \\x1b.
  '[?]' are arguments that could not be read. Lost events are reported on
  stderr.

Examples:
  procscope newproc                             time, pid, parent, arguments
  procscope newproc --style solaris             arguments only",
};

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = TABLE.parse(words)?;
    let mut style = Style::Apple;
    for (Key::Style, value) in &line.options {
        style = match value.as_slice() {
            b"apple" => Style::Apple,
            b"solaris" => Style::Solaris,
            other => {
                let other = String::from_utf8_lossy(other);
                return Err(TABLE.bad_value("--style", &other, "the styles are apple and solaris"));
            }
        };
    }
    let builder = Monitor::builder().events(EventSet::NONE.with(Kind::Exec)).user_names(false);
    let mounts = mount_namespace();
    let replays = line.common.replay.is_some();
    // For a recording it is unknown which file that was.
    let bits = move |process: &Process| if replays { None } else { bits(process, mounts) };
    let lines = Lines { style, clock: local_clock(), bits: Box::new(bits) };
    Watch::new(builder, line.common)?.run(|_, _| Box::new(lines))?;
    Ok(ExitCode::SUCCESS)
}

/// The number of a program's bits.
type Bits = Box<dyn Fn(&Process) -> Option<u8>>;

struct Lines {
    style: Style,
    clock: WallClock,
    bits: Bits,
}

impl Render for Lines {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.style == Style::Solaris {
            let _ = writeln!(out, "CPU {:>6} {:>32}", "ID", "FUNCTION:NAME");
        }
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (EventKind::Exec(_), Some(process)) = (&event.kind, event.process.as_deref()) else { return };
        match self.style {
            Style::Apple => {
                text::push_dtrace_time(out, &mut self.clock, event.time);
                let _ = write!(out, " {} <", process.id.pid);
                text::push_known(out, process.parent.as_ref().map(|parent| parent.id.pid), 0);
                let _ = match (self.bits)(process) {
                    Some(bits) => write!(out, "> {bits}b "),
                    None => write!(out, "> ??b "),
                };
            }
            Style::Solaris => {
                let processor = event.processor.map_or_else(|| "?".to_owned(), |number| number.to_string());
                let _ = write!(out, "{processor:>3} {:>6} {:>32}  ", "?", "exec_common:exec-success");
            }
        }
        match process.argv.as_deref() {
            Some(argv) => {
                for argument in argv.iter() {
                    out.push(b' ');
                    text::push(out, argument);
                }
                if text::is_cut(event) {
                    out.extend_from_slice(b" <...>");
                }
            }
            None => {
                out.push(b' ');
                text::push(out, process.name.as_deref().unwrap_or(b"?"));
                out.extend_from_slice(b" [?]");
            }
        }
        while out.last() == Some(&b' ') {
            out.pop();
        }
        out.push(b'\n');
    }
}

/// Reads it from the program's file: the running one or, if that is not available any more, the one
/// at its path.
fn bits(process: &Process, mounts: Option<u32>) -> Option<u8> {
    let running = File::open(format!("/proc/{}/exe", process.id.pid));
    let file = running.or_else(|error| {
        // In another mount namespace the path means another file.
        let here = process.namespaces.is_some_and(|theirs| Some(theirs.mnt) == mounts);
        let exe = process.exe.as_deref().filter(|_| here).ok_or(error)?;
        File::open(super::options::path(exe.to_vec()))
    });
    let mut head = [0; 5];
    file.ok()?.read_exact(&mut head).ok()?;
    elf_bits(head)
}

/// EI_CLASS of elf(5).
fn elf_bits(head: [u8; 5]) -> Option<u8> {
    match head {
        [0x7f, b'E', b'L', b'F', 1] => Some(32),
        [0x7f, b'E', b'L', b'F', 2] => Some(64),
        _ => None,
    }
}

/// Our own.
fn mount_namespace() -> Option<u32> {
    let link = std::fs::read_link("/proc/self/ns/mnt").ok()?;
    link.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok()
}

/// A renderer in the toolkit's layout.
#[cfg(test)]
pub(crate) fn solaris_for_test() -> Box<dyn Render> {
    Box::new(Lines { style: Style::Solaris, clock: local_clock(), bits: Box::new(|_| None) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::personas::samples::execs;
    use crate::render::samples;

    #[test]
    fn layouts() {
        let text = [Style::Apple, Style::Solaris].map(|style| {
            let bits = |process: &Process| process.parent.is_some().then_some(64);
            let clock = WallClock::new(jiff::tz::TimeZone::UTC);
            let mut lines = Lines { style, clock, bits: Box::new(bits) };
            format!("{style:?}\n{}", samples::rendered(&mut lines, &execs().1))
        });
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn bits_are_read_from_files() {
        assert_eq!(elf_bits(*b"\x7fELF\x01"), Some(32));
        assert_eq!(elf_bits(*b"#!/bi"), None);
        #[cfg(target_os = "linux")]
        {
            let mut it = Process::new(procscope::ProcessId { pid: std::process::id(), start: None });
            assert_eq!(bits(&it, None), Some(usize::BITS as u8));
            // No system gives this pid.
            it.id.pid = 500_000_001;
            it.exe = Some((*b"/proc/self/exe").into());
            assert_eq!(bits(&it, mount_namespace()), None);
            it.namespaces = mount_namespace().map(|mnt| {
                let mut namespaces = procscope::Namespaces::default();
                namespaces.mnt = mnt;
                namespaces
            });
            assert_eq!(bits(&it, mount_namespace()), Some(usize::BITS as u8));
        }
    }
}
