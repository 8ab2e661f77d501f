//! The program: composes, and nothing else. The workers that ship need no Rust of their own; a
//! handler would be registered here.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::cli::run()
}
