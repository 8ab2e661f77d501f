//! The figures of a run as one object, or as a row of a table.

use super::{
    case::Case,
    measure::Figures,
    scenario::{Known, Window},
};
use crate::cli::{CliError, Printer};

/// One run of one case.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Measured {
    provider: &'static str,
    window: Window,
    known: Known,
    processes: u32,
    slots: u32,
    tasks: u32,
    latency_ms: u64,
    count_refused: bool,
    tokens: bool,
    halve: bool,
    kill_s: Option<f64>,
    run: u32,
    /// Tasks done; fewer than all: given up, or failed.
    done: i64,
    /// The least that any client could take.
    optimum_s: Option<f64>,
    /// The same for as many calls at once as the fleet may make: a bound.
    optimum_with_slots_s: Option<f64>,
    /// Makespan by optimum. None where limits are halved on the way: that has no optimum here.
    ratio: Option<f64>,
    /// Processes killed.
    deaths: u32,
    #[serde(flatten)]
    figures: Figures,
}

impl Measured {
    pub(super) fn of(case: &Case, run: u32, done: i64, deaths: u32, figures: Figures) -> Self {
        let scene = &case.scene;
        let known = |optimum: Option<std::time::Duration>| {
            optimum.filter(|_| !case.halve).map(|it| it.as_secs_f64())
        };
        let optimum_s = known(scene.optimum());
        let slots = u64::from(case.processes) * u64::from(case.slots);
        Self {
            provider: if case.independent {
                "nginx"
            } else {
                "simulator"
            },
            window: scene.window,
            known: case.known,
            processes: case.processes,
            slots: case.slots,
            tasks: scene.tasks,
            latency_ms: u64::try_from(scene.latency.as_millis()).unwrap_or(u64::MAX),
            count_refused: scene.count_refused,
            tokens: scene.models.iter().any(|model| model.tokens.is_some()),
            halve: case.halve,
            kill_s: case.kill.map(|every| every.as_secs_f64()),
            run,
            done,
            optimum_s,
            optimum_with_slots_s: known(scene.optimum_with(slots)),
            ratio: optimum_s.map(|optimum| figures.makespan_s / optimum),
            deaths,
            figures,
        }
    }

    /// Whether every task was done.
    pub(super) fn is_whole(&self) -> bool {
        self.done >= i64::from(self.tasks)
    }

    fn row(&self) -> Vec<String> {
        let figures = &self.figures;
        let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |it| format!("{it:.1}"));
        let part = |of: &dyn Fn(&super::measure::OfModel) -> String| {
            let parts: Vec<String> = figures.models.iter().map(of).collect();
            parts.join(" ")
        };
        vec![
            self.window.to_string(),
            self.known.to_string(),
            self.processes.to_string(),
            self.run.to_string(),
            self.done.to_string(),
            format!("{:.1}", figures.makespan_s),
            seconds(self.optimum_s),
            seconds(self.optimum_with_slots_s),
            self.ratio
                .map_or("-".to_owned(), |ratio| format!("{ratio:.3}")),
            figures.calls.to_string(),
            format!(
                "{} ({:.2} %)",
                figures.refused,
                figures.refused_share * 100.0
            ),
            format!("{:.3}", figures.calls_per_task),
            part(&|model| format!("{:.0}", model.use_of_quota * 100.0)),
            part(&|model| model.calls.to_string()),
            part(&|model| format!("{}/{}", model.most_in_60s, model.limit)),
            format!("{} {}", figures.over, figures.over_tokens),
            figures.concurrency.to_string(),
            format!("{} {}", self.deaths, figures.repeated),
        ]
    }
}

const HEADERS: [&str; 18] = [
    "window",
    "known",
    "procs",
    "run",
    "done",
    "took s",
    "best s",
    "with slots",
    "ratio",
    "calls",
    "429s",
    "per task",
    "use %",
    "by model",
    "most in 60 s",
    "over, tokens",
    "at once",
    "deaths, repeats",
];

/// All runs as a table, and what the columns mean.
pub(super) fn show(measured: &[Measured], printer: &Printer) -> Result<(), CliError> {
    let rows: Vec<_> = measured.iter().map(Measured::row).collect();
    printer.table(&HEADERS, &rows)?;
    for run in measured {
        if let Some(seconds) = run.figures.refused_after_halving_s {
            printer.say(format_args!(
                "run {} with {} processes: the last refusal came {seconds:.1} s after the halving",
                run.run, run.processes
            ));
        }
    }
    NOTES.iter().for_each(|note| printer.say(note));
    Ok(())
}

/// What the columns mean.
const NOTES: [&str; 3] = [
    "by the provider's own log. best: the least any client could take; with slots: with so many calls at once",
    "over: calls beyond a limit in the fullest 60 s; repeats: calls beyond one a task",
    "a ratio below 1, or use above 100 %, goes with `over`: such a fleet broke spans of 60 s, which best does not",
];
