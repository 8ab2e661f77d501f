//! What happened: counters of every model and the log of calls.
//!
//! Owns no lock and no clock; the server calls it with both in hand. Memory has a ceiling: the log
//! drops its oldest entries, the sliding peaks keep one entry a millisecond.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::batches::BatchCounters;
use super::limits::{Dimension, Recent};

/// What the simulator counted since its start or last reset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// When counting began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// How long ago that is.
    pub uptime_ms: u64,
    /// Each model's counters, by name.
    pub models: BTreeMap<String, ModelCounters>,
    /// Calls with a wrong key or none.
    pub bad_key: u64,
    /// Calls to models that are not on offer.
    pub unknown_model: u64,
    /// Calls that ended since, kept in the log or not.
    pub log_entries: u64,
    /// Of these, how many the log has dropped.
    pub log_dropped: u64,
    /// Batches and uploads; no call of theirs is in the log.
    #[serde(default)]
    pub batches: BatchCounters,
}

/// What was counted of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelCounters {
    /// Calls that arrived with a good key.
    pub calls: u64,
    /// Of these, how many were let in: calls less `bad_request`, `refused_429` and `outage_503`.
    pub accepted: u64,
    /// Answered with 200 and the whole answer (also one cut by the caller's own limit).
    pub ok: u64,
    /// Answered with 400.
    pub bad_request: u64,
    /// Answered with 429.
    pub refused_429: u64,
    /// Why, for each 429; a call refused for two reasons is in both.
    pub refused: Refused,
    /// Answered with 503 because of an outage.
    pub outage_503: u64,
    /// Injected faults by their word.
    pub faults: BTreeMap<String, u64>,
    /// Calls let in whose client went away before the answer (hanging ones not counted).
    pub abandoned: u64,
    /// Input tokens of the calls let in.
    pub input_tokens: u64,
    /// Output tokens of the answers given.
    pub output_tokens: u64,
    /// The most calls let in within any 60 s, however placed.
    pub max_requests_in_any_60s: u64,
    /// The most tokens let in within any 60 s, as their limit counts them: at Gemini those of the
    /// prompt, at OpenAI the larger of these and the most that the answer may have.
    pub max_input_tokens_in_any_60s: u64,
    /// The most calls under way at once.
    pub max_concurrency: u64,
    /// Calls under way now.
    pub calls_in_flight: u64,
    /// Items of batches answered (and billed), in batches whose results can be read. Calls count
    /// none of this, and the peaks above nothing of batches.
    #[serde(default)]
    pub batch_items: u64,
    /// Items of batches that were tried and have no answer.
    #[serde(default)]
    pub batch_items_failed: u64,
    /// Input tokens of the items answered.
    #[serde(default)]
    pub batch_input_tokens: u64,
    /// Output tokens of the items answered.
    #[serde(default)]
    pub batch_output_tokens: u64,
}

/// Refusals by what was exhausted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Requests per minute.
    pub requests: u64,
    /// Tokens per minute.
    pub tokens: u64,
    /// Requests per day.
    pub day: u64,
    /// An outage that says 429: for a minute, for the day, or for want of money.
    pub outage: u64,
}

/// One call, in the log when it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Counts the calls in the order of their arrival, from 1.
    pub seq: u64,
    /// When it arrived, in milliseconds since the start or last reset.
    pub at_ms: u64,
    /// The same since 1970.
    pub unix_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Of an answer that came piece by piece, how long its first piece took.
    #[serde(default)]
    pub first_ms: Option<u64>,
    /// The model asked; `(unknown)` when it is not on offer.
    pub model: String,
    /// The HTTP status; 0: the connection was reset; 499: the client went away first.
    pub status: u16,
    /// `ok`, `cut` (the caller's own output limit), `refused_requests`, `refused_tokens`,
    /// `refused_day`, `refused_outage`, `outage_503`, `bad_request`, `bad_key`, `unknown_model`,
    /// `abandoned`, `stopped`, or the word of a fault.
    pub outcome: String,
    /// The first 16 bytes, in hex, of the SHA-256 of the prompt's text (turns joined by line
    /// breaks, the system instruction before them; of texts for vectors the texts so joined); zeros when there was none to read.
    pub prompt: String,
    /// The first 4 bytes, in hex, of the SHA-256 of the key.
    pub key: String,
    /// Input tokens; counted against the limits only if the call was let in.
    pub input_tokens: u64,
    /// Output tokens of the answer.
    pub output_tokens: u64,
}

