//! `tidegate run --dry-run`: what would be asked, of whom, at what cost; nothing is stored or sent.

use serde::Serialize;

use uuid::Uuid;

use super::dry_step::DryStep;
use crate::cli::{CliError, Context, Exit, Opened, expect, would};
use crate::client::{BindingLimit, Loader, ModelCalls, Planned, StepOutlook, expected_with};
use crate::definition::Definition;
use crate::store::run::Asking;

#[derive(Serialize)]
struct DryRun {
    worker: String,
    /// How its tasks are asked.
    #[serde(flatten)]
    asking: Asking,
    items: u64,
    refused: u64,
    first_refused: Option<String>,
    tasks: u64,
    /// Tasks that the cache answers; more may be, of steps whose needs are not done yet.
    cache_hits_expected: u64,
    /// Tasks that ask what another asks too: that is asked once.
    equal: u64,
    /// Of what is left, several tasks travel in one.
    calls: u64,
    /// Those of them that may carry several tasks.
    packs: u64,
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
    /// Of a worker with components: in the order they are done.
    components: Vec<DryStep>,
}

impl DryRun {
    /// `200 tasks of 200 items: 40 from the cache, 3 that ask what others do; 32 calls, in packs`.
    fn words(&self) -> String {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut known = vec![format!("{} from the cache", self.cache_hits_expected)];
        known.extend(Some(would::equal(signed(self.equal))).filter(|it| !it.is_empty()));
        format!(
            "{} tasks of {} items: {}; calls: {}",
            self.tasks,
            self.items,
            known.join(", "),
            would::calls(signed(self.calls), signed(self.packs))
        )
    }

    fn print_steps(&self, context: &Context) -> Result<(), CliError> {
        if self.components.is_empty() {
            return Ok(());
        }
        let unknown = || "unknown".to_owned();
        let row = |step: &DryStep| {
            let output = step.output_tokens_max.map(|it| it.to_string());
            let cost = step
                .cost_microusd_max
                .and_then(|it| crate::cli::progress::dollars(it, false));
            vec![
                step.component.clone(),
                step.tasks.to_string(),
                (step.cached + step.equal).to_string(),
                step.calls.to_string(),
                step.input_tokens.to_string(),
                output.unwrap_or_else(unknown),
                cost.unwrap_or_else(unknown),
            ]
        };
        let rows: Vec<_> = self.components.iter().map(row).collect();
        let header = [
            "component",
            "tasks",
            "known",
            "calls",
            "tokens in",
            "tokens out, at most",
            "cost, at most",
        ];
        context.printer.table(&header, &rows)?;
        context.printer.line("")
    }
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
    let steps: Vec<DryStep> = outlook
        .steps
        .iter()
        .filter_map(|step| DryStep::of(step, definition, &rows))
        .collect();
    let sum_of = |part: fn(&DryStep) -> Option<u64>| steps.iter().map(part).sum::<Option<u64>>();
    let sum = |part: fn(&StepOutlook) -> u64| outlook.steps.iter().map(part).sum::<u64>();
    let asks = steps.iter().any(|step| !step.local);
    let output = sum_of(|step| step.output_tokens_max).filter(|_| asks);
    let cost = steps
        .iter()
        .map(|step| step.cost_microusd_max)
        .sum::<Option<i64>>()
        .filter(|_| asks);
    let planned = Planned {
        definition,
        outlook: &outlook,
        models: &rows,
    };
    // beside what waits already; of a local worker nothing waits for a model
    let expected = match asks {
        false => None,
        true => Some(expected_with(&opened.store, &planned).await?),
    };
    let of_run = expected.as_ref().and_then(|it| it.run(Uuid::nil()));
    let told = DryRun {
        worker: definition.name.clone(),
        asking: loader.asking(),
        items: outlook.items,
        refused: outlook.refused,
        tasks: sum(|step| step.tasks),
        cache_hits_expected: sum(|step| step.cached),
        equal: sum(|step| step.equal),
        calls: sum(StepOutlook::calls),
        packs: sum(|step| if step.pack > 1 { step.calls() } else { 0 }),
        first_refused: outlook.first_refused,
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
        components: match definition.components.as_slice() {
            [] => Vec::new(),
            _ => steps,
        },
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
    told.print_steps(context)?;
    if !asks {
        context
            .printer
            .line(format_args!("{} tasks that ask no model", told.tasks))?;
    } else {
        context.printer.line(told.words())?;
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
    if asks {
        context
            .printer
            .line(format_args!("asked: {}", would::asked(&told.asking)))?;
    }
    if let Some(first) = &told.first_refused {
        context.printer.warn(format_args!(
            "of {} tasks no prompt can be made; {first}",
            told.refused
        ));
    }
    context.printer.say("nothing was stored or sent");
    Ok(Exit::Ok)
}
