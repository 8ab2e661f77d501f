//! `tidegate demo`: real articles through a tiered, limit-aware, crash-safe queue, in one command.
//!
//! Everything is a process of its own, as in production: the private Postgres, the provider
//! simulator, the workers. Whoever is killed, a second `demo` goes on where the first stopped.

mod children;
mod scene;
mod summary;

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    CliError, Context, Exit, Opened, progress, report::Report, run::loader as loader_of, sample,
    stop,
};
use crate::{
    definition::Definition,
    store::{StoreError, migrate, run::RunFilter},
};

use children::Children;
use summary::Summary;

/// See it work: 1,000 real articles, a simulated provider with scarce limits, three processes.
///
/// Uses a private Postgres and a database of its own (tidegate_demo), never yours; installs
/// Postgres where there is none and it may (as root on Debian or Ubuntu). Interrupted, a second
/// `demo` goes on; unchanged articles are not asked again.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tidegate demo\n  tidegate demo --articles 1500 --processes 5 --keep\n  tidegate demo --fresh --json"
)]
pub(super) struct Args {
    /// Articles to put through, at most 1863
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=scene::ARTICLES_MAX))]
    articles: u32,
    /// Worker processes
    #[arg(long, value_name = "P", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,
    /// Leave the private Postgres running, to look around
    #[arg(long)]
    keep: bool,
    /// Forget what former demos did, and begin anew
    #[arg(long)]
    fresh: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let stop = stop::on_request(&context.printer, false)?;
    let opened = Box::pin(context.open_demo(scene::DATABASE, args.keep)).await?;
    let shown = Box::pin(show(&args, context, &opened, &stop)).await;
    let closed = opened.close().await;
    let exit = shown?;
    closed?;
    Ok(exit)
}

async fn show(
    args: &Args,
    context: &Context,
    opened: &Opened,
    stop: &CancellationToken,
) -> Result<Exit, CliError> {
    let (printer, store) = (&context.printer, &opened.store);
    if args.fresh {
        store.forget_all().await?;
        store.run_script("sample/drop.sql", scene::DROP).await?;
    }
    migrate::run(store).await.map_err(|error| match error {
        StoreError::Migrate(words) => CliError::input(
            format!("the demo's database was made by another version: {words}"),
            "`tidegate demo --fresh` forgets it and begins anew",
        ),
        other => other.into(),
    })?;
    let limit = usize::try_from(args.articles).unwrap_or(usize::MAX);
    let given = sample::load_texts(store, scene::articles(), Some(limit)).await?;
    printer.say(format_args!(
        "{given} articles: State of the Union addresses, 1790 on (public domain)"
    ));

    let mut children = Children::start(context, opened, args.processes).await?;
    printer.say(format_args!(
        "a simulated provider ({} requests per minute over four models) and {} worker processes; logs in {}",
        scene::REQUESTS_PER_MINUTE,
        args.processes,
        children.logs().display()
    ));
    store
        .sync_models(&[children.provider()], &scene::model_rows())
        .await?;

    let definition = scene::definition()?;
    let ended_before = ended(opened, &definition).await?;
    let loader = loader_of(opened, definition.clone(), std::path::PathBuf::new(), None)?;
    let loaded = loader.load().await?;
    printer.say(match (loaded.items, loaded.sum.skipped) {
        (0, _) => "every article has its entities already: nothing is asked again".to_owned(),
        (_, 0) => format!("{} articles to ask about", loaded.items),
        (_, skipped) => format!(
            "{} articles to ask about, {skipped} of them taken up from before",
            loaded.items
        ),
    });

    let started = Instant::now();
    let runs = all_runs(opened, &definition).await?;
    let finished = watch(context, opened, &definition, &runs, &mut children, stop).await?;
    let memory_mb = children.memory_mb();
    let provider = children.counters().await;
    children.stop().await;

    let report =
        Report::gather(store, &runs, started.elapsed().as_secs_f64(), ended_before).await?;
    let summary = Summary::gather(opened, report, provider, memory_mb, given).await?;
    summary.tell(printer, opened, args.keep)?;
    if !finished {
        printer.say("interrupted: `tidegate demo` goes on from here");
    }
    Ok(if summary.is_whole() {
        Exit::Ok
    } else {
        Exit::Partial
    })
}

/// Until nothing of the worker's runs is left. `false`: stopped before.
async fn watch(
    context: &Context,
    opened: &Opened,
    definition: &Definition,
    runs: &[Uuid],
    children: &mut Children,
    stop: &CancellationToken,
) -> Result<bool, CliError> {
    let mut shown = progress::Progress::of(
        &context.printer,
        &opened.store,
        runs.to_vec(),
        definition.models(),
    );
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                shown.finish();
                return Ok(false);
            }
            _ = ticks.tick() => {}
        }
        children.keep_alive(context).await?;
        match shown.turn().await {
            Err(CliError::Store(error)) if error.is_passing() => continue,
            other => other?,
        }
        if opened.store.open_runs(&definition.name).await?.is_empty() {
            shown.finish();
            return Ok(true);
        }
    }
}

const TICK: Duration = Duration::from_millis(500);

async fn all_runs(opened: &Opened, definition: &Definition) -> Result<Vec<Uuid>, CliError> {
    let runs = opened
        .store
        .runs(&RunFilter::of(&definition.name), i64::MAX)
        .await?;
    Ok(runs.into_iter().map(|run| run.run_id).collect())
}

/// Tasks that had ended before.
async fn ended(opened: &Opened, definition: &Definition) -> Result<i64, CliError> {
    let runs = opened
        .store
        .runs(&RunFilter::of(&definition.name), i64::MAX)
        .await?;
    Ok(runs
        .iter()
        .map(|run| run.done + run.failed + run.cancelled)
        .sum())
}
