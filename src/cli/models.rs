//! `tidegate models`: what each model may take now, and closing and opening one by hand.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::times::{brief, cut, moment, or_dash};
use super::{CliError, Context, Exit, Opened, Printer, watch};
use crate::config::nearest;
use crate::store::StoreError;
use crate::store::model::ModelStatus;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List models: open or closed by what and until when, calls of the last minute, limits
    List {
        /// Refresh each second, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// Close a model for the whole fleet for a while; never earlier than it is closed already
    #[command(
        after_help = "Example:\n  tidegate models cool gemini/gemini-3.8-flash --for 10m --reason 'quota shared today'"
    )]
    Cool {
        /// The model, as <provider entry>/<wire name>
        model: String,
        /// For how long, as 30s, 10m or 2h [default: 60s, doubling each time within 15 minutes]
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        wait: Option<Duration>,
        /// Why, for those who wonder
        #[arg(long, default_value = "set by hand")]
        reason: String,
    },
    /// Close a model for the whole fleet until `models resume`; calls under way are finished
    #[command(
        after_help = "Example:\n  tidegate models pause gemini/gemini-3.8-flash --reason 'too dear this month'"
    )]
    Pause {
        /// The model, as <provider entry>/<wire name>
        model: String,
        /// Why, for those who wonder
        #[arg(long, default_value = "no reason was given")]
        reason: String,
    },
    /// Open a model that was paused, or parked by a refusal; its cooldown stays
    Resume {
        /// The model, as <provider entry>/<wire name>
        model: String,
    },
    /// Open a model: its cooldown, and what paused or parked it or its provider
    Clear {
        /// The model, as <provider entry>/<wire name>
        model: String,
    },
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.action {
        Action::List { watch } => list(context, watch).await,
        Action::Cool {
            model,
            wait,
            reason,
        } => cool(context, &model, wait, &reason).await,
        Action::Pause { model, reason } => pause(context, &model, &reason).await,
        Action::Resume { model } => resume(context, &model).await,
        Action::Clear { model } => clear(context, &model).await,
    }
}

async fn list(context: &Context, watched: bool) -> Result<Exit, CliError> {
    let printer = &context.printer;
    watch::show(context, watched, async |opened| {
        let models = opened.store.model_status(None).await?;
        if printer.is_json() {
            return models.iter().map(|it| printer.object_text(it)).collect();
        }
        if models.is_empty() {
            printer.say("no models yet; a run or a worker process writes those of tidegate.toml");
            return Ok(String::new());
        }
        Ok(format!("{}\n", table(&models, printer)))
    })
    .await
}

async fn cool(
    context: &Context,
    model: &str,
    wait: Option<Duration>,
    reason: &str,
) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let done = opened
                .store
                .cool_down(model, wait, false, reason, WHO)
                .await;
            let until = match done {
                Ok(until) => until,
                Err(error) => return Err(known(opened, model, error).await),
            };
            let printer = &context.printer;
            if printer.is_json() {
                printer.object(&json!({"model": model, "until": until}))?;
            } else {
                printer.line(format_args!(
                    "{model} is closed until {}",
                    moment(until, printer)
                ))?;
            }
            Ok(Exit::Ok)
        })
        .await
}

async fn pause(context: &Context, model: &str, reason: &str) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let reason = format!("paused by hand: {reason}");
            let before = match opened.store.pause_model(model, &reason).await {
                Ok(before) => before,
                Err(error) => return Err(known(opened, model, error).await),
            };
            let printer = &context.printer;
            if printer.is_json() {
                printer.object(&json!({
                    "model": model, "changed": before.is_none(), "closed_by": before.as_ref().unwrap_or(&reason),
                }))?;
            } else if let Some(before) = before {
                printer.line(format_args!("{model} was closed already: {before}"))?;
            } else {
                printer.line(format_args!(
                    "{model} is closed until `tidegate models resume {model}`"
                ))?;
            }
            Ok(Exit::Ok)
        })
        .await
}

