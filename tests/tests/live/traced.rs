//! Difficult things under a tracer: programs that hide, filter and trace themselves, other modes of
//! the machine, other users' rights, jobs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use procscope_tests::seen::Seen;

use crate::run::{Run, run, sh};
use crate::turn;
use crate::watch::for_everyone;

const NOBODY: u32 = 65534;

/// Compiles a program in C.
pub(crate) fn compiled(dir: &Path, text: &str) -> String {
    let (source, program) = (dir.join("it.c"), dir.join("it"));
    fs::write(&source, text).expect("it is ours");
    let made = Command::new("gcc").args(["-O1", "-o"]).arg(&program).arg(&source).output().expect("gcc can be run");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    program.to_str().expect("a plain path").to_owned()
}

/// Runs it traced, and untraced before: it ends the same.
fn as_untraced(text: &str, code: i32) -> Run {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let program = compiled(dir.path(), text);
    let alone = Command::new(&program).status().expect("it can be run");
    assert_eq!(alone.code(), Some(code), "untraced");
    let traced = run("ptrace", &["-e", "fork,exec,exec-failed,exit"], &[&program]);
    assert_eq!(traced.status.code(), Some(code), "{}", traced.stderr);
    traced
}

fn ended_with(events: &[Seen], code: u32) -> bool {
    events.iter().any(|seen| seen.event == "exit" && seen.exit_code == Some(code))
}

fn execs(events: &[Seen]) -> Vec<Vec<String>> {
    let words = |seen: &Seen| seen.arguments().unwrap_or_default();
    let texts = |seen: &Seen| words(seen).iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    events.iter().filter(|seen| seen.event == "exec").map(texts).collect()
}

/// CLONE_UNTRACED would remove a process from its tracer; and, because its filter stays, make all
/// its execs fail.
#[test]
fn who_is_not_to_be_traced_is_told_of_all_the_same() {
    let _turn = turn::take();
    let program = r#"
        #define _GNU_SOURCE
        #include <sched.h>
        #include <signal.h>
        #include <linux/sched.h>
        #include <sys/syscall.h>
        #include <sys/wait.h>
        #include <unistd.h>
        static const struct clone_args args = { .flags = CLONE_UNTRACED, .exit_signal = SIGCHLD };
        static int code(long pid, const char *script) {
            int status;
            if (pid == 0) { execl("/bin/sh", "sh", "-c", script, (char *)0); _exit(99); }
            return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 98;
        }
        int main(void) {
            int one = code(syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0), "exit 21");
            int two = code(syscall(SYS_clone3, &args, sizeof args), "exit 22");
            return one == 21 && two == 22 && args.flags == CLONE_UNTRACED ? 7 : one * 10 + two;
        }"#;
    let traced = as_untraced(program, 7);
    assert!(ended_with(&traced.events, 21) && ended_with(&traced.events, 22), "{:?}", execs(&traced.events));
    assert_eq!(execs(&traced.events).len(), 3, "{:?}", execs(&traced.events));
}

/// A filter of the command's own works as before, also one that asks for a tracer where there is
/// none.
#[test]
fn filters_of_its_own_do_what_they_did() {
    let _turn = turn::take();
    let program = r#"
        #include <errno.h>
        #include <linux/filter.h>
        #include <linux/seccomp.h>
        #include <stddef.h>
        #include <sys/prctl.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int main(void) {
            struct sock_filter steps[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 5),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
            };
            struct sock_fprog filter = { sizeof steps / sizeof *steps, steps };
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) return 1;
            if (syscall(SYS_getppid) != -1 || errno != ENOSYS) return 2;
            if (syscall(SYS_getpgid, 0) != -1 || errno != EXDEV) return 3;
            if (getpid() <= 0) return 4;
            execl("/no/such/program", "none", (char *)0);
            execl("/bin/sh", "sh", "-c", "exit 9", (char *)0);
            return 5;
        }"#;
    let traced = as_untraced(program, 9);
    let failed = traced.events.iter().find(|seen| seen.event == "exec-failed").expect("it is reported");
    assert_eq!(failed.errno.as_deref(), Some("ENOENT"));
    assert_eq!(execs(&traced.events).len(), 2);
}

