//! Looks at what leaves no history: the cooldowns, as they are committed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{history::Cooldown, world::World};

const EVERY: Duration = Duration::from_millis(200);

/// All cooldowns that were seen until the token is cancelled, each when it was first seen.
pub(crate) async fn cooldowns(world: Arc<World>, stop: CancellationToken) -> Vec<Cooldown> {
    let sql = "select wire_name, (extract(epoch from clock_timestamp()) * 1000)::bigint, \
                      (extract(epoch from until) * 1000)::bigint \
                 from tidegate.model_cooldowns where until > clock_timestamp()";
    let mut seen = BTreeSet::new();
    let mut cooldowns = Vec::new();
    while !stop.is_cancelled() {
        let rows: Result<Vec<(String, i64, i64)>, _> =
            sqlx::query_as(sql).fetch_all(&world.admin).await;
        for (name, seen_ms, until_ms) in rows.unwrap_or_default() {
            if seen.insert((name.clone(), until_ms)) {
                cooldowns.push(Cooldown {
                    model: World::model(&name),
                    seen_ms,
                    until_ms,
                });
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    cooldowns
}
