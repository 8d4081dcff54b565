//! CPU time, memory, bytes.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

use super::{Case, Stage};
use crate::actor::{HOLD, List};
use crate::truth::Life;

pub(super) const CASES: &[(&str, Case)] = &[
    ("cpu-3ms", |stage| cpu(stage, 3)),
    ("cpu-60ms", |stage| cpu(stage, 60)),
    ("memory-50m", memory),
    ("bytes-1m", bytes),
    ("switches", switches),
    ("lasting", |stage| quiet(stage, "z150")),
];

fn cpu(stage: &mut Stage, ms: u64) -> io::Result<()> {
    let life = working(stage, &format!("b{ms}"))?;
    let used = life.exit.as_ref().and_then(|exit| exit.usage).map_or(0, |usage| usage.user_us + usage.system_us);
    stage.note(life);
    if used >= ms * 1000 { Ok(()) } else { Err(io::Error::other(format!("only {used} microseconds were used"))) }
}

fn memory(stage: &mut Stage) -> io::Result<()> {
    let life = working(stage, "m50")?;
    let kib = life.exit.as_ref().and_then(|exit| exit.usage).map_or(0, |usage| usage.max_rss_kib);
    stage.note(life);
    // The kernel counts pages by CPU, and adds them up by the dozen.
    if kib >= 49 << 10 { Ok(()) } else { Err(io::Error::other(format!("the largest resident set was {kib} KiB"))) }
}

fn quiet(stage: &mut Stage, steps: &str) -> io::Result<()> {
    let life = working(stage, steps)?;
    stage.note(life);
    Ok(())
}

fn switches(stage: &mut Stage) -> io::Result<()> {
    quiet(stage, &"z1".repeat(30))
}

/// Does the work, then waits once more, so that its usage can be read.
fn working(stage: &mut Stage, steps: &str) -> io::Result<Life> {
    let mut actor = stage.tiny(&format!("{steps}{HOLD}e0"))?;
    actor.go()?;
    actor.runs()?;
    actor.end()
}

/// Writes 1 MiB to a file, to the disk, and reads it.
fn bytes(stage: &mut Stage) -> io::Result<()> {
    const FILE: RawFd = 203;
    let path = stage.bin.path().join("a-mebibyte");
    let file = File::options().create_new(true).read(true).write(true).open(path)?;
    let (path, argv) = (stage.bin.tiny(), List::new([stage.case]));
    let env = List::steps(&format!("{HOLD}w{FILE},1024y{FILE}l{FILE}i{FILE},1024{HOLD}e0"));
    let mut actor = stage.actor(|child| {
        // SAFETY: nothing else uses the number.
        child.must("dup2", unsafe { libc::dup2(file.as_raw_fd(), FILE) });
        child.exec(&path, &argv, &env);
    })?;
    actor.go()?;
    actor.saw_exec(&path, &argv.bytes())?;
    actor.go()?;
    actor.runs()?;
    let life = actor.end()?;
    let io = life.exit.as_ref().and_then(|exit| exit.usage?.io).unwrap_or_default();
    stage.note(life);
    if io[0] >= 1 << 20 && io[1] >= 1 << 20 { Ok(()) } else { Err(io::Error::other(format!("its bytes are {io:?}"))) }
}
