//! What the choices come to: a simulated provider in virtual time, whose latencies change, against one
//! who always asks singly and one who always asks by batch.

use std::{collections::BinaryHeap, time::Duration};

use rand::{RngExt as _, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{Case, Choice, Latency, case::STALE, decide};
use crate::task::{Purpose, Strategy};

/// Latencies in milliseconds: evenly from the first to the second.
#[derive(Clone, Copy, Debug)]
struct Provider {
    call: (u64, u64),
    batch: (u64, u64),
}

impl Provider {
    fn latencies(range: (u64, u64), n: u32, chance: &mut StdRng) -> Vec<u64> {
        (0..n)
            .map(|_| chance.random_range(range.0..=range.1))
            .collect()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("a short time")
}

/// How long these calls take, five at once.
fn five_at_once(calls: &[u64]) -> u64 {
    let mut busy = BinaryHeap::new();
    for call in calls {
        let begins = match busy.len() {
            ..5 => 0,
            _ => busy.pop().map_or(0, |std::cmp::Reverse(it)| it),
        };
        busy.push(std::cmp::Reverse(begins + call));
    }
    busy.into_iter().map(|it| it.0).max().unwrap_or(0)
}

/// The last samples of one way, each with the choice that it is of.
struct Samples {
    kept: Vec<(u32, u64)>,
    most: usize,
}

impl Samples {
    fn new(most: usize) -> Self {
        let kept = Vec::new();
        Self { kept, most }
    }

    fn add(&mut self, now: u32, latencies: &[u64]) {
        if latencies.is_empty() {
            return;
        }
        self.kept.extend(latencies.iter().map(|it| (now, *it)));
        self.kept.retain(|(at, _)| now - at <= STALE);
        let over = self.kept.len().saturating_sub(self.most);
        self.kept.drain(..over);
    }

    fn known(&self, now: u32) -> Option<Latency> {
        let newest = self.kept.last()?.0;
        let mut all: Vec<u64> = self.kept.iter().map(|it| it.1).collect();
        all.sort_unstable();
        let at = |part: usize| Duration::from_millis(all[(all.len() - 1) * part / 100]);
        Some(Latency {
            p50: at(50),
            p90: at(90),
            samples: u32::try_from(all.len()).expect("few"),
            age: now - newest - 1,
        })
    }
}

/// Who chooses, and what was seen so far.
struct Chooser {
    purpose: Purpose,
    decisions: u32,
    calls: Samples,
    batches: Samples,
}

/// What one choice came to: of what was chosen, of single calls and of a batch.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    chosen: f64,
    singly: f64,
    batch: f64,
}

impl std::ops::AddAssign for Came {
    fn add_assign(&mut self, other: Self) {
        self.chosen += other.chosen;
        self.singly += other.singly;
        self.batch += other.batch;
    }
}

impl Came {
    fn better(&self) -> f64 {
        self.singly.min(self.batch)
    }
}

impl Chooser {
    fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            decisions: 0,
            calls: Samples::new(50),
            batches: Samples::new(5),
        }
    }

    fn choose(&self, items: u32) -> Choice {
        decide(&Case {
            items,
            mode: Strategy::Auto,
            purpose: self.purpose,
            individual: self.calls.known(self.decisions),
            batch: self.batches.known(self.decisions),
            decisions: self.decisions,
            individual_microusd: Some(1_000),
            batch_microusd: Some(500),
            ..Case::default()
        })
    }

    /// Chooses, asks, learns. The same latencies meet each of the three.
    fn turn(&mut self, items: u32, provider: Provider, chance: &mut StdRng) -> Came {
        let choice = self.choose(items);
        let calls = Provider::latencies(provider.call, items, chance);
        let batch = Provider::latencies(provider.batch, 1, chance);
        let singles = &calls[..choice.singles as usize];
        let batched = choice.batched(items);
        let taken = if batched > 0 { &batch[..] } else { &[] };
        let came = match self.purpose {
            Purpose::Interactive => {
                let time = |calls: &[u64], batch: &[u64]| {
                    five_at_once(calls).max(batch.iter().copied().max().unwrap_or(0)) as f64
                };
                Came {
                    chosen: match choice.rescue_after {
                        Some(rescue) if batched > 0 && batch[0] > millis(rescue) => {
                            let rest = five_at_once(&calls[choice.singles as usize..]);
                            let rescued = millis(rescue) + rest;
                            time(singles, &[rescued.min(batch[0])])
                        }
                        _ => time(singles, taken),
                    },
                    singly: time(&calls, &[]),
                    // a batch of one goes singly
                    batch: if items < 2 {
                        time(&calls, &[])
                    } else {
                        time(&[], &batch)
                    },
                }
            }
            Purpose::Bulk => Came {
                chosen: f64::from(choice.singles) + f64::from(batched) / 2.0,
                singly: f64::from(items),
                batch: if items < 2 {
                    1.0
                } else {
                    f64::from(items) / 2.0
                },
            },
        };
        let now = self.decisions;
        self.calls.add(now, singles);
        self.batches.add(now, taken);
        self.decisions += 1;
        came
    }

    /// Walks the grid so often, each time in another order; what it came to by size.
    fn walk(&mut self, times: usize, provider: Provider, chance: &mut StdRng) -> Vec<Came> {
        let mut sums = vec![Came::default(); GRID.len()];
        for _ in 0..times {
            let mut order: Vec<usize> = (0..GRID.len()).collect();
            order.shuffle(chance);
            for place in order {
                sums[place] += self.turn(GRID[place], provider, chance);
            }
        }
        sums
    }

    fn learn(&mut self, choices: u32, provider: Provider, chance: &mut StdRng) {
        for _ in 0..choices {
            let items = GRID[chance.random_range(0..GRID.len())];
            self.turn(items, provider, chance);
        }
    }
}

