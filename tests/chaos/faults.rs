//! Carries out the plan.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tidegate::simulator::OutageKind;
use tokio::{sync::Mutex, task::JoinSet, time::Instant};

use crate::{
    fleet::{Fleet, Order},
    plan::{Fault, plan},
    report,
    support::proxy::Faults,
    world::{LEASE, MODELS, World, lock},
};

/// Breaks what the seed says for so long, and returns when the last fault is over.
pub(crate) async fn wreak(world: &Arc<World>, fleet: &Arc<Fleet>, seed: u64, length: Duration) {
    let began = Instant::now();
    let network = Arc::new(Mutex::new(()));
    let mut under_way = JoinSet::new();
    for planned in plan(seed, length, fleet.workers(), LEASE, &MODELS) {
        tokio::time::sleep_until(began + planned.at).await;
        report::say(format_args!(
            "{:>7.1} s  {:?}",
            planned.at.as_secs_f64(),
            planned.fault
        ));
        let wreaker = Wreaker {
            world: world.clone(),
            fleet: fleet.clone(),
            network: network.clone(),
        };
        under_way.spawn(wreaker.one(planned.fault));
    }
    tokio::time::sleep_until(began + length).await;
    while under_way.join_next().await.is_some() {}
}

struct Wreaker {
    world: Arc<World>,
    fleet: Arc<Fleet>,
    /// One fault of the network at a time: another one ends it for all.
    network: Arc<Mutex<()>>,
}

impl Wreaker {
    async fn one(self, fault: Fault) {
        let (world, fleet) = (&self.world, &self.fleet);
        match fault {
            Fault::Kill { worker, pause } => fleet.order(worker, Order::Kill(pause)),
            Fault::KillAll => fleet.order_all(Order::Kill(Duration::ZERO)),
            Fault::KillLoader => self.kill_loader(),
            Fault::Freeze { worker, length } => fleet.order(worker, Order::Freeze(length)),
            Fault::Stop { worker } => fleet.order(worker, Order::Stop),
            Fault::Crash { pause } => self.crash(pause).await,
            Fault::Terminate { sessions } => self.terminate(sessions).await,
            Fault::Cut => {
                world.proxy.reset("");
            }
            Fault::Blackhole {
                to_server,
                to_client,
                length,
            } => {
                let faults = Faults {
                    swallow_to_server: to_server,
                    swallow_to_client: to_client,
                    ..Faults::default()
                };
                self.network(faults, length).await;
            }
            Fault::Deafen { text, length } => {
                let Ok(_alone) = self.network.try_lock() else {
                    return;
                };
                world.proxy.set_where(text, Faults::blackhole());
                tokio::time::sleep(length).await;
                world.proxy.heal();
            }
            Fault::Refuse { length } => {
                let faults = Faults {
                    refuse: true,
                    ..Faults::default()
                };
                self.network(faults, length).await;
            }
            Fault::Slow { by, length } => self.network(Faults::late(by), length).await,
            Fault::LoseReply { text } => world.proxy.drop_reply(text),
            Fault::Outage {
                model,
                overloaded,
                length,
            } => {
                let kind = if overloaded {
                    OutageKind::Overloaded
                } else {
                    OutageKind::Minute
                };
                world.simulator.outage(model, kind, length);
            }
        }
    }

    async fn network(&self, faults: Faults, length: Duration) {
        let Ok(_alone) = self.network.try_lock() else {
            return;
        };
        self.world.proxy.set(faults);
        tokio::time::sleep(length).await;
        self.world.proxy.set(Faults::default());
    }

    fn kill_loader(&self) {
        let loaders = lock(&self.world.loaders);
        let pid = loaders.last().and_then(|id| i32::try_from(*id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw)
            && kill_process(pid, Signal::KILL).is_ok()
        {
            self.fleet.counts.kills.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn crash(&self, pause: Duration) {
        let mut server = self.world.server.lock().await;
        tokio::task::block_in_place(|| server.crash());
        tokio::time::sleep(pause).await;
        server.start().await;
    }

    async fn terminate(&self, sessions: usize) {
        for _ in 0..sessions {
            // while Postgres is down there is nothing to terminate
            let _ = sqlx::query(
                "select pg_terminate_backend(pid) from pg_stat_activity \
                  where datname = current_database() and application_name = 'tidegate' \
                  order by random() limit 1",
            )
            .execute(&self.world.admin)
            .await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
