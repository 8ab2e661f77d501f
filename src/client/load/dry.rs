//! The dry run: the source is read and ranked, prompts are weighed, nothing is stored.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::{LoadError, Loader};
use crate::{
    definition::{
        Component, SelectedStep, Selection, estimated_request_tokens, estimated_step_tokens,
    },
    task::{HandlerError, Item},
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
    /// Calls at most: what is kept already is not asked again.
    pub calls: u64,
    /// Input tokens, estimated. Where it needs others, their answers are taken to be as long as they
    /// may be.
    pub input_tokens: u64,
}

impl Loader {
    /// Reads, ranks and renders, and stores nothing.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn dry_run(&self) -> Result<Outlook, LoadError> {
        let selection = self.selection()?;
        self.check_source().await?;
        let mut outlook = Outlook {
            steps: selection.steps.iter().map(outlook_of).collect(),
            ..Outlook::default()
        };
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
            self.weigh(&selection, Item::new(row.id, row.body), &mut outlook);
        }
        let ends = self.shares.ends(outlook.items);
        outlook.tiers = std::iter::once(0)
            .chain(ends.iter().copied())
            .zip(&ends)
            .map(|(from, to)| to - from)
            .collect();
        outlook.input_tokens = outlook.steps.iter().map(|step| step.input_tokens).sum();
        Ok(outlook)
    }

    /// Adds the tasks of one item.
    fn weigh(&self, selection: &Selection, item: Item, outlook: &mut Outlook) {
        let all = &self.definition.components;
        let mut item = item;
        for (step, of_step) in selection.steps.iter().zip(&mut outlook.steps) {
            item.component.clone_from(&step.component.name);
            match self.tokens(&step.component, all, &item) {
                Ok(tokens) if !step.component.local => {
                    of_step.calls += 1;
                    of_step.input_tokens += u64::from(tokens);
                }
                Ok(_) => {}
                Err(error) => {
                    outlook.refused += 1;
                    let words = || format!("item `{}`: {error}", item.id);
                    outlook.first_refused.get_or_insert_with(words);
                }
            }
        }
    }

    /// What a step's prompt weighs; guessed where it needs answers that are not there.
    fn tokens(
        &self,
        step: &Component,
        all: &[Component],
        item: &Item,
    ) -> Result<u32, HandlerError> {
        if !step.needs.is_empty() {
            return Ok(estimated_step_tokens(step, all, item.body.get()));
        }
        let request = self.handler.request(item)?;
        Ok(estimated_request_tokens(&request))
    }
}

fn outlook_of(step: &SelectedStep) -> StepOutlook {
    StepOutlook {
        component: step.component.name.clone(),
        local: step.component.local,
        ..StepOutlook::default()
    }
}

/// Enough of an id's hash to tell ids apart, in little memory.
fn short_hash(id: &str) -> [u8; 16] {
    let hash = Sha256::digest(id.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}
