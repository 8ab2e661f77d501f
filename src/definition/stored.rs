//! A definition as the database keeps it: the folder's texts and the overrides it was checked with.

use serde::{Deserialize, Serialize};

use super::{Definition, DefinitionError, Folder, Place};

/// What is kept of a definition under its hash: enough to check it again, without any file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDefinition {
    /// The texts that count.
    pub folder: Folder,
    /// The overrides (dotted path, value), in their order.
    pub overrides: Vec<(String, String)>,
}

impl StoredDefinition {
    /// What is to be kept of this definition.
    pub fn of(definition: &Definition) -> Self {
        Self {
            folder: definition.folder.clone(),
            overrides: definition.overrides.clone(),
        }
    }

    /// As the JSON text that is kept.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts are always JSON")
    }

    /// The definition that was kept as this JSON text, checked again: another version may have
    /// written it.
    ///
    /// # Errors
    /// [`DefinitionError::Syntax`] for a text of another shape, else as [`Definition::check`].
    pub fn from_json(text: &str) -> Result<Definition, DefinitionError> {
        let stored: Self = serde_json::from_str(text).map_err(|error| DefinitionError::Syntax {
            place: Place::file("the stored definition"),
            message: format!("was written by another version: {error}"),
        })?;
        Definition::check(&stored.folder, &stored.overrides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_comes_back_as_it_was_kept() {
        let mut folder = Folder::default();
        folder.insert(
            "worker.toml",
            "name = \"w\"\n[source]\nfile = \"x.jsonl\"\nid = \"id\"\n[[tier]]\nshare = 1.0\nmix = 1\nmodel = \"g/m\"\n",
        );
        folder.insert("prompt.md", "say {{ id }}");
        let overrides = vec![("tier.0.model".to_owned(), "g/other".to_owned())];
        let definition = Definition::check(&folder, &overrides).unwrap();
        let text = StoredDefinition::of(&definition).to_json();
        let back = StoredDefinition::from_json(&text).unwrap();
        assert_eq!(back, definition);
        assert_eq!(back.hash(), definition.hash());
    }

    #[test]
    fn a_text_of_another_shape_is_told() {
        let error = StoredDefinition::from_json("{\"files\": 3}").unwrap_err();
        assert!(error.to_string().contains("another version"), "{error}");
    }
}
