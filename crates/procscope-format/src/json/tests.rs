use std::collections::BTreeSet;

use ::base64::Engine;
use ::base64::prelude::BASE64_STANDARD;
use bstr::ByteSlice;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::Value;

use crate::escape::is_unsafe;
use crate::samples::{self, BOOT};
use procscope_model::*;

use super::*;

fn schema() -> Value {
    serde_json::from_str(&super::schema()).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
    jsonschema::draft202012::new(&schema()).unwrap()
}

fn line(event: &Event) -> String {
    samples::rendered(&mut JsonLines::new(BOOT), std::slice::from_ref(event))
}

fn check(validator: &Validator, line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap();
    let errors =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect::<Vec<_>>();
    assert!(errors.is_empty(), "{errors:#?}\n{line}");
    value
}

#[test]
fn every_kind_of_event() {
    let text = samples::rendered(&mut JsonLines::new(BOOT), &samples::events());
    let validator = validator();
    text.lines().for_each(|line| _ = check(&validator, line));
    insta::assert_snapshot!(text);
}

/// The keys of a schema; those of the objects in it as `parent.pid`.
fn schema_keys(schema: &Value, of: &Value, prefix: &str, keys: &mut BTreeSet<String>) {
    let of = match of["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => of,
    };
    for (key, value) in of["properties"].as_object().into_iter().flatten() {
        keys.insert(format!("{prefix}{key}"));
        let described = value["description"].as_str().is_some_and(|text| text.len() > 10);
        assert!(described, "{prefix}{key} is not described");
        schema_keys(schema, value, &format!("{prefix}{key}."), keys);
    }
}

fn keys(of: &Value, prefix: &str, keys_seen: &mut BTreeSet<String>) {
    for (key, value) in of.as_object().into_iter().flatten() {
        keys_seen.insert(format!("{prefix}{key}"));
        if prefix.is_empty() && !["flaws", "lost"].contains(&&**key) {
            keys(value, &format!("{key}."), keys_seen);
        }
    }
}

#[test]
fn the_schema_knows_every_key_and_no_other() {
    let mut known = BTreeSet::new();
    let schema = schema();
    schema_keys(&schema, &schema, "", &mut known);
    known.retain(|key| !key.starts_with("flaws.") && !key.starts_with("lost."));
    let mut seen = BTreeSet::new();
    // The names of some are UTF-8 in all samples.
    let mut events = samples::events();
    for kind in [5, 11, 2, 17, 21, 15] {
        let mut event = samples::event(99, &samples::odd_process(), samples::kinds().swap_remove(kind));
        let bad = || Some(procscope_model::Name::from(b"\xff"));
        match &mut event.kind {
            EventKind::Exec(exec) => exec.old_name = bad(),
            EventKind::Exit(exit) => exit.killer.as_mut().unwrap().name = bad(),
            EventKind::Fork(fork) => fork.creator.as_mut().unwrap().name = bad(),
            EventKind::Comm(change) => change.old = bad(),
            EventKind::Ptrace(change) => change.tracer.as_mut().unwrap().name = bad(),
            EventKind::ThreadExit(exit) => exit.thread_name = bad(),
            _ => unreachable!(),
        }
        let process = std::sync::Arc::make_mut(event.process.as_mut().unwrap());
        process.exe = Some((*b"\xff").into());
        process.interpreter = Some((*b"\xff").into());
        process.parent.as_mut().unwrap().name = bad();
        events.push(event);
    }
    events.iter().for_each(|event| keys(&serde_json::from_str(&line(event)).unwrap(), "", &mut seen));
    assert_eq!(seen, known);
}

