//! The sender of the signal that ends a process.

use super::Tracer;
use super::calls::{self, SignalInfo};
use crate::record::RefRecord;
use crate::{Field, Flaw, Flaws, Pid, sys};

/// The sender of a signal, as far as the receiver can know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sender {
    /// The kernel itself.
    Nobody,
    Unknown,
    Process(Pid),
}

/// A signal that a thread was given.
#[derive(Clone)]
pub(super) struct Delivered {
    tid: Pid,
    signo: i32,
    sender: Sender,
    /// The sender, and what is wrong with its name or number.
    reference: Option<(RefRecord, Option<Flaw>)>,
}

/// The codes that say how a signal was sent: `sigaction(2)`.
const SI_TKILL: i32 = -6;

/// The sender, by the pid that the receiver knows. Codes above 0 are the kernel's. Some of the
/// others mean a timer or a file, without a pid; `rt_sigqueueinfo(2)` lets a process claim those
/// too.
fn sender(info: SignalInfo) -> Sender {
    match info.code {
        1.. => Sender::Nobody,
        libc::SI_USER | libc::SI_QUEUE | libc::SI_MESGQ | SI_TKILL if info.pid != 0 => Sender::Process(info.pid),
        // From outside the receiver's pid namespace, or by a timer.
        _ => Sender::Unknown,
    }
}

/// A write to a pipe without a reader, or beyond the limit, makes the kernel send a signal in the
/// writer's own name. The call from which the thread comes, if known, shows whether it was the
/// kernel, or the process itself, or leaves it open.
fn in_own_name(signo: i32, call: Option<calls::Interrupted>) -> Option<Sender> {
    let error = match signo {
        libc::SIGPIPE => libc::EPIPE,
        libc::SIGXFSZ => libc::EFBIG,
        _ => return None,
    };
    match call {
        Some(call) if call.is_kill => None,
        Some(call) if call.result == -error => Some(Sender::Nobody),
        _ => Some(Sender::Unknown),
    }
}

impl Tracer {
    /// Remembers the sender of a signal, which may be the last one. The thread is held still before
    /// it gets it.
    pub(super) fn signalled(&mut self, tid: Pid, signo: i32) {
        if matches!(signo, libc::SIGCHLD | libc::SIGWINCH | libc::SIGURG | libc::SIGCONT) {
            return;
        }
        let Some(&pid) = self.threads.get(&tid) else { return };
        if let Some(known) = self.known.get_mut(&pid) {
            known.delivered.retain(|delivered| delivered.tid != tid);
        }
        if sys::handles_signal(tid, signo) {
            return;
        }
        let info = calls::signal_info(tid);
        let mut from = info.map_or(Sender::Unknown, sender);
        let (code, mut reference) = (info.map_or(0, |info| info.code), None);
        if let Sender::Process(inner) = from {
            let own = self.known.get(&pid).map_or(pid, |known| if known.ns_pid == 0 { pid } else { known.ns_pid });
            if inner == own {
                // It is held still.
                if code == libc::SI_USER
                    && let Some(other) = in_own_name(signo, calls::interrupted(tid))
                {
                    from = other;
                } else {
                    reference = Some((self.held_reference(pid), None));
                }
            } else if own == pid {
                reference = Some(self.sender_now(inner));
            } else {
                reference = self.in_namespace_of(pid, inner).map(|sender| self.sender_now(sender));
            }
        }
        if let Some((_, flaw)) = &mut reference
            && code == libc::SI_QUEUE
        {
            // The kernel believes the sender's claim about its pid.
            *flaw = Some(Flaw::Estimated);
        }
        if reference.is_none() && from != Sender::Nobody {
            from = Sender::Unknown;
        }
        if let Some(known) = self.known.get_mut(&pid) {
            known.delivered.push(Delivered { tid, signo, sender: from, reference });
        }
    }

    /// A sender by its present name, or by its last one.
    fn sender_now(&self, pid: Pid) -> (RefRecord, Option<Flaw>) {
        if self.known.contains_key(&pid) {
            return self.reference_now(pid);
        }
        let ended = self.ended.iter().rev().find(|ended| ended.pid == pid);
        (ended.copied().unwrap_or_else(|| self.reference(pid)), Some(Flaw::ReadLate))
    }

    /// The process that has this pid in another one's pid namespace: only the command's processes
    /// are known by their inner pids.
    fn in_namespace_of(&self, pid: Pid, inner: Pid) -> Option<Pid> {
        let namespace = |pid| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = namespace(pid)?;
        let mut all = self.known.iter().filter(|(_, known)| known.ns_pid == inner).map(|(&pid, _)| pid);
        all.find(|&pid| namespace(pid).as_ref() == Some(&own))
    }

    /// The sender of the signal that ended the process. If several threads were given one, any of
    /// them may have been the last.
    pub(super) fn killer(&self, pid: Pid, signo: i32, flaws: &mut Flaws) -> Option<RefRecord> {
        let delivered = self.known.get(&pid).map_or(&[][..], |known| &known.delivered);
        let mut fitting = delivered.iter().filter(|delivered| delivered.signo == signo);
        let Some(first) = fitting.next().filter(|first| first.sender != Sender::Unknown) else {
            flaws.mark(Field::Killer, Flaw::NotObserved);
            return None;
        };
        if fitting.any(|other| other.sender != first.sender) {
            flaws.mark(Field::Killer, Flaw::NotObserved);
            return None;
        }
        let (reference, flaw) = first.reference?;
        if let Some(flaw) = flaw {
            flaws.mark(Field::Killer, flaw);
        }
        Some(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders() {
        let of = |code, pid| sender(SignalInfo { code, pid });
        for code in [libc::SI_USER, libc::SI_QUEUE, libc::SI_MESGQ, SI_TKILL] {
            assert_eq!((of(code, 7), of(code, 0)), (Sender::Process(7), Sender::Unknown), "{code}");
        }
        for code in [libc::SI_KERNEL, 1, 2] {
            assert_eq!(of(code, 7), Sender::Nobody, "{code}");
        }
        // This is the number of a timer.
        for code in [libc::SI_TIMER, libc::SI_SIGIO, libc::SI_ASYNCIO, i32::MIN] {
            assert_eq!(of(code, 7), Sender::Unknown, "{code}");
        }
    }

    #[test]
    fn the_kernel_sends_in_the_writers_name() {
        let call = |is_kill, result| Some(calls::Interrupted { is_kill, result });
        assert_eq!(in_own_name(libc::SIGPIPE, call(false, -libc::EPIPE)), Some(Sender::Nobody));
        assert_eq!(in_own_name(libc::SIGXFSZ, call(false, -libc::EFBIG)), Some(Sender::Nobody));
        assert_eq!(in_own_name(libc::SIGPIPE, call(true, 0)), None);
        // Some was written before, or it was blocked until now.
        assert_eq!(in_own_name(libc::SIGPIPE, call(false, 12)), Some(Sender::Unknown));
        assert_eq!(in_own_name(libc::SIGPIPE, None), Some(Sender::Unknown));
        assert_eq!(in_own_name(libc::SIGTERM, call(false, 0)), None);
    }
}
