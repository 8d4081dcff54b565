//! Changes by a process itself, which no stop of a tracer reports: names, ids, sessions, cgroups;
//! and signals, by their senders.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use procscope_tests::seen::Seen;

use crate::run::{Run, run};
use crate::traced::compiled;
use crate::turn;
use crate::watch::{events, for_everyone};

const KINDS: [&str; 2] = ["-e", "fork,clone,exec,exit,thread-exit"];

fn traced(text: &str, options: &[&str], words: &[&str]) -> Run {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let program = compiled(dir.path(), text);
    run("ptrace", options, &[&[&*program], words].concat())
}

fn ended_with(traced: &Run, code: u32) -> &Seen {
    let mut ends = traced.events.iter().filter(|seen| seen.event == "exit" && seen.exit_code == Some(code));
    let end = ends.next().unwrap_or_else(|| panic!("nothing ended with {code}: {:?} {}", traced.events, traced.stderr));
    assert!(ends.next().is_none(), "two ended with {code}");
    end
}

fn fork_of(traced: &Run, pid: Option<u32>) -> &Seen {
    traced.events.iter().find(|seen| seen.event == "fork" && seen.pid == pid).expect("its fork is reported")
}

fn name_of_parent(seen: &Seen) -> Option<&str> {
    seen.parent.as_ref()?.name.as_deref()
}

fn is_unmarked(seen: &Seen) {
    for field in ["name", "parent", "user", "sid", "pgid", "tty", "cgroup", "id", "ppid"] {
        assert!(!seen.flaws.contains_key(field), "{field}: {seen:?}");
    }
}

/// A directory of a cgroup hierarchy; removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Self {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let root = roots.into_iter().find(|root| root.join("cgroup.procs").exists());
        let dir = root.expect("there is a unified hierarchy").join(format!("ps-traced-{}", std::process::id()));
        fs::create_dir(&dir).expect("root may make one");
        Self(dir)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn what_changed_is_reported_as_it_was_at_the_end() {
    let _turn = turn::take();
    let cgroup = Cgroup::new();
    let procs = cgroup.0.join("cgroup.procs");
    let text = r#"
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <sys/prctl.h>
        #include <sys/wait.h>
        #include <unistd.h>
        int main(int count, char **words) {
            if (fork() == 0) {
                setsid(); prctl(PR_SET_NAME, "one"); _exit(1);
            }
            wait(0);
            if (fork() == 0) {
                setpgid(0, 0); prctl(PR_SET_NAME, "two");
                if (setresgid(33, 34, 34) || setresuid(35, 36, 36)) _exit(99);
                if (fork() == 0) _exit(3);
                wait(0); _exit(2);
            }
            wait(0);
            if (fork() == 0) {
                int file = open(words[1], O_WRONLY);
                if (write(file, "0", 1) != 1) _exit(98);
                if (fork() == 0) _exit(5);
                wait(0); _exit(4);
            }
            wait(0);
            prctl(PR_SET_NAME, "renamed");
            return 6;
        }"#;
    let traced = traced(text, &KINDS, &[procs.to_str().expect("a plain path")]);
    assert_eq!(traced.status.code(), Some(6), "{}", traced.stderr);
    for code in 1..=6 {
        is_unmarked(ended_with(&traced, code));
    }
    let one = ended_with(&traced, 1);
    assert_eq!((one.name.as_deref(), one.sid, one.pgid), (Some("one"), one.pid, one.pid), "{one:?}");
    let (two, three) = (ended_with(&traced, 2), ended_with(&traced, 3));
    let begun = fork_of(&traced, three.pid);
    is_unmarked(begun);
    for seen in [two, three, begun] {
        assert_eq!((seen.name.as_deref(), seen.pgid), (Some("two"), two.pid), "{seen:?}");
        let ids = [seen.uid, seen.euid, seen.gid, seen.egid];
        assert_eq!(ids, [Some(35), Some(36), Some(33), Some(34)], "{seen:?}");
    }
    assert_eq!(name_of_parent(three), Some("two"));
    let five = ended_with(&traced, 5);
    for seen in [ended_with(&traced, 4), five, fork_of(&traced, five.pid)] {
        let name = cgroup.0.file_name().and_then(|name| name.to_str()).expect("it is ours");
        assert!(seen.cgroup.as_deref().is_some_and(|path| path.ends_with(name)), "{seen:?}");
    }
    assert_eq!(ended_with(&traced, 6).name.as_deref(), Some("renamed"));
}

