//! Makes one stream from the messages of several sockets, and finds what is missing in it.

use rustc_hash::FxHashMap;

use super::decode::{Message, What};
use crate::source::happening::Report;
use crate::source::look::Look;
use crate::source::settling::Settling;

/// A message, and the values read when it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) look: Option<Box<Look>>,
}

/// The numbers of one CPU's messages, of which each socket gets its own in their order.
#[derive(Default)]
struct Sequence {
    /// All below were received or are lost.
    next: Option<u32>,
    /// When the last of those was sent.
    last_ns: u64,
    /// Received beyond a gap, and when they were sent.
    ahead: Vec<(u32, u64)>,
    /// Numbers still missing below can come no more.
    complete: Option<u32>,
}

impl Sequence {
    fn receive(&mut self, seq: u32, mono_ns: u64) {
        match self.next {
            None => self.next = Some(seq.wrapping_add(1)),
            Some(next) if next == seq => self.next = Some(seq.wrapping_add(1)),
            // Below are those from before we listened, and the answers that the other socket also
            // had.
            Some(next) if seq.wrapping_sub(next) >= 1 << 31 => return,
            Some(_) => return self.ahead.push((seq, mono_ns)),
        }
        self.last_ns = mono_ns;
        if !self.ahead.is_empty() {
            self.close_up();
        }
    }

    fn close_up(&mut self) {
        let Some(mut next) = self.next else { return };
        self.ahead.retain(|(seq, _)| seq.wrapping_sub(next) < 1 << 31);
        self.ahead.sort_unstable_by_key(|(seq, _)| seq.wrapping_sub(next));
        // Answers come to both sockets.
        self.ahead.dedup_by_key(|(seq, _)| *seq);
        let followers = self.ahead.iter().take_while(|&&(seq, _)| {
            let follows = seq == next;
            next = next.wrapping_add(u32::from(follows));
            follows
        });
        let count = followers.count();
        if let Some((_, sent_ns)) = self.ahead.drain(..count).next_back() {
            self.last_ns = sent_ns;
        }
        self.next = Some(next);
    }

    fn mark(&mut self) {
        let Some(next) = self.next else { return };
        let beyond = self.ahead.iter().map(|(seq, _)| seq.wrapping_sub(next).wrapping_add(1)).max();
        self.complete = Some(next.wrapping_add(beyond.unwrap_or(0)));
    }

