//! The first pass: rows from the user's query or a file, scored, stored as items.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{LoadError, Loader};
use crate::{
    definition::{
        FileFormat, SourceFrom, SourceSpec,
        rows::{self, Row, RowError},
    },
    store::{
        StoreError,
        load::{CHUNK, ScoredItem},
    },
};

/// Where the rows come from, opened.
type Rows = mpsc::Receiver<Result<Row, LoadError>>;

/// Rows on their way at once at most.
const BUFFER: usize = 256;

impl Loader {
    /// Checks the source's columns against what the folder names, and that the sink is a statement
    /// this database understands; reads and runs neither.
    ///
    /// # Errors
    /// [`LoadError::Store`] with the server's words for a source.sql or sink.sql that fails,
    /// [`LoadError::Definition`] for a missing column, [`LoadError::File`] for a missing file.
    pub async fn check_source(&self) -> Result<(), LoadError> {
        if let Some(sink) = &self.definition.sink {
            self.store.check_sink(&sink.sql).await?;
        }
        if self.again.is_some() {
            return Ok(());
        }
        match &self.definition.source.from {
            SourceFrom::Sql { text, .. } => {
                let columns = self.store.source_columns(text).await?;
                Ok(self.definition.check_columns(&columns)?)
            }
            SourceFrom::File { .. } => self.open_file().map(drop),
        }
    }

    /// Reads the whole source into items of this run.
    pub(super) async fn read(&self, run: Uuid) -> Result<(), LoadError> {
        let mut rows = self.rows()?;
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut taken = 0_u64;
        while let Some(row) = rows.recv().await {
            if self.options.limit.is_some_and(|limit| taken >= limit) {
                break;
            }
            let row = row?;
            taken += 1;
            chunk.push(ScoredItem {
                score: self.score(&row)?,
                id: row.id,
                body: row.body.get().to_owned(),
                version: row.version,
                category: row.category,
                of_task: None,
            });
            if chunk.len() == CHUNK {
                self.store_items(run, &mut chunk).await?;
            }
        }
        self.store_items(run, &mut chunk).await?;
        Ok(())
    }

    async fn store_items(&self, run: Uuid, chunk: &mut Vec<ScoredItem>) -> Result<(), LoadError> {
        let duplicate = self.store.add_items(run, self.process, chunk).await?;
        chunk.clear();
        match duplicate {
            Some(id) => Err(self.duplicate(id)),
            None => Ok(()),
        }
    }

    pub(super) fn duplicate(&self, id: String) -> LoadError {
        LoadError::Duplicate {
            source_name: self.options.source_name.clone(),
            id,
        }
    }

    pub(super) fn score(&self, row: &Row) -> Result<f64, LoadError> {
        if let Some(score) = row.score {
            return Ok(score);
        }
        self.weights
            .score(&row.signals)
            .map_err(|error| LoadError::Score {
                source_name: self.options.source_name.clone(),
                id: row.id.clone(),
                error,
            })
    }

    /// The rows of the source, read by a task of their own.
    pub(super) fn rows(&self) -> Result<Rows, LoadError> {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let spec = self.definition.source.clone();
        let source_name = self.options.source_name.clone();
        match &self.definition.source.from {
            SourceFrom::Sql { text, .. } => {
                let texts = self.store.stream_source(text);
                tokio::spawn(forward(texts, spec, source_name, sender));
            }
            SourceFrom::File { format, .. } => {
                let format = *format;
                let input = self.open_file()?;
                tokio::task::spawn_blocking(move || {
                    read_rows(format, input, &spec, &source_name, &sender)
                });
            }
        }
        Ok(receiver)
    }

    fn open_file(&self) -> Result<Box<dyn BufRead + Send>, LoadError> {
        let SourceFrom::File {
            path,
            gzip,
            overridden,
            ..
        } = &self.definition.source.from
        else {
            return Ok(Box::new(std::io::empty()));
        };
        let seen_from = if *overridden {
            Path::new(".")
        } else {
            self.options.folder.as_path()
        };
        let path = seen_from.join(path);
        let told = |error| LoadError::File {
            path: path.clone(),
            seen_from: seen_from.to_path_buf(),
            error,
        };
        let file = File::open(&path).map_err(told)?;
        if file.metadata().map_err(told)?.is_dir() {
            return Err(told(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        Ok(if *gzip {
            Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file)))
        } else {
            Box::new(BufReader::new(file))
        })
    }
}

async fn forward(
    mut texts: mpsc::Receiver<Result<String, StoreError>>,
    spec: SourceSpec,
    source_name: String,
    sender: mpsc::Sender<Result<Row, LoadError>>,
) {
    while let Some(text) = texts.recv().await {
        let row = match text {
            Ok(text) => rows::row_from_json(&text, &spec).map_err(|error| LoadError::Row {
                source_name: source_name.clone(),
                error,
            }),
            Err(error) => Err(LoadError::Store(error)),
        };
        if sender.send(row).await.is_err() {
            return;
        }
    }
}

fn read_rows(
    format: FileFormat,
    input: Box<dyn BufRead + Send>,
    spec: &SourceSpec,
    source_name: &str,
    sender: &mpsc::Sender<Result<Row, LoadError>>,
) {
    let told = |row: Result<Row, RowError>| {
        let row = row.map_err(|error| LoadError::Row {
            source_name: source_name.to_owned(),
            error,
        });
        sender.blocking_send(row).is_ok()
    };
    // `all` ends at the first row that nobody takes any more
    match format {
        FileFormat::Jsonl => rows::jsonl(input, spec).all(told),
        FileFormat::Csv => rows::csv(input, spec).all(told),
    };
}
