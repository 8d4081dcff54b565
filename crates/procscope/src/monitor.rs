use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::launch::{Held, Kin, RunningCommand};
use crate::pipeline::{Outlet, Pipeline};
use crate::plan::{self, Explanation};
use crate::source::stop::Stop;
use crate::source::table::{self, Opened};
use crate::source::{Attached, Source};
use crate::sys::{self, Names, Numeric, UserDatabase};
use crate::{
    EnvWanted, Error, EventSet, Feed, FeedError, Filter, Kind, Pid, Session, Sink, SourceId, StopHandle, Summary, Want,
};

/// Builds a [`Monitor`].
#[derive(Clone, Debug, Default)]
pub struct MonitorBuilder {
    want: Want,
    source: Option<SourceId>,
}

impl MonitorBuilder {
    /// The request so far.
    pub fn want(&self) -> &Want {
        &self.want
    }

    /// Uses only this mechanism; the default is the best that works here.
    #[must_use]
    pub fn source(mut self, source: SourceId) -> Self {
        self.source = Some(source);
        self
    }

    /// Requests these kinds of event.
    #[must_use]
    pub fn events(mut self, events: EventSet) -> Self {
        self.want.events = events;
        self
    }

    /// Chooses a process; call it again for another. If the pid is in use when this is built, it
    /// means that process, and no later one with the pid. If not, it means every process that gets
    /// the pid.
    #[must_use]
    pub fn pid(mut self, pid: Pid) -> Self {
        self.want.pids.push(pid);
        self
    }

    /// Chooses a process and all its descendants.
    #[must_use]
    pub fn tree(mut self, pid: Pid) -> Self {
        self.want.trees.push(pid);
        self
    }

    /// Chooses processes by comm.
    #[must_use]
    pub fn name(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.want.names.push(name.into());
        self
    }

    /// Chooses processes by real user id.
    #[must_use]
    pub fn uid(mut self, uid: u32) -> Self {
        self.want.uids.push(uid);
        self
    }

    /// Chooses the processes in a cgroup and below.
    #[must_use]
    pub fn cgroup(mut self, path: impl Into<PathBuf>) -> Self {
        self.want.cgroups.push(path.into());
        self
    }

    /// Chooses the processes in the containers whose ids begin with this.
    #[must_use]
    pub fn container(mut self, id: impl Into<String>) -> Self {
        self.want.containers.push(id.into());
        self
    }

