//! Guests beside each other, and the rest of a stalled one in a further one, alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, anyhow};

use super::table::{Arch, Kernel};
use super::{guest, read};

/// The output of a kernel's guests.
pub(super) struct Console {
    pub(super) text: String,
    /// No cell came for too long: the last guest was cut off.
    pub(super) stalled: bool,
}

pub(super) fn log(dir: &Path, kernel: &Kernel) -> PathBuf {
    dir.join(format!("{}.log", kernel.name))
}

/// Boots each kernel, as many at a time as there are processors. Only progress bounds a guest's
/// time, because the machine may have other work.
pub(super) fn all(
    dir: &Path,
    guests: &[(&'static Kernel, PathBuf)],
    initramfs: &BTreeMap<Arch, PathBuf>,
    words: &str,
) -> Result<BTreeMap<&'static str, Console>> {
    let start = |kernel: &Kernel, image: &Path, words: &str| {
        let begun = Instant::now();
        let console = guest::start(kernel, image, &initramfs[&kernel.arch], &log(dir, kernel), words)?;
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        println!("{}: {name} in {:.0} s", kernel.name, begun.elapsed().as_secs_f64());
        anyhow::Ok(console)
    };
    // A guest has two processors, and uses hardly more than one.
    let at_a_time = std::thread::available_parallelism().map_or(1, |cpus| cpus.get().min(4));
    let next = AtomicUsize::new(0);
    let boot = || {
        let mut consoles = Vec::new();
        while let Some((kernel, image)) = guests.get(next.fetch_add(1, Ordering::Relaxed)) {
            consoles.push((kernel.name, start(kernel, image, words)?));
        }
        anyhow::Ok(consoles)
    };
    let consoles = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_a_time).map(|_| scope.spawn(boot)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a guest's thread failed"))?);
        ended.collect::<Result<Vec<_>>>()
    })?;
    let mut consoles: BTreeMap<_, _> = consoles.into_iter().flatten().collect();
    for (kernel, image) in guests {
        if let Some(console) = consoles.get_mut(kernel.name) {
            go_on(console, words, |words| {
                println!("{}: it stalled; the rest goes on in a further guest, alone: {words}", kernel.name);
                start(kernel, image, words)
            })?;
        }
    }
    Ok(consoles)
}

/// Lets a further guest do the rest of a stalled one, again and again as long as each makes
/// progress.
fn go_on(console: &mut Console, words: &str, mut start: impl FnMut(&str) -> Result<Console>) -> Result<()> {
    while console.stalled {
        let after = last_cell(&console.text).map(|(source, what)| format!("after:{source}:{what}"));
        let further = start(&[words, &after.unwrap_or_default()].join(" "))?;
        let progress = last_cell(&further.text).is_some();
        console.text.push('\n');
        console.text.push_str(&further.text);
        console.stalled = further.stalled;
        if !progress {
            break;
        }
    }
    Ok(())
}

fn last_cell(console: &str) -> Option<(String, String)> {
    console.lines().rev().find_map(|line| read(line).into_keys().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stalled_guest_left_is_done_by_further_ones() {
        let console = |text: &str, stalled| Console { text: text.into(), stalled };
        let mut first = console("noise\r\n@@ cell ebpf start works \r\n@@ cell ebpf odd works \r\n[9] noise", true);
        let mut further = vec![
            ("all after:ebpf:tree", console("@@ end 0", false)),
            ("all after:ebpf:odd", console("@@ cell ebpf tree works ", true)),
        ];
        let start = |words: &str| {
            let (expected, console) = further.pop().unwrap();
            assert_eq!(words, expected);
            Ok(console)
        };
        go_on(&mut first, "all", start).unwrap();
        assert!(!first.stalled && read(&first.text).len() == 3 && first.text.ends_with("@@ end 0"));
        // One that makes none is not tried for ever.
        let mut stuck = console("", true);
        go_on(&mut stuck, "", |_| Ok(console("panic", true))).unwrap();
        assert!(stuck.stalled);
    }
}
