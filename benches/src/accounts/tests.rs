use super::*;

#[test]
fn perf_lines() {
    let text = b" sched:sched_process_fork: comm=a pid=49 child_comm=a pid=1 child_pid=52\n sched:sched_process_exec: \
                 filename=/tmp/sp ace pid=52 old_pid=52\n";
    let told = &perf(text)[&52];
    assert_eq!((told.ppid, told.exec.as_ref().map(|exec| &exec.0[..])), (Some(49), Some(&b"/tmp/sp ace"[..])));
}

#[test]
fn strace_lines() {
    let text = b"49 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_VFORK <unfinished ...>\n\
                 52 execve(\"/x/a\", [\"/x/a\", \"\", \"l\\n\\\"\\\\\", \"\\303\\2741\", \"]\"], 0x7ff /* 1 var */ <unfinished ...>\n\
                 49 <... clone resumed>)              = 52\n52 <... execve resumed>) = 0\n\
                 52 +++ killed by SIGTERM (core dumped) +++\n";
    let told = &strace(text)[&52];
    let argv: Vec<Vec<u8>> = vec![b"/x/a".into(), b"".into(), b"l\n\"\\".into(), "ü1".into(), b"]".into()];
    assert_eq!(told.exec.as_ref().map(|exec| &exec.1), Some(&argv));
    assert_eq!((told.ppid, told.status), (Some(49), Some(Status::Signal(15))));
}

#[test]
fn auditd_lines() {
    let text = b"type=SYSCALL msg=audit(1.2:9): arch=c000003e syscall=59 success=yes exit=0 ppid=49 pid=52 comm=7370 exe=\"/x\"\n\
                 type=EXECVE msg=audit(1.2:9): argc=4 a0=\"/x\" a1=610A a2=\"\"\n\
                 type=EXECVE msg=audit(1.2:9): a3_len=4 a3[0]=6162 a3[1]=6364\n\
                 type=SYSCALL msg=audit(1.2:10): arch=c000003e syscall=59 success=no exit=-2 ppid=49 pid=53 comm=\"x\"\n";
    let all = auditd(text);
    let argv: Vec<Vec<u8>> = vec![b"/x".into(), b"a\n".into(), b"".into(), b"abcd".into()];
    assert_eq!(all[&52].exec.as_ref().map(|exec| &exec.1), Some(&argv));
    assert_eq!((all[&52].ppid, all[&52].name.as_deref(), all.len()), (Some(49), Some(&b"sp"[..]), 1));
}

#[test]
fn forkstat_lines() {
    let text = b"19:09:04 fork     49 parent          /bin/sh\n19:09:04 fork     52 child           /bin/sh\n\
                 19:09:04 exec     52                 /x/true a b \n19:09:04 exit     52  24064   0.000s true\n";
    let told = &forkstat(text)[&52];
    assert_eq!(told.ppid, Some(49));
    assert_eq!(told.status, Some(Status::Code(94)));
    assert_eq!(told.exec.as_ref().map(|e| e.1.len()), Some(3));
}

#[test]
fn extrace_lines() {
    let text =
        b"15805+ '/tmp/sp ace' 'it'\\''s' 'line'$'\\n''break' '' plain\n15805- x exited signal=SIGTERM time=0.0s\n";
    let told = &extrace(text)[&15805];
    let argv: Vec<Vec<u8>> = ["/tmp/sp ace", "it's", "line\nbreak", "", "plain"].map(|s| s.into()).into();
    assert_eq!(told.exec.as_ref().map(|e| &e.1), Some(&argv));
    assert_eq!(told.status, Some(Status::Signal(15)));
}

#[test]
fn execsnoop_lines() {
    let text = b"sp ace           14419  14417    0 \"/tmp/sp ace\" \"line\\nbreak\" \"back\\slash\" \"\" \n";
    let told = &execsnoop(text)[&14419];
    let argv: Vec<Vec<u8>> = ["/tmp/sp ace", "line\nbreak", "back\\slash", ""].map(|s| s.into()).into();
    assert_eq!(told.exec.as_ref().map(|e| &e.1), Some(&argv));
    assert_eq!((told.ppid, told.name.as_deref()), (Some(14417), Some(&b"sp ace"[..])));
}

#[test]
fn bpftrace_lines() {
    let told = &bpftrace(b"3823       15144 /bin/true it's one\n")[&15144];
    assert_eq!(told.exec.as_ref().map(|e| e.1.len()), Some(3));
}
