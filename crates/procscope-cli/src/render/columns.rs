use std::fmt;
use std::str::FromStr;

use procscope::{EventSet, FIELDS, Field, FieldSpec, FieldType, field};

/// A column of the table: a field, or several put together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// In capitals this is the header.
    pub(crate) name: &'static str,
    /// A cell that is wider pushes the rest of its line.
    pub(crate) width: usize,
    pub(crate) side: Side,
    pub(crate) shows: Shows,
}

/// The side of a cell in its column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Left,
    Right,
}

/// The content of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shows {
    /// A field; `brief` as people read it (`1.3ms`), else to the digit.
    Field {
        spec: &'static FieldSpec,
        brief: bool,
    },
    Composed(Composed),
}

/// Several fields, or a part of one, in words of the table's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Composed {
    Time,
    Date,
    Parent,
    Login,
    Container,
    Status,
    Info,
    Command,
}

use Composed::{Command, Container, Date, Info, Login, Parent, Status, Time};
use Side::{Left, Right};

/// The source of a row's cells.
#[derive(Clone, Copy)]
enum Of {
    /// The field of this name.
    Field(&'static str),
    Put(Composed),
}

/// Columns whose name, width or wording is the table's own. Every other field of CSV is a column
/// too, with a width by its type.
const ROWS: [(&str, usize, Side, Of); 36] = [
    ("time", 12, Left, Of::Put(Time)),
    ("date", 10, Left, Of::Put(Date)),
    ("seq", 8, Right, Of::Field("seq")),
    ("event", 11, Left, Of::Field("event")),
    ("pid", 7, Right, Of::Field("pid")),
    ("ppid", 7, Right, Of::Field("ppid")),
    ("tid", 7, Right, Of::Field("tid")),
    ("processor", 9, Right, Of::Field("processor")),
    ("parent", 20, Left, Of::Put(Parent)),
    ("user", 8, Left, Of::Field("user")),
    ("uid", 5, Right, Of::Field("uid")),
    ("euid", 5, Right, Of::Field("euid")),
    ("gid", 5, Right, Of::Field("gid")),
    ("login", 8, Left, Of::Put(Login)),
    ("sid", 7, Right, Of::Field("sid")),
    ("pgid", 7, Right, Of::Field("pgid")),
    ("tty", 7, Left, Of::Field("tty")),
    ("name", 15, Left, Of::Field("name")),
    ("exe", 24, Left, Of::Field("exe")),
    ("path", 24, Left, Of::Field("path")),
    ("cwd", 24, Left, Of::Field("cwd")),
    ("cgroup", 32, Left, Of::Field("cgroup")),
    ("container", 12, Left, Of::Put(Container)),
    ("unit", 20, Left, Of::Field("unit")),
    ("status", 12, Left, Of::Put(Status)),
    ("duration", 8, Right, Of::Field("duration")),
    ("cpu", 7, Right, Of::Field("cpu")),
    ("user-time", 9, Right, Of::Field("user_time")),
    ("system-time", 11, Right, Of::Field("system_time")),
    ("rss", 7, Right, Of::Field("max_rss")),
    ("read", 7, Right, Of::Field("read_bytes")),
    ("write", 7, Right, Of::Field("write_bytes")),
    ("info", 16, Left, Of::Put(Info)),
    ("source", 6, Left, Of::Field("source")),
    ("flaws", 16, Left, Of::Field("flaws")),
    ("command", 0, Left, Of::Put(Command)),
];

impl Column {
    /// All columns, those with words of the table's own first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let own = ROWS.into_iter().filter_map(|(name, width, side, of)| {
            let shows = match of {
                Of::Field(of) => {
                    let spec = field(of)?;
                    Shows::Field { spec, brief: spec.column != Some(name) }
                }
                Of::Put(composed) => Shows::Composed(composed),
            };
            Some(Self { name, width, side, shows })
        });
        let is_own = |name| ROWS.iter().any(|row| row.0 == name);
        // Lost events are lines of their own.
        let others = FIELDS.iter().filter(|spec| spec.kinds != EventSet::NONE);
        let others = others.filter_map(move |spec| {
            let name = spec.column.filter(|&name| !is_own(name))?;
            let (width, side) = room(spec.of);
            Some(Self { name, width: width.max(name.len()), side, shows: Shows::Field { spec, brief: false } })
        });
        own.chain(others)
    }

    /// True for the columns that show how it went: they have the colour of the event.
    pub(crate) fn has_outcome(self) -> bool {
        matches!(self.name, "event" | "info" | "status")
    }

    /// The fields whose flaws show how far the cell can be trusted, the most important first.
    pub(crate) fn flaws(self) -> impl Iterator<Item = Field> {
        let (own, more): (_, &[Field]) = match self.shows {
            // Without the parent there is no pid of it either.
            Shows::Field { spec, .. } if spec.flaw == Some(Field::Ppid) => (spec.flaw, &[Field::Parent]),
            Shows::Field { spec, .. } => (spec.flaw, &[]),
            Shows::Composed(composed) => match composed {
                Time | Date => (Some(Field::Time), &[]),
                Parent => (Some(Field::Parent), &[Field::Ppid]),
                Login => (Some(Field::Login), &[]),
                Container => (Some(Field::Cgroup), &[]),
                Status => (Some(Field::Status), &[Field::Killer]),
                Info => (Some(Field::Status), &[Field::Killer, Field::Duration, Field::OldName]),
                Command => (Some(Field::Argv), &[]),
            },
        };
        own.into_iter().chain(more.iter().copied())
    }
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Column {}

