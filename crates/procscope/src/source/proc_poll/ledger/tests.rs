use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// The lowest and the highest pid of a small system, which reuses them again and again.
const LOWEST: Pid = 300;
const MOST: Pid = 330;

/// A process with a pid that no later one has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Somebody {
    number: usize,
    thread: bool,
    /// In /proc, and found by its pid. Before that it has only the pid.
    shows: bool,
}

/// A random event.
#[derive(Clone, Debug)]
enum Step {
    Fork {
        thread: bool,
    },
    /// This one of those that do not show yet appears.
    Show(usize),
    End(usize),
}

#[derive(Default)]
struct Kernel {
    last: Pid,
    holders: BTreeMap<Pid, Somebody>,
    /// How many there were.
    made: usize,
    /// Those that showed and are not threads.
    processes: BTreeSet<usize>,
    /// No threads, and no process ends unseen: each count is a process.
    plain: bool,
    /// Given out since the mark was last read: beyond a whole lap counting is impossible.
    since_mark: Pid,
}

impl Kernel {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Fork { thread } => {
                if self.since_mark > (MOST - LOWEST) / 2 || self.holders.len() > 12 {
                    return;
                }
                let before = self.last;
                while {
                    self.last = if self.last >= MOST { LOWEST } else { self.last + 1 };
                    self.since_mark += 1;
                    self.holders.contains_key(&self.last)
                } {
                    assert!(self.last != before, "there is room");
                }
                let thread = thread && !self.plain;
                self.holders.insert(self.last, Somebody { number: self.made, thread, shows: false });
                self.made += 1;
            }
            Step::Show(at) => {
                let hidden: Vec<Pid> = self.holders.iter().filter(|(_, it)| !it.shows).map(|(pid, _)| *pid).collect();
                let Some(pid) = hidden.get(at % hidden.len().max(1)) else { return };
                let it = self.holders.get_mut(pid).expect("it is there");
                it.shows = true;
                if !it.thread {
                    self.processes.insert(it.number);
                }
            }
            Step::End(at) => {
                let may = self.holders.iter().filter(|(_, it)| it.shows || !self.plain).map(|(pid, _)| *pid);
                let may: Vec<Pid> = may.collect();
                if let Some(pid) = may.get(at % may.len().max(1)) {
                    self.holders.remove(pid);
                }
            }
        }
    }

    fn process(&self, pid: Pid) -> Option<usize> {
        self.holders.get(&pid).filter(|it| it.shows && !it.thread).map(|it| it.number)
    }

    fn who_has(&self, pid: Pid) -> Holder {
        match self.holders.get(&pid) {
            Some(it) if it.shows && it.thread => Holder::Thread,
            Some(it) if it.shows => Holder::Process,
            _ => Holder::Nobody,
        }
    }
}

/// The source's handling of pids.
struct Watch {
    ledger: Ledger,
    /// The living processes, as far as is known.
    known: BTreeMap<Pid, usize>,
    told: BTreeSet<usize>,
    missed: u64,
}

