//! The lanes of a run that is being loaded: one for each step and tier.

use uuid::Uuid;

use super::{LoadError, Loader};
use crate::{
    client::lanes,
    definition::SelectedStep,
    store::load::{NewLane, RankedTask, ScoredItem},
    task::new_id,
};

/// A step of the run with its lanes.
pub(super) struct StepLanes {
    pub(super) step: SelectedStep,
    tiers: Vec<Tier>,
}

/// What all tasks of one step and tier of the run share.
pub(super) struct Tier {
    number: i16,
    lane: i32,
    /// The last rank that is in it.
    last_rank: i64,
    /// The family of its cache keys.
    pub(super) family: Vec<String>,
    /// What the largest of its models takes. `None`: one of them has no such limit.
    tokens_per_minute: Option<i64>,
}

impl Loader {
    /// What all tasks of a step and tier share, found out once: their lanes are made here.
    pub(super) async fn lanes(
        &self,
        run: Uuid,
        ladders: &[Vec<Vec<i32>>],
        total: i64,
    ) -> Result<Vec<StepLanes>, LoadError> {
        let steps = self.selection()?.steps;
        let ends = self.shares.ends(u64::try_from(total).unwrap_or_default());
        let mut all = Vec::with_capacity(steps.len());
        for (step, ladders) in steps.into_iter().zip(ladders) {
            let mut tiers = Vec::with_capacity(ladders.len());
            for ((place, ladder), last_rank) in ladders.iter().enumerate().zip(&ends) {
                let number = i16::try_from(place).unwrap_or(i16::MAX);
                let component = &step.component;
                let lane: NewLane = lanes::lane(&self.definition, component, number, ladder);
                tiers.push(Tier {
                    number,
                    lane: self.store.ensure_lane(run, &lane).await?,
                    last_rank: i64::try_from(*last_rank).unwrap_or(i64::MAX),
                    family: self.definition.family_of(component, place),
                    tokens_per_minute: self.store.tokens_per_minute(ladder).await?,
                });
            }
            all.push(StepLanes { step, tiers });
        }
        Ok(all)
    }
}

impl StepLanes {
    /// The tier of a rank, counted from 1; one beyond the last is in the last.
    pub(super) fn tier(&self, rank: i64) -> &Tier {
        let last = self.tiers.len() - 1;
        let place = self.tiers.iter().position(|tier| rank <= tier.last_rank);
        &self.tiers[place.unwrap_or(last)]
    }
}

impl Tier {
    /// A task of it for this item, not rendered.
    pub(super) fn task(&self, component: &str, item: &ScoredItem) -> RankedTask {
        RankedTask {
            id: new_id(),
            item: item.id.clone(),
            component: component.to_owned(),
            needs: Vec::new(),
            tier: self.number,
            lane: self.lane,
            priority: item.score,
            est_tokens: 0,
            cache_key: Vec::new(),
            category: item.category.clone(),
            error: None,
            of_task: item.of_task,
        }
    }

    /// A prompt larger than what any model of its ladder takes in a whole minute would be refused
    /// for ever. Estimates may be high: a quarter more is let pass.
    pub(super) fn refuses(&self, tokens: i64) -> Option<String> {
        let limit = self.tokens_per_minute?;
        (tokens > limit.saturating_add(limit / 4)).then(|| {
            format!(
                "its prompt, about {tokens} tokens, is larger than what any model of its ladder takes per minute ({limit})"
            )
        })
    }
}
