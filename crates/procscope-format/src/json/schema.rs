//! The JSON Schema of a line, from the table of fields.

use procscope_model::{
    Event, EventKind, EventSet, FIELDS, Field, FieldSpec, FieldType, Flaw, Kind, Process, ProcessId, SourceId,
    Timestamp,
};
use serde_json::Value as Json;

use super::VERSION;

const ABOUT: &str = "One event, as a line of JSON. A key is absent if its value is unknown or does not apply; \
`flaws` distinguishes the two. Characters that could act on a terminal are \\u escapes. A string whose bytes are not valid UTF-8 \
has U+FFFD in their place, and a key with _b64 beside it holds the exact bytes.";
const ID: &str = "The first 8 digits of the boot id, the pid, and the start in clock ticks since boot (field 22 of /proc/PID/stat, as \
seen from the initial time namespace), or ? if the start is not known.";

/// Keys that JSON has only in some of the events whose field is known.
const ONLY_IN: [(&str, &[Kind]); 2] = [("env", PROGRAMS), ("namespaces", PROGRAMS)];
const PROGRAMS: &[Kind] = &[Kind::Existing, Kind::Exec, Kind::Start];

/// What holds between keys.
const BETWEEN: [&str; 3] = [
    r#"{"if": {"properties": {"event": {"const": "core"}}}, "then": {"anyOf": [{"required": ["signal", "signo"]}, {"properties": {"flaws": {"required": ["status"]}}, "required": ["flaws"]}]}}"#,
    r#"{"if": {"properties": {"event": {"const": "comm"}}}, "then": {"anyOf": [{"required": ["old_name"]}, {"properties": {"flaws": {"required": ["old_name"]}}, "required": ["flaws"]}]}}"#,
    r#"{"not": {"required": ["exit_code", "signal"]}}"#,
];
const DEPENDENT: &str = r#"{"signal": ["signo"], "signo": ["signal"], "core": ["signal"], "uid": ["euid", "gid", "egid"], "euid": ["uid"], "gid": ["uid"], "egid": ["uid"], "user": ["uid"], "euser": ["euid"], "group": ["gid"], "egroup": ["egid"], "login_user": ["loginuid"], "audit_session": ["loginuid"], "ppid": ["parent"], "parent": ["ppid"]}"#;

/// The JSON Schema (draft 2020-12) that every line of [`JsonLines`](super::JsonLines) keeps to.
pub fn schema() -> String {
    let mut out = Object::default();
    out.text("$schema", "https://json-schema.org/draft/2020-12/schema");
    out.text("title", "An event of procscope").text("description", ABOUT).text("type", "object");
    out.raw("required", list(required(EventSet::ALL.iter())));
    out.raw("additionalProperties", "false");
    out.raw("properties", properties("").lines(2));
    out.raw("allOf", array(&by_kind()));
    out.raw("dependentRequired", DEPENDENT);
    let mut id = Object::default();
    id.text("type", "string").text("pattern", "^[0-9a-f]{8}-[0-9]+-([0-9]+|\\?)$").text("description", ID);
    let mut defs = Object::default();
    defs.raw("id", id.line());
    out.raw("$defs", defs.lines(2));
    out.lines(0) + "\n"
}

/// The keys of the line, or of one of its objects (`parent.`).
fn properties(group: &str) -> Object {
    let mut all = Object::default();
    for spec in FIELDS {
        let Some(key) = spec.name.strip_prefix(group).filter(|key| !key.contains('.')) else { continue };
        if spec.is_stored() || is_group(spec) {
            all.raw(key, property(spec));
        }
        if has_exact_form(spec) {
            all.raw(&format!("{key}_b64"), exact(spec));
        }
    }
    all
}

fn is_group(spec: &FieldSpec) -> bool {
    matches!(spec.of, FieldType::Process | FieldType::Namespaces)
}

/// True if its bytes may not be UTF-8.
fn has_exact_form(spec: &FieldSpec) -> bool {
    let texts = matches!(spec.of, FieldType::Text | FieldType::Texts | FieldType::AnyText);
    texts && spec.is_stored() && !spec.is_utf8
}

fn property(spec: &FieldSpec) -> String {
    let mut all = Object::default();
    match spec.of {
        _ if spec.name == "v" => all.raw("const", VERSION),
        FieldType::Text | FieldType::Owner | FieldType::Tty => all.text("type", "string"),
        FieldType::Texts | FieldType::AnyText => all.text("type", "array").raw("items", r#"{"type": "string"}"#),
        FieldType::Word(words) => all.text("type", "string").raw("enum", list(words)),
        FieldType::Number { max } => {
            all.text("type", "integer").raw("minimum", 0);
            // Readers of JSON that have no whole numbers of 64 bits could not hold this bound.
            if max < u64::MAX { all.raw("maximum", max) } else { &mut all }
        }
        FieldType::Signed => all.text("type", "integer"),
        FieldType::Span { .. } | FieldType::Size { .. } => all.text("type", "integer").raw("minimum", 0),
        FieldType::Truth { only_true: true } => all.raw("const", true),
        FieldType::Truth { only_true: false } => all.text("type", "boolean"),
        FieldType::Kind => all.text("type", "string").raw("enum", list(Kind::ALL.iter().map(|kind| kind.name()))),
        FieldType::Signal => all.text("type", "string").text("pattern", r"^SIG[A-Z0-9]+(\+[0-9]+)?$"),
        FieldType::Errno => all.text("type", "string").text("pattern", "^E[A-Z0-9]+$"),
        FieldType::Time => {
            let pattern = r"^-?[0-9]{4,}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z$";
            all.text("type", "string").text("pattern", pattern)
        }
        FieldType::Id => all.text("$ref", "#/$defs/id"),
        FieldType::Process | FieldType::Namespaces => {
            all.text("type", "object");
            if spec.of == FieldType::Process {
                all.raw("required", list(["pid", "id"]));
            }
            all.raw("additionalProperties", "false");
            all.text("description", spec.doc);
            return all.raw("properties", properties(&format!("{}.", spec.name)).lines(3)).lines(2);
        }
        FieldType::Counts => {
            words(&mut all, list(Kind::ALL.iter().map(|kind| kind.name())), r#"{"type": "integer", "minimum": 1}"#)
        }
        FieldType::Flaws => {
            let flaws = format!("{{\"enum\": {}}}", list(Flaw::ALL.map(Flaw::name)));
            words(all.raw("minProperties", 1), list(Field::ALL.map(Field::name)), &flaws)
        }
        // Ancestors are not stored; a type of a later model has any value.
        _ => &mut all,
    };
    all.text("description", spec.doc).line()
}

/// An object of these keys, each with a value of this schema.
fn words<'a>(all: &'a mut Object, keys: String, values: &str) -> &'a mut Object {
    all.text("type", "object").raw("propertyNames", format!("{{\"enum\": {keys}}}")).raw("additionalProperties", values)
}

