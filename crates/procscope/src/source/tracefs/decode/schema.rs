//! The events that are read, by their numbers, and the content of each of their records.

use super::Malformed;
use super::format::{Format, Place};
use super::raw::{Raw, RawWhat};
use super::role::{FIRST_ARGUMENTS, MORE_ARGUMENTS, MOST_FIELDS, Role};
use super::strings::{
    LONGEST_STRING, PAGE_BITS, Strings, StringsEnd, USER_STRING, is_one_byte, read, read_path, shown_path,
};
use crate::Pid;
use crate::record::comm_of;
use crate::source::happening::Arguments;

#[derive(Clone, Debug)]
struct Layout {
    role: Role,
    places: [Option<Place>; MOST_FIELDS],
    /// Strings of a call.
    strings: Vec<Place>,
}

/// All events that are read, by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    kind: Place,
    tid: Place,
    kernel: Kernel,
    layouts: rustc_hash::FxHashMap<u16, Layout>,
}

/// The kernel's behaviour that its layouts do not show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kernel {
    /// An unreadable string is marked (Linux 6.2), which distinguishes it from an empty one.
    pub(crate) tells_faults: bool,
    /// This much of a system call's string is kept, bytes.
    pub(crate) user_string: usize,
}

impl Default for Kernel {
    fn default() -> Self {
        Self { tells_faults: false, user_string: USER_STRING }
    }
}

impl Schema {
    /// The first fields are common to all events: taken from any.
    pub(crate) fn new(any: &Format) -> Result<Self, Malformed> {
        let place = |name| any.place(name).ok_or(Malformed);
        let (kind, tid) = (place("common_type")?, place("common_pid")?);
        Ok(Self { kind, tid, kernel: Kernel::default(), layouts: Default::default() })
    }

    pub(crate) fn set_kernel(&mut self, kernel: Kernel) {
        self.kernel = kernel;
    }

    /// The event of a call has its path (Linux 7.0).
    pub(crate) fn shows_paths(&self) -> bool {
        let shows = |layout: &Layout| layout.role == Role::EnterExec && layout.places[1].is_some();
        self.layouts.values().any(shows)
    }

    /// Fails if a required field is missing.
    pub(crate) fn add(&mut self, role: Role, format: &Format) -> Result<(), Malformed> {
        let (names, needed) = role.fields();
        let mut places = [None; MOST_FIELDS];
        places.iter_mut().zip(names).for_each(|(place, name)| *place = format.place(name));
        if places[..needed].contains(&None) {
            return Err(Malformed);
        }
        let strings = (0..MORE_ARGUMENTS).map_while(|n| format.place(&format!("s{n}"))).collect();
        self.layouts.insert(format.id, Layout { role, places, strings });
        Ok(())
    }

    /// A record's report; `None` if the event is not one of ours.
    pub(crate) fn decode(&self, ns: u64, record: &[u8]) -> Result<Option<Raw>, Malformed> {
        let kind = self.kind.number(record).ok_or(Malformed)?;
        let tid = self.tid.number(record).and_then(|tid| Pid::try_from(tid).ok()).ok_or(Malformed)?;
        let Some(layout) = u16::try_from(kind).ok().and_then(|kind| self.layouts.get(&kind)) else { return Ok(None) };
        Ok(Some(Raw { ns, processor: None, tid, what: layout.decode(record, self.kernel).ok_or(Malformed)? }))
    }
}

/// Sent by kill(2), and by parts of the kernel that give no more detail:
/// `include/uapi/asm-generic/siginfo.h`.
pub(crate) const SI_USER: i32 = 0;

/// `TRACE_SIGNAL_DELIVERED` in `include/trace/events/signal.h`.
const TAKEN: i64 = 0;

