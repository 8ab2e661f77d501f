//! A checked definition as it is kept in the database: the texts that count, and the overrides.

use serde::{Deserialize, Serialize};

use super::{Definition, DefinitionError, Folder, Place};

/// What is kept of a definition: checking it again gives an equal one, with the same hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredDefinition {
    /// The texts that count.
    pub folder: Folder,
    /// The overrides, in the order given.
    pub overrides: Vec<(String, String)>,
}

impl StoredDefinition {
    /// What is to be kept of a definition, as JSON.
    pub fn to_json(definition: &Definition) -> String {
        let stored = Self {
            folder: definition.folder.clone(),
            overrides: definition.overrides.clone(),
        };
        serde_json::to_string(&stored).expect("texts under texts are always JSON")
    }

    /// The definition that was kept.
    ///
    /// # Errors
    /// [`DefinitionError`] when the text was not kept by this program, or a newer one kept keys
    /// that this one does not know.
    pub fn from_json(text: &str) -> Result<Definition, DefinitionError> {
        let stored: Self = serde_json::from_str(text).map_err(|error| DefinitionError::Syntax {
            place: Place::file("tidegate.worker_definitions"),
            message: error.to_string(),
        })?;
        Definition::check(&stored.folder, &stored.overrides)
    }
}
