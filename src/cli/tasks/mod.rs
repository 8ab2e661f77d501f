//! `tidegate tasks`: looking at tasks, and retrying and cancelling them by hand.

mod by_hand;
mod look;
mod why;

use clap::Subcommand;
use uuid::Uuid;

use super::{CliError, Context, Exit, Opened};
use crate::store::task::TaskFilter;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List tasks, newest first
    #[command(
        after_help = "Examples:\n  tidegate tasks list --state failed\n  tidegate tasks list --run RUN --class timeout --limit 20\n  tidegate --json tasks list --worker tag_space | jq .item_id"
    )]
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
        limit: i64,
    },
    /// Show one task: where it stands, its attempts, its answer
    Show {
        /// The task's id
        #[arg(value_parser = super::values::id)]
        id: Uuid,
    },
    /// Say why a task waits and until when: which limit binds it, its own prompt included, its policy,
    /// its budget, how many stand before it, and what would start next on its models
    Why {
        /// The task's id
        #[arg(value_parser = super::values::id)]
        id: Uuid,
    },
    /// Put failed or cancelled tasks back; one that failed by its sink gets its answer applied again,
    /// without a call
    #[command(
        disable_version_flag = true,
        after_help = "Examples:\n  tidegate tasks retry 0198c7f0-...\n  tidegate tasks retry --run RUN --state failed --dry-run\n  tidegate tasks retry --worker tag_space --class sink"
    )]
    Retry(Acting),
    /// Cancel tasks that have not ended; a call under way is not cut off, its answer is dropped
    #[command(
        disable_version_flag = true,
        after_help = "Examples:\n  tidegate tasks cancel 0198c7f0-...\n  tidegate tasks cancel --run RUN\n  tidegate tasks cancel --worker tag_space --state scheduled"
    )]
    Cancel(Acting),
}

/// Which tasks, by what they are.
#[derive(clap::Args, Clone, Debug)]
struct Filter {
    /// In this state
    #[arg(long, value_parser = STATES)]
    state: Option<String>,
    /// Of this run: its id, or as much of its beginning as names it
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Of this worker
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Of this component: a step of the worker
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    /// Of this tier
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(0..))]
    tier: Option<i16>,
    /// Whose last failure is of this class, as timeout, sink or safety
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Of this item
    #[arg(long, value_name = "ID")]
    item: Option<String>,
}

/// Which tasks, one by one or by what they are.
#[derive(clap::Args, Clone, Debug)]
struct Which {
    /// The tasks' ids
    #[arg(value_name = "ID", value_parser = super::values::id, conflicts_with_all = ["state", "run", "worker", "component", "tier", "class", "item", "of_version", "condition"])]
    ids: Vec<Uuid>,
    #[command(flatten)]
    filter: Filter,
    /// Made under this version of the worker
    #[arg(long = "version", id = "of_version", value_name = "VERSION")]
    of_version: Option<String>,
    /// For which this SQL holds, over tidegate.tasks t
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,
}

/// Which tasks are acted upon.
#[derive(clap::Args, Clone, Debug)]
struct Acting {
    #[command(flatten)]
    which: Which,
    /// Only say what it would come to; store and send nothing
    #[arg(long)]
    dry_run: bool,
}

/// Put failed or cancelled tasks back; one that failed by its sink gets its answer applied again, without
/// a call. The same as `tidegate tasks retry`
#[derive(clap::Args, Clone, Debug)]
#[command(
    disable_version_flag = true,
    after_help = "Examples:\n  tidegate retry --run RUN\n  tidegate retry --run RUN --component names --class timeout --dry-run\n  tidegate retry --worker tag_space --state cancelled"
)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    acting: Acting,
}

/// `tidegate retry`.
pub(super) async fn retry(args: RetryArgs, context: &Context) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| by_hand::retry(context, opened, &args.acting).await)
        .await
}

impl Which {
    /// Whether nothing is named: a bare `cancel` must not mean all there is.
    fn is_empty(&self) -> bool {
        self.filter.is_empty() && self.of_version.is_none() && self.condition.is_none()
    }
}

impl Filter {
    async fn of_store(&self, opened: &Opened) -> Result<TaskFilter, CliError> {
        let run = match &self.run {
            Some(run) => Some(super::ids::run(opened, run).await?),
            None => None,
        };
        Ok(TaskFilter {
            state: self.state.clone(),
            run,
            worker: self.worker.clone(),
            component: self.component.clone(),
            tier: self.tier,
            error_class: self.class.clone(),
            item: self.item.clone(),
        })
    }

    /// Whether nothing is named.
    fn is_empty(&self) -> bool {
        self.state.is_none()
            && self.run.is_none()
            && self.worker.is_none()
            && self.component.is_none()
            && self.tier.is_none()
            && self.class.is_none()
            && self.item.is_none()
    }
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| match args.action {
            Action::List { filter, limit } => look::list(context, opened, &filter, limit).await,
            Action::Show { id } => look::show(context, opened, id).await,
            Action::Why { id } => why::run(context, opened, id).await,
            Action::Retry(acting) => by_hand::retry(context, opened, &acting).await,
            Action::Cancel(acting) => by_hand::cancel(context, opened, &acting).await,
        })
        .await
}

fn no_such(id: Uuid) -> CliError {
    CliError::input(
        format!("no task has the id {id}"),
        "see `tidegate tasks list`; finished tasks are kept until retention removes them",
    )
}

pub(super) const STATES: [&str; 8] = [
    "blocked",
    "scheduled",
    "ready",
    "running",
    "in_batch",
    "done",
    "failed",
    "cancelled",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::State;

    #[test]
    fn every_state_can_be_asked_for() {
        for state in State::ALL {
            assert!(STATES.contains(&state.as_str()), "{state:?}");
        }
        assert_eq!(STATES.len(), State::ALL.len());
    }
}
