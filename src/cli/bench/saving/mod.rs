//! `tidegate bench saving`: what is not asked, by the provider's own log.
//!
//! Each case has a database, a simulator and processes of its own (`bench::world`), a worker that `scene` writes, and
//! figures with a bar each. `again`, `packs` and `equal` count calls; `pages` takes the worker that
//! ships; `million` asks the database alone.

mod again;
mod equal;
mod million;
mod packs;
mod pages;
mod scene;

use super::{CliError, Context, Exit, stage};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Which cases, in their order
    #[arg(
        long,
        default_value = "again,packs,equal,pages,million",
        value_name = "CASE,..",
        value_delimiter = ','
    )]
    case: Vec<Case>,
    /// Items that are asked about again
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    items: u32,
    /// Items that are packed
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(5..=1_000_000))]
    packed: u32,
    /// Pages of the worker that ships, a run for each number
    #[arg(long, default_value = "20,200,500", value_name = "N,M", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1_863))]
    pages: Vec<u32>,
    /// Entries of the large cache
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(10_000..=100_000_000))]
    entries: u32,
    /// Worker processes (equal work always has four)
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,
    /// Calls a process makes at once
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: u32,
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    /// All items a second time, then a tenth of them changed
    Again,
    /// Five items in a prompt, with whole answers and with damaged ones
    Packs,
    /// Equal tasks at once, in four processes
    Equal,
    /// The worker `tag_space` under limits of a paid tier
    Pages,
    /// Look-ups and claims over a large cache
    Million,
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
        Case::Again => Box::pin(again::run(stage)).await,
        Case::Packs => Box::pin(packs::run(stage)).await,
        Case::Equal => Box::pin(equal::run(stage)).await,
        Case::Pages => Box::pin(pages::run(stage)).await,
        Case::Million => Box::pin(million::run(stage)).await,
    })
    .await
}
