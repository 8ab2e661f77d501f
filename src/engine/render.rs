//! Rendering: tasks that came in without a prompt are weighed, so that the claim knows what they need.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Shared, inputs, registry::Compiled};
use crate::{
    store::{
        StoreError,
        unrendered::{Rendered, Unrendered},
    },
    task::Answer,
};

/// Tasks rendered by one turn at most.
const CHUNK: i32 = 200;
/// Others leave them alone for so long; rendering twice does no harm.
const TAKEN_FOR: Duration = Duration::from_secs(10);

/// One turn. Returns how many tasks were looked at.
pub(super) async fn turn(shared: &Arc<Shared>) -> Result<usize, StoreError> {
    let taken = shared
        .store
        .take_unrendered(CHUNK, TAKEN_FOR, shared.settings.workers.as_deref())
        .await?;
    if taken.is_empty() {
        return Ok(0);
    }
    let of_many = taken.iter().filter(|task| !task.component.is_empty());
    let of_many: Vec<Uuid> = of_many.map(|task| task.task).collect();
    let mut results = inputs::of(&shared.store, &of_many).await?;
    let mut rendered = Vec::with_capacity(taken.len());
    for task in &taken {
        match shared
            .registry
            .compiled(&shared.store, &task.definition)
            .await
        {
            Ok(compiled) => {
                let results = results.remove(&task.task).unwrap_or_default();
                rendered.push(weigh(&compiled, task, results));
            }
            Err(error) if error.is_passing() => return Err(error),
            // kept by a newer program, perhaps: others will render it
            Err(error) => {
                tracing::error!(task.id = %task.task, %error, "its definition cannot be read; is this program older than the others?")
            }
        }
    }
    shared.store.rendered(&rendered).await?;
    Ok(taken.len())
}

fn weigh(compiled: &Compiled, task: &Unrendered, results: BTreeMap<String, Answer>) -> Rendered {
    let tier = usize::try_from(task.tier).unwrap_or_default();
    let weighed = RawValue::from_string(task.body.clone())
        .map_err(|error| format!("its payload is not JSON: {error}"))
        .and_then(|body| compiled.item(task.item.clone(), body, &task.component, results))
        .and_then(|item| compiled.weigh(&item, task.version.as_deref(), tier));
    match weighed {
        Ok((est_tokens, key)) => Rendered {
            task: task.task,
            est_tokens,
            cache_key: key.to_vec(),
            error: None,
        },
        Err(reason) => Rendered {
            task: task.task,
            est_tokens: 0,
            cache_key: Vec::new(),
            error: Some(reason.replace('\0', "\u{fffd}")),
        },
    }
}
