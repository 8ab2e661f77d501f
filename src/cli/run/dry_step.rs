//! What one step comes to in a dry run, at its dearest.

use serde::Serialize;

use crate::{client::StepOutlook, definition::Definition, store::model::ModelRow};

/// What one component comes to.
#[derive(Serialize)]
pub(super) struct DryStep {
    pub(super) component: String,
    pub(super) local: bool,
    pub(super) tasks: u64,
    pub(super) cached: u64,
    pub(super) equal: u64,
    pub(super) calls: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens_max: Option<u64>,
    pub(super) cost_microusd_max: Option<i64>,
}

impl DryStep {
    pub(super) fn of(
        outlook: &StepOutlook,
        definition: &Definition,
        rows: &[ModelRow],
    ) -> Option<Self> {
        let steps = definition.steps();
        let step = steps.iter().find(|it| it.name == outlook.component)?;
        let most = step.prompt.longest_answer();
        let output = match step.local {
            true => Some(0),
            false => most.map(|tokens| u64::from(tokens) * outlook.asking()),
        };
        let mut names: Vec<String> = (0..definition.tiers.len())
            .flat_map(|tier| definition.ladder_of(step, tier))
            .map(String::from)
            .collect();
        names.sort_unstable();
        names.dedup();
        // the dearest model of any ladder: what it costs at most
        let price = |part: fn(&ModelRow) -> Option<i64>| {
            names
                .iter()
                .map(|name| rows.iter().find(|row| row.model == *name).and_then(part))
                .collect::<Option<Vec<_>>>()
                .and_then(|all| all.into_iter().max())
        };
        let (input_price, output_price) = (
            price(|m| m.input_price_microusd),
            price(|m| m.output_price_microusd),
        );
        let cost = match step.local {
            true => Some(0),
            false => output.and_then(|output| {
                crate::cost::estimate(outlook.input_tokens(), output, input_price, output_price)
            }),
        };
        Some(Self {
            component: step.name.clone(),
            local: step.local,
            tasks: outlook.tasks,
            cached: outlook.cached,
            equal: outlook.equal,
            calls: outlook.calls(),
            input_tokens: outlook.input_tokens(),
            output_tokens_max: output,
            cost_microusd_max: cost,
        })
    }
}
