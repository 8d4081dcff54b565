//! The modules of a crate, and the paths that each names: a crate's sources as tokens, which macros cannot hide.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module's place in its crate: no name for the root, `["source", "ebpf"]` for `crate::source::ebpf`.
pub(crate) type Place = Vec<String>;

/// A path that a module names.
#[derive(Debug)]
struct Named {
    segments: Vec<String>,
    line: usize,
    /// The name that a `use` gives to it; none in an expression.
    alias: Option<String>,
    is_glob: bool,
}

#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    names: Vec<Named>,
}

/// One module names another.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
}

/// All modules of one crate.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    modules: BTreeMap<Place, Module>,
}

impl Modules {
    /// Reads the sources below `dir`, which holds `lib.rs` or `main.rs`.
    pub(crate) fn read(dir: &Path, files: &[PathBuf]) -> Self {
        let mut modules = Self::default();
        for file in files {
            let Ok(inside) = file.strip_prefix(dir) else { continue };
            if inside.extension().is_some_and(|extension| extension == "rs") {
                modules.add(file, place_of(inside), &crate::read(file));
            }
        }
        modules
    }

    pub(crate) fn add(&mut self, file: &Path, place: Place, source: &str) {
        let tokens: TokenStream = source.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.modules.entry(place.clone()).or_default().file = file.to_owned();
        self.walk(file, &place, tokens);
    }

    pub(crate) fn file_of(&self, place: &Place) -> Option<&Path> {
        self.modules.get(place).map(|module| module.file.as_path())
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.modules.values().map(|module| module.file.as_path())
    }

    /// Every arrow between two different modules. A name that is handed on by `pub use` leads to the module that has it.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (place, module) in &self.modules {
            for named in &module.names {
                if let Some(to) = self.resolve(place, &named.segments, 0).filter(|to| to != place) {
                    uses.push(Use { from: place.clone(), to, file: module.file.clone(), line: named.line });
                }
            }
        }
        uses
    }

    fn walk(&mut self, file: &Path, place: &Place, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut after_path = false;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(word) if word == "mod" => {
                    if let Some(TokenTree::Ident(name)) = tokens.next()
                        && let Some(TokenTree::Group(group)) = tokens.peek()
                        && group.delimiter() == Delimiter::Brace
                    {
                        let inner: Place = place.iter().cloned().chain([name.to_string()]).collect();
                        let stream = group.stream();
                        self.modules.entry(inner.clone()).or_default().file = file.to_owned();
                        tokens.next();
                        self.walk(file, &inner, stream);
                    }
                }
                TokenTree::Ident(word) if word == "use" => {
                    let names = use_tree(&mut tokens, &[]);
                    self.modules.entry(place.clone()).or_default().names.extend(names);
                }
                TokenTree::Ident(word) if !after_path => {
                    let line = word.span().start().line;
                    let mut segments = vec![word.to_string()];
                    while is_separator(&mut tokens) {
                        match tokens.peek() {
                            Some(TokenTree::Ident(next)) => {
                                segments.push(next.to_string());
                                tokens.next();
                            }
                            _ => break,
                        }
                    }
                    if segments.len() > 1 {
                        let named = Named { segments, line, alias: None, is_glob: false };
                        self.modules.entry(place.clone()).or_default().names.push(named);
                    }
                }
                // `pub(in …)` uses nothing.
                TokenTree::Group(group) if matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(word)) if word == "in") =>
                    {}
                TokenTree::Group(group) => self.walk(file, place, group.stream()),
                _ => {}
            }
            after_path = is_separator(&mut tokens);
        }
    }

    /// The module that a path as `place` sees it leads to; none for what is not of this crate.
    fn resolve(&self, place: &Place, segments: &[String], depth: usize) -> Option<Place> {
        // Two modules may hand each other's names on by globs.
        if depth > 8 {
            return None;
        }
        let mut at = place.clone();
        let mut rest = segments;
        let mut is_anchored = false;
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                _ => break,
            }
            is_anchored = true;
            rest = others;
        }
        while let Some((first, others)) = rest.split_first() {
            let child: Place = at.iter().cloned().chain([first.clone()]).collect();
            if self.modules.contains_key(&child) {
                at = child;
                rest = others;
                is_anchored = true;
                continue;
            }
            let names = self.modules.get(&at).map_or(&[][..], |module| &module.names);
            let alias = names.iter().find(|named| named.alias.as_ref() == Some(first));
            if let Some(alias) = alias {
                // `use regex::regex` leads out of the crate.
                if alias.segments == segments {
                    return None;
                }
                let path: Vec<_> = alias.segments.iter().chain(others).cloned().collect();
                return self.resolve(&at, &path, depth + 1);
            }
            let mut perhaps_foreign = false;
            for glob in names.iter().filter(|named| named.is_glob) {
                let Some(behind) = self.resolve(&at, &glob.segments, depth + 1) else {
                    perhaps_foreign = true;
                    continue;
                };
                let path: Vec<_> = ["self".to_owned()].iter().chain(rest).cloned().collect();
                let found = self.resolve(&behind, &path, depth + 1).filter(|found| *found != behind && *found != at);
                if found.is_some() {
                    return found;
                }
            }
            if perhaps_foreign {
                return None;
            }
            break;
        }
        is_anchored.then_some(at)
    }
}

