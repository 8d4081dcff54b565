//! Makes one stream of what several sockets received, and finds what is missing in it.

use rustc_hash::FxHashMap;

use super::decode::{Message, What};
use crate::Pid;
use crate::source::look::Look;

/// A message, and what was read when it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) look: Option<Box<Look>>,
}

/// How long after a look an exec may be reported that had changed the process before it: the kernel replaces the image first
/// and sends the message last.
pub(crate) const SETTLE_NS: u64 = 2_000_000;

/// The numbers of one CPU's messages.
#[derive(Default)]
struct Sequence {
    /// All below were received or are lost.
    next: Option<u32>,
    /// Received beyond a gap.
    ahead: Vec<u32>,
    /// What is missing below it is lost.
    fence: Option<u32>,
}

impl Sequence {
    fn receive(&mut self, seq: u32) {
        match self.next {
            None => self.next = Some(seq.wrapping_add(1)),
            Some(next) if next == seq => {
                self.next = Some(seq.wrapping_add(1));
                if !self.ahead.is_empty() {
                    self.close_up();
                }
            }
            // Answers come to every socket; those before the first are of before we listened.
            Some(next) if seq.wrapping_sub(next) < 1 << 31 => self.ahead.push(seq),
            Some(_) => {}
        }
    }

    fn close_up(&mut self) {
        let Some(mut next) = self.next else { return };
        self.ahead.retain(|seq| seq.wrapping_sub(next) < 1 << 31);
        self.ahead.sort_unstable_by_key(|seq| seq.wrapping_sub(next));
        self.ahead.dedup();
        let followers = self.ahead.iter().take_while(|&&seq| {
            let follows = seq == next;
            next = next.wrapping_add(u32::from(follows));
            follows
        });
        let count = followers.count();
        self.ahead.drain(..count);
        self.next = Some(next);
    }

    fn set_fence(&mut self) {
        self.close_up();
        self.fence = self.ahead.last().copied();
    }

    /// Gives up what has not come below the fence, and counts it.
    fn settle(&mut self) -> u64 {
        let mut lost = 0;
        self.close_up();
        while let (Some(next), Some(&first), Some(fence)) = (self.next, self.ahead.first(), self.fence)
            && fence.wrapping_sub(first) < 1 << 31
        {
            lost += u64::from(first.wrapping_sub(next));
            self.next = Some(first);
            self.close_up();
        }
        lost
    }
}

/// Which image of its process a look has seen.
fn image(received: &Received) -> Option<u64> {
    let stat = received.look.as_ref()?.stat?;
    (stat.arg_start != 0).then_some(stat.arg_start)
}

/// See the module.
#[derive(Default)]
pub(crate) struct Merge {
    /// Some messages are not listened to: their numbers are missing and mean nothing.
    partial: bool,
    pending: Vec<Received>,
    sequences: FxHashMap<u32, Sequence>,
}

impl Merge {
    /// `partial`: some kinds of message are not listened to.
    pub(crate) fn new(partial: bool) -> Self {
        Self { partial, ..Self::default() }
    }

    /// Takes what was received, in whatever order.
    pub(crate) fn take(&mut self, received: impl IntoIterator<Item = Received>) {
        for it in received {
            let answer = matches!(it.message.what, What::Ack { .. });
            // Before Linux 4.8 answers were not numbered as the rest.
            let unnumbered = answer && it.message.cpu == u32::MAX;
            if !self.partial && !unnumbered {
                self.sequences.entry(it.message.cpu).or_default().receive(it.message.seq);
            }
            if !answer {
                self.pending.push(it);
            }
        }
    }

    /// Whatever was sent before one of those received so far has been received when next messages are counted.
    pub(crate) fn set_fence(&mut self) {
        self.sequences.values_mut().for_each(Sequence::set_fence);
    }

    /// How many messages are missing, of every CPU, below the fence. Where every kind of message is listened to.
    pub(crate) fn count_lost(&mut self) -> u64 {
        self.sequences.values_mut().map(Sequence::settle).sum()
    }

