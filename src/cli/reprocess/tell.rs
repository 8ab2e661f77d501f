//! What doing tasks anew would come to, and came to.

use serde_json::json;
use uuid::Uuid;

use crate::cli::{CliError, Context, Exit, Opened, would};
use crate::{
    client::{Loaded, Outlook, Planned, Selected, StepOutlook, Would, expected_with},
    definition::Definition,
};

pub(super) fn nothing(
    context: &Context,
    definition: &Definition,
    dry_run: bool,
) -> Result<Exit, CliError> {
    let printer = &context.printer;
    if printer.is_json() {
        printer.object(&json!({
            "run_id": null, "dry_run": dry_run, "worker": definition.name, "version": definition.version,
            "tasks": 0, "items": 0, "waiting": 0,
        }))?;
    }
    printer.say(
        "no task that has ended was selected: nothing was stored; `tidegate tasks list` shows what there is",
    );
    Ok(Exit::Ok)
}

/// What it would come to, by the definition as it is now.
pub(super) async fn outlook(
    context: &Context,
    opened: &Opened,
    definition: &Definition,
    selected: Selected,
    outlook: &Outlook,
) -> Result<Exit, CliError> {
    let models = context.config.models();
    let asks = outlook.steps.iter().any(|step| !step.local) && outlook.items > 0;
    let expected = match asks {
        false => None,
        true => {
            let planned = Planned {
                definition,
                outlook,
                models: &models,
            };
            Some(expected_with(&opened.store, &planned).await?)
        }
    };
    let of_run = expected.as_ref().and_then(|it| it.run(Uuid::nil()));
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let sum = |part: fn(&StepOutlook) -> u64| signed(outlook.steps.iter().map(part).sum());
    let would = Would {
        tasks: sum(|step| step.tasks),
        calls: sum(StepOutlook::calls),
        packs: sum(|step| if step.pack > 1 { step.calls() } else { 0 }),
        cache_hits_expected: Some(sum(|step| step.cached)),
        equal: Some(sum(|step| step.equal)),
        input_tokens: signed(outlook.input_tokens),
        cost_microusd_expected: match &of_run {
            Some(run) => run.cost_microusd.map(signed),
            None => Some(0),
        },
        eta_seconds: of_run.and_then(|run| run.seconds),
        binding: expected.as_ref().and_then(|it| it.binding.clone()),
        calls_by_model: expected.map(|it| it.calls).unwrap_or_default(),
        ..Would::default()
    };
    let act = json!({
        "run_id": null, "worker": definition.name, "version": definition.version,
        "selected": selected.tasks, "items": selected.items, "waiting": selected.waiting,
        "refused": outlook.refused, "first_refused": outlook.first_refused,
    });
    let head = format!(
        "{} tasks of {} items would be done anew by {} version {}; of these {} wait already and would be left out",
        selected.tasks, selected.items, definition.name, definition.version, selected.waiting
    );
    would::tell(&context.printer, act, &head, &would)?;
    if let Some(first) = &outlook.first_refused {
        context.printer.warn(format_args!(
            "of {} tasks no prompt can be made; {first}",
            outlook.refused
        ));
    }
    Ok(Exit::Ok)
}

pub(super) fn words(loaded: &Loaded) -> String {
    let sum = &loaded.sum;
    format!(
        "run {}: {} items, {} tasks, {} waiting already, {} refused",
        loaded.run, loaded.items, sum.enqueued, sum.skipped, sum.refused
    )
}

pub(super) fn loaded(context: &Context, loaded: &Loaded) -> Result<(), CliError> {
    let (printer, sum, copied) = (&context.printer, &loaded.sum, &loaded.copied);
    if printer.is_json() {
        return printer.object(&json!({
            "run_id": loaded.run, "items": loaded.items, "enqueued": sum.enqueued, "skipped": sum.skipped,
            "refused": sum.refused, "gone": copied.gone, "repeated": copied.repeated, "resumed": loaded.resumed,
        }));
    }
    printer.line(words(loaded))?;
    for (count, what) in [
        (copied.gone, "tasks have no item any more"),
        (copied.repeated, "tasks are older ones of the same items"),
    ] {
        if count > 0 {
            printer.say(format_args!("{count} {what}, and were left out"));
        }
    }
    Ok(())
}
