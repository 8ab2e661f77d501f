//! `tidegate runs`: what was asked for and how far it is; paused, cancelled, exported, retiered, deleted,
//! given a budget.

mod budget;
mod export;
mod look;
mod retier;
mod steer;
mod target;

use clap::Subcommand;
use uuid::Uuid;

use super::{CliError, Context, Exit, Opened};
use crate::store::run::{RunFilter, RunRow};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List runs, newest first
    #[command(
        after_help = "Examples:\n  tidegate runs list\n  tidegate runs list --worker entity_extraction --limit 5"
    )]
    List {
        /// Only of this worker
        #[arg(long)]
        worker: Option<String>,
        /// Only those that have not ended
        #[arg(long)]
        open: bool,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// Show one run: its tiers, which models answered, calls, tokens and cost
    Show(Which),
    /// Take no more tasks of a run; calls under way are finished
    Pause(Which),
    /// Go on with a run that was paused
    Resume(Which),
    /// End a run: its waiting and running tasks are cancelled. A call under way is not cut off: its
    /// answer is dropped and its cost kept
    #[command(
        after_help = "Cut off half-way, say it again: it goes on.\nExample:\n  tidegate runs cancel 0198c7f01f6a --dry-run"
    )]
    Cancel {
        #[command(flatten)]
        which: Which,
        /// Only say how many tasks it would cancel
        #[arg(long)]
        dry_run: bool,
    },
    Budget(budget::Args),
    Export(export::Args),
    Retier(retier::Args),
    /// Delete a run that has ended, with its tasks, items, answers and attempts. Its calls stay: they
    /// are what was spent
    #[command(after_help = "Cut off half-way, say it again: it goes on.")]
    Delete {
        #[command(flatten)]
        which: Which,
        /// Only say what it would delete
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which run.
#[derive(clap::Args, Clone, Debug)]
struct Which {
    /// The run's id, or as much of its beginning as names it
    #[arg(value_name = "RUN")]
    run: String,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| match args.action {
            Action::List {
                worker,
                open,
                limit,
            } => look::list(context, opened, worker.as_deref(), open, limit).await,
            Action::Show(which) => look::show(context, opened, &which).await,
            Action::Pause(which) => steer::pause(context, opened, &which).await,
            Action::Resume(which) => steer::resume(context, opened, &which).await,
            Action::Cancel { which, dry_run } => {
                steer::cancel(context, opened, &which, dry_run).await
            }
            Action::Retier(args) => Box::pin(retier::run(context, opened, args)).await,
            Action::Budget(args) => budget::run(context, opened, args).await,
            Action::Export(args) => Box::pin(export::run(context, opened, args)).await,
            Action::Delete { which, dry_run } => {
                steer::delete(context, opened, &which, dry_run).await
            }
        })
        .await
}

impl Which {
    async fn id(&self, opened: &Opened) -> Result<Uuid, CliError> {
        super::ids::run(opened, &self.run).await
    }

    /// The run as lists show it.
    async fn row(&self, opened: &Opened) -> Result<RunRow, CliError> {
        row(opened, self.id(opened).await?).await
    }
}

async fn row(opened: &Opened, id: Uuid) -> Result<RunRow, CliError> {
    let mut rows = opened.store.runs(&RunFilter::only(id), 1).await?;
    rows.pop().ok_or_else(|| no_such(id))
}

fn no_such(id: Uuid) -> CliError {
    CliError::input(
        format!("no run has the id {id}"),
        "see `tidegate runs list`",
    )
}
