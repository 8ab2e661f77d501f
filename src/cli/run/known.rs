//! What is known of the models that a run would ask: told where it is little, refused where a budget needs
//! more.

use crate::cli::{CliError, Context, Opened, budget};
use crate::definition::Definition;
use crate::store::{budget::Basis, model::ModelStatus};

/// Says which models the configuration does not name (a misspelt one is known only when it is called),
/// and refuses a budget that cannot hold.
///
/// # Errors
/// As [`budget::check`].
pub(super) async fn check(
    context: &Context,
    opened: &Opened,
    definition: &Definition,
    budget: Option<i64>,
) -> Result<(), CliError> {
    let names = definition.models();
    // set by hand it is known too; before the first sync the file is all there is
    let known = opened.store.model_status(Some(&names)).await?;
    let rows = context.config.models();
    let is_priced = |name: &String| {
        let of_store = known.iter().find(|it| it.model == *name);
        let of_file = rows.iter().find(|it| it.model == *name);
        match (of_store, of_file) {
            (Some(it), _) if has_price(it) => true,
            (_, Some(it)) => {
                it.input_price_microusd.is_some() && it.output_price_microusd.is_some()
            }
            _ => false,
        }
    };
    if budget.is_some() {
        let (priced, unpriced) = names.iter().cloned().partition(is_priced);
        let basis = Basis {
            priced,
            unpriced,
            unbounded: definition
                .steps()
                .iter()
                .any(|step| !step.local && step.prompt.longest_answer().is_none()),
        };
        budget::check(&basis, &context.printer)?;
    }
    for name in &names {
        if !rows.iter().any(|row| row.model == *name) {
            let price = if is_priced(name) {
                "set by hand"
            } else {
                "unknown"
            };
            context.printer.say(format_args!(
                "note: {name} is not in the configuration: its limits are learned, its price is {price}"
            ));
        }
    }
    Ok(())
}

fn has_price(model: &ModelStatus) -> bool {
    model.input_price_microusd.is_some() && model.output_price_microusd.is_some()
}