/// The width and side of a type's cells.
fn room(of: FieldType) -> (usize, Side) {
    match of {
        FieldType::Number { max } if max <= u32::MAX.into() => (7, Right),
        FieldType::Number { .. } | FieldType::Span { .. } | FieldType::Size { .. } => (12, Right),
        FieldType::Signed => (7, Right),
        FieldType::Word(words) => (words.iter().map(|word| word.len()).max().unwrap_or_default(), Left),
        FieldType::Truth { .. } => (5, Left),
        FieldType::Owner => (8, Left),
        FieldType::Signal | FieldType::Errno | FieldType::Kind => (12, Left),
        FieldType::Id => (24, Left),
        FieldType::Time => (30, Left),
        FieldType::Tty => (7, Left),
        _ => (16, Left),
    }
}

/// The columns to print, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Columns(pub(crate) Vec<Column>);

impl Default for Columns {
    fn default() -> Self {
        let names = ["time", "event", "pid", "ppid", "user", "info", "command"];
        Self(names.into_iter().filter_map(|name| Column::all().find(|column| column.name == name)).collect())
    }
}

impl Columns {
    /// The names of all there are.
    pub(crate) fn all_names() -> impl Iterator<Item = &'static str> {
        Column::all().map(|column| column.name)
    }
}

impl FromStr for Columns {
    type Err = UnknownColumn;

    /// Reads names joined by commas; `-` and `_` mean the same.
    fn from_str(list: &str) -> Result<Self, UnknownColumn> {
        let plain = |name: &str| name.replace('_', "-");
        let find = |word: &str| Column::all().find(|column| plain(column.name) == plain(word));
        list.split(',')
            .map(str::trim)
            .map(|word| find(word).ok_or_else(|| UnknownColumn(word.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// A word that names no column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct UnknownColumn(String);

impl fmt::Display for UnknownColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Columns::all_names().collect::<Vec<_>>().join(", ");
        write!(f, "there is no column '{}'; the columns are {all}", self.0.escape_debug())
    }
}

impl std::error::Error for UnknownColumn {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_a_column_and_every_field_of_csv_too() {
        let names: BTreeSet<&str> = Columns::all_names().collect();
        assert_eq!(names.len(), Columns::all_names().count());
        for (name, ..) in ROWS {
            assert!(names.contains(name), "{name}: there is no such field");
        }
        for spec in FIELDS.iter().filter(|spec| spec.kinds != EventSet::NONE) {
            assert!(spec.column.is_none_or(|name| names.contains(name)), "{}", spec.name);
        }
        assert_eq!(Columns::default().0.len(), 7);
    }

    #[test]
    fn lists_are_read_in_order() {
        let names = |list: &str| list.parse().map(|Columns(all)| all.iter().map(|column| column.name).collect());
        assert_eq!(names("command, pid"), Ok(vec!["command", "pid"]));
        assert_eq!(names("user_time,parent-name"), Ok(vec!["user-time", "parent_name"]));
        assert_eq!("pid,".parse::<Columns>(), Err(UnknownColumn(String::new())));
    }
}
