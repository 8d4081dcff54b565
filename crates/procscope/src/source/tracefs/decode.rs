//! Pages of a CPU's ring buffer (`kernel/trace/ring_buffer.c`), and the records in them by the layouts that tracefs tells
//! (`events/header_page`, `events/header_event`, `events/*/*/format`). All numbers in the machine's byte order.

use std::collections::BTreeMap;

use crate::source::comm_of;
use crate::source::happening::{Arguments, CallPath};
use crate::source::record::Comm;
use crate::{Flaw, Pid};

/// The text or the bytes were not what the kernel gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// Where the bytes of a field are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Here,
    /// Elsewhere in the record, where a word here tells: its lower half is the place, counted from the record's beginning, the upper
    /// the length.
    Told,
    /// The same, counted from this field's end.
    ToldFromHere,
}

/// A field of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    offset: usize,
    size: usize,
    signed: bool,
    at: At,
}

impl Place {
    fn raw<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        record.get(self.offset..self.offset.checked_add(self.size)?)
    }

    fn bytes<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        let raw = self.raw(record)?;
        if self.at == At::Here {
            return Some(raw);
        }
        let word = u32::from_ne_bytes(*raw.first_chunk()?);
        let from = if self.at == At::Told { 0 } else { self.offset + self.size };
        let start = from + (word & 0xffff) as usize;
        record.get(start..start + (word >> 16) as usize)
    }

    /// The bytes up to the first NUL.
    fn text<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        self.bytes(record)?.split(|&b| b == 0).next()
    }

    fn number(&self, record: &[u8]) -> Option<i64> {
        let raw = self.raw(record)?;
        Some(match (raw, self.signed) {
            (&[byte], false) => byte.into(),
            (&[byte], true) => (byte as i8).into(),
            (&[a, b], false) => u16::from_ne_bytes([a, b]).into(),
            (&[a, b], true) => i16::from_ne_bytes([a, b]).into(),
            (&[a, b, c, d], false) => u32::from_ne_bytes([a, b, c, d]).into(),
            (&[a, b, c, d], true) => i32::from_ne_bytes([a, b, c, d]).into(),
            _ => i64::from_ne_bytes(*raw.first_chunk().filter(|_| raw.len() == 8)?),
        })
    }
}

/// The layout of one event: `events/GROUP/NAME/format`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Format {
    id: u16,
    fields: BTreeMap<String, Place>,
}

/// No record is longer: a sub-buffer has at most 2^8 pages.
const LONGEST: usize = 1 << 24;

/// `field:DECLARATION; offset:N; size:N; signed:N;`
fn decode_field(line: &str) -> Option<(String, Place)> {
    let (_, rest) = line.trim().strip_prefix("field")?.split_once(':')?;
    let mut parts = rest.split(';').map(str::trim);
    let declaration = parts.next()?;
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", number)) => offset = number.trim().parse().ok(),
            Some(("size", number)) => size = number.trim().parse().ok(),
            Some(("signed", number)) => signed = number.trim() == "1",
            _ => {}
        }
    }
    let at = match declaration.split_whitespace().next()? {
        "__data_loc" => At::Told,
        "__rel_loc" => At::ToldFromHere,
        _ => At::Here,
    };
    let name = declaration.split_whitespace().next_back()?;
    let name = name.split('[').next()?.trim_start_matches('*');
    let (offset, size) = (offset?, size?);
    let place = Place { offset, size, signed, at };
    (!name.is_empty() && offset <= LONGEST && size <= LONGEST).then(|| (name.to_owned(), place))
}

impl Format {
    pub(crate) fn decode(text: &str) -> Result<Self, Malformed> {
        let id = text.lines().find_map(|line| line.strip_prefix("ID:")?.trim().parse().ok());
        Ok(Self { id: id.ok_or(Malformed)?, fields: text.lines().filter_map(decode_field).collect() })
    }

    fn place(&self, name: &str) -> Option<Place> {
        self.fields.get(name).copied()
    }
}

/// The layout of a page and of what stands before each record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PageLayout {
    stamp: Place,
    commit: Place,
    data: usize,
    /// The whole page, bytes.
    pub(crate) size: usize,
    type_bits: u32,
    padding: u32,
    extend: u32,
    absolute: u32,
}

