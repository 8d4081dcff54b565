//! Debian's packages by name, from other suites of the configured archives, or for another machine.
//! Nothing is installed, and the system's own lists stay unchanged.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::table::{Arch, Kernel, Suite};
use crate::process::{output, run};
use crate::workspace;

/// An archive that the system's apt knows.
struct Archive {
    signed_by: Option<String>,
    uri: String,
    suites: Vec<String>,
}

/// The kernel's image, from the cache or from its archive.
pub(super) fn image(kernel: &Kernel) -> Result<PathBuf> {
    let dir = workspace::cache()?.join("kernels").join(kernel.name);
    if let Some(image) = find_image(&dir)? {
        return Ok(image);
    }
    let apt = Apt::new(dir.join("apt"), kernel.suites, kernel.arch)?;
    let package = apt.kernel()?;
    let unpacked = apt.unpack(&[&package])?;
    let (found, name) = match find_image(&unpacked.join("boot"))? {
        Some(found) => (found.clone(), found.file_name().context("an image without a name")?.to_owned()),
        None => find_among_modules(&unpacked).with_context(|| format!("{package} has no kernel"))?,
    };
    let image = dir.join(name);
    fs::rename(&found, &image)?;
    fs::remove_dir_all(&apt.dir)?;
    Ok(image)
}

