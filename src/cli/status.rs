//! `tidegate status`: one screen of where it all stands.

use serde::Serialize;

use super::models::{self, Listed};
use super::progress::span;
use super::times::{brief, cut, dollars};
use super::{CliError, Context, Exit, Opened, Printer, budget, expect, watch};
use crate::client::{Expected, expected};
use crate::store::budget::Budget;
use crate::store::run::{RunFilter, RunRow};
use crate::store::stats::{ProcessRow, WaitCount};

/// Where it all stands: database, processes, open runs, models and what closes them.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tidegate status\n  tidegate status --watch\n  tidegate --json status"
)]
pub(super) struct Args {
    /// Refresh each second, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// The screen as one JSON object.
#[derive(Serialize)]
struct Status {
    database: Database,
    processes: Vec<ProcessRow>,
    runs: Vec<RunRow>,
    waits: Vec<WaitCount>,
    /// Of all that waits, under present limits.
    expected: Expected,
    models: Vec<Listed>,
    /// Of the day, for all.
    budget: Option<Budget>,
}

#[derive(Serialize)]
struct Database {
    private: bool,
    folder: Option<String>,
    connections: u32,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let printer = &context.printer;
    watch::show(context, args.watch, async |opened| {
        let status = read(opened).await?;
        if printer.is_json() {
            return printer.object_text(&status);
        }
        Ok(screen(&status, printer))
    })
    .await
}

async fn read(opened: &Opened) -> Result<Status, CliError> {
    let store = &opened.store;
    Ok(Status {
        database: Database {
            private: opened.local.is_some(),
            folder: opened
                .local
                .as_ref()
                .map(|local| local.folder().display().to_string()),
            connections: store.pool().size(),
        },
        processes: store.processes().await?,
        runs: store.runs(&RunFilter::open(), RUNS_MAX).await?,
        waits: store.wait_counts().await?,
        expected: expected(store).await?,
        models: models::read(opened, None).await?,
        budget: store.budget(None).await?,
    })
}

fn screen(status: &Status, printer: &Printer) -> String {
    let database = match &status.database.folder {
        Some(folder) => format!("private Postgres in {folder}"),
        None => "reached by DATABASE_URL".to_owned(),
    };
    let mut parts = vec![format!("Database: {database}")];
    if let Some(it) = &status.budget {
        parts.push(format!("Budget of the day: {}", budget::words(it)));
    }
    parts.extend([
        processes(&status.processes, printer),
        runs(status, printer),
        waits(&status.waits, printer),
        if status.models.is_empty() {
            "Models: none yet; a run or a worker process writes those of tidegate.toml".to_owned()
        } else {
            format!("Models:\n{}", models::table(&status.models, printer))
        },
    ]);
    format!("{}\n", parts.join("\n\n"))
}

fn processes(processes: &[ProcessRow], printer: &Printer) -> String {
    if processes.is_empty() {
        return "Processes: none; `tidegate work` starts one".to_owned();
    }
    let rows: Vec<_> = processes
        .iter()
        .map(|it| {
            vec![
                it.role.clone(),
                format!("{}:{}", it.host, it.pid),
                format!("{}/{}", it.in_flight, it.slots),
                format!("{:.1} s ago", it.silent_seconds),
            ]
        })
        .collect();
    let table = printer.table_text(&["role", "where", "calls/slots", "heard of"], &rows);
    format!("Processes: {}\n{table}", processes.len())
}

fn runs(status: &Status, printer: &Printer) -> String {
    let runs: &[RunRow] = &status.runs;
    if runs.is_empty() {
        return "Open runs: none; `tidegate run WORKER` makes one".to_owned();
    }
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            vec![
                run.run_id.to_string(),
                cut(&run.worker, 32),
                run.state.clone(),
                progress(run),
                run.waiting.to_string(),
                run.running.to_string(),
                run.failed.to_string(),
                run.calls_429.to_string(),
                dollars(run.cost_microusd),
                run.eta
                    .map_or_else(|| "-".to_owned(), |at| brief(at, printer)),
                status.expected.run(run.run_id).map_or_else(
                    || "-".to_owned(),
                    |it| match it.seconds {
                        Some(seconds) => span(seconds),
                        None if it.is_batch_end_unknown => "in a batch".to_owned(),
                        None => "never".to_owned(),
                    },
                ),
            ]
        })
        .collect();
    let headers = [
        "run",
        "worker",
        "state",
        "done",
        "waiting",
        "running",
        "failed",
        "429s",
        "cost",
        "ends",
        "by limits",
    ];
    let mut text = format!(
        "Open runs: {}\n{}",
        runs.len(),
        printer.table_text(&headers, &rows)
    );
    if let Some(binding) = &status.expected.binding {
        text.push_str(&format!("\nWhat waits is {}", expect::held_back(binding)));
    }
    if !status.expected.calls.is_empty() {
        text.push_str(&format!(
            "\nCalls to come: {}",
            expect::calls(&status.expected)
        ));
    }
    text
}

fn waits(waits: &[WaitCount], printer: &Printer) -> String {
    if waits.is_empty() {
        return "Waiting: nothing".to_owned();
    }
    let rows: Vec<_> = waits
        .iter()
        .map(|it| {
            vec![
                it.tasks.to_string(),
                cut(&it.worker, 32),
                it.tier.to_string(),
                it.reason.clone(),
                it.until
                    .map_or_else(|| "-".to_owned(), |at| brief(at, printer)),
            ]
        })
        .collect();
    let headers = ["tasks", "worker", "tier", "waiting for", "until"];
    format!("Waiting:\n{}", printer.table_text(&headers, &rows))
}

/// `120/200 (60 %)`.
pub(super) fn progress(run: &RunRow) -> String {
    let percent = (100 * run.done).checked_div(run.total).unwrap_or(0);
    format!("{}/{} ({percent} %)", run.done, run.total)
}

/// Open runs shown at most.
const RUNS_MAX: i64 = 200;
