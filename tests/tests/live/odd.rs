//! Every odd case, field by field.

use crate::turn;
use crate::watch::Watch;
use crate::workload::Workload;

/// One case alone, by `PROCSCOPE_CASE`; `ps-workload cases` names them.
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
