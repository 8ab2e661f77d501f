//! What goes wrong, when: decided by the seed alone.
//!
//! The same seed makes the same schedule of the same faults. What they meet is up to the machine:
//! how its processes interleave is not reproduced.

use std::time::Duration;

/// Numbers from a seed: SplitMix64, so that a seed means the same for ever.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..count`; 0 of none.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % count).unwrap_or(0)
    }

    /// Milliseconds between the two, the second one not included.
    pub(crate) fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.next() % (to - from).max(1))
    }

    /// One of them.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// A fault. A worker is named by its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// SIGKILL; another is started after the pause.
    Kill { worker: usize, pause: Duration },
    /// SIGKILL to all workers at once.
    KillAll,
    /// SIGKILL to whoever loads a run just now.
    KillLoader,
    /// SIGSTOP, and after this time SIGCONT.
    Freeze { worker: usize, length: Duration },
    /// SIGTERM; another is started when it has ended.
    Stop { worker: usize },
    /// Postgres crashes and is started again after the pause.
    Crash { pause: Duration },
    /// So many sessions are terminated, one after the other.
    Terminate { sessions: usize },
    /// All connections are reset.
    Cut,
    /// Nothing passes, in the directions said.
    Blackhole {
        to_server: bool,
        to_client: bool,
        length: Duration,
    },
    /// Only connections that sent this are swallowed.
    Deafen {
        text: &'static str,
        length: Duration,
    },
    /// New connections are refused.
    Refuse { length: Duration },
    /// Everything is late.
    Slow { by: Duration, length: Duration },
    /// The answer to the next statement with this text in it is lost.
    LoseReply { text: &'static str },
    /// A model is closed by its provider.
    Outage {
        model: &'static str,
        overloaded: bool,
        length: Duration,
    },
}

/// A fault and its moment, counted from the start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planned {
    pub(crate) at: Duration,
    pub(crate) fault: Fault,
}

/// Statements whose answers are lost.
const REPLIES: [&str; 12] = [
    "COMMIT",
    "COMMIT",
    "claim_v",
    "claim_v",
    "settle_done",
    "settle_open",
    "enqueue_ranked",
    "tidegate.cancel",
    "tidegate.retry",
    "rescue",
    "form_batch",
    "provider_batches",
];

/// Mean time between two faults.
const GAP_MS: u64 = 1_500;

/// The faults of so long a time, for so many workers of this lease. `models` may be closed.
pub(crate) fn plan(
    seed: u64,
    length: Duration,
    workers: usize,
    lease: Duration,
    models: &[&'static str],
) -> Vec<Planned> {
    let mut dice = Dice::new(seed);
    let mut planned = Vec::new();
    let mut at = dice.ms(2_000, 4_000);
    let mut crash_after = Duration::from_secs(8);
    while at < length {
        let fault = one(&mut dice, workers, lease, models);
        // a server that is still recovering is not crashed again
        let too_soon = matches!(fault, Fault::Crash { .. }) && at < crash_after;
        if !too_soon {
            if matches!(fault, Fault::Crash { .. }) {
                crash_after = at + Duration::from_secs(15);
            }
            planned.push(Planned { at, fault });
        }
        at += dice.ms(GAP_MS / 3, GAP_MS * 5 / 3);
    }
    planned
}

fn one(dice: &mut Dice, workers: usize, lease: Duration, models: &[&'static str]) -> Fault {
    let worker = dice.below(workers);
    match dice.below(100) {
        0..34 => Fault::Kill {
            worker,
            pause: dice.ms(0, 1_500),
        },
        34..36 => Fault::KillAll,
        36..41 => Fault::KillLoader,
        41..48 => Fault::Freeze {
            worker,
            length: lease + dice.ms(1_000, 6_000),
        },
        48..54 => Fault::Stop { worker },
        54..59 => Fault::Crash {
            pause: dice.ms(0, 4_000),
        },
        59..67 => Fault::Terminate {
            sessions: 1 + dice.below(6),
        },
        67..70 => Fault::Cut,
        70..74 => {
            let ways = dice.below(3);
            Fault::Blackhole {
                to_server: ways != 1,
                to_client: ways != 0,
                length: dice.ms(1_000, 9_000),
            }
        }
        74..77 => Fault::Deafen {
            text: dice.one(&["claim_v", "lease_until", "LISTEN", "settle_"]),
            length: dice.ms(1_000, 9_000),
        },
        77..79 => Fault::Refuse {
            length: dice.ms(500, 4_000),
        },
        79..83 => Fault::Slow {
            by: dice.ms(20, 600),
            length: dice.ms(1_000, 5_000),
        },
        83..95 => Fault::LoseReply {
            text: dice.one(&REPLIES),
        },
        _ => Fault::Outage {
            model: dice.one(models),
            overloaded: dice.below(2) == 0,
            length: dice.ms(1_000, 8_000),
        },
    }
}
