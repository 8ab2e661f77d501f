//! What follows a failed attempt: the same model later, the next model, back unspent, or the end.
//!
//! Owns: [`Tried`], [`Step`], [`after`], the arithmetic of back-off. Never: I/O, a clock, chance
//! (jitter is an argument).

use std::time::Duration;

use crate::llm::Verdict;

/// Calls of one model for one task: the first and 3 retries.
pub const CALLS_PER_MODEL: i16 = 4;
/// Calling and back-off that a task may take in one generation; waits for limits are not counted.
pub const SPENT_MAX: Duration = Duration::from_secs(300);
/// First back-off.
const BACKOFF_BASE: Duration = Duration::from_millis(500);
/// A provider's wish for a wait longer than this sends the task to its next model.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Longest back-off.
const BACKOFF_CAP: Duration = Duration::from_secs(4);

/// What a task has behind it when an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// This attempt, from 1; deaths of processes counted.
    pub attempt: i32,
    /// Attempts it may have.
    pub max_attempts: i32,
    /// Charged calls per model of its ladder before this one (missing ones are 0).
    pub tries: Vec<i16>,
    /// The model just called: its place in the ladder, from 1.
    pub rung: i16,
    /// How many models the ladder has.
    pub ladder_len: i16,
    /// Calling and back-off so far, this attempt included.
    pub spent: Duration,
}

/// What becomes of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Back to ready, nothing spent.
    Release,
    /// Tried again after the delay; an attempt is spent.
    Again {
        /// Back-off.
        delay: Duration,
        /// This model is asked no more for this task.
        exhaust_rung: bool,
    },
    /// Ended: asking again cannot help, or nothing is left to try.
    Fail,
}

/// The step after a failed attempt. `jitter` in `[0, 1)`.
///
/// ```
/// # use std::time::Duration;
/// # use tidegate::{llm::Verdict, retry::{after, Step, Tried}};
/// let tried = Tried { attempt: 1, max_attempts: 8, tries: vec![], rung: 1, ladder_len: 2, spent: Duration::ZERO };
/// assert_eq!(
///     after(Verdict::Retry { after: None }, &tried, 0.0),
///     Step::Again { delay: Duration::from_millis(500), exhaust_rung: false },
/// );
/// assert_eq!(after(Verdict::GiveUp, &tried, 0.0), Step::Fail);
/// ```
pub fn after(verdict: Verdict, tried: &Tried, jitter: f64) -> Step {
    match verdict {
        Verdict::CoolDown { .. } | Verdict::ParkModel | Verdict::ParkProvider => Step::Release,
        Verdict::GiveUp => Step::Fail,
        Verdict::NextModel => again(tried, true, Duration::ZERO),
        Verdict::Retry { after } => {
            let calls = tried.calls_of(tried.rung) + 1;
            // a model that asks for a longer wait than any back-off gives way to the next, if there is one
            let too_long = after.is_some_and(|after| after > WAIT_MAX) && tried.has_other_rung();
            let exhausted = calls >= CALLS_PER_MODEL || too_long;
            let delay = if exhausted {
                Duration::ZERO
            } else {
                let left = SPENT_MAX.saturating_sub(tried.spent).mul_f64(0.9);
                backoff(calls, jitter).max(after.unwrap_or_default().min(left))
            };
            again(tried, exhausted, delay)
        }
    }
}

/// The step after a failed attempt of local work, which has no ladder and no limit of time in all.
/// `again`: trying again may help. Jitter in `[0, 1)`.
pub fn after_local(again: bool, attempt: i32, max_attempts: i32, jitter: f64) -> Step {
    if again && attempt < max_attempts {
        Step::Again {
            delay: backoff(i16::try_from(attempt).unwrap_or(i16::MAX), jitter),
            exhaust_rung: false,
        }
    } else {
        Step::Fail
    }
}

/// Back-off before the call after `calls` failed ones: 0.5, 1, 2 s ... at most 4 s; jitter in
/// `[0, 1)` takes off up to a quarter.
pub fn backoff(calls: i16, jitter: f64) -> Duration {
    let doublings = u32::from(calls.clamp(1, 16).unsigned_abs()) - 1;
    let full = BACKOFF_BASE.saturating_mul(1 << doublings).min(BACKOFF_CAP);
    full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0)
}

