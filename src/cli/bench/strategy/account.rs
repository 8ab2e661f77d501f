//! The provider's account against ours: batches that nobody knows, that are there twice or are left, items
//! asked twice, tokens and money.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::scene::{INPUT_MICROUSD, OUTPUT_MICROUSD};
use crate::{
    cli::{CliError, bench::world::World},
    store::bench::{Ledger, Leftovers},
};

/// Both accounts, when all runs are over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    /// Batches that the provider accepted, and those of them that nobody wanted any more.
    pub(super) batches: usize,
    pub(super) cancelled: usize,
    /// Of batches that were not cancelled, those that have a token of which there is another.
    pub(super) doubled: usize,
    /// Batches that are not known here, or still under way.
    pub(super) orphaned: usize,
    /// Files that are still there.
    pub(super) files: usize,
    /// Times that a prompt was asked beyond the first, singly or by a batch that was not cancelled.
    pub(super) again: usize,
    /// What the provider answered and billed, by batch and singly.
    pub(super) items: u64,
    pub(super) calls: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Its bill: batches at half the price.
    pub(super) microusd: u64,
    pub(super) ledger: Ledger,
    pub(super) left: Leftovers,
}

impl Account {
    pub(super) async fn of(world: &World<'_>, runs: &[Uuid]) -> Result<Self, CliError> {
        let known: BTreeSet<String> = world.store.batch_tokens().await?.into_iter().collect();
        let simulator = world.simulator;
        let batches = simulator.batches();
        let mut tokens: BTreeMap<&str, usize> = BTreeMap::new();
        let mut prompts: BTreeMap<String, usize> = BTreeMap::new();
        for batch in batches.iter().filter(|it| !it.cancelled) {
            *tokens.entry(&batch.token).or_default() += 1;
            for prompt in &batch.prompts {
                *prompts.entry(prompt.clone()).or_default() += 1;
            }
        }
        for call in simulator.log() {
            *prompts.entry(call.prompt).or_default() += 1;
        }
        let mut account = Self {
            batches: batches.len(),
            cancelled: batches.iter().filter(|it| it.cancelled).count(),
            doubled: beyond(tokens.values()),
            orphaned: batches
                .iter()
                .filter(|it| !known.contains(&it.token) || it.ended_unix_ms.is_none())
                .count(),
            files: simulator.files().iter().filter(|it| !it.deleted).count(),
            again: beyond(prompts.values()),
            items: 0,
            calls: 0,
            input_tokens: 0,
            output_tokens: 0,
            microusd: 0,
            ledger: world.store.run_ledger(runs).await?,
            left: world.store.leftovers().await?,
        };
        for model in simulator.counters().models.values() {
            account.items += model.batch_items;
            account.calls += model.ok;
            account.input_tokens += model.batch_input_tokens + model.input_tokens;
            account.output_tokens += model.batch_output_tokens + model.output_tokens;
            account.microusd += price(model.input_tokens, model.output_tokens)
                + price(model.batch_input_tokens, model.batch_output_tokens) / 2;
        }
        Ok(account)
    }

    /// Whether tokens and money in the ledger are what the provider billed.
    pub(super) fn is_exact(&self) -> bool {
        let ours = [
            self.ledger.input_tokens,
            self.ledger.output_tokens,
            self.ledger.cost_microusd,
        ];
        let theirs = [self.input_tokens, self.output_tokens, self.microusd];
        ours.map(i64::unsigned_abs) == theirs
    }
}

/// What calls of so many tokens cost, in micro-dollars.
fn price(input_tokens: u64, output_tokens: u64) -> u64 {
    input_tokens * INPUT_MICROUSD.unsigned_abs() + output_tokens * OUTPUT_MICROUSD.unsigned_abs()
}

fn beyond<'a>(counts: impl Iterator<Item = &'a usize>) -> usize {
    counts.map(|count| count - 1).sum()
}