/// The schema comes from the table of fields: the encoder, which is written by hand, is held by it, and so are lines of others.
#[test]
fn the_schema_refuses_what_cannot_be() {
    let validator = validator();
    let events = samples::events();
    let of = |kind| events.iter().find(|event| event.kind.kind() == kind).unwrap();
    let valid = |kind, change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&line(of(kind))).unwrap();
        change(&mut value);
        validator.is_valid(&value)
    };
    for &kind in Kind::ALL {
        assert!(valid(kind, &|_| ()), "{kind}");
        assert!(!valid(kind, &|line| line["moon"] = 1.into()), "{kind}");
        for key in ["v", "seq", "time", "event", "source", if kind == Kind::Lost { "count" } else { "id" }] {
            assert!(!valid(kind, &|line| _ = line.as_object_mut().unwrap().remove(key)), "{kind} {key}");
        }
    }
    // What does not apply is absent.
    for (kind, key) in [
        (Kind::Lost, "pid"),
        (Kind::Exec, "errno"),
        (Kind::Exec, "count"),
        (Kind::Exit, "old_uid"),
        (Kind::Fork, "argv"),
        (Kind::Fork, "path_b64"),
        (Kind::Exit, "env"),
        (Kind::ExecFailed, "interpreter"),
        (Kind::Comm, "tracer"),
    ] {
        let other = events.iter().map(|event| serde_json::from_str::<Value>(&line(event)).unwrap());
        let odd = serde_json::from_str(&line(&samples::event(1, &samples::odd_process(), of(Kind::Exec).kind.clone())))
            .unwrap();
        let value = other.chain([odd]).find_map(|line| line.get(key).cloned()).unwrap_or_else(|| panic!("{key}"));
        assert!(!valid(kind, &|line| line[key] = value.clone()), "{kind} {key}");
    }
    for (key, value) in [
        ("flaws", serde_json::json!({"moon": "truncated"})),
        ("flaws", serde_json::json!({"argv": "odd"})),
        ("flaws", serde_json::json!({})),
        ("pid", serde_json::json!(4_294_967_296_u64)),
        ("parent", serde_json::json!({"pid": 1})),
        ("parent", serde_json::json!({"pid": 1, "id": "1b4e28ba-1-1", "tid": 1})),
        ("id", serde_json::json!("1b4e28ba-1")),
        ("source", serde_json::json!("moon")),
    ] {
        assert!(!valid(Kind::Exec, &|line| line[key] = value.clone()), "{key} {value}");
    }
    assert!(!valid(Kind::Lost, &|line| line["lost"] = serde_json::json!({"moon": 1})));
    assert!(!valid(Kind::Exec, &|line| _ = line.as_object_mut().unwrap().remove("euid")));
}

