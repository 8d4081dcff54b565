//! The login, as the kernel's audit keeps it.

use std::fs;

use crate::run::sh;
use crate::turn;

/// The user and the session of an exec's process after they were set, and of its child after it.
#[test]
fn who_logged_in_is_told() {
    let _turn = turn::take();
    let Ok(own) = fs::read_to_string("/proc/self/loginuid") else {
        // Without CONFIG_AUDIT it is unknown.
        return;
    };
    let ended = sh("ebpf", &["-e", "exec,exit"], "echo 1234 > /proc/self/loginuid && cat /proc/self/sessionid; true");
    assert!(ended.status.success(), "{}", ended.stderr);
    let session: u32 = ended.stdout.trim().parse().expect("the session's number");
    let of = |event: &str, name: &str| {
        let mut found = ended.events.iter().filter(|seen| seen.event == event && seen.name.as_deref() == Some(name));
        found.next().map(|seen| (seen.loginuid, seen.audit_session)).unwrap_or_else(|| panic!("no {event} of {name}"))
    };
    let unset = |id: &u32| *id != u32::MAX;
    assert_eq!(of("exec", "sh").0, own.trim().parse().ok().filter(unset));
    assert_eq!(of("exec", "cat"), (Some(1234), Some(session)));
    assert_eq!(of("exit", "sh"), (Some(1234), Some(session)));
}
