//! What tasks would ask, as far as it is known before their run is made: what is kept already, what is
//! asked once for several, in which tier each is.

use std::collections::HashSet;

use super::{
    Outlook, StepOutlook,
    dry::Asked,
    place::{Placed, tiers_of},
};
use crate::{
    cache,
    definition::{Definition, SelectedStep, estimated_request_tokens},
    llm::Request,
    priority::Shares,
};

/// Gathers tasks item by item; their tiers are known when all items are.
pub(super) struct Weighing {
    steps: Vec<SelectedStep>,
    of_step: Vec<OfStep>,
    items: Vec<Placed>,
    /// Keys that are not looked up yet, with their step, task and family.
    open: Vec<([u8; 32], usize, usize, usize)>,
    cache_version: String,
    /// Answers are kept, and equal work is asked once.
    is_cached: bool,
    refused: u64,
    first_refused: Option<String>,
}

struct OfStep {
    /// Each family of models once, and which one a tier has.
    families: Vec<Vec<String>>,
    family_of: Vec<usize>,
    pack: u64,
    tasks: Vec<Weighed>,
}

/// One task.
struct Weighed {
    item: usize,
    tokens: u32,
    /// What it asks, whoever is asked. `None`: it is not known yet.
    request: Option<u64>,
    /// For which families the answer is kept, a bit each.
    kept: u32,
}

impl Weighing {
    /// `sizes`: of packs, by component, where they are known.
    pub(super) fn of(
        definition: &Definition,
        steps: Vec<SelectedStep>,
        sizes: &[(String, i16)],
    ) -> Self {
        let of_step = |step: &SelectedStep| {
            let component = &step.component;
            let mut families: Vec<Vec<String>> = Vec::new();
            let mut family_of = Vec::new();
            for tier in 0..definition.tiers.len() {
                let family = definition.family_of(component, tier);
                let known = families.iter().position(|it| *it == family);
                family_of.push(known.unwrap_or(families.len()));
                if known.is_none() {
                    families.push(family);
                }
            }
            let most = u64::from(component.pack_size).max(1);
            let size = sizes.iter().find(|(name, _)| *name == component.name);
            let size = size.map_or(most, |(_, size)| u64::from(size.unsigned_abs()).max(1));
            OfStep {
                families,
                family_of,
                pack: most.min(size),
                tasks: Vec::new(),
            }
        };
        Self {
            of_step: steps.iter().map(of_step).collect(),
            steps,
            items: Vec::new(),
            open: Vec::new(),
            cache_version: definition.cache.version.clone(),
            is_cached: definition.cache.enabled,
            refused: 0,
            first_refused: None,
        }
    }

    pub(super) fn steps(&self) -> &[SelectedStep] {
        &self.steps
    }

    /// The tasks that follow are of this item.
    pub(super) fn begin(&mut self, score: f64, id: &str) {
        self.items.push(Placed::of(score, id));
    }

    pub(super) fn refuse(&mut self, item: &str, reason: &str) {
        self.refused += 1;
        let words = || format!("item `{item}`: {reason}");
        self.first_refused.get_or_insert_with(words);
    }

    /// A task that asks no model.
    pub(super) fn add_local(&mut self, step: usize) {
        self.push(step, 0, None);
    }

    /// A task whose request is known when those that it needs are done.
    pub(super) fn add_unknown(&mut self, step: usize, tokens: u32) {
        self.push(step, tokens, None);
    }

    /// A task that asks this.
    pub(super) fn add(&mut self, step: usize, request: &Request, version: Option<&str>) {
        let tokens = estimated_request_tokens(request);
        if !self.is_cached {
            return self.push(step, tokens, None);
        }
        let key = |family: &[&str]| {
            cache::key(&cache::Parts {
                request,
                cache_version: &self.cache_version,
                item_version: version,
                family,
            })
        };
        let task = self.of_step[step].tasks.len();
        for (place, family) in self.of_step[step].families.iter().enumerate() {
            let names: Vec<&str> = family.iter().map(String::as_str).collect();
            self.open.push((key(&names), step, task, place));
        }
        let mut short = [0; 8];
        short.copy_from_slice(&key(&[])[..8]);
        self.push(step, tokens, Some(u64::from_be_bytes(short)));
    }

    fn push(&mut self, step: usize, tokens: u32, request: Option<u64>) {
        let item = self.items.len().saturating_sub(1);
        self.of_step[step].tasks.push(Weighed {
            item,
            tokens,
            request,
            kept: 0,
        });
    }

    /// Keys that came since the last look.
    pub(super) fn keys(&self) -> Vec<[u8; 32]> {
        self.open.iter().map(|it| it.0).collect()
    }

    /// Of these an answer is kept for those.
    pub(super) fn found(&mut self, kept: &HashSet<Vec<u8>>) {
        for (key, step, task, family) in self.open.drain(..) {
            if kept.contains(key.as_slice()) && family < 32 {
                self.of_step[step].tasks[task].kept |= 1 << family;
            }
        }
    }

    /// What it all comes to.
    pub(super) fn outlook(self, shares: &Shares) -> Outlook {
        let items = self.items.len() as u64;
        let ends = shares.ends(items);
        let begins = std::iter::once(0).chain(ends.iter().copied());
        let tiers: Vec<u64> = begins.zip(&ends).map(|(from, to)| to - from).collect();
        let tier_of = tiers_of(&self.items, &tiers);
        let steps: Vec<StepOutlook> = self
            .steps
            .iter()
            .zip(self.of_step)
            .map(|(step, of)| of.outlook(step, &tier_of, tiers.len()))
            .collect();
        Outlook {
            items,
            refused: self.refused,
            first_refused: self.first_refused,
            input_tokens: steps.iter().map(StepOutlook::input_tokens).sum(),
            tiers,
            steps,
        }
    }
}

impl OfStep {
    fn outlook(mut self, step: &SelectedStep, tier_of: &[usize], tiers: usize) -> StepOutlook {
        let local = step.component.local;
        let mut told = StepOutlook {
            component: step.component.name.clone(),
            local,
            pack: self.pack,
            tasks: self.tasks.len() as u64,
            asked: vec![Asked::default(); tiers],
            ..StepOutlook::default()
        };
        if local {
            return told;
        }
        // the first of equal ones asks, as it is claimed
        self.tasks.sort_by_key(|task| tier_of[task.item]);
        let mut seen = HashSet::new();
        for task in &self.tasks {
            let tier = tier_of[task.item];
            let family = self.family_of[tier];
            if family < 32 && task.kept & (1 << family) != 0 {
                told.cached += 1;
                continue;
            }
            if let Some(request) = task.request
                && !seen.insert((request, family))
            {
                told.equal += 1;
                continue;
            }
            told.asked[tier].tasks += 1;
            told.asked[tier].input_tokens += u64::from(task.tokens);
        }
        told
    }
}
