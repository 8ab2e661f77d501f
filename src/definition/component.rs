//! One step of a worker, whole: what is asked, of whom, after what.

use std::time::Duration;

use super::{Definition, Place, PromptSpec};
use crate::model::ModelId;

/// One of the steps done for each item. A worker without `[[component]]` is one step, without a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its name, unique in the worker, at most 63 of `a-z`, `0-9`, `_` and `-`. Empty: the worker is
    /// one step.
    pub name: String,
    /// Components of the same item whose answers it sees, and that must be done before.
    pub needs: Vec<String>,
    /// Lower first (default 0).
    pub priority: i32,
    /// Whether it is done without being asked for (default true).
    pub enabled: bool,
    /// A template over the item and earlier results, without a call (default false).
    pub local: bool,
    /// What is asked: template (default `NAME.md`), schema, system text, parameters (over those of
    /// `[prompt]`, over 600 output tokens and temperature 0.6).
    pub prompt: PromptSpec,
    /// Its own ladder, instead of its tier's; the global fallback not included. Empty: its tier's.
    pub models: Vec<ModelId>,
    /// Items in one prompt at most; the worker's unless set.
    pub pack_size: u32,
    /// How long one call may take: its own, else the worker's, else 30 s.
    pub call_timeout: Duration,
    /// Where it is written.
    pub place: Place,
}

impl Definition {
    /// The steps, in the order they are written; of a worker without components its one step.
    pub fn steps(&self) -> Vec<Component> {
        if !self.components.is_empty() {
            return self.components.clone();
        }
        vec![Component {
            name: String::new(),
            needs: Vec::new(),
            priority: 0,
            enabled: true,
            local: self.local,
            prompt: self.prompt.clone(),
            models: Vec::new(),
            pack_size: if self.local { 1 } else { self.pack.size },
            call_timeout: self.limits.call_timeout,
            place: Place::file(super::check::WORKER),
        }]
    }

    /// The models that a tier's tasks may be asked of, in order: its own, its fallbacks, and the
    /// global fallback unless it is among them. Empty for a tier there is not, and where no model is
    /// asked.
    pub fn ladder(&self, tier: usize) -> Vec<ModelId> {
        let Some(tier) = self.tiers.get(tier) else {
            return Vec::new();
        };
        let of_tier = tier.model.iter().chain(&tier.fallbacks).cloned();
        self.ending(of_tier.collect())
    }

    /// The models that a step's tasks of a tier may be asked of, in order: its own ladder, or its
    /// tier's, and the global fallback. Empty where no model is asked.
    pub fn ladder_of(&self, step: &Component, tier: usize) -> Vec<ModelId> {
        match step {
            Component { local: true, .. } => Vec::new(),
            Component { models, .. } if models.is_empty() => self.ladder(tier),
            Component { models, .. } => self.ending(models.clone()),
        }
    }

    /// The family of a tier's cache keys: the name the worker gives it, else its models.
    pub fn family(&self, tier: usize) -> Vec<String> {
        self.named_family(self.ladder(tier))
    }

    /// The same of one step's keys.
    pub fn family_of(&self, step: &Component, tier: usize) -> Vec<String> {
        self.named_family(self.ladder_of(step, tier))
    }

    /// The models that any step of any tier may ask, each once, in order of their names.
    pub fn models(&self) -> Vec<String> {
        let steps = self.steps();
        let tiers = 0..self.tiers.len();
        let mut names: Vec<String> = steps
            .iter()
            .flat_map(|step| tiers.clone().flat_map(|tier| self.ladder_of(step, tier)))
            .map(String::from)
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn named_family(&self, ladder: Vec<ModelId>) -> Vec<String> {
        match &self.cache.family {
            Some(name) => vec![name.clone()],
            None => ladder.into_iter().map(String::from).collect(),
        }
    }

    /// The ladder with the global fallback at its end, unless that is in it.
    fn ending(&self, mut ladder: Vec<ModelId>) -> Vec<ModelId> {
        if let Some(last) = &self.fallback
            && !ladder.contains(last)
        {
            ladder.push(last.clone());
        }
        ladder
    }
}
