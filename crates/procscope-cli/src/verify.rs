//! A second mechanism beside the first, and the events that only one of them reported.

mod findings;

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use jiff::tz::TimeZone;
use procscope::{
    Error, Event, EventSet, Field, Monitor, Pid, Reconciler, Session, Side, Sink, SourceId, StopHandle, Summary,
    Timestamp, Verdict, Verification,
};

use crate::args::Options;
use crate::failure::Failure;
use findings::Findings;
pub(crate) use findings::kinds;

/// The second mechanism, attached.
pub(crate) struct Second {
    monitor: Monitor,
    proof: Arc<Mutex<Proof>>,
}

/// Attaches the mechanism to compare with the first. `tree` is the running command.
pub(crate) fn open(options: &Options, first: &Session, tree: Option<Pid>) -> Result<Option<Second>, Failure> {
    let Some(asked) = options.verify else { return Ok(None) };
    let with = |source: SourceId| {
        let builder = Monitor::builder().source(source).events(options.events).user_names(false);
        let builder = options.pids.iter().fold(builder, |builder, &pid| builder.pid(pid));
        options.trees.iter().copied().chain(tree).fold(builder, |builder, pid| builder.tree(pid)).build()
    };
    let monitor = match asked.0 {
        Some(source) if source == first.source => return Err(itself(source)),
        Some(source) => with(source)?,
        None => best_other(first.source, with)?,
    };
    let reconciler = Reconciler::new(first, monitor.session());
    if reconciler.kinds() == EventSet::NONE {
        return Err(Failure {
            what: format!("{} cannot verify {}", monitor.session().source.name(), first.source.name()),
            cause: "there is no requested kind of event that both report alike".to_owned(),
            help: "ask for some of fork, clone, exec, exit, thread-exit, comm and sid, such as -e \
                exec,exit"
                .to_owned(),
        });
    }
    let choice = Choice::of(options, [first.source, monitor.session().source]);
    let names = [first.source, monitor.session().source];
    let findings = Findings::new(names, TimeZone::system());
    let proof = Proof { reconciler, findings, choice, quiet: options.quiet };
    Ok(Some(Second { monitor, proof: Arc::new(Mutex::new(proof)) }))
}

/// A choice of the first that the second does not make.
enum Choice {
    Everybody,
    /// Both know it equally, at the same moment.
    Alike {
        names: Vec<Vec<u8>>,
        uids: Vec<u32>,
        containers: Vec<String>,
    },
    /// The second may not know it; the reason, in words.
    Apart(String),
}

/// A comm has this many bytes.
const COMM_BYTES: usize = 15;

impl Choice {
    fn of(options: &Options, sources: [SourceId; 2]) -> Self {
        let by = [
            ("a filter", options.filter.is_some(), None),
            ("a cgroup", !options.cgroups.is_empty(), None),
            ("names", !options.names.is_empty(), Some(Field::Name)),
            ("users", !options.uids.is_empty(), Some(Field::User)),
            ("containers", !options.containers.is_empty(), Some(Field::Cgroup)),
        ];
        if by.iter().all(|(_, asked, _)| !asked) {
            return Self::Everybody;
        }
        let infos = procscope::sources();
        let knows = |source: SourceId, field: Field| {
            infos.iter().any(|info| info.id == source && info.capabilities.exact.contains(&field))
        };
        for (what, _, field) in by.into_iter().filter(|(_, asked, _)| *asked) {
            let Some(field) = field else {
                return Self::Apart(format!("with {what}, which the second mechanism does not have"));
            };
            if let Some(source) = sources.into_iter().find(|&source| !knows(source, field)) {
                return Self::Apart(format!(
                    "with a choice of {what}, which {} learns late, if at \
                    all",
                    source.name()
                ));
            }
        }
        let cut = |name: &Vec<u8>| name[..name.len().min(COMM_BYTES)].to_vec();
        Self::Alike {
            names: options.names.iter().map(cut).collect(),
            uids: options.uids.clone(),
            containers: options.containers.clone(),
        }
    }

    /// Whether the first has to report the second's event, too.
    fn takes(&self, event: &Event) -> bool {
        let Self::Alike { names, uids, containers } = self else { return matches!(self, Self::Everybody) };
        let Some(process) = &event.process else { return false };
        let sure = |field| process.flaws.get(field).is_none();
        let named = |name: &[u8]| names.iter().any(|wanted| wanted == name);
        let within = |id: &str| containers.iter().any(|wanted| id.starts_with(wanted.as_str()));
        (names.is_empty() || sure(Field::Name) && process.name.as_deref().is_some_and(named))
            && (uids.is_empty()
                || sure(Field::User) && process.credentials.as_ref().is_some_and(|who| uids.contains(&who.uid)))
            && (containers.is_empty() || sure(Field::Cgroup) && process.container.as_deref().is_some_and(within))
    }
}

