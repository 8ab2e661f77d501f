//! Looking at runs: the list, and one in full.

use serde::Serialize;

use super::Which;
use crate::cli::status::progress;
use crate::cli::times::{brief, cut, dollars, moment};
use crate::cli::{CliError, Context, Exit, Opened, Printer, budget, expect};
use crate::client::{BindingLimit, ExpectedRun, expected};
use crate::store::budget::Budget;
use crate::store::run::{RunFilter, RunRow};
use crate::store::stats::{CallCount, ModelCount, TierCount};

/// A run in full, as JSON.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    run: RunRow,
    tiers: Vec<TierCount>,
    models: Vec<ModelCount>,
    counts: CallCount,
    /// Under present limits; of a run that is active and holds anything.
    expected: Option<ExpectedRun>,
    /// What binds for the longest time, of all that waits.
    binding: Option<BindingLimit>,
    budget: Option<Budget>,
}

pub(super) async fn list(
    context: &Context,
    opened: &Opened,
    worker: Option<&str>,
    open: bool,
    limit: i64,
) -> Result<Exit, CliError> {
    let printer = &context.printer;
    let filter = RunFilter {
        only: None,
        worker: worker.map(str::to_owned),
        open,
    };
    let runs = opened.store.runs(&filter, limit).await?;
    if runs.is_empty() && !printer.is_json() {
        printer.say("no runs; `tidegate run WORKER` makes one");
    }
    let headers = [
        "run", "worker", "state", "done", "failed", "429s", "cost", "begun", "ends", "source",
    ];
    printer.list(&headers, &runs, |run| {
        vec![
            run.run_id.to_string(),
            cut(&run.worker, 32),
            run.state.clone(),
            progress(run),
            run.failed.to_string(),
            run.calls_429.to_string(),
            dollars(run.cost_microusd),
            brief(run.created_at, printer),
            run.finished_at
                .or(run.eta)
                .map_or_else(|| "-".to_owned(), |at| brief(at, printer)),
            cut(&run.source, 40),
        ]
    })?;
    Ok(Exit::Ok)
}

pub(super) async fn show(
    context: &Context,
    opened: &Opened,
    which: &Which,
) -> Result<Exit, CliError> {
    let printer = &context.printer;
    let store = &opened.store;
    let run = which.row(opened).await?;
    let id = run.run_id;
    let expected = expected(store).await?;
    let whole = Whole {
        tiers: store.tier_counts(&[id]).await?,
        models: store.model_counts(&[id]).await?,
        counts: store.call_counts(&[id]).await?,
        budget: store.budget(Some(id)).await?,
        expected: expected.run(id).cloned(),
        binding: expected.binding.clone(),
        run,
    };
    if printer.is_json() {
        printer.object(&whole)?;
    } else {
        screen(printer, &whole)?;
    }
    Ok(Exit::Ok)
}

fn screen(printer: &Printer, whole: &Whole) -> Result<(), CliError> {
    let Whole { run, counts, .. } = whole;
    let at = |at: Option<_>| at.map(|at| moment(at, printer)).unwrap_or_default();
    let mut cost = dollars(run.cost_microusd);
    if counts.cost_estimated_microusd > 0 {
        cost.push_str(&format!(
            " ({} of it estimated)",
            dollars(counts.cost_estimated_microusd)
        ));
    }
    if counts.price_unknown {
        cost.push_str(", not counting models without a price in tidegate.toml");
    }
    printer.pairs(&[
        ("run", run.run_id.to_string()),
        ("worker", run.worker.clone()),
        ("state", run.state.clone()),
        ("source", run.source.clone()),
        ("begun", moment(run.created_at, printer)),
        ("loaded", at(run.loaded_at)),
        ("ended", at(run.finished_at)),
        (
            "at this pace",
            at(run.eta.filter(|_| run.finished_at.is_none())),
        ),
        ("expected", expectation(whole)),
        (
            "items",
            format!(
                "{} ({} wait in another run)",
                run.items_total, run.items_skipped
            ),
        ),
        ("done", progress(run)),
        (
            "calls",
            format!(
                "{} ({} answered, {} refused by a limit, {} retries)",
                counts.calls, counts.ok, counts.rate_limited, counts.retries
            ),
        ),
        (
            "tokens",
            format!("{} in, {} out", counts.input_tokens, counts.output_tokens),
        ),
        ("cost", cost),
        (
            "budget",
            whole.budget.as_ref().map(budget::words).unwrap_or_default(),
        ),
    ])?;
    let tiers: Vec<_> = whole
        .tiers
        .iter()
        .map(|it| {
            [
                i64::from(it.tier),
                it.total,
                it.waiting,
                it.running,
                it.done,
                it.failed,
                it.cancelled,
            ]
            .map(|number| number.to_string())
            .to_vec()
        })
        .collect();
    let models: Vec<_> = whole
        .models
        .iter()
        .map(|it| {
            vec![
                it.tier.to_string(),
                it.model.clone(),
                it.done.to_string(),
                if it.primary { "primary" } else { "fallback" }.to_owned(),
            ]
        })
        .collect();
    for (headers, rows) in [
        (
            &[
                "tier",
                "total",
                "waiting",
                "running",
                "done",
                "failed",
                "cancelled",
            ][..],
            tiers,
        ),
        (&["tier", "answered by", "tasks", "as"][..], models),
    ] {
        if !rows.is_empty() {
            printer.write("\n")?;
            printer.table(headers, &rows)?;
        }
    }
    if run.failed > 0 {
        printer.say(format_args!(
            "failed tasks: tidegate tasks list --run {} --state failed",
            run.run_id
        ));
    }
    Ok(())
}

/// When it ends under present limits, at what cost, and what holds it back. Empty: nothing waits.
fn expectation(whole: &Whole) -> String {
    let Some(it) = &whole.expected else {
        return String::new();
    };
    let parts = [
        Some(expect::end(it)),
        expect::cost(it),
        whole.binding.as_ref().map(expect::held_back),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}
