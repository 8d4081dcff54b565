//! Every odd case, field by field.

use procscope_tests::cases::APART;

use crate::turn;
use crate::watch::Watch;
use crate::workload::Workload;

/// Only one case, by `PROCSCOPE_CASE`; `ps-workload cases` lists them.
#[test]
fn odd_cases_are_told_exactly() {
    let _turn = turn::take();
    let case = std::env::var("PROCSCOPE_CASE").unwrap_or("all".to_owned());
    let watch = Watch::start(["-e", "all", "--env"]);
    let truth = Workload::new(&["odd", &case]).run();
    let report = watch.stop().well().compare(truth, None);
    assert!(report.lost.is_empty() && report.is_exact(), "{report}");
    print!("{report}");
}

/// Cases that not every mechanism reports.
#[test]
fn cases_apart_are_told_exactly() {
    let _turn = turn::take();
    let watch = Watch::start(["-e", "all", "--env"]);
    let truth: Vec<_> = APART.iter().flat_map(|case| Workload::new(&["odd", case]).run()).collect();
    let report = watch.stop().well().compare(truth, None);
    assert!(report.lost.is_empty() && report.is_exact(), "{report}");
    assert!(report.lives >= APART.len() as u64, "{report}");
}
