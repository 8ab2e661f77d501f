//! Waking: keeps a listener up and proves that it hears, and tells how long to wait without it.
//!
//! Wake-ups only shorten a wait. While nobody listens, waits are short by themselves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{TROUBLE_PAUSE_MAX, crowd::Crowd};
use crate::store::{
    self, Store, StoreError,
    listen::{Ear, Heard},
};

/// Longest pause of an idle process between two looks; notifications shorten it.
const IDLE_PAUSE_MAX: Duration = Duration::from_secs(1);
/// The same while nothing would be heard.
const DEAF_PAUSE_MAX: Duration = Duration::from_millis(300);
/// How often anybody looks while the database has few connections left.
pub(super) const CROWD_PAUSE: Duration = Duration::from_secs(2);
/// How often the listener is to prove that it hears, at most and at least; between, by the lease.
const PROVE_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// A call that was heard by nobody for so long, and as long as it took to call it out, is lost.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// Longest pause before listening is tried again.
const DEAF_TRY_MAX: Duration = Duration::from_secs(60);

/// Who waits, and whether anything would be heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Wakes {
    /// Something may be claimed.
    pub(super) ready: Arc<Notify>,
    /// Something wants care.
    pub(super) care: Arc<Notify>,
    /// How something is asked may be to be chosen.
    pub(super) batches: Arc<Notify>,
    /// Calls of this process have ended, and that is written: others may start in their place.
    pub(super) settled: Arc<Notify>,
    /// Whether the database has few connections left.
    pub(super) crowd: Crowd,
    hears: Arc<AtomicBool>,
    /// Whether it was told at all.
    told: Arc<AtomicBool>,
}

impl Wakes {
    /// How long an idle process waits at most before it looks again.
    pub(super) fn idle_pause_max(&self) -> Duration {
        if self.crowd.is_there() {
            CROWD_PAUSE
        } else if self.hears.load(Ordering::Relaxed) {
            IDLE_PAUSE_MAX
        } else {
            DEAF_PAUSE_MAX
        }
    }

    /// Says once, when it changes, whether anything is heard.
    fn hears(&self, hears: bool, why: &str) {
        let same = self.hears.swap(hears, Ordering::Relaxed) == hears;
        if self.told.swap(true, Ordering::Relaxed) && same {
            return;
        }
        if hears {
            tracing::info!(target: "tidegate::listen", hears, "listening for wake-ups");
        } else {
            tracing::warn!(target: "tidegate::listen", hears, "wake-ups are not heard ({why}): looking more often instead");
        }
    }
}

/// Keeps an ear open.
pub(super) struct Listener {
    store: Store,
    database: store::Settings,
    wakes: Wakes,
    every: Duration,
}

impl Listener {
    pub(super) fn new(
        store: Store,
        database: store::Settings,
        wakes: Wakes,
        lease: Duration,
    ) -> Self {
        Self {
            store,
            database,
            wakes,
            every: (lease / 6).clamp(PROVE_EVERY.0, PROVE_EVERY.1),
        }
    }

    /// Listens until told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        if self.store.is_deaf() {
            tracing::info!(target: "tidegate::listen", hears = false, "behind a pooler in transaction mode wake-ups are not heard: looking more often instead");
            return;
        }
        let mut pause = TROUBLE_PAUSE_MAX / 10;
        loop {
            let mut proved = false;
            if self.wakes.crowd.is_there() {
                self.wakes
                    .hears(false, "the database has few connections left");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(DEAF_TRY_MAX) => continue,
                }
            }
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.listen(&mut proved) => ended,
            };
            let why = match ended {
                Ok(()) => "a call to itself did not arrive; is there a pooler in transaction mode? then say so: pooler = \"transaction\" in [database]".to_owned(),
                Err(error) => error.to_string(),
            };
            tracing::debug!(target: "tidegate::listen", "listening broke off: {why}");
            self.wakes.hears(false, &why);
            // what never was heard is not asked for all the time
            pause = match proved {
                true => TROUBLE_PAUSE_MAX / 10,
                false => (pause * 2).min(DEAF_TRY_MAX),
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause.mul_f64(0.5 + rand::random::<f64>())) => {}
            }
        }
    }

    /// Listens until a proof fails (`Ok`), or the connection. `proved`: one has succeeded.
    async fn listen(&self, proved: &mut bool) -> Result<(), StoreError> {
        let mut ear = Ear::open(&self.database).await?;
        loop {
            if !self.prove(&mut ear).await? {
                return Ok(());
            }
            *proved = true;
            if self.wakes.crowd.is_there() {
                return Err(StoreError::NoAnswer);
            }
            self.wakes.hears(true, "");
            // whatever came between the last look and now
            self.wakes.ready.notify_one();
            let next = Instant::now() + self.every;
            loop {
                tokio::select! {
                    heard = ear.hear() => self.wake(&heard?),
                    () = sleep_until(next) => break,
                }
            }
        }
    }

    /// Calls out to itself. `false`: it was not heard.
    async fn prove(&self, ear: &mut Ear) -> Result<bool, StoreError> {
        let number = crate::task::new_id();
        let channel = ear.own_channel().to_owned();
        let called_at = Instant::now();
        let mut deadline = None;
        let calling = self.store.call_out(&channel, number);
        tokio::pin!(calling);
        loop {
            let waiting = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = ear.hear() => {
                    let heard = heard?;
                    if is_proof(&heard, number) {
                        if deadline.is_none() {
                            // heard before its own answer came
                            calling.await?;
                        }
                        return Ok(true);
                    }
                    self.wake(&heard);
                }
                called = &mut calling, if deadline.is_none() => {
                    called?;
                    deadline = Some(Instant::now() + HEARD_WITHIN + called_at.elapsed());
                }
                () = waiting => return Ok(false),
            }
        }
    }

    fn wake(&self, heard: &Heard) {
        match heard {
            Heard::Ready => {
                self.wakes.ready.notify_one();
                self.wakes.batches.notify_one();
            }
            Heard::Care => self.wakes.care.notify_one(),
            // of a proof that came too late
            Heard::Proof(_) => {}
        }
    }
}

fn is_proof(heard: &Heard, number: Uuid) -> bool {
    matches!(heard, Heard::Proof(text) if *text == number.simple().to_string())
}
