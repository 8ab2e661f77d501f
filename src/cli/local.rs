//! `tidegate local`: the private Postgres, started, stopped, looked at, installed.

use clap::Subcommand;
use serde_json::json;

use super::{CliError, Context, Exit};
use crate::local::{self, Brought, Stopped};

#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  psql \"$(tidegate local start)\"")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Start it, keep it running, and print its URL
    Start,
    /// Stop it, unless a process uses it
    Stop {
        /// Also if processes use it: their connections break
        #[arg(long)]
        force: bool,
    },
    /// Show where it lives and whether it runs
    Status,
    /// Install Postgres from this machine's packages, if it has none
    Install,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.action {
        Action::Start => start(context).await,
        Action::Stop { force } => stop(context, force).await,
        Action::Status => status(context).await,
        Action::Install => install(context).await,
    }
}

async fn start(context: &Context) -> Result<Exit, CliError> {
    let mut settings = context.config.local_settings();
    settings.keep_running = true;
    let printer = &context.printer;
    let local = local::start(&settings).await?;
    let brought = match local.brought() {
        Brought::Attached => "it ran already",
        Brought::Started => "started",
        Brought::Created => "created and started",
    };
    printer.say(format_args!(
        "private Postgres in {}: {brought}; `tidegate local stop` stops it",
        local.folder().display()
    ));
    if printer.is_json() {
        printer.object(&json!({
            "url": local.url(),
            "folder": local.folder().display().to_string(),
            "pid": local.pid(),
        }))?;
    } else {
        printer.line(local.url())?;
    }
    // Dropped and not closed: it is to run on.
    Ok(Exit::Ok)
}

async fn stop(context: &Context, force: bool) -> Result<Exit, CliError> {
    let settings = context.config.local_settings();
    let stopped = if force {
        local::stop_in_use(&settings).await?
    } else {
        local::stop(&settings).await?
    };
    let (stopped, words) = match stopped {
        Stopped::Stopped => (true, "stopped"),
        Stopped::WasNotRunning => (false, "it was not running"),
    };
    let printer = &context.printer;
    if printer.is_json() {
        printer.object(&json!({"stopped": stopped}))?;
    } else {
        printer.line(words)?;
    }
    Ok(Exit::Ok)
}

async fn status(context: &Context) -> Result<Exit, CliError> {
    let status = local::status(&context.config.local_settings()).await?;
    let printer = &context.printer;
    let binaries = status.binaries.iter();
    let binaries: Vec<_> = binaries
        .map(|it| json!({"version": it.version.to_string(), "dir": it.dir.display().to_string()}))
        .collect();
    if printer.is_json() {
        printer.object(&json!({
            "running": status.running,
            "in_use": status.in_use,
            "url": status.url,
            "pid": status.pid,
            "major": status.major,
            "folder": status.folder.display().to_string(),
            "log": status.log.display().to_string(),
            "binaries": binaries,
        }))?;
        return Ok(Exit::Ok);
    }
    let state = match (status.running, status.in_use, status.major) {
        (true, true, _) => "running, in use",
        (true, false, _) => "running, not in use",
        (false, _, Some(_)) => "stopped",
        (false, _, None) => "not made yet; the first command that needs it makes it",
    };
    let found = status.binaries.iter();
    let found: Vec<_> = found
        .map(|it| format!("{} in {}", it.version, it.dir.display()))
        .collect();
    printer.pairs(&[
        ("state", state.to_owned()),
        ("url", status.url.unwrap_or_default()),
        (
            "pid",
            status.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        ),
        ("folder", status.folder.display().to_string()),
        ("log", status.log.display().to_string()),
        (
            "made by",
            status
                .major
                .map(|major| format!("Postgres {major}"))
                .unwrap_or_default(),
        ),
        (
            "found",
            if found.is_empty() {
                "no Postgres on this machine: `tidegate local install`".to_owned()
            } else {
                found.join(", ")
            },
        ),
    ])?;
    Ok(Exit::Ok)
}

async fn install(context: &Context) -> Result<Exit, CliError> {
    let printer = &context.printer;
    let say = |line: &str| printer.say(line);
    let found = local::install(&context.config.local_settings(), &say).await?;
    let dir = found.dir.display().to_string();
    if printer.is_json() {
        printer.object(&json!({"version": found.version.to_string(), "dir": dir}))?;
    } else {
        printer.line(dir)?;
    }
    Ok(Exit::Ok)
}
