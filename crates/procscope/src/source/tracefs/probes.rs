//! Probes of our own, if the kernel accepts some: on its functions
//! (`Documentation/trace/kprobetrace.rst`), or else on its events
//! (`Documentation/trace/eprobetrace.rst`).

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use super::decode::{FIRST_ARGUMENTS, MORE_ARGUMENTS, Role};
use super::instance::{Names, Tracefs, remove_probes};

/// A machine's details for them.
struct Machine {
    /// The function that gives a new program its stack, when everything is on it; and the place of
    /// the stack's top.
    image: Option<(&'static str, &'static str)>,
    /// The first argument of a function.
    first: &'static str,
    /// The system calls, and the places of their path and their arguments.
    calls: [(&'static str, &'static str, &'static str); 2],
}

/// Since Linux 4.17 the system call's function gets the caller's registers; before that it gets
/// their content.
#[cfg(target_arch = "x86_64")]
const MACHINES: [Machine; 2] = [
    Machine {
        image: Some(("start_thread", "%dx")),
        first: "%di",
        calls: [("__x64_sys_execve", "+0x70(%di)", "+0x68(%di)"), ("__x64_sys_execveat", "+0x68(%di)", "+0x60(%di)")],
    },
    Machine {
        image: Some(("start_thread", "%dx")),
        first: "%di",
        calls: [("sys_execve", "%di", "%si"), ("sys_execveat", "%si", "%dx")],
    },
];

#[cfg(target_arch = "aarch64")]
const MACHINES: [Machine; 2] = [
    Machine {
        image: None,
        first: "%x0",
        calls: [("__arm64_sys_execve", "+0(%x0)", "+8(%x0)"), ("__arm64_sys_execveat", "+8(%x0)", "+16(%x0)")],
    },
    Machine { image: None, first: "%x0", calls: [("sys_execve", "%x0", "%x1"), ("sys_execveat", "%x1", "%x2")] },
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const MACHINES: [Machine; 0] = [];

/// Such an array has at most this many elements (`MAX_ARRAY_LEN` in `kernel/trace/trace_probe.h`).
const WORDS: usize = 64;
/// As many blocks as fit into a page beside the first string; kernels may accept fewer (`E2BIG`).
const BLOCKS: usize = 6;

/// The name of user memory since Linux 5.3, and before that, when it was the same as the kernel's.
const USER: [(&str, &str); 2] = [("+u", "ustring"), ("+", "string")];

/// The new program's arguments: their number, the first, and the memory after it. Arrays cannot be
/// read from memory named as a user's, and need not be: these machines distinguish the two by the
/// address.
fn image(stack: &str, (user, string): (&str, &str), blocks: usize) -> String {
    let mut text = format!("argc={user}0({stack}):u64 first={user}0({user}8({stack})):{string}");
    for block in 0..blocks {
        let offset = block * WORDS * 8;
        let _ = write!(text, " block{block}=+{offset}({user}8({stack})):x64[{WORDS}]");
    }
    text
}

/// The arguments of a call: the place of the pointers, these, the strings, and after them the first
/// pointer's bytes, of which hardly all are null.
fn arguments(argv: &str, (user, string): (&str, &str), Part { from, count, .. }: Part) -> String {
    let at = |n: usize| (from + n) * size_of::<usize>();
    let mut text = format!("at={argv}:x64 list=+{}({argv}):x64[{}]", at(0), count + 1);
    for n in 0..count {
        let _ = write!(text, " s{n}={user}0({user}{}({argv})):{string}", at(n));
    }
    for n in 0..3 {
        let _ = write!(text, " end{n}={user}{n}({argv}):{string}");
    }
    text
}

/// Some of a call's arguments: other memory read after the list's end may fill a page, so those of
/// most calls are alone.
#[derive(Clone, Copy)]
struct Part {
    role: Role,
    name: &'static str,
    from: usize,
    count: usize,
}

const PARTS: [Part; 2] = [
    Part { role: Role::CallArguments, name: "arguments", from: 0, count: FIRST_ARGUMENTS },
    Part { role: Role::CallRest, name: "rest", from: FIRST_ARGUMENTS, count: MORE_ARGUMENTS },
];

/// The events of the calls, whose fields have these names.
const CALL_EVENTS: [&str; 2] = ["syscalls.sys_enter_execve", "syscalls.sys_enter_execveat"];
/// The address of the path is requested too: a kernel that does not know the path shows it.
const EVENT_PATH: &str = "at=$filename:x64 path=+0($filename):ustring";
const EVENT_ARGV: &str = "$argv";

/// The files that define probes on functions, and those on events (Linux 5.15).
const KPROBES: &str = "kprobe_events";
const DYNAMIC: &str = "dynamic_events";

/// Whether this kernel has probes on functions.
pub(super) fn has_kprobes(tracefs: &Tracefs) -> bool {
    tracefs.has(KPROBES)
}

/// Whether its own description says that it has probes on events.
pub(super) fn has_event_probes(tracefs: &Tracefs) -> bool {
    tracefs.has(DYNAMIC) && tracefs.read("README").is_ok_and(|text| text.contains("<attached-event>"))
}

/// Defined probes, which are removed when dropped.
pub(super) struct Probes {
    tracefs: Arc<Tracefs>,
    group: String,
    kprobes: bool,
    event_probes: bool,
    /// Their roles, and their names.
    pub(super) defined: Vec<(Role, String)>,
}

impl Probes {
    pub(super) fn new(tracefs: &Arc<Tracefs>, names: &Names) -> Self {
        let (kprobes, event_probes) = (has_kprobes(tracefs), has_event_probes(tracefs));
        let (tracefs, group) = (Arc::clone(tracefs), names.group.clone());
        Self { tracefs, group, kprobes, event_probes, defined: Vec::new() }
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.defined.iter().any(|(defined, _)| *defined == role)
    }

    fn define(&mut self, role: Role, name: &str, place: &str, fetch: &str) -> io::Result<()> {
        let event = format!("{}/{name}", self.group);
        self.tracefs.define(KPROBES, &format!("p:{event} {place} {fetch}\n"))?;
        self.defined.push((role, event));
        Ok(())
    }

    /// Defines the first of these that the kernel accepts, if any.
    fn first_of(&mut self, role: Role, name: &str, ways: impl Iterator<Item = (String, String)>) -> bool {
        self.kprobes && { ways }.any(|(place, fetch)| self.define(role, name, &place, &fetch).is_ok())
    }

    fn define_on_event(&mut self, role: Role, name: &str, event: &str, fetch: &str) {
        let defined = format!("{}/{name}", self.group);
        if self.event_probes && self.tracefs.define(DYNAMIC, &format!("e:{defined} {event} {fetch}\n")).is_ok() {
            self.defined.push((role, defined));
        }
    }

    pub(super) fn image(&mut self) {
        let ways = MACHINES.iter().filter_map(|machine| machine.image);
        let ways = ways.flat_map(|(function, stack)| {
            let sizes = (1..=BLOCKS).rev();
            sizes.flat_map(move |blocks| USER.map(|user| (function.to_owned(), image(stack, user, blocks))))
        });
        self.first_of(Role::Image, "image", ways);
    }

    pub(super) fn doom(&mut self) {
        let ways = MACHINES.iter().map(|machine| ("do_exit".to_owned(), format!("code={}:s64", machine.first)));
        self.first_of(Role::Doom, "doom", ways);
    }

    pub(super) fn calls(&mut self) {
        for (at, event) in CALL_EVENTS.into_iter().enumerate() {
            let functions = MACHINES.iter().map(|machine| machine.calls[at]);
            let ways = functions.flat_map(|call| USER.map(|user| (call, user)));
            let path = ways
                .clone()
                .map(|((function, path, _), (_, string))| (function.to_owned(), format!("path=+0({path}):{string}")));
            let name = format!("path{at}");
            if !self.first_of(Role::CallPath, &name, path) {
                self.define_on_event(Role::CallPath, &name, event, EVENT_PATH);
            }
            for part in PARTS {
                let name = format!("{}{at}", part.name);
                let list =
                    ways.clone().map(|((function, _, argv), user)| (function.to_owned(), arguments(argv, user, part)));
                if !self.first_of(part.role, &name, list) {
                    self.define_on_event(part.role, &name, event, &arguments(EVENT_ARGV, USER[0], part));
                }
            }
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        if !self.defined.is_empty() {
            remove_probes(&self.tracefs, |group| group == self.group);
        }
    }
}
