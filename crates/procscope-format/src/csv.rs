//! CSV: one row for each event, always with the same columns.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use bstr::ByteSlice as _;
use csv::{ByteRecord, Writer, WriterBuilder};
use procscope_model::{BootId, Event, FIELDS, FieldSpec, FieldType, Value, errno_name, signal_name};

use crate::number::push_number;
use crate::time::Rfc3339;
use crate::{Encode, quote};

/// The columns, always all of them and in this order. A cell without a value is empty.
pub(crate) fn columns() -> impl Iterator<Item = (&'static str, &'static FieldSpec)> {
    FIELDS.iter().filter_map(|field| Some((field.column?, field)))
}

/// Appends what a cell shows of an event.
fn fill(out: &mut Vec<u8>, event: &Event, field: &FieldSpec, time: &mut Rfc3339, boot: BootId) {
    if field.of == FieldType::Flaws {
        return pairs(out, event.all_flaws().iter().map(|(of, flaw)| (of.name(), flaw.name())));
    }
    let Some(value) = field.value(event) else { return };
    match (field.of, value) {
        (FieldType::Signal, Value::Number(signo)) => word(out, signal_name(signo as u8)),
        (FieldType::Errno, Value::Number(errno)) => match errno_name(errno as u32) {
            Some(name) => word(out, name),
            None => word(out, format_args!("E{errno}")),
        },
        (_, Value::Number(number)) => match u64::try_from(number) {
            Ok(number) => push_number(out, number),
            Err(_) => word(out, number),
        },
        (_, Value::Text(text)) => quote::text(text, out),
        (_, Value::Texts(list)) => quote::command(list, out),
        (_, Value::Word(known)) => word(out, known),
        (_, Value::Owner(name, _)) => name.into_iter().for_each(|name| quote::text(name.as_bytes(), out)),
        (_, Value::Truth(truth)) => word(out, truth),
        (_, Value::Kind(kind)) => word(out, kind.name()),
        (_, Value::Time(at)) => time.push(out, at),
        (_, Value::Id(id)) => word(out, id.display(boot)),
        (_, Value::Tty(tty)) => word(out, tty),
        (_, Value::Counts(lost)) => pairs(out, lost.iter().map(|(kind, count)| (kind.name(), count))),
        // Objects, whose members are columns of their own; and fields of a later model.
        _ => {}
    }
}

/// Appends words of ours. Writing to a Vec does not fail.
fn word(out: &mut Vec<u8>, word: impl std::fmt::Display) {
    let _ = write!(out, "{word}");
}

/// Appends `a=1 b=2`.
fn pairs(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'static str, impl std::fmt::Display)>) {
    for (index, (key, value)) in pairs.enumerate() {
        word(out, format_args!("{}{key}={value}", if index > 0 { " " } else { "" }));
    }
}

/// Writes events as comma-separated values: RFC 4180, but with a line feed alone at the end of a line.
pub struct Csv {
    boot: BootId,
    header: bool,
    safe: bool,
    time: Rfc3339,
    cell: Vec<u8>,
    record: ByteRecord,
    writer: Writer<Tap>,
    written: Tap,
}

impl Csv {
    /// `header`: whether a row with the names of the columns comes first.
    pub fn new(boot: BootId, header: bool) -> Self {
        let written = Tap::default();
        let writer = WriterBuilder::new().from_writer(written.clone());
        let (time, cell, record) = (Rfc3339::new(), Vec::new(), ByteRecord::new());
        Self { boot, header, safe: false, time, cell, record, writer, written }
    }

    /// With `safe`, no cell is a formula to a spreadsheet: a cell that begins like one gets a `'`
    /// in front.
    #[must_use]
    pub fn safe(self, safe: bool) -> Self {
        Self { safe, ..self }
    }

    /// Moves the record to the buffer. The writer's own end is a Vec, which takes everything.
    fn write_record(&mut self, out: &mut Vec<u8>) {
        let _ = self.writer.write_byte_record(&self.record);
        let _ = self.writer.flush();
        out.append(&mut self.written.0.borrow_mut());
        self.record.clear();
    }
}

