//! The tasks of one call: each one's share of what it used and cost, and which outcome stands for it.

use std::time::Duration;

use uuid::Uuid;

use super::{member::Member, settle::Outcome};
use crate::{
    cost,
    llm::Usage,
    pack::{Part, share, shares},
    store::{claim::Claimed, settle::Spent},
};

/// What one task used of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    /// Its tokens, where the provider counted them.
    pub(super) usage: Option<Usage>,
    /// Its part of what the call cost, where that is known.
    cost_microusd: Option<i64>,
}

impl Share {
    /// It as it is written down.
    pub(super) fn spent(&self, member: &Member, latency: Duration) -> Spent {
        let spent = member.spent(self.usage, true, latency);
        match self.cost_microusd {
            None => spent,
            cost_microusd => Spent {
                cost_microusd,
                ..spent
            },
        }
    }
}

/// The shares of a call's tasks, in their order: all together are what the call used and cost. `lengths`
/// are those of their answers in bytes; 0: it was lost.
pub(super) fn shares_of<'a>(
    tasks: impl Iterator<Item = &'a Claimed> + Clone,
    usage: Option<Usage>,
    lengths: &[u64],
) -> Vec<Share> {
    let Some(whole) = usage else {
        return vec![Share::default(); lengths.len()];
    };
    let parts: Vec<Part> = tasks
        .clone()
        .zip(lengths)
        .map(|(task, length)| Part {
            input_tokens: task.est_input.unsigned_abs().into(),
            answer_bytes: *length,
        })
        .collect();
    let parts = shares(&whole, &parts);
    // one model, so one price
    let price = tasks
        .map(|task| (task.input_price, task.output_price))
        .next();
    let (input, output) = price.unwrap_or_default();
    let cost = |usage: &Usage| cost::actual(usage, input, output);
    let costs: Vec<Option<i64>> = match cost(&whole) {
        None => vec![None; parts.len()],
        Some(all) => {
            let weights: Vec<u64> = parts
                .iter()
                .map(|part| cost(part).map_or(0, i64::unsigned_abs))
                .collect();
            let costs = share(all.unsigned_abs(), &weights).into_iter();
            costs.map(|part| i64::try_from(part).ok()).collect()
        }
    };
    parts
        .into_iter()
        .zip(costs)
        .map(|(part, cost_microusd)| Share {
            usage: Some(part),
            cost_microusd,
        })
        .collect()
}

/// Of all outcomes of a call the first stands for it: the others say nothing of the model.
/// Where the task that was claimed as `leader` was not asked, and others of its pack were, the request is
/// theirs.
pub(super) fn led(mut outcomes: Vec<Outcome>, leader: Option<Uuid>) -> Vec<Outcome> {
    if let Some((call, true)) = outcomes.first().and_then(Outcome::call)
        && leader.is_some_and(|leader| leader != call)
    {
        outcomes[0].set_leads(true);
        let led = |it: &&mut Outcome| it.call().map(|(call, _)| call) == leader;
        if let Some(led) = outcomes.iter_mut().find(led) {
            led.set_leads(false);
        }
    }
    for outcome in outcomes.iter_mut().skip(1) {
        outcome.leads = false;
        outcome.forget_verdict();
    }
    outcomes
}
