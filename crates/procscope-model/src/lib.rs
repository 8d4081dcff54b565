//! The plain data of procscope: processes, their events, and how far each field can be trusted.
//!
//! No operating system, no I/O: every type here means the same on Linux, Windows and macOS.
//!
//! Feature `serde` (not a default): `Serialize` and `Deserialize` for an [`Event`] and all that it
//! holds, and for [`Summary`]. Words are those of JSON Lines (`exec-failed`, `read-late`), and bytes are
//! a string if they are valid UTF-8, else a list of numbers. Otherwise the structure is that of the
//! types. The lines of `--format json` are another format: `procscope-format` writes and reads them.

mod access;
mod ancestry;
mod argv;
mod capabilities;
mod counts;
mod errno;
mod event;
mod feed;
mod fields;
mod filter;
mod flaw;
mod id;
mod kind;
mod name;
mod obstacle;
mod process;
mod select;
#[cfg(feature = "serde")]
mod serial;
mod signal;
mod sink;
mod status;
mod stop;
mod time;

pub use ancestry::{Ancestor, Ancestors, Ancestry, Parentage};
pub use argv::Argv;
pub use capabilities::Capabilities;
pub use counts::Counts;
pub use errno::{errno_name, errno_number};
pub use event::{
    CommChange, CoreDump, Event, EventKind, ExecFailure, ExecInfo, Exit, ForkCall, ForkInfo, IdChange, Lost,
    PtraceChange, StartInfo, ThreadExit,
};
pub use feed::{Feed, FeedError};
pub use fields::{AncestorField, FIELDS, FieldSpec, FieldType, Value, field};
pub use filter::{Demand, Filter, FilterError, Term, Users};
pub use flaw::{Field, Flaw, Flaws, UnknownWord};
pub use id::{BootId, ParseBootIdError, Pid, ProcessId, SourceId, StartTime};
pub use kind::{EventSet, Kind, ParseEventSetError};
pub use name::Name;
pub use obstacle::{Cause, Lack, Note, Obstacle, Remedy, SystemError};
pub use process::{Credentials, ExeTraits, Login, Namespaces, ParseTtyError, Process, ProcessRef, Tty};
pub use select::Selected;
pub use signal::{signal_name, signal_number};
pub use sink::{Session, Sink, Summary};
pub use status::{ExitStatus, Usage};
pub use stop::StopHandle;
pub use time::Timestamp;
