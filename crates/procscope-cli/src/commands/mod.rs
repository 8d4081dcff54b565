pub(crate) mod completions;
pub(crate) mod man;
pub(crate) mod run;
pub(crate) mod watch;