    /// Gives up the missing ones; counts them, and reports after when they were sent.
    fn settle(&mut self) -> (u64, Option<u64>) {
        let (mut lost, mut after_ns) = (0, None);
        self.close_up();
        while let (Some(next), Some(complete), Some(&(first, _))) = (self.next, self.complete, self.ahead.first()) {
            let gap = first.wrapping_sub(next);
            if complete.wrapping_sub(next) <= gap || complete.wrapping_sub(next) >= 1 << 31 {
                break;
            }
            lost += u64::from(gap);
            after_ns.get_or_insert(self.last_ns);
            self.next = Some(first);
            self.close_up();
        }
        (lost, after_ns)
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Merge {
    /// Some messages are not listened to: their numbers are missing and mean nothing.
    partial: bool,
    /// Reports before this are not complete: not all sockets listened. CLOCK_MONOTONIC, ns.
    since_ns: u64,
    settling: Settling,
    sequences: FxHashMap<u32, Sequence>,
    /// The first of the gaps found so far.
    lost_after_ns: Option<u64>,
}

impl Merge {
    /// `partial`: some kinds of message are not listened to. From `since_ns` on every socket
    /// listens.
    pub(crate) fn new(partial: bool, since_ns: u64) -> Self {
        Self { partial, since_ns, ..Self::default() }
    }

    /// Takes the received messages, in any order.
    pub(crate) fn take(&mut self, received: impl IntoIterator<Item = Received>) {
        for it in received {
            let answer = matches!(it.message.what, What::Ack { .. });
            let early = it.message.mono_ns < self.since_ns;
            // Before Linux 4.8 answers were not numbered like the rest.
            let unnumbered = answer && it.message.cpu == u32::MAX;
            if !self.partial && !unnumbered {
                let sequence = self.sequences.entry(it.message.cpu).or_default();
                if !early || sequence.next.is_some() {
                    sequence.receive(it.message.seq, it.message.mono_ns);
                }
            }
            let Received { message, look } = it;
            if let Some(what) = message.what.happening().filter(|_| !early) {
                self.settling.push(Report {
                    mono_ns: message.mono_ns,
                    processor: Some(message.cpu).filter(|&cpu| cpu != u32::MAX),
                    what,
                    look,
                });
            }
        }
    }

    /// Call this when every socket was emptied, and before they are emptied again: then everything
    /// is there that was sent before the messages taken by now.
    pub(crate) fn mark(&mut self) {
        self.sequences.values_mut().for_each(Sequence::mark);
    }

    /// How many messages are missing before those that were there at the mark, of every CPU. Only
    /// useful if every kind of message is listened to.
    pub(crate) fn count_lost(&mut self) -> u64 {
        let mut all = 0;
        for sequence in self.sequences.values_mut() {
            let (lost, after_ns) = sequence.settle();
            all += lost;
            self.lost_after_ns = self.lost_after_ns.into_iter().chain(after_ns).min();
        }
        all
    }

    /// After when the messages were sent that are lost since the last call. Everything before that
    /// is whole.
    pub(crate) fn lost_after(&mut self) -> u64 {
        // Otherwise they come after the last of any CPU.
        let last = || self.sequences.values().map(|sequence| sequence.last_ns).min();
        self.lost_after_ns.take().or_else(last).unwrap_or(0)
    }

    pub(crate) fn settling(&mut self) -> &mut Settling {
        &mut self.settling
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.settling.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Pid;
    use crate::source::happening::Task;

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
        let times: Vec<u64> = merge.settling().give(20).iter().map(|it| it.mono_ns).collect();
        assert_eq!(times, [10, 20]);
        assert!(!merge.is_empty());
        assert_eq!(merge.settling().give(u64::MAX).len(), 1);
        merge.mark();
        assert_eq!(merge.count_lost(), 0);
    }

    #[test]
    fn a_look_that_came_after_the_next_exec_is_not_taken() {
        let late = 5_000_000;
        let mut merge = Merge::default();
        merge.take([exec(0, 0, 10, 1, Some(20)), exec(0, 1, late, 1, Some(late + 5)), exec(0, 2, 40, 2, Some(50))]);
        let looks: Vec<bool> = merge.settling().give(u64::MAX).iter().map(|it| it.look.is_some()).collect();
        assert_eq!(looks, [true, true, true]);
        merge.take([exec(0, 3, 10, 1, Some(20)), exec(0, 4, 1_000_000, 1, Some(1_000_005))]);
        let looks: Vec<bool> = merge.settling().give(u64::MAX).iter().map(|it| it.look.is_some()).collect();
        assert_eq!(looks, [false, true]);
    }

    proptest! {
        #[test]
        fn what_is_missing_is_counted(first: u32, kept in proptest::collection::vec(any::<bool>(), 1..200), shuffle: u64) {
            let mut merge = Merge::default();
            let last = kept.iter().rposition(|&kept| kept).unwrap_or(0);
            let truly_lost = kept[..last].iter().skip(1).filter(|&&kept| !kept).count() as u64;
            // The first always comes: nothing is known about what was before it.
            merge.take([exec(0, first, 0, 1, None)]);
            let mut seqs: Vec<u32> =
                (1..kept.len()).filter(|&i| kept[i]).map(|i| first.wrapping_add(i as u32)).collect();
            let len = seqs.len().max(1);
            seqs.rotate_left(shuffle as usize % len);
            merge.take(seqs.into_iter().map(|seq| exec(0, seq, 0, 1, None)));
            merge.mark();
            prop_assert_eq!(merge.count_lost(), truly_lost);
            merge.mark();
            prop_assert_eq!(merge.count_lost(), 0);
        }

        /// Two sockets are emptied in turn while messages come, of which some are lost; answers
        /// come to both.
        #[test]
        fn what_is_on_its_way_is_not_lost(
            first: u32,
            messages in proptest::collection::vec((0u8..3, any::<bool>(), 0u8..10), 1..300),
            reads in proptest::collection::vec(1usize..20, 1..60),
        ) {
            let mut merge = Merge::default();
            merge.take([exec(0, first, 0, 1, None)]);
            // Each socket's queue: the number, and when it came.
            let mut queues: [Vec<(usize, u32)>; 2] = Default::default();
            let mut lost = 0;
            let mut last = 0;
            for (at, &(kind, to_both, luck)) in messages.iter().enumerate() {
                let seq = first.wrapping_add(1).wrapping_add(at as u32);
                let both = to_both && kind == 0;
                if luck == 0 {
                    lost += 1;
                } else {
                    queues[usize::from(kind == 1)].push((at, seq));
                    if both {
                        queues[1].push((at, seq));
                    }
                    last = lost;
                }
            }
            // Losses after the last one cannot be known.
            let mut given = [0, 0];
            let mut now = 0;
            let mut counted = 0;
            let take = |merge: &mut Merge, socket: usize, now: usize, given: &mut [usize; 2]| {
                let queue: &Vec<(usize, u32)> = &queues[socket];
                let new = queue.iter().skip(given[socket]).take_while(|(at, _)| *at < now);
                let new: Vec<u32> = new.map(|(_, seq)| *seq).collect();
                given[socket] += new.len();
                merge.take(new.into_iter().map(|seq| exec(0, seq, 0, 1, None)));
            };
            for step in reads.into_iter().chain([0, 0]).enumerate() {
                let (n, step) = step;
                for (socket, part) in [(1, 0), (0, 1), (1, 2)] {
                    now += if n % 2 == 0 { step } else { usize::from(part == 2) * step };
                    if part == 2 {
                        merge.mark();
                    }
                    take(&mut merge, socket, now, &mut given);
                }
                counted += merge.count_lost();
            }
            for _ in 0..2 {
                take(&mut merge, 1, usize::MAX, &mut given);
                take(&mut merge, 0, usize::MAX, &mut given);
                merge.mark();
                counted += merge.count_lost();
            }
            prop_assert_eq!(counted, last);
        }
    }
}