/// An exec that is refused before it begins has failed all the same: with ENOSYS too, by a filter
/// of its parent, of all threads, or by one that asks for a missing tracer.
#[test]
fn execs_that_a_filter_refuses_have_failed() {
    let _turn = turn::take();
    let program = r#"
        #define _GNU_SOURCE
        #include <errno.h>
        #include <linux/filter.h>
        #include <linux/seccomp.h>
        #include <pthread.h>
        #include <stddef.h>
        #include <sys/prctl.h>
        #include <sys/syscall.h>
        #include <sys/wait.h>
        #include <unistd.h>
        static void install(unsigned number, unsigned action, int all) {
            struct sock_filter steps[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, action),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
            };
            struct sock_fprog filter = { sizeof steps / sizeof *steps, steps };
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            if (all ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter)
                    : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) _exit(90);
        }
        static int try(const char *word) {
            char *words[] = { "true", (char *)word, 0 };
            execve("/bin/true", words, 0);
            return errno;
        }
        static void *in_thread(void *go) {
            char byte;
            read(*(int *)go, &byte, 1);
            if (try("thread") != ENOSYS) _exit(91);
            return 0;
        }
        static int child(void (*body)(void)) {
            int status;
            if (fork() == 0) { body(); _exit(92); }
            wait(&status);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 93;
        }
        static void by_parent(void) {
            install(SYS_execve, SECCOMP_RET_ERRNO | ENOSYS, 0);
            if (try("own") != ENOSYS) _exit(94);
            if (fork() == 0) _exit(try("child"));
            int status;
            wait(&status);
            _exit(WEXITSTATUS(status));
        }
        static void for_all(void) {
            int ends[2];
            pthread_t thread;
            pipe(ends);
            pthread_create(&thread, 0, in_thread, ends);
            usleep(50000);
            install(SYS_execve, SECCOMP_RET_ERRNO | ENOSYS, 1);
            usleep(50000);
            write(ends[1], "", 1);
            pthread_join(thread, 0);
            _exit(ENOSYS);
        }
        static void asks_for_a_tracer(void) {
            install(SYS_execve, SECCOMP_RET_TRACE | 5, 0);
            _exit(try("tracer"));
        }
        static void refuses_another(void) {
            install(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV, 0);
            execl("/bin/sh", "sh", "-c", "exit 38", (char *)0);
        }
        int main(void) {
            void (*bodies[])(void) = { by_parent, for_all, asks_for_a_tracer, refuses_another };
            for (int i = 0; i < 4; i++) { int code = child(bodies[i]); if (code != ENOSYS) return code; }
            return 9;
        }"#;
    let traced = as_untraced(program, 9);
    let failed: Vec<_> = traced.events.iter().filter(|seen| seen.event == "exec-failed").collect();
    let words: Vec<_> = failed.iter().map(|seen| seen.argv.as_ref().map(|argv| &*argv[1])).collect();
    assert_eq!(words, [Some("own"), Some("child"), Some("thread"), Some("tracer")], "{failed:?}");
    for seen in failed {
        assert_eq!((seen.errno.as_deref(), seen.path.as_deref()), (Some("ENOSYS"), Some("/bin/true")), "{seen:?}");
    }
    assert!(ended_with(&traced.events, 38));
}

/// A would-be tracer cannot trace, gets that error from the kernel, and disturbs nothing.
#[test]
fn tracers_under_the_tracer_are_refused() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let program = compiled(
        dir.path(),
        r#"
        #include <errno.h>
        #include <signal.h>
        #include <sys/ptrace.h>
        #include <sys/wait.h>
        #include <unistd.h>
        int main(void) {
            if (ptrace(PTRACE_TRACEME, 0, 0, 0) != -1 || errno != EPERM) return 1;
            pid_t child = fork();
            if (child == 0) { pause(); _exit(2); }
            if (ptrace(PTRACE_ATTACH, child, 0, 0) != -1 || errno != EPERM) return 3;
            kill(child, SIGTERM);
            int status;
            if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) return 4;
            execlp("sh", "sh", "-c", "exit 8", (char *)0);
            return 5;
        }"#,
    );
    let traced = run("ptrace", &[], &[&program]);
    assert_eq!(traced.status.code(), Some(8), "{}", traced.stderr);
    assert_eq!(traced.events.iter().filter(|seen| seen.signal.as_deref() == Some("SIGTERM")).count(), 1);
}

