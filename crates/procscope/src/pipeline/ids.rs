//! Ids that were read inside a user namespace become those of the initial one, as far as can be
//! known from inside.

use std::sync::Arc;

use crate::proc::id_maps::{IdMap, IdMaps};
use crate::{Credentials, EventKind, Field, Flaw, IdChange, Process};

/// The names stay: they are those of the namespace's own user database. The new numbers are those
/// of the namespace above, which is the initial one unless namespaces are nested. That cannot be
/// seen from inside, so they are marked.
pub(super) fn translate(process: &mut Process, kind: &mut EventKind, maps: &IdMaps) {
    process.credentials = process.credentials.take().and_then(|inside| Some(Arc::new(outside(&inside, maps)?)));
    let login = process.credentials.as_ref().is_some_and(|credentials| credentials.login.is_some());
    let flaw = |known| if known { Flaw::Estimated } else { Flaw::Unreadable };
    process.flaws.mark(Field::User, flaw(process.credentials.is_some()));
    process.flaws.mark(Field::Login, flaw(login));
    match kind {
        EventKind::Uid(change) => *change = change_outside(*change, &maps.users),
        EventKind::Gid(change) => *change = change_outside(*change, &maps.groups),
        _ => {}
    }
}

fn outside(inside: &Credentials, maps: &IdMaps) -> Option<Credentials> {
    let login = inside.login.clone().and_then(|mut login| {
        login.uid = maps.users.outside(login.uid)?;
        Some(login)
    });
    let mut who = inside.clone();
    who.uid = maps.users.outside(inside.uid)?;
    who.euid = maps.users.outside(inside.euid)?;
    who.gid = maps.groups.outside(inside.gid)?;
    who.egid = maps.groups.outside(inside.egid)?;
    who.login = login;
    Some(who)
}

fn change_outside(change: IdChange, map: &IdMap) -> IdChange {
    let outside = |id: Option<u32>| map.outside(id?);
    IdChange::new(outside(change.old_real), outside(change.old_effective))
}
