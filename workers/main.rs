//! The program: the workers that ship with it, handed to the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::cli::run()
}
