//! The originals' errors in a storm, and their causes: each cause is a text that follows from the
//! truth and from how the tool works, so a line with any other text is explained by none.

pub(super) mod execsnoop;
pub(super) mod extrace;
pub(super) mod forkstat;

use std::collections::{BTreeMap, HashMap};

use procscope_tests::truth::{Bytes, Life, Line};

use super::*;

/// A tool's output until it was stopped.
pub(super) struct Printed {
    pub(super) out: Vec<u8>,
    pub(super) err: String,
    /// How many messages did not fit into its socket.
    drops: u64,
}

impl Printed {
    pub(super) fn by(tool: Tool) -> Self {
        let drops = netlink_drops(tool.child.id());
        let (out, err) = tool.stop_told();
        Self { out, err, drops }
    }

    /// How many events of a BPF tool found no place: `Lost 3 events on CPU #1!`, which may also
    /// come in the middle of a line.
    fn lost(&self) -> u64 {
        let text = format!("{}{}", self.err, String::from_utf8_lossy(&self.out)).to_lowercase();
        let counts = text.match_indices("lost ").map(|(at, word)| &text[at + word.len()..]);
        counts.filter_map(|rest| rest.split_once(" events")?.0.parse::<u64>().ok()).sum()
    }
}

/// Makes an event on each CPU: earlier losses on it are reported with the next event.
pub(super) fn one_more_on_each_cpu() {
    for cpu in 0..std::thread::available_parallelism().expect("there are CPUs").get() {
        let status = quiet("taskset", ["-c", &cpu.to_string(), "true"]).status().expect("taskset can be run");
        assert!(status.success());
    }
}

/// The column Drops of the socket with the tool's pid.
fn netlink_drops(pid: u32) -> u64 {
    const NETLINK_CONNECTOR: &str = "11";
    let table = fs::read_to_string("/proc/net/netlink").expect("the kernel lists its sockets");
    let of_tool = |line: &str| {
        let fields = words(line);
        (fields.get(1) == Some(&NETLINK_CONNECTOR) && fields.get(2) == Some(&&*pid.to_string()))
            .then(|| fields[8].parse::<u64>().ok())?
    };
    table.lines().filter_map(of_tool).sum()
}

/// Lines of an original, sorted by their errors.
pub(super) struct Faults {
    name: &'static str,
    right: usize,
    causes: BTreeMap<String, usize>,
    unexplained: Vec<String>,
    missing: Vec<String>,
}

impl Faults {
    pub(super) fn of(name: &'static str) -> Self {
        Self { name, right: 0, causes: BTreeMap::new(), unexplained: Vec::new(), missing: Vec::new() }
    }

    fn right(&mut self) {
        self.right += 1;
    }

    fn explained(&mut self, cause: &str) {
        *self.causes.entry(cause.to_owned()).or_default() += 1;
    }

    /// A line whose cause is one of these texts: it has to equal one of them to the last byte.
    fn line(&mut self, what: &str, said: &[u8], right: &[u8], causes: &[(&str, Vec<u8>)]) {
        if said == right {
            return self.right();
        }
        match causes.iter().find(|(_, text)| text == said) {
            Some((cause, _)) => self.explained(cause),
            None => {
                self.unexplained.push(format!("{what}\nsays  {}\ntruth {}", said.escape_ascii(), right.escape_ascii()))
            }
        }
    }

    fn missing(&mut self, what: String) {
        self.missing.push(what);
    }

    /// Prints the numbers, and fails if a line has no explanation, or more are missing than the
    /// kernel counted as lost.
    pub(super) fn tell(mut self, cause: &str, lost: u64) {
        if !self.missing.is_empty() && self.missing.len() as u64 <= lost {
            self.causes.insert(format!("{cause} ({lost} events of all kinds)"), self.missing.len());
            self.missing.clear();
        }
        let Self { name, right, .. } = self;
        println!("{name}: ours has all right; of the original's lines {right} are right");
        self.causes.iter().for_each(|(cause, count)| println!("{count:>8} {cause}"));
        let some = |lines: &[String]| lines.iter().take(10).map(|line| format!("{line}\n")).collect::<String>();
        let (unexplained, missing) = (self.unexplained.len(), self.missing.len());
        assert_eq!(unexplained, 0, "{name}: nothing explains these lines:\n{}", some(&self.unexplained));
        assert_eq!(missing, 0, "{name}: {lost} were lost, but these are missing:\n{}", some(&self.missing));
    }
}

/// The spawners' command line.
pub(super) fn spawners_words(truth: &[Line]) -> Vec<&[u8]> {
    let run = truth.iter().find_map(|line| if let Line::Run(run) = line { Some(run) } else { None });
    run.expect("the truth has the run").argv.iter().map(|word| &word.0[..]).collect()
}

/// How often lines are there by pid: the place of each, and where its rest begins.
fn by_pid(text: &[u8], read: impl Fn(&[u8]) -> Option<(u32, usize)>) -> HashMap<u32, Vec<&[u8]>> {
    let mut all = HashMap::<u32, Vec<_>>::new();
    let mut begin = 0;
    for line in text.split_inclusive(|&b| b == b'\n') {
        if let Some((pid, at)) = read(line) {
            // Raw output may contain line breaks, so the rest extends beyond the line's end.
            all.entry(pid).or_default().push(&text[begin + at..]);
        }
        begin += line.len();
    }
    all
}

/// Tools that print a line for each process, which may be long. Texts end with the line's end.
pub(super) fn one_line_each(
    faults: &mut Faults,
    told: &Printed,
    truth: &HashMap<u32, &Life>,
    read: impl Fn(&[u8]) -> Option<(u32, usize)>,
    right: impl Fn(&Life) -> Vec<u8>,
    causes: impl Fn(&Life) -> Vec<(&'static str, Vec<u8>)>,
    missing: impl Fn(&Life) -> Option<&'static str>,
) {
    let all = by_pid(&told.out, read);
    for (pid, life) in truth {
        let (right, causes) = (right(life), causes(life));
        let Some(rest) = all.get(pid) else {
            match missing(life) {
                Some(cause) => faults.explained(cause),
                None => faults.missing(format!("{pid}: {}", right.escape_ascii())),
            }
            continue;
        };
        let texts = std::iter::once(&right).chain(causes.iter().map(|(_, text)| text));
        // The whole text, if one matches; otherwise the line's own text.
        let found = texts
            .flat_map(|text| rest.iter().find(|rest| rest.starts_with(text)).map(|rest| &rest[..text.len()]))
            .next();
        let line = || rest[0].split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
        faults.line(&pid.to_string(), found.unwrap_or_else(line), &right, &causes);
    }
}

fn joined<'a>(words: impl IntoIterator<Item = &'a [u8]>, end: &str) -> Vec<u8> {
    let words: Vec<_> = words.into_iter().collect();
    [words.join(&b' '), end.into()].concat()
}

fn argv(life: &Life) -> impl Iterator<Item = &[u8]> {
    life.execs[0].argv.iter().map(|word| &word.0[..])
}

fn bytes(text: &Option<Bytes>) -> &[u8] {
    text.as_ref().map(|text| &text.0[..]).unwrap_or_default()
}

/// As in `wait(2)`; the storm writes no cores.
pub(super) fn wait_status(life: &Life) -> u32 {
    let exit = life.exit.as_ref().expect("it ended");
    match (&exit.signal, exit.code) {
        (Some(name), _) => procscope_model::signal_number(name).expect("a signal").into(),
        (None, code) => code.expect("a code") << 8,
    }
}
