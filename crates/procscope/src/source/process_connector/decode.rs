//! Messages of the process connector: `include/uapi/linux/cn_proc.h`, within `struct cn_msg`
//! (`connector.h`), within `struct nlmsghdr` (`netlink.h`). All numbers in the machine's byte
//! order.

use crate::record::Comm;
use crate::source::happening::{End, Happening, Task};

/// `CN_IDX_PROC` and `CN_VAL_PROC`.
pub(crate) const CN_PROC: [u32; 2] = [1, 1];
/// The size of `struct nlmsghdr`, bytes.
pub(crate) const NETLINK_HEADER: usize = 16;
/// The size of `struct cn_msg`, bytes.
pub(crate) const CONNECTOR_HEADER: usize = 20;
/// The size of `struct proc_event` up to its union, bytes.
const EVENT_HEADER: usize = 16;

/// `enum proc_cn_event`.
pub(crate) mod what {
    pub(crate) const NONE: u32 = 0;
    pub(crate) const FORK: u32 = 0x1;
    pub(crate) const EXEC: u32 = 0x2;
    pub(crate) const UID: u32 = 0x4;
    pub(crate) const GID: u32 = 0x40;
    pub(crate) const SID: u32 = 0x80;
    pub(crate) const PTRACE: u32 = 0x100;
    pub(crate) const COMM: u32 = 0x200;
    pub(crate) const COREDUMP: u32 = 0x4000_0000;
    pub(crate) const EXIT: u32 = 0x8000_0000;
    pub(crate) const ALL: u32 = FORK | EXEC | UID | GID | SID | PTRACE | COMM | COREDUMP | EXIT;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// The answer to a listener's request: whose `ack` was one less.
    Ack {
        error: u32,
        ack: u32,
    },
    /// `parent` is the real parent: for a thread that of its process, with CLONE_PARENT that of the
    /// caller.
    Fork {
        parent: Task,
        child: Task,
    },
    Exec {
        task: Task,
    },
    Uid {
        task: Task,
        real: u32,
        effective: u32,
    },
    Gid {
        task: Task,
        real: u32,
        effective: u32,
    },
    Sid {
        task: Task,
    },
    /// Without a tracer it was released.
    Ptrace {
        task: Task,
        tracer: Option<Task>,
    },
    Comm {
        task: Task,
        comm: Comm,
    },
    Core {
        task: Task,
    },
    /// The parent is reported since Linux 4.18.
    Exit {
        task: Task,
        wait_status: u32,
        parent: Option<Task>,
    },
    /// From a later kernel.
    Other,
}

