//! Why a task waits: which limit binds it, its own prompt included, and what comes before it.

use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::super::times::{brief, moment, or_dash};
use super::super::{CliError, Context, Exit, Opened, Printer, budget};
use super::no_such;
use crate::store::budget::Budget;
use crate::store::task::{RungRow, TaskRow, WaitRow};

/// All there is to say, as JSON.
#[derive(Serialize)]
struct Why {
    #[serde(flatten)]
    waits: WaitRow,
    /// Of its run.
    budget: Option<Budget>,
    /// Of the day, for all.
    budget_of_day: Option<Budget>,
}

pub(super) async fn run(context: &Context, opened: &Opened, id: Uuid) -> Result<Exit, CliError> {
    let (store, printer) = (&opened.store, &context.printer);
    let task = store.task(id).await?.ok_or_else(|| no_such(id))?;
    let Some(waits) = store.why(id).await? else {
        if printer.is_json() {
            printer.object(&json!({
                "task_id": id, "state": task.state, "reason": null, "until": null, "ahead": 0, "ladder": [],
            }))?;
        } else {
            printer.line(no_wait(&task))?;
        }
        return Ok(Exit::Ok);
    };
    let why = Why {
        waits,
        budget: store.budget(Some(task.run_id)).await?,
        budget_of_day: store.budget(None).await?,
    };
    if printer.is_json() {
        printer.object(&why)?;
    } else {
        screen(printer, &why)?;
    }
    Ok(Exit::Ok)
}

fn screen(printer: &Printer, why: &Why) -> Result<(), CliError> {
    let it = &why.waits;
    let money = |budget: &Option<Budget>| budget.as_ref().map(budget::words).unwrap_or_default();
    printer.pairs(&[
        ("state", it.state.clone()),
        ("waits for", it.reason.clone()),
        ("until", until(it, printer)),
        (
            "prompt",
            match it.est_tokens {
                0 => String::new(),
                tokens => format!("about {tokens} tokens"),
            },
        ),
        ("policy", policy(it)),
        ("budget", money(&why.budget)),
        ("of the day", money(&why.budget_of_day)),
        (
            "before it",
            match it.ahead {
                0 => String::new(),
                ahead => format!("{ahead} tasks of its run and tier"),
            },
        ),
    ])?;
    if !it.ladder.is_empty() {
        let rows: Vec<_> = it.ladder.iter().map(|it| rung(it, printer)).collect();
        printer.write("\n")?;
        printer.table(&RUNGS, &rows)?;
    }
    Ok(())
}

fn until(it: &WaitRow, printer: &Printer) -> String {
    match (it.until, it.kind.as_deref()) {
        (Some(at), _) => moment(at, printer),
        (None, Some("turn")) => String::new(),
        (None, _) => "not known: until a call ends, or a person acts".to_owned(),
    }
}

/// The policy and what it means for this task.
fn policy(it: &WaitRow) -> String {
    let Some(policy) = it.policy.as_deref() else {
        return String::new();
    };
    let patience = f64::from(it.patience_ms.unwrap_or_default()) / 1000.0;
    match policy {
        "auto" => format!(
            "auto: the first model with room; to another provider only where no better model opens within {patience} s"
        ),
        "patient" => {
            format!("patient: a later model only where no better one opens within {patience} s")
        }
        "ladder" => "ladder: the first model with room".to_owned(),
        _ => "spread: over all models with room, by what they have left".to_owned(),
    }
}

const RUNGS: [&str; 7] = [
    "model",
    "for this task",
    "opens",
    "needs",
    "left",
    "wait for it",
    "starts next",
];

fn rung(it: &RungRow, printer: &Printer) -> Vec<String> {
    let state = match (&it.closed_by, it.takable) {
        (Some(why), _) => why.clone(),
        (None, true) => "open".to_owned(),
        (None, false) => "open, but a better one is waited for".to_owned(),
    };
    let left = it
        .room
        .map(|room| format!("{room} of {}", or_dash(it.size)));
    vec![
        it.model.clone(),
        state,
        it.until
            .map_or_else(|| "-".to_owned(), |at| brief(at, printer)),
        or_dash(it.need),
        or_dash(left),
        it.waiting.to_string(),
        or_dash(it.next_task),
    ]
}

fn no_wait(task: &TaskRow) -> String {
    match (task.state.as_str(), &task.last_error) {
        ("failed", Some(words)) => format!(
            "it does not wait: it failed ({words}); `tidegate tasks retry {}` puts it back",
            task.id
        ),
        (state, _) => format!("it does not wait: it is {state}"),
    }
}
