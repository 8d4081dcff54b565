//! Parts of a record as parts of an event.

use std::sync::Arc;

use super::table::Image;
use crate::record::{Comm, ListRecord, RefRecord, Subject, UNKNOWN_COMM, UNKNOWN_ID};
use crate::{Argv, ExitStatus, Field, Flaw, Flaws, IdChange, Name, Process, ProcessRef};

/// The image of a process whose own was never seen; a kernel thread has none.
pub(super) fn unseen(subject: &Subject) -> Image {
    if subject.kthread { Image::default() } else { Image::unseen() }
}

/// Lets both share one value. Counting one sharer more and one less costs more than checking
/// whether they share it already.
pub(super) fn share<T: ?Sized>(mine: &mut Option<Arc<T>>, theirs: Option<&Arc<T>>) {
    match (&*mine, theirs) {
        (Some(mine), Some(theirs)) if Arc::ptr_eq(mine, theirs) => {}
        (None, None) => {}
        _ => *mine = theirs.cloned(),
    }
}

pub(super) fn set_image(process: &mut Process, image: Image) {
    process.path = image.path;
    process.exe = image.exe;
    process.interpreter = image.interpreter;
    process.exe_traits = image.exe_traits;
    process.argv = image.argv;
    process.env = image.env;
    process.cwd = image.cwd;
    process.cwd_deleted = image.cwd_deleted;
    process.flaws = image.flaws;
}

/// Paths that the kernel gives name by name, from the leaf on, lack their beginning if cut.
pub(super) fn is_cut(flaws: &Flaws, field: Field) -> bool {
    flaws.get(field) == Some(Flaw::Truncated)
}

/// The mark of a field that no source showed.
pub(super) fn missing(field: Field, is_missing: bool) -> Flaws {
    let mut flaws = Flaws::new();
    if is_missing {
        flaws.mark(field, Flaw::NotObserved);
    }
    flaws
}

pub(super) fn mark_of(flaws: &mut Flaws, marks: &Flaws, take: impl Fn(Field) -> bool) {
    for (field, flaw) in marks.iter().filter(|(field, _)| take(*field)) {
        flaws.mark(field, flaw);
    }
}

pub(super) fn list(record: &ListRecord<'_>, chunks: Vec<u8>, field: Field, flaws: &mut Flaws) -> Argv {
    let list = if chunks.is_empty() { Argv::from_block(record.inline) } else { Argv::from_block(chunks) };
    if list.block().len() != record.len {
        flaws.mark(field, Flaw::Truncated);
    }
    list
}

pub(super) fn name_of(comm: &Comm) -> Option<Name> {
    (*comm != UNKNOWN_COMM).then(|| Name::from_comm(comm))
}

pub(super) fn known(id: u32) -> Option<u32> {
    (id != UNKNOWN_ID).then_some(id)
}

pub(super) fn reference(record: &RefRecord) -> ProcessRef {
    ProcessRef::new(record.id(), name_of(&record.comm))
}

pub(super) fn status_of(wait_status: Option<u32>) -> ExitStatus {
    wait_status.map_or(ExitStatus::Unknown, ExitStatus::from_wait_status)
}

pub(super) fn id_change(old: Option<[u32; 2]>) -> IdChange {
    IdChange::new(old.map(|[real, _]| real), old.map(|[_, effective]| effective))
}
