//! What a process is.

use std::sync::Arc;

use super::of_event::process;
use super::{ALL, FieldSpec, FieldType, NONE, U32, Value, put, some};
use crate::{Argv, Credentials, Event, EventKind, ExeTraits, Field, Kind, Login, Namespaces};

use FieldSpec as F;

const ONLY_TRUE: FieldType = FieldType::Truth { only_true: true };

fn exe_is(event: &Event, traits: ExeTraits) -> Option<Value<'_>> {
    let process = event.process().filter(|process| process.exe.is_some())?;
    Some(Value::Truth(process.exe_traits.contains(traits)))
}

fn set_exe(event: &mut Event, value: Value<'_>, traits: ExeTraits) -> bool {
    let (Some(process), Some(truth)) = (process(event), value.truth()) else { return false };
    process.exe_traits.set(traits, truth);
    true
}

fn list(value: Value<'_>) -> Option<Arc<Argv>> {
    match value {
        Value::Texts(list) => Some(Arc::new(list.clone())),
        _ => None,
    }
}

fn credentials(event: &mut Event) -> Option<&mut Credentials> {
    let nobody = || Arc::new(Credentials::new([0; 2], [0; 2]));
    Some(Arc::make_mut(process(event)?.credentials.get_or_insert_with(nobody)))
}

fn login(event: &mut Event) -> Option<&mut Login> {
    Some(credentials(event)?.login.get_or_insert(Login { uid: 0, user: None, session: None }))
}

fn namespaces(event: &mut Event) -> Option<&mut Namespaces> {
    Some(process(event)?.namespaces.get_or_insert_default())
}

fn namespace(inode: u32) -> Option<Value<'static>> {
    (inode != 0).then_some(Value::Number(inode.into()))
}

