//! Probes of our own, where the kernel lets us have some: `Documentation/trace/kprobetrace.rst`.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use super::decode::{CALL_ARGUMENTS, Role};
use super::instance::{Names, Tracefs, remove_probes};

/// What a machine needs for them.
struct Machine {
    /// The function that gives a new program its stack, when all is on it; and the place of the stack's top.
    image: Option<(&'static str, &'static str)>,
    /// The first argument of a function.
    first: &'static str,
    /// The system calls, and where their path and their arguments are.
    calls: [(&'static str, &'static str, &'static str); 2],
}

/// The system call's function takes the registers of the caller since Linux 4.17; before that it takes what they hold.
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

/// Such an array has at most so many elements (`MAX_ARRAY_LEN` in `kernel/trace/trace_probe.h`).
const WORDS: usize = 64;
/// As many blocks as a page has room for beside the first string; kernels may take fewer (`E2BIG`).
const BLOCKS: usize = 6;

/// How user memory is named since Linux 5.3, and before that, when it was the same as the kernel's.
const USER: [(&str, &str); 2] = [("+u", "ustring"), ("+", "string")];

/// The new program's arguments: their number, the first, and what lies behind it. Arrays are not taken of memory that is named as a
/// user's, and need not be: these machines tell the two apart by the address.
fn image(stack: &str, (user, string): (&str, &str), blocks: usize) -> String {
    let mut text = format!("argc={user}0({stack}):u64 first={user}0({user}8({stack})):{string}");
    for block in 0..blocks {
        let offset = block * WORDS * 8;
        let _ = write!(text, " block{block}=+{offset}({user}8({stack})):x64[{WORDS}]");
    }
    text
}

/// The arguments of a call: their pointers, and what they point at.
fn arguments(argv: &str, (user, string): (&str, &str)) -> String {
    let mut text = format!("list=+0({argv}):x64[{}]", CALL_ARGUMENTS + 1);
    for n in 0..CALL_ARGUMENTS {
        let _ = write!(text, " s{n}={user}0({user}{}({argv})):{string}", n * size_of::<usize>());
    }
    text
}

/// Probes that are defined, and go when dropped.
pub(super) struct Probes {
    tracefs: Arc<Tracefs>,
    group: String,
    /// What they tell, and their names.
    pub(super) defined: Vec<(Role, String)>,
}

impl Probes {
    /// None where there are no kprobes.
    pub(super) fn new(tracefs: &Arc<Tracefs>, names: &Names) -> Option<Self> {
        let probes = Self { tracefs: Arc::clone(tracefs), group: names.group.clone(), defined: Vec::new() };
        tracefs.has("kprobe_events").then_some(probes)
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.defined.iter().any(|(defined, _)| *defined == role)
    }

    fn define(&mut self, role: Role, name: &str, place: &str, fetch: &str) -> io::Result<()> {
        let event = format!("{}/{name}", self.group);
        self.tracefs.define("kprobe_events", &format!("p:{event} {place} {fetch}\n"))?;
        self.defined.push((role, event));
        Ok(())
    }

    /// Defines the first of these that the kernel takes.
    fn first_of(&mut self, role: Role, name: &str, ways: impl Iterator<Item = (String, String)>) {
        for (place, fetch) in ways {
            if self.define(role, name, &place, &fetch).is_ok() {
                return;
            }
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
        for at in 0..2 {
            let each = |fetch: fn(&str, &str, (&str, &str)) -> String| {
                MACHINES.iter().flat_map(move |machine| {
                    let (function, path, argv) = machine.calls[at];
                    USER.map(|user| (function.to_owned(), fetch(path, argv, user)))
                })
            };
            let path = each(|path, _, (_, string)| format!("path=+0({path}):{string}"));
            self.first_of(Role::CallPath, &format!("path{at}"), path);
            let list = each(|_, argv, user| arguments(argv, user));
            self.first_of(Role::CallArguments, &format!("arguments{at}"), list);
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
