//! The originals' errors in a storm, and their causes: each cause is a text that follows from the
//! truth and from how the tool works, so a line with any other text is explained by none.

use std::collections::{BTreeMap, HashMap};

use procscope_tests::truth::{Bytes, Life, Line};

use super::*;

/// A tool's output until it was stopped.
pub(super) struct Told {
    pub(super) out: Vec<u8>,
    pub(super) err: String,
    /// How many messages did not fit into its socket.
    drops: u64,
}

impl Told {
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
    told: &Told,
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

pub(super) mod forkstat {
    //! It reads `/proc/PID` when it gets to a message: the line shows the content at that time. It
    //! keeps its reading at the fork, and shows it again if it finds nothing any more.

    use super::*;

    /// The result of its look at a process.
    struct Looks {
        /// The spawners' command line, in each case as forkstat prints it.
        spawner: Vec<u8>,
        spawner_comm: Vec<u8>,
        own: Vec<u8>,
        own_comm: Vec<u8>,
    }

    const GONE: &[u8] = b"<unknown>";

    fn flat(mut text: Vec<u8>) -> Vec<u8> {
        text.iter_mut().filter(|b| b"\r\n".contains(b)).for_each(|b| *b = b' ');
        text
    }

    impl Looks {
        fn at(life: &Life, spawner: &[&[u8]]) -> Self {
            let fork = life.fork.as_ref().expect("spawned");
            Self {
                spawner: flat(joined(spawner.iter().copied(), " ")),
                spawner_comm: flat(bytes(&fork.parent_name).to_vec()),
                own: flat(joined(argv(life), " ")),
                own_comm: flat(bytes(&life.execs[0].name).to_vec()),
            }
        }
    }

    /// A line, split at the ends of its columns.
    struct Row<'a> {
        event: &'a [u8],
        pid: u32,
        info: &'a [u8],
        name: &'a [u8],
    }

