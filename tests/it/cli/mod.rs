//! The program from outside: its exit codes, what it says and where, against a database of its own.

mod bad_input;
mod batches;
mod bench_limits;
mod bench_saving;
mod bench_strategy;
mod budget;
mod by_hand;
mod cache;
mod content_generation;
mod demo;
mod doctor;
mod dry_runs;
mod embed;
mod embedding;
mod first_steps;
mod hostile;
mod limits;
mod local_work;
mod models;
mod parts;
mod progress;
mod redo;
mod reports;
mod reprocess;
mod retier;
mod runs;
mod savings;
mod shapes;
mod status_lines;
mod strategy;
mod tag_space;
mod why;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::fleet::{Fleet, a_model};

/// The program in an empty folder, with no variables but those it needs to run and those given.
struct Program {
    folder: TempDir,
    vars: Vec<(String, String)>,
}

impl Program {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            vars: Vec::new(),
        }
    }

    /// With this database.
    fn over(url: &str) -> Self {
        Self::new().with("DATABASE_URL", url)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.vars.push((name.to_owned(), value.to_owned()));
        self
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(args).current_dir(self.folder()).env_clear();
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env("PATH", path).env("HOME", self.folder());
        command.envs(self.vars.iter().cloned());
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end. In a thread that may wait: the database is served by others.
    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(
            args,
            self.command(args).output().expect("the program starts"),
        )
    }
}

/// How a run ended.
#[derive(Debug)]
struct Ran {
    args: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(args: &[&str], output: Output) -> Self {
        Self {
            args: args.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// It did what it was told.
    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}: {self:?}", self.args);
        self
    }

    /// It ended with exit 1, said what and what next on stderr, and nothing on stdout.
    #[track_caller]
    fn refused(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{}: {self:?}", self.args);
        assert!(self.stdout.is_empty(), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "lacks {word:?}: {self:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }

    /// Its stdout as one JSON object a line.
    #[track_caller]
    fn objects(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}")))
            .inspect(|value: &Value| assert!(value.is_object(), "{value}"))
            .collect()
    }
}

/// Runs it with a stdout whose reader has left before it began.
fn run_unread(program: &Program, args: &[&str]) -> Ran {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = program
        .command(args)
        .stdout(writer)
        .output()
        .expect("the program starts");
    Ran::of(args, output)
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a folder of our own");
}

/// A program before a simulated provider that answers as `gemini`, with a shipped worker's models.
fn shipped_worker(fleet: &Fleet, more: &str) -> Program {
    let program = Program::over(fleet.url()).with("A_TEST_KEY", "a-test-key");
    let settings = format!(
        "[providers.gemini]\nkind = \"gemini\"\nbase_url = {:?}\napi_key_env = \"A_TEST_KEY\"\n{more}",
        fleet.simulator.base_url()
    );
    write(&program.folder().join("tidegate.toml"), &settings);
    program
}

/// Models of that provider, without limits.
async fn gemini() -> Fleet {
    let names = [
        "gemini-3.8-flash",
        "gemini-3.5-flash-lite",
        "gemini-3.1-flash-lite",
    ];
    Fleet::with(names.map(a_model).into()).await
}
