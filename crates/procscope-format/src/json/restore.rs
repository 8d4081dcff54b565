//! The programs that lines leave out: a fork's is its creator's, and a refused exec keeps the
//! present one.

use std::collections::HashMap;
use std::sync::Arc;

use procscope_model::{Argv, Event, EventKind, ExeTraits, Field, Flaw, Flaws, Kind, Lost, Pid, Process, ProcessId};

/// Longer lists are not kept once [`MOST_BYTES`] are.
const KEEP_BYTES: usize = 1024;
/// All kept lists together, bytes.
const MOST_BYTES: usize = 64 << 20;

/// A process's program, as of its last exec.
#[derive(Clone, Default)]
struct Image {
    path: Option<Arc<[u8]>>,
    exe: Option<Arc<[u8]>>,
    interpreter: Option<Arc<[u8]>>,
    exe_traits: ExeTraits,
    argv: Option<Arc<Argv>>,
    cwd: Option<Arc<[u8]>>,
    cwd_deleted: bool,
    flaws: Flaws,
}

struct Known {
    id: ProcessId,
    image: Image,
    /// How much had been lost when it was seen.
    loss: u64,
}

/// The fields of a process that come from its last exec.
const OF_IMAGE: [Field; 5] = [Field::Path, Field::Exe, Field::Interpreter, Field::Argv, Field::Cwd];

/// The programs of living processes, by pid: at most as many as there are pids.
#[derive(Default)]
pub(super) struct Programs {
    living: HashMap<Pid, Known>,
    bytes: usize,
    loss: u64,
}

impl Programs {
    /// Gives an event the values that its line left out, and learns from it.
    pub(super) fn restore(&mut self, event: &mut Event) {
        if let EventKind::Lost(lost) = &event.kind {
            return self.count_loss(lost);
        }
        let Some(id) = event.id() else { return };
        match &event.kind {
            EventKind::Fork(_) => {
                let image = self.copied(event);
                if let Some(process) = process(event) {
                    set(process, &image);
                }
                self.keep(id, image);
            }
            EventKind::ExecFailed(_) => self.go_on(event, id),
            EventKind::Exit(_) => self.forget(id.pid),
            EventKind::Exec(_) | EventKind::Existing => self.learn(event, id),
            // Its exec was not recorded.
            _ if self.living.get(&id.pid).is_none_or(|known| known.id != id) => self.learn(event, id),
            _ => {}
        }
    }

    fn learn(&mut self, event: &Event, id: ProcessId) {
        if let Some(image) = event.process().map(image_of) {
            self.keep(id, image);
        }
    }

    /// Lost events may have replaced programs.
    fn count_loss(&mut self, lost: &Lost) {
        for kind in [Kind::Exec, Kind::Fork, Kind::Lost] {
            let lost = lost.iter().filter(|(of, _)| *of == kind).map(|(_, count)| count);
            self.loss = lost.fold(self.loss, u64::saturating_add);
        }
    }

    /// The creator's, of which the new process is a copy.
    fn copied(&self, event: &Event) -> Image {
        let original = event.creator().or(event.parent()).map(|of| of.id);
        let Some(mut image) = original.and_then(|of| self.of(of)) else { return unseen() };
        for (field, has) in [(Field::Argv, image.argv.is_some()), (Field::Exe, image.exe.is_some())] {
            if has && image.flaws.get(field).is_none() {
                image.flaws.mark(field, Flaw::Inherited);
            }
        }
        image
    }

    /// In the line the tried program replaces the one that the process runs.
    fn go_on(&self, event: &mut Event, id: ProcessId) {
        let Some(image) = self.of(id) else { return };
        if let Some(process) = process(event) {
            (process.path, process.interpreter, process.argv) = (image.path, image.interpreter, image.argv);
        }
    }

    fn of(&self, id: ProcessId) -> Option<Image> {
        let known = self.living.get(&id.pid).filter(|known| known.id == id)?;
        let mut image = known.image.clone();
        if known.loss != self.loss {
            image.flaws.mark(Field::Argv, Flaw::AfterLoss);
            image.flaws.mark(Field::Exe, Flaw::AfterLoss);
        }
        Some(image)
    }

    fn keep(&mut self, id: ProcessId, mut image: Image) {
        self.forget(id.pid);
        if self.bytes + bytes(&image) > MOST_BYTES
            && let Some(argv) = &mut image.argv
            && argv.block().len() > KEEP_BYTES
        {
            *argv = Arc::new(Argv::from_block(&argv.block()[..KEEP_BYTES]));
            image.flaws.mark(Field::Argv, Flaw::Truncated);
        }
        self.bytes += bytes(&image);
        self.living.insert(id.pid, Known { id, image, loss: self.loss });
    }

    fn forget(&mut self, pid: Pid) {
        if let Some(known) = self.living.remove(&pid) {
            self.bytes -= bytes(&known.image);
        }
    }
}

fn bytes(image: &Image) -> usize {
    image.argv.as_ref().map_or(0, |argv| argv.block().len())
}

/// That of a process whose program was never seen.
fn unseen() -> Image {
    let mut image = Image::default();
    [Field::Argv, Field::Exe, Field::Cwd].into_iter().for_each(|field| image.flaws.mark(field, Flaw::NotObserved));
    image
}

fn image_of(process: &Process) -> Image {
    let mut flaws = Flaws::new();
    let of_image = process.flaws.iter().filter(|(field, _)| OF_IMAGE.contains(field));
    of_image.for_each(|(field, flaw)| flaws.mark(field, flaw));
    Image {
        path: process.path.clone(),
        exe: process.exe.clone(),
        interpreter: process.interpreter.clone(),
        exe_traits: process.exe_traits,
        argv: process.argv.clone(),
        cwd: process.cwd.clone(),
        cwd_deleted: process.cwd_deleted,
        flaws,
    }
}

fn process(event: &mut Event) -> Option<&mut Process> {
    event.process.as_mut().map(Arc::make_mut)
}

fn set(process: &mut Process, image: &Image) {
    process.path.clone_from(&image.path);
    process.exe.clone_from(&image.exe);
    process.interpreter.clone_from(&image.interpreter);
    process.exe_traits = image.exe_traits;
    process.argv.clone_from(&image.argv);
    process.cwd.clone_from(&image.cwd);
    process.cwd_deleted = image.cwd_deleted;
    image.flaws.iter().for_each(|(field, flaw)| process.flaws.mark(field, flaw));
}