impl Layout {
    fn decode(&self, record: &[u8], kernel: Kernel) -> Option<RawWhat> {
        let place = |n: usize| self.places.get(n).copied().flatten();
        let number = |n| place(n)?.number(record);
        let pid = |n| Pid::try_from(number(n)?).ok();
        let comm = |n| place(n)?.text(record).map(comm_of);
        let code = |n| number(n).map(|code| (code as u32 & 0xff) << 8);
        let signo = |n| u8::try_from(number(n)?).ok();
        Some(match self.role {
            Role::NewTask => RawWhat::NewTask { tid: pid(0)?, comm: comm(1)?, flags: number(2)? as u64 },
            Role::Exec => RawWhat::Exec {
                pid: pid(0)?,
                old_tid: pid(1),
                path: place(2).and_then(|path| path.text(record)).map(<[u8]>::to_vec),
            },
            Role::Exit => RawWhat::Exit { tid: pid(0)?, comm: comm(1), last: number(2).map(|dead| dead != 0) },
            Role::Rename => RawWhat::Rename { tid: pid(0)?, old: comm(1)?, new: comm(2)? },
            Role::Generate => RawWhat::Generate {
                signo: signo(0)?,
                tid: pid(1)?,
                code: number(2).map_or(SI_USER, |code| code as i32),
                taken: number(3).is_none_or(|result| result == TAKEN),
            },
            Role::Deliver => RawWhat::Deliver { signo: signo(0)?, default: number(1)? == 0 },
            Role::OomVictim => RawWhat::OomVictim { pid: pid(0)? },
            Role::EnterExec | Role::EnterExecAt => {
                let path = place(1).and_then(|path| shown_path(path.bytes(record)?, kernel.user_string));
                RawWhat::EnterExec { dirfd: number(0).map(|fd| fd as i32), path }
            }
            Role::LeaveExec | Role::LeaveExecAt => RawWhat::LeaveExec { result: number(0)? },
            Role::EnterExit => RawWhat::EnterExit { wait_status: code(0)?, group: false },
            Role::EnterExitGroup => RawWhat::EnterExit { wait_status: code(0)?, group: true },
            Role::LeaveSetsid => RawWhat::LeaveSetsid { result: number(0)? },
            Role::Doom => RawWhat::Doom { wait_status: number(0)? as u32 & 0xffff },
            Role::Image => RawWhat::Image(self.image(record)),
            Role::CallPath => {
                let path = place(0)?.bytes(record).and_then(|bytes| read_path(bytes, kernel.tells_faults));
                RawWhat::CallPath(path.filter(|_| !number(1).is_some_and(is_one_byte)))
            }
            Role::CallArguments => RawWhat::CallArguments(self.strings(record, 0, kernel)),
            Role::CallRest => RawWhat::CallRest(self.strings(record, FIRST_ARGUMENTS, kernel)),
        })
    }

    /// The strings of a new program follow each other, and this many blocks were read from the
    /// first on.
    fn image(&self, record: &[u8]) -> Option<Arguments> {
        let place = |n: usize| self.places.get(n).copied().flatten();
        let argc = place(0)?.number(record)?;
        let first = place(1)?.bytes(record).and_then(read)?;
        let mut block = Vec::new();
        for n in 2..MOST_FIELDS {
            let Some(place) = place(n) else { break };
            block.extend_from_slice(place.bytes(record)?);
        }
        // An unreadable array leaves the buffer's earlier content.
        if block.get(..first.len().min(block.len())) != first.get(..block.len().min(first.len())) {
            return None;
        }
        let mut ends = block.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1);
        let end = match usize::try_from(argc).ok()?.checked_sub(1) {
            None => Some(0),
            Some(last) => ends.nth(last),
        };
        let cut = end.is_none();
        block.truncate(end.unwrap_or(block.len()));
        if cut {
            block.push(0);
        }
        Some(Arguments { list: block, cut, as_called: false, unreadable: false })
    }

    /// The pointers to the strings end with a null pointer. The first here is the one of this
    /// number.
    fn strings(&self, record: &[u8], from: usize, kernel: Kernel) -> Option<Strings> {
        let place = |n: usize| self.places[n].and_then(|place| place.bytes(record));
        let at = self.places[1]?.number(record)? as u64;
        let mut pointers =
            place(0)?.chunks_exact(size_of::<usize>()).map(|pointer| pointer.iter().all(|&byte| byte == 0));
        let page = |n: usize| at.wrapping_add(((from + n) * size_of::<usize>()) as u64) >> PAGE_BITS;
        // An unreadable pointer leaves the buffer's earlier content. It was readable if the one
        // before it was, by which a string was read, and both are on one page.
        let sure = |n: usize| n > 0 && page(n) == page(n - 1);
        // A string left out because there was no room is not empty: then there is none for these
        // either, which are a pointer's bytes.
        let room = || (2..5).any(|n| place(n).and_then(read).is_some_and(|text| !text.is_empty()));
        let mut list = Vec::new();
        for (n, string) in self.strings.iter().enumerate() {
            if pointers.next()? {
                let end = if sure(n) { StringsEnd::Null } else { StringsEnd::Unreadable };
                return Some(Strings { list, end });
            }
            let bytes = string.bytes(record)?;
            let empty = || (bytes.is_empty() && kernel.tells_faults && room()).then_some(bytes);
            let Some(text) = read(bytes).or_else(empty) else {
                return Some(Strings { list, end: StringsEnd::Unreadable });
            };
            list.extend_from_slice(text);
            list.push(0);
            if bytes.len() >= LONGEST_STRING {
                return Some(Strings { list, end: StringsEnd::Cut });
            }
        }
        let end = match pointers.next() {
            Some(true) if sure(self.strings.len()) => StringsEnd::Null,
            Some(false) => StringsEnd::More,
            _ => StringsEnd::Unreadable,
        };
        Some(Strings { list, end })
    }
}