pub(super) const FIELDS: &[FieldSpec] = &[
    F::new("name", FieldType::Text, "The comm after the event, at most 15 bytes (task->comm). For a comm event the thread's new one.")
        .aka(&["comm"]).column("name").flaw(Field::Name)
        .get(|e| e.name().map(Value::Text))
        .set(|e, v| match &mut e.kind {
            EventKind::Comm(change) => put(&mut change.new, v.bytes().map(Into::into)),
            _ => process(e).is_some_and(|process| some(&mut process.name, v.bytes().map(Into::into))),
        }),
    F::new("old_name", FieldType::Text, "The comm before an exec or comm event.")
        .on(NONE.with(Kind::Exec).with(Kind::Comm)).column("old_name").flaw(Field::OldName)
        .get(|e| e.old_name().map(Value::Text))
        .set(|e, v| {
            let name = v.bytes().map(Into::into);
            match &mut e.kind {
                EventKind::Exec(exec) => some(&mut exec.old_name, name),
                EventKind::Comm(change) => some(&mut change.old, name),
                _ => false,
            }
        }),
    F::new("path", FieldType::Text, "The path as it was given to exec, for a script the script (bprm->filename). For exec-failed the path tried.")
        .column("path").flaw(Field::Path).of_image().always(NONE.with(Kind::Exec).with(Kind::Start))
        .get(|e| e.path().map(Value::Text))
        .set(|e, v| match &mut e.kind {
            EventKind::ExecFailed(failure) => some(&mut failure.path, v.bytes().map(Into::into)),
            _ => process(e).is_some_and(|process| some(&mut process.path, v.bytes().map(Into::into))),
        }),
    F::new("exe", FieldType::Text, "The resolved path of the file that the process runs, from the root of its mount namespace (mm->exe_file). If its beginning is missing (flaw `truncated`), it begins with U+2026 and a slash.")
        .column("exe").flaw(Field::Exe).of_image()
        .get(|e| e.process()?.exe.as_deref().map(Value::Text))
        .set(|e, v| process(e).is_some_and(|process| some(&mut process.exe, v.bytes().map(Into::into)))),
    F::new("interpreter", FieldType::Text, "The interpreter that a script names after #! (bprm->interp).")
        .column("interpreter").flaw(Field::Interpreter).of_image()
        // For a refused exec it is unknown which one the file named.
        .get(|e| e.process().filter(|_| e.kind.kind() != Kind::ExecFailed)?.interpreter.as_deref().map(Value::Text))
        .set(|e, v| process(e).is_some_and(|process| some(&mut process.interpreter, v.bytes().map(Into::into)))),
    F::new("exe_memfd", ONLY_TRUE, "The file existed only in memory: memfd_create(2).").aka(&["memfd"])
        .flaw(Field::Exe).of_image()
        .get(|e| exe_is(e, ExeTraits::MEMFD))
        .set(|e, v| set_exe(e, v, ExeTraits::MEMFD)),
    F::new("exe_deleted", ONLY_TRUE, "The file had no name left in any directory, as one that lives only in memory never has.").aka(&["deleted"])
        .flaw(Field::Exe).of_image()
        .get(|e| exe_is(e, ExeTraits::DELETED))
        .set(|e, v| set_exe(e, v, ExeTraits::DELETED)),
    F::new("exe_setuid", ONLY_TRUE, "The file had the set-user-id bit.").aka(&["setuid"])
        .flaw(Field::Exe).of_image()
        .get(|e| exe_is(e, ExeTraits::SETUID))
        .set(|e, v| set_exe(e, v, ExeTraits::SETUID)),
    F::new("exe_setgid", ONLY_TRUE, "The file had the set-group-id bit.").aka(&["setgid"])
        .flaw(Field::Exe).of_image()
        .get(|e| exe_is(e, ExeTraits::SETGID))
        .set(|e, v| set_exe(e, v, ExeTraits::SETGID)),
    F::new("secure", ONLY_TRUE, "The exec raised privileges (AT_SECURE of getauxval(3)).")
        .flaw(Field::Exe).of_image()
        .get(|e| exe_is(e, ExeTraits::SECURE))
        .set(|e, v| set_exe(e, v, ExeTraits::SECURE)),
    F::new("argv", FieldType::Texts, "The arguments, as the program received them (mm->arg_start at exec): whole, empty ones too. For exec-failed those tried. In other events those of the process's last exec.")
        .aka(&["command"]).column("command").flaw(Field::Argv).of_image()
        .get(|e| e.argv().map(Value::Texts))
        .set(|e, v| match &mut e.kind {
            EventKind::ExecFailed(failure) => some(&mut failure.argv, list(v)),
            _ => process(e).is_some_and(|process| some(&mut process.argv, list(v))),
        }),
    F::new("arg", FieldType::AnyText, "Any one of the arguments.").flaw(Field::Argv).of_image()
        .get(|e| e.argv().map(Value::Texts)),
    F::new("argc", U32, "The number of arguments.").flaw(Field::Argv).of_image()
        .get(|e| Value::of(e.argv()?.count() as u64)),
    F::new("env", FieldType::AnyText, "The environment at exec, NAME=VALUE each (mm->env_start); in exec, start and existing events, only with --env.")
        .flaw(Field::Env).of_image()
        .get(|e| e.env().map(Value::Texts))
        .set(|e, v| process(e).is_some_and(|process| some(&mut process.env, list(v)))),
    F::new("cwd", FieldType::Text, "The working directory at exec, from the root of its mount namespace (fs->pwd). Cut like `exe`.")
        .column("cwd").flaw(Field::Cwd).of_image()
        .get(|e| e.process()?.cwd.as_deref().map(Value::Text))
        .set(|e, v| process(e).is_some_and(|process| some(&mut process.cwd, v.bytes().map(Into::into)))),
    F::new("cwd_deleted", ONLY_TRUE, "That directory had been removed; `cwd` is the path that it had (the dentry is unhashed).")
        .flaw(Field::Cwd).of_image()
        .get(|e| e.process().filter(|process| process.cwd.is_some()).map(|process| Value::Truth(process.cwd_deleted)))
        .set(|e, v| process(e).is_some_and(|process| put(&mut process.cwd_deleted, v.truth()))),
    F::new("uid", U32, "Real user id after the event, as the initial user namespace numbers it (task->cred).")
        .column("uid").flaw(Field::User)
        .get(|e| Value::of(e.credentials()?.uid))
        .set(|e, v| credentials(e).is_some_and(|who| put(&mut who.uid, v.number::<u32>()))),
    F::new("user", FieldType::Owner, "The name of `uid` in the watcher's own user database; absent if it has none.")
        .column("user").flaw(Field::User)
        .get(|e| e.credentials().map(|who| Value::Owner(who.user.as_deref(), who.uid)))
        .set(|e, v| credentials(e).is_some_and(|who| some(&mut who.user, v.str().map(Into::into)))),
    F::new("euid", U32, "Effective user id after the event, as the initial user namespace numbers it (task->cred).")
        .column("euid").flaw(Field::User)
        .get(|e| Value::of(e.credentials()?.euid))
        .set(|e, v| credentials(e).is_some_and(|who| put(&mut who.euid, v.number::<u32>()))),
    F::new("euser", FieldType::Owner, "The name of `euid` in the watcher's own user database; absent if it has none.")
        .column("euser").flaw(Field::User)
        .get(|e| e.credentials().map(|who| Value::Owner(who.euser.as_deref(), who.euid)))
        .set(|e, v| credentials(e).is_some_and(|who| some(&mut who.euser, v.str().map(Into::into)))),
    F::new("gid", U32, "Real group id after the event, as the initial user namespace numbers it (task->cred).")
        .column("gid").flaw(Field::User)
        .get(|e| Value::of(e.credentials()?.gid))
        .set(|e, v| credentials(e).is_some_and(|who| put(&mut who.gid, v.number::<u32>()))),
    F::new("group", FieldType::Owner, "The name of `gid` in the watcher's own user database; absent if it has none.")
        .column("group").flaw(Field::User)
        .get(|e| e.credentials().map(|who| Value::Owner(who.group.as_deref(), who.gid)))
        .set(|e, v| credentials(e).is_some_and(|who| some(&mut who.group, v.str().map(Into::into)))),
    F::new("egid", U32, "Effective group id after the event, as the initial user namespace numbers it (task->cred).")
        .column("egid").flaw(Field::User)
        .get(|e| Value::of(e.credentials()?.egid))
        .set(|e, v| credentials(e).is_some_and(|who| put(&mut who.egid, v.number::<u32>()))),
    F::new("egroup", FieldType::Owner, "The name of `egid` in the watcher's own user database; absent if it has none.")
        .column("egroup").flaw(Field::User)
        .get(|e| e.credentials().map(|who| Value::Owner(who.egroup.as_deref(), who.egid)))
        .set(|e, v| credentials(e).is_some_and(|who| some(&mut who.egroup, v.str().map(Into::into)))),
    F::new("loginuid", U32, "The user who logged in, whatever users the process became since (task->loginuid); absent if nobody logged in, as for services, and without CONFIG_AUDIT.")
        .aka(&["auid"]).column("loginuid").flaw(Field::Login)
        .get(|e| Value::of(e.login()?.uid))
        .set(|e, v| login(e).is_some_and(|login| put(&mut login.uid, v.number::<u32>()))),
    F::new("login_user", FieldType::Owner, "The name of `loginuid` in the watcher's own user database; absent if it has none.")
        .column("login_user").flaw(Field::Login)
        .get(|e| e.login().map(|login| Value::Owner(login.user.as_deref(), login.uid)))
        .set(|e, v| login(e).is_some_and(|login| some(&mut login.user, v.str().map(Into::into)))),
    F::new("audit_session", U32, "The audit session, a new number for each login (task->sessionid).")
        .aka(&["ses"]).column("audit_session").flaw(Field::Login)
        .get(|e| Value::of(e.login()?.session?))
        .set(|e, v| login(e).is_some_and(|login| some(&mut login.session, v.number::<u32>()))),
    F::new("sid", U32, "Session id, a pid: setsid(2).")
        .always(ALL).column("sid").flaw(Field::Sid)
        .get(|e| Value::of(e.process()?.sid?))
        .set(|e, v| process(e).is_some_and(|process| some(&mut process.sid, v.number::<u32>()))),
    F::new("pgid", U32, "Process group id, a pid: setpgid(2).")
        .always(ALL).column("pgid").flaw(Field::Pgid)
        .get(|e| Value::of(e.process()?.pgid?))
        .set(|e, v| process(e).is_some_and(|process| some(&mut process.pgid, v.number::<u32>()))),
    F::new("tty", FieldType::Tty, "The controlling terminal's name under /dev, or MAJOR:MINOR (signal->tty).")
        .column("tty").flaw(Field::Tty)
        .get(|e| e.process()?.tty.map(Value::Tty))
        .set(|e, v| match v {
            Value::Tty(tty) => process(e).is_some_and(|process| some(&mut process.tty, Some(tty))),
            _ => false,
        }),
    F::new("cgroup", FieldType::Text, "The cgroup's path in the unified hierarchy, or in the first of memory, pids, cpu, cpuset and devices whose path is not the root. Cut like `exe`.")
        .column("cgroup").utf8().flaw(Field::Cgroup)
        .get(|e| e.process()?.cgroup.as_deref().map(|text| Value::Text(text.as_bytes())))
        .set(|e, v| process(e).is_some_and(|process| some(&mut process.cgroup, v.str().map(Into::into)))),
    F::new("container", FieldType::Text, "The container's id, from the cgroup's path: Docker, containerd, CRI-O, podman.")
        .column("container").utf8().flaw(Field::Cgroup)
        .get(|e| e.process()?.container.as_deref().map(|text| Value::Text(text.as_bytes())))
        .set(|e, v| process(e).is_some_and(|process| some(&mut process.container, v.str().map(Into::into)))),
    F::new("unit", FieldType::Text, "The systemd unit, from the cgroup's path.")
        .column("unit").utf8().flaw(Field::Cgroup)
        .get(|e| e.process()?.unit.as_deref().map(|text| Value::Text(text.as_bytes())))
        .set(|e, v| process(e).is_some_and(|process| some(&mut process.unit, v.str().map(Into::into)))),
    F::new("ns_pid", U32, "Process id inside the innermost pid namespace; present if it is not `pid`.")
        .always(ALL).column("ns_pid")
        .get(|e| Value::of(e.process()?.ns_pid?))
        .set(|e, v| process(e).is_some_and(|process| some(&mut process.ns_pid, v.number::<u32>()))),
    F::new("namespaces", FieldType::Namespaces, "The namespaces by inode number, as /proc/PID/ns shows them; in exec and existing events.")
        .aka(&["ns"])
        .get(|e| e.namespaces().map(Value::Namespaces)),
    F::new("namespaces.mnt", U32, "Inode number of the mount namespace.")
        .aka(&["ns.mnt"]).always(ALL)
        .get(|e| namespace(e.namespaces()?.mnt))
        .set(|e, v| namespaces(e).is_some_and(|of| put(&mut of.mnt, v.number::<u32>()))),
    F::new("namespaces.pid", U32, "Inode number of the pid namespace.")
        .aka(&["ns.pid"]).always(ALL)
        .get(|e| namespace(e.namespaces()?.pid))
        .set(|e, v| namespaces(e).is_some_and(|of| put(&mut of.pid, v.number::<u32>()))),
    F::new("namespaces.net", U32, "Inode number of the network namespace.")
        .aka(&["ns.net"]).always(ALL)
        .get(|e| namespace(e.namespaces()?.net))
        .set(|e, v| namespaces(e).is_some_and(|of| put(&mut of.net, v.number::<u32>()))),
    F::new("namespaces.uts", U32, "Inode number of the UTS (host name) namespace.")
        .aka(&["ns.uts"]).always(ALL)
        .get(|e| namespace(e.namespaces()?.uts))
        .set(|e, v| namespaces(e).is_some_and(|of| put(&mut of.uts, v.number::<u32>()))),
    F::new("namespaces.ipc", U32, "Inode number of the IPC namespace.")
        .aka(&["ns.ipc"]).always(ALL)
        .get(|e| namespace(e.namespaces()?.ipc))
        .set(|e, v| namespaces(e).is_some_and(|of| put(&mut of.ipc, v.number::<u32>()))),
    F::new("namespaces.user", U32, "Inode number of the user namespace.")
        .aka(&["ns.user"]).always(ALL)
        .get(|e| namespace(e.namespaces()?.user))
        .set(|e, v| namespaces(e).is_some_and(|of| put(&mut of.user, v.number::<u32>()))),
    F::new("namespaces.cgroup", U32, "Inode number of the cgroup namespace.")
        .aka(&["ns.cgroup"]).always(ALL)
        .get(|e| namespace(e.namespaces()?.cgroup))
        .set(|e, v| namespaces(e).is_some_and(|of| put(&mut of.cgroup, v.number::<u32>()))),
    F::new("namespaces.time", U32, "Inode number of the time namespace.")
        .aka(&["ns.time"]).always(ALL)
        .get(|e| namespace(e.namespaces()?.time))
        .set(|e, v| namespaces(e).is_some_and(|of| put(&mut of.time, v.number::<u32>()))),
];
