//! Where an export goes: stdout, one file, or a file an item. Files are private, and whole or not
//! there.

use std::{
    borrow::Cow,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::export::{Format, Record};
use crate::cli::{CliError, Printer, printer::ascii_controls};

/// Longest part of a file's name that is taken from an item's id.
const NAME_MAX: usize = 80;

/// Where an export goes.
pub(super) struct Target {
    place: Place,
    format: Format,
}

enum Place {
    Stdout(Printer),
    /// Written beside the file, and put in its place at the end.
    File {
        path: PathBuf,
        beside: PathBuf,
        out: BufWriter<File>,
    },
    Folder {
        path: PathBuf,
        /// Whether files that hold something else are written over.
        force: bool,
    },
}

impl Target {
    /// Opens it, and writes the header where there is one.
    pub(super) fn open(
        file: &Option<PathBuf>,
        folder: &Option<PathBuf>,
        force: bool,
        format: Format,
        printer: &Printer,
    ) -> Result<Self, CliError> {
        let place = match (file, folder) {
            (Some(path), _) => {
                let beside = beside(path);
                let out = BufWriter::new(private(&beside).map_err(|e| cannot(&beside, e))?);
                Place::File {
                    path: path.clone(),
                    beside,
                    out,
                }
            }
            (None, Some(folder)) => {
                let made = fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder);
                made.map_err(|error| cannot(folder, error))?;
                Place::Folder {
                    path: folder.clone(),
                    force,
                }
            }
            (None, None) => Place::Stdout(printer.clone()),
        };
        let mut target = Self { place, format };
        if format == Format::Csv {
            target.put(&line(HEADER.iter().map(|it| Cow::Borrowed(*it)))?)?;
        }
        Ok(target)
    }

    pub(super) fn write(&mut self, record: &Record<'_>) -> Result<(), CliError> {
        if let Place::Folder { path, force } = &self.place {
            return to_own_file(path, *force, record);
        }
        let text = match self.format {
            Format::Jsonl => jsonl(record).map_err(|error| cannot(Path::new("JSON"), error))?,
            Format::Csv => csv_line(record)?,
        };
        self.put(&text)
    }

    fn put(&mut self, text: &str) -> Result<(), CliError> {
        match &mut self.place {
            Place::Stdout(printer) if printer.stdout_is_terminal() => {
                let plain = ascii_controls(text.trim_end_matches('\n'));
                printer.write(&format!("{plain}\n"))
            }
            Place::Stdout(printer) => printer.write(text),
            Place::File { beside, out, .. } => out
                .write_all(text.as_bytes())
                .map_err(|error| cannot(beside, error)),
            Place::Folder { .. } => Ok(()),
        }
    }

    /// Puts a file in its place. Returns where all went; `None`: to stdout.
    pub(super) fn finish(self) -> Result<Option<String>, CliError> {
        match self.place {
            Place::Stdout(_) => Ok(None),
            Place::Folder { path, .. } => Ok(Some(path.display().to_string())),
            Place::File {
                path,
                beside,
                mut out,
            } => {
                let placed = out
                    .flush()
                    .and_then(|()| out.get_ref().sync_all())
                    .and_then(|()| fs::rename(&beside, &path));
                placed.map_err(|error| cannot(&path, error))?;
                Ok(Some(path.display().to_string()))
            }
        }
    }
}

/// Writes a task's own file: whole or not at all, and never over something else unasked.
fn to_own_file(folder: &Path, force: bool, record: &Record<'_>) -> Result<(), CliError> {
    // a task that was enqueued by itself is known by its id
    let item = record
        .item_id
        .map_or_else(|| record.task_id.to_string(), str::to_owned);
    let path = folder.join(file_name(&item, record.component));
    let text = jsonl(record).map_err(|error| cannot(&path, error))?;
    if !force {
        match fs::read(&path) {
            Ok(there) if there == text.as_bytes() => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) | Err(_) => {
                return Err(CliError::input(
                    format!("{} is there, and holds something else", path.display()),
                    "name an empty folder, or say --force to write over it",
                ));
            }
        }
    }
    let beside = beside(&path);
    let written = private(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, &path)
    });
    written.map_err(|error| cannot(&path, error))
}

/// The file in which the one of this path is made: a name that nobody gives a file of their own.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tidegate-part");
    path.with_file_name(name)
}

