//! The dry run: the source is read and ranked, prompts are weighed, nothing is stored.

use std::collections::HashSet;

use super::{LoadError, Loader, weigh::Weighing};
use crate::{
    definition::{SelectedStep, estimated_step_tokens},
    store::load::{CHUNK, ScoredItem},
};

/// What a dry run found: nothing was stored.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Outlook {
    /// Rows of the source.
    pub items: u64,
    /// Tasks of which no prompt could be made.
    pub refused: u64,
    /// The first of them, and why.
    pub first_refused: Option<String>,
    /// Input tokens of all calls, estimated.
    pub input_tokens: u64,
    /// Items per tier.
    pub tiers: Vec<u64>,
    /// What each step comes to, in the order they are done.
    pub steps: Vec<StepOutlook>,
}

/// What one step comes to.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct StepOutlook {
    /// Its component; empty for a worker of one step.
    pub component: String,
    /// It asks no model.
    pub local: bool,
    /// How many of its tasks travel together in a call.
    pub pack: u64,
    /// Its tasks.
    pub tasks: u64,
    /// Those whose answer is kept already. Of a step that needs others of the run nobody can say before
    /// they are done.
    pub cached: u64,
    /// Those that ask what another of the run asks too: that is asked once.
    pub equal: u64,
    /// What is asked, by tier.
    pub asked: Vec<Asked>,
}

/// What a step asks in a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Asked {
    /// Tasks.
    pub tasks: u64,
    /// Their input tokens, estimated. Where a step needs others, their answers are taken to be as long
    /// as they may be.
    pub input_tokens: u64,
}

impl StepOutlook {
    /// Tasks that a model is asked for.
    pub fn asking(&self) -> u64 {
        self.asked.iter().map(|it| it.tasks).sum()
    }

    /// Input tokens of these.
    pub fn input_tokens(&self) -> u64 {
        self.asked.iter().map(|it| it.input_tokens).sum()
    }

    /// Calls, if nothing fails: those of a tier travel in packs.
    pub fn calls(&self) -> u64 {
        let tiers = self.asked.iter();
        tiers.map(|it| it.tasks.div_ceil(self.pack.max(1))).sum()
    }
}

impl Loader {
    /// Reads, ranks and renders, and stores nothing. In memory it keeps some 50 bytes for each task.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn dry_run(&self) -> Result<Outlook, LoadError> {
        let steps = self.selection()?.steps;
        self.check_source().await?;
        let sizes = self.store.pack_sizes(&self.definition.name).await?;
        let mut weighing = Weighing::of(&self.definition, steps, &sizes);
        match &self.again {
            Some(selection) => self.weigh_again(selection, &mut weighing).await?,
            None => self.weigh_source(&mut weighing).await?,
        }
        Ok(weighing.outlook(&self.shares))
    }

    async fn weigh_source(&self, weighing: &mut Weighing) -> Result<(), LoadError> {
        let mut ids = HashSet::new();
        let mut taken = 0;
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut rows = self.rows()?;
        while let Some(row) = rows.recv().await {
            if self.options.limit.is_some_and(|limit| taken >= limit) {
                break;
            }
            let row = row?;
            taken += 1;
            if !ids.insert(super::place::short_hash(&row.id)) {
                return Err(self.duplicate(row.id));
            }
            chunk.push(ScoredItem {
                score: self.score(&row)?,
                id: row.id,
                body: row.body.get().to_owned(),
                version: row.version,
                category: None,
                of_task: None,
            });
            if chunk.len() == CHUNK {
                self.weigh_chunk(&chunk, &HashSet::new(), weighing).await?;
                chunk.clear();
            }
        }
        self.weigh_chunk(&chunk, &HashSet::new(), weighing).await
    }

    /// Adds the tasks of these items, but those that wait already: (component, item).
    pub(super) async fn weigh_chunk(
        &self,
        items: &[ScoredItem],
        waiting: &HashSet<(String, String)>,
        weighing: &mut Weighing,
    ) -> Result<(), LoadError> {
        let earlier = self.earlier(weighing.steps(), items).await?;
        for item in items {
            weighing.begin(item.score, &item.id);
            for place in 0..weighing.steps().len() {
                let step = weighing.steps()[place].clone();
                let name = &step.component.name;
                if waiting.contains(&(name.clone(), item.id.clone())) {
                    continue;
                }
                if step.component.local {
                    weighing.add_local(place);
                } else if !step.needs.is_empty() {
                    let all = &self.definition.components;
                    let tokens = estimated_step_tokens(&step.component, all, &item.body);
                    weighing.add_unknown(place, tokens);
                } else {
                    match self.request_of_step(item, &step, &earlier) {
                        Ok(request) => weighing.add(place, &request, item.version.as_deref()),
                        Err(reason) => weighing.refuse(&item.id, &reason),
                    }
                }
            }
        }
        self.look_up(weighing).await
    }

    fn request_of_step(
        &self,
        item: &ScoredItem,
        step: &SelectedStep,
        earlier: &super::rank::Earlier,
    ) -> Result<crate::llm::Request, String> {
        let mut results = Vec::with_capacity(step.earlier.len());
        for need in &step.earlier {
            let known = earlier.get(&(need.clone(), item.id.clone()));
            let (_, answer) = known.ok_or_else(|| self.never_done(need))?;
            results.push((need.clone(), answer.clone()));
        }
        self.request(item, step, results)
    }

    /// Which of the keys that came last an answer is kept for.
    async fn look_up(&self, weighing: &mut Weighing) -> Result<(), LoadError> {
        let keys = weighing.keys();
        let steps = self.definition.steps();
        let asking = steps.iter().find(|step| !step.local);
        let saving = asking.map(|step| super::lanes::saving(&self.definition, step));
        let max_age = saving
            .and_then(|it| it.cache_s)
            .filter(|_| !keys.is_empty());
        let Some(max_age) = max_age else {
            weighing.found(&HashSet::new());
            return Ok(());
        };
        let all: Vec<&[u8]> = keys.iter().map(<[u8; 32]>::as_slice).collect();
        let mut found = HashSet::new();
        for some in all.chunks(CHUNK) {
            found.extend(self.store.cached(some, max_age).await?);
        }
        weighing.found(&found);
        Ok(())
    }
}
