//! What runs came to: one object for programs, a screen for people; of a run that has ended from the report
//! that was kept, so that it says the same a week later.

use serde::Serialize;
use uuid::Uuid;

use super::progress::{dollars, groups, percent, span, thousands};
use super::times::{cut, moment};
use super::{CliError, Printer, budget, expect};
use crate::client::{BindingLimit, ExpectedRun, expected};
use crate::store::{
    Store,
    budget::Budget,
    report::{Figures, ModelCalls, RunReport, Stand, WhoWorked},
};

/// Processes told one by one.
const WORKERS_SHOWN: usize = 10;
/// The most of a failure's words.
const EXAMPLE_SHOWN: usize = 300;

/// A run in full: what `runs show` tells, and `run --wait` at its end.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    pub(super) report: RunReport,
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
        let took = |seconds: f64| format!("{} ({:.0} items/h)", span(seconds), self.items_per_hour);
        printer.pairs(&[
            ("run", run.run_id.to_string()),
            ("worker", worker),
            ("state", run.state.clone()),
            ("source", run.source.clone()),
            ("begun", moment(run.created_at, printer)),
            ("loaded", at(run.loaded_at)),
            ("ended", at(run.finished_at)),
            ("worked", run.working_seconds.map(took).unwrap_or_default()),
            ("expected", self.expectation()),
            ("items", items(run)),
        ])?;
        print_sums(&run.figures, printer)?;
        let budget = self.budget.as_ref().map(budget::words);
        printer.pairs(&[("budget", budget.unwrap_or_default())])?;
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

/// The sums, a line each.
pub(super) fn print_sums(figures: &Figures, printer: &Printer) -> Result<(), CliError> {
    let (sum, calls) = (&figures.groups.sum, &figures.calls);
    let mut tasks = format!(
        "{} done, {} failed of {} ({} success)",
        thousands(sum.done),
        thousands(sum.failed),
        thousands(sum.total),
        percent(sum.success_rate)
    );
    for (count, what) in [
        (sum.waiting, "waiting"),
        (sum.running, "running"),
        (sum.cancelled, "cancelled"),
    ] {
        if count > 0 {
            tasks.push_str(&format!(", {} {what}", thousands(count)));
        }
    }
    let mut sent = format!(
        "{}: {} good, {} failed, {} refused with 429, {} retries",
        thousands(calls.calls),
        thousands(calls.ok),
        thousands(calls.calls_failed),
        thousands(calls.rate_limited),
        thousands(calls.retries),
    );
    if calls.open > 0 {
        sent.push_str(&format!(", {} of unknown outcome", thousands(calls.open)));
    }
    let cost = dollars(calls.cost_microusd, calls.price_unknown)
        .unwrap_or_else(|| "unknown (no prices are set)".to_owned());
    let estimated = match calls.cost_estimated_microusd {
        0 => String::new(),
        part => format!(
            " ({} of it estimated)",
            dollars(part, false).unwrap_or_default()
        ),
    };
    printer.pairs(&[
        ("tasks", tasks),
        ("calls", sent),
        (
            "fallbacks",
            format!("{} answered by one", thousands(figures.groups.fallbacks)),
        ),
        (
            "cache",
            format!("{} answered from it", thousands(figures.groups.cache_hits)),
        ),
        (
            "tokens",
            format!(
                "{} in, {} out",
                thousands(calls.input_tokens),
                thousands(calls.output_tokens)
            ),
        ),
        ("cost", format!("{cost}{estimated}")),
    ])
}

/// The tables: by group, by model, who worked; and why tasks failed.
pub(super) fn print_tables(figures: &Figures, printer: &Printer) -> Result<(), CliError> {
    let rows: Vec<_> = groups(&figures.groups)
        .iter()
        .map(|(name, stand)| group(name, stand))
        .collect();
    let headers = [
        "",
        "tasks",
        "done",
        "failed",
        "waiting",
        "running",
        "cancelled",
        "success",
    ];
    below(printer, &headers, &rows)?;
    let answered: Vec<_> = figures
        .groups
        .models
        .iter()
        .map(|it| {
            vec![
                format!("tier {}", it.tier),
                it.model.clone(),
                thousands(it.done),
                if it.primary { "primary" } else { "fallback" }.to_owned(),
            ]
        })
        .collect();
    below(printer, &["", "answered by", "tasks", "as"], &answered)?;
    let models: Vec<_> = figures.calls_by_model.iter().map(model).collect();
    let headers = ["model", "calls", "good", "latency", "not good"];
    below(printer, &headers, &models)?;
    let spent: Vec<_> = figures.calls_by_model.iter().map(spent).collect();
    below(
        printer,
        &["model", "tokens in", "tokens out", "cost"],
        &spent,
    )?;
    let workers: Vec<_> = figures
        .processes
        .iter()
        .take(WORKERS_SHOWN)
        .map(worker)
        .collect();
    below(printer, &["who worked", "tasks done", "calls"], &workers)?;
    if figures.processes.len() > WORKERS_SHOWN {
        printer.line(format_args!(
            "and {} more processes",
            figures.processes.len() - WORKERS_SHOWN
        ))?;
    }
    for (place, failure) in figures.failures.iter().enumerate() {
        if place == 0 {
            printer.write("\n")?;
        }
        printer.line(format_args!(
            "{} failed ({}), as {}:",
            thousands(failure.tasks),
            failure.class,
            failure.task
        ))?;
        printer.indented(&cut(&failure.example, EXAMPLE_SHOWN), 1)?;
    }
    Ok(())
}

fn below(printer: &Printer, headers: &[&str], rows: &[Vec<String>]) -> Result<(), CliError> {
    if rows.is_empty() {
        return Ok(());
    }
    printer.write("\n")?;
    printer.table(headers, rows)
}

fn group(name: &str, stand: &Stand) -> Vec<String> {
    let mut row = vec![cut(name, 40)];
    let numbers = [
        stand.total,
        stand.done,
        stand.failed,
        stand.waiting,
        stand.running,
        stand.cancelled,
    ];
    row.extend(numbers.map(thousands));
    row.push(percent(stand.success_rate));
    row
}

fn model(it: &ModelCalls) -> Vec<String> {
    let sum = &it.sum;
    let failed = it.failed_by_class.iter();
    let failed: Vec<_> = failed
        .map(|(class, count)| format!("{class} {}", thousands(*count)))
        .collect();
    vec![
        it.model.clone(),
        thousands(sum.calls),
        thousands(sum.ok),
        sum.latency_ms_mean
            .map_or_else(|| "-".to_owned(), |ms| format!("{:.1} s", ms / 1000.0)),
        failed.join(", "),
    ]
}

fn spent(it: &ModelCalls) -> Vec<String> {
    let sum = &it.sum;
    vec![
        it.model.clone(),
        thousands(sum.input_tokens),
        thousands(sum.output_tokens),
        dollars(sum.cost_microusd, sum.price_unknown).unwrap_or_else(|| "-".to_owned()),
    ]
}

fn worker(it: &WhoWorked) -> Vec<String> {
    let name = match (&it.host, it.pid) {
        (Some(host), Some(pid)) => {
            format!("{host}, pid {pid} ({})", it.role.as_deref().unwrap_or("?"))
        }
        _ => it.process_id.to_string(),
    };
    vec![name, thousands(it.done), thousands(it.calls)]
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
        print_sums(&self.figures, printer)?;
        printer.line(format_args!(
            "{:.1} s, {:.0} items/h",
            self.seconds, self.items_per_hour
        ))?;
        print_tables(&self.figures, printer)
    }
}
