//! The command line: one file a command.
//!
//! Owns: the tree of commands, the exit codes, what goes to stdout (data) and to stderr (talk), the
//! opening of the database. Never: a decision, a statement. A new command is a file with its `Args`
//! and `run`, a variant of `args::Command` and an arm of `dispatch`.

mod args;
mod context;
mod error;
mod expect;
mod logging;
mod memory;
mod printer;
mod talk;
mod times;
mod values;
mod watch;

mod ask;
mod batches;
mod bench;
mod budget;
mod cache;
mod completions;
mod config;
mod demo;
mod doctor;
mod embed;
mod fleet;
mod ids;
mod init;
mod local;
mod migrate;
mod models;
mod progress;
mod report;
mod reprocess;
mod run;
mod runs;
mod sample;
mod simulate;
mod status;
mod stop;
mod tasks;
mod work;
mod workers;
mod would;

use std::process::ExitCode;

use clap::Parser;

use crate::config::{Config, Environment};

use args::{Cli, Command, Global};
pub use context::{Context, Opened};
pub use error::{CliError, Exit};
pub use printer::Printer;

/// Runs the program: reads the command line and the configuration, does what the command says,
/// and returns how it went.
pub fn run() -> ExitCode {
    // A second installation fails and leaves the first in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    let printer = Printer::of_process(cli.global.json);
    let exit = match started(cli, printer.clone()) {
        Ok(exit) => exit,
        Err(error) => {
            printer.error(&error);
            error.exit()
        }
    };
    printer.way().flush();
    exit.into()
}

fn started(cli: Cli, printer: Printer) -> Result<Exit, CliError> {
    // a shell asks at its start, wherever it is: no configuration may be in its way
    if let Command::Completions(args) = &cli.command {
        return completions::run(args, &printer);
    }
    let config = read_config(&cli.global)?;
    logging::start(&config.log, cli.global.verbose, printer.way());
    for warning in &config.warnings {
        printer.warn(warning);
    }
    let context = Context { config, printer };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .map_err(|source| CliError::Io {
            doing: "start the runtime".to_owned(),
            source,
        })?;
    runtime.block_on(dispatch(cli.command, &context))
}

async fn dispatch(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Demo(args) => Box::pin(demo::run(args, context)).await,
        Command::Init(args) => init::run(args, context),
        Command::Migrate => migrate::run(context).await,
        Command::Run(args) => Box::pin(run::run(args, context)).await,
        Command::Work(args) => Box::pin(work::run(args, context)).await,
        Command::Ask(args) => Box::pin(ask::run(args, context)).await,
        Command::Embed(args) => Box::pin(embed::run(args, context)).await,
        Command::Workers(args) => workers::run(args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Tasks(args) => tasks::run(args, context).await,
        Command::Runs(args) => runs::run(args, context).await,
        Command::Retry(args) => Box::pin(tasks::retry(args, context)).await,
        Command::Reprocess(args) => Box::pin(reprocess::run(args, context)).await,
        Command::Models(args) => models::run(args, context).await,
        Command::Batches(args) => batches::run(args, context).await,
        Command::Cache(args) => cache::run(args, context).await,
        Command::Simulate(args) => Box::pin(simulate::run(args, context)).await,
        Command::Local(args) => local::run(args, context).await,
        Command::Bench(args) => Box::pin(bench::run(args, context)).await,
        Command::Config(args) => config::run(args, context).await,
        Command::Completions(args) => completions::run(&args, &context.printer),
        Command::Doctor(args) => Box::pin(doctor::run(args, context)).await,
    }
}

fn read_config(global: &Global) -> Result<Config, CliError> {
    let env = Environment::of_process()?;
    let named = env.get("TIDEGATE_CONFIG").map(std::path::PathBuf::from);
    let file = global.config.clone().or(named);
    let config = Config::load(file.as_deref(), env)?;
    Ok(config.with_database_url(global.database_url.as_deref()))
}

/// Help and version are data and no mistake; all else that clap says is the user's.
fn usage(error: &clap::Error) -> Exit {
    // Where nobody reads it any more, there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() {
        Exit::User
    } else {
        Exit::Ok
    }
}

/// Enough for thousands of calls that wait, and little memory.
const WORKER_THREADS: usize = 2;
