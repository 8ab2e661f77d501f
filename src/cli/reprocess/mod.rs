//! `tidegate reprocess`: a new run that does ended tasks anew, by their worker's folder as it is now.

mod tell;

use std::path::{Path, PathBuf};

use super::{
    CliError, Context, Exit, Opened, fleet,
    run::{Working, folder_of, loader_named, read, work_and_wait},
};
use crate::{
    client::{Selected, current_definition},
    definition::{Definition, DefinitionError},
    store::reprocess::Selection,
    task::Strategy,
};

/// Do ended tasks anew: a new run of the same items, each new task points to the old
///
/// By the worker's definition that is in force (`tidegate workers add`), or the folder that is named,
/// else as the old run was. Items that wait already are left out. With --component, that step alone is done
/// anew; what it needs is taken from earlier runs.
#[derive(clap::Args, Debug)]
#[command(
    disable_version_flag = true,
    after_help = "Cut off half-way, say it again: it is taken up where it stood.\n\
                  Examples:\n  \
                  tidegate reprocess --run 0198c7f01f6a --state failed\n  \
                  tidegate reprocess --worker entity_extraction --version 1 --folder workers/entity_extraction\n  \
                  tidegate reprocess --run 0198c7f01f6a --batching-strategy batch\n  \
                  tidegate reprocess --worker slug --where \"t.finished_at < now() - interval '30 days'\" --dry-run"
)]
pub(super) struct Args {
    /// Tasks of this run: its id, or as much of its beginning as names it
    #[arg(long, value_name = "RUN", required_unless_present = "worker")]
    run: Option<String>,
    /// Tasks of this worker, in whatever run
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    worker: Option<String>,
    /// In these states
    #[arg(long, value_name = "STATES", value_delimiter = ',', default_value = "done,failed,cancelled", value_parser = ["done", "failed", "cancelled"])]
    state: Vec<String>,
    /// Of this component: a step of the worker
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    /// Made under this version of the worker
    #[arg(long = "version", id = "of_version", value_name = "VERSION")]
    of_version: Option<String>,
    /// For which this SQL holds, over tidegate.tasks t
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,
    /// By this folder, instead of the definition in force
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// With --folder: override a value of worker.toml, as in tier.0.model=gemini/gemini-3.5-flash
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "folder", value_parser = super::values::key_value)]
    set: Vec<(String, String)>,
    /// How they are asked: individual, batch, hybrid, or auto for what is best
    #[arg(long, value_name = "S")]
    batching_strategy: Option<Strategy>,
    /// Of a worker with components: only these, as a,b; else those that are enabled
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// The components that are not enabled too
    #[arg(long, conflicts_with = "only")]
    all: bool,
    /// The newest so many tasks at most
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Wait until the run has ended, and show its progress; it is worked in this process too
    #[arg(long)]
    wait: bool,
    /// With --wait: leave the work to `tidegate work` processes
    #[arg(long, requires = "wait")]
    no_work: bool,
    /// Only say what it would come to; store and send nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| Box::pin(again(args, context, opened)).await)
        .await
}

async fn again(args: Args, context: &Context, opened: &Opened) -> Result<Exit, CliError> {
    let (run, worker) = whose(&args, opened).await?;
    if let (Some(run), Some(component)) = (run, &args.component) {
        super::ids::component(opened, run, component).await?;
    }
    let definition = match &args.folder {
        Some(folder) => of_folder(context, folder, &args.set, &worker)?,
        None => current_definition(&opened.store, &worker, run).await?,
    };
    let definition = match args.batching_strategy {
        Some(mode) => asked_by(&definition, mode)?,
        None => definition,
    };
    let only = steps(&args, &definition);
    definition.selected(args.all, &only)?;
    let selection = Selection {
        run,
        worker: Some(worker),
        states: args.state,
        component: args.component,
        version: args.of_version,
        condition: args.condition,
        ..Selection::default()
    };
    let selected: Selected = opened.store.count_selected(&selection).await?;
    if selected.tasks == 0 {
        return tell::nothing(context, &definition, args.dry_run);
    }
    let source = format!("again: {selection}");
    let loader = loader_named(
        opened,
        definition.clone(),
        PathBuf::from("."),
        args.limit,
        source,
    )?;
    let loader = loader.selecting(args.all, only)?.again(selection);
    if args.dry_run {
        let outlook = loader.dry_run().await?;
        return tell::outlook(context, opened, &definition, selected, &outlook).await;
    }
    let working = match args.wait && !args.no_work {
        true => Some(Working::of(context, &definition)?),
        false => None,
    };
    let stop = super::stop::on_request(&context.printer, false)?;
    fleet::sync(context, &opened.store).await?;
    let loaded = loader.load().await?;
    if !args.wait {
        tell::loaded(context, &loaded)?;
        return Ok(Exit::Ok);
    }
    context.printer.say(tell::words(&loaded));
    work_and_wait(context, opened, &definition, loaded.run, working, &stop).await
}

/// The same work, asked in another way: the last word, as an override.
fn asked_by(definition: &Definition, mode: Strategy) -> Result<Definition, DefinitionError> {
    let mut overrides = definition.overrides.clone();
    overrides.push(("strategy.mode".to_owned(), mode.to_string()));
    Definition::check(&definition.folder, &overrides)
}

/// The steps that are done: those that are named; else the one whose tasks are done anew.
fn steps(args: &Args, definition: &Definition) -> Vec<String> {
    match &args.component {
        Some(component) if args.only.is_empty() && !args.all => {
            match definition.components.as_slice() {
                [] => Vec::new(),
                _ => vec![component.clone()],
            }
        }
        _ => args.only.clone(),
    }
}

/// The run, if one is named, and the worker.
async fn whose(args: &Args, opened: &Opened) -> Result<(Option<uuid::Uuid>, String), CliError> {
    match (&args.run, &args.worker) {
        (Some(run), _) => {
            let run = super::ids::run(opened, run).await?;
            let known = opened.store.run_definition(run).await?;
            let known = known.ok_or_else(|| {
                CliError::input(
                    format!("no run has the id {run}"),
                    "see `tidegate runs list`",
                )
            })?;
            Ok((Some(run), known.worker))
        }
        (None, worker) => Ok((None, worker.clone().unwrap_or_default())),
    }
}

fn of_folder(
    context: &Context,
    folder: &Path,
    set: &[(String, String)],
    worker: &str,
) -> Result<Definition, CliError> {
    let definition = read(context, &folder_of(folder), None, set)?;
    if definition.name == worker {
        return Ok(definition);
    }
    Err(CliError::input(
        format!(
            "the folder is of the worker {}, and the tasks are of {worker}",
            definition.name
        ),
        format!("name the folder of {worker}"),
    ))
}