impl Encode for Csv {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.header {
            self.record.extend(columns().map(|(name, _)| name));
            self.write_record(out);
        }
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        for (_, field) in columns() {
            self.cell.clear();
            fill(&mut self.cell, event, field, &mut self.time, self.boot);
            if self.safe && is_formula(&self.cell) {
                self.cell.insert(0, b'\'');
            }
            self.record.push_field(&self.cell);
        }
        self.write_record(out);
        // One huge argument must not keep its memory for ever.
        if self.cell.capacity() > 1 << 16 {
            self.cell = Vec::new();
            self.record = ByteRecord::new();
            self.written.0.replace(Vec::new());
        }
    }
}

/// Whether a spreadsheet may compute a cell instead of showing it: by its first character (OWASP,
/// "CSV Injection"), in full width too. Our numbers have no sign, and TAB and CR become `$'\t'` and
/// `$'\r'`.
fn is_formula(cell: &[u8]) -> bool {
    let first = cell.chars().next();
    first.is_some_and(|first| "=+-@\t\r\n\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(first))
}

/// The end of the csv writer, which keeps what it writes to.
#[derive(Clone, Default)]
struct Tap(Rc<RefCell<Vec<u8>>>);

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::escape::is_unsafe;
    use crate::samples::{self, BOOT};

    fn read(text: &str) -> Vec<csv::StringRecord> {
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes())
            .records()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn every_kind_of_event() {
        let text = samples::rendered(&mut Csv::new(BOOT, true), &samples::events());
        let rows = read(&text);
        assert!(rows.iter().all(|row| row.len() == columns().count()));
        assert_eq!(rows[0].iter().collect::<Vec<_>>(), columns().map(|(name, _)| name).collect::<Vec<_>>());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_column_is_filled_by_some_event() {
        let rows = read(&samples::rendered(&mut Csv::new(BOOT, true), &samples::events()));
        for (index, (name, _)) in columns().enumerate() {
            assert!(rows[1..].iter().any(|row| !row[index].is_empty()), "{name} is always empty");
        }
    }

    #[test]
    fn the_header_can_be_left_out() {
        assert_eq!(samples::rendered(&mut Csv::new(BOOT, false), &[]), "");
    }

    #[test]
    fn a_spreadsheet_computes_nothing_where_it_must_not() {
        let mut process = samples::odd_process();
        process.name = Some(procscope_model::Name::from_comm(b"@SUM(1+1)\0\0\0\0\0\0\0"));
        process.argv = Some(std::sync::Arc::new(procscope_model::Argv::from_strings(["-bash", "=1"])));
        process.path = Some(b"=cmd|calc"[..].into());
        process.exe = Some("\u{ff1d}1".as_bytes().into());
        process.cwd = Some(b"\t=1"[..].into());
        let event = samples::event(1, &process, samples::kinds().swap_remove(5));
        let row = |safe| {
            let text = samples::rendered(&mut Csv::new(BOOT, false).safe(safe), std::slice::from_ref(&event));
            let cell = |name| columns().position(|(column, _)| column == name).unwrap();
            let row = read(&text).remove(0);
            ["name", "command", "path", "exe", "cwd", "pid"].map(|name| row[cell(name)].to_owned())
        };
        let (plain, safe) = (row(false), row(true));
        assert_eq!(plain[..5], ["@SUM(1+1)", "-bash =1", "=cmd|calc", "\u{ff1d}1", "$'\\t=1'"]);
        assert_eq!(safe[..5], ["'@SUM(1+1)", "'-bash =1", "'=cmd|calc", "'\u{ff1d}1", "$'\\t=1'"]);
        assert_eq!(plain[5], safe[5]);
    }

    proptest! {
        #[test]
        fn any_event_is_one_safe_row(event in samples::any_event()) {
            let text = samples::rendered(&mut Csv::new(BOOT, false), &[event]);
            prop_assert!(!text.trim_end_matches('\n').contains(is_unsafe));
            let rows = read(&text);
            prop_assert_eq!(rows.len(), 1);
            prop_assert_eq!(rows[0].len(), columns().count());
        }
    }
}
