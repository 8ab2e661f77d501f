//! What runs came to: one object for programs, a screen for people; of a run that has ended from the report
//! that was kept, so that it says the same a week later.

pub(super) mod saved;
mod tables;

use serde::Serialize;
use uuid::Uuid;

use self::tables::{print_tables, sums};
use super::progress::{span, thousands, whole};
use super::times::moment;
use super::{CliError, Printer, budget, expect, would};
use crate::client::{BindingLimit, ExpectedRun, expected};
use crate::store::{
    Store,
    budget::Budget,
    report::{Figures, RunReport, Stand},
    run::Asking,
};

/// A run in full: what `runs show` tells, and `run --wait` at its end.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    pub(super) report: RunReport,
    /// How its tasks are asked.
    #[serde(flatten)]
    asking: Asking,
    /// Items ended per hour from when it was loaded.
    items_per_hour: f64,
    /// Under present limits; of a run that is active and holds anything.
    expected: Option<ExpectedRun>,
    /// What binds for the longest time, of all that waits.
    binding: Option<BindingLimit>,
    budget: Option<Budget>,
}

impl Shown {
    /// Gathers it. `None`: there is no such run.
    pub(super) async fn of(store: &Store, run: Uuid) -> Result<Option<Self>, CliError> {
        let Some(report) = store.run_report(run).await? else {
            return Ok(None);
        };
        // what has ended waits for nothing
        let ahead = match report.is_final {
            true => None,
            false => Some(expected(store).await?),
        };
        let ended = report.figures.groups.sum.ended();
        Ok(Some(Self {
            items_per_hour: report
                .working_seconds
                .map_or(0.0, |seconds| ended as f64 / seconds.max(0.001) * 3600.0),
            expected: ahead.as_ref().and_then(|it| it.run(run)).cloned(),
            binding: ahead.and_then(|it| it.binding),
            budget: store.budget(Some(run)).await?,
            asking: store.asking(run).await?.unwrap_or_default(),
            report,
        }))
    }

    /// Its tasks.
    pub(super) fn sum(&self) -> &Stand {
        &self.report.figures.groups.sum
    }

    /// Tells it to people.
    pub(super) fn print(&self, printer: &Printer) -> Result<(), CliError> {
        let run = &self.report;
        let at = |at: Option<_>| at.map(|at| moment(at, printer)).unwrap_or_default();
        let worker = match &run.version {
            Some(version) => format!("{}, version {version}", run.worker),
            None => run.worker.clone(),
        };
        let pace = whole(self.items_per_hour);
        let took = |seconds: f64| format!("{} ({pace} items/h)", span(seconds));
        let mut pairs = vec![
            ("run", run.run_id.to_string()),
            ("worker", worker),
            ("state", run.state.clone()),
            ("source", run.source.clone()),
            ("asked", would::asked(&self.asking)),
            ("begun", moment(run.created_at, printer)),
            ("loaded", at(run.loaded_at)),
            ("ended", at(run.finished_at)),
            ("worked", run.working_seconds.map(took).unwrap_or_default()),
            ("expected", self.expectation()),
            ("items", items(run)),
        ];
        pairs.extend(sums(&run.figures));
        pairs.extend(run.saved.iter().flat_map(saved::lines));
        let budget = self.budget.as_ref().map(budget::words);
        pairs.extend(budget.map(|words| ("budget", words)));
        printer.pairs(&pairs)?;
        print_tables(&run.figures, printer)
    }

    /// When it ends under present limits, at what cost, and what holds it back. Empty: nothing waits.
    fn expectation(&self) -> String {
        let Some(it) = &self.expected else {
            return String::new();
        };
        let parts = [
            Some(expect::end(it)),
            expect::cost(it),
            self.binding.as_ref().map(expect::held_back),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(", ")
    }
}

fn items(run: &RunReport) -> String {
    let mut words = thousands(run.items_total);
    for (count, what) in [
        (run.items_skipped, "waited in another run"),
        (run.items_refused, "made no prompt"),
    ] {
        if count > 0 {
            words.push_str(&format!(", {} {what}", thousands(count)));
        }
    }
    words
}

/// What several runs came to, for the demo.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Their ids.
    pub(super) runs: Vec<Uuid>,
    /// Tasks that have not ended.
    pub(super) unfinished: i64,
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// Seconds of this command's work.
    pub(super) seconds: f64,
    /// Items ended by it, per hour.
    pub(super) items_per_hour: f64,
}

impl Report {
    /// Gathers it. `ended_before`: items that had ended before these seconds began.
    pub(super) async fn gather(
        store: &Store,
        runs: &[Uuid],
        seconds: f64,
        ended_before: i64,
    ) -> Result<Self, CliError> {
        let figures = store.run_figures(runs).await?;
        let sum = &figures.groups.sum;
        let ended_here = (sum.ended() - ended_before).max(0);
        Ok(Self {
            runs: runs.to_vec(),
            unfinished: sum.total - sum.ended(),
            figures,
            seconds,
            items_per_hour: ended_here as f64 / seconds.max(0.001) * 3600.0,
        })
    }

    /// Tells it to people.
    pub(super) fn print(&self, printer: &Printer) -> Result<(), CliError> {
        let mut pairs = sums(&self.figures);
        let pace = whole(self.items_per_hour);
        pairs.push(("worked", format!("{} ({pace} items/h)", span(self.seconds))));
        printer.pairs(&pairs)?;
        print_tables(&self.figures, printer)
    }
}