/// The count in a page's header says that records are missing before the page.
const MISSED: u64 = 1 << 31;
/// Their number stands behind the last record.
const MISSED_STORED: u64 = 1 << 30;
/// The delta has this many bits; the rest of a longer one is in the next word.
const DELTA_BITS: u32 = 27;
/// An absolute time has so many bits.
const ABSOLUTE_BITS: u32 = 59;

/// Where a page stands among the others of its CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Missed {
    /// Records are missing before it.
    pub(crate) before: bool,
    /// So many, where that is told.
    pub(crate) count: Option<u64>,
}

impl PageLayout {
    /// From `events/header_page` and `events/header_event`.
    pub(crate) fn decode(page: &str, event: &str) -> Result<Self, Malformed> {
        let fields: BTreeMap<_, _> = page.lines().filter_map(decode_field).collect();
        let field = |name| fields.get(name).copied().ok_or(Malformed);
        let data = field("data")?;
        let number = |name: &str| {
            let line = event.lines().find(|line| line.trim_start().starts_with(name)).ok_or(Malformed)?;
            let digits = line.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty());
            digits.and_then(|digits| digits.parse::<u32>().ok()).ok_or(Malformed)
        };
        let layout = Self {
            stamp: field("timestamp")?,
            commit: field("commit")?,
            data: data.offset,
            size: data.offset + data.size,
            type_bits: number("type_len")?,
            padding: number("padding")?,
            extend: number("time_extend")?,
            absolute: number("time_stamp").unwrap_or(31),
        };
        let rest = number("time_delta")?;
        let sound = layout.size <= LONGEST && layout.type_bits == 5 && rest == DELTA_BITS;
        sound.then_some(layout).ok_or(Malformed)
    }

    /// The type and the delta in a record's first word, which is a C bit field.
    fn split(&self, word: u32) -> (u32, u64) {
        if cfg!(target_endian = "big") {
            (word >> DELTA_BITS, u64::from(word & ((1 << DELTA_BITS) - 1)))
        } else {
            (word & ((1 << self.type_bits) - 1), u64::from(word >> self.type_bits))
        }
    }

    /// Gives each record of a page with its time; what is no record ends it. Says whether some are missing before it.
    pub(crate) fn records<'a>(&self, page: &'a [u8], mut each: impl FnMut(u64, &'a [u8])) -> Result<Missed, Malformed> {
        let unsigned = |place: &Place| place.number(page).map(|number| number as u64).ok_or(Malformed);
        let (mut now, commit) = (unsigned(&self.stamp)?, unsigned(&self.commit)?);
        let room = page.get(self.data..).ok_or(Malformed)?;
        let len = (commit & (MISSED_STORED - 1)) as usize;
        let data = room.get(..len).ok_or(Malformed)?;
        let mut missed = Missed { before: commit & MISSED != 0, count: None };
        if commit & MISSED_STORED != 0 {
            // As long as the counter is.
            let count = room.get(len..).and_then(|rest| rest.get(..self.commit.size));
            let place = Place { offset: 0, ..self.commit };
            missed.count = count.and_then(|count| place.number(count)).and_then(|count| u64::try_from(count).ok());
        }
        let word = |at: usize| data.get(at..).and_then(|rest| rest.first_chunk()).map(|word| u32::from_ne_bytes(*word));
        let mut at = 0;
        while at < data.len() {
            let (kind, delta) = self.split(word(at).ok_or(Malformed)?);
            let second = word(at + 4);
            let long = |second: Option<u32>| Ok((u64::from(second.ok_or(Malformed)?) << DELTA_BITS) + delta);
            if kind == self.padding {
                // Without a delta nothing comes behind it. A discarded one with the least delta had none (`rb_event_discard`).
                if delta == 0 {
                    break;
                }
                now = now.wrapping_add(if delta == 1 { 0 } else { delta });
                at = next(at + 4, second.ok_or(Malformed)? as usize, 4)?;
            } else if kind == self.extend {
                now = now.wrapping_add(long(second)?);
                at += 8;
            } else if kind == self.absolute {
                let mut stamp = long(second)? & ((1 << ABSOLUTE_BITS) - 1) | now >> ABSOLUTE_BITS << ABSOLUTE_BITS;
                if stamp < now && now >> ABSOLUTE_BITS != 0 {
                    stamp = stamp.wrapping_add(1 << ABSOLUTE_BITS);
                }
                now = stamp;
                at += 8;
            } else {
                now = now.wrapping_add(delta);
                let (start, end) = match kind {
                    0 => (at + 8, next(at + 4, second.ok_or(Malformed)? as usize, 4)?),
                    words => (at + 4, at + 4 + 4 * words as usize),
                };
                each(now, data.get(start..end).ok_or(Malformed)?);
                at = end;
            }
        }
        Ok(missed)
    }
}