fn again(tried: &Tried, exhaust_rung: bool, delay: Duration) -> Step {
    let models_left = (1..=tried.ladder_len).any(|rung| {
        let open = tried.calls_of(rung) < CALLS_PER_MODEL;
        open && !(exhaust_rung && rung == tried.rung)
    });
    let attempts_left = tried.attempt < tried.max_attempts;
    let time_left = tried.spent.saturating_add(delay) < SPENT_MAX;
    if models_left && attempts_left && time_left {
        Step::Again {
            delay,
            exhaust_rung,
        }
    } else {
        Step::Fail
    }
}

impl Tried {
    fn has_other_rung(&self) -> bool {
        (1..=self.ladder_len).any(|rung| rung != self.rung && self.calls_of(rung) < CALLS_PER_MODEL)
    }

    fn calls_of(&self, rung: i16) -> i16 {
        usize::try_from(rung - 1)
            .ok()
            .and_then(|place| self.tries.get(place).copied())
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(ladder_len: i16, jitter: f64) -> Vec<(i16, Duration)> {
        let mut tried = Tried {
            attempt: 1,
            max_attempts: i32::from(ladder_len) * i32::from(CALLS_PER_MODEL),
            tries: vec![0; usize::try_from(ladder_len).expect("a ladder's length")],
            rung: 1,
            ladder_len,
            spent: Duration::ZERO,
        };
        let mut steps = Vec::new();
        while let Step::Again {
            delay,
            exhaust_rung,
        } = after(Verdict::Retry { after: None }, &tried, jitter)
        {
            steps.push((tried.rung, delay));
            tried.tries[usize::try_from(tried.rung - 1).expect("a rung")] += 1;
            tried.attempt += 1;
            tried.rung += i16::from(exhaust_rung);
        }
        steps
    }

    #[test]
    fn each_model_gets_its_first_call_and_three_retries() {
        let steps = walk(2, 0.0);
        let millis: Vec<_> = steps
            .iter()
            .map(|(rung, delay)| (*rung, delay.as_millis()))
            .collect();
        assert_eq!(
            millis,
            [
                (1, 500),
                (1, 1000),
                (1, 2000),
                (1, 0),
                (2, 500),
                (2, 1000),
                (2, 2000)
            ]
        );
    }

    proptest! {
        #[test]
        fn a_task_ends_within_its_attempts(ladder in 1_i16..8, jitter in 0.0..1.0_f64) {
            prop_assert_eq!(walk(ladder, jitter).len(), usize::try_from(ladder).unwrap() * 4 - 1);
        }

        #[test]
        fn back_off_stays_between_three_eighths_of_a_second_and_four(calls in 0_i16..i16::MAX, jitter in 0.0..1.0_f64) {
            let wait = backoff(calls, jitter);
            prop_assert!(wait >= Duration::from_millis(375) && wait <= BACKOFF_CAP);
        }

        #[test]
        fn a_wish_for_a_long_wait_never_fails_a_task_that_has_attempts_left(secs in 0_u64..100_000, ladder in 1_i16..4) {
            let tried = Tried { attempt: 1, max_attempts: i32::from(ladder) * 4, tries: vec![], rung: 1, ladder_len: ladder, spent: Duration::from_secs(1) };
            let step = after(Verdict::Retry { after: Some(Duration::from_secs(secs)) }, &tried, 0.5);
            let kept = matches!(step, Step::Again { .. });
            prop_assert!(kept);
        }

        #[test]
        fn a_refusal_by_the_provider_costs_nothing(attempt in 1..100, rung in 1_i16..4) {
            let tried = Tried { attempt, max_attempts: 1, tries: vec![4; 4], rung, ladder_len: 4, spent: SPENT_MAX };
            prop_assert_eq!(after(Verdict::CoolDown { wait: None, until_day_ends: false }, &tried, 0.5), Step::Release);
        }
    }
}