fn find_image(dir: &Path) -> Result<Option<PathBuf>> {
    if !dir.exists() {
        return Ok(None);
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("vmlinuz-") {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Newer packages have it beside the modules, in a directory named after the version.
fn find_among_modules(unpacked: &Path) -> Result<(PathBuf, OsString)> {
    let mut versions = fs::read_dir(unpacked.join("usr/lib/modules"))?;
    let version = versions.next().context("no version")??;
    let mut name = OsString::from("vmlinuz-");
    name.push(version.file_name());
    Ok((version.path().join("vmlinuz"), name))
}

/// apt with sources, lists and a state of its own.
pub(super) struct Apt {
    pub(super) dir: PathBuf,
    arch: Arch,
}

impl Apt {
    /// Fetches the lists of these suites, for such a machine.
    pub(super) fn new(dir: PathBuf, suites: &[Suite], arch: Arch) -> Result<Self> {
        if dir.exists() {
            // Leftovers of an interrupted run.
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(dir.join("lists/partial"))?;
        fs::create_dir_all(dir.join("cache/archives/partial"))?;
        fs::write(dir.join("status"), "")?;
        fs::write(dir.join("sources.list"), sources(suites)?)?;
        let apt = Self { dir, arch };
        run(apt.command("apt-get").args(["-q", "update"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let option = |name: &str, file: &str| format!("{name}={}", self.dir.join(file).display());
        for option in [
            option("Dir::Etc::SourceList", "sources.list"),
            "Dir::Etc::SourceParts=/dev/null".into(),
            option("Dir::State::Lists", "lists"),
            option("Dir::State::Status", "status"),
            option("Dir::Cache", "cache"),
            "Acquire::Languages=none".into(),
            // A list that does not come is an error, not a warning.
            "APT::Update::Error-Mode=any".into(),
            // The user _apt may not enter root's cache.
            "APT::Sandbox::User=root".into(),
            format!("APT::Architecture={}", self.arch.debian()),
            format!("APT::Architectures::={}", self.arch.debian()),
        ] {
            command.args(["-o", &option]);
        }
        command.current_dir(&self.dir);
        command
    }

    /// The package that has the image: newer suites have a separate one.
    fn kernel(&self) -> Result<String> {
        let kind = format!("-cloud-{}", self.arch.debian());
        let all = format!("linux-image{kind}");
        let text = output(self.command("apt-cache").args(["depends", "--recurse", "--important", &all]))?;
        let named = |prefix: &str| {
            let mut names = text.lines().filter(|name| name.ends_with(&kind));
            names.find(|name| {
                name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            })
        };
        let found = named("linux-binary-").or_else(|| named("linux-image-"));
        Ok(found.with_context(|| format!("{all} depends on no kernel"))?.to_owned())
    }

    /// Downloads packages, and returns where their content is.
    pub(super) fn unpack(&self, packages: &[&str]) -> Result<PathBuf> {
        run(self.command("apt-get").args(["-q", "download"]).args(packages))?;
        let files = fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        let debs: Vec<_> = files.iter().filter(|path| path.extension().is_some_and(|it| it == "deb")).collect();
        if debs.len() != packages.len() {
            bail!("apt-get brought {} files for {}", debs.len(), packages.join(" "));
        }
        let unpacked = self.dir.join("unpacked");
        for deb in debs {
            run(Command::new("dpkg").arg("-x").arg(deb).arg(&unpacked))?;
        }
        Ok(unpacked)
    }
}

/// The configured lines with these suites' names in them.
fn sources(suites: &[Suite]) -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"');
    let archives = configured()?;
    let mut lines = String::new();
    for suite in suites {
        let like = if suite.security { format!("{codename}-security") } else { codename.to_owned() };
        let archive = archives.iter().find(|archive| archive.suites.contains(&like));
        let archive = archive.with_context(|| format!("apt has no source of Debian's suite {like}"))?;
        let option = archive.signed_by.as_ref().map(|key| format!("[signed-by={key}] ")).unwrap_or_default();
        lines.push_str(&format!("deb {option}{} {} main\n", archive.uri, suite.name));
    }
    Ok(lines)
}

fn configured() -> Result<Vec<Archive>> {
    let parts = Path::new("/etc/apt/sources.list.d");
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if parts.exists() {
        files.extend(fs::read_dir(parts)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?);
    }
    let mut archives = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => archives.extend(text.lines().filter_map(from_line)),
            Some("sources") => archives.extend(from_stanzas(&text)),
            _ => {}
        }
    }
    Ok(archives)
}

/// `deb [signed-by=KEY] URI SUITE main`
fn from_line(line: &str) -> Option<Archive> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=")).map(str::to_owned);
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Archive { signed_by, uri: words.next()?, suites: vec![words.next()?] })
}

/// Fields of one line each, stanzas with empty lines between.
fn from_stanzas(text: &str) -> Vec<Archive> {
    let text: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let stanza = |lines: &[&str]| {
        let field = |name: &str| {
            let lines = lines.iter().filter_map(|line| line.split_once(':'));
            lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
        };
        let uri = field("URIs")?.split_whitespace().next()?.to_owned();
        let suites = field("Suites")?.split_whitespace().map(str::to_owned).collect();
        // A key may be in place; otherwise apt's trusted ones are used.
        let signed_by = field("Signed-By").filter(|key| key.starts_with('/'));
        Some(Archive { signed_by, uri, suites })
    };
    text.split(|line| line.trim().is_empty()).filter_map(stanza).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_source() {
        let line = from_line("deb [arch=amd64 signed-by=/k.gpg] http://deb.debian.org/debian bookworm main").unwrap();
        assert_eq!(
            (line.signed_by.as_deref(), &*line.uri, &*line.suites),
            (Some("/k.gpg"), "http://deb.debian.org/debian", &["bookworm".to_owned()][..])
        );
        assert!(from_line("# deb http://deb.debian.org/debian bookworm main").is_none());

        let text = "Types: deb\n# a snapshot\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\n\
                    Signed-By: /k.gpg\n\nTypes: deb\nURIs: http://s/\nSuites: bookworm-security\n";
        let [main, security] = &from_stanzas(text)[..] else { panic!("two stanzas") };
        assert_eq!((main.signed_by.as_deref(), main.suites.len()), (Some("/k.gpg"), 2));
        assert_eq!((&*security.uri, &security.signed_by), ("http://s/", &None));
    }
}
