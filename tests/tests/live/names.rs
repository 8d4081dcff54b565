//! Names of users and groups are those at the time of the event.

use std::fs;
use std::process::Command;

use crate::turn;
use crate::watch::{events, program, run};

/// No user has this number.
const ID: &str = "43210";

/// Runs itself with files of its own in place of /etc/passwd and /etc/group: a user and a group are added, renamed and removed.
const SCRIPT: &str = r#"
nap() { setpriv --reuid "$ID" --regid "$ID" --clear-groups sleep "$1"; }
sleep 0.5
nap 0.51
echo "latecomer:x:$ID:$ID::/:/bin/sh" >> /etc/passwd
echo "lategroup:x:$ID:" >> /etc/group
nap 0.52
for file in passwd group; do
    sed -e s/latecomer/renamed/ -e s/lategroup/regrouped/ /etc/$file > "$DIR/new"
    cat "$DIR/new" > /etc/$file
done
nap 0.53
for file in passwd group; do
    grep -v ":$ID:" /etc/$file > "$DIR/new"
    cat "$DIR/new" > /etc/$file
done
nap 0.54
"#;

fn names_change(source: &str) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    for name in ["passwd", "group"] {
        fs::copy(format!("/etc/{name}"), dir.path().join(name)).expect("it can be copied");
    }
    let mount = "mount --bind $DIR/passwd /etc/passwd && mount --bind $DIR/group /etc/group && exec \"$@\"";
    let file = dir.path().join("events");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", mount, "sh"]).env("DIR", dir.path()).env("ID", ID).arg(program());
    command.args(["run", "--source", source, "--format", "json", "-e", "exec", "-n", "sleep", "-o"]).arg(&file);
    command.args(["--", "sh", "-c", SCRIPT]);
    let (status, stderr) = run(command);
    assert!(status.success(), "{source}: {stderr}");
    let events = events(&file);
    let named = |time: &str| {
        let naps = |argv: &Vec<Vec<u8>>| *argv == [b"sleep", time.as_bytes()];
        let nap = events.iter().find(|seen| seen.arguments().as_ref().is_some_and(naps));
        let nap = nap.unwrap_or_else(|| panic!("{source}: no sleep {time}: {events:?}"));
        assert_eq!(nap.uid.map(|uid| uid.to_string()).as_deref(), Some(ID), "{source}");
        (nap.user.as_deref(), nap.group.as_deref())
    };
    assert_eq!(named("0.51"), (None, None), "{source}");
    assert_eq!(named("0.52"), (Some("latecomer"), Some("lategroup")), "{source}");
    assert_eq!(named("0.53"), (Some("renamed"), Some("regrouped")), "{source}");
    assert_eq!(named("0.54"), (None, None), "{source}");
}

#[test]
fn are_of_the_time_of_the_event() {
    let _turn = turn::take();
    ["ebpf", "ptrace", "process-connector", "tracefs", "proc-poll"].into_iter().for_each(names_change);
}
