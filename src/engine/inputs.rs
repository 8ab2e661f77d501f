//! The answers of other steps that a task sees.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::{
    store::{Store, StoreError, needed::Needed},
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
    let mut by_task: HashMap<Uuid, Vec<Needed>> = HashMap::new();
    for needed in store.needed(tasks).await? {
        by_task.entry(needed.task).or_default().push(needed);
    }
    for (task, needed) in by_task {
        results.insert(task, by_component(needed));
    }
    Ok(results)
}

/// The answers that one task sees.
pub(super) fn by_component(needed: Vec<Needed>) -> BTreeMap<String, Answer> {
    needed
        .into_iter()
        // it was an answer, so it is JSON; what is not is as good as gone
        .filter_map(|it| Some((it.component, Answer::json(it.answer).ok()?)))
        .collect()
}