/// A call in the log, kept small.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) arrived_ms: u64,
    pub(super) took_ms: u64,
    pub(super) first_ms: Option<u64>,
    pub(super) model: Arc<str>,
    pub(super) status: u16,
    pub(super) outcome: &'static str,
    pub(super) prompt_hash: [u8; 16],
    pub(super) key_hash: u32,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

impl Entry {
    pub(super) fn record(&self, started_ms: u64) -> CallRecord {
        CallRecord {
            seq: self.seq,
            at_ms: self.arrived_ms.saturating_sub(started_ms),
            unix_ms: self.arrived_ms,
            took_ms: self.took_ms,
            first_ms: self.first_ms,
            model: self.model.to_string(),
            status: self.status,
            outcome: self.outcome.to_owned(),
            prompt: hex::encode(self.prompt_hash),
            key: format!("{:08x}", self.key_hash),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
        }
    }
}

/// The last calls that ended, and the file that has all of them.
#[derive(Debug)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    entries_max: usize,
    dropped: u64,
    file: Option<File>,
}

impl Log {
    pub(super) fn new(entries_max: usize, file: Option<File>) -> Self {
        Self {
            entries: VecDeque::new(),
            entries_max,
            dropped: 0,
            file,
        }
    }

    pub(super) fn push(&mut self, entry: Entry, started_ms: u64) {
        self.append(&entry, started_ms);
        if self.entries.len() >= self.entries_max {
            self.dropped += 1;
            if self.entries.pop_front().is_none() {
                return;
            }
        }
        self.entries.push_back(entry);
    }

    /// Writes through at once: who kills the simulator still has every call that ended.
    fn append(&mut self, entry: &Entry, started_ms: u64) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(line(&entry.record(started_ms)).as_bytes()) {
            tracing::warn!(%error, "the simulator's call log is given up");
            self.file = None;
        }
    }

    /// Up to `count` entries from the `from`th that ever ended on, and the place after them.
    pub(super) fn slice(&self, from: u64, count: usize) -> (Vec<Entry>, u64) {
        let skipped = usize::try_from(from.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        let slice: Vec<_> = self
            .entries
            .iter()
            .skip(skipped)
            .take(count)
            .cloned()
            .collect();
        let next = from.max(self.dropped) + slice.len() as u64;
        (slice, next)
    }

    pub(super) fn total(&self) -> u64 {
        self.dropped + self.entries.len() as u64
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.dropped = 0;
    }
}

/// A record as one line of JSON.
pub(super) fn line(record: &CallRecord) -> String {
    let mut line = serde_json::to_string(record).unwrap_or_default();
    line.push('\n');
    line
}

/// Counts one model's calls.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counters: ModelCounters,
    requests: Recent,
    tokens: Recent,
}

impl Tally {
    pub(super) fn counters(&self) -> ModelCounters {
        self.counters.clone()
    }

    pub(super) fn arrived(&mut self) {
        self.counters.calls += 1;
    }

    pub(super) fn accepted(&mut self, now_ms: u64, asked: &Asked) {
        let counters = &mut self.counters;
        counters.accepted += 1;
        counters.input_tokens += asked.input_tokens;
        counters.max_requests_in_any_60s = counters
            .max_requests_in_any_60s
            .max(self.requests.add(now_ms, 1));
        counters.max_input_tokens_in_any_60s = counters
            .max_input_tokens_in_any_60s
            .max(self.tokens.add(now_ms, asked.charged_tokens));
        counters.calls_in_flight += 1;
        counters.max_concurrency = counters.max_concurrency.max(counters.calls_in_flight);
    }

