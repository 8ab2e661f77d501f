//! Looking at tasks: the list, and one in full.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::super::printer::ascii_controls;
use super::super::times::{brief, cut, dollars, moment, or_dash};
use super::super::{CliError, Context, Exit, Opened, Printer};
use super::{Filter, no_such};
use crate::store::task::{AttemptRow, TaskRow, WaitRow};

/// A task in full, as JSON.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    task: TaskRow,
    tries: Vec<AttemptRow>,
    /// Byte for byte as it was kept.
    answer: Option<Box<RawValue>>,
    waits: Option<WaitRow>,
}

pub(super) async fn list(
    context: &Context,
    opened: &Opened,
    filter: &Filter,
    limit: i64,
) -> Result<Exit, CliError> {
    let printer = &context.printer;
    let filter = filter.of_store(opened).await?;
    let tasks = opened.store.tasks(&filter, limit).await?;
    let headers = [
        "task", "state", "worker", "item", "tier", "model", "attempts", "made", "failure",
    ];
    printer.list(&headers, &tasks, |task| {
        let failure = task.last_error.as_deref().or(task.error_class.as_deref());
        vec![
            task.id.to_string(),
            task.state.clone(),
            cut(&task.worker, 32),
            cut(task.item_id.as_deref().unwrap_or("-"), 40),
            task.tier.to_string(),
            task.model_used
                .clone()
                .or_else(|| task.model.clone())
                .unwrap_or_else(|| "local".to_owned()),
            format!("{}/{}", task.attempts, task.max_attempts),
            brief(task.created_at, printer),
            cut(failure.unwrap_or("-"), 60),
        ]
    })?;
    if !printer.is_json() && tasks.is_empty() {
        printer.say("no such tasks");
    } else if i64::try_from(tasks.len()) == Ok(limit) {
        printer.say(format_args!("the newest {limit}; --limit shows more"));
    }
    Ok(Exit::Ok)
}

pub(super) async fn show(context: &Context, opened: &Opened, id: Uuid) -> Result<Exit, CliError> {
    let store = &opened.store;
    let whole = Whole {
        task: store.task(id).await?.ok_or_else(|| no_such(id))?,
        tries: store.attempts(id).await?,
        answer: store.answer(id).await?,
        waits: store.why(id).await?,
    };
    if context.printer.is_json() {
        context.printer.object(&whole)?;
    } else {
        screen(&context.printer, &whole)?;
    }
    Ok(Exit::Ok)
}

fn screen(printer: &Printer, whole: &Whole) -> Result<(), CliError> {
    let task = &whole.task;
    let at = |at: Option<_>| at.map(|at| moment(at, printer)).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    printer.pairs(&[
        ("task", task.id.to_string()),
        ("state", task.state.clone()),
        ("run", task.run_id.to_string()),
        ("worker", task.worker.clone()),
        ("item", text(&task.item_id)),
        ("category", text(&task.category)),
        ("tier", task.tier.to_string()),
        ("priority", task.priority.to_string()),
        (
            "model",
            task.model.clone().unwrap_or_else(|| "local".to_owned()),
        ),
        ("fallbacks", task.fallback_models.join(", ")),
        ("answered by", text(&task.model_used)),
        (
            "attempts",
            format!("{} of {}", task.attempts, task.max_attempts),
        ),
        ("generation", task.generation.to_string()),
        ("made", moment(task.created_at, printer)),
        ("next try", at(task.run_at)),
        ("last taken", at(task.started_at)),
        ("ended", at(task.finished_at)),
        ("failure", text(&task.error_class)),
        ("in words", text(&task.last_error)),
        (
            "waits for",
            whole
                .waits
                .as_ref()
                .map(|it| it.reason.clone())
                .unwrap_or_default(),
        ),
    ])?;
    if !whole.tries.is_empty() {
        printer.write("\n")?;
        printer.table(&TRIES, &tries(printer, &whole.tries))?;
    }
    if let Some(answer) = &whole.answer {
        printer.write("\n")?;
        printer.line(ascii_controls(answer.get()))?;
    }
    Ok(())
}

const TRIES: [&str; 8] = [
    "attempt", "model", "outcome", "started", "took", "tokens", "cost", "failure",
];

fn tries(printer: &Printer, attempts: &[AttemptRow]) -> Vec<Vec<String>> {
    attempts
        .iter()
        .map(|it| {
            let number = match it.generation {
                0 | 1 => it.attempt.to_string(),
                generation => format!("{} ({generation})", it.attempt),
            };
            let failure = it.error.as_deref().or(it.error_class.as_deref());
            vec![
                number,
                it.model.clone(),
                it.outcome.clone(),
                brief(it.started_at, printer),
                it.latency_ms
                    .map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
                format!(
                    "{} in, {} out",
                    or_dash(it.input_tokens),
                    or_dash(it.output_tokens)
                ),
                it.cost_microusd.map_or_else(|| "-".to_owned(), dollars),
                cut(failure.unwrap_or("-"), 80),
            ]
        })
        .collect()
}
