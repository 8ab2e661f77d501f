//! The tree of commands, for clap. Its types stop at each command's door.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{config, demo, run, simulate, work};

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
    Run(run::Args),
    Work(work::Args),
    Simulate(simulate::Args),
    /// Bring the database's schema up to date
    Migrate,
    /// Show each setting and where it came from
    Config(config::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }
}