/// Takes `::` if it comes next.
fn is_separator(tokens: &mut Peekable<impl Iterator<Item = TokenTree>>) -> bool {
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':');
    match tokens.peek() {
        Some(TokenTree::Punct(punct)) if punct.as_char() == ':' && punct.spacing() == proc_macro2::Spacing::Joint => {
            tokens.next();
            tokens.next_if(is_colon).is_some()
        }
        _ => false,
    }
}

/// The paths of one `use`, up to its semicolon; of one branch of it, up to the comma.
fn use_tree(tokens: &mut Peekable<impl Iterator<Item = TokenTree>>, before: &[String]) -> Vec<Named> {
    let mut segments = before.to_vec();
    let mut named = Vec::new();
    let mut alias = None;
    let mut line = 0;
    let mut is_glob = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if ";,".contains(punct.as_char()) => break,
            TokenTree::Punct(punct) if punct.as_char() == '*' => {
                line = punct.span().start().line;
                is_glob = true;
            }
            TokenTree::Ident(word) if word == "as" => {
                alias = tokens.next().map(|name| name.to_string());
            }
            TokenTree::Ident(word) => {
                line = word.span().start().line;
                segments.push(word.to_string());
            }
            TokenTree::Group(group) => {
                let mut inner = group.stream().into_iter().peekable();
                while inner.peek().is_some() {
                    named.extend(use_tree(&mut inner, &segments));
                }
                return named;
            }
            _ => {}
        }
    }
    if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
        segments.pop();
    }
    // Nothing is between a group and the comma after it.
    if line != 0 {
        let alias = alias.or_else(|| segments.last().filter(|_| !is_glob).cloned());
        named.push(Named { segments, line, alias, is_glob });
    }
    named
}

/// `source/ebpf/mod.rs` is `["source", "ebpf"]`; `lib.rs` the root.
fn place_of(inside: &Path) -> Place {
    let mut place: Place = inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if place.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        place.pop();
    }
    place
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A crate of sources by their place.
    pub(crate) fn krate(sources: &[(&str, &str)]) -> Modules {
        let mut modules = Modules::default();
        for (file, source) in sources {
            modules.add(Path::new(file), place_of(Path::new(file)), source);
        }
        modules
    }

    fn arrows(modules: &Modules) -> Vec<String> {
        modules
            .uses()
            .iter()
            .map(|u| format!("{}:{} {} > {}", u.file.display(), u.line, u.from.join("::"), u.to.join("::")))
            .collect()
    }

    #[test]
    fn paths_are_found_in_uses_expressions_and_macros() {
        let modules = krate(&[
            ("lib.rs", "mod a; mod b; mod c;\nuse b::Thing as Other;\nfn f() { Other::new(); }"),
            ("a.rs", "use crate::{b::{self, Thing}, c};\nfn f() { println!(\"{}\", c::deep::X); std::mem::take(x) }"),
            ("b/mod.rs", "mod inner;\npub struct Thing;"),
            ("b/inner.rs", "fn f() -> super::Thing { super::super::c::deep::y() }"),
            ("c.rs", "pub mod deep { pub const X: u8 = 1; use super::super::a; }"),
        ]);
        assert_eq!(
            arrows(&modules),
            [
                "lib.rs:2  > b",
                "lib.rs:3  > b",
                "a.rs:1 a > b",
                "a.rs:1 a > b",
                "a.rs:1 a > c",
                "a.rs:2 a > c::deep",
                "b/inner.rs:1 b::inner > b",
                "b/inner.rs:1 b::inner > c::deep",
                "c.rs:1 c::deep > a",
            ]
        );
    }

    #[test]
    fn a_name_that_is_handed_on_leads_to_its_module() {
        let modules = krate(&[
            ("lib.rs", "mod low; mod high; pub use high::Made; pub use low::*; mod low2;"),
            ("high/mod.rs", "mod part; pub use part::Made; pub use part::*;"),
            ("high/part.rs", "pub struct Made; pub mod further {}"),
            ("low.rs", "use crate::Made;"),
            ("low2.rs", "use crate::high::further::X;"),
        ]);
        let low: Vec<_> = arrows(&modules).into_iter().filter(|arrow| arrow.starts_with("low")).collect();
        assert_eq!(low, ["low.rs:1 low > high::part", "low2.rs:1 low2 > high::part::further"]);
    }
}