/// Behind a length that counts itself.
fn next(at: usize, len: usize, least: usize) -> Result<usize, Malformed> {
    if len < least || len > LONGEST {
        return Err(Malformed);
    }
    Ok(at + len.next_multiple_of(4))
}

/// What an event is to us.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Role {
    NewTask,
    Exec,
    Exit,
    Rename,
    Generate,
    Deliver,
    OomVictim,
    EnterExec,
    EnterExecAt,
    LeaveExec,
    LeaveExecAt,
    EnterExit,
    EnterExitGroup,
    LeaveSetsid,
    /// A probe of ours on `do_exit`.
    Doom,
    /// A probe of ours where the new program's stack is ready.
    Image,
    /// A probe of ours at the call's beginning: the path.
    CallPath,
    /// The same: the first arguments.
    CallArguments,
    /// The same: those behind them, apart, since no record is longer than a page.
    CallRest,
}

impl Role {
    /// The group and the name; none for probes of our own.
    pub(crate) fn event(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::NewTask => ("task", "task_newtask"),
            Self::Exec => ("sched", "sched_process_exec"),
            Self::Exit => ("sched", "sched_process_exit"),
            Self::Rename => ("task", "task_rename"),
            Self::Generate => ("signal", "signal_generate"),
            Self::Deliver => ("signal", "signal_deliver"),
            Self::OomVictim => ("oom", "mark_victim"),
            Self::EnterExec => ("syscalls", "sys_enter_execve"),
            Self::EnterExecAt => ("syscalls", "sys_enter_execveat"),
            Self::LeaveExec => ("syscalls", "sys_exit_execve"),
            Self::LeaveExecAt => ("syscalls", "sys_exit_execveat"),
            Self::EnterExit => ("syscalls", "sys_enter_exit"),
            Self::EnterExitGroup => ("syscalls", "sys_enter_exit_group"),
            Self::LeaveSetsid => ("syscalls", "sys_exit_setsid"),
            Self::Doom | Self::Image | Self::CallPath | Self::CallArguments | Self::CallRest => return None,
        })
    }

    /// The names of its fields, and how many of the first must be there.
    fn fields(self) -> (&'static [&'static str], usize) {
        match self {
            Self::NewTask => (&["pid", "comm", "clone_flags"], 3),
            Self::Exec => (&["pid", "old_pid", "filename"], 1),
            Self::Exit => (&["pid", "comm", "group_dead"], 1),
            Self::Rename => (&["pid", "oldcomm", "newcomm"], 3),
            Self::Generate => (&["sig", "pid", "code", "result"], 2),
            Self::Deliver => (&["sig", "sa_handler"], 2),
            Self::OomVictim => (&["pid"], 1),
            Self::EnterExec | Self::EnterExecAt => (&["fd", USER_PATH], 0),
            Self::LeaveExec | Self::LeaveExecAt | Self::LeaveSetsid => (&["ret"], 1),
            Self::EnterExit | Self::EnterExitGroup => (&["error_code"], 1),
            Self::Doom => (&["code"], 1),
            Self::Image => (&["argc", "first", "block0", "block1", "block2", "block3", "block4", "block5"], 3),
            Self::CallPath => (&["path", "at"], 1),
            Self::CallArguments | Self::CallRest => (&["list", "at", "end0", "end1", "end2"], 2),
        }
    }
}

/// The field of a system call's event that has the string at its argument `filename` (`syscall_enter_define_fields` in
/// `kernel/trace/trace_syscalls.c`).
const USER_PATH: &str = "__filename_val";
/// So much of such a string is kept where nothing tells otherwise (`CONFIG_TRACE_SYSCALL_BUF_SIZE_DEFAULT`), bytes.
const USER_STRING: usize = 63;
/// Stands behind one that was longer.
const CUT_MARK: &[u8] = b"...";
/// Stands in it for each byte that is not printed.
const MASK: u8 = b'.';

/// So many strings of a call are read for its first arguments, and so many behind them: with the pointers to all of them, as many
/// fields as a probe may have.
pub(crate) const FIRST_ARGUMENTS: usize = 16;
pub(crate) const MORE_ARGUMENTS: usize = 63;

