//! How a list is asked: the choice, what it is made of, and what is told of it.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{AskError, EmbedQuestion, HowAsked, Interactive, distinct::Distinct, sort::Sort};
use crate::{
    engine::choosing::{self, Asks},
    plan::{self, Case, Choice, Way},
    store::{StoreError, batch::facts::ChosenList},
    task::{Purpose, Strategy},
};

/// A choice that stands, for a list of texts.
pub(super) struct How {
    /// Its id.
    pub(super) id: Uuid,
    pub(super) way: Way,
    pub(super) reason: String,
    /// Texts there are to ask for.
    items: usize,
    /// How many of them are asked singly, the first ones.
    pub(super) singles: usize,
    /// How many answers came by batch, of those that did not go singly.
    pub(super) by_batch: usize,
    /// How many of those were asked singly all the same.
    pub(super) rescued: usize,
    /// With a batch: of whom, and for how long it is waited for.
    pub(super) batch: Option<ByBatch>,
    /// What is written down of it: the first model, and what was known. `None`: nothing is.
    facts: Option<(String, serde_json::Value)>,
}

/// What a batch of a list is made by.
pub(super) struct ByBatch {
    pub(super) model_id: i32,
    pub(super) rung: i16,
    /// Items of a batch at most.
    pub(super) items: usize,
    pub(super) rescue_after: Option<Duration>,
}

/// Latencies are summed up anew after so long.
const LEARN_EVERY: Duration = Duration::from_secs(2);

impl How {
    /// All singly, by a choice that needs to know nothing.
    fn singly(question: &EmbedQuestion, items: usize) -> Self {
        let case = Case {
            items: u32::try_from(items).unwrap_or(u32::MAX),
            mode: question.strategy,
            purpose: question.purpose,
            ..Case::default()
        };
        Self {
            id: Uuid::now_v7(),
            way: Way::Individual,
            reason: plan::decide(&case).reason.to_string(),
            items,
            singles: items,
            by_batch: 0,
            rescued: 0,
            batch: None,
            facts: None,
        }
    }

    fn of(choice: &Choice, reason: String, items: usize) -> Self {
        Self {
            id: Uuid::now_v7(),
            way: choice.strategy,
            reason,
            items,
            singles: usize::try_from(choice.singles).unwrap_or(items),
            by_batch: 0,
            rescued: 0,
            batch: None,
            facts: None,
        }
    }

    /// Nothing of it is written down.
    pub(super) fn is_plain(&self) -> bool {
        self.facts.is_none()
    }

    /// What is told of it; `singly`: texts that were asked so from the start.
    pub(super) fn told(self, singly: usize) -> Option<HowAsked> {
        (self.items > 0).then_some(HowAsked {
            strategy: self.way,
            reason: self.reason,
            singly: singly + self.rescued,
            by_batch: self.by_batch,
        })
    }
}

impl Interactive {
    /// How these texts are asked.
    pub(super) async fn chosen(
        &self,
        question: &EmbedQuestion,
        sort: &Sort,
        texts: &[(usize, Distinct)],
    ) -> Result<How, AskError> {
        let items = texts.len();
        if items < 2 || question.strategy == Strategy::Individual {
            return Ok(How::singly(question, items));
        }
        let shared = &self.desk.shared;
        if self.is_to_learn() {
            shared.store.learn_latencies().await?;
        }
        let names: Vec<String> = question.models.iter().map(ToString::to_string).collect();
        let ladder = shared.store.model_ids(&names).await?;
        let sum: u64 = texts.iter().map(|(_, it)| u64::from(it.tokens)).sum();
        let mean = i32::try_from(sum / items.max(1) as u64).unwrap_or(i32::MAX);
        let asks = Asks {
            items: u32::try_from(items).unwrap_or(u32::MAX),
            mode: question.strategy,
            purpose: question.purpose,
            within: question.within,
            pack: u32::try_from(self.vectors.at_once(sort)).unwrap_or(u32::MAX),
        };
        let calls = u32::try_from(self.vectors.calls()).unwrap_or(u32::MAX);
        loop {
            let Some(mut facts) = shared.store.facts(&ladder, (mean, 0)).await? else {
                return Ok(How::singly(question, items));
            };
            if !choosing::has_key(shared, &facts) {
                facts.model_id = None;
                facts.note = Some("no key for its provider is here".to_owned());
            }
            let case = choosing::case(&asks, &facts, calls);
            let choice = plan::decide(&case);
            let written = Some((facts.first_model.clone(), choosing::written(&case, &choice)));
            let how = How {
                facts: written,
                ..How::of(&choice, choosing::reason(&facts, &choice), items)
            };
            let (Some(model_id), Some(rung), true) = (
                facts.model_id,
                facts.rung,
                choice.strategy != Way::Individual,
            ) else {
                return Ok(how);
            };
            let Some(most) = choosing::batch_items(shared, &facts) else {
                let model = facts.model.as_deref().unwrap_or_default();
                let why = "its provider has no Batch API";
                shared.store.no_batch_mode(model, why).await?;
                continue;
            };
            let is_urgent =
                question.strategy == Strategy::Auto && question.purpose == Purpose::Interactive;
            let waits = question.within.is_none() && !is_urgent;
            if facts.has_room != Some(true) && !waits {
                return Ok(How {
                    way: Way::Individual,
                    singles: items,
                    reason: format!("there is no room for another batch now ({})", how.reason),
                    ..how
                });
            }
            return Ok(How {
                batch: Some(ByBatch {
                    model_id,
                    rung,
                    items: most,
                    rescue_after: choice.rescue_after,
                }),
                ..how
            });
        }
    }

    /// Writes the choice down.
    pub(super) async fn note(
        &self,
        question: &EmbedQuestion,
        how: &How,
        worker: &str,
        run: Uuid,
    ) -> Result<(), StoreError> {
        let Some((model, facts)) = &how.facts else {
            return Ok(());
        };
        tracing::info!(target: "tidegate::strategy", worker, items = how.items, strategy = how.way.as_str(), singles = how.singles, "{}", how.reason);
        let chosen = ChosenList {
            id: how.id,
            run,
            worker,
            model,
            items: how.items,
            mode: question.strategy,
            purpose: question.purpose,
            strategy: how.way.as_str(),
            singles: u32::try_from(how.singles).unwrap_or(u32::MAX),
            reason: &how.reason,
            facts: facts.clone(),
        };
        self.desk.shared.store.note_choice(&chosen).await
    }

    fn is_to_learn(&self) -> bool {
        let mut learned = self
            .learned
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = learned.is_none_or(|at| at.elapsed() >= LEARN_EVERY);
        if due {
            *learned = Some(Instant::now());
        }
        due
    }
}
