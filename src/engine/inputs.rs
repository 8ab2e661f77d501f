//! The answers of other steps that a task sees.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::{
    store::{Store, StoreError},
    task::Answer,
};

/// The answers that these tasks see, by task and component. What is gone is left out.
///
/// # Errors
/// As every statement.
pub(super) async fn of(
    store: &Store,
    tasks: &[Uuid],
) -> Result<HashMap<Uuid, BTreeMap<String, Answer>>, StoreError> {
    let mut results: HashMap<Uuid, BTreeMap<String, Answer>> = HashMap::new();
    if tasks.is_empty() {
        return Ok(results);
    }
    for needed in store.needed(tasks).await? {
        // it was an answer, so it is JSON; what is not is as good as gone
        if let Ok(answer) = Answer::json(needed.answer) {
            let of_task = results.entry(needed.task).or_default();
            of_task.insert(needed.component, answer);
        }
    }
    Ok(results)
}
