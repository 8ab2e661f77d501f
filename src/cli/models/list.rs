//! The list of models, once or watched: which limit binds each, until when, and what waits for it.

use std::collections::HashMap;

use serde::Serialize;
use uuid::Uuid;

use crate::cli::times::{brief, cut, or_dash};
use crate::cli::{CliError, Context, Exit, Opened, Printer, watch};
use crate::store::limit::ModelQueue;
use crate::store::model::ModelStatus;

/// A model and what waits for it.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Listed {
    #[serde(flatten)]
    pub(super) status: ModelStatus,
    /// Ready tasks whose first choice it is.
    pub(super) waiting: i64,
    /// The first of them: it would start next, but for the fair share among runs and tiers.
    pub(super) next_task: Option<Uuid>,
    pub(super) next_worker: Option<String>,
}

pub(super) async fn run(context: &Context, watched: bool) -> Result<Exit, CliError> {
    let printer = &context.printer;
    watch::show(context, watched, async |opened| {
        let models = read(opened, None).await?;
        if printer.is_json() {
            return models.iter().map(|it| printer.object_text(it)).collect();
        }
        if models.is_empty() {
            printer.say("no models yet; a run or a worker process writes those of tidegate.toml");
            return Ok(String::new());
        }
        Ok(format!("{}\n", table(&models, printer)))
    })
    .await
}

/// These models, or all, by name.
pub(in crate::cli) async fn read(
    opened: &Opened,
    only: Option<&[String]>,
) -> Result<Vec<Listed>, CliError> {
    let queues = opened.store.model_queues(only).await?;
    let mut queues: HashMap<String, ModelQueue> = queues
        .into_iter()
        .map(|queue| (queue.model.clone(), queue))
        .collect();
    let models = opened.store.model_status(only).await?;
    let listed = |status: ModelStatus| {
        let queue = queues.remove(&status.model);
        Listed {
            waiting: queue.as_ref().map_or(0, |it| it.waiting),
            next_task: queue.as_ref().and_then(|it| it.next_task),
            next_worker: queue.and_then(|it| it.next_worker),
            status,
        }
    };
    Ok(models.into_iter().map(listed).collect())
}

/// The table of models, for the list and the status screen.
pub(in crate::cli) fn table(models: &[Listed], printer: &Printer) -> String {
    let rows: Vec<_> = models.iter().map(|it| row(it, printer)).collect();
    let headers = [
        "model",
        "state",
        "opens",
        "in flight",
        "calls/min",
        "tpm",
        "rpd",
        "strikes",
        "waiting",
        "starts next",
    ];
    printer.table_text(&headers, &rows)
}

fn row(listed: &Listed, printer: &Printer) -> Vec<String> {
    let it = &listed.status;
    vec![
        it.model.clone(),
        it.closed_by
            .as_deref()
            .map_or_else(|| "open".to_owned(), |why| cut(why, 60)),
        until(it, printer),
        of(it.in_flight, it.concurrency),
        of(it.calls_last_minute, it.requests_per_minute),
        or_dash(it.tokens_per_minute),
        or_dash(it.requests_per_day),
        it.strikes.to_string(),
        listed.waiting.to_string(),
        next(listed),
    ]
}

/// What would start next on it.
pub(super) fn next(listed: &Listed) -> String {
    match (listed.next_task, &listed.next_worker) {
        (Some(task), Some(worker)) => format!("{task} ({})", cut(worker, 32)),
        _ => "-".to_owned(),
    }
}

/// When it opens.
pub(super) fn until(model: &ModelStatus, printer: &Printer) -> String {
    match (&model.closed_by, model.until) {
        (None, _) => "-".to_owned(),
        (Some(_), Some(at)) => brief(at, printer),
        (Some(why), None) if why.contains("parked") => "by `models clear`".to_owned(),
        (Some(_), None) => "when a call ends".to_owned(),
    }
}

/// `3/10`, or `3` where there is no limit.
pub(super) fn of(used: i64, limit: Option<i64>) -> String {
    match limit {
        Some(limit) => format!("{used}/{limit}"),
        None => used.to_string(),
    }
}
