//! `tidegate run`: checks a worker folder, loads its source, makes the run; works it where asked to.

mod dry;
mod dry_step;
mod known;
mod wait;

pub(super) use wait::{Working, work_and_wait};

use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

use super::{CliError, Context, Exit, Opened, budget, expect, fleet, sample, stop};
use crate::{
    client::{BindingLimit, LoadOptions, Loaded, Loader, expected},
    definition::{Definition, Folder, SourceFrom},
    engine::Registry,
    task::Strategy,
};

/// Check a worker folder, load its source, and make a run of it.
///
/// With --wait it shows progress and works the run in this process too; without, `tidegate work`
/// processes do.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    tidegate run workers/entity_extraction --sample --wait\n  \
    tidegate run workers/entity_extraction --source articles.jsonl --limit 100 --dry-run\n  \
    tidegate run workers/entity_extraction --budget-usd 2.50 --wait\n  \
    tidegate run workers/content_generation --only text,faq --wait\n  \
    tidegate run workers/entity_extraction --batching-strategy auto\n  \
    tidegate run workers/entity_extraction --set tier.0.model=gemini/gemini-3.5-flash --set routing.policy=spread")]
pub(super) struct Args {
    /// The worker's folder, or its name in workers/
    worker: PathBuf,
    /// Take the items from this file instead (.jsonl, .csv, either with .gz)
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// Make and fill the worker's own sample tables first
    #[arg(long)]
    sample: bool,
    /// Take so many items at most
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Only these components of the worker, as a,b; what they need besides is taken from earlier runs
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// The components that are not enabled too
    #[arg(long, conflicts_with = "only")]
    all: bool,
    /// Wait until the run has ended, and show its progress
    #[arg(long)]
    wait: bool,
    /// With --wait: leave the work to `tidegate work` processes
    #[arg(long, requires = "wait")]
    no_work: bool,
    /// Say what would be asked, of whom, at what cost; store and send nothing
    #[arg(long, conflicts_with_all = ["wait", "sample"])]
    dry_run: bool,
    /// What the run may cost, in USD: at that it stops asking. Money is reserved at worst case, so the
    /// models' prices and max_output_tokens must be set
    #[arg(long, value_name = "X", allow_hyphen_values = true, value_parser = budget::amount)]
    budget_usd: Option<i64>,
    /// How its tasks are asked: individual, batch, hybrid, or auto for what is best; as --set strategy.mode=S
    #[arg(long, value_name = "S")]
    batching_strategy: Option<Strategy>,
    /// Override a value of worker.toml, as in tier.0.model=gemini/gemini-3.5-flash
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::values::key_value)]
    set: Vec<(String, String)>,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let folder = folder_of(&args.worker);
    // the last word, and part of the definition: a load that is taken up is asked as it was begun, and another
    // strategy makes another run
    let mode = args.batching_strategy.map(|it| it.to_string());
    let mut set = args.set.clone();
    set.extend(mode.map(|mode| ("strategy.mode".to_owned(), mode)));
    let definition = read(context, &folder, args.source.as_deref(), &set)?;
    // before a key is looked for, and before anything is stored
    definition.selected(args.all, &args.only)?;
    // a missing key is told before anything is stored
    let working = match args.wait && !args.no_work {
        true => Some(Working::of(context, &definition)?),
        false => None,
    };
    let stop = stop::on_request(&context.printer, false)?;
    context
        .with_store(async |opened| {
            let loader = loader(opened, definition.clone(), folder.clone(), args.limit)?
                .with_budget(args.budget_usd)
                .selecting(args.all, args.only.clone())?;
            if args.dry_run {
                known::check(context, opened, &definition, args.budget_usd).await?;
                return dry::run(context, opened, &definition, &loader).await;
            }
            fleet::sync(context, &opened.store).await?;
            known::check(context, opened, &definition, args.budget_usd).await?;
            if args.sample {
                let loaded = sample::load(&opened.store, &folder, None).await?;
                context
                    .printer
                    .say(format_args!("sample: {loaded} rows loaded"));
            }
            let loaded = loader.load().await?;
            tell(context, opened, &loaded).await?;
            if !args.wait {
                return Ok(Exit::Ok);
            }
            work_and_wait(context, opened, &definition, loaded.run, working, &stop).await
        })
        .await
}