/// Every thread execs at once: one wins, and its process continues with the first one's number.
#[test]
fn threads_that_exec_at_once_are_told_as_one() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let text = r#"
        #include <pthread.h>
        #include <unistd.h>
        static void *run(void *name) { execl("/bin/sh", "sh", "-c", "exit 6", name, (char *)0); return 0; }
        int main(void) {
            static char names[8][2] = { "a", "b", "c", "d", "e", "f", "g", "h" };
            pthread_t threads[8];
            for (int i = 0; i < 8; i++) pthread_create(&threads[i], 0, run, names[i]);
            pause();
            return 1;
        }"#;
    let program = compiled(dir.path(), text);
    for _ in 0..20 {
        let traced = run("ptrace", &["-e", "exec,exec-failed,exit"], &[&program]);
        assert_eq!(traced.status.code(), Some(6), "{}", traced.stderr);
        let execs = execs(&traced.events);
        assert!(execs.len() == 2 && execs[1].len() == 4, "{execs:?}");
        let pids: Vec<_> = traced.events.iter().map(|seen| seen.pid).collect();
        assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    }
}

/// A program of 32 bits: other numbers of calls, narrower pointers, other registers.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_program_of_32_bits_is_told_exactly() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let text = r#"
        .globl _start
        _start:
            movl $120, %eax                 # clone: CLONE_UNTRACED, SIGCHLD
            movl $0x800011, %ebx
            xorl %ecx, %ecx
            xorl %edx, %edx
            xorl %esi, %esi
            xorl %edi, %edi
            int $0x80
            testl %eax, %eax
            jz child
            movl $7, %eax                   # waitpid
            movl $-1, %ebx
            movl $status, %ecx
            xorl %edx, %edx
            int $0x80
            movl $11, %eax                  # execve
            movl $missing, %ebx
            movl $tried, %ecx
            xorl %edx, %edx
            int $0x80
            movl $1, %eax                   # exit
            movzbl status + 1, %ebx
            int $0x80
        child:
            movl $11, %eax
            movl $shell, %ebx
            movl $words, %ecx
            xorl %edx, %edx
            int $0x80
            movl $1, %eax
            movl $99, %ebx
            int $0x80
        .data
        status: .long 0
        missing: .asciz "/no/such/program"
        none: .asciz "none"
        blank: .asciz "a b"
        empty: .asciz ""
        shell: .asciz "/bin/sh"
        sh: .asciz "sh"
        c: .asciz "-c"
        script: .asciz "exit 23"
        tried: .long none, blank, empty, 0
        words: .long sh, c, script, 0
        "#;
    let file = |name: &str| dir.path().join(name);
    fs::write(file("it.s"), text).expect("it is ours");
    let made = |mut command: Command| {
        let output = command.output().expect("binutils can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let mut assemble = Command::new("as");
    assemble.args(["--32", "-o"]).args([file("it.o"), file("it.s")]);
    made(assemble);
    let mut link = Command::new("ld");
    link.args(["-m", "elf_i386", "-o"]).args([file("it"), file("it.o")]);
    made(link);
    let program = file("it");
    match Command::new(&program).status() {
        Ok(status) => assert_eq!(status.code(), Some(23), "untraced"),
        // CONFIG_IA32_EMULATION, or ia32_emulation=0 on the kernel's command line.
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            panic!("this kernel runs no programs of 32 bits, so nothing is tested; boot with ia32_emulation=1")
        }
        Err(error) => panic!("{error}"),
    }
    let traced = run("ptrace", &["-e", "fork,exec,exec-failed,exit"], &[program.to_str().expect("a plain path")]);
    assert_eq!(traced.status.code(), Some(23), "{}", traced.stderr);
    let failed = traced.events.iter().find(|seen| seen.event == "exec-failed").expect("it is reported");
    assert_eq!((failed.errno.as_deref(), failed.path.as_deref()), (Some("ENOENT"), Some("/no/such/program")));
    assert_eq!(failed.arguments().expect("they are reported"), [&b"none"[..], b"a b", b""]);
    assert_eq!(execs(&traced.events)[1], ["sh", "-c", "exit 23"]);
    assert_eq!(traced.events.iter().filter(|seen| seen.exit_code == Some(23)).count(), 2);
}

