//! The file of a batch, written line by line to the disk of this machine, so that memory stays flat.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use tempfile::NamedTempFile;

/// A file of lines that is still written; readable by its owner only, and gone when it is dropped.
pub(super) struct Spool {
    file: BufWriter<NamedTempFile>,
    bytes: u64,
    lines: usize,
}

impl Spool {
    /// An empty one, in the system's folder for temporary files.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(NamedTempFile::new()?),
            bytes: 0,
            lines: 0,
        })
    }

    /// Whether this line fits into so many bytes in all.
    pub(super) fn has_room(&self, line: &str, most: u64) -> bool {
        self.bytes + (line.len() as u64) < most
    }

    pub(super) fn push(&mut self, line: &str) -> std::io::Result<()> {
        self.file.write_all(line.as_bytes())?;
        self.file.write_all(b"\n")?;
        self.bytes += line.len() as u64 + 1;
        self.lines += 1;
        Ok(())
    }

    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// All of it is on the disk.
    pub(super) fn finish(&mut self) -> std::io::Result<&Path> {
        self.file.flush()?;
        let file: &File = self.file.get_ref().as_file();
        file.sync_data()?;
        Ok(self.file.get_ref().path())
    }
}
