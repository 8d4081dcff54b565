pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod man;
pub(crate) mod personas;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod sources;
pub(crate) mod watch;