/// The most fields that one of our events has.
const MOST_FIELDS: usize = 8;

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

/// What a kernel does that its layouts do not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kernel {
    /// A string that could not be read says so (Linux 6.2), so that an empty one is told apart.
    pub(crate) tells_faults: bool,
    /// So much is kept of a string of a system call, bytes.
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

    /// Fails where a field is missing that it takes.
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

    /// What a record tells; `None` where the event is none of ours.
    pub(crate) fn decode(&self, ns: u64, record: &[u8]) -> Result<Option<Raw>, Malformed> {
        let kind = self.kind.number(record).ok_or(Malformed)?;
        let tid = self.tid.number(record).and_then(|tid| Pid::try_from(tid).ok()).ok_or(Malformed)?;
        let Some(layout) = u16::try_from(kind).ok().and_then(|kind| self.layouts.get(&kind)) else { return Ok(None) };
        Ok(Some(Raw { ns, processor: None, tid, what: layout.decode(record, self.kernel).ok_or(Malformed)? }))
    }
}

/// What one record tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Raw {
    /// By the clock of the trace, ns.
    pub(crate) ns: u64,
    /// Whose buffer it was in.
    pub(crate) processor: Option<u32>,
    /// The thread that it is of.
    pub(crate) tid: Pid,
    pub(crate) what: RawWhat,
}

/// In pids of the initial namespace, mostly those of threads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RawWhat {
    NewTask {
        tid: Pid,
        comm: Comm,
        flags: u64,
    },
    Exec {
        pid: Pid,
        old_tid: Option<Pid>,
        path: Option<Vec<u8>>,
    },
    Exit {
        tid: Pid,
        comm: Option<Comm>,
        last: Option<bool>,
    },
    Rename {
        tid: Pid,
        old: Comm,
        new: Comm,
    },
    /// Sent to that thread or its process.
    Generate {
        tid: Pid,
        signo: u8,
        /// `si_code`: `sigaction(2)`.
        code: i32,
        /// It was not ignored, nor pending already.
        taken: bool,
    },
    Deliver {
        signo: u8,
        default: bool,
    },
    OomVictim {
        pid: Pid,
    },
    EnterExec {
        dirfd: Option<i32>,
        path: Option<CallPath>,
    },
    LeaveExec {
        result: i64,
    },
    /// As `wait(2)` has it.
    EnterExit {
        wait_status: u32,
        group: bool,
    },
    LeaveSetsid {
        result: i64,
    },
    Doom {
        wait_status: u32,
    },
    /// Nothing where its memory could not be read.
    Image(Option<Arguments>),
    CallPath(Option<CallPath>),
    CallArguments(Option<Strings>),
    CallRest(Option<Strings>),
}

/// Some of the strings that a call was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Strings {
    pub(crate) list: Vec<u8>,
    pub(crate) end: StringsEnd,
}

/// What is behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StringsEnd {
    /// No more.
    Null,
    /// More, which was not asked for.
    More,
    /// One that is longer than what is read of it.
    Cut,
    /// What could not be read.
    Unreadable,
}

/// What newer kernels (6.2) put in place of a string that could not be read; older ones leave it out.
const FAULT: &[u8] = b"(fault)";

/// A string that a probe read; `None` where it could not. One without a NUL is empty, or could not be read.
fn read(bytes: &[u8]) -> Option<&[u8]> {
    let text = bytes.split(|&b| b == 0).next()?;
    (!bytes.is_empty() && text != FAULT).then_some(text)
}

/// A page is never smaller.
const PAGE_BITS: u32 = 12;

/// A longer string is cut (`MAX_STRING_SIZE` in `kernel/trace/trace_probe.h`).
const LONGEST_STRING: usize = 4095;

/// What a probe read of a path.
fn read_path(bytes: &[u8], tells_faults: bool) -> Option<CallPath> {
    let flaw = (bytes.len() >= LONGEST_STRING).then_some(Flaw::Truncated);
    let text = read(bytes).or((tells_faults && bytes.is_empty()).then_some(bytes))?;
    Some(CallPath { bytes: text.to_vec(), flaw })
}