/// `NAME` means `workers/NAME` where there is no such folder here.
pub(super) fn folder_of(worker: &Path) -> PathBuf {
    let shipped = Path::new("workers").join(worker);
    if !worker.join("worker.toml").exists() && shipped.join("worker.toml").exists() {
        shipped
    } else {
        worker.to_path_buf()
    }
}

/// The folder, checked, with the overrides of environment and command line.
pub(super) fn read(
    context: &Context,
    folder: &Path,
    source: Option<&Path>,
    set: &[(String, String)],
) -> Result<Definition, CliError> {
    if !folder.join("worker.toml").is_file() {
        return Err(CliError::input(
            format!(
                "{} is no worker folder: it holds no worker.toml",
                folder.display()
            ),
            "name a folder like workers/entity_extraction; `tidegate init` writes one to begin with",
        ));
    }
    let texts = Folder::read(folder)?;
    let name = Definition::check(&texts, &[])?.name;
    let mut overrides = context.config.worker_overrides(&name);
    overrides.extend(set.iter().cloned());
    if let Some(source) = source {
        overrides.push(("source.file".to_owned(), source.display().to_string()));
    }
    Ok(Definition::check(&texts, &overrides)?)
}

/// A loader of this definition.
pub(super) fn loader(
    opened: &Opened,
    definition: Definition,
    folder: PathBuf,
    limit: Option<u64>,
) -> Result<Loader, CliError> {
    let source_name = match &definition.source.from {
        SourceFrom::Sql { file, .. } => file.clone(),
        SourceFrom::File { path, .. } => path.clone(),
    };
    loader_named(opened, definition, folder, limit, source_name)
}

/// The same, of a source with this name.
pub(super) fn loader_named(
    opened: &Opened,
    definition: Definition,
    folder: PathBuf,
    limit: Option<u64>,
    source_name: String,
) -> Result<Loader, CliError> {
    let handler = Registry::new()
        .handler(&definition)
        .map_err(|words| CliError::input(words, "mend the worker folder"))?;
    let options = LoadOptions {
        limit,
        weight: 1.0,
        budget_microusd: None,
        folder,
        source_name,
    };
    Ok(Loader::new(
        opened.store.clone(),
        definition,
        handler,
        options,
    )?)
}

#[derive(Serialize)]
struct Told {
    run_id: Uuid,
    items: i64,
    enqueued: i64,
    skipped: i64,
    refused: i64,
    resumed: bool,
    /// Under present limits; what else waits counts too.
    eta_seconds: Option<f64>,
    /// Micro-dollars of what waits.
    cost_microusd_expected: Option<u64>,
    /// The limit that binds for the longest time.
    binding: Option<BindingLimit>,
}

async fn tell(context: &Context, opened: &Opened, loaded: &Loaded) -> Result<(), CliError> {
    let expected = expected(&opened.store).await?;
    let of_run = expected.run(loaded.run);
    let told = Told {
        run_id: loaded.run,
        items: loaded.items,
        enqueued: loaded.sum.enqueued,
        skipped: loaded.sum.skipped,
        refused: loaded.sum.refused,
        resumed: loaded.resumed,
        eta_seconds: of_run.and_then(|it| it.seconds),
        cost_microusd_expected: of_run.and_then(|it| it.cost_microusd),
        binding: expected.binding.clone(),
    };
    if context.printer.is_json() {
        return context.printer.object(&told);
    }
    if told.skipped > 0 {
        context.printer.warn(format_args!(
            "{} items wait in another run, or were just answered by one, and were left out",
            told.skipped
        ));
    }
    let outlook = expect::words(&expected, loaded.run);
    context.printer.say(format_args!(
        "run {}: {} items, {} tasks, {} waiting in other runs, {} refused; {outlook}",
        told.run_id, told.items, told.enqueued, told.skipped, told.refused
    ));
    Ok(())
}
