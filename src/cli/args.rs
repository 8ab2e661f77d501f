//! The tree of commands, for clap. Its types stop at each command's door.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{
    ask, batches, bench, cache, completions, config, demo, doctor, embed, init, local, models,
    reprocess, run, runs, simulate, status, tasks, work, workers,
};

/// A durable queue for LLM work in your own Postgres.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    about,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Without a database URL, Tidegate starts a private Postgres of its own.\n\
                  Exit codes: 0 done, 1 your mistake, 2 ours, 3 done in part."
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags of every command.
#[derive(Args, Debug)]
pub(super) struct Global {
    /// The configuration file [default: tidegate.toml, if it is there] [env: TIDEGATE_CONFIG]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub(super) config: Option<PathBuf>,
    /// Print data as JSON, one object a line
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(super) json: bool,
    /// The database [env: DATABASE_URL] (the environment keeps its password out of the process list)
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub(super) database_url: Option<String>,
    /// Log more: -v debug, -vv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Everywhere")]
    pub(super) verbose: u8,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Demo(demo::Args),
    Init(init::Args),
    /// Bring the database's schema up to date
    Migrate,
    Run(run::Args),
    Work(work::Args),
    Ask(ask::Args),
    Embed(embed::Args),
    /// Workers that tasks may be enqueued for by name; pause them
    Workers(workers::Args),
    Status(status::Args),
    /// Look at tasks; retry and cancel them
    Tasks(tasks::Args),
    /// Look at runs; pause, cancel, export and delete them
    Runs(runs::Args),
    Retry(tasks::RetryArgs),
    Reprocess(reprocess::Args),
    /// Look at models and their limits; close and open them
    Models(models::Args),
    /// Batches at providers' Batch APIs, and the choices that made them
    Batches(batches::Args),
    /// Answers that are kept: what they spared; forget them
    Cache(cache::Args),
    Simulate(simulate::Args),
    /// The private Postgres, for when there is no database URL
    Local(local::Args),
    /// Measure this machine and server
    Bench(bench::Args),
    /// Show each setting and where it came from
    Config(config::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_are_those_that_are_documented() {
        let mut paths = Vec::new();
        collect(&Cli::command(), "", &mut paths);
        for path in [
            "bench limits",
            "bench queue",
            "cache purge",
            "cache stats",
            "completions",
            "config show",
            "doctor",
            "embed",
            "init",
            "local install",
            "local start",
            "local status",
            "local stop",
            "migrate",
            "reprocess",
            "retry",
            "models clear",
            "models cool",
            "models list",
            "models pause",
            "models resume",
            "runs cancel",
            "runs delete",
            "runs export",
            "runs list",
            "runs pause",
            "runs resume",
            "runs retier",
            "runs show",
            "simulate",
            "status",
            "tasks cancel",
            "tasks list",
            "tasks retry",
            "tasks show",
            "tasks why",
            "workers add",
            "workers list",
            "workers pause",
            "workers resume",
        ] {
            assert!(paths.iter().any(|it| it == path), "{path}: {paths:?}");
        }
    }

    #[test]
    fn every_command_and_flag_has_a_help_text() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                assert!(
                    arg.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    arg.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    fn collect(command: &clap::Command, above: &str, paths: &mut Vec<String>) {
        for below in command.get_subcommands() {
            let path = format!("{above} {}", below.get_name()).trim().to_owned();
            if below.has_subcommands() {
                collect(below, &path, paths);
            } else {
                paths.push(path);
            }
        }
    }
}
