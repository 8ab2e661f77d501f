//! `tidegate bench strategy`: one by one, by batch or both, by the provider's own account.
//!
//! `beside` and `stream` are a client of the engine in this process, `batch` and `kills` processes of the
//! program; `grid` works in this process, since a provider that is scaled down needs looks at its batches that
//! are scaled down too. Each case has a database and a simulator of its own (`bench::world`).

mod account;
mod batch;
mod beside;
mod client;
mod grid;
mod grid_arms;
mod kills;
mod lists;
mod scene;
mod stream;

use super::{CliError, Context, Exit, stage};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Which cases, in their order
    #[arg(
        long,
        alias = "cases",
        default_value = "beside,stream,batch,grid,kills",
        value_name = "CASE,..",
        value_delimiter = ','
    )]
    case: Vec<Case>,
    /// Bulk tasks beside which a client asks
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    bulk: u32,
    /// Seconds that a client asks, and that processes are killed
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Items that go by batch, a run for each number
    #[arg(long, default_value = "100,10000", value_name = "N,M", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    items: Vec<u32>,
    /// Seconds that the provider takes for a batch of these
    #[arg(long, default_value_t = 45, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    batch_seconds: u32,
    /// Sizes of the grid
    #[arg(long, default_value = "1,2,5,9,10,20,50,100,300,1000", value_name = "N,M", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sizes: Vec<u32>,
    /// In the grid calls take 1.7 s and batches 45 s, both divided by this
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    scale: u32,
    /// Choices that the grid learns by before it is measured
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    decisions: u32,
    /// Draws who is killed when, and the order of what is learned
    #[arg(long, default_value_t = 7, value_name = "N")]
    seed: u64,
    /// Worker processes
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,
    /// Calls a process makes at once
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: u32,
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    /// A client asks for vectors while bulk work fills the model's limits
    Beside,
    /// The first piece of streamed answers
    Stream,
    /// Runs that go by batch: price, batches, time
    Batch,
    /// What is chosen against always one by one and always by batch, before and after batches change
    Grid,
    /// Batches while processes are killed and replies are lost
    Kills,
}

/// Where cases happen, and who is told.
type Stage<'a> = stage::Stage<'a, Args>;

impl Stage<'_> {
    fn fleet(&self) -> (u32, u32) {
        (self.args.processes, self.args.slots)
    }
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    stage::run(&args, &args.case, context, async |stage, case| match case {
        Case::Beside => Box::pin(beside::run(stage)).await,
        Case::Stream => Box::pin(stream::run(stage)).await,
        Case::Batch => Box::pin(batch::run(stage)).await,
        Case::Grid => Box::pin(grid::run(stage)).await,
        Case::Kills => Box::pin(kills::run(stage)).await,
    })
    .await
}
