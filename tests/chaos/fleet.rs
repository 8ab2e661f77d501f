//! The processes that work: started, killed, frozen, stopped, and started again.

use std::{
    fs::OpenOptions,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::Child,
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    history::Violation,
    world::{GRACE, World, lock},
};

/// What is done to a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// SIGKILL, and another after the pause.
    Kill(Duration),
    /// SIGSTOP for so long.
    Freeze(Duration),
    /// What was frozen goes on.
    Thaw,
    /// SIGTERM, and another when it has ended.
    Stop,
    /// SIGTERM, and no other.
    End,
}

/// Longer than the grace, and a margin for a busy machine.
const STOP_MAX: Duration = GRACE.saturating_add(Duration::from_secs(6));
/// Between the end of a process that nobody asked for and the next one.
const RESTART_PAUSE: Duration = Duration::from_millis(300);

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) kills: AtomicUsize,
    pub(crate) freezes: AtomicUsize,
    pub(crate) stops: AtomicUsize,
    /// Processes that ended by themselves.
    pub(crate) exits: AtomicUsize,
}

/// All workers.
pub(crate) struct Fleet {
    orders: Vec<mpsc::UnboundedSender<Order>>,
    minding: AsyncMutex<JoinSet<()>>,
    pub(crate) counts: Arc<Counts>,
    violations: Arc<Mutex<Vec<Violation>>>,
}

impl Fleet {
    pub(crate) fn start(world: &Arc<World>, workers: usize) -> Self {
        let counts = Arc::new(Counts::default());
        let violations = Arc::new(Mutex::default());
        let mut minding = JoinSet::new();
        let mut orders = Vec::new();
        for number in 0..workers {
            let (sender, receiver) = mpsc::unbounded_channel();
            orders.push(sender);
            let minder = Minder {
                number,
                world: world.clone(),
                orders: receiver,
                counts: counts.clone(),
                violations: violations.clone(),
            };
            minding.spawn(minder.run());
        }
        Self {
            orders,
            minding: AsyncMutex::new(minding),
            counts,
            violations,
        }
    }

    pub(crate) fn workers(&self) -> usize {
        self.orders.len()
    }

    pub(crate) fn order(&self, worker: usize, order: Order) {
        // a minder that is gone was told to end
        let _ = self.orders[worker % self.orders.len()].send(order);
    }

    pub(crate) fn order_all(&self, order: Order) {
        (0..self.workers()).for_each(|worker| self.order(worker, order));
    }

    /// Stops all, as a platform would.
    pub(crate) async fn end(&self) {
        self.order_all(Order::End);
        while self.minding.lock().await.join_next().await.is_some() {}
    }

    /// What processes did that none may do.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        lock(&self.violations).clone()
    }
}

struct Minder {
    number: usize,
    world: Arc<World>,
    orders: mpsc::UnboundedReceiver<Order>,
    counts: Arc<Counts>,
    violations: Arc<Mutex<Vec<Violation>>>,
}

impl Minder {
    async fn run(mut self) {
        let mut goes_on = true;
        while goes_on {
            let child = self.spawn();
            goes_on = self.mind(child).await;
        }
    }

    fn spawn(&self) -> Child {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(
                self.world
                    .folder
                    .join(&format!("worker-{}.log", self.number)),
            )
            .expect("a log is opened");
        self.world
            // with a pipe for stdin it does not outlive us
            .program(&["work", "--stop-with-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts")
    }

    /// `false`: no other is wanted.
    async fn mind(&mut self, mut child: Child) -> bool {
        // waiting for a child closes its stdin, unless that is taken from it
        let _open_stdin = child.stdin.take();
        let mut frozen_until: Option<Instant> = None;
        loop {
            let thaw_at = frozen_until.unwrap_or_else(Instant::now);
            let order = tokio::select! {
                _ = child.wait() => {
                    count(&self.counts.exits);
                    tokio::time::sleep(RESTART_PAUSE).await;
                    return true;
                }
                () = tokio::time::sleep_until(thaw_at), if frozen_until.is_some() => Some(Order::Thaw),
                order = self.orders.recv() => order,
            };
            match order {
                Some(Order::Kill(pause)) => {
                    count(&self.counts.kills);
                    // it may have ended by itself
                    let _ = child.kill().await;
                    tokio::time::sleep(pause).await;
                    return true;
                }
                Some(Order::Freeze(length)) if frozen_until.is_none() => {
                    count(&self.counts.freezes);
                    signal(&child, Signal::STOP);
                    frozen_until = Some(Instant::now() + length);
                }
                Some(Order::Freeze(_)) => {}
                Some(Order::Thaw) => {
                    signal(&child, Signal::CONT);
                    frozen_until = None;
                }
                Some(Order::Stop) => {
                    count(&self.counts.stops);
                    self.stop(&mut child, false).await;
                    return true;
                }
                Some(Order::End) | None => {
                    self.stop(&mut child, true).await;
                    return false;
                }
            }
        }
    }

    /// I10: it ends within its grace, and with a good word where nothing else is wrong.
    async fn stop(&self, child: &mut Child, all_is_well: bool) {
        signal(child, Signal::CONT);
        let young = Instant::now();
        signal(child, Signal::TERM);
        match timeout(STOP_MAX, child.wait()).await {
            Err(_) => {
                self.violate(format!(
                    "worker {} (process {:?}) did not end within {STOP_MAX:?} of SIGTERM; {}",
                    self.number,
                    child.id(),
                    if all_is_well {
                        "all was well"
                    } else {
                        "amid faults"
                    }
                ));
                let _ = child.kill().await;
            }
            Ok(Ok(status)) if all_is_well && !is_good(status) => self.violate(format!(
                "worker {} ended with {status} after {:?}",
                self.number,
                young.elapsed()
            )),
            Ok(_) => {}
        }
    }

    fn violate(&self, what: String) {
        lock(&self.violations).push(Violation {
            law: "I10",
            what,
            tasks: Vec::new(),
        });
    }
}

/// One that is told to stop before it listens to signals ends by the signal.
fn is_good(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.success() || status.signal() == Some(Signal::TERM.as_raw())
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// To a process that is still ours: its id is not used again before it is waited for.
fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // it may have ended by itself
        let _ = kill_process(pid, signal);
    }
}
