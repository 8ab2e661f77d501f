//! What may be done to the queue: steps drawn at random. Picks are taken modulo what there is.

use proptest::{collection::vec, option, prelude::*};
use tidegate::store::enqueue::{OnFailedNeed, OnKey};

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Enqueue(New),
    Claim {
        local: bool,
        process: usize,
        slots: u32,
    },
    /// A claim whose answer is lost on the way, and what was taken given back.
    Unheard {
        local: bool,
        process: usize,
        slots: u32,
    },
    /// Accepted answers of claims that were ever held, however old.
    Answer {
        claim: usize,
        count: usize,
        sink_refuses: bool,
    },
    /// Attempts without an answer, of claims that were ever held.
    Open {
        claim: usize,
        count: usize,
        fate: End,
    },
    /// The best of a tier that wait leave for a provider batch.
    Form {
        tier: i16,
        count: usize,
    },
    /// Accepted answers of items of one batch, however late, and whether asked anew meanwhile.
    BatchAnswer {
        item: usize,
        count: usize,
        sink_refuses: bool,
    },
    /// Items of one batch that brought nothing: failed, missing, given back.
    BatchOpen {
        item: usize,
        count: usize,
        fate: End,
    },
    /// A batch is not back in time.
    BatchLate {
        item: usize,
    },
    /// A process goes silent, or stops in order; others take back what it held.
    Die {
        process: usize,
        stopped: bool,
    },
    /// An attempt outlives its deadline while its process lives.
    Overdue {
        task: usize,
    },
    Cancel {
        task: usize,
        count: usize,
    },
    Retry {
        task: usize,
    },
    ApplySink {
        task: usize,
    },
    Promote,
    /// Two hours pass: every moment to come has come.
    TimePasses,
    SettleNeeds,
    Render {
        limit: i32,
        fails: bool,
    },
    PauseRun {
        local: bool,
        on: bool,
    },
    PauseWorker {
        local: bool,
        on: bool,
    },
}

/// A task to be.
#[derive(Clone, Debug)]
pub(super) struct New {
    pub(super) local: bool,
    pub(super) key: Option<u8>,
    pub(super) on_key: OnKey,
    /// Some past or future moment.
    pub(super) later: Option<bool>,
    pub(super) expires_later: Option<bool>,
    pub(super) tier: i16,
    pub(super) priority: i8,
    pub(super) max_attempts: i32,
    pub(super) needs: Vec<usize>,
    pub(super) on_failed_need: OnFailedNeed,
}

/// How an attempt ends that brought no answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Release,
    Reschedule { later: bool },
    Fail,
    Expire,
}

pub(super) fn any_op() -> impl Strategy<Value = Op> {
    let local = any::<bool>;
    let pick = || 0_usize..64;
    let (process, slots) = (|| 0_usize..3, || 1_u32..6);
    prop_oneof![
        12 => any_new().prop_map(Op::Enqueue),
        14 => (local(), process(), slots())
            .prop_map(|(local, process, slots)| Op::Claim { local, process, slots }),
        1 => (local(), process(), slots())
            .prop_map(|(local, process, slots)| Op::Unheard { local, process, slots }),
        9 => (pick(), 1_usize..4, prop::bool::weighted(0.15))
            .prop_map(|(claim, count, sink_refuses)| Op::Answer { claim, count, sink_refuses }),
        8 => (pick(), 1_usize..3, any_end())
            .prop_map(|(claim, count, fate)| Op::Open { claim, count, fate }),
        6 => (0_i16..2, 1_usize..5).prop_map(|(tier, count)| Op::Form { tier, count }),
        6 => (pick(), 1_usize..4, prop::bool::weighted(0.15))
            .prop_map(|(item, count, sink_refuses)| Op::BatchAnswer { item, count, sink_refuses }),
        4 => (pick(), 1_usize..3, any_end())
            .prop_map(|(item, count, fate)| Op::BatchOpen { item, count, fate }),
        3 => pick().prop_map(|item| Op::BatchLate { item }),
        3 => (process(), any::<bool>()).prop_map(|(process, stopped)| Op::Die { process, stopped }),
        1 => pick().prop_map(|task| Op::Overdue { task }),
        3 => (pick(), 1_usize..4).prop_map(|(task, count)| Op::Cancel { task, count }),
        4 => pick().prop_map(|task| Op::Retry { task }),
        1 => pick().prop_map(|task| Op::ApplySink { task }),
        3 => Just(Op::Promote),
        1 => Just(Op::TimePasses),
        4 => Just(Op::SettleNeeds),
        7 => (1_i32..6, prop::bool::weighted(0.1)).prop_map(|(limit, fails)| Op::Render { limit, fails }),
        2 => (local(), prop::bool::weighted(0.3)).prop_map(|(local, on)| Op::PauseRun { local, on }),
        2 => (local(), prop::bool::weighted(0.3)).prop_map(|(local, on)| Op::PauseWorker { local, on }),
    ]
}

fn any_new() -> impl Strategy<Value = New> {
    let on_key = prop::sample::select(vec![OnKey::Skip, OnKey::Replace, OnKey::Refuse]);
    let on_failed = prop::sample::select(vec![OnFailedNeed::Cancel, OnFailedNeed::Release]);
    let moment = || option::weighted(0.3, any::<bool>());
    let keyed = (any::<bool>(), option::of(0_u8..4), on_key);
    let timed = (moment(), option::weighted(0.15, any::<bool>()));
    let ranked = (0_i16..2, 0_i8..3, 1_i32..4);
    let needs = prop_oneof![3 => Just(Vec::new()), 1 => vec(0_usize..64, 1..3)];
    (keyed, timed, ranked, needs, on_failed).prop_map(
        |(
            (local, key, on_key),
            (later, expires_later),
            (tier, priority, max_attempts),
            needs,
            on_failed_need,
        )| New {
            local,
            key,
            on_key,
            later,
            expires_later,
            tier,
            priority,
            max_attempts,
            needs,
            on_failed_need,
        },
    )
}

fn any_end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Release),
        any::<bool>().prop_map(|later| End::Reschedule { later }),
        Just(End::Fail),
        Just(End::Expire),
    ]
}
