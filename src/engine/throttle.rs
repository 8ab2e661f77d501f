//! What calls tell of their models: refusals, overload, limits. Concluded once per batch of outcomes,
//! for the whole fleet.
//!
//! Owns: [`Heard`], [`Throttle`]. Never: what becomes of a task.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{
    Shared,
    settle::{Closing, until_written},
};
use crate::{
    llm::{LimitNotice, QuotaWindow, Verdict},
    store::{StoreError, learn::Notice},
};

/// A refusal closes a model for at least so long.
const COOLDOWN_MIN: Duration = Duration::from_secs(1);
/// How long, where the provider names the quota that is spent and no wait: a whole window.
const COOLDOWN_OF_NAMED: Duration = Duration::from_secs(60);
/// What is told of a limit and says nothing new is handed on no more often.
const NOTICE_EVERY: Duration = Duration::from_millis(500);

/// What a call that brought no answer says of its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    /// Nothing.
    None,
    /// Too many at once.
    Overloaded,
    /// A limit is spent; `named`: the provider said which.
    Refused { named: bool },
}

/// What a batch of outcomes says of models, each thing once: of many refusals the longest wait counts.
#[derive(Default)]
pub(super) struct Heard {
    verdicts: Vec<(String, Verdict, String)>,
    /// By model and sign: the last grant that it was seen with.
    signs: BTreeMap<(String, Sign), DateTime<Utc>>,
    notices: Vec<Notice>,
}

impl Heard {
    /// Takes what one outcome says.
    pub(super) fn add(&mut self, closing: &Closing, notices: Vec<LimitNotice>) {
        let model = closing.model();
        for notice in notices {
            let same = |known: &&mut Notice| {
                let key = |it: &LimitNotice| (it.tokens, it.window);
                known.model == model && key(&known.notice) == key(&notice)
            };
            match self.notices.iter_mut().find(same) {
                // the last word counts
                Some(known) => known.notice = notice,
                None => self.notices.push(Notice {
                    model: model.to_owned(),
                    notice,
                }),
            }
        }
        if let Closing::Open {
            attempt,
            verdict,
            brief,
            sign,
        } = closing
        {
            self.verdict(model, *verdict, brief);
            if *sign != Sign::None {
                let at = attempt.claim.granted_at;
                let known = self.signs.entry((model.to_owned(), *sign)).or_insert(at);
                *known = at.max(*known);
            }
        }
    }

    fn verdict(&mut self, model: &str, verdict: Verdict, brief: &str) {
        let same = |known: &&mut (String, Verdict, String)| {
            known.0 == model && std::mem::discriminant(&known.1) == std::mem::discriminant(&verdict)
        };
        match (self.verdicts.iter_mut().find(same), verdict) {
            (
                Some(known),
                Verdict::CoolDown {
                    wait,
                    until_day_ends,
                },
            ) => {
                if let Verdict::CoolDown {
                    wait: longest,
                    until_day_ends: day,
                } = &mut known.1
                {
                    *longest = wait.max(*longest);
                    *day |= until_day_ends;
                }
            }
            (Some(_), _) => {}
            (None, _) => self
                .verdicts
                .push((model.to_owned(), verdict, brief.to_owned())),
        }
    }
}

/// Tells the fleet what was heard.
pub(super) struct Throttle {
    shared: Arc<Shared>,
    /// What was handed on last of each limit, and when.
    told: BTreeMap<(String, bool, QuotaWindow), (Option<u64>, Instant)>,
}

impl Throttle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            told: BTreeMap::new(),
        }
    }

    /// Closes models, learns limits, cuts calls at once. Comes before tasks are given back: else they
    /// would be taken again at once.
    pub(super) async fn conclude(&mut self, heard: Heard) {
        let saw = |model: &str, sign| heard.signs.contains_key(&(model.to_owned(), sign));
        let named = |model: &str| saw(model, Sign::Refused { named: true });
        let refused = |model: &str| named(model) || saw(model, Sign::Refused { named: false });
        let news: Vec<Notice> = heard
            .notices
            .iter()
            .filter(|notice| self.is_news(notice) || refused(&notice.model))
            .cloned()
            .collect();
        if !news.is_empty() {
            written("learn limits", || self.shared.store.learn_notices(&news)).await;
        }
        for (model, verdict, brief) in &heard.verdicts {
            let named = named(model);
            written("close the model", || {
                self.close(model, *verdict, named, brief)
            })
            .await;
        }
        for ((model, sign), at) in &heard.signs {
            written("learn from a refusal", || self.learn(model, *sign, *at)).await;
        }
    }

    fn is_news(&mut self, told: &Notice) -> bool {
        let key = (told.model.clone(), told.notice.tokens, told.notice.window);
        let known = self.told.get(&key);
        let news = known
            .is_none_or(|(size, at)| *size != told.notice.size || at.elapsed() >= NOTICE_EVERY);
        if news {
            self.told.insert(key, (told.notice.size, Instant::now()));
        }
        news
    }

    async fn learn(&self, model: &str, sign: Sign, at: DateTime<Utc>) -> Result<(), StoreError> {
        let store = &self.shared.store;
        let reason = match sign {
            Sign::None => return Ok(()),
            Sign::Overloaded => "the model says that it is overloaded",
            Sign::Refused { named } => {
                if store.learn_refusal(model, at, named).await? {
                    return Ok(());
                }
                "refused (429), and no limit that is known explains it"
            }
        };
        if store.cut_concurrency(model, at, reason).await? {
            tracing::info!(target: "tidegate::concurrency", { model.name = %model }, "calls at once are halved: {reason}");
        }
        Ok(())
    }

    async fn close(
        &self,
        model: &str,
        verdict: Verdict,
        named: bool,
        brief: &str,
    ) -> Result<(), StoreError> {
        let store = &self.shared.store;
        let provider = model.split('/').next().unwrap_or_default();
        match verdict {
            Verdict::CoolDown {
                wait,
                until_day_ends,
            } => {
                let who = format!("process {}", std::process::id());
                // no time at all is no wish: the strikes' own wait stands in for it
                let wait = wait
                    .filter(|wait| !wait.is_zero())
                    .map(|wait| wait.max(COOLDOWN_MIN))
                    .or_else(|| named.then_some(COOLDOWN_OF_NAMED));
                let until = store
                    .cool_down(model, wait, until_day_ends, brief, &who)
                    .await?;
                tracing::info!(target: "tidegate::throttle", { model.name = %model, until = %until }, "closed for all: {brief}");
            }
            Verdict::ParkModel => {
                store.park_model(model, brief).await?;
                tracing::warn!(target: "tidegate::throttle", { model.name = %model }, "parked until `tidegate models clear {model}`: {brief}");
            }
            Verdict::ParkProvider => {
                store.park_provider(provider, brief).await?;
                tracing::warn!(target: "tidegate::throttle", { provider.name = %provider }, "parked until `tidegate models clear {model}`: {brief}");
            }
            Verdict::Retry { .. } | Verdict::NextModel | Verdict::GiveUp => {}
        }
        Ok(())
    }
}

/// Does it until it is written; what the database refuses for good is told.
async fn written<F, Fut>(doing: &str, write: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<(), StoreError>>,
{
    if let Err(error) = until_written(write).await {
        tracing::error!(%error, "could not {doing}");
    }
}
