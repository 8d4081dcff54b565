//! On a terminal: its size; and a command on it: Ctrl-C and Ctrl-Z, typed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::ptr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::turn;
use crate::watch::{PATIENCE, program};

/// An interactive shell on a terminal of its own.
struct Shell {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    child: Child,
}

impl Shell {
    fn new() -> Self {
        let (mut ours, mut theirs) = (0, 0);
        // SAFETY: the two descriptors are written, and nothing else is needed.
        let made = unsafe { libc::openpty(&mut ours, &mut theirs, ptr::null_mut(), ptr::null_mut(), ptr::null_mut()) };
        assert_eq!(made, 0, "{}", io::Error::last_os_error());
        // SAFETY: both are new and belong to nothing else.
        let (ours, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        let same = || theirs.try_clone().expect("it can be copied");
        let mut command = Command::new("bash");
        command.args(["--norc", "--noediting", "-i"]).env("PS1", "$ ").env("PATH", path());
        command.stdin(same()).stdout(same()).stderr(same());
        // SAFETY: only system calls.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            })
        };
        let child = command.spawn().expect("bash can be run");
        let (sender, screen) = channel();
        let mut reader = ours.try_clone().expect("it can be copied");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                let _ = sender.send(bytes[..read].to_vec());
            }
        });
        Self { keyboard: ours, screen, seen: String::new(), child }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal accepts it");
    }

    fn resize(&self, columns: u16) {
        let size = libc::winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the size is read, of our own terminal.
        let set = unsafe { libc::ioctl(self.keyboard.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
    }

    /// Waits until the screen shows this, and forgets everything up to it.
    fn sees(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("no {text:?} in {:?}", self.seen),
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path() -> std::ffi::OsString {
    let mut path = program().parent().expect("it is in a directory").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

const SOURCES: &[&str] = &["ebpf", "ptrace"];

/// The very first line after it has the new width.
#[test]
fn a_resized_terminal_shows_at_once() {
    let _turn = turn::take();
    let mut shell = Shell::new();
    shell.resize(50);
    shell.types("procscope -q -e exec -n true\n");
    shell.sees("TIME");
    std::thread::sleep(Duration::from_millis(300));
    shell.resize(200);
    let argument = format!("{}-the-very-end", "x".repeat(80));
    Command::new("true").arg(argument).status().expect("it can be run");
    shell.sees("-the-very-end");
    shell.types("\x03");
}

#[test]
fn ctrl_c_is_the_commands_business() {
    let _turn = turn::take();
    for source in SOURCES {
        let mut shell = Shell::new();
        shell.types(&format!(
            "procscope run --source {source} -qo /dev/null sh -c 'echo re''ady; sleep 20'; echo st''atus $?\n"
        ));
        shell.sees("ready");
        std::thread::sleep(Duration::from_millis(100));
        shell.types("\x03");
        // An interactive shell whose job died of SIGINT would drop the rest of the line; one that ended by itself does not.
        shell.sees("status 130");
        let script = "trap \"echo cau\"\"ght; exit 9\" INT; echo re\"\"ady; while :; do sleep 0.05; done";
        shell.types(&format!("procscope run --source {source} -qo /dev/null sh -c '{script}'; echo st''atus $?\n"));
        shell.sees("ready");
        shell.types("\x03");
        shell.sees("caught");
        shell.sees("status 9");
    }
}

#[test]
fn ctrl_z_stops_both_and_fg_continues_both() {
    let _turn = turn::take();
    for source in SOURCES {
        let mut shell = Shell::new();
        let script = "echo re\"\"ady; read line; echo got $line; exit 7";
        shell.types(&format!("procscope run --source {source} -qo /dev/null sh -c '{script}'\n"));
        shell.sees("ready");
        std::thread::sleep(Duration::from_millis(100));
        for _ in 0..2 {
            shell.types("\x1a");
            shell.sees("Stopped");
            // The shell sees procscope stopped; on a busy machine the command may still be about to
            // stop, and consume typed text.
            std::thread::sleep(Duration::from_millis(500));
            shell.types("echo he''re\n");
            shell.sees("here");
            shell.types("fg\n");
            shell.sees("procscope run");
            std::thread::sleep(Duration::from_millis(100));
        }
        shell.types("wor''d\n");
        shell.sees("got wor''d");
        shell.types("echo st''atus $?\n");
        shell.sees("status 7");
    }
}

/// A shell with jobs, inside: it has the terminal, and its jobs stop, continue and end as they do
/// without us.
#[test]
fn a_shell_inside_has_its_jobs() {
    let _turn = turn::take();
    for source in SOURCES {
        let mut shell = Shell::new();
        shell.types(&format!("PS1='in: ' procscope run --source {source} -qo /dev/null bash --norc --noediting -i\n"));
        shell.sees("in: ");
        shell.types("sh -c 'echo re\"\"ady; read line; echo got $line; exit 3'\n");
        shell.sees("ready");
        shell.types("\x1a");
        shell.sees("Stopped");
        shell.types("sleep 30 & jobs; echo al''l\n");
        shell.sees("Stopped");
        shell.sees("Running");
        shell.sees("all");
        shell.types("kill -STOP %2; sleep 0.3; jobs %2; kill -CONT %2; sleep 0.3; jobs %2; echo do''ne\n");
        shell.sees("Stopped");
        shell.sees("Running");
        shell.sees("done");
        shell.types("fg %1\n");
        shell.sees("read line");
        shell.types("wor''d\n");
        shell.sees("got wor''d");
        shell.types("echo st''atus $?; kill %2; wait %2; echo kil''led $?\n");
        shell.sees("status 3");
        shell.sees("killed 143");
        shell.types("sleep 30\n");
        std::thread::sleep(Duration::from_millis(300));
        shell.types("\x03");
        shell.types("echo aft''er $?; exit 5\n");
        shell.sees("after 130");
        shell.types("echo out''side $?\n");
        shell.sees("outside 5");
    }
}
