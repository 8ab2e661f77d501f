//! `tidegate runs retier`: tiers, models and fallbacks anew for what waits of a run.

use serde_json::json;
use uuid::Uuid;

use super::Which;
use crate::cli::{CliError, Context, Exit, Opened, expect, fleet};
use crate::client::{retier, retiered_expected};

/// Give what waits of a run tiers, models, fallbacks, routing, pacing and strategy anew; what runs or has ended
/// keeps its own
#[derive(clap::Args, Debug)]
#[command(
    after_help = "All tasks of the run are ranked by priority and cut by the shares of its folder as it was when the run was loaded,\n\
                  with what is set here laid over it; the run goes on under that. Cut off half-way, say it again.\n\
                  Examples:\n  \
                  tidegate runs retier 0198c7f01f6a --set tier.0.model=gemini/gemini-3.5-flash --dry-run\n  \
                  tidegate runs retier 0198c7f01f6a --set tier.0.share=0.1 --set tier.1.share=0.7\n  \
                  tidegate runs retier 0198c7f01f6a --set routing.policy=patient --set routing.patience_s=120"
)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Override a value under tier, fallback, routing, pacing or strategy, as tier.0.model=ENTRY/MODEL,
    /// tier.1.share=0.4, tier.1.mix=5, tier.0.fallbacks=["ENTRY/MODEL"], fallback.model=ENTRY/MODEL,
    /// routing.policy=spread or pacing.stagger_ms=500
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = crate::cli::values::key_value)]
    set: Vec<(String, String)>,
    /// Only say what would move
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, opened: &Opened, args: Args) -> Result<Exit, CliError> {
    let run = args.which.id(opened).await?;
    if !args.dry_run {
        // models that only the file knows are told first
        fleet::sync(context, &opened.store).await?;
    }
    let retiered = retier(&opened.store, run, &args.set, args.dry_run).await?;
    let (printer, moved) = (&context.printer, retiered.moved());
    let expected = match args.dry_run {
        true => {
            let models = context.config.models();
            Some(retiered_expected(&opened.store, run, &args.set, &models).await?)
        }
        false => None,
    };
    let of_run = expected.as_ref().and_then(|it| it.run(Uuid::nil()));
    if printer.is_json() {
        printer.object(&json!({
            "run": run, "dry_run": args.dry_run, "moved": moved, "stay": retiered.stay, "moves": retiered.moves,
            "eta_seconds": of_run.and_then(|it| it.seconds), "cost_microusd_expected": of_run.and_then(|it| it.cost_microusd),
            "binding": expected.as_ref().and_then(|it| it.binding.clone()),
            "calls_by_model": expected.as_ref().map(|it| &it.calls),
        }))?;
        return Ok(Exit::Ok);
    }
    for it in &retiered.moves {
        printer.line(match it.from == it.to {
            true => format!("tier {}: {} tasks on another ladder", it.from, it.tasks),
            false => format!("tier {} to tier {}: {} tasks", it.from, it.to, it.tasks),
        })?;
    }
    let verb = if args.dry_run { "would move" } else { "moved" };
    printer.line(format_args!(
        "{verb} {moved} waiting tasks; {} stay",
        retiered.stay
    ))?;
    let is_of_claims = |key: &str| {
        ["routing.", "pacing.", "strategy."]
            .iter()
            .any(|table| key.starts_with(table))
    };
    if args.set.iter().any(|(key, _)| is_of_claims(key)) {
        let verb = if args.dry_run { "would hold" } else { "holds" };
        printer.line(format_args!(
            "what was set of routing, pacing and strategy {verb} for all of them"
        ))?;
    }
    if let Some(expected) = &expected {
        printer.line(expect::words(expected, Uuid::nil()))?;
        printer.say("nothing was stored or sent");
    }
    Ok(Exit::Ok)
}
