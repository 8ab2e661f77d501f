//! `tidegate init`: a commented tidegate.toml and a worker folder to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{CliError, Context, Exit};

/// Write a commented tidegate.toml and a worker folder; nothing that is there is changed.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate init\n  tidegate init my_project --worker summaries")]
pub(super) struct Args {
    /// Where
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// The worker's name, and its folder's below workers/
    #[arg(long, value_name = "NAME", default_value = "first_worker", value_parser = name)]
    worker: String,
}

/// The files of the worker folder, and what they begin with.
const WORKER: [(&str, &str); 4] = [
    ("worker.toml", include_str!("worker.toml")),
    ("prompt.md", include_str!("prompt.md")),
    ("schema.json", include_str!("schema.json")),
    ("items.jsonl", include_str!("items.jsonl")),
];
const CONFIG: &str = include_str!("tidegate.toml");
/// Stands for the worker's name in the files above.
const NAME: &str = "first_worker";

pub(super) fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let worker = Path::new("workers").join(&args.worker);
    let mut files = vec![(PathBuf::from("tidegate.toml"), CONFIG.to_owned())];
    for (file, text) in WORKER {
        files.push((worker.join(file), text.replace(NAME, &args.worker)));
    }
    let (mut wrote, mut kept) = (Vec::new(), Vec::new());
    for (path, text) in files {
        let path = args.folder.join(path);
        let list = if write(&path, &text)? {
            &mut wrote
        } else {
            &mut kept
        };
        list.push(path.display().to_string());
    }
    let printer = &context.printer;
    if printer.is_json() {
        printer.object(&json!({"wrote": wrote, "kept": kept}))?;
        return Ok(Exit::Ok);
    }
    for path in &wrote {
        printer.line(format_args!("wrote {path}"))?;
    }
    for path in &kept {
        printer.line(format_args!("kept {path}, which was there"))?;
    }
    printer.say("next: put GEMINI_API_KEY into the environment or into .env, then");
    printer.say(format_args!(
        "  tidegate run {} --wait",
        args.folder.join(worker).display()
    ));
    Ok(Exit::Ok)
}

/// Writes a file that is not there. `false`: it is.
fn write(path: &Path, text: &str) -> Result<bool, CliError> {
    let failed = |error: std::io::Error| {
        CliError::input(
            format!("cannot write {}: {error}", path.display()),
            "name a folder that you may write to",
        )
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(failed)?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// A name that worker.toml takes.
fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if !text.is_empty() && text.len() <= 63 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a worker's name is at most 63 of a-z, 0-9, _ and -".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};
    use crate::definition::{Definition, Folder};

    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tidegate.toml");
        std::fs::write(&file, text).unwrap();
        let none: [(&str, &str); 0] = [];
        Config::load(Some(&file), Environment::of(none)).unwrap()
    }

    #[test]
    fn the_file_that_init_writes_holds() {
        let config = config(CONFIG);
        let names = config.models().into_iter().map(|it| it.model);
        assert!(
            names
                .into_iter()
                .any(|it| it == "gemini/gemini-3.5-flash-lite")
        );
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }

    #[test]
    fn every_setting_that_is_commented_out_is_a_setting() {
        let is_setting = |line: &str| {
            line.strip_prefix("# ").is_some_and(|rest| {
                rest.starts_with('[')
                    || rest
                        .split_once(" = ")
                        .is_some_and(|(key, _)| !key.contains(' '))
            })
        };
        let text: String = CONFIG
            .lines()
            .map(|line| if is_setting(line) { &line[2..] } else { line })
            .flat_map(|line| [line, "\n"])
            .collect();
        let config = config(&text);
        assert!(config.models().len() >= 6);
        assert_eq!(config.work.slots.value, 32);
    }

    #[test]
    fn the_worker_that_init_writes_holds() {
        let mut folder = Folder::default();
        for (file, text) in WORKER {
            folder.insert(file, text);
        }
        let definition = Definition::check(&folder, &[]).unwrap();
        assert_eq!(definition.name, NAME);
        let columns: Vec<_> = ["id", "text"].map(str::to_owned).to_vec();
        definition.check_columns(&columns).unwrap();
        let known: Vec<_> = config(CONFIG)
            .models()
            .into_iter()
            .map(|it| it.model)
            .collect();
        for model in definition.ladder(0) {
            assert!(known.contains(&model.to_string()), "{model}");
        }
    }
}
