//! The program itself, as the user has to type it, and what the library leaves to it to word.

use std::path::{Path, PathBuf};

use procscope::{Argv, Note, Obstacle, Remedy, Session, SourceId};

use procscope_format::quote;

/// The places where `sudo` looks, and where a bare name does: `secure_path` of Debian's and
/// Fedora's sudoers.
const USUAL: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What to type against an obstacle of a mechanism; `None` where nothing helps.
pub(crate) fn help(remedies: &[Remedy], source: SourceId) -> Option<String> {
    let words: Vec<_> = remedies.iter().map(|remedy| word(remedy, source)).collect();
    (!words.is_empty()).then(|| words.join(", or "))
}

fn word(remedy: &Remedy, source: SourceId) -> String {
    let id = source.name();
    match remedy {
        Remedy::Root => {
            let program = name(std::env::current_exe().ok().as_deref());
            let rest = match source {
                SourceId::Ebpf => String::new(),
                SourceId::Ptrace => " run -- CMD".to_owned(),
                _ => format!(" --source {id}"),
            };
            format!("run it as root: sudo {program}{rest}")
        }
        Remedy::OtherSource { id: Some(other) } => format!("use another source: procscope --source {other}"),
        Remedy::OtherSource { id: None } => "use another source: procscope sources".to_owned(),
        Remedy::AnySource => "run procscope without --source".to_owned(),
        Remedy::Try => format!("try it: procscope --source {id}"),
        Remedy::NameCommand => format!("name the command: procscope run --source {id} -- CMD"),
        Remedy::Memory => "free memory, or ask for a smaller ring: --ring-size 256KiB".to_owned(),
        other => other.to_string(),
    }
}

/// The notes of a session in lines for people.
pub(crate) fn notes(session: &Session) -> Vec<String> {
    session.notes.iter().map(|note| note_text(note, session.source)).collect()
}

fn note_text(note: &Note, source: SourceId) -> String {
    match note {
        Note::Obstacle(Obstacle { what, remedies, .. }) => match help(remedies, source) {
            Some(help) => format!("{what}; {help}"),
            None => what.to_string(),
        },
        Note::InsteadOf { source, cost, better, obstacle: Obstacle { what, remedies, .. } } => {
            let remedy = help(remedies, *better).map_or(String::new(), |help| format!(". For all of it: {help}"));
            format!("{source} in place of {better}, since {what}. So {cost}{remedy}")
        }
        other => other.to_string(),
    }
}

fn name(path: Option<&Path>) -> String {
    let is_usual = |path: &Path| path.parent().is_some_and(|dir| USUAL.iter().any(|usual| dir == Path::new(usual)));
    match path.filter(|path| !is_usual(path)).map(PathBuf::from) {
        Some(path) => {
            let mut word = Vec::new();
            quote::command(&Argv::from_strings([path.as_os_str().as_encoded_bytes()]), &mut word);
            String::from_utf8_lossy(&word).into_owned()
        }
        None => "procscope".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use procscope::{Cause, Lack};

    use super::*;

    #[test]
    fn sudo_finds_it() {
        assert_eq!(name(None), "procscope");
        assert_eq!(name(Some(Path::new("/usr/bin/procscope"))), "procscope");
        assert_eq!(name(Some(Path::new("/srv/procscope"))), "/srv/procscope");
        assert_eq!(name(Some(Path::new("/srv/my dir/procscope"))), "'/srv/my dir/procscope'");
    }

    #[test]
    fn remedies_name_the_program() {
        let word = |remedy, source| help(&[remedy], source).unwrap();
        let root = word(Remedy::Root, SourceId::Tracefs);
        assert!(root.starts_with("run it as root: sudo ") && root.ends_with(" --source tracefs"), "{root}");
        assert!(word(Remedy::Root, SourceId::Ptrace).ends_with(" run -- CMD"));
        assert_eq!(word(Remedy::Try, SourceId::Ebpf), "try it: procscope --source ebpf");
        assert_eq!(word(Remedy::mount_proc(), SourceId::Ebpf), "mount -t proc proc /proc");
        assert_eq!(help(&[], SourceId::Ebpf), None);
        let both = [Remedy::Try, Remedy::Boot { parameter: "lockdown=integrity" }];
        let text = "try it: procscope --source ebpf, or boot with lockdown=integrity";
        assert_eq!(help(&both, SourceId::Ebpf).unwrap(), text);
    }

    #[test]
    fn a_note_says_what_was_taken_and_what_helps() {
        let what = Lack::NotMounted { path: "/sys" };
        let remedy = Remedy::Mount { fs: "sysfs", at: "/sys", options: String::new(), sudo: false };
        let obstacle = Obstacle::new(what, Cause::NotConfigured, remedy);
        let note = Note::InsteadOf { source: SourceId::ProcPoll, cost: "it is slow", better: SourceId::Ebpf, obstacle };
        let text = "proc-poll in place of ebpf, since /sys is not mounted. So it is slow. For all of it: mount -t sysfs sysfs \
                    /sys";
        assert_eq!(note_text(&note, SourceId::ProcPoll), text);
        let obstacle = Obstacle::lasting(Lack::ParentsAlone, Cause::NotConfigured);
        assert!(note_text(&obstacle.into(), SourceId::ProcPoll).ends_with("reported here"));
    }
}
