//! How batches behave: every field has a default, every contradiction is refused.

use serde::{Deserialize, Deserializer, Serialize};

use crate::simulator::settings::{SettingsError, ensure};

/// How batches and the files they are made of behave, for both vendors. The table `[batches]` of the
/// settings; `POST /sim/batches` changes what comes after it. Whether a model takes batches at all:
/// [`ModelSettings::batch`](crate::simulator::ModelSettings::batch).
///
/// ```
/// # use tidegate::simulator::{BatchEnd, Damage, Settings};
/// let settings = Settings::from_toml(
///     r#"
///     [batches]
///     median_ms = 2000
///     end = "expired"
///     end_at = 0.25
///     damage = ["missing", "cut"]
///     "#,
/// )?;
/// assert_eq!(settings.batches.end, BatchEnd::Expired);
/// assert_eq!(settings.batches.damage, [Damage::Missing, Damage::Cut]);
/// # Ok::<(), tidegate::simulator::SettingsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSettings {
    /// How long half of all batches take at most, in milliseconds: 0 to 172,800,000 (48 h). Default
    /// 0: a batch has ended when it is first asked for. The first tenth of it is spent pending or
    /// validating, the last on OpenAI's finalizing.
    pub median_ms: f64,
    /// One batch in a hundred takes longer. Default: all take the median.
    pub p99_ms: Option<f64>,
    /// A new batch is in the list only after so long; by its name it is found at once. Default 0.
    pub list_lag_ms: u64,
    /// Most input tokens that wait in batches of one model at once. Gemini refuses more when the
    /// batch is created (429), OpenAI fails the batch (`token_limit_exceeded`). Default: no limit.
    pub max_enqueued_tokens: Option<u64>,
    /// Most batches of one vendor that are under way at once. Default 100.
    pub max_jobs: u64,
    /// How a batch ends if nobody cancels it. Default `succeeded`.
    pub end: BatchEnd,
    /// The share of items finished before an end that is not `succeeded`, 0 to 1. Default 0.4. OpenAI
    /// hands them out when a batch expired or was cancelled, Gemini never does.
    pub end_at: f64,
    /// The share of items that fail singly, with errors that pass. Default 0.
    pub item_errors: f64,
    /// What is wrong with results, in files and inline: a word or a list of them. Default none.
    #[serde(deserialize_with = "one_or_many")]
    pub damage: Vec<Damage>,
    /// The share of batches whose results are damaged. Default 1.
    pub damage_share: f64,
    /// The share of lines that `missing`, `duplicate` and `unknown_id` befall; at least one line in
    /// results that have any. Default 0.1.
    pub damaged_lines: f64,
    /// The share of creates that are accepted, and whose connection is reset without an answer.
    /// Default 0.
    pub lost_replies: f64,
    /// The share of creates that are refused with 503. Default 0.
    pub create_503: f64,
    /// The share of uploads that are accepted, and whose connection is reset without an answer.
    /// Default 0.
    pub lost_uploads: f64,
    /// An OpenAI batch says that it is completed so long before it names its files. Default 0.
    pub late_output_ms: u64,
    /// How long Gemini's files live. Default 172,800 (48 h). OpenAI's input lives until it is deleted
    /// or `expires_after` is over, its output 30 days.
    pub files_live_s: u64,
}

/// How a batch ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchEnd {
    /// All items were tried.
    #[default]
    Succeeded,
    /// The batch as a whole went wrong: no results.
    Failed,
    /// The time was over before all items were tried.
    Expired,
    /// Somebody cancelled it.
    Cancelled,
}

/// What is wrong with a batch's results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// The lines are in another order (OpenAI's always are).
    Reordered,
    /// Some items have no line.
    Missing,
    /// Some items have two lines.
    Duplicate,
    /// Some lines have an id that nobody gave.
    UnknownId,
    /// The file ends in the middle of its middle line; of inline results the second half is missing.
    Cut,
    /// There are no lines at all.
    Empty,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            median_ms: 0.0,
            p99_ms: None,
            list_lag_ms: 0,
            max_enqueued_tokens: None,
            max_jobs: 100,
            end: BatchEnd::default(),
            end_at: 0.4,
            item_errors: 0.0,
            damage: Vec::new(),
            damage_share: 1.0,
            damaged_lines: 0.1,
            lost_replies: 0.0,
            create_503: 0.0,
            lost_uploads: 0.0,
            late_output_ms: 0,
            files_live_s: 172_800,
        }
    }
}

/// Longest time of a batch: 48 h.
pub(in crate::simulator) const BATCH_MS_MAX: f64 = 172_800_000.0;

impl BatchSettings {
    pub(in crate::simulator) fn check(&self) -> Result<(), SettingsError> {
        ensure(
            (0.0..=BATCH_MS_MAX).contains(&self.median_ms),
            "batches.median_ms",
            "lies between 0 and 172800000",
        )?;
        ensure(
            self.p99_ms.is_none_or(|p99| {
                self.median_ms > 0.0 && (self.median_ms..=BATCH_MS_MAX).contains(&p99)
            }),
            "batches.p99_ms",
            "needs a median_ms above 0 that is not larger",
        )?;
        ensure(
            self.max_jobs > 0,
            "batches.max_jobs",
            "is at least 1; `batch = false` of a model takes none",
        )?;
        for (share, at) in [
            (self.end_at, "batches.end_at"),
            (self.item_errors, "batches.item_errors"),
            (self.damage_share, "batches.damage_share"),
            (self.damaged_lines, "batches.damaged_lines"),
            (self.lost_replies, "batches.lost_replies"),
            (self.create_503, "batches.create_503"),
            (self.lost_uploads, "batches.lost_uploads"),
        ] {
            ensure(
                (0.0..=1.0).contains(&share),
                at,
                "a share lies between 0 and 1",
            )?;
        }
        Ok(())
    }

    /// The settings with the keys of an order in place of their own.
    pub(super) fn with(
        &self,
        order: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, String> {
        let mut merged = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Some(members) = merged.as_object_mut() {
            members.extend(order.clone());
        }
        let settings: Self = serde_json::from_value(merged).map_err(|error| error.to_string())?;
        settings.check().map_err(|error| error.to_string())?;
        Ok(settings)
    }
}

/// A word, a list of words, or `none`.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Damage>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Nothing {
        None,
    }
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "damage is none, reordered, missing, duplicate, unknown_id, cut or empty, or a list of them"
    )]
    enum Wire {
        Nothing(Nothing),
        One(Damage),
        Many(Vec<Damage>),
    }
    Ok(match Wire::deserialize(deserializer)? {
        Wire::Nothing(Nothing::None) => Vec::new(),
        Wire::One(damage) => vec![damage],
        Wire::Many(all) => all,
    })
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