fn exact(spec: &FieldSpec) -> String {
    let mut all = Object::default();
    let key = spec.name.rsplit('.').next().unwrap_or_default();
    let doc = if matches!(spec.of, FieldType::Texts | FieldType::AnyText) {
        all.text("type", "array").raw("items", r#"{"type": "string", "contentEncoding": "base64"}"#);
        format!("The exact bytes of every text of `{key}` in base64, only if one is not valid UTF-8.")
    } else {
        all.text("type", "string").text("contentEncoding", "base64").text("pattern", "^[A-Za-z0-9+/]+={0,2}$");
        format!("The exact bytes of `{key}` in base64, only if they are not valid UTF-8.")
    };
    all.text("description", &doc).line()
}

/// The keys that each kind must have, and those that it cannot have.
fn by_kind() -> Vec<String> {
    let always = required(EventSet::ALL.iter());
    let kinds = Kind::ALL.iter().map(|&kind| {
        let must: Vec<_> = required([kind]).into_iter().filter(|key| !always.contains(key)).collect();
        let never = FIELDS.iter().filter(|spec| !spec.name.contains('.') && (spec.is_stored() || is_group(spec)));
        let never = never.filter(|spec| !may_have(spec, kind)).flat_map(|spec| {
            let exact = has_exact_form(spec).then(|| format!("{}_b64", spec.name));
            std::iter::once(spec.name.to_owned()).chain(exact)
        });
        let mut then = Object::default();
        if !must.is_empty() {
            then.raw("required", list(must));
        }
        let mut absent = Object::default();
        never.for_each(|key| _ = absent.raw(&key, "false"));
        then.raw("properties", absent.line());
        format!(r#"{{"if": {{"properties": {{"event": {{"const": "{kind}"}}}}}}, "then": {}}}"#, then.line())
    });
    kinds.chain(BETWEEN.map(str::to_owned)).collect()
}

/// An event of which as little is known as can be.
fn bare(kind: Kind) -> Event {
    let process = (kind != Kind::Lost).then(|| Process::new(ProcessId { pid: 1, start: None }).into());
    Event::new(1, Timestamp(0), SourceId::Ebpf, process, None, EventKind::unknown(kind))
}

/// The keys that lines of all these kinds have, whatever is known.
fn required(kinds: impl IntoIterator<Item = Kind>) -> Vec<&'static str> {
    let bare: Vec<Event> = kinds.into_iter().map(bare).collect();
    let always = |spec: &&FieldSpec| {
        spec.is_stored()
            && !matches!(spec.of, FieldType::Truth { .. })
            && bare.iter().all(|event| spec.value(event).is_some())
    };
    FIELDS.iter().filter(always).map(|spec| spec.name).collect()
}

fn may_have(spec: &FieldSpec, kind: Kind) -> bool {
    let in_json = ONLY_IN.iter().all(|(name, kinds)| *name != spec.name || kinds.contains(&kind));
    // A fork's program is its creator's; and the interpreter of a refused exec is unknown.
    let copied = kind == Kind::Fork && spec.of_image;
    let refused = kind == Kind::ExecFailed && spec.name == "interpreter";
    match kind {
        Kind::Lost => spec.value(&bare(kind)).is_some(),
        _ => spec.kinds.contains(kind) && in_json && !copied && !refused,
    }
}

fn list<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| quoted(word.as_ref())).collect();
    format!("[{}]", words.join(", "))
}

fn array(parts: &[String]) -> String {
    format!("[\n    {}\n  ]", parts.join(",\n    "))
}

fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

/// An object whose keys keep their order.
#[derive(Default)]
struct Object(Vec<String>);

impl Object {
    fn raw(&mut self, key: &str, value: impl std::fmt::Display) -> &mut Self {
        self.0.push(format!("{}: {value}", quoted(key)));
        self
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(key, quoted(value))
    }

    /// In one line.
    fn line(&self) -> String {
        format!("{{{}}}", self.0.join(", "))
    }

    /// With a line for each key, where the object itself is so deep.
    fn lines(&self, depth: usize) -> String {
        let indent = |depth: usize| "  ".repeat(depth);
        let inner = if depth == 0 { indent(1) } else { indent(depth) };
        format!("{{\n{inner}{}\n{}}}", self.0.join(&format!(",\n{inner}")), indent(depth.saturating_sub(1)))
    }
}