fn any_provider(chance: &mut StdRng) -> Provider {
    let mut range = |least: f64, most: f64, spread: f64| {
        // evenly over orders of magnitude
        let middle = least * (most / least).powf(chance.random());
        let spread = chance.random_range(0.0..spread);
        let at = |part: f64| millis(Duration::from_secs_f64(middle * part));
        (at(1.0 - spread), at(1.0 + spread))
    };
    Provider {
        call: range(0.2, 20.0, 0.5),
        batch: range(5.0, 600.0, 0.34),
    }
}

/// What auto came to over all of the grid, as a part of the better way of each size.
fn ratio(sums: &[Came]) -> f64 {
    let chosen: f64 = sums.iter().map(|it| it.chosen).sum();
    let better: f64 = sums.iter().map(Came::better).sum();
    chosen / better
}

#[test]
fn auto_is_within_a_tenth_of_the_better_way_after_twenty_choices_whatever_changes() {
    for seed in 0..60 {
        let mut chance = StdRng::seed_from_u64(seed);
        for purpose in Purpose::ALL {
            let mut chooser = Chooser::new(purpose);
            for change in 0..3 {
                let provider = any_provider(&mut chance);
                chooser.learn(20, provider, &mut chance);
                let ratio = ratio(&chooser.walk(5, provider, &mut chance));
                let told = format!("{ratio:.3}: {purpose}, seed {seed}, change {change}");
                assert!(ratio <= 1.1, "{told}, {provider:?}");
            }
        }
    }
}

#[test]
fn calls_of_a_second_or_three_and_batches_of_a_minute_are_told_apart_at_every_size() {
    let seconds = |call: (u64, u64), batch: (u64, u64), scale| Provider {
        call: (call.0 * scale, call.1 * scale),
        batch: (batch.0 * scale, batch.1 * scale),
    };
    for scale in [100, 1_000] {
        let mut chance = StdRng::seed_from_u64(scale);
        let mut chooser = Chooser::new(Purpose::Interactive);
        for (call, batch) in [
            ((1, 3), (30, 60)),
            ((10, 30), (30, 60)),
            ((1, 3), (300, 600)),
        ] {
            let provider = seconds(call, batch, scale);
            chooser.learn(20, provider, &mut chance);
            let sums = chooser.walk(40, provider, &mut chance);
            let whole = ratio(&sums);
            assert!(whole <= 1.05, "{whole:.3} with {provider:?}");
            // where both take about the same, to look at the other one costs a little more of it
            for (items, sum) in GRID.iter().zip(&sums) {
                let ratio = sum.chosen / sum.better();
                assert!(ratio <= 1.15, "{items}: {ratio:.3} with {provider:?}");
            }
        }
    }
}

/// Sizes from 1 to 1,000.
const GRID: [u32; 16] = [
    1, 2, 3, 5, 7, 9, 10, 12, 20, 31, 50, 80, 120, 250, 500, 1_000,
];
