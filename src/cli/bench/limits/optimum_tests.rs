use std::collections::BTreeMap;

use super::*;

/// A tick of the brute force: sizes are chosen so that all that matters falls on one.
const TICK_S: usize = 10;
const TICKS_A_MINUTE: usize = 60 / TICK_S;
const HORIZON: usize = 3 * TICKS_A_MINUTE + 2;

/// The most calls that can have started by each tick, over every schedule there is: at each tick any
/// number that neither a span of a minute nor the bucket forbids, none included. States with the
/// same last minute and bucket are one, with the most that leads there.
fn every_schedule(quota: Quota, windows_are_kept: bool) -> Vec<u64> {
    // what is missing in the bucket, in sixths of a minute's size so that it stays whole
    type State = ([u64; TICKS_A_MINUTE], u64);
    let whole = TICKS_A_MINUTE as u64;
    let mut states: BTreeMap<State, u64> = BTreeMap::from([(([0; TICKS_A_MINUTE], 0), 0)]);
    let mut most = Vec::new();
    for _ in 0..HORIZON {
        let mut next: BTreeMap<State, u64> = BTreeMap::new();
        for ((minute, missing), started) in states {
            // a tick passes: the oldest leaves the span, the bucket refills
            let mut minute = minute;
            minute.rotate_left(1);
            minute[TICKS_A_MINUTE - 1] = 0;
            let missing = missing.saturating_sub(quota.size);
            for now in 0..=2 * quota.size {
                minute[TICKS_A_MINUTE - 1] = now;
                let in_span: u64 = minute.iter().sum();
                let missing = missing + now * whole;
                let in_bucket = quota.burst.is_none_or(|burst| missing <= burst * whole);
                if (in_span <= quota.size || !windows_are_kept) && in_bucket {
                    let best = next.entry((minute, missing)).or_default();
                    *best = (*best).max(started + now);
                }
            }
        }
        most.push(next.values().copied().max().unwrap_or(0));
        states = next;
    }
    most
}

fn quotas() -> Vec<Quota> {
    let mut all = Vec::new();
    for size in [1, 2, 3, 6] {
        all.push(Quota { size, burst: None });
        all.extend((1..=size).map(|burst| Quota {
            size,
            burst: Some(burst),
        }));
    }
    all
}

fn tick(number: usize) -> Duration {
    Duration::from_secs((number * TICK_S) as u64)
}

#[test]
fn no_schedule_has_more_grants_and_one_has_as_many() {
    for quota in quotas() {
        let most = every_schedule(quota, true);
        let ours: Vec<u64> = (0..HORIZON).map(|it| quota.granted_by(tick(it))).collect();
        assert_eq!(ours, most, "{quota:?}");
    }
}

#[test]
fn a_client_that_keeps_no_window_could_take_more_of_a_bucket() {
    let quota = Quota {
        size: 6,
        burst: Some(3),
    };
    let (kept, loose) = (every_schedule(quota, true), every_schedule(quota, false));
    assert!(loose[5] > kept[5], "{kept:?} {loose:?}");
    assert_eq!(
        loose[6], kept[6],
        "the bucket gave no more by the minute's end"
    );
}

#[test]
fn the_makespan_is_that_of_the_best_split_among_models() {
    let all: Vec<(Quota, Vec<u64>)> = quotas()
        .into_iter()
        .map(|quota| (quota, every_schedule(quota, true)))
        .collect();
    for (first, a) in &all {
        for (second, b) in all.iter().rev().step_by(3) {
            for needed in 1..=12 {
                // the least tick by which some split among the two has started
                let split = (0..HORIZON).find(|&at| {
                    (0..=needed).any(|share| a[at] >= share && b[at] >= needed - share)
                });
                let Some(split) = split else { continue };
                assert_eq!(
                    last_start(needed, &[*first, *second]),
                    Some(tick(split)),
                    "{needed} over {first:?} and {second:?}"
                );
            }
        }
    }
}

fn ladder(bucket: bool) -> Vec<Quota> {
    let sizes = [120, 240, 360, 480];
    let quota = |size| Quota {
        size,
        burst: bucket.then_some(size / 6),
    };
    sizes.map(quota).to_vec()
}

#[test]
fn the_default_scene_has_the_known_makespan() {
    // 1,200 by the end of the first minute, 200 at once, 100 at 20 a second
    assert_eq!(
        last_start(1_500, &ladder(true)),
        Some(Duration::from_secs(65))
    );
    assert_eq!(
        last_start(1_500, &ladder(false)),
        Some(Duration::from_secs(60))
    );
    // here the windows cost something: without them 1,300 have started after 55 s
    assert_eq!(
        last_start(1_300, &ladder(true)),
        Some(Duration::from_secs(60))
    );
}

#[test]
fn few_slots_make_it_longer_and_many_do_not() {
    let takes = Duration::from_millis(300);
    let bound = |slots, bucket| last_start_with_slots(1_500, &ladder(bucket), slots, takes);
    assert_eq!(bound(1_000, true), last_start(1_500, &ladder(true)));
    assert_eq!(bound(10_000, false), last_start(1_500, &ladder(false)));
    // 10 calls of 0.3 s each: 1,200 take 36 s; the 300 after that begin at 60 s, 10 every 0.3 s
    let ten = bound(10, false).unwrap().as_secs_f64();
    assert!((ten - 68.7).abs() < 1e-6, "{ten}");
    // one slot: nothing else matters
    let one = bound(1, true).unwrap().as_secs_f64();
    assert!((one - 1_499.0 * 0.3).abs() < 1e-6, "{one}");
}

#[test]
fn nothing_to_grant_is_never_done() {
    let none = Quota {
        size: 0,
        burst: None,
    };
    assert_eq!(last_start(1, &[none]), None);
    assert_eq!(last_start(1, &[]), None);
    assert_eq!(last_start(0, &ladder(true)), Some(Duration::ZERO));
}
