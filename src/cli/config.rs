//! `tidegate config show`: each setting and where it came from.

use clap::Subcommand;

use super::{CliError, Context, Exit};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show each value and where it came from; secrets are hidden
    Show,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let Action::Show = args.action;
    let shown = context.config.show();
    context
        .printer
        .list(&["key", "value", "from"], &shown, |it| {
            vec![it.key.clone(), it.value.clone(), it.origin.clone()]
        })?;
    Ok(Exit::Ok)
}
