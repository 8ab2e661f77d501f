//! The texts of a worker folder. The only file of this room that reads the disk.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::DefinitionError;

/// The texts of a worker folder by file name: worker.toml and what it names. Samples and data are
/// not among them.
///
/// It is stored in the database as JSON (an object of name to text), so that processes without the
/// files work from the same folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Folder {
    files: BTreeMap<String, String>,
}

impl Folder {
    /// Reads the texts at the top of a folder (`.toml`, `.md`, `.txt`, `.json`, `.sql`, `.j2`), each
    /// at most 4 MiB. CRLF becomes LF, so that a folder has one hash on every system.
    ///
    /// # Errors
    /// [`DefinitionError::Read`] when the folder or a text cannot be read or is too large,
    /// [`DefinitionError::Text`] when one is no UTF-8.
    pub fn read(path: &Path) -> Result<Self, DefinitionError> {
        let mut folder = Self::default();
        for entry in fs::read_dir(path).map_err(|error| unread(path, &error))? {
            let path = entry.map_err(|error| unread(path, &error))?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if is_text(name) && path.is_file() {
                folder.insert(name, &text_of(name, &path)?);
            }
        }
        Ok(folder)
    }

    /// Adds or replaces a text; CRLF becomes LF.
    pub fn insert(&mut self, name: &str, text: &str) {
        self.files
            .insert(name.to_owned(), text.replace("\r\n", "\n"));
    }

    /// A text by its name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    /// The names of all texts, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// SHA-256 over name and text of all files and over the overrides in their order, each with its
    /// length in front. [`Definition`](super::Definition) keeps only what worker.toml names, so its
    /// hash is not changed by a README.
    pub fn hash(&self, overrides: &[(String, String)]) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut feed = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        feed(&self.files.len().to_string());
        for (name, text) in &self.files {
            feed(name);
            feed(text);
        }
        for (path, value) in overrides {
            feed(path);
            feed(value);
        }
        hash.finalize().into()
    }

    /// Only the texts of these names.
    pub(super) fn only(&self, names: &[String]) -> Self {
        let named = self.files.iter().filter(|(name, _)| names.contains(name));
        Self {
            files: named
                .map(|(name, text)| (name.clone(), text.clone()))
                .collect(),
        }
    }
}

fn is_text(name: &str) -> bool {
    let endings = ["toml", "md", "txt", "json", "sql", "j2"];
    name.rsplit_once('.')
        .is_some_and(|(stem, end)| !stem.is_empty() && endings.contains(&end))
}

fn text_of(name: &str, path: &Path) -> Result<String, DefinitionError> {
    let size = fs::metadata(path)
        .map_err(|error| unread(path, &error))?
        .len();
    if size > TEXT_BYTES_MAX {
        let message = format!("{size} bytes, and at most {TEXT_BYTES_MAX} are read");
        return Err(DefinitionError::Read {
            file: name.to_owned(),
            message,
        });
    }
    let bytes = fs::read(path).map_err(|error| unread(path, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        let message = "is not valid UTF-8 here".to_owned();
        DefinitionError::Text {
            place: super::Place::line(name, line),
            message,
        }
    })
}

fn unread(path: &Path, error: &std::io::Error) -> DefinitionError {
    DefinitionError::Read {
        file: path.display().to_string(),
        message: error.to_string(),
    }
}

const TEXT_BYTES_MAX: u64 = 4 << 20;
