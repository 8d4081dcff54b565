//! The program's own name, as the user has to type it.

use std::path::{Path, PathBuf};

use procscope::Argv;

use procscope_format::quote;

/// The places where `sudo` looks, and where a bare name does: `secure_path` of Debian's and
/// Fedora's sudoers.
const USUAL: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A text of the library, with `sudo procscope` replaced by a program that sudo finds.
pub(crate) fn by_its_path(text: &str) -> String {
    text.replace("sudo procscope", &format!("sudo {}", name(std::env::current_exe().ok().as_deref())))
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
    use super::*;

    #[test]
    fn sudo_finds_it() {
        assert_eq!(name(None), "procscope");
        assert_eq!(name(Some(Path::new("/usr/bin/procscope"))), "procscope");
        assert_eq!(name(Some(Path::new("/srv/procscope"))), "/srv/procscope");
        assert_eq!(name(Some(Path::new("/srv/my dir/procscope"))), "'/srv/my dir/procscope'");
        assert_eq!(by_its_path("type: ls"), "type: ls");
        assert!(by_its_path("run it as root: sudo procscope --x").ends_with(" --x"));
    }
}