impl Watch {
    /// A round, with something happening between all its steps.
    fn round(&mut self, kernel: &mut Kernel, full: bool, last: bool, mut happen: impl FnMut(&mut Kernel)) {
        let mark = kernel.last;
        kernel.since_mark = 0;
        self.ledger.begin((!last).then_some(mark));
        happen(kernel);
        let mut pids: BTreeSet<Pid> = self
            .ledger
            .ask(|pid| {
                let who = kernel.who_has(pid);
                happen(kernel);
                who
            })
            .into_iter()
            .collect();
        let listed = kernel.holders.keys().filter(|pid| kernel.process(**pid).is_some());
        let listed = listed.filter(|pid| full || self.ledger.is_given(**pid) || **pid > mark && **pid < mark + 4);
        pids.extend(listed.copied());
        happen(kernel);
        for pid in pids {
            let here = kernel.process(pid);
            if let Some(known) = self.known.get(&pid) {
                if !self.ledger.is_due(pid) {
                    continue;
                }
                if here == Some(*known) {
                    self.ledger.meet(pid);
                    continue;
                }
                self.known.remove(&pid);
            }
            if let Some(number) = here {
                assert!(self.told.insert(number), "told twice");
                self.known.insert(pid, number);
                self.ledger.meet(pid);
            }
            happen(kernel);
        }
        if full {
            self.ledger.close();
        }
        self.ledger.end();
        // Ends are reported as well, sooner or later.
        if full {
            self.known.retain(|pid, number| kernel.process(*pid) == Some(*number));
        }
        self.missed += self.ledger.take_missed();
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5u8).prop_map(|n| Step::Fork { thread: n == 0 }),
        4 => any::<usize>().prop_map(Step::Show),
        3 => any::<usize>().prop_map(Step::End),
    ];
    proptest::collection::vec(step, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever comes between: each process is reported or counted, and no more are counted than
    /// pids were given out.
    #[test]
    fn nobody_is_lost(
        steps in steps(), full in proptest::collection::vec(0..8u8, 1..40), begun in 0usize..9, plain: bool, last in LOWEST..=MOST,
    ) {
        let mut kernel = Kernel { last, plain, ..Kernel::default() };
        let mut steps = steps.into_iter();
        steps.by_ref().take(begun).for_each(|step| kernel.step(&step));
        let known = kernel.holders.keys().filter_map(|pid| Some((*pid, kernel.process(*pid)?)));
        let known: BTreeMap<Pid, usize> = known.collect();
        let told = known.values().copied().collect();
        // The marks cannot show the holders from before the first one.
        let before = kernel.made;
        let ledger = Ledger::new(Some(kernel.last), MOST);
        kernel.since_mark = 0;
        let mut watch = Watch { ledger, known, told, missed: 0 };
        for full in full {
            watch.round(&mut kernel, full == 0, false, |kernel| {
                steps.by_ref().take(1).for_each(|step| kernel.step(&step));
            });
        }
        for last in [false, true] {
            watch.round(&mut kernel, true, last, |_| ());
        }
        watch.ledger.close();
        watch.missed += watch.ledger.take_missed();
        let untold = kernel.processes.difference(&watch.told).filter(|number| **number >= before).count() as u64;
        prop_assert!(watch.missed >= untold, "{} are counted, {untold} were not reported", watch.missed);
        let most = (kernel.made - before) as u64;
        prop_assert!(watch.missed <= most, "{} are counted of {most} that there were", watch.missed);
    }
}

/// A pid has no holder when /proc is listed, and has one when it is looked for.
#[test]
fn who_shows_late_is_met_late() {
    let mut ledger = Ledger::new(Some(500), 32767);
    ledger.begin(Some(502));
    assert_eq!(ledger.ranges(), [501..=502]);
    assert!(ledger.is_due(501) && ledger.is_due(502));
    ledger.meet(501);
    ledger.end();
    assert!(ledger.is_open() && !ledger.is_due(501));
    ledger.begin(Some(502));
    assert_eq!(ledger.ask(|_| Holder::Process), [502]);
    assert!(ledger.is_due(502));
    ledger.meet(502);
    ledger.end();
    ledger.close();
    assert_eq!(ledger.take_missed(), 0);
}

#[test]
fn who_is_not_met_is_counted_once() {
    let mut ledger = Ledger::new(Some(500), 32767);
    ledger.begin(Some(504));
    // One that the next mark passes.
    ledger.meet(505);
    ledger.end();
    ledger.begin(Some(505));
    let who = |pid| match pid {
        501 => Holder::Thread,
        502 => Holder::Process,
        _ => Holder::Nobody,
    };
    assert_eq!(ledger.ask(who), [502]);
    ledger.end();
    // 502 could not be read, 503 and 504 are gone.
    assert_eq!(ledger.take_missed(), 0);
    ledger.begin(Some(505));
    assert!(ledger.ask(|_| Holder::Nobody).is_empty());
    // It shows all the same.
    ledger.meet(504);
    ledger.close();
    ledger.end();
    assert_eq!(ledger.take_missed(), 2);
    assert_eq!(ledger.take_missed(), 0);
}

#[test]
fn without_a_mark_nothing_is_counted() {
    let mut ledger = Ledger::new(None, 32767);
    ledger.begin(None);
    ledger.meet(7);
    ledger.end();
    ledger.close();
    assert!(!ledger.is_open() && ledger.beyond.is_empty());
    assert_eq!(ledger.take_missed(), 0);
}

/// A pid that is given out again while its last holder is known belongs to another process.
#[test]
fn a_pid_that_is_given_out_again_is_due() {
    let mut ledger = Ledger::new(Some(500), 600);
    ledger.begin(Some(501));
    ledger.meet(501);
    ledger.end();
    ledger.begin(Some(600));
    assert!(!ledger.is_due(501));
    ledger.end();
    ledger.ask(|_| Holder::Nobody);
    ledger.begin(Some(520));
    assert!(ledger.is_due(501));
}
