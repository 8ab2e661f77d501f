//! Retrying and cancelling, one by one or all that match.

use std::collections::BTreeSet;

use serde_json::json;
use uuid::Uuid;

use super::super::{CliError, Context, Exit, Opened, Printer, would};
use super::{Acting, Which, no_such};
use crate::client::{self, Gathering, Retried};
use crate::store::{reprocess::Selection, task::TaskFilter};

/// Tasks moved by one statement.
const CHUNK: usize = 1_000;
/// What has ended and can come back; what has not ended.
const ENDED: [&str; 2] = ["failed", "cancelled"];
const OPEN: [&str; 4] = ["blocked", "scheduled", "ready", "running"];

pub(super) async fn retry(
    context: &Context,
    opened: &Opened,
    acting: &Acting,
) -> Result<Exit, CliError> {
    let which = &acting.which;
    if acting.dry_run {
        return would_retry(context, opened, which).await;
    }
    let (mut sum, mut seen) = (Retried::default(), 0);
    each_chunk(opened, which, &ENDED, async |ids| {
        let retried = client::retry(&opened.store, ids).await?;
        seen += ids.len();
        sum.ready += retried.ready;
        sum.sink_applied += retried.sink_applied;
        sum.sink_refused.extend(retried.sink_refused);
        Ok(())
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
    if seen == 0 {
        nothing(printer, "failed or cancelled");
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

/// What putting them back would come to.
async fn would_retry(context: &Context, opened: &Opened, which: &Which) -> Result<Exit, CliError> {
    let (mut gathering, mut seen) = (Gathering::default(), 0);
    each_chunk(opened, which, &ENDED, async |ids| {
        gathering.add(opened.store.retry_outlook(ids).await?);
        seen += ids.len();
        Ok(())
    })
    .await?;
    let printer = &context.printer;
    let would = gathering.put_back(&opened.store).await?;
    let back = usize::try_from(would.tasks + gathering.by_sink).unwrap_or_default();
    let left = seen.saturating_sub(back);
    let mut head = format!("would put {} back", tasks(seen - left));
    if gathering.by_sink > 0 {
        head.push_str(&format!(
            ", of which {} keep their answer: only the sink is applied again",
            gathering.by_sink
        ));
    }
    if seen == 0 {
        nothing(printer, "failed or cancelled");
    }
    let act = json!({"would_retry": back, "would_apply_sink": gathering.by_sink, "left": left});
    would::tell(printer, act, &head, &would)?;
    Ok(Exit::Ok)
}

/// A selection without a task is no mistake, but nobody should take it for a success.
fn nothing(printer: &Printer, states: &str) {
    printer.say(format_args!(
        "no task that is {states} was selected; `tidegate tasks list` with the same flags shows what there is"
    ));
}

pub(super) async fn cancel(
    context: &Context,
    opened: &Opened,
    acting: &Acting,
) -> Result<Exit, CliError> {
    let which = &acting.which;
    let (mut cancelled, mut seen) = (0, 0);
    if acting.dry_run {
        return would_cancel(context, opened, which).await;
    }
    each_chunk(opened, which, &OPEN, async |ids| {
        cancelled += count(opened.store.cancel(ids).await?);
        seen += ids.len();
        Ok(())
    })
    .await?;
    let printer = &context.printer;
    if printer.is_json() {
        printer.object(&json!({"cancelled": cancelled, "left": seen - cancelled}))?;
    } else {
        printer.line(format_args!("{} cancelled", tasks(cancelled)))?;
    }
    if seen == 0 {
        nothing(printer, "waiting or running");
    }
    if seen > cancelled {
        printer.say(format_args!(
            "{} left as they are: they had ended",
            tasks(seen - cancelled)
        ));
    }
    Ok(Exit::Ok)
}

/// How many would be cancelled.
async fn would_cancel(context: &Context, opened: &Opened, which: &Which) -> Result<Exit, CliError> {
    let (mut open, mut seen) = (0, 0);
    each_chunk(opened, which, &OPEN, async |ids| {
        seen += ids.len();
        // by filter they are open; by ids they may be anything
        if which.ids.is_empty() {
            open += ids.len();
            return Ok(());
        }
        for id in ids {
            let task = opened.store.task(*id).await?;
            open += usize::from(task.is_some_and(|task| OPEN.contains(&task.state.as_str())));
        }
        Ok(())
    })
    .await?;
    let printer = &context.printer;
    if printer.is_json() {
        printer.object(&json!({"dry_run": true, "would_cancel": open, "left": seen - open}))?;
    } else {
        printer.line(format_args!("would cancel {}", tasks(open)))?;
        printer.say("nothing was stored or sent");
    }
    if seen == 0 {
        nothing(printer, "waiting or running");
    }
    Ok(Exit::Ok)
}

/// Gives `act` the tasks meant, a chunk at a time.
///
/// By ids: each must be there, or nothing is done. By filter: those in `states`, or in the one that
/// is named.
async fn each_chunk(
    opened: &Opened,
    which: &Which,
    states: &[&str],
    mut act: impl AsyncFnMut(&[Uuid]) -> Result<(), CliError>,
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
    if which.is_empty() {
        return Err(CliError::input(
            "no task is named",
            "give ids, or say which: --run, --worker, --component, --state, --class, --tier, --item, --version or --where",
        ));
    }
    let filter = which.filter.of_store(opened).await?;
    if let (Some(run), Some(component)) = (filter.run, &filter.component) {
        super::super::ids::component(opened, run, component).await?;
    }
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
    if which.of_version.is_none() && which.condition.is_none() {
        return all_of(opened, &filter, &states, &mut act).await;
    }
    let selection = Selection {
        run: filter.run,
        worker: filter.worker,
        states,
        version: which.of_version.clone(),
        component: filter.component,
        tier: filter.tier,
        error_class: filter.error_class,
        item: filter.item,
        condition: which.condition.clone(),
    };
    let mut tasks = opened.store.stream_selected(&selection, false);
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        let task = tasks.recv().await.transpose()?;
        chunk.extend(task);
        if chunk.len() == CHUNK || (task.is_none() && !chunk.is_empty()) {
            chunk.sort_unstable();
            act(&chunk).await?;
            chunk.clear();
        }
        if task.is_none() {
            return Ok(());
        }
    }
}

/// One walk over the tasks that the filter names, a chunk a statement; each is met once.
async fn all_of(
    opened: &Opened,
    filter: &TaskFilter,
    states: &[String],
    act: &mut impl AsyncFnMut(&[Uuid]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
    let (mut after, mut before) = (None, None);
    loop {
        let mut ids = match filter.run {
            Some(run) => {
                let page = opened
                    .store
                    .task_places(run, after.as_ref(), filter, states, limit)
                    .await?;
                after = page.last().cloned();
                page.into_iter().map(|place| place.task).collect()
            }
            None => {
                let page = opened.store.task_ids(before, filter, states, limit).await?;
                before = page.last().copied();
                page
            }
        };
        if ids.is_empty() {
            return Ok(());
        }
        ids.sort_unstable();
        act(&ids).await?;
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
