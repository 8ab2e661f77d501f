//! `tidegate completions`: what a shell needs to complete commands and flags.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{CliError, Exit, Printer, args::Cli};

/// Print what a shell needs to complete commands and flags
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
        tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate\n  \
        tidegate completions zsh > \"${fpath[1]}/_tidegate\"\n  \
        tidegate completions fish > ~/.config/fish/completions/tidegate.fish")]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &Args, printer: &Printer) -> Result<Exit, CliError> {
    printer.write(&script(args.shell, &Cli::command()))?;
    Ok(Exit::Ok)
}

fn script(shell: Shell, command: &Command) -> String {
    let mut command = visible(command);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "tidegate", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The same tree without what is hidden in help.
fn visible(command: &Command) -> Command {
    let mut shown = Command::new(command.get_name().to_owned());
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned()).propagate_version(true);
    }
    shown = shown.disable_version_flag(command.is_disable_version_flag_set());
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let below = command.get_subcommands().filter(|it| !it.is_hide_set());
    shown.args(args.cloned()).subcommands(below.map(visible))
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ValueEnum};

    use super::*;

    #[test]
    fn every_shell_gets_every_command_and_nothing_hidden() {
        let command = Cli::command()
            .subcommand(Command::new("inner-works").hide(true))
            .arg(Arg::new("secret").long("inner-flag").hide(true));
        for shell in Shell::value_variants() {
            let script = script(*shell, &command);
            for word in ["doctor", "runs", "database-url", "completions"] {
                assert!(script.contains(word), "{shell} lacks {word}");
            }
            assert!(!script.contains("inner-"), "{shell} shows what is hidden");
        }
    }
}