    /// Which processes were forked, and when, as far as that is not yet given.
    pub(crate) fn forked(&self) -> Vec<(Pid, u64)> {
        let forked = self.pending.iter().filter_map(|it| match it.message.what {
            What::Fork { child, .. } if child.is_leader() => Some((child.pid, it.message.mono_ns)),
            _ => None,
        });
        forked.collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Those of up to this time, in their order, without the looks that may have seen something else.
    pub(crate) fn give(&mut self, until_ns: u64) -> Vec<Received> {
        self.pending.sort_by_key(|it| it.message.mono_ns);
        // When each process became another program, which one, or its pid another process.
        let mut changes: FxHashMap<Pid, Vec<(u64, Option<u64>)>> = FxHashMap::default();
        for it in &self.pending {
            match it.message.what {
                What::Exec { task } => changes.entry(task.pid).or_default().push((it.message.mono_ns, image(it))),
                What::Fork { child, .. } if child.is_leader() => {
                    changes.entry(child.pid).or_default().push((it.message.mono_ns, None));
                }
                _ => {}
            }
        }
        for it in &mut self.pending {
            let (Some(look), Some(task)) = (&it.look, it.message.what.task()) else { continue };
            let Some(changes) = changes.get(&task.pid) else { continue };
            // Seen before another image was: then it is the one that this message tells of.
            let told = image(it);
            let doubtful = |&(at, then): &(u64, Option<u64>)| {
                at > it.message.mono_ns
                    && at <= look.read_ns + SETTLE_NS
                    && (told.is_none() || then.is_none() || told == then)
            };
            if changes.iter().any(doubtful) {
                it.look = None;
            }
        }
        let count = self.pending.partition_point(|it| it.message.mono_ns <= until_ns);
        let rest = self.pending.split_off(count);
        std::mem::replace(&mut self.pending, rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decode::Task;
    use super::*;

    fn exec(cpu: u32, seq: u32, mono_ns: u64, pid: Pid, read_ns: Option<u64>) -> Received {
        let task = Task { tid: pid, pid };
        let message = Message { seq, cpu, mono_ns, what: What::Exec { task } };
        Received { message, look: read_ns.map(|read_ns| Box::new(Look { read_ns, ..Look::default() })) }
    }

    #[test]
    fn the_order_is_that_of_time() {
        let mut merge = Merge::default();
        merge.take([exec(0, 1, 30, 1, None), exec(0, 0, 10, 2, None)]);
        merge.take([exec(1, 7, 20, 3, None)]);
        let times: Vec<u64> = merge.give(20).iter().map(|it| it.message.mono_ns).collect();
        assert_eq!(times, [10, 20]);
        assert!(!merge.is_empty());
        assert_eq!(merge.give(u64::MAX).len(), 1);
        assert_eq!(merge.count_lost(), 0);
    }

    #[test]
    fn a_look_that_came_after_the_next_exec_is_not_taken() {
        let late = 5_000_000;
        let mut merge = Merge::default();
        merge.take([exec(0, 0, 10, 1, Some(20)), exec(0, 1, late, 1, Some(late + 5)), exec(0, 2, 40, 2, Some(50))]);
        let looks: Vec<bool> = merge.give(u64::MAX).iter().map(|it| it.look.is_some()).collect();
        assert_eq!(looks, [true, true, true]);
        merge.take([exec(0, 3, 10, 1, Some(20)), exec(0, 4, 1_000_000, 1, Some(1_000_005))]);
        let looks: Vec<bool> = merge.give(u64::MAX).iter().map(|it| it.look.is_some()).collect();
        assert_eq!(looks, [false, true]);
    }

    proptest! {
        #[test]
        fn what_is_missing_is_counted(first: u32, kept in proptest::collection::vec(any::<bool>(), 1..200), shuffle: u64) {
            let mut merge = Merge::default();
            let last = kept.iter().rposition(|&kept| kept).unwrap_or(0);
            let truly_lost = kept[..last].iter().skip(1).filter(|&&kept| !kept).count() as u64;
            // The first always comes: nothing is known of what was before it.
            merge.take([exec(0, first, 0, 1, None)]);
            let mut seqs: Vec<u32> =
                (1..kept.len()).filter(|&i| kept[i]).map(|i| first.wrapping_add(i as u32)).collect();
            let len = seqs.len().max(1);
            seqs.rotate_left(shuffle as usize % len);
            merge.take(seqs.into_iter().map(|seq| exec(0, seq, 0, 1, None)));
            merge.set_fence();
            prop_assert_eq!(merge.count_lost(), truly_lost);
            prop_assert_eq!(merge.count_lost(), 0);
        }
    }
}