#[test]
fn keys_stand_in_a_fixed_order() {
    let text = line(&samples::event(1, &samples::odd_process(), samples::kinds().swap_remove(11)));
    let order = [
        "v",
        "seq",
        "time",
        "event",
        "id",
        "pid",
        "ppid",
        "tid",
        "name",
        "path",
        "exe",
        "argv",
        "cwd",
        "uid",
        "sid",
        "pgid",
        "cgroup",
        "container",
        "parent",
        "signal",
        "core",
        "killer",
        "duration_ns",
        "source",
        "flaws",
    ];
    let places = order.map(|key| text.find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key}: {text}")));
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_refused_exec_tells_nothing_of_the_program_that_goes_on() {
    let mut process = samples::odd_process();
    process.flaws.mark(Field::Argv, Flaw::Inherited);
    let text = line(&samples::event(1, &process, samples::kinds().swap_remove(7)));
    for key in ["argv", "path", "interpreter", "env"] {
        assert!(!text.contains(&format!("\"{key}\"")), "{key}: {text}");
    }
}

/// The strings of a list field, from their exact form if there is one.
fn exact_list(value: &Value, key: &str) -> Vec<Vec<u8>> {
    let strings =
        |value: &Value| value.as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let readable = strings(&value[key]);
    match value.get(format!("{key}_b64")) {
        None => readable.into_iter().map(String::into_bytes).collect(),
        Some(exact) => {
            let exact = strings(exact).iter().map(|s| BASE64_STANDARD.decode(s).unwrap()).collect::<Vec<_>>();
            assert_eq!(readable, exact.iter().map(|bytes| bytes.to_str_lossy()).collect::<Vec<_>>());
            exact
        }
    }
}

fn exact(value: &Value, key: &str) -> Vec<u8> {
    match value.get(format!("{key}_b64")) {
        None => value[key].as_str().unwrap().as_bytes().to_vec(),
        Some(exact) => {
            let exact = BASE64_STANDARD.decode(exact.as_str().unwrap()).unwrap();
            assert_eq!(value[key].as_str().unwrap(), exact.to_str_lossy());
            assert!(exact.to_str().is_err());
            exact
        }
    }
}

proptest! {
    #[test]
    fn any_event_is_one_valid_line(event in samples::any_event()) {
        thread_local!(static VALIDATOR: Validator = validator());
        let line = line(&event);
        let line = line.strip_suffix('\n').unwrap();
        prop_assert!(!line.contains(is_unsafe));
        let value = VALIDATOR.with(|validator| check(validator, line));
        let is_fork = event.kind.kind() == Kind::Fork;
        if is_fork {
            let image = ["argv", "path", "exe", "interpreter", "cwd", "env"];
            prop_assert!(image.iter().all(|key| value.get(key).is_none() && value["flaws"].get(key).is_none()));
        } else if let Some(argv) = event.argv() {
            prop_assert_eq!(exact_list(&value, "argv"), argv.iter().map(|s| s.to_vec()).collect::<Vec<_>>());
        }
        if let Some(process) = &event.process {
            prop_assert_eq!(exact(&value, "name"), event.name().unwrap());
            if !is_fork {
                prop_assert_eq!(exact(&value, "cwd"), process.cwd.as_deref().unwrap());
                prop_assert_eq!(exact(&value, "path"), event.path().unwrap());
            }
            prop_assert_eq!(exact(&value["parent"], "name"), process.parent.as_ref().unwrap().name.as_deref().unwrap());
            prop_assert_eq!(value["id"].as_str().unwrap(), process.id.display(BOOT).to_string());
            if let Some(cgroup) = &process.cgroup {
                prop_assert_eq!(value["cgroup"].as_str().unwrap(), &**cgroup);
            }
        }
    }
}

/// The values that a line leaves out on purpose, taken from the event; nothing else may be missing
/// after reading.
fn left_out(mut event: Event) -> Event {
    let (kind, tid) = (event.kind.kind(), event.tid);
    let flaws: Vec<_> = event.own_flaws().iter().collect();
    event.flaws = Flaws::new();
    if let Some(process) = event.process.as_mut().map(std::sync::Arc::make_mut) {
        process.flaws = Flaws::new();
        process.ns_pid = process.ns_pid.filter(|&pid| pid != process.id.pid);
        if !matches!(kind, Kind::Exec | Kind::Start | Kind::Existing) {
            (process.env, process.namespaces) = (None, None);
        }
        match &event.kind {
            // The program is its creator's.
            EventKind::Fork(_) => {
                (process.path, process.exe, process.interpreter, process.cwd) = (None, None, None, None);
                (process.exe_traits, process.argv, process.cwd_deleted) = (ExeTraits::empty(), None, false);
            }
            // The tried program replaces the one that the process runs.
            EventKind::ExecFailed(_) => {
                (process.path, process.interpreter, process.argv) = (None, None, None);
            }
            // The process's own if it is the first thread's.
            EventKind::Comm(change) => process.name = Some(change.new.clone()).filter(|_| tid == Some(process.id.pid)),
            _ => {}
        }
    }
    for (field, flaw) in flaws {
        event.mark(field, flaw);
    }
    if let EventKind::Exec(exec) = &mut event.kind {
        exec.old_tid = exec.old_tid.filter(|&old| Some(old) != tid);
    }
    event
}

fn read_again(event: &Event) -> Event {
    let line = line(event);
    let decoded = decode(line.trim_end().as_bytes()).unwrap_or_else(|error| panic!("{error}\n{line}"));
    assert_eq!(decoded.unknown, [""; 0], "{line}");
    if event.kind.kind() != Kind::Lost {
        assert_eq!(decoded.boot, Some([0x1b, 0x4e, 0x28, 0xba]));
    }
    decoded.event
}

#[test]
fn what_was_written_is_read() {
    for event in samples::events() {
        assert_eq!(read_again(&event), left_out(event.clone()), "{}", line(&event));
    }
}

#[test]
fn a_line_of_another_making_says_what_is_wrong() {
    let line = line(&samples::events()[5]);
    let error = |line: &str| decode(line.as_bytes()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error("{").starts_with("not JSON"));
    assert_eq!(error("[1]"), "not a JSON object");
    assert_eq!(error(&line.replace("{\"v\":1,", "{")), "`v` is missing");
    assert_eq!(error(&line.replace("{\"v\":1,", "{\"v\":2,")), "format 2, and this version reads up to 1");
    assert_eq!(error(&line.replace("\"exec\"", "\"exce\"")), "`event` has a value that it cannot have");
    assert_eq!(error(&line.replace("\"euid\":1000,", "")), "`euid` is missing");
    assert_eq!(
        error(&line.replace("\"euid\":1000,", "\"euid\":4294967296,")),
        "`euid` has a value that it cannot have"
    );
    let newer = line.replace("{\"v\":1,", "{\"v\":1,\"moon\":{\"phase\":3},");
    assert_eq!(decode(newer.as_bytes()).unwrap().unknown, ["moon"]);
}

proptest! {
    #[test]
    fn any_event_is_read_again(event in samples::any_event()) {
        prop_assert_eq!(read_again(&event), left_out(event));
    }

    #[test]
    fn any_bytes_are_taken(line: Vec<u8>) {
        let _ = decode(&line);
    }
}
