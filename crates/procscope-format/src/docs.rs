//! The pages hold what the table of fields says; `cargo xtask docs` writes it there.

use std::fs;
use std::path::{Path, PathBuf};

use procscope_model::{AncestorField, EventSet, FieldSpec, FieldType, Filter, Flaw, Kind};

use crate::{csv, json};

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// Compares a page, or writes it if the environment asks for that.
fn hold(name: &str, page_of: impl FnOnce(&str) -> String) {
    let path = page(name);
    let is = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    let wanted = page_of(&is);
    if std::env::var_os("PROCSCOPE_DOCS").is_some_and(|value| value == "write") {
        fs::write(&path, &wanted).unwrap();
    } else {
        assert!(is == wanted, "docs/{name} differs from the table of fields: cargo xtask docs");
    }
}

/// A page with another text between two marks.
fn between(page: &str, what: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {what}: cargo xtask docs -->\n"), format!("<!-- end of {what} -->"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{begin} is missing"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{end} is missing"));
    format!("{before}{begin}\n{}\n\n{end}{after}", text.trim_end())
}

/// Words in lines of at most 100 characters.
fn filled(words: impl Iterator<Item = String>) -> String {
    let mut lines = vec![String::new()];
    for word in words {
        let last = lines.last_mut().unwrap();
        if last.is_empty() {
            *last = word;
        } else if last.len() + 1 + word.len() <= 100 {
            *last += &format!(" {word}");
        } else {
            lines.push(word);
        }
    }
    lines.join("\n")
}

#[test]
fn the_schema_is_that_of_the_table() {
    hold("event.schema.json", |_| json::schema());
}

#[test]
fn the_columns_of_csv_are_those_of_the_table() {
    let columns = filled(csv::columns().map(|(name, _)| format!("`{name}`")));
    hold("cli.md", |page| between(page, "columns of CSV", &columns));
}

#[test]
fn the_fields_of_filters_are_those_of_the_table() {
    let mut table = String::from("| field | values | meaning |\n|---|---|---|\n");
    for spec in Filter::fields() {
        let names = std::iter::once(&spec.name).chain(spec.aliases).map(|name| format!("`{name}`"));
        let names = names.collect::<Vec<_>>().join(" ");
        let meaning = spec.doc.replace('|', "\\|");
        table += &format!("| {names} | {} | {meaning}{} |\n", values(spec), kinds(spec.kinds));
    }
    hold("filter.md", |page| between(page, "fields", &table));
}

/// How a filter writes its values.
fn values(spec: &FieldSpec) -> String {
    let plain = match spec.of {
        FieldType::Text | FieldType::Ancestor(AncestorField::Name | AncestorField::Exe) => "text",
        FieldType::Texts => "text, with one blank between each",
        FieldType::AnyText => "texts",
        FieldType::Word(words) => return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" "),
        FieldType::Owner => "name or number",
        FieldType::Number { .. } | FieldType::Signed | FieldType::Ancestor(AncestorField::Pid) => "number",
        FieldType::Span { unit: true } => "time with a unit",
        FieldType::Span { unit: false } => "time; without a unit nanoseconds",
        FieldType::Size { unit: true } => "size with a unit",
        FieldType::Size { unit: false } => "size; without a unit bytes",
        FieldType::Truth { .. } => "true or false",
        FieldType::Kind => return Kind::ALL.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" "),
        FieldType::Signal => "signal or number",
        FieldType::Errno => "error or number",
        FieldType::Time => "moment",
        FieldType::Id | FieldType::Ancestor(AncestorField::Id) => "process",
        FieldType::Tty => "text",
        FieldType::Process | FieldType::Namespaces => "only with `?`",
        FieldType::Flaws => return Flaw::ALL.map(|flaw| format!("`{flaw}`")).join(" "),
        // No filter has these, and a test must not pass by them.
        of => panic!("{of:?} has no words"),
    };
    plain.to_owned()
}

/// ` Of exit.` where not every kind has it.
fn kinds(kinds: EventSet) -> String {
    match kinds {
        EventSet::ALL => String::new(),
        EventSet::NONE => " Only in `lost`.".to_owned(),
        kinds => {
            let names = kinds.iter().filter(|&kind| kind != Kind::Lost).map(|kind| format!("`{kind}`"));
            format!(" Only in {}.", names.collect::<Vec<_>>().join(", "))
        }
    }
}