    fn row(line: &[u8], pid_width: usize) -> Option<Row<'_>> {
        let text = |from: usize, to: usize| line.get(from..to).map(|text| text.trim_ascii());
        // `HH:MM:SS event pid info duration name`
        let info = 15 + pid_width + 1;
        Some(Row {
            event: text(9, 14)?,
            pid: std::str::from_utf8(text(15, 15 + pid_width)?).ok()?.parse().ok()?,
            info: text(info, info + 6)?,
            name: line.get(info + 6 + 1 + 8 + 1..)?,
        })
    }

    /// Checks all lines about the spawned processes: of their forks, from both sides, of their
    /// execs and of their ends.
    pub(in super::super) fn explain(told: &Told, truth: &HashMap<u32, &Life>, spawner: &[&[u8]]) {
        let mut faults = Faults::of("forkstat");
        let most = fs::read_to_string("/proc/sys/kernel/pid_max").expect("the kernel has it");
        let rows = told.out.split(|&b| b == b'\n').map(|line| row(line, most.trim().len().max(5)));
        let mut last: Option<Row<'_>> = None;
        // The values that it keeps for each.
        let mut kept = HashMap::<u32, &[u8]>::new();
        let mut seen = HashMap::<(u32, &[u8]), usize>::new();
        for row in rows {
            // The heading may come anywhere.
            let Some(row) = row else { continue };
            let before = last.take();
            if let Some(life) = truth.get(&row.pid) {
                let event = if row.event == b"clone" { b"fork" } else { row.event };
                *seen.entry((row.pid, event)).or_default() += 1;
                let looks = Looks::at(life, spawner);
                let what = format!("{} of {}", row.event.escape_ascii(), row.pid);
                let has = |name: &str, text: &[u8]| (name.to_owned(), text.to_vec());
                let line = |faults: &mut Faults, right: &[u8], causes: &[(String, Vec<u8>)]| {
                    let causes: Vec<_> = causes.iter().map(|(cause, text)| (&**cause, text.clone())).collect();
                    faults.line(&what, row.name, right, &causes);
                };
                let ended = has("exec, exit: had ended, so that its comm was left", &looks.own_comm);
                let gone = has("exec, exit: was gone, so that nothing was left", GONE);
                match row.event {
                    b"fork" => {
                        let parent = before.filter(|row| row.event == b"fork" && row.info == b"parent");
                        parent_line(&mut faults, life, parent, &looks);
                        let causes = [
                            has("fork: the look came behind the exec", &looks.own),
                            has("fork: the look came behind the end, so that its comm was left", &looks.own_comm),
                            has("fork: the look came in the middle of the exec: the comm before", &looks.spawner_comm),
                            has("fork: was gone, so that nothing was left", GONE),
                        ];
                        let torn = torn(&looks.spawner_comm, &looks.own_comm).into_iter();
                        let torn = torn.map(|text| has("fork: the look came while its comm was being written", &text));
                        let causes: Vec<_> = causes.into_iter().chain(torn).collect();
                        line(&mut faults, &looks.spawner, &causes);
                    }
                    // Its /proc/PID/status has 0 for Tgid by then, which is not its pid.
                    b"clone" => {
                        let of_nobody =
                            before.is_some_and(|row| row.event == b"clone" && (row.pid, row.name) == (0, b"[swapper]"));
                        let names = [&looks.spawner, &looks.own, &looks.own_comm, &looks.spawner_comm, GONE];
                        if of_nobody && row.info == b"thread" && names.contains(&row.name) {
                            let cause = "fork: was just being removed, so that it means a thread of pid 0";
                            (0..2).for_each(|_| faults.explained(cause));
                        } else {
                            faults.unexplained.push(format!("{what}, which is no thread"));
                        }
                    }
                    b"exec" => {
                        // It keeps the earlier value if it finds nothing new: the one in its line
                        // about the fork, which is explained itself.
                        let old = kept.get(&row.pid).copied().unwrap_or(GONE);
                        let old = has("exec: was gone, so that the fork line's text stays", old);
                        line(&mut faults, &looks.own, &[ended, gone, old]);
                    }
                    b"exit" => {
                        if row.info != wait_status(life).to_string().as_bytes() {
                            faults.unexplained.push(format!("{what} has {}", row.info.escape_ascii()));
                        }
                        let old = kept.get(&row.pid).copied().unwrap_or(GONE);
                        let old = has("exit: as its exec's line had it", old);
                        line(&mut faults, &looks.own, &[ended, gone, old]);
                    }
                    _ => {}
                }
                kept.insert(row.pid, row.name);
            }
            last = Some(row);
        }
        for pid in truth.keys() {
            for event in [&b"fork"[..], b"exec", b"exit"] {
                match seen.get(&(*pid, event)) {
                    None => faults.missing(format!("{} of {pid}", event.escape_ascii())),
                    Some(1) => {}
                    Some(_) => faults.unexplained.push(format!("{} of {pid} more than once", event.escape_ascii())),
                }
            }
        }
        faults.tell("missing: the socket had no place", told.drops);
    }

    /// The possible readings of a comm while another is written over it, from the front.
    fn torn(old: &[u8], new: &[u8]) -> Vec<Vec<u8>> {
        let filled = |comm: &[u8]| -> Vec<u8> { comm.iter().copied().chain(std::iter::repeat(0)).take(16).collect() };
        let (old, new) = (filled(old), filled(new));
        let mixed = (1..16).map(|at| [&new[..at], &old[at..]].concat());
        mixed.map(|comm| comm.split(|b| *b == 0).next().unwrap_or_default().to_vec()).collect()
    }

    /// The parent's side of a fork.
    fn parent_line(faults: &mut Faults, life: &Life, row: Option<Row<'_>>, looks: &Looks) {
        let ppid = life.fork.as_ref().expect("spawned").ppid;
        let right = [ppid.to_string().as_bytes(), b" ", &looks.spawner].concat();
        let said = row.map(|row| [row.pid.to_string().as_bytes(), b" ", row.name].concat());
        let orphan = b"0 [swapper]".to_vec();
        let cause = ("fork: the child was gone, so that pid 0 is shown as its parent", orphan);
        faults.line(&format!("parent of {}", life.pid), &said.unwrap_or_default(), &right, &[cause]);
    }
}

