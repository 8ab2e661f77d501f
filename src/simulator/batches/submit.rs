//! What is accepted at the desk, and what is not.

use std::sync::{Arc, OnceLock};

use super::course::Phase;
use super::desk::{Desk, Kept, View};
use super::job::{Draft, Flaw, Job, Vendor};
use crate::simulator::chance::{Chance, hash, mix};

/// Why a batch was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Refused {
    Overloaded,
    /// Too many are under way.
    Jobs,
    /// Too many tokens wait.
    Tokens {
        limit: u64,
    },
}

impl Desk {
    /// Accepts a batch; true: but its answer is lost.
    pub(in crate::simulator) fn submit(
        &mut self,
        mut draft: Draft,
        now_ms: u64,
    ) -> Result<(View, bool), Refused> {
        self.creates += 1;
        let mut chance = Chance::of(&[self.seed, hash("create"), self.creates]);
        if chance.unit() < self.settings.create_503 {
            self.counters.refused_503 += 1;
            return Err(Refused::Overloaded);
        }
        let under_way = self.under_way();
        let of_vendor = under_way.filter(|kept| kept.job.draft.vendor == draft.vendor);
        if u64::try_from(of_vendor.count()).unwrap_or(u64::MAX) >= self.settings.max_jobs {
            self.counters.refused_429 += 1;
            return Err(Refused::Jobs);
        }
        if let Some(limit) = self.settings.max_enqueued_tokens
            && draft.flaws.is_empty()
            && self
                .enqueued(draft.model.0)
                .saturating_add(draft.input_tokens())
                > limit
        {
            self.counters.refused_tokens += 1;
            if draft.vendor == Vendor::Gemini {
                self.counters.refused_429 += 1;
                return Err(Refused::Tokens { limit });
            }
            draft.flaws.push(too_many_tokens(&draft.model.1, limit));
        }
        let lost = chance.unit() < self.settings.lost_replies;
        self.counters.accepted += 1;
        self.counters.lost_replies += u64::from(lost);
        Ok((self.accept(draft, lost, now_ms), lost))
    }

    fn accept(&mut self, draft: Draft, lost: bool, now_ms: u64) -> View {
        let number = u64::try_from(self.jobs.len()).unwrap_or(u64::MAX) + 1;
        let drawn = mix(self.seed ^ hash("batch") ^ number);
        let id = match draft.vendor {
            Vendor::Gemini => format!("{drawn:016x}"),
            Vendor::OpenAi => format!("batch_{drawn:016x}"),
        };
        let job = Arc::new(Job {
            draft,
            number,
            id,
            created_ms: now_ms,
            settings: self.settings.clone(),
            seed: self.seed,
            output_tokens: OnceLock::new(),
        });
        let kept = Kept::new(job, lost);
        // who creates one is never told that it has ended
        let view = View {
            phase: Phase::Waiting,
            ..kept.view(now_ms)
        };
        self.jobs.push(kept);
        view
    }

    /// The input tokens that wait in batches of a model.
    fn enqueued(&self, model: Option<usize>) -> u64 {
        let of_model = self.under_way().filter(|kept| {
            let draft = &kept.job.draft;
            draft.flaws.is_empty() && draft.model.0 == model
        });
        of_model.map(|kept| kept.job.draft.input_tokens()).sum()
    }

    fn under_way(&self) -> impl Iterator<Item = &Kept> {
        self.jobs.iter().filter(|kept| kept.ended.is_none())
    }
}

fn too_many_tokens(model: &str, limit: u64) -> Flaw {
    Flaw {
        code: "token_limit_exceeded",
        message: format!(
            "Enqueued token limit reached for {model} in organization org-simulator. Limit: {limit} \
             enqueued tokens. Please try again once some in_progress batches have been completed."
        ),
        param: None,
        line: None,
    }
}
