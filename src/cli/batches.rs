//! `tidegate batches`: batches at providers' Batch APIs, and why they were made.

use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::{
    CliError, Context, Exit, report,
    times::{brief, cut, dollars, moment},
};
use crate::store::batch::list::BatchRow;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List batches, the newest first
    List {
        /// Of this run only
        #[arg(long, value_name = "ID")]
        run: Option<Uuid>,
        /// Only those that are not over
        #[arg(long)]
        open: bool,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// Show one batch
    Show {
        /// Its id
        batch: Uuid,
    },
    /// Cancel one at its provider; what it did not do is asked again
    Cancel {
        /// Its id
        batch: Uuid,
    },
    /// List the choices between single calls and batches, the newest first, with their reasons
    Decisions {
        /// Of this run only
        #[arg(long, value_name = "ID")]
        run: Option<Uuid>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// What choosing saved of money and time, by day (UTC), worker and model
    Savings {
        /// So many days back, today included
        #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(i32).range(1..=100_000))]
        days: i32,
    },
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.action {
        Action::List { run, open, limit } => list(context, run, open, limit).await,
        Action::Show { batch } => show(context, batch).await,
        Action::Cancel { batch } => cancel(context, batch).await,
        Action::Decisions { run, limit } => decisions(context, run, limit).await,
        Action::Savings { days } => report::saved::by_day(context, days).await,
    }
}

async fn list(
    context: &Context,
    run: Option<Uuid>,
    open: bool,
    limit: i64,
) -> Result<Exit, CliError> {
    let printer = &context.printer;
    context
        .with_store(async |opened| {
            let rows = opened.store.batch_rows(run, None, open, limit).await?;
            if rows.is_empty() && !printer.is_json() {
                printer.say("no batches; a worker's [strategy], or `tidegate run W --batching-strategy batch`, makes some");
            }
            let headers = [
                "batch", "worker", "model", "state", "items", "waiting", "answered", "cost",
                "formed", "ended",
            ];
            printer.list(&headers, &rows, |row| {
                vec![
                    row.id.to_string(),
                    cut(&row.worker, 32),
                    cut(&row.model, 40),
                    stands(row),
                    row.items.to_string(),
                    row.waiting.to_string(),
                    row.answered.to_string(),
                    dollars(row.cost_microusd),
                    brief(row.created_at, printer),
                    row.ended_at
                        .map_or_else(|| "-".to_owned(), |at| brief(at, printer)),
                ]
            })?;
            Ok(Exit::Ok)
        })
        .await
}

/// Its state, and how it ended.
fn stands(row: &BatchRow) -> String {
    match &row.outcome {
        Some(outcome) if row.state == "over" => outcome.clone(),
        Some(outcome) => format!("{} ({outcome})", row.state),
        None => row.state.clone(),
    }
}

async fn show(context: &Context, batch: Uuid) -> Result<Exit, CliError> {
    let printer = &context.printer;
    context
        .with_store(async |opened| {
            let rows = opened.store.batch_rows(None, Some(batch), false, 1).await?;
            let row = rows.into_iter().next().ok_or_else(|| no_such(batch))?;
            if printer.is_json() {
                printer.object(&row)?;
                return Ok(Exit::Ok);
            }
            let maybe = |text: Option<&String>| text.cloned().unwrap_or_else(|| "-".to_owned());
            let at = |at: Option<_>| at.map_or_else(|| "-".to_owned(), |at| moment(at, printer));
            printer.pairs(&[
                ("batch", row.id.to_string()),
                ("run", row.run_id.to_string()),
                ("worker", row.worker.clone()),
                ("component", row.component.clone()),
                ("model", row.model.clone()),
                ("state", stands(&row)),
                ("at the provider", maybe(row.remote_id.as_ref())),
                ("its word", maybe(row.remote_state.as_ref())),
                ("token", row.token.clone()),
                (
                    "items",
                    format!(
                        "{}: {} answered, {} failed, {} missing, {} asked singly for want of time, {} still in it",
                        row.items, row.answered, row.failed, row.missing, row.rescued, row.waiting
                    ),
                ),
                ("unknown lines", row.unknown.to_string()),
                ("cost", dollars(row.cost_microusd)),
                ("why", maybe(row.reason.as_ref())),
                ("formed", moment(row.created_at, printer)),
                ("created", at(row.submitted_at)),
                ("ended", at(row.ended_at)),
                ("next step", at(row.next_at)),
                ("last trouble", maybe(row.last_error.as_ref())),
            ])?;
            Ok(Exit::Ok)
        })
        .await
}

async fn cancel(context: &Context, batch: Uuid) -> Result<Exit, CliError> {
    let printer = &context.printer;
    context
        .with_store(async |opened| {
            let asked = opened.store.cancel_batch(batch).await?;
            if !asked && opened.store.batch_rows(None, Some(batch), false, 1).await?.is_empty() {
                return Err(no_such(batch));
            }
            match printer.is_json() {
                true => printer.object(&json!({ "batch": batch, "cancelled": asked }))?,
                false => printer.line(match asked {
                    true => "a worker process cancels it at its provider with its next step; what was done by then is kept",
                    false => "it has ended already",
                })?,
            }
            Ok(Exit::Ok)
        })
        .await
}

async fn decisions(context: &Context, run: Option<Uuid>, limit: i64) -> Result<Exit, CliError> {
    let printer = &context.printer;
    context
        .with_store(async |opened| {
            let rows = opened.store.decisions(run, limit).await?;
            let headers = [
                "at",
                "worker",
                "component",
                "model",
                "tasks",
                "asked for",
                "chosen",
                "singly",
                "why",
            ];
            printer.list(&headers, &rows, |row| {
                vec![
                    brief(row.at, printer),
                    cut(&row.worker, 32),
                    row.component.clone(),
                    cut(&row.model, 40),
                    row.items.to_string(),
                    row.mode.clone(),
                    row.strategy.clone(),
                    row.singles.to_string(),
                    row.reason.clone(),
                ]
            })?;
            Ok(Exit::Ok)
        })
        .await
}

fn no_such(batch: Uuid) -> CliError {
    CliError::input(
        format!("there is no batch {batch}"),
        "`tidegate batches list` shows those there are",
    )
}
