//! `tidegate workers`: workers that tasks may be enqueued for by name; pausing them.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{CliError, Context, Exit, fleet, times::moment};
use crate::client::register;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a worker folder known by name, so that `tidegate.enqueue` takes tasks for it
    #[command(
        after_help = "What waits already goes on under the definition that it was enqueued with.\n\n\
                      Example:\n  tidegate workers add workers/entity_extraction\n  \
                      psql -c \"select tidegate.enqueue('entity_extraction', '{...}')\""
    )]
    Add {
        /// The worker's folder
        folder: PathBuf,
        /// Override a value of worker.toml, as tier.0.model=gemini/gemini-3.8-flash
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::values::key_value)]
        set: Vec<(String, String)>,
    },
    /// List workers known by name
    List,
    /// Take no more tasks of a worker, in whatever run; what runs goes on
    Pause {
        /// The worker's name
        worker: String,
        /// Why, for those who wonder
        #[arg(long, default_value = "by hand")]
        reason: String,
    },
    /// Take tasks of a worker again
    Resume {
        /// The worker's name
        worker: String,
    },
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.action {
        Action::Add { folder, set } => add(context, folder, set).await,
        Action::List => list(context).await,
        Action::Pause { worker, reason } => pause(context, &worker, &reason).await,
        Action::Resume { worker } => resume(context, &worker).await,
    }
}

async fn add(
    context: &Context,
    folder: PathBuf,
    set: Vec<(String, String)>,
) -> Result<Exit, CliError> {
    let definition = super::run::read(context, &folder, None, &set)?;
    context
        .with_store(async |opened| {
            fleet::sync(context, &opened.store).await?;
            let run = register(&opened.store, &definition).await?;
            told(
                context,
                &json!({ "worker": definition.name, "version": definition.version, "run": run }),
                || {
                    format!(
                        "{} is known: tasks enqueued for it belong to run {run}",
                        definition.name
                    )
                },
            )?;
            Ok(Exit::Ok)
        })
        .await
}

async fn list(context: &Context) -> Result<Exit, CliError> {
    let printer = &context.printer;
    context
        .with_store(async |opened| {
            let workers = opened.store.workers().await?;
            printer.list(
                &["worker", "version", "asks", "tiers", "paused", "since"],
                &workers,
                |worker| {
                    vec![
                        worker.worker.clone(),
                        worker.version.clone(),
                        if worker.local { "no model" } else { "models" }.to_owned(),
                        worker.tiers.to_string(),
                        worker.paused.clone().unwrap_or_else(|| "-".to_owned()),
                        moment(worker.paused_since.unwrap_or(worker.registered_at), printer),
                    ]
                },
            )?;
            Ok(Exit::Ok)
        })
        .await
}

async fn pause(context: &Context, worker: &str, reason: &str) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let paused = opened.store.pause_worker(worker, reason).await?;
            told(
                context,
                &json!({ "worker": worker, "paused": true, "changed": paused }),
                || match paused {
                    true => format!("{worker} is paused: nothing more of it is taken until `tidegate workers resume {worker}`"),
                    false => format!("{worker} was paused already"),
                },
            )?;
            Ok(Exit::Ok)
        })
        .await
}

async fn resume(context: &Context, worker: &str) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let resumed = opened.store.resume_worker(worker).await?;
            told(
                context,
                &json!({ "worker": worker, "paused": false, "changed": resumed }),
                || match resumed {
                    true => format!("{worker} goes on"),
                    false => format!("{worker} was not paused"),
                },
            )?;
            Ok(Exit::Ok)
        })
        .await
}

/// One object, or one line for people.
fn told(
    context: &Context,
    object: &serde_json::Value,
    line: impl FnOnce() -> String,
) -> Result<(), CliError> {
    match context.printer.is_json() {
        true => context.printer.object(object),
        false => context.printer.line(line()),
    }
}
