//! The second pass: items in order of rank become tasks of their tier's lane.

use std::collections::HashSet;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Copied, LoadError, Loaded, Loader};
use crate::client::lanes;
use crate::{
    cache,
    definition::estimated_request_tokens,
    store::load::{CHUNK, Enqueued, NewLane, RankedTask, ScoredItem},
    task::{Item, new_id},
};

/// What a dry run found: nothing was stored.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Outlook {
    /// Rows of the source.
    pub items: u64,
    /// Rows of which no prompt could be made.
    pub refused: u64,
    /// The first of them, and why.
    pub first_refused: Option<String>,
    /// Input tokens, estimated.
    pub input_tokens: u64,
    /// Items per tier.
    pub tiers: Vec<u64>,
}

impl Loader {
    /// Reads, ranks and renders, and stores nothing.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn dry_run(&self) -> Result<Outlook, LoadError> {
        self.check_source().await?;
        let mut outlook = Outlook::default();
        let mut ids = HashSet::new();
        let mut rows = self.rows()?;
        while let Some(row) = rows.recv().await {
            if self
                .options
                .limit
                .is_some_and(|limit| outlook.items >= limit)
            {
                break;
            }
            let row = row?;
            self.score(&row)?;
            outlook.items += 1;
            if !ids.insert(short_hash(&row.id)) {
                return Err(self.duplicate(row.id));
            }
            let item = Item {
                id: row.id,
                body: row.body,
            };
            match self.handler.request(&item) {
                Ok(_) if self.definition.local => {}
                Ok(request) => {
                    outlook.input_tokens += u64::from(estimated_request_tokens(&request))
                }
                Err(error) => {
                    outlook.refused += 1;
                    let first = || format!("item `{}`: {error}", item.id);
                    outlook.first_refused.get_or_insert_with(first);
                }
            }
        }
        let ends = self.shares.ends(outlook.items);
        outlook.tiers = std::iter::once(0)
            .chain(ends.iter().copied())
            .zip(&ends)
            .map(|(from, to)| to - from)
            .collect();
        Ok(outlook)
    }

    /// Items in order of rank become tasks; the run opens when all are.
    pub(super) async fn rank(
        &self,
        run: Uuid,
        ladders: &[Vec<i32>],
        from: i64,
        resumed: bool,
    ) -> Result<Loaded, LoadError> {
        let total = self.store.source_read(run, self.process).await?;
        let tiers = self.tiers(run, ladders, total).await?;
        let mut sum = Enqueued::default();
        let mut ranked = from;
        let mut last: Option<(f64, String)> = None;
        loop {
            let after = last.as_ref().map(|(score, id)| (*score, id.as_str()));
            let skip = if last.is_none() { ranked } else { 0 };
            let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
            let items = self.store.items_by_rank(run, after, skip, limit).await?;
            let Some(end) = items.last() else { break };
            last = Some((end.score, end.id.clone()));
            let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let tasks: Vec<RankedTask> = items
                .into_iter()
                .zip(ranked + 1..)
                .map(|(item, rank)| self.task(item, Tier::of(&tiers, rank)))
                .collect();
            let chunk = self
                .store
                .enqueue_ranked(
                    run,
                    self.process,
                    ranked,
                    i32::try_from(count).unwrap_or(i32::MAX),
                    &tasks,
                )
                .await?;
            sum.enqueued += chunk.enqueued;
            sum.skipped += chunk.skipped;
            sum.refused += chunk.refused;
            ranked += count;
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

    /// What all tasks of a tier share, found out once: its lane is made here.
    async fn tiers(
        &self,
        run: Uuid,
        ladders: &[Vec<i32>],
        total: i64,
    ) -> Result<Vec<Tier>, LoadError> {
        let ends = self.shares.ends(u64::try_from(total).unwrap_or_default());
        let mut tiers = Vec::with_capacity(ladders.len());
        for ((place, ladder), last_rank) in ladders.iter().enumerate().zip(ends) {
            let number = i16::try_from(place).unwrap_or(i16::MAX);
            let lane = NewLane {
                component: String::new(),
                component_priority: 0,
                tier: number,
                ladder: ladder.clone(),
                est_output: lanes::est_output(&self.definition),
                max_output: lanes::max_output(&self.definition),
                routing: lanes::routing(&self.definition),
                call_timeout_ms: lanes::call_timeout_ms(&self.definition),
                saving: lanes::saving(&self.definition),
            };
            tiers.push(Tier {
                number,
                lane: self.store.ensure_lane(run, &lane).await?,
                last_rank: i64::try_from(last_rank).unwrap_or(i64::MAX),
                family: self.definition.family(place),
                tokens_per_minute: self.store.tokens_per_minute(ladder).await?,
            });
        }
        Ok(tiers)
    }

    fn task(&self, item: ScoredItem, tier: &Tier) -> RankedTask {
        if self.definition.local {
            // rendered once, when it is done
            return tier.of_item(item);
        }
        let request = RawValue::from_string(item.body.clone())
            .map_err(|error| error.to_string())
            .and_then(|body| {
                let asked = Item {
                    id: item.id.clone(),
                    body,
                };
                self.handler.request(&asked).map_err(|error| error.0)
            });
        let version = item.version.clone();
        let mut task = tier.of_item(item);
        match request {
            Ok(request) => {
                let tokens = estimated_request_tokens(&request);
                task.est_tokens = i32::try_from(tokens).unwrap_or(i32::MAX);
                task.cache_key = cache::key(&cache::Parts {
                    request: &request,
                    cache_version: &self.definition.cache.version,
                    item_version: version.as_deref(),
                    family: &tier.family.iter().map(String::as_str).collect::<Vec<_>>(),
                })
                .to_vec();
                task.error = tier.refuses(i64::from(task.est_tokens));
            }
            Err(reason) => task.error = Some(reason.replace('\0', "\u{fffd}")),
        }
        task
    }
}

/// What all tasks of one tier of the run share.
struct Tier {
    number: i16,
    lane: i32,
    /// The last rank that is in it.
    last_rank: i64,
    /// The family of its cache keys.
    family: Vec<String>,
    /// What the largest of its models takes. `None`: one of them has no such limit.
    tokens_per_minute: Option<i64>,
}

impl Tier {
    /// The tier of a rank, counted from 1; one beyond the last is in the last.
    fn of(tiers: &[Self], rank: i64) -> &Self {
        let last = tiers.len() - 1;
        let place = tiers.iter().position(|tier| rank <= tier.last_rank);
        &tiers[place.unwrap_or(last)]
    }

    /// A task of it, not rendered.
    fn of_item(&self, item: ScoredItem) -> RankedTask {
        RankedTask {
            id: new_id(),
            item: item.id,
            component: String::new(),
            needs: Vec::new(),
            tier: self.number,
            lane: self.lane,
            priority: item.score,
            est_tokens: 0,
            cache_key: Vec::new(),
            category: item.category,
            error: None,
            of_task: item.of_task,
        }
    }

    /// A prompt larger than what any model of its ladder takes in a whole minute would be refused
    /// for ever. Estimates may be high: a quarter more is let pass.
    fn refuses(&self, tokens: i64) -> Option<String> {
        let limit = self.tokens_per_minute?;
        (tokens > limit.saturating_add(limit / 4)).then(|| {
            format!(
                "its prompt, about {tokens} tokens, is larger than what any model of its ladder takes per minute ({limit})"
            )
        })
    }
}

/// Enough of an id's hash to tell ids apart, in little memory.
fn short_hash(id: &str) -> [u8; 16] {
    let hash = Sha256::digest(id.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}
