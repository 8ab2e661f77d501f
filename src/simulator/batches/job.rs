//! One batch: what was handed in, and how far it is by the time that passed. Pure: time comes in.

use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::settings::{BATCH_MS_MAX, BatchEnd, BatchSettings, Damage};
use crate::simulator::chance::{Chance, hash};
use crate::simulator::faults;
use crate::simulator::settings::Latency;

/// Who offers a batch or keeps a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Vendor {
    Gemini,
    OpenAi,
}

impl Vendor {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gemini => "gemini",
            Self::OpenAi => "openai",
        }
    }
}

/// What the items ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Kind {
    Answers,
    Vectors,
}

/// One question of a batch.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Item {
    /// The key or custom_id; empty: none was given.
    pub(in crate::simulator) key: String,
    /// What goes back beside an inline answer.
    pub(in crate::simulator) metadata: Option<Map<String, Value>>,
    /// The question as it came.
    pub(in crate::simulator) raw: Bytes,
    pub(in crate::simulator) prompt_hash: [u8; 16],
    pub(in crate::simulator) input_tokens: u64,
    /// It asks wrongly, and fails alone.
    pub(in crate::simulator) wrong: bool,
}

/// Why a batch is refused as a whole after it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct Flaw {
    pub(in crate::simulator) code: &'static str,
    pub(in crate::simulator) message: String,
    pub(in crate::simulator) param: Option<&'static str>,
    /// Counts the lines of the input, from 1.
    pub(in crate::simulator) line: Option<usize>,
}

/// What is handed in.
#[derive(Debug)]
pub(in crate::simulator) struct Draft {
    pub(in crate::simulator) vendor: Vendor,
    pub(in crate::simulator) kind: Kind,
    /// The model's place and name; no place: it is not on offer, and there are flaws.
    pub(in crate::simulator) model: (Option<usize>, String),
    /// displayName or metadata.submission.
    pub(in crate::simulator) token: String,
    pub(in crate::simulator) items: Vec<Item>,
    /// The file that the items came from; `None`: they were in the request.
    pub(in crate::simulator) input_file: Option<String>,
    pub(in crate::simulator) flaws: Vec<Flaw>,
    /// OpenAI's pairs, as they were given.
    pub(in crate::simulator) metadata: Option<Value>,
    /// Gemini's.
    pub(in crate::simulator) priority: i64,
    /// How long the results live, if it was said.
    pub(in crate::simulator) output_live_s: Option<u64>,
    pub(in crate::simulator) key_hash: u32,
}

impl Draft {
    pub(super) fn input_tokens(&self) -> u64 {
        self.items.iter().map(|item| item.input_tokens).sum()
    }
}

/// A batch that was accepted. Nothing of it changes.
#[derive(Debug)]
pub(in crate::simulator) struct Job {
    pub(in crate::simulator) draft: Draft,
    /// Counts the batches accepted, from 1.
    pub(in crate::simulator) number: u64,
    pub(in crate::simulator) id: String,
    /// In milliseconds since 1970.
    pub(in crate::simulator) created_ms: u64,
    /// As they were when it was accepted.
    pub(super) settings: BatchSettings,
    pub(super) seed: u64,
    /// Counted when somebody first wants to know.
    pub(super) output_tokens: OnceLock<u64>,
}

impl Job {
    pub(in crate::simulator) fn model(&self) -> &str {
        &self.draft.model.1
    }

    pub(in crate::simulator) fn is_of_vectors(&self) -> bool {
        self.draft.kind == Kind::Vectors
    }

    pub(super) fn count(&self) -> usize {
        self.draft.items.len()
    }

    /// What chance has for one of its items, or for the whole under a name.
    pub(super) fn chance(&self, of: u64) -> Chance {
        Chance::of(&[self.seed, hash(&self.id), of])
    }

    /// How long it takes if nobody cancels it.
    pub(super) fn takes_ms(&self) -> u64 {
        let latency = Latency {
            median_ms: self.settings.median_ms,
            p99_ms: self.settings.p99_ms,
            ..Latency::default()
        };
        faults::drawn_ms(&latency, BATCH_MS_MAX, &mut self.chance(hash("takes")))
    }

    /// Whether an item has no answer when its turn has come: it asks wrongly, or by chance.
    pub(super) fn fails(&self, at: usize) -> bool {
        let share = self.settings.item_errors;
        self.draft.items[at].wrong || (share > 0.0 && self.chance(item(at)).unit() < share)
    }

    /// Which of several errors a failed item has.
    pub(in crate::simulator) fn pick(&self, at: usize, of: usize) -> usize {
        let drawn = self.chance(item(at) ^ hash("error")).bits();
        usize::try_from(drawn % item(of).max(1)).unwrap_or(0)
    }

    /// How many of the first `done` items failed.
    pub(super) fn failed(&self, done: usize) -> usize {
        if done == 0 {
            return 0;
        }
        let order = self.order().into_iter().take(done);
        order.filter(|at| self.fails(*at)).count()
    }

    /// The order in which its items are done.
    pub(super) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.count()).collect();
        shuffle(&mut order, &mut self.chance(hash("order")));
        order
    }

    /// What is wrong with its results.
    pub(super) fn damage(&self) -> &[Damage] {
        let hit = self.chance(hash("damage")).unit() < self.settings.damage_share;
        if hit { &self.settings.damage } else { &[] }
    }

    /// How many items are done before it ends by itself.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share between 0 and 1 of a count that an f64 holds"
    )]
    pub(super) fn done_at_end(&self) -> usize {
        match self.end() {
            BatchEnd::Succeeded => self.count(),
            _ if !self.draft.flaws.is_empty() => 0,
            _ => (self.count() as f64 * self.settings.end_at).round() as usize,
        }
    }

    /// How it ends by itself.
    pub(super) fn end(&self) -> BatchEnd {
        if self.draft.flaws.is_empty() {
            self.settings.end
        } else {
            BatchEnd::Failed
        }
    }
}

/// The number of an item's chance.
pub(super) fn item(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

/// Fisher and Yates.
pub(super) fn shuffle<T>(all: &mut [T], chance: &mut Chance) {
    for at in (1..all.len()).rev() {
        let below = item(at) + 1;
        let other = usize::try_from(chance.bits() % below).unwrap_or(at);
        all.swap(at, other);
    }
}
