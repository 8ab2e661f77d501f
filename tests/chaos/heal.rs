//! After the faults: everything heals, and all there is must come to its end within a bound.

use std::{sync::Arc, time::Duration};

use sqlx::Executor;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    clients,
    fleet::{Fleet, Order},
    history::Violation,
    report,
    world::{LEASE, World},
};
use tidegate::simulator::OutageKind;

/// Sessions that a dead link left behind are ended by the server after this time, with their locks.
const SESSION_MAX: Duration = Duration::from_secs(60);
/// A window that is spent, and the guard.
const WINDOW: Duration = Duration::from_secs(61);
/// Attempts of a task with the longest ladder, and the longest back-off and call of each.
const RETRIES: Duration = Duration::from_secs(16 * 8);
/// Tasks ended in a second by a fleet on a slow machine.
const PACE: f64 = 4.0;

/// What has not ended, and why that may take so long.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
struct Left {
    tasks: i64,
    runs: i64,
    batches: i64,
    cooldown_s: f64,
}

/// Ends all faults and waits. What is stuck is a violation.
pub(crate) async fn heal(
    world: &Arc<World>,
    fleet: &Arc<Fleet>,
    mut clients: JoinSet<()>,
) -> Vec<Violation> {
    world.proxy.heal();
    world
        .simulator
        .outage("*", OutageKind::Minute, Duration::ZERO);
    fleet.order_all(Order::Thaw);
    while clients.join_next().await.is_some() {}
    let resume = "select tidegate.resume_run(id) from tidegate.runs where state = 'paused'";
    world.admin.execute(resume).await.expect("it has healed");
    let bound = bound(&left(world).await);
    let began = Instant::now();
    report::say(format_args!("healed; all must end within {bound:?}"));
    // what a killed client half loaded is taken up by the next one
    while let Err(words) = clients::load(world, Vec::new(), "individual").await {
        if began.elapsed() > bound {
            return vec![stuck(format!("no run can be loaded any more: {words}"))];
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut told = Instant::now();
    loop {
        let left = left(world).await;
        if left.tasks == 0 && left.runs == 0 && left.batches == 0 && provider_rests(world) {
            report::say(format_args!("all has ended after {:?}", began.elapsed()));
            return Vec::new();
        }
        if began.elapsed() > bound {
            return vec![stuck(format!("after {bound:?} there are {left:?}"))];
        }
        if told.elapsed() > Duration::from_secs(10) {
            report::say(format_args!("{left:?}"));
            told = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn stuck(what: String) -> Violation {
    Violation {
        law: "I4",
        what,
        tasks: Vec::new(),
    }
}

fn bound(left: &Left) -> Duration {
    let backlog = Duration::from_secs_f64(left.tasks as f64 / PACE + left.cooldown_s.max(0.0));
    LEASE * 2 + SESSION_MAX + WINDOW + RETRIES + backlog
}

/// Of no batch is anything under way at the provider: what is doubled is found there by and by.
fn provider_rests(world: &World) -> bool {
    let batches = world.simulator.batches();
    batches.iter().all(|it| it.ended_unix_ms.is_some())
}

async fn left(world: &World) -> Left {
    let sql = "select (select count(*) from tidegate.tasks where state not in ('done', 'failed', 'cancelled')) as tasks, \
                      (select count(*) from tidegate.runs where state not in ('done', 'cancelled')) as runs, \
                      (select count(*) from tidegate.provider_batches where state <> 'over') as batches, \
                      coalesce((select max(extract(epoch from until - clock_timestamp())) from tidegate.model_cooldowns), 0)::float8 as cooldown_s";
    sqlx::query_as(sql)
        .fetch_one(&world.admin)
        .await
        .expect("it has healed")
}