/// Runs a set-uid copy of id as nobody, and returns its output.
fn set_uid(before: &[&str], options: &[&str]) -> Output {
    let (dir, procscope) = for_everyone();
    let id = dir.path().join("id");
    fs::copy("/usr/bin/id", &id).expect("it can be copied");
    fs::set_permissions(&id, fs::Permissions::from_mode(0o4755)).expect("it is ours");
    let mut command = Command::new(before[0]);
    command.args(&before[1..]).arg(procscope).args(["run", "--source", "ptrace", "-qo", "/dev/null"]);
    command.args(options).arg("--").arg(id).arg("-u");
    command.output().expect("setpriv can be run")
}

/// The kernel gives a traced set-uid program its owner's rights if the tracer could have them
/// anyway, and no filter made it give up new rights.
#[test]
fn set_uid_programs_have_the_rights_that_the_kernel_lets_them() {
    let _turn = turn::take();
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let none = [&nobody[..], &["--inh-caps=-all", "--ambient-caps=-all"]].concat();
    let trace = [&nobody[..], &["--inh-caps=-all,+sys_ptrace", "--ambient-caps=-all,+sys_ptrace"]].concat();
    let both = "-all,+sys_ptrace,+sys_admin";
    let (inheritable, ambient) = (format!("--inh-caps={both}"), format!("--ambient-caps={both}"));
    let all = [&nobody[..], &[&inheritable, &ambient]].concat();
    for (before, options, uid) in [
        (&none, &[][..], "65534\n"),
        (&none, &["-e", "exec,exit"], "65534\n"),
        (&trace, &[], "65534\n"),
        (&trace, &["-e", "exec,exit"], "0\n"),
        (&all, &[], "0\n"),
    ] {
        let output = set_uid(before, options);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), uid, "{before:?} {options:?}: {stderr}");
        assert!(output.status.success(), "{stderr}");
    }
}

/// If nothing would fail without the tracer, living descendants are not waited for, and none is
/// killed.
#[test]
fn without_failed_execs_descendants_live_on() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let mark = dir.path().join("mark");
    let script = format!("(sleep 1; sh -c 'sleep 0.2'; echo alive > {}) >/dev/null 2>&1 & exit 5", mark.display());
    let ended = sh("ptrace", &["-e", "exec,exit"], &script);
    assert_eq!(ended.status.code(), Some(5), "{}", ended.stderr);
    assert!(!mark.exists(), "it waited");
    let begun = std::time::Instant::now();
    while !mark.exists() && begun.elapsed() < crate::watch::PATIENCE {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(mark.exists(), "the descendant did not go on");
    let waited = sh("ptrace", &["-e", "exec,exit", "--wait-all"], "(sleep 0.4; exec sh -c 'exit 9') & exit 5");
    assert!(ended_with(&waited.events, 9), "{}", waited.stderr);
}

/// As a user without any rights.
#[test]
fn nobody_can_run_a_command() {
    let _turn = turn::take();
    let (_dir, procscope) = for_everyone();
    let mut command = Command::new(procscope);
    command.uid(NOBODY).gid(NOBODY).args(["run", "--format", "csv", "--", "sh", "-c", "(exit 3); exit 4"]);
    let output = command.output().expect("procscope can be run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("ptrace in place of ebpf") && stderr.contains("1 exec, 2 exit"), "{stderr}");
}