pub(super) mod execsnoop {
    //! libbpf-tools' copies up to 127 bytes of each of the first 20 words, and checks whether there
    //! is one more. The script of bpftrace sends up to 16 words of 1,023 bytes, apart from the text
    //! before them, and prints them up to the first empty one.

    use super::*;

    const DEFAULT_MAX_ARGS: usize = 20;
    const ARGSIZE: usize = 128;

    fn cut(word: &[u8], size: usize) -> &[u8] {
        &word[..word.len().min(size - 1)]
    }

    fn words_with_path(life: &Life) -> Vec<&[u8]> {
        std::iter::once(bytes(&life.execs[0].path)).chain(argv(life).skip(1)).collect()
    }

    pub(in super::super) fn right(life: &Life) -> Vec<u8> {
        joined(words_with_path(life), " \n")
    }

    /// The part of a command line in its buffers.
    pub(in super::super) fn causes(life: &Life) -> Vec<(&'static str, Vec<u8>)> {
        let words = words_with_path(life);
        let long = words.iter().map(|word| cut(word, ARGSIZE)).take(DEFAULT_MAX_ARGS);
        let text = joined(long, if words.len() > DEFAULT_MAX_ARGS { "  ...\n" } else { " \n" });
        let cause = match (words.len() > DEFAULT_MAX_ARGS, words.iter().any(|word| word.len() >= ARGSIZE)) {
            (true, true) => "more than 20 words, and cut at 127 bytes each",
            (true, false) => "more than 20 words",
            _ => "cut at 127 bytes a word",
        };
        vec![(cause, text)]
    }

    const JOIN_ARGNUM: usize = 16;
    const JOIN_ARGSIZE: usize = 1024;

    /// The words that the script sends.
    fn sent(life: &Life) -> Vec<u8> {
        let words = argv(life).take(JOIN_ARGNUM).take_while(|word| !word.is_empty());
        joined(words.map(|word| cut(word, JOIN_ARGSIZE)), "\n")
    }

    /// A line has two halves, sent one by one: time and pid, and the words. Another CPU's output
    /// may come between, and either may be lost.
    pub(in super::super) fn explain_script(told: &Told, truth: &HashMap<u32, &Life>) {
        let mut faults = Faults::of("execsnoop.bt");
        let out = &told.out[..];
        let mut heads = HashMap::<u32, Vec<usize>>::new();
        // The places where words may begin.
        let mut begins = Vec::new();
        for at in 0..out.len() {
            if let Some((pid, end)) = head(out, at) {
                heads.entry(pid).or_default().push(end);
                begins.push(end);
            }
            if out[..at].ends_with(b"\n") {
                begins.push(at);
            }
        }
        let stands = |at: usize, text: &[u8]| out[at..].starts_with(text);
        // How often each text follows another head than one of its own.
        let mut apart = HashMap::<Vec<u8>, usize>::new();
        let mut left = Vec::new();
        for (pid, life) in truth {
            let (right, sent) = (joined(argv(life), "\n"), sent(life));
            let heads = heads.get(pid).map(Vec::as_slice).unwrap_or_default();
            let found = || begins.iter().filter(|at| stands(**at, &sent)).count();
            let apart = apart.entry(sent.clone()).or_insert_with(found);
            if heads.iter().any(|at| stands(*at, &right)) {
                faults.right();
                *apart = apart.saturating_sub(1);
            } else if heads.iter().any(|at| stands(*at, &sent)) {
                let empty = argv(life).take(JOIN_ARGNUM).any(<[u8]>::is_empty);
                faults.explained(if empty {
                    "ends before an empty word"
                } else {
                    "more than 16 words, or of 1,023 bytes"
                });
                *apart = apart.saturating_sub(1);
            } else {
                left.push((pid, right, sent, !heads.is_empty()));
            }
        }
        for (pid, right, sent, has_head) in left {
            let apart = apart.entry(sent).or_default();
            if has_head && *apart > 0 {
                *apart -= 1;
                faults.explained("its halves stand apart, with another CPU's between");
            } else {
                faults.missing(format!("{pid}: {}", right.escape_ascii()));
            }
        }
        faults.tell("a half is missing: its buffer had no place", told.lost());
    }