/// Its new name counts: for a choice, for a parent, and for the old name before an exec.
#[test]
fn a_process_that_renamed_itself_has_its_new_name() {
    let _turn = turn::take();
    let text = r#"
        #include <sys/prctl.h>
        #include <sys/wait.h>
        #include <unistd.h>
        int main(void) {
            prctl(PR_SET_NAME, "renamed-now");
            if (fork() == 0) {
                prctl(PR_SET_NAME, "before-exec");
                execl("/bin/sh", "sh", "-c", "exit 3", (char *)0);
            }
            wait(0);
            return 4;
        }"#;
    let all = traced(text, &["-e", "fork,exec,exec-failed,exit"], &[]);
    let child = ended_with(&all, 3);
    let exec = all.events.iter().find(|seen| seen.event == "exec" && seen.pid == child.pid).expect("it is reported");
    assert_eq!(exec.old_name.as_deref(), Some("before-exec"), "{exec:?}");
    assert!(!exec.flaws.contains_key("old_name"), "{exec:?}");
    for seen in [child, exec, fork_of(&all, child.pid)] {
        assert_eq!(name_of_parent(seen), Some("renamed-now"), "{seen:?}");
        is_unmarked(seen);
    }
    let named = traced(text, &["-e", "exec,exit", "-n", "renamed-now"], &[]);
    let told: Vec<_> = named.events.iter().map(|seen| (&*seen.event, seen.exit_code)).collect();
    assert_eq!(told, [("exit", Some(4))], "{:?}", named.events);
    // Without the filter that stops execs, the name before one is worked out, and marked so.
    let few = traced(text, &["-e", "exec"], &[]);
    assert!(few.events.iter().all(|seen| seen.flaws.get("old_name").is_some_and(|flaw| flaw == "estimated")));
}

#[test]
fn threads_end_with_their_own_codes_and_names() {
    let _turn = turn::take();
    let text = r#"
        #define _GNU_SOURCE
        #include <pthread.h>
        #include <sys/prctl.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        static void *run(void *unused) {
            prctl(PR_SET_NAME, "worker");
            syscall(SYS_exit, 5);
            return unused;
        }
        int main(void) {
            pthread_t thread;
            for (int i = 0; i < 20; i++) {
                pthread_create(&thread, 0, run, 0);
                pthread_join(thread, 0);
            }
            syscall(SYS_exit_group, 7);
        }"#;
    for _ in 0..5 {
        let traced = traced(text, &KINDS, &[]);
        assert_eq!(traced.status.code(), Some(7), "{}", traced.stderr);
        let ends: Vec<&Seen> = traced.events.iter().filter(|seen| seen.event == "thread-exit").collect();
        assert_eq!(ends.len(), 20);
        for end in ends {
            assert_eq!((end.exit_code, end.thread_name.as_deref()), (Some(5), Some("worker")), "{end:?}");
            assert!(!end.flaws.contains_key("status"), "{end:?}");
        }
        assert_eq!(ended_with(&traced, 7).name.as_deref(), Some("it"));
    }
}

/// A first thread that ends before the others is a thread; the process ends with the last one, and still has its name.
#[test]
fn a_first_thread_that_ends_is_reported_as_a_thread() {
    let _turn = turn::take();
    let text = r#"
        #define _GNU_SOURCE
        #include <pthread.h>
        #include <sys/prctl.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        static void *run(void *unused) {
            prctl(PR_SET_NAME, "worker");
            usleep(100000);
            setpgid(0, 0);
            syscall(SYS_exit_group, 7);
            return unused;
        }
        int main(void) {
            pthread_t thread;
            prctl(PR_SET_NAME, "leader");
            pthread_create(&thread, 0, run, 0);
            syscall(SYS_exit, 3);
        }"#;
    let traced = traced(text, &KINDS, &[]);
    let end = ended_with(&traced, 7);
    assert_eq!((end.name.as_deref(), end.pgid), (Some("leader"), end.pid), "{end:?}");
    is_unmarked(end);
    let of_threads: Vec<_> = traced.events.iter().filter(|seen| seen.event == "thread-exit").collect();
    assert!(of_threads.len() == 1 && of_threads[0].tid == end.pid && of_threads[0].exit_code == Some(3));
}

