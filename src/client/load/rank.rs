//! The second pass: items in order of rank become tasks, one for each step, in their tier's lanes.

use std::collections::HashMap;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Copied, LoadError, Loaded, Loader, lane::StepLanes};
use crate::{
    cache,
    definition::{SelectedStep, estimated_request_tokens},
    llm::Request,
    store::load::{CHUNK, Enqueued, Need, RankedTask, ScoredItem},
    task::{Answer, Item},
};

/// Answers of earlier runs, by component and item, with the task that each is of.
pub(super) type Earlier = HashMap<(String, String), (Uuid, Answer)>;

/// Former tasks by the one whose item was copied, and component.
type Former = HashMap<(Uuid, String), Uuid>;

/// What is known of the items of a chunk from before.
struct Known {
    earlier: Earlier,
    former: Former,
}

impl Loader {
    /// Items in order of rank become tasks; the run opens when all are.
    pub(super) async fn rank(
        &self,
        run: Uuid,
        ladders: &[Vec<Vec<i32>>],
        from: i64,
        resumed: bool,
    ) -> Result<Loaded, LoadError> {
        let total = self.store.source_read(run, self.process).await?;
        let steps = self.lanes(run, ladders, total).await?;
        // a statement has so many tasks at most, and all those of an item
        let chunk = (CHUNK / steps.len().max(1)).max(1);
        let limit = i64::try_from(chunk).unwrap_or(i64::MAX);
        let selected: Vec<SelectedStep> = steps.iter().map(|it| it.step.clone()).collect();
        let mut sum = Enqueued::default();
        let mut ranked = from;
        let mut last: Option<(f64, String)> = None;
        loop {
            let after = last.as_ref().map(|(score, id)| (*score, id.as_str()));
            let skip = if last.is_none() { ranked } else { 0 };
            let items = self.store.items_by_rank(run, after, skip, limit).await?;
            let Some(end) = items.last() else { break };
            last = Some((end.score, end.id.clone()));
            let known = Known {
                earlier: self.earlier(&selected, &items).await?,
                former: self.former(&items).await?,
            };
            let tasks: Vec<RankedTask> = items
                .iter()
                .zip(ranked + 1..)
                .flat_map(|(item, rank)| self.tasks(item, rank, &steps, &known))
                .collect();
            let count = i32::try_from(items.len()).unwrap_or(i32::MAX);
            let done = self
                .store
                .enqueue_ranked(run, self.process, ranked, count, &tasks)
                .await?;
            sum.enqueued += done.enqueued;
            sum.skipped += done.skipped;
            sum.refused += done.refused;
            ranked += i64::from(count);
        }
        self.store.open_run(run, self.process).await?;
        Ok(Loaded {
            run,
            items: total,
            sum,
            resumed,
            copied: Copied::default(),
        })
    }

    /// The answers that steps of this run need, and that it does not make itself.
    pub(super) async fn earlier(
        &self,
        steps: &[SelectedStep],
        items: &[ScoredItem],
    ) -> Result<Earlier, LoadError> {
        let mut components: Vec<String> = steps
            .iter()
            .flat_map(|it| it.earlier.iter().cloned())
            .collect();
        components.sort_unstable();
        components.dedup();
        if components.is_empty() {
            return Ok(Earlier::new());
        }
        let ids: Vec<String> = items.iter().map(|item| item.id.clone()).collect();
        let worker = &self.definition.name;
        let found = self
            .store
            .earlier_results(worker, &components, &ids)
            .await?;
        let tasks: Vec<Uuid> = found.iter().map(|it| it.task).collect();
        let mut answers: HashMap<Uuid, Answer> =
            self.store.answers_of(&tasks).await?.into_iter().collect();
        let answered = found.into_iter().filter_map(|it| {
            let answer = answers.remove(&it.task)?;
            Some(((it.component, it.item), (it.task, answer)))
        });
        Ok(answered.collect())
    }

    /// The former tasks of each component, where these items are those of former tasks.
    async fn former(&self, items: &[ScoredItem]) -> Result<Former, LoadError> {
        let of: Vec<Uuid> = items.iter().filter_map(|item| item.of_task).collect();
        if of.is_empty() || self.definition.components.is_empty() {
            return Ok(Former::new());
        }
        let siblings = self.store.siblings(&of).await?.into_iter();
        Ok(siblings
            .map(|(of, component, task)| ((of, component), task))
            .collect())
    }

    /// The tasks of one item, each after those that it needs.
    fn tasks(
        &self,
        item: &ScoredItem,
        rank: i64,
        steps: &[StepLanes],
        known: &Known,
    ) -> Vec<RankedTask> {
        let mut tasks: Vec<RankedTask> = Vec::with_capacity(steps.len());
        for lanes in steps {
            let step = &lanes.step;
            let tier = lanes.tier(rank);
            let name = &step.component.name;
            let mut task = tier.task(name, item);
            if !name.is_empty() {
                // the former task of the item may be of another component
                let of = item.of_task.map(|of| (of, name.clone()));
                task.of_task = of.and_then(|key| known.former.get(&key).copied());
            }
            for need in &step.needs {
                if let Some(sibling) = tasks.iter().find(|it| it.component == *need) {
                    task.needs.push(Need {
                        component: need.clone(),
                        task: sibling.id,
                        settled: false,
                    });
                }
            }
            let mut results = Vec::with_capacity(step.earlier.len());
            for need in &step.earlier {
                match known.earlier.get(&(need.clone(), item.id.clone())) {
                    Some((of, answer)) => {
                        results.push((need.clone(), answer.clone()));
                        task.needs.push(Need {
                            component: need.clone(),
                            task: *of,
                            settled: true,
                        });
                    }
                    None => task.error = Some(self.never_done(need)),
                }
            }
            if task.error.is_none() && !step.component.local && step.needs.is_empty() {
                let family: Vec<&str> = tier.family.iter().map(String::as_str).collect();
                match self.weigh_task(item, step, results, &family) {
                    Ok((tokens, key)) => {
                        task.est_tokens = i32::try_from(tokens).unwrap_or(i32::MAX);
                        task.cache_key = key.to_vec();
                        task.error = tier.refuses(i64::from(task.est_tokens));
                    }
                    Err(reason) => task.error = Some(reason.replace('\0', "\u{fffd}")),
                }
            }
            tasks.push(task);
        }
        tasks
    }

    /// What a task's prompt weighs, and the key of its request; or why no prompt can be made.
    fn weigh_task(
        &self,
        item: &ScoredItem,
        step: &SelectedStep,
        results: Vec<(String, Answer)>,
        family: &[&str],
    ) -> Result<(u32, [u8; 32]), String> {
        let request = self.request(item, step, results)?;
        let key = cache::key(&cache::Parts {
            request: &request,
            cache_version: &self.definition.cache.version,
            item_version: item.version.as_deref(),
            family,
        });
        Ok((estimated_request_tokens(&request), key))
    }

    /// What a step asks of an item, with the answers that it needs; or why no prompt can be made.
    pub(super) fn request(
        &self,
        item: &ScoredItem,
        step: &SelectedStep,
        results: Vec<(String, Answer)>,
    ) -> Result<Request, String> {
        let body = RawValue::from_string(item.body.clone()).map_err(|error| error.to_string())?;
        let asked = Item::new(item.id.clone(), body).of(&step.component.name, results);
        self.handler.request(&asked).map_err(|error| error.0)
    }

    pub(super) fn never_done(&self, need: &str) -> String {
        let worker = &self.definition.name;
        format!(
            "it needs {need}, which was never done for this item: run it first (`tidegate run {worker} --only {need}`), or with it"
        )
    }
}
