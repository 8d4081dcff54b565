use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;
#[cfg(target_os = "linux")]
use std::time::Instant;

use terminal_size::{Height, Width, terminal_size_of};

use crate::failure::{Failure, describe, remedy};
use crate::render::Size;
#[cfg(target_os = "linux")]
use crate::standard;
#[cfg(target_os = "linux")]
use procscope_format::escape::visible;

/// Prints a message. A closed stderr must not end the program.
pub(crate) fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// The destination of the events: a file, or standard output.
pub(crate) struct Output {
    /// Its name in messages.
    pub(crate) name: String,
    file: Option<File>,
    /// The file's content is removed; what others write to is not.
    empties: bool,
}

impl Output {
    /// Opens a file, or standard output if there is none or it is `-`. The file's content stays
    /// until [`Output::into_writer`]. Waits for the reader of a named pipe, at most this long.
    pub(crate) fn open(path: Option<&Path>, time: Option<Duration>, quiet: bool) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self { name: "standard output".to_owned(), file: None, empties: false });
        };
        let name = path.display().to_string();
        match open_to_write(path, time, quiet) {
            Ok(file) => Ok(Self { name, file: Some(file), empties: true }),
            Err(error) => {
                let help = match error.kind() {
                    io::ErrorKind::IsADirectory => {
                        format!("name a file in it: -o {}", path.join("procscope.out").display())
                    }
                    io::ErrorKind::NotFound => {
                        format!("mkdir -p {}", path.parent().unwrap_or(Path::new(".")).display())
                    }
                    io::ErrorKind::TimedOut => format!("start its reader first: cat {name}"),
                    _ => remedy(&error).unwrap_or("name a file that you may write: -o FILE").to_owned(),
                };
                Err(Failure { what: format!("cannot open {name} for writing"), cause: describe(&error), help })
            }
        }
    }

    /// Standard error, for a run whose command has standard output.
    #[cfg(unix)]
    pub(crate) fn stderr() -> Result<Self, Failure> {
        use std::os::fd::AsFd as _;
        let name = "standard error".to_owned();
        #[cfg(target_os = "linux")]
        if standard::error_is_closed() {
            return Err(Failure::writing(&name, &closed()));
        }
        match io::stderr().as_fd().try_clone_to_owned() {
            Ok(fd) => Ok(Self { name, file: Some(fd.into()), empties: false }),
            Err(error) => Err(Failure::writing(&name, &error)),
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn stderr() -> Result<Self, Failure> {
        Self::open(None, None, false)
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.file.as_ref().map_or_else(|| io::stdout().is_terminal(), File::is_terminal)
    }

    /// The terminal behind the output, if there is one.
    pub(crate) fn screen(&self) -> io::Result<Option<Screen>> {
        if !self.is_terminal() {
            return Ok(None);
        }
        Ok(Some(Screen { file: self.file.as_ref().map(File::try_clone).transpose()? }))
    }

    /// Standard output, if it is a pipe or a socket, whose reader may go away. A named pipe may
    /// find another reader, and does not count.
    #[cfg(target_os = "linux")]
    pub(crate) fn pipe(&self) -> io::Result<Option<File>> {
        use std::os::fd::AsFd as _;
        use std::os::unix::fs::FileTypeExt as _;
        if self.file.is_some() {
            return Ok(None);
        }
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let kind = file.metadata()?.file_type();
        Ok((kind.is_fifo() || kind.is_socket()).then_some(file))
    }

    /// Empties the file and gives the end to write to.
    pub(crate) fn into_writer(self) -> io::Result<Box<dyn Write + Send>> {
        match self.file {
            None => stdout(),
            Some(file) => {
                // A pipe or a device has no length to set.
                if self.empties && file.metadata()?.is_file() {
                    file.set_len(0)?;
                }
                Ok(Box::new(file))
            }
        }
    }
}

/// Opens a file for writing, and makes it if there is none.
fn open_to_write(path: &Path, time: Option<Duration>, quiet: bool) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
            return open_pipe(path, time, quiet);
        }
    }
    let _ = (time, quiet);
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

/// Opens a named pipe as soon as something reads it. Waiting in open(2) could last for ever.
#[cfg(target_os = "linux")]
fn open_pipe(path: &Path, time: Option<Duration>, quiet: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    const EVERY: Duration = Duration::from_millis(20);
    let begun = Instant::now();
    let mut said = quiet;
    loop {
        match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
            // It has no reader.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {}
            Err(error) => return Err(error),
            Ok(file) => {
                fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
                return Ok(file);
            }
        }
        if time.is_some_and(|time| begun.elapsed() >= time) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no process reads this pipe"));
        }
        if !std::mem::replace(&mut said, true) {
            say(&format!("procscope: waiting for a reader of {}\n", visible(&path.display().to_string())));
        }
        std::thread::sleep(EVERY);
    }
}

/// The end of standard output to write to. Not std's own, which ignores a closed standard output.
fn stdout() -> io::Result<Box<dyn Write + Send>> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsFd as _;
        if standard::output_is_closed() {
            return Err(closed());
        }
        Ok(Box::new(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
    }
    #[cfg(not(target_os = "linux"))]
    Ok(Box::new(io::stdout()))
}

#[cfg(target_os = "linux")]
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it was closed when procscope began")
}

/// The environment's settings: NO_COLOR as on no-color.org, and a terminal without colours.
pub(crate) fn colors_are_welcome() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Prints a text as a whole. A reader that closes the pipe has seen enough.
pub(crate) fn print(text: &[u8]) -> Result<(), Failure> {
    match stdout().and_then(|mut stdout| stdout.write_all(text).and_then(|()| stdout.flush())) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure {
            what: "cannot write to standard output".to_owned(),
            cause: describe(&error),
            help: remedy(&error).unwrap_or("redirect it to a file that can be written").to_owned(),
        }),
        _ => Ok(()),
    }
}

/// A terminal, which may change its size at any time.
pub(crate) struct Screen {
    file: Option<File>,
}

impl Screen {
    pub(crate) fn size(&self) -> Option<Size> {
        let size = self.file.as_ref().map_or_else(|| terminal_size_of(io::stdout()), terminal_size_of);
        let (Width(columns), Height(rows)) = size?;
        // A serial line that does not know its size says 0.
        (columns > 0 && rows > 0).then(|| Size { columns: columns.into(), rows: rows.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_it_held_until_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        std::fs::write(&path, "old and long").unwrap();
        let output = Output::open(Some(&path), None, true).unwrap();
        assert!(output.screen().unwrap().is_none());
        assert_eq!(std::fs::read(&path).unwrap(), b"old and long");
        output.into_writer().unwrap().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn what_cannot_be_opened_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let failure = Output::open(Some(&dir.path().join("no/such/file")), None, true).err().unwrap();
        assert!(failure.help.starts_with("mkdir -p ") && failure.help.ends_with("such"), "{failure}");
        let failure = Output::open(Some(dir.path()), None, true).err().unwrap();
        assert!(failure.what.starts_with("cannot open"), "{failure}");
    }
}