async fn resume(context: &Context, model: &str) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let changed = match opened.store.resume_model(model).await {
                Ok(changed) => changed,
                Err(error) => return Err(known(opened, model, error).await),
            };
            let only = [model.to_owned()];
            let status = opened.store.model_status(Some(&only)).await?.pop();
            let closed_by = status.and_then(|it| it.closed_by);
            let printer = &context.printer;
            if printer.is_json() {
                printer
                    .object(&json!({"model": model, "changed": changed, "closed_by": closed_by}))?;
                return Ok(Exit::Ok);
            }
            match (changed, closed_by) {
                (_, Some(why)) => printer.line(format_args!(
                    "{model} is closed still: {why}; `tidegate models clear {model}` opens it"
                ))?,
                (true, None) => printer.line(format_args!("{model} is open"))?,
                (false, None) => printer.line(format_args!("{model} was open already"))?,
            }
            Ok(Exit::Ok)
        })
        .await
}

async fn clear(context: &Context, model: &str) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let cleared = match opened.store.clear_cooldown(model).await {
                Ok(cleared) => cleared,
                Err(error) => return Err(known(opened, model, error).await),
            };
            let printer = &context.printer;
            if printer.is_json() {
                printer.object(&json!({"model": model, "cleared": cleared}))?;
            } else if cleared {
                printer.line(format_args!("{model} is open"))?;
            } else {
                printer.line(format_args!("{model} was open already"))?;
            }
            Ok(Exit::Ok)
        })
        .await
}

/// A refusal with the nearest model there is.
async fn known(opened: &Opened, model: &str, error: StoreError) -> CliError {
    let StoreError::Refused(what) = error else {
        return error.into();
    };
    let models = opened.store.model_status(None).await.unwrap_or_default();
    let names = models.iter().map(|it| it.model.as_str());
    let help = match nearest(model, names) {
        Some(name) => format!("did you mean {name}?"),
        None => {
            "see `tidegate models list`; models are written when a run or a worker process starts"
                .to_owned()
        }
    };
    CliError::input(what, help)
}

/// The table of models, for the list and the status screen.
pub(super) fn table(models: &[ModelStatus], printer: &Printer) -> String {
    let rows: Vec<_> = models
        .iter()
        .map(|it| {
            vec![
                it.model.clone(),
                it.closed_by
                    .as_deref()
                    .map_or_else(|| "open".to_owned(), |why| cut(why, 60)),
                until(it, printer),
                it.in_flight.to_string(),
                of(it.calls_last_minute, it.requests_per_minute),
                or_dash(it.tokens_per_minute),
                or_dash(it.requests_per_day),
                or_dash(it.max_concurrency),
                it.strikes.to_string(),
            ]
        })
        .collect();
    let headers = [
        "model",
        "state",
        "opens",
        "in flight",
        "calls/min",
        "tpm",
        "rpd",
        "at once",
        "strikes",
    ];
    printer.table_text(&headers, &rows)
}

fn until(model: &ModelStatus, printer: &Printer) -> String {
    match (&model.closed_by, model.until) {
        (None, _) => "-".to_owned(),
        (Some(_), Some(at)) => brief(at, printer),
        (Some(why), None) if why.contains("parked") => "by `models clear`".to_owned(),
        (Some(_), None) => "when a call ends".to_owned(),
    }
}

fn of(used: i64, limit: Option<i64>) -> String {
    match limit {
        Some(limit) => format!("{used}/{limit}"),
        None => used.to_string(),
    }
}

/// A span of time above none and up to 30 days.
fn time(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write 30s, 10m or 2h"))?;
    if span.is_zero() || span > LONGEST {
        return Err("write a time of 1ms to 30days".to_owned());
    }
    Ok(span)
}

const LONGEST: Duration = Duration::from_secs(30 * 86_400);
const WHO: &str = "tidegate models cool";
