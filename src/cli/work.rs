//! `tidegate work`: a process of the fleet.

use std::time::Duration;

use super::{CliError, Context, Exit, fleet, stop};
use crate::engine::{Engine, Registry, Worked};

/// Work off what waits: claim tasks, call their models, write the answers.
///
/// Start as many as you like, anywhere the database can be reached.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tidegate work\n  tidegate work --workers entity_extraction --slots 50"
)]
pub(super) struct Args {
    /// Serve these workers only
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    workers: Option<Vec<String>>,
    /// Calls at once [default: work.slots, 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: Option<u32>,
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let context = &Context {
        config: context
            .config
            .clone()
            .with_statement_timeout(STATEMENT_TIMEOUT),
        printer: context.printer.clone(),
    };
    let providers = fleet::providers(context, None)?;
    let mut settings = fleet::settings(context, "work");
    settings.workers = args.workers;
    settings.slots = args.slots.unwrap_or(settings.slots);
    let stop = stop::on_request(&context.printer, args.stop_with_stdin)?;
    let worked = context
        .with_store(async |opened| {
            fleet::sync(context, &opened.store).await?;
            let engine = Engine::new(
                opened.store.clone(),
                opened.settings.clone(),
                providers,
                Registry::new(),
                settings,
            );
            Ok(engine.run(stop).await?)
        })
        .await?;
    let Worked {
        done,
        failed,
        released,
        ..
    } = worked;
    context.printer.say(format_args!(
        "stopped: {done} done, {failed} failed, {released} given back"
    ));
    Ok(Exit::Ok)
}

/// A statement of a worker process takes no longer, so that a link that went silent is given up
/// soon: its answers are waited for 5 s longer, and then it connects anew.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);