impl What {
    /// In the form of all mechanisms.
    pub(crate) fn happening(&self) -> Option<Happening> {
        Some(match *self {
            Self::Ack { .. } | Self::Other => return None,
            Self::Fork { parent, child } => Happening::Fork { parent, child, birth: None },
            Self::Exec { task } => Happening::Exec { task, started: None },
            Self::Uid { task, real, effective } => Happening::Uid { task, real, effective },
            Self::Gid { task, real, effective } => Happening::Gid { task, real, effective },
            Self::Sid { task } => Happening::Sid { task },
            Self::Ptrace { task, tracer } => Happening::Ptrace { task, tracer },
            Self::Comm { task, comm } => Happening::Comm { task, old: None, comm },
            Self::Core { task } => Happening::Core { task, signo: None },
            Self::Exit { task, wait_status, parent } => {
                Happening::Exit { task, end: End { wait_status: Some(wait_status), ..End::default() }, parent }
            }
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    /// Counts the messages of this CPU, to all listeners and of all kinds: `send_msg` in
    /// `drivers/connector/cn_proc.c`.
    pub(crate) seq: u32,
    pub(crate) cpu: u32,
    /// CLOCK_MONOTONIC, ns.
    pub(crate) mono_ns: u64,
    pub(crate) what: What,
}

/// The bytes were not what the kernel sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

fn word(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Malformed)?;
    Ok(u32::from_ne_bytes(*word))
}

/// Splits one message off a datagram, which may hold several. `None` if nothing is left, or no
/// whole header.
pub(crate) fn take_message(datagram: &mut &[u8]) -> Option<Result<Message, Malformed>> {
    let bytes = *datagram;
    if bytes.is_empty() {
        return None;
    }
    let Some(message) = word(bytes, 0).ok().and_then(|len| bytes.get(..len as usize)) else {
        *datagram = &[];
        return Some(Err(Malformed));
    };
    // NLMSG_ALIGN
    let next = message.len().max(NETLINK_HEADER).next_multiple_of(4);
    *datagram = bytes.get(next..).unwrap_or_default();
    Some(decode(message))
}

/// Decodes one message with its netlink header.
pub(crate) fn decode(message: &[u8]) -> Result<Message, Malformed> {
    let connector = message.get(NETLINK_HEADER..).ok_or(Malformed)?;
    if [word(connector, 0)?, word(connector, 4)?] != CN_PROC {
        return Err(Malformed);
    }
    let (seq, ack) = (word(connector, 8)?, word(connector, 12)?);
    // The length is 16 bits wide; the flags follow it.
    let len = connector.get(16..18).and_then(|len| len.first_chunk()).ok_or(Malformed)?;
    let event = connector.get(CONNECTOR_HEADER..).ok_or(Malformed)?;
    let event = event.get(..usize::from(u16::from_ne_bytes(*len))).ok_or(Malformed)?;
    let cpu = word(event, 4)?;
    let stamp = event.get(8..).and_then(|rest| rest.first_chunk()).ok_or(Malformed)?;
    let data = event.get(EVENT_HEADER..).ok_or(Malformed)?;
    let id = |index: usize| word(data, 4 * index);
    let task = |index: usize| Ok(Task { tid: id(index)?, pid: id(index + 1)? });
    let some_task = |index: usize| task(index).ok().filter(|task: &Task| task.pid != 0);
    let what = match word(event, 0)? {
        what::NONE => What::Ack { error: id(0)?, ack },
        what::FORK => What::Fork { parent: task(0)?, child: task(2)? },
        what::EXEC => What::Exec { task: task(0)? },
        what::UID => What::Uid { task: task(0)?, real: id(2)?, effective: id(3)? },
        what::GID => What::Gid { task: task(0)?, real: id(2)?, effective: id(3)? },
        what::SID => What::Sid { task: task(0)? },
        what::PTRACE => What::Ptrace { task: task(0)?, tracer: some_task(2) },
        what::COMM => {
            let mut comm: Comm = *data.get(8..).and_then(|rest| rest.first_chunk()).ok_or(Malformed)?;
            comm[15] = 0;
            What::Comm { task: task(0)?, comm }
        }
        what::COREDUMP => What::Core { task: task(0)? },
        what::EXIT => What::Exit { task: task(0)?, wait_status: id(2)?, parent: some_task(4) },
        _ => What::Other,
    };
    Ok(Message { seq, cpu, mono_ns: u64::from_ne_bytes(*stamp), what })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message as the kernel lays it out.
    pub(crate) fn encode(seq: u32, cpu: u32, mono_ns: u64, what: u32, data: &[u32]) -> Vec<u8> {
        let mut event: Vec<u8> = [what, cpu].iter().flat_map(|word| word.to_ne_bytes()).collect();
        event.extend(mono_ns.to_ne_bytes());
        event.extend(data.iter().flat_map(|word| word.to_ne_bytes()));
        event.resize(EVENT_HEADER + 24, 0);
        let len = (NETLINK_HEADER + CONNECTOR_HEADER + event.len()) as u32;
        let mut bytes: Vec<u8> = [len, 3, seq, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend([CN_PROC[0], CN_PROC[1], seq, 0].iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend((event.len() as u16).to_ne_bytes());
        bytes.extend([0, 0]);
        bytes.extend(event);
        bytes
    }

    fn decoded(what: u32, data: &[u32]) -> What {
        let message = decode(&encode(5, 1, 99, what, data)).unwrap();
        assert_eq!((message.seq, message.cpu, message.mono_ns), (5, 1, 99));
        message.what
    }

    #[test]
    fn every_kind() {
        let task = Task { tid: 8, pid: 7 };
        let other = Task { tid: 10, pid: 9 };
        assert_eq!(decoded(what::FORK, &[10, 9, 8, 7]), What::Fork { parent: other, child: task });
        assert_eq!(decoded(what::EXEC, &[8, 7]), What::Exec { task });
        assert_eq!(decoded(what::UID, &[8, 7, 1, 2]), What::Uid { task, real: 1, effective: 2 });
        assert_eq!(decoded(what::GID, &[8, 7, 1, 2]), What::Gid { task, real: 1, effective: 2 });
        assert_eq!(decoded(what::SID, &[8, 7]), What::Sid { task });
        assert_eq!(decoded(what::PTRACE, &[8, 7, 10, 9]), What::Ptrace { task, tracer: Some(other) });
        assert_eq!(decoded(what::PTRACE, &[8, 7]), What::Ptrace { task, tracer: None });
        let words = [8, 7, u32::from_ne_bytes(*b"bash")];
        assert_eq!(decoded(what::COMM, &words), What::Comm { task, comm: *b"bash\0\0\0\0\0\0\0\0\0\0\0\0" });
        assert_eq!(decoded(what::COREDUMP, &[8, 7, 10, 9]), What::Core { task });
        let exit = |parent| What::Exit { task, wait_status: 9, parent };
        assert_eq!(decoded(what::EXIT, &[8, 7, 9, 17, 10, 9]), exit(Some(other)));
        assert_eq!(decoded(what::EXIT, &[8, 7, 9, 17]), exit(None));
        assert_eq!(decoded(what::NONE, &[22]), What::Ack { error: 22, ack: 0 });
        assert_eq!(decoded(0x400, &[8, 7]), What::Other);
    }

    #[test]
    fn several_in_a_datagram() {
        let one = encode(1, 0, 1, what::EXEC, &[7, 7]);
        let both = [one.clone(), encode(2, 0, 2, what::EXEC, &[8, 8])].concat();
        let mut rest = &both[..];
        assert_eq!(take_message(&mut rest).unwrap().unwrap().seq, 1);
        assert_eq!(take_message(&mut rest).unwrap().unwrap().seq, 2);
        assert_eq!(take_message(&mut rest), None);
        for len in 1..one.len() {
            assert_eq!(take_message(&mut &one[..len]), Some(Err(Malformed)), "{len} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>, what: u32, data in proptest::collection::vec(any::<u32>(), 0..8), cut in 0usize..100) {
            let mut rest = &bytes[..];
            let mut count = 0;
            while take_message(&mut rest).is_some() {
                count += 1;
            }
            prop_assert!(count <= bytes.len());
            let message = encode(1, 2, 3, what, &data);
            let _ = decode(&message[..cut.min(message.len())]);
        }
    }
}
