//! A scene: random models, limits, books, cooldowns, runs and lanes at one moment.

use proptest::{collection::vec, option, prelude::*};
use tidegate::{
    limits::{Dimension, SECOND_US},
    route::Policy,
};

/// Midnight (UTC) of a day on which the clocks of the Pacific coast go forward, in microseconds.
pub(super) const MIDNIGHT: i64 = 1_772_928_000 * SECOND_US;
/// Entries have their own scope, key and calendar.
pub(super) const PROVIDERS: [&str; 2] = ["p0", "p1"];
pub(super) const ZONES: [&str; 2] = ["America/Los_Angeles", "UTC"];
pub(super) const WORKERS: [&str; 2] = ["w0", "w1"];

#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// Microseconds.
    pub(super) now: i64,
    pub(super) has_key: [bool; 2],
    pub(super) models: Vec<AModel>,
    pub(super) runs: Vec<ARun>,
    pub(super) lanes: Vec<ALane>,
    pub(super) flying: Vec<Flying>,
    /// Calls at once of each worker.
    pub(super) workers: [Option<u64>; 2],
    pub(super) day_budget: Option<ALimit>,
    pub(super) holds: Vec<AHold>,
    pub(super) slots: u32,
    pub(super) offset: f64,
    pub(super) interactive: bool,
}

