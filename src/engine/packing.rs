//! How many items travel together: told by what calls came to, for the whole fleet.

use std::collections::BTreeMap;

use super::settle::Packed;
use crate::{
    pack::{State, adapt},
    store::{Store, StoreError},
};

/// Notes what became of packs, and changes the size where that is due. It is only tuning: what fails is
/// told and left.
pub(super) async fn conclude(store: &Store, packs: Vec<Packed>) {
    let mut sums: BTreeMap<(String, String), (usize, usize, usize)> = BTreeMap::new();
    for pack in packs {
        let sum = sums.entry((pack.worker, pack.component)).or_default();
        *sum = (sum.0 + 1, sum.1 + pack.items, sum.2 + pack.lost);
    }
    for ((worker, component), sum) in sums {
        if let Err(error) = note(store, &worker, &component, sum).await {
            tracing::debug!(worker, component, %error, "could not note what became of packs");
        }
    }
}

async fn note(
    store: &Store,
    worker: &str,
    component: &str,
    (packs, items, lost): (usize, usize, usize),
) -> Result<(), StoreError> {
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let counts = store
        .note_packs(worker, component, count(packs), count(items), count(lost))
        .await?;
    let Some(counts) = counts else {
        return Ok(());
    };
    let state = State {
        size: counts.size.unsigned_abs(),
        packs: counts.packs.unsigned_abs(),
        items: counts.items.unsigned_abs(),
        lost: counts.lost.unsigned_abs(),
    };
    let Some(change) = adapt(&state, counts.most.unsigned_abs()) else {
        return Ok(());
    };
    let size = i16::try_from(change.size).unwrap_or(i16::MAX);
    let reason = change.reason.to_string();
    if store
        .set_pack_size(worker, component, counts.size, size, &reason)
        .await?
    {
        tracing::info!(
            worker,
            component,
            old = counts.size,
            new = size,
            "the size of packs changes: {reason}"
        );
    }
    Ok(())
}
