use std::io;

use super::{Home, Launch, RunningCommand};
use crate::{Error, Pid};

/// No command on this system yet: [`Held::start`] returns that error.
#[derive(Debug)]
pub(crate) struct Held;

impl Held {
    pub(crate) fn start(_: &Launch) -> Result<Self, Error> {
        Err(Error::System { what: "starting a command", error: io::ErrorKind::Unsupported.into() })
    }

    pub(crate) fn command(&self) -> RunningCommand {
        RunningCommand::new(0)
    }

    pub(crate) fn pid(&self) -> Pid {
        0
    }

    pub(crate) fn home(&self) -> Home {
        Home::default()
    }

    pub(crate) fn open_gate(&self) {}

    pub(crate) fn became(&self) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn wait(&self) {}
}

pub(super) fn send(_: Pid, _: i32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
