//! Command lines, each given to an original and to the persona: the persona refuses none that the
//! original accepts, and those that both refuse end with the same status.

use super::*;
use crate::turn;

/// How a line differs from the original's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Differs {
    /// Both run, or end with the same status.
    Not,
    /// The original refuses it.
    More,
    /// The original ends with 0 although it could not do its work; ours with 1.
    Honest,
}

use Differs::{Honest, More, Not};

/// A word of its own for special words: `''` for an empty one, `~` for a blank, `$$` for a process
/// that lives on.
fn taken_apart(line: &str, living: u32) -> Vec<String> {
    let word = |word: &str| {
        if word == "''" { String::new() } else { word.replace('~', " ").replace("$$", &living.to_string()) }
    };
    line.split_whitespace().map(word).collect()
}

const FORKSTAT: &[(Differs, &[&str])] = &[
    (
        Not,
        &["", "-c", "-d", "-E", "-g", "-l", "-r", "-s", "-S", "-q", "-x", "-X", "-EgrSx", "-cdEglrsSqxX", "-h", "-ch"],
    ),
    (Not, &["-D 1", "-D1", "-D 1x", "-D ~1", "-D +1", "-D 1.5", "-lqSD1", "-c operand -D 1", "-cD 1 -e fork -p 1"]),
    (
        Not,
        &[
            "-D 0",
            "-D -1",
            "-D abc",
            "-D ''",
            "-D 0x10",
            "-D",
            "-D 99999999999999999999",
            "-D 4294967296",
            "-D 1 -D 600",
        ],
    ),
    (
        Not,
        &[
            "-e fork",
            "-efork",
            "-e fork,exec,exit,core,comm,clone,ptrce,uid,sid,all",
            "-e fork -e exec",
            "-e ''",
            "-e ,",
        ],
    ),
    (Not, &["-e fork,,exec,", "-e", "-e none", "-e fork,none", "-e Fork", "-e fork~exec", "-h -D 0"]),
    (Not, &["-p 1", "-p1", "-p -1", "-p -0", "-p abc", "-p ''", "-p 0", "-p", "-p 99999999999", "-p 4294967297"]),
    (Not, &["operand", "operand -c", "-- -D", "-", "--", "-z", "-V", "-?", "-H", "-cz", "-z -h"]),
    (
        More,
        &["--help", "--version", "-e nonzeroexit", "-e gid", "-D 0 -h", "-p 2147483648", "--source ebpf", "--status"],
    ),
];

const EXTRACE: &[(Differs, &[&str])] = &[
    (
        Not,
        &[
            "",
            "-d",
            "-e",
            "-f",
            "-l",
            "-q",
            "-t",
            "-u",
            "-w",
            "-deflqtwu",
            "-o /dev/null",
            "-o/dev/null",
            "-o /no/such",
            "-o",
        ],
    ),
    (
        Not,
        &[
            "-p 1",
            "-p1",
            "-p $$",
            "-tp$$",
            "-p ~$$",
            "-p +$$",
            "-p 1 -p $$",
            "-p 0",
            "-p -1",
            "-p x",
            "-p 1x",
            "-p ''",
            "-p",
        ],
    ),
    (
        Not,
        &["-p 4194304", "-p 99999999999", "-p $$ true", "-p 1 true", "true", "-f true", "-t -- true", "-l -l true -z"],
    ),
    (Not, &["sh -c exit~3", "sh -c kill~-9~$$$$", "-o /dev/null true", "-V", "-z", "--"]),
    (More, &["-h", "--help", "-Q", "--version"]),
    (Honest, &["no-such-command", "-", "/etc/passwd"]),
];

const PWAIT: &[(Differs, &[&str])] = &[
    (
        Not,
        &[
            "",
            "$$",
            "-c $$",
            "-v $$",
            "-cv $$",
            "-c -v -- $$",
            "$$ -v",
            "$$ $$",
            "~$$",
            "+$$",
            "$$ 4194304 x",
            "4194304 $$",
        ],
    ),
    (
        Not,
        &["x", "0", "-1", "-- -1", "4194304", "1x", "''", "-V", "-z", "-vc", "-", "--", "-c 4194304", "-vc x 4194304"],
    ),
    (More, &["-h", "--help", "--version"]),
];

const EXECSNOOP: &[(Differs, &[&str])] = &[
    (
        Not,
        &[
            "",
            "-T",
            "-t",
            "-x",
            "-q",
            "-U",
            "-v",
            "-TtxqUv",
            "--time",
            "--times",
            "--timestamp",
            "--fails",
            "--f",
            "--quote",
        ],
    ),
    (
        Not,
        &[
            "--print-uid",
            "--verbose",
            "--verb",
            "-T -T",
            "--",
            "-u 0",
            "-u0",
            "-u abc",
            "-u 12abc",
            "-u ''",
            "-u 4294967294",
        ],
    ),
    (
        Not,
        &[
            "-u -1",
            "-u 99999999999999999999",
            "-u",
            "--uid",
            "--uid 0",
            "--uid=0",
            "-u 1 -u 0",
            "-Ttxu 0",
            "-Ttxu0 -n x",
        ],
    ),
    (Not, &["-n x", "-nx", "-n ''", "-l x", "--name x", "--line=x", "--max-args 1", "--max-args=60", "--max-args x"]),
    (
        Not,
        &[
            "--max-args 5x",
            "--max-args ~7",
            "--max 3",
            "--tim",
            "--vers",
            "--version",
            "-V",
            "-h",
            "-?",
            "--help",
            "--he",
        ],
    ),
    (Not, &["--usage", "--us", "-hT", "-Th", "-TV", "word", "-z", "--zzz", "-- x", "-", "--time=1"]),
    (Not, &["--max-args 61", "--max-args 0", "-u 4294967295"]),
    (More, &["--p", "--ver", "--style libbpf"]),
    (Honest, &["-c /no/such", "--cgroup=/etc/passwd"]),
];