/// A new file that only we may read. One that a former export left half-made goes.
fn private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn cannot(path: &Path, source: io::Error) -> CliError {
    CliError::Io {
        doing: format!("write {}", path.display()),
        source,
    }
}

/// One line. Raw line breaks can only stand between the parts of the answer: all other texts are
/// escaped.
fn jsonl(record: &Record<'_>) -> io::Result<String> {
    let mut text = serde_json::to_string(record)?.replace(['\n', '\r'], " ");
    text.push('\n');
    Ok(text)
}

const HEADER: [&str; 13] = [
    "item_id",
    "component",
    "category",
    "tier",
    "state",
    "model",
    "answer",
    "attempts",
    "cost_microusd",
    "error_class",
    "error",
    "task_id",
    "finished_at",
];

fn csv_line(record: &Record<'_>) -> Result<String, CliError> {
    let finished = record.finished_at.map(|at| at.to_rfc3339());
    let cells: [Cow<'_, str>; 13] = [
        record.item_id.unwrap_or_default().into(),
        record.component.into(),
        record.category.unwrap_or_default().into(),
        record.tier.to_string().into(),
        record.state.into(),
        record.model.unwrap_or_default().into(),
        record.answer.map(|it| it.get()).unwrap_or_default().into(),
        record.attempts.to_string().into(),
        record.cost_microusd.to_string().into(),
        record.error_class.unwrap_or_default().into(),
        record.error.unwrap_or_default().into(),
        record.task_id.to_string().into(),
        finished.unwrap_or_default().into(),
    ];
    line(cells.into_iter().map(harmless))
}

fn line<'a>(cells: impl Iterator<Item = Cow<'a, str>>) -> Result<String, CliError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let whole = writer
        .write_record(cells.map(|it| it.into_owned()))
        .map_err(io::Error::other)
        .and_then(|()| {
            writer
                .into_inner()
                .map_err(|error| io::Error::other(error.to_string()))
        });
    let whole = whole.map_err(|error| cannot(Path::new("CSV"), error))?;
    Ok(String::from_utf8_lossy(&whole).into_owned())
}

/// A cell that no spreadsheet takes for a formula: what begins like one, and is no number, gets a
/// quote before it.
fn harmless(cell: Cow<'_, str>) -> Cow<'_, str> {
    const BEGIN: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if cell.starts_with(BEGIN) && cell.parse::<f64>().is_err() {
        return Cow::Owned(format!("'{cell}"));
    }
    cell
}

/// A name for a task's file that is no path, fits every file system, and is never another's: ids that
/// are not plain themselves get a part of their hash behind a `~`, which no plain one holds.
fn file_name(item: &str, component: &str) -> String {
    let whole = if component.is_empty() {
        item.to_owned()
    } else {
        format!("{item}.{component}")
    };
    let fits =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    let plain: String = whole
        .chars()
        .take(NAME_MAX)
        .map(|c| if fits(c) { c } else { '_' })
        .collect();
    let plain = plain.trim_start_matches(['.', '-']);
    if plain == whole && !plain.is_empty() {
        return format!("{plain}.json");
    }
    let hash = hex::encode(&Sha256::digest(whole.as_bytes())[..8]);
    format!("{plain}~{hash}.json")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_formula_is_quoted_and_a_number_is_not() {
        for (cell, wanted) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-2+3", "'-2+3"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("\t=1", "'\t=1"),
            ("＝1", "'＝1"),
            ("-1.5e3", "-1.5e3"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(harmless(Cow::Borrowed(cell)), wanted);
        }
    }

    #[test]
    fn a_name_is_no_path_and_stays_what_it_was_where_it_can() {
        assert_eq!(file_name("article-7", ""), "article-7.json");
        assert_eq!(file_name("a", "tags"), "a.tags.json");
        let hostile = [
            "",
            ".",
            "..",
            "../../etc/passwd",
            "/x",
            "A",
            "a",
            "a~b",
            "con\0",
            "-rf",
            "é",
            ".hidden",
        ];
        let names: HashSet<_> = hostile.iter().map(|item| file_name(item, "")).collect();
        assert_eq!(names.len(), hostile.len(), "{names:?}");
    }

    proptest! {
        #[test]
        fn every_name_is_safe(item in any::<String>(), component in "[a-z]{0,3}") {
            let name = file_name(&item, &component);
            prop_assert!(name.len() <= 110 && !name.starts_with(['.', '-']) && name.ends_with(".json"));
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-~".contains(&b)), "{}", name);
        }
    }
}
