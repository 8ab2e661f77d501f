//! Rows from CSV: a header with the fields' names, and one record an item.

use std::{
    io::{self, BufRead, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ::csv::{ByteRecord, Reader, ReaderBuilder};

use super::{ROW_BYTES_MAX, Row, RowError, row_from_json};
use crate::definition::SourceSpec;

/// The rows of a CSV file (comma, double quotes, a header first; the reader skips a byte order
/// mark before it), read as they are asked for. The
/// body is an object of the record's values, each a JSON string; a signal or a score is read as a
/// number, and an empty one is missing.
///
/// A record with too many or too few values is an error and the next one follows; after a bad
/// header, a record beyond 4 MiB (most often a quote left open) or a failure of the input nothing does.
pub fn csv<R: BufRead>(
    input: R,
    source: &SourceSpec,
) -> impl Iterator<Item = Result<Row, RowError>> + use<R> {
    let allowed = Arc::new(AtomicU64::new(0));
    let input = Metered {
        input,
        read: 0,
        allowed: Arc::clone(&allowed),
    };
    let reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(input);
    Records {
        reader,
        allowed,
        source: source.clone(),
        header: None,
        ended: false,
    }
}

struct Records<R> {
    reader: Reader<Metered<R>>,
    /// How far into the input may be read now.
    allowed: Arc<AtomicU64>,
    source: SourceSpec,
    /// The names of the fields as raw JSON strings, once they are read.
    header: Option<Vec<String>>,
    ended: bool,
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.header.is_none() {
            match self.read_header() {
                Ok(Some(header)) => self.header = Some(header),
                Ok(None) => return None,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        match self.read_record() {
            Ok(record) => record.map(|record| {
                let line = record.position().map_or(0, ::csv::Position::line);
                self.row(&record).map_err(|error| error.at(line))
            }),
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl<R: BufRead> Records<R> {
    /// The next record; `None` at the end of the input.
    fn read_record(&mut self) -> Result<Option<ByteRecord>, RowError> {
        let position = self.reader.position().clone();
        self.allowed
            .store(position.byte() + ROW_BYTES_MAX as u64, Ordering::Relaxed);
        let mut record = ByteRecord::new();
        match self.reader.read_byte_record(&mut record) {
            Ok(true) => Ok(Some(record)),
            Ok(false) => Ok(None),
            Err(error) => {
                Err(RowError::new(format!("could not be read: {error}")).at(position.line()))
            }
        }
    }

    fn read_header(&mut self) -> Result<Option<Vec<String>>, RowError> {
        let Some(record) = self.read_record()? else {
            return Ok(None);
        };
        let names = texts(&record).map_err(|error| error.at(1))?;
        let bad = |message: String| Err(RowError::new(message).at(1));
        if let Some(at) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
            return bad(format!("the header names \"{}\" twice", names[at]));
        }
        if !names.contains(&self.source.id.as_str()) {
            let columns = names.join(", ");
            return bad(format!(
                "the header lacks the id \"{}\" (columns: {columns})",
                self.source.id
            ));
        }
        Ok(Some(names.into_iter().map(quoted).collect()))
    }

    fn row(&self, record: &ByteRecord) -> Result<Row, RowError> {
        let names = self.header.as_deref().unwrap_or_default();
        if record.len() != names.len() {
            let (has, wanted) = (record.len(), names.len());
            return Err(RowError::new(format!(
                "has {has} values, and the header names {wanted}"
            )));
        }
        let pairs = names.iter().zip(texts(record)?);
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{name}:{}", quoted(value)))
            .collect();
        row_from_json(&format!("{{{}}}", pairs.join(",")), &self.source)
    }
}

fn texts(record: &ByteRecord) -> Result<Vec<&str>, RowError> {
    let utf8 = |value| std::str::from_utf8(value).map_err(|_| RowError::new("is not valid UTF-8"));
    record.iter().map(utf8).collect()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An input that may be read a certain way only, so that a quote left open cannot fill the memory.
struct Metered<R> {
    input: R,
    read: u64,
    allowed: Arc<AtomicU64>,
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read >= self.allowed.load(Ordering::Relaxed) {
            return Err(io::Error::other(format!(
                "a record is longer than {ROW_BYTES_MAX} bytes"
            )));
        }
        let count = self.input.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
}
