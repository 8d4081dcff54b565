//! No modules side by side use each other in a circle, whatever room they are in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::modules::{Modules, Place};

/// Circles that are known and not yet gone. None may be added.
const KNOWN: &[&str] = &[];

/// The circles among the children of each module: `crate::filter: check, test`. A module's own tests are left out.
fn circles(modules: &Modules) -> Vec<String> {
    let mut arrows: BTreeMap<Place, BTreeSet<(String, String)>> = BTreeMap::new();
    let is_test = |place: &Place| place.iter().any(|name| name == "tests");
    for arrow in modules.uses().iter().filter(|arrow| !is_test(&arrow.from) && !is_test(&arrow.to)) {
        let shared = arrow.from.iter().zip(&arrow.to).take_while(|(from, to)| from == to).count();
        if let (Some(from), Some(to)) = (arrow.from.get(shared), arrow.to.get(shared)) {
            arrows.entry(arrow.from[..shared].to_vec()).or_default().insert((from.clone(), to.clone()));
        }
    }
    arrows.iter().flat_map(|(parent, arrows)| circles_among(parent, arrows)).collect()
}

fn circles_among(parent: &Place, arrows: &BTreeSet<(String, String)>) -> Vec<String> {
    let mut reach = arrows.clone();
    loop {
        let longer: Vec<_> = reach
            .iter()
            .flat_map(|(from, by)| reach.iter().filter(move |(at, _)| at == by).map(move |(_, to)| (from, to)))
            .map(|(from, to)| (from.clone(), to.clone()))
            .filter(|arrow| !reach.contains(arrow))
            .collect();
        if longer.is_empty() {
            break;
        }
        reach.extend(longer);
    }
    let circle_of = |name: &String| -> Vec<String> {
        let back = |other: &String| {
            reach.contains(&(name.clone(), other.clone())) && reach.contains(&(other.clone(), name.clone()))
        };
        reach
            .iter()
            .map(|(from, _)| from)
            .filter(|other| back(other))
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    };
    let circles: BTreeSet<_> =
        arrows.iter().map(|(from, _)| circle_of(from)).filter(|circle| !circle.is_empty()).collect();
    let at: Vec<_> = ["crate".to_owned()].iter().chain(parent).cloned().collect();
    circles.into_iter().map(|circle| format!("{}: {}", at.join("::"), circle.join(", "))).collect()
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let files = crate::files();
    let mut findings = Vec::new();
    let mut met = BTreeSet::new();
    for name in crate::CRATES {
        for circle in circles(&Modules::read(&Path::new(name).join("src"), &files)) {
            let finding = format!("{name}: {circle}");
            match KNOWN.contains(&finding.as_str()) {
                true => drop(met.insert(finding)),
                false => findings.push(finding),
            }
        }
    }
    let gone = KNOWN.iter().filter(|known| !met.contains(**known));
    findings.extend(gone.map(|known| format!("{known}: is gone: take it off KNOWN")));
    crate::assert_none(&findings, "move what both need into a module of its own below them");
}

#[cfg(test)]
mod tests {
    use crate::modules::tests::krate;

    use super::*;

    #[test]
    fn a_circle_is_found_however_long() {
        let lib = ("lib.rs", "mod a; mod b; mod c; mod d;");
        let line =
            [lib, ("a.rs", "use crate::b;"), ("b.rs", "use super::c::X;"), ("c.rs", ""), ("d.rs", "use crate::a;")];
        assert!(circles(&krate(&line)).is_empty());
        let mut circle = line;
        circle[3] = ("c.rs", "fn f() { crate::a::g() }");
        assert_eq!(circles(&krate(&circle)), ["crate: a, b, c"]);
    }

    #[test]
    fn a_circle_below_a_folder_is_found_and_tests_are_left_out() {
        let modules = krate(&[
            ("lib.rs", "mod filter; mod tests;"),
            ("tests.rs", "use crate::filter::test;"),
            ("filter/mod.rs", "mod check; mod test; use check::a; use test::b;"),
            ("filter/check.rs", "use super::test::b;\n#[cfg(test)]\nmod tests { use crate::tests::x; }"),
            ("filter/test.rs", "use super::*; use super::check;"),
        ]);
        assert_eq!(circles(&modules), ["crate::filter: check, test"]);
    }
}