    /// Passes only the events that match a filter. The mechanism decides what it can of it.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.want.filter = Some(filter);
        self
    }

    /// Requests environments.
    #[must_use]
    pub fn env(mut self, env: EnvWanted) -> Self {
        self.want.env = env;
        self
    }

    /// Whether to look up the names of users and groups, which is the default.
    ///
    /// The system may read files or ask a directory on the network for them: a look-up can be slow,
    /// and happens on the thread that runs the monitor, once a minute for each number. Without them
    /// [`Credentials`](crate::Credentials) have only numbers; everything else comes from the kernel
    /// with the event.
    #[must_use]
    pub fn user_names(mut self, look_up: bool) -> Self {
        self.want.user_names = look_up;
        self
    }

    /// Sets the size of the kernel's buffer, bytes; the default depends on the mechanism.
    #[must_use]
    pub fn ring_bytes(mut self, bytes: usize) -> Self {
        self.want.ring_bytes = Some(bytes);
        self
    }

    /// Stops by itself after this time.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.want.duration = Some(duration);
        self
    }

    /// Runs a command, and chooses it and all its descendants, however they are reparented.
    ///
    /// It is found as a shell finds it, has the caller's environment, directory and open files, and
    /// is held back until the mechanism is attached and [`Monitor::run`] begins. Events before it
    /// becomes the command are not reported.
    ///
    /// The run ends when the command has ended. If it is stopped before that, no more events come,
    /// but it waits for the command; [`RunningCommand::signal`] ends that.
    #[must_use]
    pub fn command(mut self, argv: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        self.want.launch.get_or_insert_default().argv = Some(argv);
        self
    }

    /// The same for a command of the standard library, as far as that shows what it is: its program,
    /// arguments, changed variables and working directory. Its standard input and outputs, user and
    /// group, and whether it clears the environment, cannot be read, so the command has the caller's.
    /// What it does before its exec is left out.
    ///
    /// ```no_run
    /// use std::process::Command;
    ///
    /// # fn main() -> Result<(), procscope::Error> {
    /// let mut make = Command::new("make");
    /// make.arg("-j2").current_dir("/usr/src/linux").env_remove("CC");
    /// let mut events = procscope::Monitor::builder().std_command(&make).build()?.events();
    /// for event in events.by_ref() {
    ///     println!("{}", event?.kind.kind());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn std_command(mut self, command: &std::process::Command) -> Self {
        let owned = |text: &OsStr| text.to_owned();
        let launch = self.want.launch.get_or_insert_default();
        launch.argv = Some([command.get_program()].into_iter().chain(command.get_args()).map(owned).collect());
        launch.env = command.get_envs().map(|(name, value)| (name.to_owned(), value.map(owned))).collect();
        launch.dir = command.get_current_dir().map(Into::into);
        self
    }

    /// With a command: whether to continue until its last descendant has ended, too.
    #[must_use]
    pub fn wait_all(mut self, all: bool) -> Self {
        self.want.launch.get_or_insert_default().wait_all = all;
        self
    }

    /// With a command: promises that this program starts no other process while the monitor runs. A
    /// child of this process is then one of the command's, made with CLONE_PARENT, even if the
    /// mechanism reports only parents. Without the promise such a child is counted as lost.
    #[must_use]
    pub fn sole_command(mut self, sole: bool) -> Self {
        self.want.launch.get_or_insert_default().sole = sole;
        self
    }

    /// What the filter would make the mechanism do. Attaches nothing, and needs no privilege.
    ///
    /// # Errors
    /// [`Error::NoMechanism`] if this build has none.
    pub fn explain(&self) -> Result<Explanation, Error> {
        table::explain(self.source, &plan::of_this_system(plan::with_environment(self.want.clone())))
    }

    /// Attaches to the system: from its return on, events are buffered.
    ///
    /// Only this needs rights. The library keeps them all. A program that wants to run with less
    /// gives up everything that [`Session::rights`] does not name, after this has returned.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the mechanism does not work here, [`Error::NoSourceWorks`] if none
    /// does, [`Error::NoMechanism`] if there is none, [`Error::Choice`] if a choice names something
    /// that does not exist, [`Error::Command`] if a command is not found.
    pub fn build(mut self) -> Result<Monitor, Error> {
        self.want = plan::of_this_system(plan::with_environment(self.want));
        let launch = self.want.launch.clone().filter(|launch| launch.argv.is_some());
        let mut command = None;
        if let Some(launch) = launch {
            let held = Arc::new(Held::start(&launch)?);
            self.want.trees.push(held.pid());
            self.want.held = Some(Arc::clone(&held));
            // It runs already, but not as the program that it will become.
            let others = self.want.events.iter().filter(|&kind| kind != Kind::Existing);
            self.want.events = others.fold(EventSet::NONE, EventSet::with);
            let kin = launch.wait_all.then(|| Kin::of(held.pid(), held.home()));
            command = Some(Commanded { held, kin, samples: false });
        }
        let id_maps = sys::id_maps();
        if let Some(maps) = &id_maps {
            // They are chosen by the numbers of this namespace; a number without a counterpart
            // outside belongs to no user there.
            self.want.uids.iter_mut().for_each(|uid| *uid = maps.users.outside(*uid).unwrap_or(u32::MAX));
        }
        let fail = |error| Error::System { what: "making an event descriptor", error };
        let stop = StopHandle::default();
        let wake = Stop::new(stop.clone()).map_err(fail)?;
        // Before anything is attached: a process that gets one of these pids from here on is not
        // meant.
        let pins: Vec<_> = self.want.pids.iter().filter_map(|&pid| Some((pid, sys::start_of(pid)?))).collect();
        let Opened { id, capabilities, attached } = table::open(self.source, &self.want)?;
        let Attached { since, notes, unavailable, rights, left, source, .. } = attached;
        let names: Box<dyn Names> =
            if self.want.user_names { Box::new(UserDatabase::new()) } else { Box::new(Numeric) };
        let mut pipeline = Pipeline::new(id, &self.want, names, sys::page_bytes());
        pipeline.set_boot_id(sys::boot_id());
        // The kernel's own records have the initial namespace's ids.
        if id != SourceId::Ebpf {
            pipeline.translate_ids(id_maps);
        }
        // In a pid namespace eBPF has the pids of the initial one, and /proc does not.
        if id != SourceId::Ebpf || sys::in_initial_pid_namespace() {
            pipeline.pin(pins);
        }
        if let Some(command) = &mut command {
            command.samples = !capabilities.counts_loss;
            command.kin.iter().for_each(|kin| pipeline.follow(kin.clone()));
        }
        if left.processes {
            pipeline.choose(&self.want);
        }
        pipeline.filter_cgroup_paths(left.cgroup_paths);
        let mut session = Session::new(sys::boot_id(), id);
        session.host = sys::host_name();
        session.capabilities = capabilities;
        session.attached = since;
        session.events = match &self.want.filter {
            Some(filter) => self.want.events.intersection(filter.events()),
            None => self.want.events,
        };
        session.unavailable = unavailable;
        session.notes = notes;
        session.rights = rights;
        Ok(Monitor { session, stop, wake, source, pipeline, duration: self.want.duration, command })
    }
}

