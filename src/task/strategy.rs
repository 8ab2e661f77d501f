//! How tasks are asked, and for whom: the words of the columns `runs.strategy` and `runs.purpose`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How the tasks of a run are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// One call a task (the default: nobody waits for a batch unasked).
    #[default]
    Individual,
    /// As it is best by number, deadline, price and latencies seen (`plan::decide`).
    Auto,
    /// The provider's Batch API.
    Batch,
    /// Some at once, the rest as a batch.
    Hybrid,
}

impl Strategy {
    /// Every word, in the order people read them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Individual, Self::Batch, Self::Hybrid];

    /// The word used in SQL, in files, on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Individual => "individual",
            Self::Auto => "auto",
            Self::Batch => "batch",
            Self::Hybrid => "hybrid",
        }
    }
}

/// What answers are wanted for: what a choice makes small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Nobody waits for a single answer (the default): as cheap as the deadline allows.
    #[default]
    Bulk,
    /// Somebody waits: as soon as can be.
    Interactive,
}

impl Purpose {
    /// Every word.
    pub const ALL: [Self; 2] = [Self::Bulk, Self::Interactive];

    /// The word used in SQL, in files, on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Interactive => "interactive",
        }
    }
}

/// A word that names no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no strategy: auto, individual, batch, hybrid")]
pub struct StrategyError(String);

/// A word that names no purpose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no purpose: bulk, interactive, rag_query, quick_enrichment")]
pub struct PurposeError(String);

impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(word: &str) -> Result<Self, StrategyError> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == word)
            .ok_or_else(|| StrategyError(word.to_owned()))
    }
}

/// `rag_query` and `quick_enrichment` are names that callers give to interactive work.
impl FromStr for Purpose {
    type Err = PurposeError;

    fn from_str(word: &str) -> Result<Self, PurposeError> {
        match word {
            "bulk" => Ok(Self::Bulk),
            "interactive" | "rag_query" | "quick_enrichment" => Ok(Self::Interactive),
            _ => Err(PurposeError(word.to_owned())),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl Serialize for Purpose {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Purpose {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_strategy_and_of_a_purpose_reads_back() {
        for it in Strategy::ALL {
            assert_eq!(it.as_str().parse(), Ok(it));
            let json = serde_json::to_string(&it).expect("a word");
            assert_eq!(serde_json::from_str::<Strategy>(&json).ok(), Some(it));
        }
        for it in Purpose::ALL {
            assert_eq!(it.as_str().parse(), Ok(it));
            let json = serde_json::to_string(&it).expect("a word");
            assert_eq!(serde_json::from_str::<Purpose>(&json).ok(), Some(it));
        }
    }

    #[test]
    fn what_callers_name_their_questions_is_interactive() {
        for word in ["rag_query", "quick_enrichment"] {
            assert_eq!(word.parse(), Ok(Purpose::Interactive));
        }
    }

    #[test]
    fn a_wrong_word_is_told_with_the_right_ones() {
        let strategy = "bulk".parse::<Strategy>().unwrap_err().to_string();
        assert!(
            strategy.contains("auto, individual, batch, hybrid"),
            "{strategy}"
        );
        let purpose = "rag".parse::<Purpose>().unwrap_err().to_string();
        assert!(
            purpose.contains("bulk, interactive, rag_query"),
            "{purpose}"
        );
    }
}
