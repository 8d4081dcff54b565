//! The model's feature `serde`, held against the samples.

use procscope_model::{Event, ExitStatus, Field, Flaw, Kind, Summary};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::samples;

fn again(event: &Event) -> Event {
    let text = serde_json::to_string(event).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_kind_of_event_comes_back() {
    for event in samples::events() {
        assert_eq!(again(&event), event);
    }
}

#[test]
fn words_are_those_of_json_lines_and_bytes_are_text_where_they_can_be() {
    let mut process = samples::odd_process();
    process.flaws.mark(Field::Login, Flaw::ReadLate);
    let event = samples::event(1, &process, samples::kinds().swap_remove(6));
    let value = serde_json::to_value(&event).unwrap();
    assert_eq!(value["source"], "ebpf");
    assert_eq!(value["process"]["flaws"]["loginuid"], "read-late");
    assert_eq!(value["kind"]["exec-failed"]["path"], "/no/such");
    assert_eq!(value["process"]["cwd"], json!([47, 116, 109, 112, 47, 1, 233]));
    assert_eq!(value["process"]["argv"][3], "日本\u{e0001}");
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut value = value.clone();
        change(&mut value);
        serde_json::from_value::<Event>(value).is_err()
    };
    assert!(refused(&|value| value["source"] = "moon".into()));
    assert!(refused(&|value| value["process"]["flaws"] = json!({"moon": "read-late"})));
    assert!(refused(&|value| value["process"]["cwd"] = json!([256])));
    assert!(!refused(&|_| ()));
}

#[test]
fn a_summary_comes_back() {
    let mut summary = Summary::default();
    summary.add_delivered(Kind::Exec, 7);
    summary.incomplete = vec![(Field::Argv, 3)];
    summary.command = Some(ExitStatus::Signal { signo: 9, core: false });
    let text = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
}

proptest! {
    #[test]
    fn any_event_comes_back(event in samples::any_event()) {
        prop_assert_eq!(again(&event), event);
    }
}
