//! Lists the mechanisms, as far as they are known without trying.

use std::fmt::Write;
use std::process::ExitCode;

use procscope::{Capabilities, Field, Kind, Obstacle, SourceInfo, Verdict};
use serde::Serialize;

use crate::args::{Report, Sources};
use crate::failure::Failure;
use crate::render::wrap::wrap;
use crate::{json, output, program};
use procscope_format::escape;

/// Lists them.
pub(crate) fn run(sources: &Sources) -> Result<ExitCode, Failure> {
    let infos = procscope::sources();
    match sources.format {
        Report::Text => output::print(text(&infos).as_bytes())?,
        Report::Json => output::print(&json::document(&list(&infos)))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether one works, in a word for JSON and in words for people, and the obstacles.
fn judge(verdict: &Verdict) -> (&'static str, &'static str, &[Obstacle]) {
    match verdict {
        Verdict::Ready => ("yes", "yes", &[]),
        Verdict::Degraded(obstacles) => ("partly", "partly", obstacles),
        Verdict::Unavailable(obstacle) => ("no", "no", std::slice::from_ref(obstacle)),
        Verdict::Unsure(obstacle) => ("unknown", "unknown without trying", std::slice::from_ref(obstacle)),
        _ => ("unknown", "unknown", &[]),
    }
}

/// The one picked if none is named: the first that works. Unknown if that depends on one that has
/// to be tried.
fn auto(infos: &[SourceInfo]) -> Option<&'static str> {
    let first = infos.iter().find(|info| !info.command_only && judge(&info.verdict).0 != "no")?;
    matches!(first.verdict, Verdict::Ready | Verdict::Degraded(_)).then(|| first.id.name())
}

fn kinds(capabilities: &Capabilities) -> Vec<&'static str> {
    capabilities.events.iter().filter(|&kind| kind != Kind::Lost).map(Kind::name).collect()
}

fn fields(fields: &[Field]) -> Vec<&'static str> {
    fields.iter().map(|field| field.name()).collect()
}

/// The mechanisms for people, a paragraph for each, at most 80 columns wide.
fn text(infos: &[SourceInfo]) -> String {
    let mut text = String::new();
    for SourceInfo { id, capabilities: it, verdict, .. } in infos {
        let (_, works, obstacles) = judge(verdict);
        let list = |words: Vec<&str>| if words.is_empty() { "none".to_owned() } else { words.join(" ") };
        let _ = writeln!(text, "{}", id.name());
        let mut row = |name: &str, value: &str| text.push_str(&wrap(&format!("  {name:<11} "), 14, value));
        row("works here", works);
        for Obstacle { what, remedies, .. } in obstacles {
            row("cause", &what.to_string());
            row("help", &program::help(remedies, *id).unwrap_or_default());
        }
        row("events", &list(kinds(it)));
        row("exact", &list(fields(it.exact)));
        row("late", &list(fields(it.late)));
        row("loss", if it.counts_loss { "counted" } else { "not counted" });
        row("in kernel", &list(it.kernel_choices.to_vec()));
        row("order", it.order);
        row("clock", it.clock);
        row("needs", it.needs);
        row("cost", it.cost);
        text.push('\n');
    }
    text += &match auto(infos) {
        Some(auto) => format!("procscope picks {auto}, unless --source names another.\n"),
        None => "Only trying shows which one procscope picks: procscope doctor\n".to_owned(),
    };
    text.lines().map(|line| escape::visible(line).into_owned() + "\n").collect()
}

#[derive(Serialize)]
struct List {
    v: u32,
    auto: Option<&'static str>,
    sources: Vec<Source>,
}

#[derive(Serialize)]
struct Source {
    id: &'static str,
    /// It reports only the command of `procscope run`.
    command_only: bool,
    works: &'static str,
    obstacles: Vec<JsonObstacle>,
    events: Vec<&'static str>,
    exact: Vec<&'static str>,
    late: Vec<&'static str>,
    counts_loss: bool,
    kernel_choices: &'static [&'static str],
    order: &'static str,
    clock: &'static str,
    needs: &'static str,
    cost: &'static str,
}

#[derive(Serialize)]
struct JsonObstacle {
    cause: String,
    help: String,
}

fn list(infos: &[SourceInfo]) -> List {
    let source = |info: &SourceInfo| {
        let (works, _, obstacles) = judge(&info.verdict);
        let it = &info.capabilities;
        let obstacle = |it: &Obstacle| JsonObstacle {
            cause: it.what.to_string(),
            help: program::help(&it.remedies, info.id).unwrap_or_default(),
        };
        Source {
            id: info.id.name(),
            command_only: info.command_only,
            works,
            obstacles: obstacles.iter().map(obstacle).collect(),
            events: kinds(it),
            exact: fields(it.exact),
            late: fields(it.late),
            counts_loss: it.counts_loss,
            kernel_choices: it.kernel_choices,
            order: it.order,
            clock: it.clock,
            needs: it.needs,
            cost: it.cost,
        }
    };
    List { v: 1, auto: auto(infos), sources: infos.iter().map(source).collect() }
}

#[cfg(test)]
mod tests {
    use procscope::{Cause, Lack, Remedy, SourceId};

    use super::*;

    fn obstacle() -> Obstacle {
        let names = &["CAP_BPF", "CAP_PERFMON"];
        Obstacle::new(Lack::Capabilities { names }, Cause::Privilege, Remedy::Capabilities { names })
            .or(Remedy::mount_proc())
    }

    fn infos(verdicts: [Verdict; 2]) -> Vec<SourceInfo> {
        let mut infos = procscope::sources();
        infos.retain(|info| [SourceId::Ebpf, SourceId::ProcessConnector].contains(&info.id));
        infos.iter_mut().zip(verdicts).for_each(|(info, verdict)| info.verdict = verdict);
        infos
    }

    #[test]
    fn the_first_that_works_is_taken() {
        let auto = |first, second| auto(&infos([first, second]));
        assert_eq!(auto(Verdict::Ready, Verdict::Ready), Some("ebpf"));
        assert_eq!(auto(Verdict::Degraded(vec![obstacle()]), Verdict::Ready), Some("ebpf"));
        assert_eq!(auto(Verdict::Unavailable(obstacle()), Verdict::Ready), Some("process-connector"));
        assert_eq!(auto(Verdict::Unsure(obstacle()), Verdict::Ready), None);
        assert_eq!(auto(Verdict::Unavailable(obstacle()), Verdict::Unavailable(obstacle())), None);
    }

    #[test]
    fn lists_fit_a_screen() {
        let text = text(&infos([Verdict::Unavailable(obstacle()), Verdict::Degraded(vec![obstacle()])]));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn lists_are_json() {
        let list = list(&infos([Verdict::Unsure(obstacle()), Verdict::Ready]));
        insta::assert_snapshot!(String::from_utf8(json::document(&list)).unwrap());
    }
}