#[derive(Clone, Debug)]
pub(super) struct AModel {
    pub(super) provider: usize,
    pub(super) parked: bool,
    pub(super) cooldown: Option<ACooldown>,
    pub(super) input_price: Option<u64>,
    pub(super) output_price: Option<u64>,
    pub(super) at_once: u64,
    pub(super) limits: Vec<ALimit>,
    /// It has the first model's limits beside its own.
    pub(super) shares: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ACooldown {
    /// From now, in milliseconds.
    pub(super) until_ms: i64,
    /// After its end, in milliseconds.
    pub(super) proven_ms: Option<i64>,
}

#[derive(Clone, Debug)]
pub(super) struct ALimit {
    pub(super) dimension: Dimension,
    pub(super) day: bool,
    pub(super) size: u64,
    pub(super) burst: Option<u64>,
    pub(super) guard_ms: u32,
    pub(super) interactive_ago_s: Option<i64>,
    /// Newest first: what sort, milliseconds before the one before it, thousandths of the size.
    pub(super) entries: Vec<(Sort, i64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sort {
    Debit,
    More,
    Less,
    Foreign,
}

#[derive(Clone, Debug)]
pub(super) struct ARun {
    pub(super) paused: bool,
    pub(super) worker: usize,
    pub(super) weight: f32,
    pub(super) mix: Vec<f32>,
    pub(super) budget: Option<ALimit>,
    pub(super) stagger_ms: Option<i32>,
    pub(super) cool_after: Option<i32>,
    /// When the next may start, in milliseconds from now; started since its last rest.
    pub(super) paced: Option<(i64, i32)>,
}

#[derive(Clone, Debug)]
pub(super) struct ALane {
    pub(super) run: usize,
    pub(super) tier: usize,
    pub(super) component_priority: i32,
    /// Picks among the models; what comes twice is left out.
    pub(super) ladder: Vec<usize>,
    pub(super) policy: Policy,
    pub(super) patience_ms: i64,
    pub(super) est_output: u32,
    pub(super) max_output: Option<u32>,
    /// What was found out of the first model's answers.
    pub(super) quantile: Option<u32>,
    pub(super) sealed: bool,
    pub(super) pack: (i16, u32),
    pub(super) tasks: Vec<ATask>,
}

#[derive(Clone, Debug)]
pub(super) struct ATask {
    pub(super) priority: i32,
    pub(super) est_input: u32,
    pub(super) tries: Vec<u16>,
    pub(super) rescues: u16,
    pub(super) most: Option<i16>,
}

/// A call under way.
#[derive(Clone, Debug)]
pub(super) struct Flying {
    pub(super) lane: usize,
    pub(super) model: usize,
    pub(super) ago_ms: i64,
    pub(super) suspect_of_ours: bool,
}

#[derive(Clone, Debug)]
pub(super) struct AHold {
    pub(super) limit: usize,
    pub(super) lane: usize,
    pub(super) task: usize,
    pub(super) ago_ms: i64,
}

pub(super) fn scenes() -> impl Strategy<Value = Scene> {
    let moment = prop_oneof![
        0_i64..360_000,
        28_800_000_i64..29_100_000,
        0_i64..86_000_000
    ]
    .prop_map(|ms| MIDNIGHT + ms * 1_000);
    let whom = (
        moment,
        prop_oneof![9 => Just([true, true]), 1 => Just([true, false])],
        [
            option::weighted(0.3, 1_u64..16),
            option::weighted(0.3, 1_u64..16),
        ],
        option::weighted(0.3, limit(Dimension::Money, true)),
        1_u32..30,
        0.001_f64..0.999,
        prop::bool::weighted(0.2),
    );
    let what = (
        vec(model(), 1..5),
        vec(run(), 1..4),
        vec(lane(), 1..7),
        vec(flying(), 0..6),
        vec(hold(), 0..3),
    );
    (whom, what).prop_map(|(whom, what)| {
        let (now, has_key, workers, day_budget, slots, offset, interactive) = whom;
        let (models, runs, lanes, flying, holds) = what;
        Scene {
            now,
            has_key,
            models,
            runs,
            lanes,
            flying,
            workers,
            day_budget,
            holds,
            slots,
            offset,
            interactive,
        }
    })
}

fn model() -> impl Strategy<Value = AModel> {
    let until_ms = prop_oneof![2 => -9_000_i64..90_000, 1 => -120_000_i64..0];
    let cooldown = (until_ms, option::of(0_i64..9_000));
    let cooldown = cooldown.prop_map(|(until_ms, proven_ms)| ACooldown {
        until_ms,
        proven_ms: proven_ms.filter(|it| it + until_ms <= 0),
    });
    // and prices that nobody could pay
    let price = || {
        let amount = prop_oneof![3 => Just(0_u64), 15 => 0_u64..3_000_000, 1 => 1_000_000_000_000_u64..9_000_000_000_000_000_000];
        option::weighted(0.8, amount)
    };
    let limits = (
        option::weighted(0.7, limit(Dimension::Requests, false)),
        option::weighted(0.2, limit(Dimension::Requests, true)),
        option::weighted(0.3, limit(Dimension::InputTokens, false)),
        option::weighted(0.2, limit(Dimension::OutputTokens, false)),
        option::weighted(0.3, limit(Dimension::TotalTokens, false)),
        option::weighted(0.2, limit(Dimension::TotalTokens, true)),
    );
    (
        0_usize..2,
        prop::bool::weighted(0.04),
        option::weighted(0.25, cooldown),
        price(),
        price(),
        prop_oneof![1 => 0_u64..6, 3 => 6_u64..40],
        limits,
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(provider, parked, cooldown, input_price, output_price, at_once, limits, shares)| {
                let (a, b, c, d, e, f) = limits;
                AModel {
                    provider,
                    parked,
                    cooldown,
                    input_price,
                    output_price,
                    at_once,
                    limits: [a, b, c, d, e, f].into_iter().flatten().collect(),
                    shares,
                }
            },
        )
}

pub(super) fn limit(dimension: Dimension, day: bool) -> impl Strategy<Value = ALimit> {
    let size = match dimension {
        Dimension::Requests => prop_oneof![1 => 0_u64..12, 2 => 12_u64..60].boxed(),
        Dimension::Money => (0_u64..9_000).boxed(),
        _ => prop_oneof![1 => 1_u64..1_500, 2 => 1_500_u64..9_000].boxed(),
    };
    let burst = if dimension == Dimension::Requests && !day {
        option::weighted(0.5, 1_u64..20).boxed()
    } else {
        Just(None).boxed()
    };
    let sort = prop_oneof![
        8 => Just(Sort::Debit),
        1 => Just(Sort::More),
        1 => Just(Sort::Less),
        1 => Just(Sort::Foreign),
    ];
    let guard_ms = prop_oneof![Just(1_000_u32), 0_u32..3_000];
    (
        size,
        burst,
        guard_ms,
        option::weighted(0.2, 0_i64..1_200),
        vec((sort, 1_i64..25_000, 0_u64..300), 0..6),
    )
        .prop_map(
            move |(size, burst, guard_ms, interactive_ago_s, entries)| ALimit {
                dimension,
                day,
                size,
                burst,
                guard_ms,
                interactive_ago_s,
                entries,
            },
        )
}

fn run() -> impl Strategy<Value = ARun> {
    (
        0_usize..2,
        prop_oneof![Just(1.0_f32), 0.1_f32..9.0],
        prop_oneof![Just(vec![4.0_f32, 5.0, 1.0]), vec(0.5_f32..9.0, 1..3)],
        option::weighted(0.3, limit(Dimension::Money, false)),
        option::weighted(0.15, Just(500_i32)),
        option::weighted(0.15, 1_i32..12),
        option::weighted(0.3, (-9_000_i64..1_000, 0_i32..14)),
        prop::bool::weighted(0.05),
    )
        .prop_map(
            |(worker, weight, mix, budget, stagger_ms, cool_after, paced, paused)| ARun {
                paused,
                worker,
                weight,
                mix,
                budget,
                stagger_ms,
                cool_after,
                paced: paced.filter(|_| stagger_ms.is_some() || cool_after.is_some()),
            },
        )
}

fn lane() -> impl Strategy<Value = ALane> {
    let policy = prop_oneof![
        Just(Policy::Auto),
        Just(Policy::Ladder),
        Just(Policy::Spread),
        Just(Policy::Patient)
    ];
    (
        (0_usize..3, 0_usize..3, 0_i32..2),
        vec(0_usize..4, 1..5),
        policy,
        prop_oneof![Just(60_000_i64), 0_i64..90_000],
        0_u32..400,
        option::weighted(
            0.5,
            prop_oneof![9 => 1_u32..900, 1 => 900_u32..2_000_000_000],
        ),
        option::weighted(0.3, 0_u32..700),
        (
            any::<bool>(),
            prop_oneof![Just(1_i16), 2_i16..7],
            prop_oneof![Just(i32::MAX.unsigned_abs()), 1_u32..1_500],
        ),
        vec(task(), 1..25),
    )
        .prop_map(
            |(
                place,
                ladder,
                policy,
                patience_ms,
                est_output,
                max_output,
                quantile,
                (sealed, size, tokens),
                tasks,
            )| {
                let (run, tier, component_priority) = place;
                ALane {
                    run,
                    tier,
                    component_priority,
                    ladder,
                    policy,
                    patience_ms,
                    est_output,
                    max_output,
                    quantile,
                    sealed,
                    pack: (size, tokens),
                    tasks,
                }
            },
        )
}

fn task() -> impl Strategy<Value = ATask> {
    (
        0_i32..5,
        prop_oneof![6 => 0_u32..300, 1 => 300_u32..5_000],
        prop_oneof![7 => Just(vec![]), 1 => vec(0_u16..5, 1..4)],
        prop_oneof![9 => Just(0_u16), 1 => Just(1_u16), 1 => Just(2_u16)],
        option::weighted(0.15, 1_i16..5),
    )
        .prop_map(|(priority, est_input, tries, rescues, most)| ATask {
            priority,
            est_input,
            tries,
            rescues,
            most,
        })
}

fn flying() -> impl Strategy<Value = Flying> {
    (
        0_usize..6,
        0_usize..4,
        0_i64..30_000,
        prop::bool::weighted(0.05),
    )
        .prop_map(|(lane, model, ago_ms, suspect_of_ours)| Flying {
            lane,
            model,
            ago_ms,
            suspect_of_ours,
        })
}

fn hold() -> impl Strategy<Value = AHold> {
    (
        0_usize..12,
        0_usize..6,
        0_usize..25,
        prop_oneof![0_i64..20_000, 170_000_i64..190_000],
    )
        .prop_map(|(limit, lane, task, ago_ms)| AHold {
            limit,
            lane,
            task,
            ago_ms,
        })
}
