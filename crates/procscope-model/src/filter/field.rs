//! What a filter can ask about: every field that JSON has, under its name.

use crate::{
    Argv, Credentials, Event, EventKind, EventSet, ExeTraits, Exit, ExitStatus, Field, Flaw, ForkInfo, IdChange, Kind,
    Login, Namespaces, Process, ProcessId, ProcessRef, Usage,
};

/// How a field's values are written and compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    /// Bytes.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The name of a user or group, or its number.
    Owner,
    /// A whole number.
    Number,
    /// Nanoseconds; whether the unit has to be named.
    Span { unit: bool },
    /// Bytes; whether the unit has to be named.
    Size { unit: bool },
    /// True or false.
    Truth,
    /// A kind of event.
    Kind,
    /// The name or number of a signal.
    Signal,
    /// The name or number of an error.
    Errno,
    /// RFC 3339.
    Time,
    /// A process, as JSON's `id` has it.
    Id,
    /// There or not, and no more.
    Presence,
}

/// What of an ancestor is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OfAncestor {
    Pid,
    Name,
    Id,
    Exe,
}

/// A user or group: the name, where there is one, and the number.
type Named<'a> = (Option<&'a str>, u32);

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Get {
    Text(fn(&Event) -> Option<&[u8]>),
    Word(fn(&Event) -> Option<&'static str>),
    Owner(fn(&Credentials) -> Option<Named<'_>>),
    Number(fn(&Event) -> Option<i128>),
    Truth(fn(&Event) -> Option<bool>),
    Has(fn(&Event) -> bool),
    Id(fn(&Event) -> Option<ProcessId>),
    Kind,
    Tty,
    /// All arguments, joined by blanks.
    Argv,
    /// Any argument.
    AnyArg,
    /// Any variable, as NAME=VALUE.
    AnyEnv,
    /// Any flaw.
    AnyFlaw,
    Flaw(Field),
    Ancestor(OfAncestor),
}

impl Get {
    /// True where there can be several values, of which any one decides.
    pub(super) fn is_any(self) -> bool {
        matches!(self, Self::AnyArg | Self::AnyEnv | Self::AnyFlaw | Self::Ancestor(_))
    }
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) of: Type,
    pub(super) get: Get,
    /// The kinds of event that can have it.
    pub(super) kinds: EventSet,
    /// It comes from the process's last exec.
    pub(super) image: bool,
    /// Of these it has a value, whether it is told or not, and `flaws` does not say that it is not.
    pub(super) always: EventSet,
}

const fn spec(name: &'static str, aliases: &'static [&'static str], of: Type, get: Get) -> Spec {
    Spec { name, aliases, of, get, kinds: EventSet::ALL, image: false, always: EventSet::NONE }
}

impl Spec {
    const fn on(mut self, kinds: EventSet) -> Self {
        self.kinds = kinds;
        self
    }

    const fn of_image(mut self) -> Self {
        self.image = true;
        self
    }

    const fn always(mut self, kinds: EventSet) -> Self {
        self.always = kinds;
        self
    }

    /// Whether it has a value that no mechanism told.
    pub(super) fn is_untold(&self, event: &Event) -> bool {
        self.always.contains(event.kind.kind())
            && match self.get {
                Get::Number(of) => of(event).is_none(),
                Get::Text(of) => of(event).is_none(),
                Get::Word(of) => of(event).is_none(),
                _ => false,
            }
    }

    /// The name under which `flaws` says why its value is not to be trusted.
    pub(super) fn flaw(&self) -> Option<Field> {
        Some(match self.name.split('.').next().unwrap_or_default() {
            "time" => Field::Time,
            "id" => Field::Id,
            "ppid" => Field::Ppid,
            "parent" | "ancestor" => Field::Parent,
            "name" => Field::Name,
            "old_name" => Field::OldName,
            "path" => Field::Path,
            "exe" | "exe_memfd" | "exe_deleted" | "exe_setuid" | "exe_setgid" | "secure" => Field::Exe,
            "interpreter" => Field::Interpreter,
            "argv" | "arg" | "argc" => Field::Argv,
            "env" => Field::Env,
            "cwd" | "cwd_deleted" => Field::Cwd,
            "uid" | "user" | "euid" | "euser" | "gid" | "group" | "egid" | "egroup" => Field::User,
            "loginuid" | "login_user" | "audit_session" => Field::Login,
            "sid" => Field::Sid,
            "pgid" => Field::Pgid,
            "tty" => Field::Tty,
            "cgroup" | "container" | "unit" => Field::Cgroup,
            "exit_code" | "signal" | "signo" | "core" | "oom" => Field::Status,
            "killer" => Field::Killer,
            "duration" | "duration_ns" => Field::Duration,
            "cpu" | "user_time" | "user_ns" | "system_time" | "system_ns" | "max_rss" | "max_rss_bytes"
            | "read_bytes" | "write_bytes" | "rchar" | "wchar" | "nvcsw" | "nivcsw" | "minflt" | "majflt" => {
                Field::Usage
            }
            _ => return None,
        })
    }
}

const NONE: EventSet = EventSet::NONE;
const EXIT: EventSet = NONE.with(Kind::Exit);
const ENDS: EventSet = EXIT.with(Kind::ThreadExit);
const BEGINNINGS: EventSet = NONE.with(Kind::Fork).with(Kind::Clone);
const ALL: EventSet = EventSet::ALL;
/// What happens to a process in one moment.
const HAPPENINGS: EventSet = ALL.without(Kind::Existing).without(Kind::Lost);
const NANOSECONDS: Type = Type::Span { unit: false };
const SPAN: Type = Type::Span { unit: true };
const SIZE: Type = Type::Size { unit: false };

fn process(event: &Event) -> Option<&Process> {
    event.process.as_deref()
}

fn credentials(event: &Event) -> Option<&Credentials> {
    process(event)?.credentials.as_deref()
}

fn login(event: &Event) -> Option<&Login> {
    credentials(event)?.login.as_ref()
}

fn namespace(event: &Event, of: fn(&Namespaces) -> u32) -> Option<i128> {
    process(event)?.namespaces.as_ref().map(of).filter(|&inode| inode != 0).map(i128::from)
}

fn parent(event: &Event) -> Option<&ProcessRef> {
    process(event)?.parent.as_ref()
}

fn exit(event: &Event) -> Option<&Exit> {
    match &event.kind {
        EventKind::Exit(exit) => Some(exit),
        _ => None,
    }
}

fn usage(event: &Event, of: fn(&Usage) -> Option<u64>) -> Option<i128> {
    exit(event).and_then(|exit| of(&exit.usage)).map(i128::from)
}

fn killer(event: &Event) -> Option<&ProcessRef> {
    exit(event)?.killer.as_ref()
}

fn fork(event: &Event) -> Option<&ForkInfo> {
    match &event.kind {
        EventKind::Fork(fork) | EventKind::Clone(fork) => Some(fork),
        _ => None,
    }
}

fn creator(event: &Event) -> Option<&ProcessRef> {
    fork(event)?.creator.as_ref()
}

fn tracer(event: &Event) -> Option<&ProcessRef> {
    match &event.kind {
        EventKind::Ptrace(change) => change.tracer.as_ref(),
        _ => None,
    }
}

fn status(event: &Event) -> Option<ExitStatus> {
    match &event.kind {
        EventKind::Exit(exit) => Some(exit.status),
        EventKind::ThreadExit(exit) => Some(exit.status),
        _ => None,
    }
}

fn signal(event: &Event) -> Option<i128> {
    match (&event.kind, status(event)) {
        (EventKind::Core(dump), _) => dump.signo.map(Into::into),
        (_, Some(ExitStatus::Signal { signo, .. })) => Some(signo.into()),
        _ => None,
    }
}

fn duration(event: &Event) -> Option<i128> {
    match &event.kind {
        EventKind::Exit(exit) => exit.duration_ns.map(i128::from),
        EventKind::ThreadExit(exit) => exit.duration_ns.map(i128::from),
        _ => None,
    }
}

fn ids(event: &Event, of_users: bool) -> Option<&IdChange> {
    match &event.kind {
        EventKind::Uid(change) if of_users => Some(change),
        EventKind::Gid(change) if !of_users => Some(change),
        _ => None,
    }
}

/// Of a refused exec the arguments tried.
pub(super) fn argv(event: &Event) -> Option<&Argv> {
    match &event.kind {
        EventKind::ExecFailed(failure) => failure.argv.as_deref(),
        _ => process(event)?.argv.as_deref(),
    }
}

/// The flaw of one field; what a refused exec tried is its own, so those of what the process runs say nothing of it.
pub(super) fn flaw(event: &Event, field: Field) -> Option<Flaw> {
    let of_image = matches!(field, Field::Path | Field::Argv | Field::Env | Field::Interpreter);
    let counts = !(of_image && matches!(event.kind, EventKind::ExecFailed(_)));
    event.flaws.get(field).or_else(|| process(event).filter(|_| counts)?.flaws.get(field))
}

fn name_of(of: Option<&ProcessRef>) -> Option<&[u8]> {
    of?.name.as_deref()
}

fn pid_of(of: Option<&ProcessRef>) -> Option<i128> {
    of.map(|of| of.id.pid.into())
}

fn id_of(of: Option<&ProcessRef>) -> Option<ProcessId> {
    of.map(|of| of.id)
}

fn exe_is(event: &Event, traits: ExeTraits) -> Option<bool> {
    process(event).filter(|process| process.exe.is_some()).map(|process| process.exe_traits.contains(traits))
}

/// Every field but `argv[N]`, `env.NAME` and `flaw.NAME`.
pub(super) const FIELDS: &[Spec] = &[
    spec("v", &[], Type::Number, Get::Number(|_| Some(1))),
    spec("seq", &[], Type::Number, Get::Number(|e| Some(e.seq.into()))),
    spec("time", &[], Type::Time, Get::Number(|e| Some(e.time.0.into()))),
    spec("event", &[], Type::Kind, Get::Kind),
    spec("source", &[], Type::Text, Get::Word(|e| Some(e.source.name()))),
    spec("id", &[], Type::Id, Get::Id(|e| Some(process(e)?.id))),
    spec("pid", &[], Type::Number, Get::Number(|e| Some(process(e)?.id.pid.into()))),
    spec("ppid", &["parent_pid"], Type::Number, Get::Number(|e| pid_of(parent(e)))),
    spec("tid", &[], Type::Number, Get::Number(|e| e.tid.map(i128::from))),
    spec("processor", &["psr"], Type::Number, Get::Number(|e| e.processor.map(i128::from)))
        .on(HAPPENINGS)
        .always(HAPPENINGS),
    spec("ns_pid", &[], Type::Number, Get::Number(|e| process(e)?.ns_pid.map(i128::from))).always(ALL),
    spec(
        "name",
        &["comm"],
        Type::Text,
        Get::Text(|e| match &e.kind {
            EventKind::Comm(change) => Some(&change.new),
            _ => process(e)?.name.as_deref(),
        }),
    ),
    spec(
        "old_name",
        &[],
        Type::Text,
        Get::Text(|e| match &e.kind {
            EventKind::Exec(exec) => exec.old_name.as_deref(),
            EventKind::Comm(change) => change.old.as_deref(),
            _ => None,
        }),
    )
    .on(NONE.with(Kind::Exec).with(Kind::Comm)),
    spec(
        "thread_name",
        &[],
        Type::Text,
        Get::Text(|e| match &e.kind {
            EventKind::ThreadExit(exit) => exit.thread_name.as_deref(),
            _ => None,
        }),
    )
    .on(NONE.with(Kind::ThreadExit)),
    spec(
        "path",
        &[],
        Type::Text,
        Get::Text(|e| match &e.kind {
            EventKind::ExecFailed(failure) => failure.path.as_deref(),
            _ => process(e)?.path.as_deref(),
        }),
    )
    .of_image()
    .always(NONE.with(Kind::Exec)),
    spec("exe", &[], Type::Text, Get::Text(|e| process(e)?.exe.as_deref())).of_image(),
    spec("interpreter", &[], Type::Text, Get::Text(|e| process(e)?.interpreter.as_deref())).of_image(),
    spec("exe_memfd", &["memfd"], Type::Truth, Get::Truth(|e| exe_is(e, ExeTraits::MEMFD))).of_image(),
    spec("exe_deleted", &["deleted"], Type::Truth, Get::Truth(|e| exe_is(e, ExeTraits::DELETED))).of_image(),
    spec("exe_setuid", &["setuid"], Type::Truth, Get::Truth(|e| exe_is(e, ExeTraits::SETUID))).of_image(),
    spec("exe_setgid", &["setgid"], Type::Truth, Get::Truth(|e| exe_is(e, ExeTraits::SETGID))).of_image(),
    spec("secure", &[], Type::Truth, Get::Truth(|e| exe_is(e, ExeTraits::SECURE))).of_image(),
    spec("argv", &["command"], Type::Text, Get::Argv).of_image(),
    spec("arg", &[], Type::Text, Get::AnyArg).of_image(),
    spec("argc", &[], Type::Number, Get::Number(|e| argv(e).map(|argv| argv.count() as i128))).of_image(),
    spec("env", &[], Type::Text, Get::AnyEnv).of_image(),
    spec("cwd", &[], Type::Text, Get::Text(|e| process(e)?.cwd.as_deref())).of_image(),
    spec(
        "cwd_deleted",
        &[],
        Type::Truth,
        Get::Truth(|e| process(e).filter(|p| p.cwd.is_some()).map(|process| process.cwd_deleted)),
    )
    .of_image(),
    spec("uid", &[], Type::Number, Get::Number(|e| credentials(e).map(|who| who.uid.into()))),
    spec("user", &[], Type::Owner, Get::Owner(|who| Some((who.user.as_deref(), who.uid)))),
    spec("euid", &[], Type::Number, Get::Number(|e| credentials(e).map(|who| who.euid.into()))),
    spec("euser", &[], Type::Owner, Get::Owner(|who| Some((who.euser.as_deref(), who.euid)))),
    spec("gid", &[], Type::Number, Get::Number(|e| credentials(e).map(|who| who.gid.into()))),
    spec("group", &[], Type::Owner, Get::Owner(|who| Some((who.group.as_deref(), who.gid)))),
    spec("egid", &[], Type::Number, Get::Number(|e| credentials(e).map(|who| who.egid.into()))),
    spec("egroup", &[], Type::Owner, Get::Owner(|who| Some((who.egroup.as_deref(), who.egid)))),
    spec("loginuid", &["auid"], Type::Number, Get::Number(|e| login(e).map(|login| login.uid.into()))),
    spec(
        "login_user",
        &[],
        Type::Owner,
        Get::Owner(|who| who.login.as_ref().map(|login| (login.user.as_deref(), login.uid))),
    ),
    spec("audit_session", &["ses"], Type::Number, Get::Number(|e| login(e)?.session.map(i128::from))),
    spec("old_uid", &[], Type::Number, Get::Number(|e| ids(e, true)?.old_real.map(i128::from)))
        .on(NONE.with(Kind::Uid)),
    spec("old_euid", &[], Type::Number, Get::Number(|e| ids(e, true)?.old_effective.map(i128::from)))
        .on(NONE.with(Kind::Uid)),
    spec("old_gid", &[], Type::Number, Get::Number(|e| ids(e, false)?.old_real.map(i128::from)))
        .on(NONE.with(Kind::Gid)),
    spec("old_egid", &[], Type::Number, Get::Number(|e| ids(e, false)?.old_effective.map(i128::from)))
        .on(NONE.with(Kind::Gid)),
    spec("sid", &[], Type::Number, Get::Number(|e| process(e)?.sid.map(i128::from))).always(ALL),
    spec("pgid", &[], Type::Number, Get::Number(|e| process(e)?.pgid.map(i128::from))).always(ALL),
    spec("tty", &[], Type::Text, Get::Tty),
    spec("cgroup", &[], Type::Text, Get::Text(|e| process(e)?.cgroup.as_deref().map(str::as_bytes))),
    spec("container", &[], Type::Text, Get::Text(|e| process(e)?.container.as_deref().map(str::as_bytes))),
    spec("unit", &[], Type::Text, Get::Text(|e| process(e)?.unit.as_deref().map(str::as_bytes))),
    spec("namespaces", &["ns"], Type::Presence, Get::Has(|e| process(e).is_some_and(|p| p.namespaces.is_some()))),
    spec("namespaces.mnt", &["ns.mnt"], Type::Number, Get::Number(|e| namespace(e, |of| of.mnt))).always(ALL),
    spec("namespaces.pid", &["ns.pid"], Type::Number, Get::Number(|e| namespace(e, |of| of.pid))).always(ALL),
    spec("namespaces.net", &["ns.net"], Type::Number, Get::Number(|e| namespace(e, |of| of.net))).always(ALL),
    spec("namespaces.uts", &["ns.uts"], Type::Number, Get::Number(|e| namespace(e, |of| of.uts))).always(ALL),
    spec("namespaces.ipc", &["ns.ipc"], Type::Number, Get::Number(|e| namespace(e, |of| of.ipc))).always(ALL),
    spec("namespaces.user", &["ns.user"], Type::Number, Get::Number(|e| namespace(e, |of| of.user))).always(ALL),
    spec("namespaces.cgroup", &["ns.cgroup"], Type::Number, Get::Number(|e| namespace(e, |of| of.cgroup))).always(ALL),
    spec("namespaces.time", &["ns.time"], Type::Number, Get::Number(|e| namespace(e, |of| of.time))).always(ALL),
    spec("parent", &[], Type::Presence, Get::Has(|e| parent(e).is_some())),
    spec("parent.pid", &[], Type::Number, Get::Number(|e| pid_of(parent(e)))),
    spec("parent.name", &["parent_name"], Type::Text, Get::Text(|e| name_of(parent(e)))),
    spec("parent.id", &["parent_id"], Type::Id, Get::Id(|e| id_of(parent(e)))),
    spec("ancestor.pid", &[], Type::Number, Get::Ancestor(OfAncestor::Pid)),
    spec("ancestor.name", &[], Type::Text, Get::Ancestor(OfAncestor::Name)),
    spec("ancestor.exe", &[], Type::Text, Get::Ancestor(OfAncestor::Exe)),
    spec("ancestor.id", &[], Type::Id, Get::Ancestor(OfAncestor::Id)),
    spec(
        "call",
        &[],
        Type::Word(&["fork", "vfork", "clone", "clone3"]),
        Get::Word(|e| fork(e)?.call.map(|call| call.name())),
    )
    .on(BEGINNINGS)
    .always(BEGINNINGS),
    spec("flags", &[], Type::Number, Get::Number(|e| fork(e).and_then(|fork| fork.flags).map(Into::into)))
        .on(BEGINNINGS)
        .always(BEGINNINGS),
    spec("creator", &[], Type::Presence, Get::Has(|e| creator(e).is_some())).on(BEGINNINGS),
    spec("creator.pid", &["creator_pid"], Type::Number, Get::Number(|e| pid_of(creator(e)))).on(BEGINNINGS),
    spec("creator.tid", &["creator_tid"], Type::Number, Get::Number(|e| fork(e)?.creator_tid.map(i128::from)))
        .on(BEGINNINGS),
    spec("creator.name", &[], Type::Text, Get::Text(|e| name_of(creator(e)))).on(BEGINNINGS),
    spec("creator.id", &[], Type::Id, Get::Id(|e| id_of(creator(e)))).on(BEGINNINGS),
    spec(
        "old_tid",
        &[],
        Type::Number,
        Get::Number(|e| match &e.kind {
            EventKind::Exec(exec) => exec.old_tid.map(i128::from),
            _ => None,
        }),
    )
    .on(NONE.with(Kind::Exec)),
    spec(
        "dirfd",
        &[],
        Type::Number,
        Get::Number(|e| match &e.kind {
            EventKind::ExecFailed(failure) => failure.dirfd.map(i128::from),
            _ => None,
        }),
    )
    .on(NONE.with(Kind::ExecFailed)),
    spec(
        "errno",
        &[],
        Type::Errno,
        Get::Number(|e| match &e.kind {
            EventKind::ExecFailed(failure) => Some(failure.errno.into()),
            _ => None,
        }),
    )
    .on(NONE.with(Kind::ExecFailed)),
    spec(
        "exit_code",
        &["exit"],
        Type::Number,
        Get::Number(|e| match status(e) {
            Some(ExitStatus::Code(code)) => Some(code.into()),
            _ => None,
        }),
    )
    .on(ENDS),
    spec("signal", &[], Type::Signal, Get::Number(signal)).on(ENDS.with(Kind::Core)),
    spec("signo", &[], Type::Number, Get::Number(signal)).on(ENDS.with(Kind::Core)),
    spec(
        "core",
        &[],
        Type::Truth,
        Get::Truth(|e| match status(e) {
            Some(ExitStatus::Signal { core, .. }) => Some(core),
            _ => None,
        }),
    )
    .on(ENDS),
    spec("oom", &[], Type::Truth, Get::Truth(|e| exit(e).map(|exit| exit.oom))).on(EXIT),
    spec("killer", &[], Type::Presence, Get::Has(|e| killer(e).is_some())).on(EXIT),
    spec("killer.pid", &["killer_pid"], Type::Number, Get::Number(|e| pid_of(killer(e)))).on(EXIT),
    spec("killer.name", &["killer_name"], Type::Text, Get::Text(|e| name_of(killer(e)))).on(EXIT),
    spec("killer.id", &[], Type::Id, Get::Id(|e| id_of(killer(e)))).on(EXIT),
    spec("duration", &[], SPAN, Get::Number(duration)).on(ENDS),
    spec("duration_ns", &[], NANOSECONDS, Get::Number(duration)).on(ENDS),
    spec(
        "cpu",
        &["cpu_time"],
        SPAN,
        Get::Number(|e| Some(usage(e, |of| of.user_ns)?.saturating_add(usage(e, |of| of.system_ns)?))),
    )
    .on(EXIT),
    spec("user_time", &[], SPAN, Get::Number(|e| usage(e, |of| of.user_ns))).on(EXIT),
    spec("user_ns", &[], NANOSECONDS, Get::Number(|e| usage(e, |of| of.user_ns))).on(EXIT),
    spec("system_time", &[], SPAN, Get::Number(|e| usage(e, |of| of.system_ns))).on(EXIT),
    spec("system_ns", &[], NANOSECONDS, Get::Number(|e| usage(e, |of| of.system_ns))).on(EXIT),
    spec("max_rss", &["rss"], Type::Size { unit: true }, Get::Number(|e| usage(e, |of| of.max_rss_bytes))).on(EXIT),
    spec("max_rss_bytes", &[], SIZE, Get::Number(|e| usage(e, |of| of.max_rss_bytes))).on(EXIT),
    spec("read_bytes", &[], SIZE, Get::Number(|e| usage(e, |of| of.read_bytes))).on(EXIT),
    spec("write_bytes", &[], SIZE, Get::Number(|e| usage(e, |of| of.write_bytes))).on(EXIT),
    spec("rchar", &[], SIZE, Get::Number(|e| usage(e, |of| of.rchar))).on(EXIT),
    spec("wchar", &[], SIZE, Get::Number(|e| usage(e, |of| of.wchar))).on(EXIT),
    spec("nvcsw", &[], Type::Number, Get::Number(|e| usage(e, |of| of.nvcsw))).on(EXIT),
    spec("nivcsw", &[], Type::Number, Get::Number(|e| usage(e, |of| of.nivcsw))).on(EXIT),
    spec("minflt", &[], Type::Number, Get::Number(|e| usage(e, |of| of.minflt))).on(EXIT),
    spec("majflt", &[], Type::Number, Get::Number(|e| usage(e, |of| of.majflt))).on(EXIT),
    spec(
        "ptrace",
        &[],
        Type::Word(&["attach", "detach"]),
        Get::Word(|e| match &e.kind {
            EventKind::Ptrace(change) => Some(if change.attach { "attach" } else { "detach" }),
            _ => None,
        }),
    )
    .on(NONE.with(Kind::Ptrace)),
    spec("tracer", &[], Type::Presence, Get::Has(|e| tracer(e).is_some())).on(NONE.with(Kind::Ptrace)),
    spec("tracer.pid", &["tracer_pid"], Type::Number, Get::Number(|e| pid_of(tracer(e)))).on(NONE.with(Kind::Ptrace)),
    spec("tracer.name", &["tracer_name"], Type::Text, Get::Text(|e| name_of(tracer(e)))).on(NONE.with(Kind::Ptrace)),
    spec("tracer.id", &[], Type::Id, Get::Id(|e| id_of(tracer(e)))).on(NONE.with(Kind::Ptrace)),
    spec(
        "count",
        &["lost"],
        Type::Number,
        Get::Number(|e| match &e.kind {
            EventKind::Lost(lost) => Some(lost.total().into()),
            _ => None,
        }),
    )
    .on(NONE),
    spec("flaws", &["flaw"], Type::Word(FLAWS), Get::AnyFlaw),
];

/// The words for why a field is not to be trusted.
pub(super) const FLAWS: &[&str] =
    &["truncated", "unreadable", "read-late", "not-observed", "after-loss", "inherited", "estimated"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_stands_for_two_fields() {
        let names = FIELDS.iter().flat_map(|spec| std::iter::once(&spec.name).chain(spec.aliases));
        let all: Vec<&str> = names.copied().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn flaws_are_words() {
        use Flaw::{AfterLoss, Estimated, Inherited, NotObserved, ReadLate, Truncated, Unreadable};
        let all = [Truncated, Unreadable, ReadLate, NotObserved, AfterLoss, Inherited, Estimated];
        assert_eq!(all.map(Flaw::name), FLAWS);
    }
}
