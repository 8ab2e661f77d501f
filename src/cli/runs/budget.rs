//! `tidegate runs budget`: what a run may cost, set and taken away while it runs.

use serde_json::json;

use super::Which;
use crate::cli::{CliError, Context, Exit, Opened, budget};

/// Set what a run may cost, or take its budget away; what it spent before counts
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Money is reserved at worst case when a call is admitted, and settled by what it cost: the budget is never\n\
                  passed, and its last part may stay unspent. The next claim of every process obeys.\n\
                  Examples:\n  \
                  tidegate runs budget 0198c7f01f6a --usd 5\n  \
                  tidegate runs budget 0198c7f01f6a --none"
)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// USD that it may cost in all
    #[arg(long, value_name = "X", allow_hyphen_values = true, value_parser = budget::amount, required_unless_present = "none", conflicts_with = "none")]
    usd: Option<i64>,
    /// As much as it takes
    #[arg(long)]
    none: bool,
}

pub(super) async fn run(context: &Context, opened: &Opened, args: Args) -> Result<Exit, CliError> {
    let (store, printer) = (&opened.store, &context.printer);
    let run = args.which.id(opened).await?;
    if args.usd.is_some() {
        budget::check(&store.budget_basis(run).await?, printer)?;
    }
    store.set_budget(Some(run), args.usd).await?;
    let set = store.budget(Some(run)).await?;
    if printer.is_json() {
        printer.object(&json!({"run": run, "budget": set}))?;
        return Ok(Exit::Ok);
    }
    match &set {
        Some(it) => printer.line(format_args!("budget of run {run}: {}", budget::words(it)))?,
        None => printer.line(format_args!("run {run} has no budget"))?,
    }
    if set.is_some_and(|it| it.left_microusd == 0) {
        printer.warn("nothing is left of it: nothing more of the run is asked");
    }
    Ok(Exit::Ok)
}
