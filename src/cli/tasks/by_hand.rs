//! Retrying and cancelling, one by one or all that match.

use std::collections::BTreeSet;

use serde_json::json;
use uuid::Uuid;

use super::super::{CliError, Context, Exit, Opened};
use super::{Which, no_such};
use crate::client::{self, Retried};
use crate::store::task::TaskFilter;

/// Tasks moved by one statement.
const CHUNK: usize = 1_000;
/// What has ended and can come back; what has not ended.
const ENDED: [&str; 2] = ["failed", "cancelled"];
const OPEN: [&str; 4] = ["blocked", "scheduled", "ready", "running"];

pub(super) async fn retry(
    context: &Context,
    opened: &Opened,
    which: &Which,
) -> Result<Exit, CliError> {
    let (mut sum, mut seen) = (Retried::default(), 0);
    each_chunk(opened, which, &ENDED, async |ids| {
        let retried = client::retry(&opened.store, ids).await?;
        let moved = retried.ready + retried.sink_applied;
        seen += ids.len();
        sum.ready += retried.ready;
        sum.sink_applied += retried.sink_applied;
        sum.sink_refused.extend(retried.sink_refused);
        Ok(moved)
    })
    .await?;

    let left = seen.saturating_sub(sum.ready + sum.sink_applied + sum.sink_refused.len());
    let printer = &context.printer;
    if printer.is_json() {
        let refused = sum.sink_refused.iter();
        let refused: Vec<_> = refused
            .map(|(task, words)| json!({"task": task, "error": words}))
            .collect();
        printer.object(&json!({
            "retried": sum.ready, "sink_applied": sum.sink_applied, "sink_refused": refused, "left": left,
        }))?;
    } else {
        printer.line(format_args!("{} put back", tasks(sum.ready)))?;
        if sum.sink_applied > 0 {
            printer.line(format_args!(
                "{} done: the sink took the answer that was kept",
                tasks(sum.sink_applied)
            ))?;
        }
        for (task, words) in &sum.sink_refused {
            printer.line(format_args!("{task}: the sink refused again: {words}"))?;
        }
    }
    if left > 0 {
        printer.say(format_args!(
            "{} left as they are: not failed or cancelled, or their item waits in another task",
            tasks(left)
        ));
    }
    Ok(if sum.sink_refused.is_empty() {
        Exit::Ok
    } else {
        Exit::Partial
    })
}

pub(super) async fn cancel(
    context: &Context,
    opened: &Opened,
    which: &Which,
) -> Result<Exit, CliError> {
    let (mut cancelled, mut seen) = (0, 0);
    each_chunk(opened, which, &OPEN, async |ids| {
        let done = count(opened.store.cancel(ids).await?);
        cancelled += done;
        seen += ids.len();
        Ok(done)
    })
    .await?;
    let printer = &context.printer;
    if printer.is_json() {
        printer.object(&json!({"cancelled": cancelled, "left": seen - cancelled}))?;
    } else {
        printer.line(format_args!("{} cancelled", tasks(cancelled)))?;
    }
    if seen > cancelled {
        printer.say(format_args!(
            "{} left as they are: they had ended",
            tasks(seen - cancelled)
        ));
    }
    Ok(Exit::Ok)
}

/// Gives `act` the tasks meant, a chunk at a time; it says how many it moved.
///
/// By ids: each must be there, or nothing is done. By filter: in each of `states` (or the one that
/// is named), until none is left that was not seen. What moves leaves its state; what stays is read
/// again, and the chunk grows by it.
async fn each_chunk(
    opened: &Opened,
    which: &Which,
    states: &[&str],
    mut act: impl AsyncFnMut(&[Uuid]) -> Result<usize, CliError>,
) -> Result<(), CliError> {
    if !which.ids.is_empty() {
        let ids: Vec<Uuid> = BTreeSet::from_iter(which.ids.iter().copied())
            .into_iter()
            .collect();
        for id in &ids {
            opened.store.task(*id).await?.ok_or_else(|| no_such(*id))?;
        }
        for ids in ids.chunks(CHUNK) {
            act(ids).await?;
        }
        return Ok(());
    }
    if which.filter.is_empty() {
        return Err(CliError::input(
            "no task is named",
            "give ids, or say which: --run, --worker, --state, --class, --tier or --item",
        ));
    }
    let filter = which.filter.of_store();
    let states = match &filter.state {
        Some(state) if !states.contains(&state.as_str()) => {
            return Err(CliError::input(
                format!("tasks in state {state} are not moved by this"),
                format!("name one of: {}", states.join(", ")),
            ));
        }
        Some(state) => vec![state.clone()],
        None => states.iter().map(|&state| state.to_owned()).collect(),
    };
    for state in states {
        let filter = TaskFilter {
            state: Some(state),
            ..filter.clone()
        };
        all_of(opened, &filter, &mut act).await?;
    }
    Ok(())
}

async fn all_of(
    opened: &Opened,
    filter: &TaskFilter,
    act: &mut impl AsyncFnMut(&[Uuid]) -> Result<usize, CliError>,
) -> Result<(), CliError> {
    let mut seen = BTreeSet::new();
    let mut stayed = 0;
    loop {
        let limit = i64::try_from(CHUNK + stayed).unwrap_or(i64::MAX);
        let found = opened.store.tasks(filter, limit).await?;
        let fresh: Vec<Uuid> = found
            .iter()
            .map(|task| task.id)
            .filter(|id| seen.insert(*id))
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        stayed += fresh.len().saturating_sub(act(&fresh).await?);
    }
}

fn tasks(count: usize) -> String {
    match count {
        1 => "1 task".to_owned(),
        count => format!("{count} tasks"),
    }
}

/// A number of rows from SQL.
fn count(rows: i32) -> usize {
    usize::try_from(rows).unwrap_or(0)
}
