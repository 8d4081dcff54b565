//! The plain data of procscope: processes, their events, and how far each field can be trusted.
//!
//! No operating system, no I/O: every type here means the same on Linux, Windows and macOS.

mod access;
mod ancestry;
mod argv;
mod capabilities;
mod errno;
mod event;
mod feed;
mod fields;
mod filter;
mod flaw;
mod id;
mod name;
mod obstacle;
mod process;
mod select;
mod signal;
mod sink;
mod status;
mod stop;
mod time;

pub use ancestry::{Ancestor, Ancestors, Ancestry, Parentage};
pub use argv::Argv;
pub use capabilities::Capabilities;
pub use errno::{errno_name, errno_number};
pub use event::{
    CommChange, CoreDump, Event, EventKind, ExecFailure, ExecInfo, Exit, ForkCall, ForkInfo, IdChange, Lost,
    PtraceChange, ThreadExit,
};
pub use event::{EventSet, KIND_COUNT, Kind, ParseEventSetError};
pub use feed::{Feed, FeedError};
pub use fields::{AncestorField, FIELDS, FieldSpec, FieldType, Value, field};
pub use filter::{Demand, Filter, FilterError, Term, Users};
pub use flaw::{Field, Flaw, Flaws, UnknownWord};
pub use id::{BootId, ParseBootIdError, Pid, ProcessId, SourceId, StartTime};
pub use name::Name;
pub use obstacle::{Cause, Lack, Note, Obstacle, Remedy, SystemError};
pub use process::{Credentials, ExeTraits, Login, Namespaces, ParseTtyError, Process, ProcessRef, Tty};
pub use select::Selected;
pub use signal::{signal_name, signal_number};
pub use sink::{Session, Sink, Summary};
pub use status::{ExitStatus, Usage};
pub use stop::StopHandle;
pub use time::Timestamp;