fn itself(source: SourceId) -> Failure {
    let name = source.name();
    Failure {
        what: format!("{name} cannot verify itself"),
        cause: format!("the events come from {name} already"),
        help: "name another mechanism, or none: --verify; procscope sources lists them".to_owned(),
    }
}

fn best_other(first: SourceId, with: impl Fn(SourceId) -> Result<Monitor, Error>) -> Result<Monitor, Failure> {
    let mut why = None;
    for info in procscope::sources() {
        if info.id == first || info.command_only || matches!(info.verdict, Verdict::Unavailable(_)) {
            continue;
        }
        match with(info.id) {
            Ok(monitor) => return Ok(monitor),
            Err(error) => _ = why.get_or_insert(Failure::from(error)),
        }
    }
    Err(Failure {
        what: format!("there is nothing to verify {} by", first.name()),
        cause: why.map_or("no other mechanism works here".to_owned(), |why| why.cause),
        help: "procscope sources lists what each mechanism needs".to_owned(),
    })
}

impl Second {
    pub(crate) fn session(&self) -> &Session {
        self.monitor.session()
    }

    /// The first lines about it.
    pub(crate) fn notes(&self) -> Vec<String> {
        let name = self.session().source.name();
        let proof = lock(&self.proof);
        let kinds = kinds(proof.reconciler.kinds());
        let mut notes = vec![match &proof.choice {
            Choice::Apart(why) => {
                format!("verified by {name}: {kinds} events; {why}, only that every reported event happened")
            }
            _ => format!("verified by {name}: {kinds} events"),
        }];
        notes.extend(crate::program::notes(self.session()).into_iter().map(|note| format!("{name}: {note}")));
        notes
    }

    /// Runs it on a thread of its own.
    pub(crate) fn start(self) -> io::Result<Verifying> {
        let stop = self.monitor.stop_handle();
        let proof = Arc::clone(&self.proof);
        let mut sink = SecondSink(Arc::clone(&proof));
        let monitor = self.monitor;
        let run = move || {
            monitor.run(&mut sink).inspect_err(|error| {
                eprint_line(&format!(
                    "procscope: verification stopped: \
                {error}\n"
                ))
            })
        };
        let thread = thread::Builder::new().name("ps-verify".to_owned()).spawn(run)?;
        Ok(Verifying { stop, proof, thread })
    }
}

/// The second mechanism at work.
pub(crate) struct Verifying {
    stop: StopHandle,
    proof: Arc<Mutex<Proof>>,
    thread: JoinHandle<Result<Summary, Error>>,
}

impl Verifying {
    /// The sink of the first mechanism's events.
    pub(crate) fn first(&self) -> First {
        First(Arc::clone(&self.proof))
    }

    /// Ends it; the first has reported everything up to this moment.
    pub(crate) fn end(self, until: Option<Timestamp>) -> Result<Proven, Error> {
        self.stop.stop();
        let summary = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let mut proof = lock(&self.proof);
        proof.reconciler.end(Side::First, until.unwrap_or(summary.until));
        proof.reconciler.end(Side::Second, summary.until);
        let verification = proof.reconciler.finish();
        proof.say(true);
        let text = proof.findings.text(&verification, proof.reconciler.kinds());
        Ok(Proven { verification, text })
    }
}

/// The result.
pub(crate) struct Proven {
    pub(crate) verification: Verification,
    /// For people.
    pub(crate) text: String,
}

/// The first mechanism's side.
pub(crate) struct First(Arc<Mutex<Proof>>);

impl First {
    pub(crate) fn event(&self, event: &Event) {
        tell(&self.0, Side::First, event);
    }
}

/// The second's, whose events go nowhere else.
struct SecondSink(Arc<Mutex<Proof>>);

impl Sink for SecondSink {
    fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
        tell(&self.0, Side::Second, event);
        Ok(ControlFlow::Continue(()))
    }
}

fn lock(proof: &Mutex<Proof>) -> MutexGuard<'_, Proof> {
    proof.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(proof: &Mutex<Proof>, side: Side, event: &Event) {
    let mut proof = lock(proof);
    if side == Side::Second && !proof.choice.takes(event) {
        proof.reconciler.add_optional(side, event);
    } else {
        proof.reconciler.add(side, event);
    }
    proof.say(false);
}

/// The present state.
struct Proof {
    reconciler: Reconciler,
    findings: Findings,
    choice: Choice,
    quiet: bool,
}

impl Proof {
    /// Prints the findings since the last call.
    fn say(&mut self, last: bool) {
        let found = std::iter::from_fn(|| self.reconciler.take());
        let text = self.findings.lines(found, last);
        if !text.is_empty() && !self.quiet {
            eprint_line(&text);
        }
    }
}

/// A closed stderr must not end the program.
fn eprint_line(text: &str) {
    let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
}
