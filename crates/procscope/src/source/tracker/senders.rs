//! The signals of processes: the sender of the delivered one is the killer.

use rustc_hash::FxHashMap;

use crate::record::RefRecord;
use crate::source::happening::Sender;
use crate::{Flaw, Pid};

/// This many signals of one receiver are remembered.
const MOST: usize = 8;
/// The kernel's first real-time signal, of which several wait: `signal(7)`.
const SIGRTMIN: u8 = 32;

/// A signal that was sent, and was not seen to be delivered.
struct Sent {
    signo: u8,
    /// None if the kernel sent it.
    by: Option<RefRecord>,
    flaw: Option<Flaw>,
}

/// The signals of all processes.
#[derive(Default)]
pub(super) struct Senders(FxHashMap<Pid, Vec<Sent>>);

impl Senders {
    /// `by` is the known sender, if one is to be named.
    pub(super) fn send(&mut self, to: Pid, signo: u8, sender: Sender, by: Option<RefRecord>) {
        let all = self.0.entry(to).or_default();
        let mut flaw = (sender == Sender::Unknown).then_some(Flaw::NotObserved);
        let before = all.iter().position(|sent| sent.signo == signo);
        if let Some(at) = before {
            let id = |by: &Option<RefRecord>| by.as_ref().map(|by| (by.pid, by.start_ns));
            // A signal that a program took by sigwait(2) is not seen to be delivered.
            if id(&all[at].by) != id(&by) {
                all[at].flaw = all[at].flaw.or(Some(Flaw::Estimated));
                flaw = flaw.or(Some(Flaw::Estimated));
            }
            if signo >= SIGRTMIN {
                // They wait in a queue, and the first is delivered first.
                return;
            }
            // At most one of the other signals waits: it is gone.
            all.remove(at);
        }
        if all.len() >= MOST {
            all.remove(0);
        }
        all.push(Sent { signo, by, flaw });
    }

    /// A handler has it, or it was ignored.
    pub(super) fn delivered(&mut self, to: Pid, signo: u8) {
        if let Some(all) = self.0.get_mut(&to)
            && let Some(at) = all.iter().position(|sent| sent.signo == signo)
        {
            // The next of a queue is unknown from here on.
            match all[at].flaw {
                Some(Flaw::Estimated) if signo >= SIGRTMIN => {
                    (all[at].by, all[at].flaw) = (None, Some(Flaw::NotObserved))
                }
                _ => _ = all.remove(at),
            }
        }
    }

    /// The killer of a process that this signal ended, and how far that can be trusted.
    pub(super) fn killer(&mut self, of: Pid, signo: u32) -> (Option<RefRecord>, Option<Flaw>) {
        let all = self.0.remove(&of).unwrap_or_default();
        let sent = all.into_iter().find(|sent| u32::from(sent.signo) == signo);
        sent.map_or((None, None), |sent| (sent.by, sent.flaw))
    }

    /// Another process has this pid now.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.0.remove(&pid);
    }

    pub(super) fn retain(&mut self, lives: impl Fn(Pid) -> bool) {
        self.0.retain(|pid, _| lives(*pid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NOBODY;

    const RT: u8 = 40;
    const TERM: u8 = 15;

    fn by(pid: Pid) -> Option<RefRecord> {
        Some(RefRecord { pid, start_ns: 1, ..NOBODY })
    }

    fn killer(senders: &mut Senders, signo: u8) -> (Option<Pid>, Option<Flaw>) {
        let (by, flaw) = senders.killer(7, signo.into());
        (by.map(|by| by.pid), flaw)
    }

    #[test]
    fn the_first_of_a_queue_kills() {
        let mut senders = Senders::default();
        senders.send(7, RT, Sender::Caller, by(1));
        senders.send(7, RT, Sender::Caller, by(2));
        assert_eq!(killer(&mut senders, RT), (Some(1), Some(Flaw::Estimated)));
        // After the first of them went to a handler the next is unknown.
        senders.send(7, RT, Sender::Caller, by(1));
        senders.send(7, RT, Sender::Caller, by(2));
        senders.delivered(7, RT);
        assert_eq!(killer(&mut senders, RT), (None, Some(Flaw::NotObserved)));
    }

    #[test]
    fn what_a_handler_had_kills_nobody() {
        let mut senders = Senders::default();
        senders.send(7, TERM, Sender::Caller, by(1));
        senders.delivered(7, TERM);
        senders.send(7, TERM, Sender::Caller, by(2));
        assert_eq!(killer(&mut senders, TERM), (Some(2), None));
    }

    #[test]
    fn the_kernel_is_nobody() {
        let mut senders = Senders::default();
        senders.send(7, 13, Sender::Unknown, None);
        senders.send(7, 11, Sender::Kernel, None);
        assert_eq!(senders.killer(7, 13).1, Some(Flaw::NotObserved));
        senders.send(7, 11, Sender::Kernel, None);
        assert_eq!(killer(&mut senders, 11), (None, None));
    }
}
