//! A worker's own sample: `sample/setup.sql`, the rows of its one `.jsonl` file, `sample/load.sql`,
//! `sample/finish.sql`.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use serde_json::value::RawValue;

use super::CliError;
use crate::store::Store;

/// Rows given to one load statement.
const CHUNK: usize = 500;

/// The texts of a sample, wherever they come from.
pub(super) struct Sample {
    pub(super) setup: String,
    pub(super) load: Option<String>,
    pub(super) finish: Option<String>,
    /// The rows, one JSON object a line.
    pub(super) rows: Box<dyn Read + Send>,
}

/// Makes and fills the sample tables of a worker folder. Rows that are there and unchanged stay as
/// they are. Returns how many rows were given.
pub(super) async fn load(
    store: &Store,
    folder: &Path,
    limit: Option<usize>,
) -> Result<usize, CliError> {
    let sample = of_folder(folder)?;
    load_texts(store, sample, limit).await
}

/// The same from texts.
pub(super) async fn load_texts(
    store: &Store,
    sample: Sample,
    limit: Option<usize>,
) -> Result<usize, CliError> {
    store.run_script("sample/setup.sql", &sample.setup).await?;
    let Some(statement) = sample.load else {
        return Ok(0);
    };
    let mut lines = BufReader::new(sample.rows)
        .lines()
        .take(limit.unwrap_or(usize::MAX));
    let mut given = 0;
    loop {
        let chunk: Vec<Box<RawValue>> = lines
            .by_ref()
            .take(CHUNK)
            .map(row)
            .collect::<Result<_, CliError>>()?;
        if chunk.is_empty() {
            break;
        }
        given += chunk.len();
        store.load_sample(&statement, &chunk).await?;
    }
    if let Some(finish) = sample.finish {
        store.run_script("sample/finish.sql", &finish).await?;
    }
    Ok(given)
}

fn row(line: std::io::Result<String>) -> Result<Box<RawValue>, CliError> {
    let line = line.map_err(|source| CliError::Io {
        doing: "read the sample".to_owned(),
        source,
    })?;
    serde_json::from_str(&line).map_err(|error| {
        CliError::input(
            format!("the sample holds a line that is not JSON: {error}"),
            "mend sample/*.jsonl",
        )
    })
}

fn of_folder(folder: &Path) -> Result<Sample, CliError> {
    let dir = folder.join("sample");
    let text = |name: &str| std::fs::read_to_string(dir.join(name));
    let setup = text("setup.sql").map_err(|error| {
        CliError::input(
            format!("{}: {error}", dir.join("setup.sql").display()),
            "this worker ships no sample: leave out --sample",
        )
    })?;
    let rows: Box<dyn Read + Send> = match rows_file(&dir) {
        Some(path) => {
            let file = File::open(&path).map_err(|source| CliError::Io {
                doing: format!("read {}", path.display()),
                source,
            })?;
            if path.extension().is_some_and(|end| end == "gz") {
                Box::new(flate2::read::MultiGzDecoder::new(file))
            } else {
                Box::new(file)
            }
        }
        None => Box::new(std::io::empty()),
    };
    Ok(Sample {
        setup,
        load: text("load.sql").ok(),
        finish: text("finish.sql").ok(),
        rows,
    })
}

/// The first file of rows, by name.
fn rows_file(dir: &Path) -> Option<PathBuf> {
    let mut paths: Vec<PathBuf> = dir
        .read_dir()
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".jsonl") || name.ends_with(".jsonl.gz")
        })
        .collect();
    paths.sort();
    paths.into_iter().next()
}