    /// `%-10u %-5d ` at a place: the pid, and where it ends.
    fn head(out: &[u8], at: usize) -> Option<(u32, usize)> {
        let rest = &out[at..];
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || at > 0 && out[at - 1].is_ascii_digit() {
            return None;
        }
        let pid_at = digits.max(10) + 1;
        if rest.get(digits..pid_at)?.iter().any(|b| *b != b' ') {
            return None;
        }
        let pid = &rest[pid_at..];
        let digits = pid.iter().take_while(|b| b.is_ascii_digit()).count();
        let width = digits.max(5) + 1;
        let blanks = pid.get(digits..width)?;
        let number = std::str::from_utf8(&pid[..digits]).ok()?.parse().ok()?;
        blanks.iter().all(|b| *b == b' ').then_some((number, at + pid_at + width))
    }

    impl Faults {
        pub(in super::super) fn tell_lost(self, told: &Told) {
            self.tell("missing: its buffer had no place", told.lost());
        }
    }
}

pub(super) mod extrace {
    //! It reads `/proc/PID` when it gets to the message of an exec, and reports on stderr if there
    //! is none any more.

    use super::*;

    pub(in super::super) fn right(life: &Life) -> Vec<u8> {
        let words: Vec<_> = argv(life).map(quoted).collect();
        joined(words.iter().map(|word| &word[..]), "\n")
    }

    pub(in super::super) fn causes(_: &Life) -> Vec<(&'static str, Vec<u8>)> {
        vec![("had ended, so that no arguments were left", b"''\n".to_vec())]
    }

    /// A process named on stderr.
    pub(in super::super) fn missing(told: &Told, life: &Life) -> Option<&'static str> {
        let begin = "extrace: process vanished";
        let pid = life.pid;
        let name = String::from_utf8_lossy(&life.execs[0].argv[0].0).into_owned();
        let has = |line: &str| told.err.lines().any(|other| other == line);
        if has(&format!("{begin} before notification: pid {pid}")) {
            Some("missing: was gone, as it says")
        } else if has(&format!("{begin} before we found its parent: pid {pid}: {name}")) {
            Some("missing: ended while it looked for the parent, as it says")
        } else if has(&format!("{begin} without a name: pid {pid}")) {
            Some("missing: ended while it looked for a name, as it says")
        } else {
            None
        }
    }

    /// A word as extrace prints it.
    fn quoted(word: &[u8]) -> Vec<u8> {
        let special = |b: &u8| *b <= b' ' || *b == 0x7f || b"`^#*[]=|\\?${}()'\"<>&;".contains(b);
        if !word.is_empty() && !word.iter().any(special) {
            return word.to_vec();
        }
        let mut text = b"'".to_vec();
        for byte in word {
            match byte {
                b'\'' => text.extend(b"'\\''"),
                b'\n' => text.extend(b"'$'\\n''"),
                byte => text.push(*byte),
            }
        }
        text.push(b'\'');
        text
    }

    impl Faults {
        pub(in super::super) fn tell_dropped(self, told: &Told) {
            let told_so = told.err.contains("out of order message");
            self.tell("missing: the socket had no place", if told_so { told.drops } else { 0 });
        }
    }
}

/// As in `wait(2)`; the storm writes no cores.
pub(super) fn wait_status(life: &Life) -> u32 {
    let exit = life.exit.as_ref().expect("it ended");
    match (&exit.signal, exit.code) {
        (Some(name), _) => procscope_model::signal_number(name).expect("a signal").into(),
        (None, code) => code.expect("a code") << 8,
    }
}
