//! Texts of a list that go by batch: ordinary tasks of a worker of their sort, which any process takes further,
//! and the wait for what becomes of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::json;
use uuid::Uuid;

use super::{
    AskError, EmbedQuestion, Interactive, VectorTold,
    asking::seconds,
    distinct::Distinct,
    how::{ByBatch, How},
    sort_worker,
    text::Told,
};
use crate::{
    engine::batches,
    llm::Embedding,
    plan::Way,
    store::{
        StoreError,
        interactive::AskedTask,
        list::{ListOutcome, NewList},
        register::worker_of,
    },
    task::new_id,
};

/// How often it is looked what became of them, at least and at most.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// Of so many it is looked at once.
const LOOKED_AT: usize = 500;
/// Tasks of one statement, and bytes of their texts, at most.
const AT_ONCE: (usize, usize) = (50_000, 64 << 20);
/// A batch may be cut shorter than by its items, by tokens or money.
const SPARE_BATCHES: usize = 4;

impl Interactive {
    /// What comes of these, in any order; without a batch there are none. Writes the choice down in any case.
    pub(super) async fn listed(
        &self,
        question: &EmbedQuestion,
        how: &mut How,
        texts: Vec<(usize, Distinct)>,
    ) -> Result<Vec<(usize, Told)>, AskError> {
        if how.is_plain() {
            return Ok(Vec::new());
        }
        let Some(batch) = how.batch.take() else {
            let run = self.vectors.run().await?;
            self.note(question, how, super::EMBED_WORKER, run).await?;
            return Ok(Vec::new());
        };
        let store = &self.desk.shared.store;
        let definition = sort_worker::definition(question)?;
        let mut worker = worker_of(store, &definition).await?;
        worker.saving.cache_s = question.cache.map(seconds);
        let run = store.register_worker(&worker).await?;
        self.note(question, how, &worker.name, run).await?;
        let needed = self.works.needed(&worker.name);
        let mut places = HashMap::with_capacity(texts.len());
        for tasks in portions(texts, &mut places) {
            self.make(&worker.name, how.id, &batch, &tasks).await?;
        }
        let all = self.all_ended(how, places).await?;
        needed.answered();
        if how.by_batch == 0 && how.rescued > 0 {
            // it was chosen anew, or not waited for any more
            how.reason = match store.newest_reason(run).await? {
                Some(reason) if reason != how.reason => reason,
                _ => "a batch was not back in time: asked one by one".to_owned(),
            };
            how.way = Way::Individual;
        }
        Ok(all)
    }

    async fn make(
        &self,
        worker: &str,
        decision: Uuid,
        batch: &ByBatch,
        tasks: &[AskedTask],
    ) -> Result<(), StoreError> {
        let most = tasks.len().div_ceil(batch.items.max(1)) + SPARE_BATCHES;
        let ids = (0..most).map(|_| Uuid::now_v7());
        let batches: Vec<(Uuid, String)> = ids.map(|id| (id, batches::token(id))).collect();
        let list = NewList {
            worker,
            tasks,
            model_id: batch.model_id,
            rung: batch.rung,
            items: batch.items,
            rescue_after_s: batch.rescue_after.map(|it| it.as_secs_f64()),
            decision,
            batches: &batches,
        };
        loop {
            let process = self.desk.process().await;
            match self.desk.shared.store.make_list(process, &list).await {
                Err(StoreError::LeaseLost) => self.desk.begin_anew(process).await?,
                made => {
                    let formed = made?;
                    tracing::debug!(worker, tasks = tasks.len(), formed, "a list is there");
                    return Ok(());
                }
            }
        }
    }

    /// Waits until all have ended, whoever ends them.
    async fn all_ended(
        &self,
        how: &mut How,
        mut places: HashMap<Uuid, usize>,
    ) -> Result<Vec<(usize, Told)>, AskError> {
        let store = &self.desk.shared.store;
        let mut waiting: Vec<Uuid> = places.keys().copied().collect();
        // in the order of the list, the last one last looked at
        waiting.sort_unstable_by_key(|id| std::cmp::Reverse(places[id]));
        let mut all = Vec::with_capacity(waiting.len());
        let mut pause = LOOK_EVERY.0;
        while !waiting.is_empty() {
            let first = waiting.len().saturating_sub(LOOKED_AT);
            let ended = match store.list_outcomes(&waiting[first..]).await {
                Ok(ended) => ended,
                Err(error) if error.is_passing() => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            if ended.is_empty() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LOOK_EVERY.1);
                continue;
            }
            pause = LOOK_EVERY.0;
            for outcome in ended {
                let Some(at) = places.remove(&outcome.task) else {
                    continue;
                };
                how.by_batch += usize::from(outcome.by_batch);
                let asked = outcome.answer.is_some() && !outcome.cached;
                how.rescued += usize::from(asked && !outcome.by_batch);
                all.push((at, told(outcome)));
            }
            waiting.retain(|id| places.contains_key(id));
        }
        Ok(all)
    }
}

/// Tasks of these, as many as one statement may make; `places`: the place of each in the list.
fn portions(
    texts: Vec<(usize, Distinct)>,
    places: &mut HashMap<Uuid, usize>,
) -> Vec<Vec<AskedTask>> {
    let (mut portions, mut tasks, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (at, text) in texts {
        if tasks.len() >= AT_ONCE.0 || bytes >= AT_ONCE.1 {
            portions.push(std::mem::take(&mut tasks));
            bytes = 0;
        }
        let asked = AskedTask {
            task: new_id(),
            payload: json!({ "text": text.text }).to_string(),
            est_input: i32::try_from(text.tokens).unwrap_or(i32::MAX),
            cache_key: text.key.to_vec(),
        };
        bytes += asked.payload.len();
        places.insert(asked.task, at);
        tasks.push(asked);
    }
    if !tasks.is_empty() {
        portions.push(tasks);
    }
    portions
}

fn told(outcome: ListOutcome) -> Told {
    let vector = outcome.answer.as_deref().map(Embedding::of_answer);
    let (class, words) = match vector {
        Some(Ok(vector)) => {
            let asked = !outcome.cached;
            let latency = outcome.latency_ms.unwrap_or(0);
            return Ok(VectorTold {
                vector,
                model: outcome.model.unwrap_or_default(),
                model_version: outcome.model_version,
                usage: outcome.usage.filter(|_| asked),
                cost_microusd: outcome.cost_microusd.filter(|_| asked),
                cached: outcome.cached,
                waited: Duration::ZERO,
                latency: Duration::from_millis(u64::from(latency.unsigned_abs())),
                task: Some(outcome.task),
            });
        }
        Some(Err(error)) => ("unreadable".to_owned(), error.to_string()),
        None => {
            let words = outcome
                .error
                .unwrap_or_else(|| match outcome.state.as_str() {
                    "cancelled" => "it was cancelled".to_owned(),
                    _ => "its task is gone".to_owned(),
                });
            (outcome.error_class.unwrap_or(outcome.state), words)
        }
    };
    Err(Arc::new(AskError::Failed { class, words }))
}
