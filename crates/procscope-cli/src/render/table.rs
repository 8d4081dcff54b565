use std::io::Write;

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use procscope::{BootId, Event, EventKind, Kind, Lost};

use super::cell::Cell;
use super::cells::Cells;
use super::columns::{Column, Columns, Side};
use super::{Render, Size};
use procscope_format::quote::Pieces;

/// The look of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Look {
    pub(crate) columns: Columns,
    pub(crate) header: bool,
    pub(crate) color: bool,
    /// The size of the terminal that it has to fit; without one, lines are as long as necessary.
    pub(crate) size: Option<Size>,
}

/// Writes events as a table for people, one line each.
pub(crate) struct Table {
    look: Look,
    cells: Cells,
    cell: Cell,
    /// Lines since the header.
    lines: usize,
}

impl Table {
    pub(crate) fn new(look: Look, zone: TimeZone, boot: BootId) -> Self {
        Self { look, cells: Cells::new(zone, boot), cell: Cell::new(), lines: 0 }
    }

    /// Appends a line of cells that `fill` fills, with the styles from `style`.
    fn line(
        &mut self,
        out: &mut Vec<u8>,
        mut fill: impl FnMut(&mut Cells, &mut Cell, Column),
        style: impl Fn(Column) -> Style,
    ) {
        let limit = self.look.size.map_or(usize::MAX, |size| size.columns);
        let mut used = 0;
        for (index, &column) in self.look.columns.0.iter().enumerate() {
            if index > 0 {
                if used + 1 >= limit {
                    break;
                }
                out.push(b' ');
                used += 1;
            }
            self.cell.reset(limit - used);
            fill(&mut self.cells, &mut self.cell, column);
            let pad = column.width.saturating_sub(self.cell.width()).min(limit - used - self.cell.width());
            let is_last = index + 1 == self.look.columns.0.len();
            if column.side == Side::Right {
                out.resize(out.len() + pad, b' ');
            }
            styled(out, self.look.color, style(column), self.cell.text());
            if column.side == Side::Left && !is_last {
                out.resize(out.len() + pad, b' ');
            }
            used += self.cell.width() + pad;
            if self.cell.is_cut() {
                break;
            }
        }
        // Empty cells at the end leave no blanks.
        let length = out.iter().rposition(|&b| b != b' ').map_or(0, |last| last + 1);
        out.truncate(length);
        out.push(b'\n');
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        if self.look.header {
            let title = |_: &mut Cells, cell: &mut Cell, column: Column| cell.piece(&column.name.to_ascii_uppercase());
            self.line(out, title, |_| Style::new().bold());
        }
        self.lines = 0;
    }

    fn lost(&mut self, lost: &Lost, out: &mut Vec<u8>) {
        let mut text = format!("** {} events lost here", lost.total());
        for (index, (kind, count)) in lost.iter().enumerate() {
            let kind = if kind == Kind::Lost { "of unknown kind" } else { kind.name() };
            text += &format!("{} {count} {kind}", if index == 0 { ":" } else { "," });
        }
        self.cell.reset(self.look.size.map_or(usize::MAX, |size| size.columns));
        text.chars().for_each(|c| self.cell.piece(c.encode_utf8(&mut [0; 4])));
        styled(out, self.look.color, AnsiColor::Red.on_default().bold(), self.cell.text());
        out.push(b'\n');
    }
}

impl Render for Table {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.header(out);
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        // The header comes again above every screenful.
        if self.look.size.is_some_and(|size| self.lines + 2 >= size.rows.max(3)) {
            self.header(out);
        }
        self.lines += 1;
        match &event.kind {
            EventKind::Lost(lost) => self.lost(lost, out),
            _ => {
                let style = event_style(event);
                let fill = |cells: &mut Cells, cell: &mut Cell, column| cells.fill(column, event, cell);
                self.line(out, fill, |column| if column.has_outcome() { style } else { Style::new() });
            }
        }
    }

    fn resize(&mut self, size: Size) {
        if self.look.size.is_some() {
            self.look.size = Some(size);
        }
    }
}

fn styled(out: &mut Vec<u8>, color: bool, style: Style, text: &[u8]) {
    let style = if color && !text.is_empty() { style } else { Style::new() };
    // Writing to a Vec does not fail.
    let _ = write!(out, "{style}");
    out.extend_from_slice(text);
    let _ = write!(out, "{style:#}");
}