/// A running mechanism.
pub struct Monitor {
    session: Session,
    stop: StopHandle,
    wake: Stop,
    source: Box<dyn Source>,
    pipeline: Pipeline,
    duration: Option<Duration>,
    command: Option<Commanded>,
}

/// The command of a monitor.
struct Commanded {
    held: Arc<Held>,
    /// Those to wait for, besides the command itself.
    kin: Option<Kin>,
    /// The mechanism looks for processes: it may find a descendant only after its maker has ended.
    samples: bool,
}

/// A mechanism that looks has looked in this time, unless the machine is too busy for that.
const A_LOOK: Duration = Duration::from_millis(100);
/// How often to check that descendants live.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How often to check whether the end of the last one was reported.
const LAST_EVERY: Duration = Duration::from_millis(10);

impl Commanded {
    /// Releases the command, and stops the monitor when all is over.
    fn begin(&self, stop: StopHandle) -> Result<thread::JoinHandle<Result<(), Error>>, Error> {
        let (held, kin, samples) = (Arc::clone(&self.held), self.kin.clone(), self.samples);
        let wait = move || {
            held.open_gate();
            let became = held.became();
            held.wait();
            if let (Some(kin), Ok(())) = (kin, &became) {
                wait_for_all(&kin, if samples { A_LOOK } else { Duration::ZERO }, &stop);
            }
            stop.stop();
            became
        };
        let spawned = thread::Builder::new().name("ps-command".to_owned()).spawn(wait);
        spawned.map_err(|error| Error::System { what: "starting a thread", error })
    }
}

/// Waits until no descendant has been there for this long.
fn wait_for_all(kin: &Kin, quiet: Duration, stop: &StopHandle) {
    let mut checked = Instant::now();
    let mut seen = Instant::now();
    while !stop.is_stopped() {
        if !kin.is_empty() {
            seen = Instant::now();
        } else if seen.elapsed() >= quiet {
            return;
        }
        thread::sleep(LAST_EVERY);
        if checked.elapsed() > CHECK_EVERY {
            checked = Instant::now();
            kin.check(sys::start_of);
        }
    }
}

impl Monitor {
    /// Begins to build one.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::default()
    }

    /// What is the same for all its events.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// A handle by which any thread, or a signal handler, ends the run.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// The command that it runs, if any; until [`Monitor::run`] it is held back.
    pub fn command(&self) -> Option<RunningCommand> {
        self.command.as_ref().map(|command| command.held.command())
    }

    /// Passes events to the sink until stopped, then those that are still buffered.
    ///
    /// # Errors
    /// [`Error::Sink`] with the sink's own error, [`Error::Source`] if the mechanism breaks,
    /// [`Error::Command`] if the command cannot be run.
    pub fn run(mut self, sink: &mut dyn Sink) -> Result<Summary, Error> {
        let began = Instant::now();
        sink.begin(&self.session).map_err(Error::Sink)?;
        let timer = self.duration.map(|duration| Timer::start(duration, self.stop.clone())).transpose();
        let timer = timer.map_err(|error| Error::System { what: "starting a thread", error })?;
        let waits = self.command.as_ref().filter(|_| self.session.source != SourceId::Ptrace);
        let waiting = waits.map(|command| command.begin(self.stop.clone())).transpose()?;
        let mut out = Outlet::new(self.pipeline, sink);
        let result = self.source.run(&mut out, &self.wake);
        drop(timer);
        // Releases the system, because the command may live on.
        drop(self.source);
        let became = waiting.map_or(Ok(()), |thread| thread.join().unwrap_or(Ok(())));
        let elapsed_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut summary = out.finish(elapsed_ns, self.stop.stopped()).map_err(Error::Sink)?;
        summary.command = self.command.and_then(|command| command.held.command().status());
        became.and(result).map(|()| summary)
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = self.command();
        f.debug_struct("Monitor")
            .field("session", &self.session)
            .field("stop", &self.stop)
            .field("duration", &self.duration)
            .field("command", &command)
            .finish_non_exhaustive()
    }
}

impl Feed for Monitor {
    fn session(&self) -> &Session {
        &self.session
    }

    fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    fn run(self: Box<Self>, sink: &mut dyn Sink) -> Result<Summary, FeedError> {
        Monitor::run(*self, sink).map_err(|error| match error {
            Error::Sink(error) => FeedError::Sink(error),
            error => FeedError::Source(Box::new(error)),
        })
    }
}

/// Stops a run after a while, unless dropped before.
struct Timer {
    cancel: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Timer {
    fn start(duration: Duration, stop: StopHandle) -> io::Result<Self> {
        let (cancel, cancelled) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("ps-timer".to_owned()).spawn(move || {
            if cancelled.recv_timeout(duration) == Err(mpsc::RecvTimeoutError::Timeout) {
                stop.stop();
            }
        })?;
        Ok(Self { cancel: Some(cancel), thread: Some(thread) })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        drop(self.cancel.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