/// What the kernel shows of a path of which it keeps so much. It is not there where it could not be read.
fn shown_path(bytes: &[u8], longest: usize) -> Option<CallPath> {
    let text = bytes.split(|&b| b == 0).next().filter(|_| !bytes.is_empty())?;
    let (bytes, flaw) = match text.strip_suffix(CUT_MARK) {
        Some(beginning) if text.len() > longest => (beginning, Some(Flaw::Truncated)),
        _ if text.contains(&MASK) => (text, Some(Flaw::Estimated)),
        _ => (text, None),
    };
    Some(CallPath { bytes: bytes.to_vec(), flaw })
}

/// Event probes take the lowest byte of a pointer to a string for the pointer, where the event declares it as `const char *`
/// (`get_event_field` in `kernel/trace/trace_eprobe.c`, Linux 5.15). No program has a string there.
fn is_one_byte(pointer: i64) -> bool {
    i8::try_from(pointer).is_ok() || u8::try_from(pointer).is_ok()
}

/// Sent by kill(2), and by parts of the kernel that say no more: `include/uapi/asm-generic/siginfo.h`.
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

    /// The strings of a new program lie one behind the other, and so many blocks from the first on were read.
    fn image(&self, record: &[u8]) -> Option<Arguments> {
        let place = |n: usize| self.places.get(n).copied().flatten();
        let argc = place(0)?.number(record)?;
        let first = place(1)?.bytes(record).and_then(read)?;
        let mut block = Vec::new();
        for n in 2..MOST_FIELDS {
            let Some(place) = place(n) else { break };
            block.extend_from_slice(place.bytes(record)?);
        }
        // What cannot be read leaves what was in the buffer before.
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

    /// The pointers to the strings end with a null pointer. The first here is the one of this number.
    fn strings(&self, record: &[u8], from: usize, kernel: Kernel) -> Option<Strings> {
        let place = |n: usize| self.places[n].and_then(|place| place.bytes(record));
        let at = self.places[1]?.number(record)? as u64;
        let mut pointers =
            place(0)?.chunks_exact(size_of::<usize>()).map(|pointer| pointer.iter().all(|&byte| byte == 0));
        let page = |n: usize| at.wrapping_add(((from + n) * size_of::<usize>()) as u64) >> PAGE_BITS;
        // A pointer that cannot be read leaves what was in the buffer before. It could be where the one before it could, by which a
        // string was read, and both are on one page.
        let sure = |n: usize| n > 0 && page(n) == page(n - 1);
        // What is left out for want of room is not empty: then there is none for these either, which are a pointer's bytes.
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

/// Layouts as Linux 6.18 tells them on amd64.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod samples {
    use super::{Format, PageLayout, Role, Schema};

    const PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
        \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\
        \tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";
    const EVENT: &str = "# compressed entry header\n\ttype_len    :    5 bits\n\ttime_delta  :   27 bits\n\
        \tarray       :   32 bits\n\n\tpadding     : type == 29\n\ttime_extend : type == 30\n\ttime_stamp : type == 31\n\
        \tdata max type_len  == 28\n";

    /// Declaration, offset, size, signed.
    type Field = (&'static str, usize, usize, u8);

    const EVENTS: [(Role, u16, &[Field]); 14] = [
        (Role::NewTask, 205, &[("pid_t pid", 8, 4, 1), ("char comm[16]", 12, 16, 0), ("u64 clone_flags", 32, 8, 0)]),
        (
            Role::Exec,
            365,
            &[("__data_loc char[] filename", 8, 4, 0), ("pid_t pid", 12, 4, 1), ("pid_t old_pid", 16, 4, 1)],
        ),
        (Role::Exit, 369, &[("char comm[16]", 8, 16, 0), ("pid_t pid", 24, 4, 1), ("bool group_dead", 32, 1, 0)]),
        (
            Role::Rename,
            204,
            &[("pid_t pid", 8, 4, 1), ("char oldcomm[16]", 12, 16, 0), ("char newcomm[16]", 28, 16, 0)],
        ),
        (
            Role::Generate,
            261,
            &[("int sig", 8, 4, 1), ("int code", 16, 4, 1), ("pid_t pid", 36, 4, 1), ("int result", 44, 4, 1)],
        ),
        (Role::Deliver, 260, &[("int sig", 8, 4, 1), ("unsigned long sa_handler", 24, 8, 0)]),
        (Role::EnterExec, 862, &[("int __syscall_nr", 8, 4, 1), ("__data_loc char[] __filename_val", 40, 4, 0)]),
        (Role::LeaveExec, 861, &[("long ret", 16, 8, 1)]),
        (Role::EnterExitGroup, 216, &[("int error_code", 16, 8, 0)]),
        (Role::Doom, 1900, &[("s64 code", 16, 8, 1)]),
        (
            Role::Image,
            1901,
            &[("u64 argc", 16, 8, 0), ("__data_loc char[] first", 24, 4, 0), ("u64 block0[64]", 28, 512, 0)],
        ),
        (
            Role::CallArguments,
            1902,
            &[
                ("u64 at", 16, 8, 0),
                ("u64 list[3]", 24, 24, 0),
                ("__data_loc char[] s0", 48, 4, 0),
                ("__data_loc char[] s1", 52, 4, 0),
                ("__data_loc char[] end0", 56, 4, 0),
            ],
        ),
        (Role::CallRest, 1904, &[("u64 at", 16, 8, 0), ("u64 list[2]", 24, 16, 0), ("__data_loc char[] s0", 40, 4, 0)]),
        (Role::CallPath, 1903, &[("u64 at", 8, 8, 0), ("__data_loc char[] path", 16, 4, 0)]),
    ];

    fn text(id: u16, fields: &[Field]) -> String {
        let line = |(declaration, offset, size, signed): &Field| {
            format!("\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:{signed};\n")
        };
        let common = [("unsigned short common_type", 0, 2, 0), ("int common_pid", 4, 4, 1)];
        let fields: String = common.iter().chain(fields).map(line).collect();
        format!("name: any\nID: {id}\nformat:\n{fields}\nprint fmt: \"any\"\n")
    }

    pub(crate) fn layout() -> Option<PageLayout> {
        PageLayout::decode(PAGE, EVENT).ok()
    }

    pub(crate) fn schema() -> Option<Schema> {
        let mut schema = Schema::new(&Format::decode(&text(1, &[])).ok()?).ok()?;
        for (role, id, fields) in EVENTS {
            schema.add(role, &Format::decode(&text(id, fields)).ok()?).ok()?;
        }
        Some(schema)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page that begins at this time, with these records: a type and a delta, the words behind, and what else is there.
    fn page(stamp: u64, flags: u64, words: &[u32]) -> Vec<u8> {
        let mut page = stamp.to_ne_bytes().to_vec();
        page.extend((words.len() as u64 * 4).wrapping_add(flags).to_ne_bytes());
        page.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        page.resize(4096, 0);
        page
    }

    fn head(kind: u32, delta: u32) -> u32 {
        kind | delta << 5
    }

    fn times(page: &[u8]) -> (Vec<(u64, usize)>, Result<Missed, Malformed>) {
        let mut times = Vec::new();
        let missed = samples::layout().unwrap().records(page, |ns, record| times.push((ns, record.len())));
        (times, missed)
    }

    #[test]
    fn the_layout_of_a_page() {
        let layout = samples::layout().unwrap();
        assert_eq!((layout.size, layout.padding, layout.extend, layout.absolute), (4096, 29, 30, 31));
        assert_eq!((layout.stamp.offset, layout.commit.offset, layout.data), (0, 8, 16));
        assert_eq!(PageLayout::decode("", ""), Err(Malformed));
    }

    #[test]
    fn times_of_every_kind() {
        // A record of one word, a discarded one, a long delta, a record of a told length, an absolute time, one more.
        let words = [head(1, 10), 7, head(29, 5), 4, head(30, 3), 1, head(0, 1), 8, 9, head(31, 2), 2, head(1, 1), 7];
        let (told, missed) = times(&page(100, 0, &words));
        let long = 100 + 10 + 5 + (1 << 27) + 3 + 1;
        assert_eq!(told, [(110, 4), (long, 4), ((2 << 27) + 2 + 1, 4)]);
        assert_eq!(missed, Ok(Missed::default()));
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut bytes = page(1, MISSED | MISSED_STORED, &[head(1, 1), 7]);
        bytes[24..32].copy_from_slice(&41u64.to_ne_bytes());
        assert_eq!(times(&bytes).1, Ok(Missed { before: true, count: Some(41) }));
        assert_eq!(times(&page(1, MISSED, &[])).1, Ok(Missed { before: true, count: None }));
    }

    #[test]
    fn the_arguments_of_an_image() {
        let schema = samples::schema().unwrap();
        let image = |argc: u64, first: &[u8], block: &[u8]| {
            let mut record = vec![0; 540];
            record[..2].copy_from_slice(&1901u16.to_ne_bytes());
            record[16..24].copy_from_slice(&argc.to_ne_bytes());
            record[24..28].copy_from_slice(&((first.len() as u32) << 16 | 540).to_ne_bytes());
            record[28..28 + block.len()].copy_from_slice(block);
            record.extend_from_slice(first);
            match schema.decode(1, &record).unwrap().unwrap().what {
                RawWhat::Image(image) => image.map(|image| (image.list, image.cut)),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(image(3, b"sh\0", b"sh\0\0-c\0A=B\0"), Some((b"sh\0\0-c\0".to_vec(), false)));
        let long = [b"x\0".as_slice(), &[b'y'; 510]].concat();
        assert_eq!(image(2, b"x\0", &long), Some(([long.as_slice(), b"\0"].concat(), true)));
        // It could not be read: what stood there before is nobody's.
        assert_eq!(image(1, b"", b"old\0"), None);
        assert_eq!(image(1, b"(fault)\0", b"old\0"), None);
        assert_eq!(image(1, b"new\0", b"old\0"), None);
    }

    /// A record of this number with these bytes from its eighth on, and strings behind, whose places are at these offsets.
    fn record_of(kernel: Kernel, kind: u16, fixed: &[u8], strings: &[(usize, &[u8])]) -> RawWhat {
        let mut record = vec![0; 8];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record.extend_from_slice(fixed);
        record.resize(300, 0);
        for (at, string) in strings {
            let place = (string.len() as u32) << 16 | record.len() as u32;
            record[*at..at + 4].copy_from_slice(&place.to_ne_bytes());
            record.extend_from_slice(string);
        }
        let mut schema = samples::schema().unwrap();
        assert!(schema.shows_paths());
        schema.set_kernel(kernel);
        schema.decode(1, &record).unwrap().unwrap().what
    }

    fn record(kind: u16, fixed: &[u8], strings: &[(usize, &[u8])]) -> RawWhat {
        record_of(Kernel::default(), kind, fixed, strings)
    }

    #[test]
    fn the_arguments_of_a_call() {
        let call = |tells_faults, at: u64, pointers: &[u64], strings: &[(usize, &[u8])]| {
            let fixed: Vec<u8> = [0, at].iter().chain(pointers).flat_map(|number| number.to_ne_bytes()).collect();
            match record_of(Kernel { tells_faults, ..Kernel::default() }, 1902, &fixed, strings) {
                RawWhat::CallArguments(told) => told.map(|told| (told.list, told.end)),
                other => panic!("{other:?}"),
            }
        };
        let strings = |list: &[u8], end| Some((list.to_vec(), end));
        let old = |pointers: &[u64], strings: &[(usize, &[u8])]| call(false, 0x5000, pointers, strings);
        let both: [(usize, &[u8]); 2] = [(48, b"sh\0"), (52, b"-c\0")];
        assert_eq!(old(&[7, 0, 0], &both), strings(b"sh\0", StringsEnd::Null));
        assert_eq!(old(&[7, 8, 0], &both), strings(b"sh\0-c\0", StringsEnd::Null));
        assert_eq!(old(&[7, 8, 9], &both), strings(b"sh\0-c\0", StringsEnd::More));
        // A string that could not be read.
        assert_eq!(old(&[7, 8, 0], &both[..1]), strings(b"sh\0", StringsEnd::Unreadable));
        assert_eq!(old(&[7, 8, 0], &[both[0], (52, b"(fault)\0")]), strings(b"sh\0", StringsEnd::Unreadable));
        let long = [b'x'; LONGEST_STRING];
        assert_eq!(old(&[7, 0, 0], &[(48, &long)]).map(|(_, end)| end), Some(StringsEnd::Cut));
        // A null that nothing says was read: it may be of another record.
        assert_eq!(old(&[0, 0, 0], &[]), strings(b"", StringsEnd::Unreadable));
        let next_page = |first: u64, pointers: &[u64]| call(true, 0x5000 - first * 8, pointers, &both);
        assert_eq!(next_page(1, &[7, 0, 0]), strings(b"sh\0", StringsEnd::Unreadable));
        assert_eq!(next_page(1, &[7, 8, 0]), strings(b"sh\0-c\0", StringsEnd::Null));
        assert_eq!(next_page(2, &[7, 8, 0]), strings(b"sh\0-c\0", StringsEnd::Unreadable));
        // An empty one, where one that could not be read would say so, and nothing was left out for want of room.
        let room: (usize, &[u8]) = (56, b"\x07\0");
        assert_eq!(call(true, 0x5000, &[7, 8, 0], &[both[0], room]), strings(b"sh\0\0", StringsEnd::Null));
        assert_eq!(call(true, 0x5000, &[7, 8, 0], &[both[0]]), strings(b"sh\0", StringsEnd::Unreadable));
        assert_eq!(call(false, 0x5000, &[7, 8, 0], &[both[0], room]), strings(b"sh\0", StringsEnd::Unreadable));
        assert_eq!(old(&[7, 8, 0], &[both[0], (52, b"\0")]), strings(b"sh\0\0", StringsEnd::Null));
    }

    #[test]
    fn the_path_of_a_call() {
        let probed = |at: u64, path: &[u8]| match record(1903, &at.to_ne_bytes(), &[(16, path)]) {
            RawWhat::CallPath(path) => path.map(|path| (path.bytes, path.flaw)),
            other => panic!("{other:?}"),
        };
        assert_eq!(probed(0x7fff_1000, b"./x\0"), Some((b"./x".to_vec(), None)));
        assert_eq!(probed(0x7fff_1000, b"\0"), Some((Vec::new(), None)));
        assert_eq!(probed(0x7fff_1000, b""), None);
        let told = Kernel { tells_faults: true, ..Kernel::default() };
        let empty = RawWhat::CallPath(Some(CallPath { bytes: Vec::new(), flaw: None }));
        assert_eq!(record_of(told, 1903, &0x7fff_1000u64.to_ne_bytes(), &[(16, b"")]), empty);
        assert_eq!(probed(0x7fff_1000, b"(fault)\0"), None);
        // One byte of the address was taken for it: whatever is there is not the path.
        for at in [0, 0x7f, 0xff, -1i64 as u64, -128i64 as u64] {
            assert_eq!(probed(at, b"other\0"), None);
        }
        let shown = |path: &[u8]| match record(862, &[], &[(40, path)]) {
            RawWhat::EnterExec { dirfd: None, path } => path.map(|path| (path.bytes, path.flaw)),
            other => panic!("{other:?}"),
        };
        assert_eq!(shown(b"/bin/sh\0"), Some((b"/bin/sh".to_vec(), None)));
        assert_eq!(shown(b"\0"), Some((Vec::new(), None)));
        assert_eq!(shown(b""), None);
        // It may have been another byte, which is not printed.
        assert_eq!(shown(b"./x\0"), Some((b"./x".to_vec(), Some(Flaw::Estimated))));
        assert_eq!(shown(b"/x...\0"), Some((b"/x...".to_vec(), Some(Flaw::Estimated))));
        let long = [b'y'; USER_STRING];
        assert_eq!(shown(&[&long[..], b"\0"].concat()), Some((long.to_vec(), None)));
        assert_eq!(shown(&[&long[..], b"...\0"].concat()), Some((long.to_vec(), Some(Flaw::Truncated))));
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(field:.{0,40}; ?offset:[0-9]{1,9};size:[0-9]{1,9};signed:.\n|ID: [0-9]{1,6}\n|.{0,30}\n){0,8}") {
            let _ = PageLayout::decode(&text, &text);
            if let Ok(format) = Format::decode(&text) {
                let _ = Schema::new(&format);
            }
        }

        #[test]
        fn any_page_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200), len in 0u64..300) {
            let schema = samples::schema().unwrap();
            let mut page = [&7u64.to_ne_bytes()[..], &len.to_ne_bytes(), &bytes].concat();
            for size in [page.len(), 4096] {
                page.resize(size, 0);
                let _ = samples::layout().unwrap().records(&page, |ns, record| {
                    let _ = schema.decode(ns, record);
                });
            }
        }

        #[test]
        fn any_record_is_taken(kind in prop::sample::select(vec![205u16, 365, 369, 204, 261, 260, 862, 861, 216, 1900, 1901, 1902, 1903, 1904]), bytes: Vec<u8>) {
            let record = [&kind.to_ne_bytes()[..], &bytes].concat();
            let _ = samples::schema().unwrap().decode(1, &record);
        }
    }
}