/// Green begins, red went wrong, yellow deserves a look; the usual stays plain.
fn event_style(event: &Event) -> Style {
    let color = match event.kind.kind() {
        Kind::Exec | Kind::Start => AnsiColor::Green,
        Kind::ExecFailed | Kind::Core => AnsiColor::Red,
        Kind::Exit | Kind::ThreadExit if event.exit_status().is_some_and(|status| status.is_success()) => {
            return Style::new();
        }
        Kind::Exit | Kind::ThreadExit => AnsiColor::Red,
        Kind::Uid | Kind::Gid | Kind::Ptrace => AnsiColor::Yellow,
        _ => return Style::new(),
    };
    color.on_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::render::samples;
    use procscope_format::escape::is_unsafe;

    fn look() -> Look {
        Look { columns: Columns::default(), header: true, color: false, size: None }
    }

    fn table(look: Look) -> Table {
        Table::new(look, TimeZone::UTC, samples::BOOT)
    }

    fn narrow(columns: usize) -> Look {
        Look { size: Some(Size { columns, rows: 1000 }), ..look() }
    }

    #[test]
    fn every_kind_of_event() {
        insta::assert_snapshot!(samples::rendered(&mut table(look()), &samples::events()));
    }

    #[test]
    fn every_kind_of_event_on_a_terminal() {
        let look = Look { color: true, ..narrow(80) };
        let text = samples::rendered(&mut table(look), &samples::events());
        insta::assert_snapshot!(text.replace('\x1b', "<ESC>"));
    }

    #[test]
    fn every_column() {
        let mut text = String::new();
        for name in Columns::all_names() {
            let look = Look { columns: name.parse().unwrap(), ..look() };
            let events = samples::events();
            let some = [0, 4, 9, 29, 33, 53].map(|index| events[index].clone());
            text += &samples::rendered(&mut table(look), &some);
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_header_stands_above_every_screenful() {
        let look = Look { size: Some(Size { columns: 80, rows: 10 }), ..look() };
        let text = samples::rendered(&mut table(look.clone()), &samples::events()[..20]);
        let headers = text.lines().enumerate().filter(|(_, line)| line.starts_with("TIME")).map(|(index, _)| index);
        assert_eq!(headers.collect::<Vec<_>>(), [0, 9, 18]);
        let without = samples::rendered(&mut table(Look { header: false, ..look }), &samples::events()[..20]);
        assert!(!without.contains("TIME"));
    }

    #[test]
    fn a_cut_command_says_so_within_the_width() {
        let mut process = samples::odd_process();
        process.argv = Some(std::sync::Arc::new(procscope::Argv::from_strings(["x".repeat(2 << 20)])));
        let event = samples::event(1, &process, samples::kinds().swap_remove(5));
        let line = samples::rendered(&mut table(Look { header: false, ..narrow(120) }), &[event]);
        assert_eq!(line.trim_end().width(), 120);
        assert!(line.ends_with("x… #…[cut]\n"), "{line}");
    }

    /// All text in or for a command besides its words is nothing to a shell; the same is true of a
    /// name or a path made to look like it.
    #[test]
    #[cfg(unix)]
    fn a_pasted_command_has_its_words_alone() {
        use procscope::{Argv, Field, Flaw, Name};
        let look = Look { columns: "command".parse().unwrap(), header: false, ..look() };
        let argv = ["load", "300", "", "~", "#~", "\u{3164}"];
        let mut lines = String::new();
        for flaw in [None, Some(Flaw::Truncated), Some(Flaw::ReadLate), Some(Flaw::Unreadable)] {
            for (argv, name) in [(Some(&argv), None), (None, Some(b"$(kill $$)\0\0\0\0\0\0")), (None, None)] {
                let mut process = samples::odd_process();
                process.argv = argv.map(|argv| std::sync::Arc::new(Argv::from_strings(argv)));
                process.name = name.map(Name::from_comm);
                process.flaws = procscope::Flaws::new();
                flaw.into_iter().for_each(|flaw| process.flaws.mark(Field::Argv, flaw));
                let event = samples::event(1, &process, samples::kinds().swap_remove(5));
                lines += &samples::rendered(&mut table(look.clone()), &[event]);
            }
        }
        let mut path = procscope::ExecFailure::new(2);
        path.path = Some(b"/x y;kill $$"[..].into());
        let event = samples::event(1, &samples::odd_process(), EventKind::ExecFailed(path));
        lines += &samples::rendered(&mut table(look), &[event]);
        let expected = "load,300,,~,#~,\u{3164},\n\n\n".repeat(4) + "/x y;kill $$,\n";
        let script: String = lines.lines().map(|line| format!("words {line}\n")).collect();
        let words = "words() { [ $# = 0 ] || printf '%s,' \"$@\"; echo; }\n";
        for options in [&["-c"][..], &["-i", "-c"]] {
            let mut bash = std::process::Command::new("bash");
            let output =
                bash.args(["--norc", "--noprofile"]).args(options).arg(format!("{words}{script}")).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{script}");
        }
    }

    proptest! {
        #[test]
        fn any_event_is_one_safe_line(event in samples::any_event(), columns in 1usize..200) {
            let everything = Columns::all_names().collect::<Vec<_>>().join(",").parse().unwrap();
            let look = Look { columns: everything, header: false, ..look() };
            let text = samples::rendered(&mut table(look), std::slice::from_ref(&event));
            prop_assert!(!text.strip_suffix('\n').unwrap().contains(is_unsafe));

            let line = samples::rendered(&mut table(Look { header: false, ..narrow(columns) }), &[event]);
            let line = line.strip_suffix('\n').unwrap();
            prop_assert!(!line.contains(is_unsafe));
            prop_assert!(line.width() <= columns, "{} of {columns}: {line}", line.width());
        }
    }
}
