//! `tidegate models`: what each model may take now and why, its limits set, itself closed and opened by
//! hand.

mod by_hand;
mod list;
mod set;
mod show;

use std::time::Duration;

use clap::Subcommand;

use super::{CliError, Context, Exit, Opened};
use crate::config::nearest;
use crate::store::StoreError;

pub(super) use list::{Listed, read, table};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List models: open or closed by which limit and until when, calls of the last minute, limits, how
    /// many tasks wait for each as their first choice and which would start next
    #[command(
        after_help = "Examples:\n  tidegate models list --watch\n  tidegate --json models list | jq 'select(.closed_by != null)'"
    )]
    List {
        /// Refresh each second, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// Show one model in full: what closes it, each limit and what it follows from, calls at once, its
    /// cooldown, the last adjustments, how long its answers are, its price
    Show {
        /// The model, as <provider entry>/<wire name>
        model: String,
    },
    Set(Box<set::Args>),
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
        Action::List { watch } => list::run(context, watch).await,
        Action::Show { model } => show::run(context, &model).await,
        Action::Set(args) => set::run(context, *args).await,
        Action::Cool {
            model,
            wait,
            reason,
        } => by_hand::cool(context, &model, wait, &reason).await,
        Action::Pause { model, reason } => by_hand::pause(context, &model, &reason).await,
        Action::Resume { model } => by_hand::resume(context, &model).await,
        Action::Clear { model } => by_hand::clear(context, &model).await,
    }
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
