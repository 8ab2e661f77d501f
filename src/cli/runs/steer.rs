//! Acts on a whole run: pause, resume, cancel, delete. Many rows go in chunks, each a short
//! transaction of its own, so that a cut leaves nothing half-done that the same command does not end.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use uuid::Uuid;

use super::{Which, row};
use crate::cli::{CliError, Context, Exit, Opened, Printer, would};
use crate::client::{Gathering, expected};
use crate::store::run::RunRow;
use crate::store::task::TaskFilter;

/// Rows moved by one statement at most.
const CHUNK: i64 = 1_000;
/// Passes over a run in which tasks come back to life while it is cancelled (somebody retries them).
const PASSES_MAX: usize = 10;
/// What has not ended.
const OPEN: [&str; 4] = ["blocked", "scheduled", "ready", "running"];

pub(super) async fn pause(
    context: &Context,
    opened: &Opened,
    which: &Which,
) -> Result<Exit, CliError> {
    let id = which.id(opened).await?;
    let changed = opened.store.pause_run(id).await?;
    let run = row(opened, id).await?;
    if run.state != "paused" {
        return Err(match run.state.as_str() {
            "loading" => CliError::input(
                "the run is still being loaded",
                "pause it when it is, or end it with `tidegate runs cancel`",
            ),
            _ => has_ended(&run),
        });
    }
    told(context, &run, changed, "was paused already")
}

pub(super) async fn resume(
    context: &Context,
    opened: &Opened,
    which: &Which,
) -> Result<Exit, CliError> {
    let id = which.id(opened).await?;
    let changed = opened.store.resume_run(id).await?;
    let run = row(opened, id).await?;
    match run.state.as_str() {
        "active" | "loading" => told(context, &run, changed, "was not paused"),
        _ if changed => told(context, &run, changed, ""),
        _ => Err(has_ended(&run)),
    }
}

fn has_ended(run: &RunRow) -> CliError {
    CliError::input(
        format!("the run has ended: it is {}", run.state),
        format!(
            "`tidegate tasks retry --run {}` puts its failed and cancelled tasks back",
            run.run_id
        ),
    )
}

fn told(context: &Context, run: &RunRow, changed: bool, unchanged: &str) -> Result<Exit, CliError> {
    let printer = &context.printer;
    if printer.is_json() {
        printer.object(&json!({"run": run.run_id, "state": run.state, "changed": changed}))?;
    } else if changed {
        printer.line(format_args!("{} is {}", run.run_id, run.state))?;
    } else {
        printer.line(format_args!("{} {unchanged}", run.run_id))?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn cancel(
    context: &Context,
    opened: &Opened,
    which: &Which,
    dry_run: bool,
) -> Result<Exit, CliError> {
    let run = which.row(opened).await?;
    let printer = &context.printer;
    let left = run.waiting + run.running;
    if dry_run {
        return would_cancel(printer, opened, &run).await;
    }
    let bar = bar(printer, left);
    let cancelled = end(opened, &run, &bar).await;
    bar.finish_and_clear();
    let cancelled = cancelled?;
    let run = row(opened, run.run_id).await?;
    if printer.is_json() {
        printer.object(&json!({"run": run.run_id, "cancelled": cancelled, "state": run.state}))?;
    } else {
        printer.line(format_args!(
            "{cancelled} tasks cancelled; the run is {}",
            run.state
        ))?;
    }
    Ok(Exit::Ok)
}

/// What would be cancelled, and what would then not be asked.
async fn would_cancel(printer: &Printer, opened: &Opened, run: &RunRow) -> Result<Exit, CliError> {
    let mut gathering = Gathering::default();
    gathering.add(opened.store.waiting_outlook(run.run_id).await?);
    let spared = gathering.would(Some(&expected(&opened.store).await?));
    let left = run.waiting + run.running;
    let act = json!({
        "run": run.run_id, "would_cancel": left, "waiting": run.waiting, "running": run.running,
    });
    let head = format!(
        "would cancel {left} tasks: {} waiting, {} running; of those that wait nothing would be asked:",
        run.waiting, run.running
    );
    would::tell(printer, act, &head, &spared)?;
    Ok(Exit::Ok)
}

/// Cancels what has not ended, and ends the run. Returns how many tasks it cancelled.
async fn end(opened: &Opened, run: &RunRow, bar: &ProgressBar) -> Result<i64, CliError> {
    let (store, id) = (&opened.store, run.run_id);
    // nobody takes or adds anything while it is emptied
    store.stop_loading(id).await?;
    store.pause_run(id).await?;
    let mut cancelled = 0;
    for _ in 0..PASSES_MAX {
        cancelled += pass(opened, id, bar).await?;
        if store.end_run(id).await? {
            return Ok(cancelled);
        }
        let now = row(opened, id).await?;
        if now.waiting + now.running == 0 && ["done", "cancelled"].contains(&now.state.as_str()) {
            return Ok(cancelled);
        }
    }
    Err(CliError::input(
        "tasks of the run keep coming back: somebody else retries them",
        "stop who does, then say this again",
    ))
}

/// One walk over the run, a chunk a statement.
async fn pass(opened: &Opened, run: Uuid, bar: &ProgressBar) -> Result<i64, CliError> {
    let states = OPEN.map(str::to_owned);
    let any = TaskFilter::default();
    let (mut after, mut cancelled) = (None, 0);
    loop {
        let store = &opened.store;
        let page = store
            .task_places(run, after.as_ref(), &any, &states, CHUNK)
            .await?;
        let Some(last) = page.last().cloned() else {
            return Ok(cancelled);
        };
        let mut ids: Vec<Uuid> = page.iter().map(|it| it.task).collect();
        ids.sort_unstable();
        cancelled += i64::from(store.cancel(&ids).await?);
        bar.inc(ids.len() as u64);
        after = Some(last);
    }
}

pub(super) async fn delete(
    context: &Context,
    opened: &Opened,
    which: &Which,
    dry_run: bool,
) -> Result<Exit, CliError> {
    let run = which.row(opened).await?;
    let (printer, id) = (&context.printer, run.run_id);
    if !["done", "cancelled"].contains(&run.state.as_str()) {
        return Err(CliError::input(
            format!("the run has not ended: it is {}", run.state),
            format!("end it first: tidegate runs cancel {id}"),
        ));
    }
    let what = json!({"run": id, "tasks": run.total, "items": run.items_total});
    let words = format!("{} tasks and {} items", run.total, run.items_total);
    if dry_run {
        if printer.is_json() {
            printer.object(&json!({"run": id, "would_delete": what}))?;
        } else {
            printer.line(format_args!("would delete {words}"))?;
        }
        return Ok(Exit::Ok);
    }
    let bar = bar(printer, run.total + run.items_total);
    let chunk = i32::try_from(CHUNK).unwrap_or(i32::MAX);
    let emptied = async {
        while let Some(rows) = opened.store.delete_run(id, chunk).await? {
            bar.inc(rows.unsigned_abs().into());
        }
        Ok::<(), CliError>(())
    };
    let emptied = emptied.await;
    bar.finish_and_clear();
    emptied?;
    if printer.is_json() {
        printer.object(&json!({"run": id, "deleted": what}))?;
    } else {
        printer.line(format_args!("deleted {words}"))?;
    }
    Ok(Exit::Ok)
}

/// A bar on a terminal, nothing elsewhere.
fn bar(printer: &Printer, rows: i64) -> ProgressBar {
    let target = if printer.stderr_is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(rows.unsigned_abs()), target);
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len}  ETA {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
