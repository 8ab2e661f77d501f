//! Batches for the unit tests of this folder.

use std::sync::OnceLock;

use bytes::Bytes;

use super::job::{Draft, Item, Job, Kind, Vendor};
use super::settings::BatchSettings;

pub(super) fn draft(vendor: Vendor, count: usize) -> Draft {
    let item = |at: usize| Item {
        key: format!("task-{at}"),
        metadata: None,
        raw: Bytes::new(),
        prompt_hash: [0; 16],
        input_tokens: 10,
        wrong: false,
    };
    Draft {
        vendor,
        kind: Kind::Answers,
        model: (Some(0), "m".to_owned()),
        token: "token".to_owned(),
        items: (0..count).map(item).collect(),
        input_file: None,
        flaws: Vec::new(),
        metadata: None,
        priority: 0,
        output_live_s: None,
        key_hash: 0,
    }
}

pub(super) fn job(draft: Draft, settings: BatchSettings) -> Job {
    Job {
        draft,
        number: 1,
        id: "one".to_owned(),
        created_ms: 5_000,
        settings,
        seed: 7,
        output_tokens: OnceLock::new(),
    }
}