    pub(super) fn refused(&mut self, dimensions: impl Iterator<Item = Dimension>) {
        self.counters.refused_429 += 1;
        for dimension in dimensions {
            let refused = &mut self.counters.refused;
            *match dimension {
                Dimension::Requests => &mut refused.requests,
                Dimension::Tokens => &mut refused.tokens,
                Dimension::Day => &mut refused.day,
            } += 1;
        }
    }

    pub(super) fn refused_by_outage(&mut self) {
        self.counters.refused_429 += 1;
        self.counters.refused.outage += 1;
    }

    pub(super) fn overloaded(&mut self) {
        self.counters.outage_503 += 1;
    }

    pub(super) fn bad_request(&mut self) {
        self.counters.bad_request += 1;
    }

    pub(super) fn fault(&mut self, word: &str) {
        *self.counters.faults.entry(word.to_owned()).or_default() += 1;
    }

    /// A call let in has left, whatever came of it.
    pub(super) fn left(&mut self) {
        self.counters.calls_in_flight = self.counters.calls_in_flight.saturating_sub(1);
    }

    pub(super) fn ended(&mut self, outcome: &str, output_tokens: u64) {
        match outcome {
            "ok" | "cut" => self.counters.ok += 1,
            "abandoned" => self.counters.abandoned += 1,
            _ => {}
        }
        self.counters.output_tokens += output_tokens;
    }

    /// Forgets all but the calls still under way.
    pub(super) fn reset(&mut self) {
        let calls_in_flight = self.counters.calls_in_flight;
        *self = Self::default();
        self.counters.calls_in_flight = calls_in_flight;
        self.counters.max_concurrency = calls_in_flight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        Entry {
            seq,
            arrived_ms: 1000 + seq,
            took_ms: 1,
            first_ms: None,
            model: Arc::from("m"),
            status: 200,
            outcome: "ok",
            prompt_hash: [0; 16],
            key_hash: 1,
            input_tokens: 1,
            output_tokens: 1,
        }
    }

    fn asked() -> Asked {
        Asked {
            prompt: String::new(),
            prompt_hash: [0; 16],
            input_tokens: 10,
            charged_tokens: 10,
            output_tokens_max: 10,
            mime: String::new(),
            schema: None,
            form: crate::simulator::asked::Form::default(),
        }
    }

    fn seqs(log: &Log, from: u64, count: usize) -> (Vec<u64>, u64) {
        let (slice, next) = log.slice(from, count);
        (slice.iter().map(|entry| entry.seq).collect(), next)
    }

    #[test]
    fn the_log_drops_its_oldest_and_is_read_in_slices() {
        let mut log = Log::new(3, None);
        (1..=5).for_each(|seq| log.push(entry(seq), 1000));
        assert_eq!((log.total(), log.dropped()), (5, 2));
        assert_eq!(seqs(&log, 0, 2), (vec![3, 4], 4));
        assert_eq!(seqs(&log, 4, 2), (vec![5], 5));
        assert_eq!(seqs(&log, 5, 2), (vec![], 5));
    }

    #[test]
    fn a_log_of_no_entries_only_counts() {
        let mut log = Log::new(0, None);
        log.push(entry(1), 1000);
        assert_eq!((log.total(), seqs(&log, 0, 9).0.len()), (1, 0));
    }

    #[test]
    fn a_reset_keeps_what_is_under_way() {
        let mut tally = Tally::default();
        tally.arrived();
        tally.accepted(5, &asked());
        tally.accepted(6, &asked());
        tally.left();
        tally.reset();
        let counters = tally.counters();
        assert_eq!((counters.calls, counters.max_requests_in_any_60s), (0, 0));
        assert_eq!((counters.calls_in_flight, counters.max_concurrency), (1, 1));
    }
}
