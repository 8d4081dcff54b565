//! The table of rooms in `docs/architecture.md`.

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) const PAGE: &str = "docs/architecture.md";

const HEAD: &str = "| room | where | may use | what |";

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: String,
    /// Files, folders (`src/sys/`) and folders of siblings (`src/source/*/`).
    patterns: Vec<String>,
    pub(crate) may_use: Vec<String>,
}

/// A room that a file is in. Siblings share a row and are rooms of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) room: String,
    pub(crate) sibling: String,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.sibling.as_str() {
            "" => f.write_str(&self.room),
            sibling => write!(f, "{} ({sibling})", self.room),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Rooms(Vec<Room>);

impl Rooms {
    pub(crate) fn read() -> Self {
        Self::parse(&crate::read(Path::new(PAGE))).unwrap_or_else(|fault| panic!("{PAGE}: {fault}"))
    }

    /// Reads every table of rooms on the page. Rooms come lowest first, so the rooms that a room may use are above it.
    pub(crate) fn parse(page: &str) -> Result<Self, String> {
        let mut rooms: Vec<Room> = Vec::new();
        let mut lines = page.lines();
        while lines.by_ref().any(|line| line == HEAD) {
            lines.next();
            for line in lines.by_ref().take_while(|line| line.starts_with('|')) {
                let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
                let [name, patterns, may_use, _] = cells[..] else {
                    return Err(format!("a row of the table of rooms has 4 cells: {line}"));
                };
                let room = Room {
                    name: name.to_owned(),
                    patterns: patterns.split(", ").map(|pattern| pattern.trim_matches('`').to_owned()).collect(),
                    may_use: may_use.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect(),
                };
                if rooms.iter().any(|other| other.name == room.name) {
                    return Err(format!("there are two rooms '{name}'"));
                }
                if let Some(unknown) = room.may_use.iter().find(|used| rooms.iter().all(|other| other.name != **used)) {
                    return Err(format!("'{name}' may use '{unknown}', which is no room above it"));
                }
                rooms.push(room);
            }
        }
        if rooms.is_empty() { Err(format!("no table under {HEAD}")) } else { Ok(Self(rooms)) }
    }

    /// Whether some rooms divide what is below `dir`.
    pub(crate) fn divide(&self, dir: &Path) -> bool {
        self.0.iter().flat_map(|room| &room.patterns).any(|pattern| Path::new(pattern).starts_with(dir))
    }

    /// The room whose pattern fits the longest part of the path.
    pub(crate) fn of(&self, file: &Path) -> Option<At> {
        let matches = self.0.iter().flat_map(|room| room.patterns.iter().map(move |pattern| (room, pattern)));
        let fitting = matches.filter_map(|(room, pattern)| {
            let sibling = fit(pattern, file)?;
            Some(((pattern.matches('/').count(), !pattern.ends_with('/'), !pattern.contains('*')), room, sibling))
        });
        let (_, room, sibling) = fitting.max_by_key(|(closeness, ..)| *closeness)?;
        Some(At { room: room.name.clone(), sibling })
    }

    pub(crate) fn allows(&self, from: &At, to: &At) -> bool {
        if from.room == to.room {
            return from.sibling == to.sibling;
        }
        self.0.iter().any(|room| room.name == from.room && room.may_use.contains(&to.room))
    }

    /// Patterns that no file fits.
    pub(crate) fn empty(&self, files: &[PathBuf]) -> Vec<String> {
        let patterns = self.0.iter().flat_map(|room| &room.patterns);
        patterns.filter(|pattern| !files.iter().any(|file| fit(pattern, file).is_some())).cloned().collect()
    }
}

/// The part of the path that a pattern's `*` covers, if the pattern fits.
fn fit(pattern: &str, file: &Path) -> Option<String> {
    if !pattern.ends_with('/') {
        return (Path::new(pattern) == file).then(String::new);
    }
    let mut parts = file.iter();
    let mut sibling = String::new();
    for wanted in Path::new(pattern) {
        let part = parts.next()?;
        match wanted == "*" {
            true => sibling = part.to_string_lossy().into_owned(),
            false if wanted != part => return None,
            false => {}
        }
    }
    parts.next().map(|_| sibling)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: &str) -> String {
        format!("# A page\n\n{HEAD}\n|---|---|---|---|\n{rows}\n\nText.\n")
    }

    #[test]
    fn a_file_is_in_the_room_that_names_it_most_closely() {
        let rows = "| low | `src/low/`, `src/low.rs` |  | a |\n| each | `src/source/*/` | low | b |\n| table | `src/source/mod.rs` | low, each | c |";
        let rooms = Rooms::parse(&page(rows)).expect("the table is right");
        let at = |file: &str| rooms.of(Path::new(file)).map(|at| format!("{}/{}", at.room, at.sibling));
        assert_eq!(at("src/low/deep/x.rs").as_deref(), Some("low/"));
        assert_eq!(at("src/low.rs").as_deref(), Some("low/"));
        assert_eq!(at("src/source/ebpf/live.rs").as_deref(), Some("each/ebpf"));
        assert_eq!(at("src/source/mod.rs").as_deref(), Some("table/"));
        assert_eq!(at("src/lower.rs"), None);
        assert_eq!(rooms.empty(&[PathBuf::from("src/low/x.rs")]), ["src/low.rs", "src/source/*/", "src/source/mod.rs"]);
    }

    #[test]
    fn a_table_that_is_wrong_is_refused() {
        let fault = |rows: &str| Rooms::parse(&page(rows)).expect_err("the table is wrong");
        assert_eq!(fault("| a | `a/` | b | x |\n| b | `b/` |  | x |"), "'a' may use 'b', which is no room above it");
        assert_eq!(fault("| a | `a/` |  | x |\n| a | `b/` |  | x |"), "there are two rooms 'a'");
        assert_eq!(fault("| a | `a/` | x |"), "a row of the table of rooms has 4 cells: | a | `a/` | x |");
        assert!(Rooms::parse("# no table").is_err());
    }
}
