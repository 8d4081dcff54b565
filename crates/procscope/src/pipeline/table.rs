use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::record::Subject;
use crate::{Argv, ExeTraits, Field, Flaw, Flaws, Pid, StartTime};

/// A process's program, as of its last exec.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) path: Option<Arc<[u8]>>,
    pub(crate) exe: Option<Arc<[u8]>>,
    pub(crate) interpreter: Option<Arc<[u8]>>,
    pub(crate) exe_traits: ExeTraits,
    pub(crate) argv: Option<Arc<Argv>>,
    pub(crate) env: Option<Arc<Argv>>,
    pub(crate) cwd: Option<Arc<[u8]>>,
    pub(crate) cwd_deleted: bool,
    pub(crate) flaws: Flaws,
}

impl Image {
    /// A program that was never seen.
    pub(crate) fn unseen() -> Self {
        let mut image = Self::default();
        let fields = [Field::Argv, Field::Exe, Field::Cwd];
        fields.into_iter().for_each(|field| image.flaws.mark(field, Flaw::NotObserved));
        image
    }

    fn bytes(&self) -> usize {
        self.argv.as_ref().map_or(0, |argv| argv.block().len()) + self.env.as_ref().map_or(0, |env| env.block().len())
    }
}

struct Entry {
    start_ns: u64,
    image: Image,
    exec_id: Option<u32>,
    /// How much had been lost when the image was seen.
    loss: u64,
}

impl Entry {
    fn is(&self, start_ns: u64) -> bool {
        self.start_ns == start_ns || self.start_ns == StartTime::from_boot_ns(start_ns).boot_ns()
    }
}

/// Longer lists are not kept once the table holds much; the exec itself was delivered whole.
const KEEP_ARGV: usize = 1024;
/// All kept lists together, bytes.
const MOST_BYTES: usize = 4 << 20;

/// The images of living processes, so that later events can name them.
///
/// Bounded by the number of pids, and in bytes by [`MOST_BYTES`] of lists beyond [`KEEP_ARGV`] for
/// each process.
#[derive(Default)]
pub(crate) struct Table {
    living: FxHashMap<Pid, Entry>,
    bytes: usize,
    /// Rises with every lost event that could have changed an image.
    loss: u64,
}

impl Table {
    pub(crate) fn count_loss(&mut self, lost: u64) {
        self.loss = self.loss.saturating_add(lost);
    }

    pub(crate) fn insert(&mut self, subject: &Subject, mut image: Image) {
        let slot = self.living.entry(subject.pid);
        if let Slot::Occupied(old) = &slot {
            self.bytes -= old.get().image.bytes();
        }
        if self.bytes + image.bytes() > MOST_BYTES {
            cut(&mut image.argv, Field::Argv, &mut image.flaws);
            cut(&mut image.env, Field::Env, &mut image.flaws);
        }
        self.bytes += image.bytes();
        let Subject { start_ns, exec_id, .. } = *subject;
        slot.insert_entry(Entry { start_ns, image, exec_id, loss: self.loss });
    }

    /// The image of exactly this process, marked if a loss may have made it stale; none if it
    /// executed something that was not reported. A start read from /proc has only its tick.
    pub(crate) fn image(&self, pid: Pid, start_ns: u64, exec_id: Option<u32>) -> Option<Image> {
        let entry = self.living.get(&pid).filter(|entry| entry.is(start_ns))?;
        let stale = self.may_be_stale(entry, exec_id)?;
        Some(doubted(entry.image.clone(), stale))
    }

    /// The same for a process that has ended, which is forgotten.
    pub(crate) fn take(&mut self, subject: &Subject) -> Option<Image> {
        let entry = self.forget(subject.pid).filter(|entry| entry.is(subject.start_ns))?;
        let stale = self.may_be_stale(&entry, subject.exec_id)?;
        Some(doubted(entry.image, stale))
    }

    /// Whether a loss may have made an image stale; `None` if it is certainly stale.
    fn may_be_stale(&self, entry: &Entry, exec_id: Option<u32>) -> Option<bool> {
        match entry.exec_id.zip(exec_id) {
            Some((seen, now)) => (seen == now).then_some(false),
            None => Some(entry.loss != self.loss),
        }
    }

    fn forget(&mut self, pid: Pid) -> Option<Entry> {
        let entry = self.living.remove(&pid);
        self.bytes -= entry.as_ref().map_or(0, |entry| entry.image.bytes());
        // After a storm of many at a time, return the memory of the map.
        if self.living.capacity() > 4096 && self.living.len() < self.living.capacity() / 8 {
            self.living.shrink_to(self.living.len() * 2);
        }
        entry
    }
}

fn doubted(mut image: Image, stale: bool) -> Image {
    if stale {
        image.flaws.mark(Field::Argv, Flaw::AfterLoss);
        image.flaws.mark(Field::Exe, Flaw::AfterLoss);
    }
    image
}

fn cut(list: &mut Option<Arc<Argv>>, field: Field, flaws: &mut Flaws) {
    if let Some(argv) = list
        && argv.block().len() > KEEP_ARGV
    {
        *list = Some(Arc::new(Argv::from_block(&argv.block()[..KEEP_ARGV])));
        flaws.mark(field, Flaw::Truncated);
    }
}
