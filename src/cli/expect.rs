//! What is to be expected of a run, in words: when it ends under present limits, what is to come, what
//! holds it back.

use uuid::Uuid;

use super::progress::{dollars, span};
use crate::client::{BindingLimit, Expected, ExpectedRun};

/// `about 12m 30s under present limits, $0.120000 to come; requests per minute of gemini/x hold it back`.
pub(super) fn words(expected: &Expected, run: Uuid) -> String {
    let Some(it) = expected.run(run) else {
        return "nothing waits for a model".to_owned();
    };
    let mut words = vec![end(it)];
    words.extend(cost(it));
    let mut words = words.join(", ");
    if let Some(binding) = &expected.binding {
        words.push_str(&format!("; {}", held_back(binding)));
    }
    words
}

/// Said where no batch of the model was seen yet, or one takes longer than most.
pub(super) const BATCH_END_UNKNOWN: &str = "in a batch, its end is not known";

/// When the last answer comes.
pub(super) fn end(it: &ExpectedRun) -> String {
    match it.seconds {
        Some(seconds) => format!("about {} under present limits", span(seconds)),
        None if it.is_batch_end_unknown => BATCH_END_UNKNOWN.to_owned(),
        None => "no end under present limits: somebody must act".to_owned(),
    }
}

/// What is still to be paid, where prices are known.
pub(super) fn cost(it: &ExpectedRun) -> Option<String> {
    let microusd = i64::try_from(it.cost_microusd?).ok()?;
    Some(format!("{} to come", dollars(microusd, false)?))
}

/// What binds for the longest time.
pub(super) fn held_back(binding: &BindingLimit) -> String {
    match &binding.model {
        Some(model) => format!("held back by {} of {model}", binding.limit),
        None => format!("held back by {}", binding.limit),
    }
}

/// `sim/a 120, sim/b 30`.
pub(super) fn calls(expected: &Expected) -> String {
    let each = expected.calls.iter();
    let each: Vec<String> = each
        .map(|it| format!("{} {}", it.model, it.calls))
        .collect();
    each.join(", ")
}
