//! `tidegate bench`: how fast it is on this machine and this server, beside a raw SQL control.

mod figures;
mod fleet;
mod folder;
mod latency;
mod limits;
mod queue;
mod report;
mod saving;
mod stage;
mod strategy;

mod workers;
mod world;

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
    /// Measure how well a fleet uses a provider's limits: makespan by the exact optimum, share of 429s,
    /// use of quotas, the most in any 60 s; by the provider's own log
    #[command(
        after_help = "Everything happens in databases of their own on the same server, dropped afterwards. The provider\n\
                      is our simulator, or with --independent an nginx. The default takes some four minutes.\n\n\
                      Examples:\n  \
                      tidegate bench limits\n  \
                      tidegate bench limits --window bucket,sliding,fixed --known all,size,none --processes 4 --json\n  \
                      tidegate bench limits --known size --runs 2 --processes 4\n  \
                      tidegate bench limits --processes 8 --kill 10 --tasks 3000\n  \
                      tidegate bench limits --models 30000 --latency 100 --processes 1 --slots 200 --tasks 20000\n  \
                      tidegate bench limits --independent --processes 4\n  \
                      tidegate bench limits --claims --processes 16"
    )]
    Limits(limits::Args),
    /// Measure what is not asked: answers kept, packs, equal work, the time of a few hundred pages, the
    /// cache at a million entries; by the provider's own log
    #[command(
        after_help = "Everything happens in databases of their own on the same server, dropped afterwards. The provider\n\
                      is our simulator. Each figure is told with its bar, and whether it is met. Exit 3: a number of\n\
                      calls is not what it must be (a time depends on the machine, and changes no exit code).\n\n\
                      Examples:\n  \
                      tidegate bench saving\n  \
                      tidegate bench saving --case again,packs --json\n  \
                      tidegate bench saving --case again --items 1000000"
    )]
    Saving(saving::Args),
    /// Measure how work is asked, singly, by provider batches or both: what a client waits beside bulk work,
    /// streams, price and time of batches, choices against fixed ways, batches under kills; by the provider's
    /// own account
    #[command(
        after_help = "Everything happens in databases of their own on the same server, dropped afterwards. The provider\n\
                      is our simulator. Each figure is told with its bar, and whether it is met. Exit 3: a count or\n\
                      a sum of money is not what it must be (a time depends on the machine, and changes no exit\n\
                      code). The default takes some fifteen minutes.\n\n\
                      Examples:\n  \
                      tidegate bench strategy --case beside,stream\n  \
                      tidegate bench strategy --case batch --items 50000 --json\n  \
                      tidegate bench strategy --case grid --scale 20\n  \
                      tidegate bench strategy --case kills --seconds 120 --seed 11"
    )]
    Strategy(strategy::Args),
    /// A process of a bench
    #[command(hide = true)]
    Worker(fleet::Args),
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.action {
        Action::Queue(args) => Box::pin(queue::run(args, context)).await,
        Action::Limits(args) => Box::pin(limits::run(args, context)).await,
        Action::Saving(args) => Box::pin(saving::run(args, context)).await,
        Action::Strategy(args) => Box::pin(strategy::run(args, context)).await,
        Action::Worker(args) => Box::pin(fleet::run(args, context)).await,
    }
}
