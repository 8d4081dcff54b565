//! A recording in place of a mechanism: JSON Lines from a file or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use procscope::{EventSet, Feed, Filter, Selected, Timestamp, Want};
use procscope_format::escape::visible;
use procscope_format::json::{BadLine, ReadError, Reader};

use crate::failure::{Failure, describe, remedy};
use crate::output::say;

/// This many unreadable lines are named; the summary counts all.
const NAMED: usize = 10;

/// Opens a recording; `-` is standard input. `None` if it has no events.
pub(crate) fn open(path: &Path, speed: Option<f64>, quiet: bool) -> Result<Option<Reader>, Failure> {
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let unreadable = |error: &io::Error| Failure {
        what: format!("cannot read {name}"),
        cause: describe(error),
        help: remedy(error)
            .unwrap_or("name a file that procscope --format json -o FILE wrote, or - for a pipe")
            .to_owned(),
    };
    let input = input(path).and_then(procscope_format::decompressed).map_err(|error| unreadable(&error))?;
    let mut left = NAMED;
    let said = name.clone();
    let complain = move |bad: &BadLine| {
        if quiet || left == 0 {
            return;
        }
        left -= 1;
        let more = if left == 0 { "; further ones are only counted" } else { "" };
        say(&format!("procscope: {}: skipped {bad}{more}\n", visible(&said)));
    };
    match Reader::open(input, complain) {
        Ok(reader) => Ok(Some(reader.speed(speed.unwrap_or(0.0)))),
        Err(ReadError::Empty) => Ok(None),
        Err(ReadError::Io { line: 1, error }) => Err(unreadable(&error)),
        Err(error) => Err(Failure { what: format!("cannot replay {name}"), ..Failure::reading(&error) }),
    }
}

/// Reports that a recording has no events.
pub(crate) fn empty(path: &Path) -> Failure {
    Failure {
        what: format!("cannot replay {}", path.display()),
        cause: "it has no events".to_owned(),
        help: "record some first: procscope --format json -o FILE".to_owned(),
    }
}

fn input(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path)?;
    // On other systems, reading reports it.
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Box::new(file))
}

/// Chooses from a recording as a mechanism would. Here pids are only numbers: a recording cannot
/// show which process had one first.
pub(crate) fn select(feed: Reader, want: &Want) -> Result<Box<dyn Feed>, Failure> {
    let filter = filter(want).map_err(|error| Failure {
        what: "cannot replay what you asked for".to_owned(),
        cause: error.to_string(),
        help: "ask for less at once".to_owned(),
    })?;
    let begun = feed.session().attached;
    if filter.is_none() && want.events == EventSet::ALL && want.duration.is_none() {
        return Ok(Box::new(feed));
    }
    let selected = Selected::new(Box::new(feed), want.events, filter);
    Ok(Box::new(match want.duration {
        Some(duration) => selected.until(later(begun, duration)),
        None => selected,
    }))
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp(time.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
}

/// The choice of processes and the filter, as one filter.
fn filter(want: &Want) -> Result<Option<Filter>, procscope::FilterError> {
    let mut terms = Vec::new();
    let mut any = |terms_of_one: Vec<String>| {
        if !terms_of_one.is_empty() {
            terms.push(format!("({})", terms_of_one.join(" or ")));
        }
    };
    any(want.pids.iter().map(|pid| format!("pid == {pid}")).collect());
    any(want.trees.iter().map(|pid| format!("pid == {pid} or ancestor.pid == {pid}")).collect());
    any(want.names.iter().map(|name| format!("name == {}", quoted(&name[..name.len().min(COMM_BYTES)]))).collect());
    any(want.uids.iter().map(|uid| format!("uid == {uid}")).collect());
    any(want.cgroups.iter().map(|path| below(path)).collect());
    any(want.containers.iter().map(|id| format!("container ~ \"{}*\"", escaped(id.as_bytes()))).collect());
    any(want.filter.iter().map(ToString::to_string).collect());
    if terms.is_empty() { Ok(None) } else { terms.join(" and ").parse().map(Some) }
}

/// A comm has this many bytes.
const COMM_BYTES: usize = 15;

/// In this cgroup or below: a path under the cgroup mount, or as `/proc/PID/cgroup` prints it.
fn below(path: &Path) -> String {
    let path = path.strip_prefix("/sys/fs/cgroup").unwrap_or(path);
    let path = path.to_string_lossy();
    let path = path.trim_matches('/');
    if path.is_empty() {
        return "cgroup?".to_owned();
    }
    let path = escaped(format!("/{path}").as_bytes());
    format!("cgroup == \"{path}\" or cgroup ~ \"{path}/*\"")
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", escaped(bytes))
}

/// Bytes in the form that a filter's string and a glob match literally.
fn escaped(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let escape = |&byte: &u8| if plain(byte) { char::from(byte).to_string() } else { format!("\\x{byte:02x}") };
    bytes.iter().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(choose: impl FnOnce(&mut Want)) -> String {
        let mut want = Want::default();
        choose(&mut want);
        filter(&want).unwrap().map(|filter| filter.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_choice_is_a_filter() {
        assert_eq!(want(|_| ()), "");
        assert_eq!(want(|it| it.pids = vec![1, 2]), "pid == 1 or pid == 2");
        assert_eq!(want(|it| it.trees = vec![7]), "pid == 7 or ancestor.pid == 7");
        assert_eq!(want(|it| it.names = vec![b"0123456789abcdefgh".to_vec()]), "name == 0123456789abcde");
        assert_eq!(
            want(|it| (it.uids, it.filter) = (vec![0], Some("exit != 0 or oom".parse().unwrap()))),
            "uid == 0 and (exit_code != 0 or oom)"
        );
        assert_eq!(want(|it| it.containers = vec!["0af".to_owned()]), "container ~ \"0af*\"");
        for path in ["/sys/fs/cgroup/a b/", "/a b", "a b"] {
            let text = want(|it| it.cgroups = vec![path.into()]);
            assert_eq!(text, "cgroup == \"/a b\" or cgroup ~ \"/a\\x20b/*\"");
        }
        assert_eq!(want(|it| it.cgroups = vec!["/".into()]), "cgroup?");
        assert_eq!(want(|it| it.names = vec![b"\xff*\"".to_vec()]), "name == \"\\xff*\\\"\"");
    }
}
