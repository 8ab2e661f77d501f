//! Rows from JSON lines: one object a line, blank lines left out.

use std::io::{self, BufRead, Read};

use super::{ROW_BYTES_MAX, Row, RowError, row_from_json};
use crate::definition::SourceSpec;

/// The rows of a JSONL file, read as they are asked for. A gzipped file is unpacked by the caller.
///
/// A byte order mark at the beginning is skipped. A bad line is an error and the next line follows; after a failure of the input nothing does.
pub fn jsonl<R: BufRead>(
    input: R,
    source: &SourceSpec,
) -> impl Iterator<Item = Result<Row, RowError>> + use<R> {
    Lines {
        input,
        source: source.clone(),
        line: 0,
        ended: false,
    }
}

struct Lines<R> {
    input: R,
    source: SourceSpec,
    /// The number of the line last read.
    line: u64,
    ended: bool,
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            self.line += 1;
            let row = match self.read_line() {
                Err(error) => {
                    self.ended = true;
                    Err(RowError::new(format!("could not be read: {error}")))
                }
                Ok(None) => break,
                Ok(Some(bytes)) => match self.row(&bytes) {
                    None => continue,
                    Some(row) => row,
                },
            };
            return Some(row.map_err(|error| error.at(self.line)));
        }
        None
    }
}

impl<R: BufRead> Lines<R> {
    /// The next line with its end, but of one too long only a little more than is allowed; `None`
    /// at the end of the input.
    fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let most = ROW_BYTES_MAX as u64 + 2;
        self.input
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut line)?;
        if line.len() as u64 == most && !line.ends_with(b"\n") {
            self.skip_line()?;
        }
        Ok(Some(line).filter(|line| !line.is_empty()))
    }

    /// Reads to the end of the line, keeping nothing.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let ready = self.input.fill_buf()?;
            let (used, done) = match ready.iter().position(|&byte| byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (ready.len(), ready.is_empty()),
            };
            self.input.consume(used);
            if done {
                return Ok(());
            }
        }
    }

    /// The row of a line; `None` where it is blank.
    fn row(&self, bytes: &[u8]) -> Option<Result<Row, RowError>> {
        if bytes.trim_ascii().len() > ROW_BYTES_MAX {
            return Some(Err(RowError::new(format!(
                "is longer than {ROW_BYTES_MAX} bytes"
            ))));
        }
        match std::str::from_utf8(bytes) {
            Err(error) => {
                let at = error.valid_up_to() + 1;
                Some(Err(RowError::new(format!(
                    "is not valid UTF-8 at byte {at}"
                ))))
            }
            Ok(text) => {
                // a byte order mark is how some editors begin a file; anywhere else it is damage
                let text = match self.line {
                    1 => text.strip_prefix('\u{feff}').unwrap_or(text),
                    _ => text,
                };
                (!text.trim().is_empty()).then(|| row_from_json(text, &self.source))
            }
        }
    }
}
