//! Packs through the whole engine.

use tidegate::simulator::ModelSettings;
use tokio_util::sync::CancellationToken;

use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, items, load},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_whose_first_item_is_not_asked_is_still_one_request() {
    let limited = |name| ModelSettings {
        rpm: Some(60),
        ..a_model(name)
    };
    let fleet = Fleet::with(["a", "b"].map(limited).to_vec()).await;
    let run = load(&fleet.store, ONE_TIER, &items(5))
        .await
        .expect("a run")
        .run;
    let packed = "update tidegate.lanes set pack_size = 5;
                  update tidegate.tasks set expires_at = now() where priority = 5";
    let packed = sqlx::raw_sql(packed).execute(fleet.store.pool()).await;
    packed.expect("they travel together");
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends");
    assert_eq!(fleet.simulator.log().len(), 1);
    assert_eq!(
        fleet
            .count("select sum(calls)::bigint from tidegate.spend")
            .await,
        1
    );
    let used = "select (sum(b.total) + (select coalesce(sum(s.delta), 0) from tidegate.limit_settlements s join tidegate.limits l using (limit_id)
                                          where l.dimension = 'requests'))::bigint
                  from tidegate.limit_book b join tidegate.limits l using (limit_id) where l.dimension = 'requests'";
    assert_eq!(fleet.count(used).await, 1);
}
