use std::fmt;
use std::str::FromStr;

use procscope::Field;

/// A column of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Column {
    Time,
    Date,
    Seq,
    Event,
    Pid,
    Ppid,
    Tid,
    Processor,
    Parent,
    User,
    Uid,
    Euid,
    Gid,
    Login,
    Sid,
    Pgid,
    Tty,
    Name,
    Exe,
    Path,
    Cwd,
    Cgroup,
    Container,
    Unit,
    Status,
    Duration,
    Cpu,
    UserTime,
    SystemTime,
    Rss,
    Read,
    Write,
    Info,
    Source,
    Flaws,
    Command,
}

/// The side of a cell in its column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Left,
    Right,
}

use Side::{Left, Right};

impl Column {
    /// Name, which in capitals is the header; width; side. A wider cell pushes the rest of its
    /// line.
    const ALL: [(Self, &'static str, usize, Side); 36] = [
        (Self::Time, "time", 12, Left),
        (Self::Date, "date", 10, Left),
        (Self::Seq, "seq", 8, Right),
        (Self::Event, "event", 11, Left),
        (Self::Pid, "pid", 7, Right),
        (Self::Ppid, "ppid", 7, Right),
        (Self::Tid, "tid", 7, Right),
        (Self::Processor, "processor", 9, Right),
        (Self::Parent, "parent", 20, Left),
        (Self::User, "user", 8, Left),
        (Self::Uid, "uid", 5, Right),
        (Self::Euid, "euid", 5, Right),
        (Self::Gid, "gid", 5, Right),
        (Self::Login, "login", 8, Left),
        (Self::Sid, "sid", 7, Right),
        (Self::Pgid, "pgid", 7, Right),
        (Self::Tty, "tty", 7, Left),
        (Self::Name, "name", 15, Left),
        (Self::Exe, "exe", 24, Left),
        (Self::Path, "path", 24, Left),
        (Self::Cwd, "cwd", 24, Left),
        (Self::Cgroup, "cgroup", 32, Left),
        (Self::Container, "container", 12, Left),
        (Self::Unit, "unit", 20, Left),
        (Self::Status, "status", 12, Left),
        (Self::Duration, "duration", 8, Right),
        (Self::Cpu, "cpu", 7, Right),
        (Self::UserTime, "user-time", 9, Right),
        (Self::SystemTime, "system-time", 11, Right),
        (Self::Rss, "rss", 7, Right),
        (Self::Read, "read", 7, Right),
        (Self::Write, "write", 7, Right),
        (Self::Info, "info", 16, Left),
        (Self::Source, "source", 6, Left),
        (Self::Flaws, "flaws", 16, Left),
        (Self::Command, "command", 0, Left),
    ];

    fn row(self) -> (Self, &'static str, usize, Side) {
        Self::ALL[self as usize]
    }

    pub(crate) fn name(self) -> &'static str {
        self.row().1
    }

    pub(crate) fn width(self) -> usize {
        self.row().2
    }

    pub(crate) fn side(self) -> Side {
        self.row().3
    }

    /// The fields whose flaws apply to the cell, the most important first.
    pub(crate) fn fields(self) -> &'static [Field] {
        match self {
            Self::Time | Self::Date => &[Field::Time],
            Self::Ppid => &[Field::Ppid, Field::Parent],
            Self::Parent => &[Field::Parent, Field::Ppid],
            Self::User | Self::Uid | Self::Euid | Self::Gid => &[Field::User],
            Self::Login => &[Field::Login],
            Self::Sid => &[Field::Sid],
            Self::Pgid => &[Field::Pgid],
            Self::Tty => &[Field::Tty],
            Self::Name => &[Field::Name],
            Self::Exe => &[Field::Exe],
            Self::Path => &[Field::Path],
            Self::Cwd => &[Field::Cwd],
            Self::Cgroup | Self::Container | Self::Unit => &[Field::Cgroup],
            Self::Status => &[Field::Status, Field::Killer],
            Self::Info => &[Field::Status, Field::Killer, Field::Duration, Field::OldName],
            Self::Duration => &[Field::Duration],
            Self::Cpu | Self::UserTime | Self::SystemTime | Self::Rss | Self::Read | Self::Write => &[Field::Usage],
            Self::Command => &[Field::Argv],
            Self::Seq | Self::Event | Self::Pid | Self::Tid | Self::Processor | Self::Source | Self::Flaws => &[],
        }
    }
}

/// The columns to print, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Columns(pub(crate) Vec<Column>);

impl Default for Columns {
    fn default() -> Self {
        use Column::{Command, Event, Info, Pid, Ppid, Time, User};
        Self(vec![Time, Event, Pid, Ppid, User, Info, Command])
    }
}

impl Columns {
    /// The names of all columns.
    pub(crate) fn all_names() -> impl Iterator<Item = &'static str> {
        Column::ALL.into_iter().map(|row| row.1)
    }
}

impl FromStr for Columns {
    type Err = UnknownColumn;

    fn from_str(list: &str) -> Result<Self, UnknownColumn> {
        let find = |word: &str| Column::ALL.into_iter().find(|row| row.1 == word).map(|row| row.0);
        list.split(',')
            .map(str::trim)
            .map(|word| find(word).ok_or_else(|| UnknownColumn(word.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// A word that is not a column.
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
    use super::*;

    #[test]
    fn columns_stand_at_their_index() {
        for (index, row) in Column::ALL.into_iter().enumerate() {
            assert_eq!(row.0 as usize, index);
        }
    }

    #[test]
    fn lists_are_read_in_order() {
        assert_eq!("command, pid".parse(), Ok(Columns(vec![Column::Command, Column::Pid])));
        assert_eq!("pid,".parse::<Columns>(), Err(UnknownColumn(String::new())));
    }

    #[test]
    fn the_documentation_has_every_column() {
        let page = include_str!("../../../../docs/cli.md");
        for name in Columns::all_names() {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
