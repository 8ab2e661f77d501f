//! The table `[embed]`: the rendered text is to become a vector. What shapes words has no use then,
//! and is told.

use super::{DefinitionError, PackSpec, error::nearest, table::Table};
use crate::llm::{EmbedParams, TASK_TYPES, TaskType};

/// What travels together where nothing is said: as many texts as every vendor takes in a call, and
/// well below the 300,000 tokens that one of them bears.
pub(super) const PACK: PackSpec = PackSpec {
    size: 100,
    max_input_tokens: 100_000,
};

/// What is asked of the vectors; `None`: words are asked for. `prompt` may hold a template only, then.
pub(super) fn embed(
    top: &Table<'_>,
    prompt: &Table<'_>,
) -> Result<Option<EmbedParams>, DefinitionError> {
    let Some(node) = top.node("embed") else {
        return Ok(None);
    };
    let table = Table::open(node, "[embed]", &["task_type", "dimensions", "tag"])?;
    for (key, why) in [
        ("schema", "says what words must look like"),
        ("params", "says how words are made"),
        ("system", "instructs a model that writes"),
    ] {
        if prompt.node(key).is_some() {
            return Err(prompt.bad_with(
                key,
                format!("{why}, and [embed] asks for vectors"),
                "leave it out, or take [embed] away",
            ));
        }
    }
    Ok(Some(EmbedParams {
        task_type: task_type(&table)?,
        dimensions: table.integer("dimensions", 1, DIMENSIONS_MAX)?,
        tag: table.text("tag")?,
    }))
}

/// A worker embeds or has components: what these need of each other are words.
pub(super) fn not_of_many(top: &Table<'_>) -> Result<(), DefinitionError> {
    match top.node("embed") {
        None => Ok(()),
        Some(_) => Err(top.bad_with(
            "embed",
            "is for a worker of one step, and this one has components",
            "embed in a worker of its own, whose source.sql reads what this one wrote",
        )),
    }
}

fn task_type(table: &Table<'_>) -> Result<Option<TaskType>, DefinitionError> {
    let Some(word) = table.text("task_type")? else {
        return Ok(None);
    };
    if let Some(task) = TASK_TYPES.into_iter().find(|task| task.as_str() == word) {
        return Ok(Some(task));
    }
    let words = TASK_TYPES.map(TaskType::as_str);
    let help = match nearest(&word, words) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("it is one of {}", words.join(", ")),
    };
    Err(table.bad_with("task_type", format!("is no task type: \"{word}\""), &help))
}

/// Longer than the vectors of any model there is.
const DIMENSIONS_MAX: u32 = 20_000;