const EXITSNOOP: &[(Differs, &[&str])] = &[
    (
        Not,
        &[
            "",
            "-t",
            "-x",
            "-T",
            "-v",
            "-txT",
            "-txTvp1",
            "-txp 1 -T",
            "--timestamp",
            "--ti",
            "--failed",
            "--threaded",
            "--th",
        ],
    ),
    (Not, &["--verbose", "--pid 1", "--pid=1", "-p 1", "-p1", "-p 1x", "-p ~3", "-p 4194305", "-p 99999999999", "--"]),
    (
        Not,
        &[
            "-p 0",
            "-p -1",
            "-p x",
            "-p ''",
            "-p",
            "-p 99999999999999999999",
            "-h",
            "-?",
            "--help",
            "--usage",
            "-V",
            "--version",
        ],
    ),
    (Not, &["--t", "word", "-z", "--zz", "-u 0"]),
    (More, &["--ver"]),
    (Honest, &["-c /no/such", "--cgroup=/etc/passwd"]),
];

const SCRIPT: &[(Differs, &[&str])] = &[
    (
        Not,
        &[
            "", "-v", "-vv", "-q", "-qv", "-b", "--btf", "-k", "-kk", "-B line", "-B full", "-B none", "-Bline",
            "-f json", "-ftext",
        ],
    ),
    (
        Not,
        &[
            "-o /dev/null",
            "-o/dev/null",
            "-I /tmp",
            "--include stdio.h",
            "--unsafe",
            "--unsa",
            "--no-warnings",
            "one two",
        ],
    ),
    (Not, &["-p $$", "-p 4194304", "-p x", "-c /bin/true", "-c /bin/sleep~1", "-B x", "-f x", "-z", "--zz"]),
    (Not, &["-h", "--help", "-V", "--version", "--info", "--usdt-file-activation"]),
];

/// A process that runs this long counts as running; some of those that end need a second for it.
const RUNS: Duration = Duration::from_millis(2500);

/// The status of a process that ended by itself until then.
fn ended(tool: &mut Tool, until: Instant) -> Option<i32> {
    loop {
        if let Some(status) = tool.child.try_wait().expect("our child") {
            return Some(status.code().unwrap_or(-1));
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn hold_against(original_name: &str, link: &str, table: &[(Differs, &[&str])]) {
    let _turn = turn::take();
    let links = Links::new();
    let mut living = quiet("sleep", ["600"]).spawn().expect("sleep can be run");
    let lines = table.iter().flat_map(|(differs, lines)| lines.iter().map(|line| (*differs, *line)));
    let lines: Vec<_> = lines.collect();
    let mut wrong = Vec::new();
    for some in lines.chunks(8) {
        let begun: Vec<_> = some
            .iter()
            .map(|(differs, line)| {
                let words = taken_apart(line, living.id());
                let words: Vec<_> = words.iter().map(String::as_str).collect();
                (*differs, *line, original(original_name, &words), persona(&links, link, &words))
            })
            .collect();
        let until = Instant::now() + RUNS;
        for (differs, line, mut theirs, mut ours) in begun {
            let their_status = ended(&mut theirs, until);
            let patience = if differs != More && their_status.is_some() { PATIENCE } else { Duration::ZERO };
            let status = ended(&mut ours, until + patience);
            let fits = match differs {
                Not => their_status == status,
                More => their_status.is_some_and(|status| status != 0) && matches!(status, None | Some(0)),
                Honest => their_status == Some(0) && status == Some(1),
            };
            if !fits {
                let (theirs, ours) = (theirs.stderr(), ours.stderr());
                wrong.push(format!("{line}\n  {their_status:?} {theirs}\n  {status:?} {ours}"));
            }
        }
    }
    living.kill().and_then(|()| living.wait()).expect("our child");
    assert!(wrong.is_empty(), "{original_name}: of {}:\n{}", lines.len(), wrong.join("\n"));
}

#[test]
fn forkstat() {
    hold_against("forkstat", "forkstat", FORKSTAT);
}

#[test]
fn extrace() {
    hold_against("extrace", "extrace", EXTRACE);
}

#[test]
fn pwait() {
    hold_against("pwait", "pwait", PWAIT);
}

#[test]
fn execsnoop_of_libbpf_tools() {
    hold_against("execsnoop", "execsnoop-libbpf", EXECSNOOP);
}

#[test]
fn exitsnoop_of_libbpf_tools() {
    hold_against("exitsnoop", "exitsnoop-libbpf", EXITSNOOP);
}

#[test]
fn execsnoop_of_bpftrace() {
    hold_against("execsnoop.bt", "execsnoop.bt", SCRIPT);
}
