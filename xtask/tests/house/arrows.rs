//! No module uses one of a room that the table does not open to it: not a higher one, and not a sibling.

use std::path::{Path, PathBuf};

use crate::modules::Modules;
use crate::rooms::{PAGE, Rooms};

/// Arrows that are known and not yet gone: the user's file and the used room. None may be added.
const KNOWN: &[(&str, &str)] = &[];

/// An arrow that the table does not allow: the user's file, the used room, and both in words.
type Wrong = (PathBuf, String, String);

/// What is wrong between modules of one crate.
fn wrong_uses(rooms: &Rooms, krate: &Path, modules: &Modules) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let whole = rooms.of(&krate.join("Cargo.toml"));
    for file in modules.files() {
        let at = rooms.of(file);
        if at.is_none() || (at == whole && rooms.divide(&krate.join("src"))) {
            wrong.push((file.to_owned(), String::new(), format!("{}: is in no room", file.display())));
        }
    }
    for arrow in modules.uses() {
        let Some(to_file) = modules.file_of(&arrow.to) else { continue };
        let (Some(from), Some(to)) = (rooms.of(&arrow.file), rooms.of(to_file)) else { continue };
        if !rooms.allows(&from, &to) {
            let (file, line, module) = (arrow.file.display(), arrow.line, arrow.to.join("::"));
            let words = format!("{file}:{line}: {from} uses {to}: crate::{module}");
            wrong.push((arrow.file.clone(), to.room, words));
        }
    }
    wrong
}

/// Leaves out what is known, and adds what is known and gone.
fn without_known(wrong: Vec<Wrong>, known: &[(&str, &str)]) -> Vec<String> {
    let is = |(file, to, _): &Wrong, (known, room): &(&str, &str)| Path::new(known) == file && to == room;
    let gone: Vec<_> = known.iter().filter(|known| !wrong.iter().any(|wrong| is(wrong, known))).collect();
    let new = wrong.into_iter().filter(|wrong| !known.iter().any(|known| is(wrong, known)));
    let mut findings: Vec<_> = new.map(|(.., words)| words).collect();
    findings.extend(gone.iter().map(|(file, room)| format!("{file}: does not use {room} any more: take it off KNOWN")));
    findings
}

/// A manifest's dependencies on our crates that the table does not allow.
fn wrong_dependencies(rooms: &Rooms, manifests: &[(PathBuf, String)]) -> Vec<String> {
    let name_of = |manifest: &str| {
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
        name.map(|name| name.trim_matches('"').to_owned())
    };
    let ours: Vec<_> =
        manifests.iter().filter_map(|(path, manifest)| Some((name_of(manifest)?, rooms.of(path)?))).collect();
    let mut findings = Vec::new();
    for (path, manifest) in manifests {
        let Some(from) = rooms.of(path) else {
            findings.push(format!("{}: is in no room", path.display()));
            continue;
        };
        let asked = manifest.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        let wrong = asked.filter_map(|asked| ours.iter().find(|(name, to)| name == asked && !rooms.allows(&from, to)));
        findings.extend(wrong.map(|(name, _)| format!("{}: {} depends on {name}", path.display(), from.room)));
    }
    findings
}

#[test]
fn no_crate_depends_on_a_higher_room() {
    let manifests: Vec<_> = crate::files()
        .into_iter()
        .filter(|file| {
            file.file_name().is_some_and(|name| name == "Cargo.toml") && file.parent() != Some(Path::new(""))
        })
        .map(|file| (file.clone(), crate::read(&file)))
        .collect();
    crate::assert_none(&wrong_dependencies(&Rooms::read(), &manifests), &format!("the table is in {PAGE}"));
}

#[test]
fn no_module_uses_a_higher_room_or_a_sibling() {
    let rooms = Rooms::read();
    let files = crate::files();
    let mut findings: Vec<_> =
        rooms.empty(&files).into_iter().map(|pattern| format!("{PAGE}: no file is in {pattern}")).collect();
    let wrong = crate::CRATES
        .iter()
        .flat_map(|name| wrong_uses(&rooms, Path::new(name), &Modules::read(&Path::new(name).join("src"), &files)));
    findings.extend(without_known(wrong.collect(), KNOWN));
    crate::assert_none(&findings, &format!("move what is shared into a lower room; the table is in {PAGE}"));
}

#[cfg(test)]
mod tests {
    use crate::modules::tests::krate;

    use super::*;

    const PAGE: &str = "| room | where | may use | what |\n|---|---|---|---|\n\
        | low | `low.rs` |  | x |\n| each | `source/*/` | low | x |\n| root | `lib.rs`, `source/mod.rs` | low, each | x |\n";

    fn findings(sources: &[(&str, &str)], known: &[(&str, &str)]) -> Vec<String> {
        let rooms = Rooms::parse(PAGE).expect("the table is right");
        without_known(wrong_uses(&rooms, Path::new(""), &krate(sources)), known)
    }

    #[test]
    fn an_arrow_up_or_to_a_sibling_is_found() {
        let lib = ("lib.rs", "mod low; mod source; use low::A; use source::a::B;");
        let source = ("source/mod.rs", "");
        let mod_a = ("source/a/mod.rs", "use crate::low; mod inner;");
        let good =
            [lib, source, ("low.rs", ""), mod_a, ("source/a/inner.rs", "use super::X;"), ("source/b/mod.rs", "")];
        assert!(findings(&good, &[]).is_empty(), "{:?}", findings(&good, &[]));
        let bad = [
            lib,
            source,
            ("low.rs", "\nuse crate::source::{a::X};"),
            mod_a,
            ("source/b/mod.rs", "fn f() { super::a::g() }"),
        ];
        let up = "low.rs:2: low uses each (a): crate::source::a";
        let aside = "source/b/mod.rs:1: each (b) uses each (a): crate::source::a";
        assert_eq!(findings(&bad, &[]), [up, aside]);
        assert_eq!(findings(&bad, &[("low.rs", "each")]), [aside]);
        let gone = "source/a/mod.rs: does not use root any more: take it off KNOWN";
        assert_eq!(findings(&good, &[("source/a/mod.rs", "root")]), [gone]);
    }

    #[test]
    fn a_file_outside_every_room_is_found() {
        assert_eq!(findings(&[("other.rs", "")], &[]), ["other.rs: is in no room"]);
    }

    #[test]
    fn a_crate_that_asks_for_a_higher_one_is_found() {
        let page = "| room | where | may use | what |\n|---|---|---|---|\n| low | `low/` |  | x |\n| high | `high/` | low | x |\n";
        let rooms = Rooms::parse(page).expect("the table is right");
        let manifest = |name: &str, asks: &str| {
            (PathBuf::from(format!("{name}/Cargo.toml")), format!("name = \"{name}\"\n[dependencies]\n{asks}\n"))
        };
        let good = [manifest("low", "libc = \"1\""), manifest("high", "low.workspace = true")];
        assert!(wrong_dependencies(&rooms, &good).is_empty());
        let bad = [manifest("low", "high = { path = \"../high\" }"), manifest("high", "")];
        assert_eq!(wrong_dependencies(&rooms, &bad), ["low/Cargo.toml: low depends on high"]);
        assert_eq!(wrong_dependencies(&rooms, &[manifest("new", "")]), ["new/Cargo.toml: is in no room"]);
    }
}
