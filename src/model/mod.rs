//! Models by name: which provider entry, which name on the wire.
//!
//! Owns: [`ModelId`] and [`Prices`]. Never: a list of models (operators configure them), a limit's
//! arithmetic.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A callable model: `<provider entry>/<name on the wire>`.
///
/// The provider entry is the key of `[providers.<entry>]` in tidegate.toml; the wire name may hold
/// further slashes.
///
/// ```
/// # use tidegate::model::ModelId;
/// let id: ModelId = "gemini/gemini-3.5-flash-lite".parse()?;
/// assert_eq!((id.provider(), id.wire_name()), ("gemini", "gemini-3.5-flash-lite"));
/// assert!("gemini-3.5-flash-lite".parse::<ModelId>().is_err());
/// # Ok::<(), tidegate::model::ModelIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId(String);

/// A model name that is not `<provider entry>/<wire name>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no model name: write <provider entry>/<wire name>, as in gemini/gemini-3.5-flash-lite"
)]
pub struct ModelIdError(String);

impl ModelId {
    /// The provider entry, the part before the first slash.
    pub fn provider(&self) -> &str {
        self.0.split_once('/').map_or("", |(provider, _)| provider)
    }

    /// The name the provider knows, the part after the first slash.
    pub fn wire_name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, wire)| wire)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelId {
    type Err = ModelIdError;

    fn from_str(text: &str) -> Result<Self, ModelIdError> {
        let printable = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic());
        match text.split_once('/') {
            Some((provider, wire)) if printable(provider) && printable(wire) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(ModelIdError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for ModelId {
    type Error = ModelIdError;

    fn try_from(text: String) -> Result<Self, ModelIdError> {
        text.parse()
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> Self {
        id.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What a model costs, in micro-dollars per million tokens ($1 per million = 1,000,000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// A million prompt tokens.
    pub input_microusd: u64,
    /// A million answer tokens, thinking included.
    pub output_microusd: u64,
}