/// Each child ends by a signal; returns the end of the one that did MODE.
fn killed(mode: &str) -> (Seen, Vec<Seen>) {
    const TEXT: &str = r#"
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <signal.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/prctl.h>
        #include <sys/resource.h>
        #include <sys/time.h>
        #include <sys/wait.h>
        #include <time.h>
        #include <unistd.h>
        static void victim(const char *mode) {
            struct rlimit none = { 0, 0 };
            setrlimit(RLIMIT_CORE, &none);
            signal(SIGPIPE, SIG_DFL);
            if (!strcmp(mode, "pipe")) { int ends[2]; pipe(ends); close(ends[0]); write(ends[1], "x", 1); }
            if (!strcmp(mode, "limit")) {
                struct rlimit limit = { 1, 1 };
                char name[] = "/tmp/ps-limit-XXXXXX";
                int file = mkstemp(name);
                unlink(name);
                setrlimit(RLIMIT_FSIZE, &limit);
                write(file, "xx", 2); write(file, "xx", 2);
            }
            if (!strcmp(mode, "self")) kill(getpid(), SIGPIPE);
            if (!strcmp(mode, "raise")) raise(SIGTERM);
            if (!strcmp(mode, "fault")) *(volatile int *)8 = 1;
            if (!strcmp(mode, "timer")) {
                timer_t timer;
                struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM };
                struct itimerspec soon = { .it_value = { 0, 1000000 } };
                timer_create(CLOCK_MONOTONIC, &event, &timer);
                timer_settime(timer, 0, &soon, 0);
                pause();
            }
            if (!strcmp(mode, "two")) {
                sigset_t set;
                sigemptyset(&set);
                sigaddset(&set, SIGRTMIN + 1);
                sigprocmask(SIG_BLOCK, &set, 0);
                for (int i = 0; i < 2; i++) {
                    pid_t me = getpid();
                    if (fork() == 0) {
                        prctl(PR_SET_NAME, i ? "second" : "first");
                        _exit(kill(me, SIGRTMIN + 1) ? 99 : 30 + i);
                    }
                    wait(0);
                }
                sigprocmask(SIG_UNBLOCK, &set, 0);
            }
            if (!strcmp(mode, "handled")) {
                pid_t me = getpid();
                signal(SIGTERM, SIG_IGN);
                if (fork() == 0) _exit(kill(me, SIGTERM) ? 99 : 40);
                wait(0);
                signal(SIGTERM, SIG_DFL);
                if (fork() == 0) _exit(kill(me, SIGTERM) ? 99 : 41);
                for (;;) pause();
            }
            _exit(98);
        }
        int main(int count, char **words) {
            int status;
            pid_t child = fork();
            if (child == 0) { prctl(PR_SET_NAME, "victim"); victim(words[1]); }
            waitpid(child, &status, 0);
            return WIFSIGNALED(status) ? 0 : 97;
        }"#;
    let traced = traced(TEXT, &KINDS, &[mode]);
    assert_eq!(traced.status.code(), Some(0), "{mode}: {} {:?}", traced.stderr, traced.events);
    let end = traced.events.iter().find(|seen| seen.event == "exit" && seen.signal.is_some());
    (end.expect("it is reported").clone(), traced.events)
}

#[test]
fn the_killer_is_the_sender_of_the_signal_that_killed() {
    let _turn = turn::take();
    for (mode, code) in [("two", 30), ("handled", 41)] {
        let (end, events) = killed(mode);
        let sender = events.iter().find(|seen| seen.exit_code == Some(code)).expect("it ended");
        assert_eq!(end.killer.as_ref().map(|killer| killer.pid), sender.pid, "{mode}: {end:?}");
        let name = end.killer.as_ref().and_then(|killer| killer.name.as_deref());
        assert_eq!(name, sender.name.as_deref(), "{mode}: {end:?}");
    }
    for mode in ["raise", "self"] {
        let (end, _) = killed(mode);
        match &end.killer {
            Some(killer) => assert_eq!((Some(killer.pid), killer.name.as_deref()), (end.pid, Some("victim")), "{mode}"),
            // Without the number of the call it may have been the kernel, which sends it in the
            // writer's name.
            None => assert!(mode == "self" && cfg!(not(target_arch = "x86_64")) && end.flaws.contains_key("killer")),
        }
    }
    for (mode, signal) in [("pipe", "SIGPIPE"), ("limit", "SIGXFSZ"), ("fault", "SIGSEGV")] {
        let (end, _) = killed(mode);
        assert!(end.signal.as_deref() == Some(signal) && end.killer.is_none(), "{mode}: {end:?}");
        let known = mode == "fault" || cfg!(target_arch = "x86_64");
        assert_eq!(end.flaws.contains_key("killer"), !known, "{mode}: {end:?}");
    }
    let (end, _) = killed("timer");
    assert!(end.killer.is_none() && end.flaws.contains_key("killer"), "{end:?}");
}

/// /proc numbers users as the namespace does in which it is read.
#[test]
fn in_a_user_namespace_ids_are_those_outside() {
    let _turn = turn::take();
    const OUTSIDE: u32 = 4321;
    let (dir, procscope) = for_everyone();
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("it is ours");
    for source in ["ptrace", "proc-poll"] {
        let path = dir.path().join(source);
        let mut command = Command::new("unshare");
        command.args(["-U", "--map-root-user"]).arg(&procscope);
        command.args(["run", "-q", "--source", source, "--format", "json", "-e", "exec,exit", "-o"]).arg(&path);
        command.args(["-u", "root", "--", "sh", "-c", "sleep 0.3; exit 9"]);
        let output = command.uid(OUTSIDE).gid(OUTSIDE).stdin(Stdio::null()).output().expect("unshare can be run");
        assert_eq!(output.status.code(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
        let mut told = events(&path);
        told.retain(|seen| seen.event != "lost");
        assert!(told.iter().any(|seen| seen.event == "exit" && seen.exit_code == Some(9)), "{source}: {told:?}");
        for seen in &told {
            let ids = [seen.uid, seen.euid, seen.gid, seen.egid];
            assert_eq!(ids, [Some(OUTSIDE); 4], "{source}: {seen:?}");
            assert_eq!(seen.user.as_deref(), Some("root"), "{source}: {seen:?}");
            assert_eq!(seen.flaws.get("user").map(String::as_str), Some("estimated"), "{source}: {seen:?}");
        }
    }
}
