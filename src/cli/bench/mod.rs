//! `tidegate bench`: how fast it is on this machine and this server, beside a raw SQL control.

mod fleet;
mod latency;
mod queue;
mod report;

use clap::Subcommand;

use super::{CliError, Context, Exit};

/// The worker that benches enqueue for.
const WORKER: &str = "bench_noop";

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Measure the queue with tasks that do nothing: insert, drain, latency, write-ahead log, memory
    #[command(
        after_help = "Everything happens in a database of its own on the same server, dropped afterwards.\n\
                      Compare ratios to the raw control of the same run: a disk's commit cost swings.\n\n\
                      Examples:\n  tidegate bench queue\n  tidegate bench queue --tasks 1000000 --processes 1 --json"
    )]
    Queue(queue::Args),
    /// A process of a bench
    #[command(hide = true)]
    Worker(fleet::Args),
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.action {
        Action::Queue(args) => Box::pin(queue::run(args, context)).await,
        Action::Worker(args) => Box::pin(fleet::run(args, context)).await,
    }
}
