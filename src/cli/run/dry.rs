//! `tidegate run --dry-run`: what would be asked, of whom, at what cost; nothing is stored or sent.

use serde::Serialize;

use uuid::Uuid;

use super::models_of;
use crate::cli::{CliError, Context, Exit, Opened, expect};
use crate::client::{BindingLimit, Loader, ModelCalls, Planned, expected_with};
use crate::definition::Definition;
use crate::store::model::ModelRow;

#[derive(Serialize)]
struct DryRun {
    worker: String,
    items: u64,
    refused: u64,
    first_refused: Option<String>,
    calls: u64,
    /// `None`: nobody can say before the prompts are kept.
    cache_hits_expected: Option<u64>,
    input_tokens: u64,
    output_tokens_max: Option<u64>,
    cost_microusd_max: Option<i64>,
    /// Under present limits, beside what waits already.
    eta_seconds: Option<f64>,
    cost_microusd_expected: Option<u64>,
    binding: Option<BindingLimit>,
    /// With those of what waits already.
    calls_by_model: Option<Vec<ModelCalls>>,
    tiers: Vec<DryTier>,
}

#[derive(Serialize)]
struct DryTier {
    tier: usize,
    items: u64,
    ladder: Vec<String>,
}

pub(super) async fn run(
    context: &Context,
    opened: &Opened,
    definition: &Definition,
    loader: &Loader,
) -> Result<Exit, CliError> {
    let outlook = loader.dry_run().await?;
    // by the file: a dry run writes nothing, not even models
    let rows = context.config.models();
    let models: Vec<Option<&ModelRow>> = models_of(definition)
        .iter()
        .map(|name| rows.iter().find(|row| row.model == *name))
        .collect();
    let tasks = outlook.items - outlook.refused;
    let calls = if definition.local { 0 } else { tasks };
    let output = definition
        .prompt
        .params
        .max_output_tokens
        .map(|tokens| u64::from(tokens) * calls);
    // the dearest model of any ladder: what it costs at most
    let price = |part: fn(&ModelRow) -> Option<i64>| {
        models
            .iter()
            .map(|model| model.and_then(part))
            .collect::<Option<Vec<_>>>()
            .and_then(|all| all.into_iter().max())
    };
    let cost = output.and_then(|output| {
        let (input_price, output_price) = (
            price(|m| m.input_price_microusd),
            price(|m| m.output_price_microusd),
        );
        crate::cost::estimate(outlook.input_tokens, output, input_price, output_price)
    });
    let planned = Planned {
        definition,
        outlook: &outlook,
        models: &rows,
    };
    // beside what waits already; of a local worker nothing waits for a model
    let expected = if definition.local {
        None
    } else {
        Some(expected_with(&opened.store, &planned).await?)
    };
    let of_run = expected.as_ref().and_then(|it| it.run(Uuid::nil()));
    let told = DryRun {
        worker: definition.name.clone(),
        items: outlook.items,
        refused: outlook.refused,
        first_refused: outlook.first_refused,
        calls,
        cache_hits_expected: None,
        input_tokens: outlook.input_tokens,
        output_tokens_max: output,
        cost_microusd_max: cost,
        eta_seconds: of_run.and_then(|it| it.seconds),
        cost_microusd_expected: of_run.and_then(|it| it.cost_microusd),
        binding: expected.as_ref().and_then(|it| it.binding.clone()),
        calls_by_model: expected.as_ref().map(|it| it.calls.clone()),
        tiers: outlook
            .tiers
            .iter()
            .enumerate()
            .map(|(tier, items)| DryTier {
                tier,
                items: *items,
                ladder: definition
                    .ladder(tier)
                    .into_iter()
                    .map(String::from)
                    .collect(),
            })
            .collect(),
    };
    if context.printer.is_json() {
        context.printer.object(&told)?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<Vec<String>> = told
        .tiers
        .iter()
        .map(|tier| {
            vec![
                tier.tier.to_string(),
                tier.items.to_string(),
                tier.ladder.join(" > "),
            ]
        })
        .collect();
    context.printer.table(&["tier", "items", "ladder"], &rows)?;
    context.printer.line("")?;
    if definition.local {
        context
            .printer
            .line(format_args!("{tasks} tasks that ask no model"))?;
    } else {
        context.printer.line(format_args!(
            "{} calls, about {} tokens in, at most {} out; cost at most {}; {}",
            told.calls,
            told.input_tokens,
            told.output_tokens_max
                .map_or("unknown".to_owned(), |tokens| tokens.to_string()),
            told.cost_microusd_max
                .and_then(|cost| crate::cli::progress::dollars(cost, false))
                .unwrap_or_else(|| "unknown (a price or max_output_tokens is not set)".to_owned()),
            expected
                .as_ref()
                .map_or_else(String::new, |it| expect::words(it, Uuid::nil())),
        ))?;
    }
    if let Some(first) = &told.first_refused {
        context.printer.warn(format_args!(
            "of {} items no prompt can be made; {first}",
            told.refused
        ));
    }
    context.printer.say("nothing was stored or sent");
    Ok(Exit::Ok)
}
