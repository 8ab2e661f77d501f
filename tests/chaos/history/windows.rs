//! I6 and I7: limits by the provider's own log, in any 60 s; cooldowns obeyed once they are known.

use std::collections::VecDeque;

use super::{Arrival, History, Limit, Violation};

const WINDOW_MS: i64 = 60_000;
/// A grant may be used for so long after a cooldown.
const GRANT_MS: i64 = 2_000;

/// No 60 s, however placed, have more than a model's limit and the tolerance.
pub(super) fn limits_hold(history: &History) -> Vec<Violation> {
    history
        .limits
        .iter()
        .flat_map(|limit| {
            let arrivals = sorted(history, &limit.model);
            [requests(limit, &arrivals), tokens(limit, &arrivals)]
        })
        .flatten()
        .collect()
}

fn sorted<'a>(history: &'a History, model: &str) -> Vec<&'a Arrival> {
    let arrivals = history.arrivals.iter().filter(|it| it.model == model);
    let mut arrivals: Vec<_> = arrivals.collect();
    arrivals.sort_by_key(|arrival| arrival.at_ms);
    arrivals
}

fn requests(limit: &Limit, arrivals: &[&Arrival]) -> Option<Violation> {
    let size = limit.requests?;
    let most = fullest(arrivals, |_| 1);
    let may = size + (size / 50).max(1);
    over(limit, "requests", most, may)
}

fn tokens(limit: &Limit, arrivals: &[&Arrival]) -> Option<Violation> {
    let largest = arrivals.iter().map(|it| it.input_tokens).max()?;
    let most = fullest(arrivals, |arrival| arrival.input_tokens);
    over(limit, "tokens", most, limit.tokens? + largest)
}

fn over(limit: &Limit, of: &str, (most, at_ms): (i64, i64), may: i64) -> Option<Violation> {
    let what = format!(
        "{}: {most} {of} in the 60 s before {at_ms}, at most {may} may be",
        limit.model
    );
    (most > may).then(|| Violation::plain("I6", what))
}

/// The most in any window, and when that one ended.
fn fullest(arrivals: &[&Arrival], amount: impl Fn(&Arrival) -> i64) -> (i64, i64) {
    let mut window = VecDeque::new();
    let (mut sum, mut most) = (0, (0, 0));
    for arrival in arrivals {
        window.push_back(*arrival);
        sum += amount(arrival);
        while let Some(first) = window.front()
            && first.at_ms <= arrival.at_ms - WINDOW_MS
        {
            sum -= amount(first);
            window.pop_front();
        }
        most = most.max((sum, arrival.at_ms));
    }
    most
}

/// While a cooldown that is known to be committed lasts, nothing arrives but what was granted before.
pub(super) fn cooldowns_are_obeyed(history: &History) -> Vec<Violation> {
    let mut broken = Vec::new();
    for arrival in &history.arrivals {
        let closed = history.cooldowns.iter().find(|cooldown| {
            cooldown.model == arrival.model
                && cooldown.seen_ms + GRANT_MS < arrival.at_ms
                && arrival.at_ms < cooldown.until_ms
        });
        if let Some(cooldown) = closed {
            let what = format!(
                "{}: a call arrived {} ms after its cooldown was seen, {} ms before its end",
                arrival.model,
                arrival.at_ms - cooldown.seen_ms,
                cooldown.until_ms - arrival.at_ms
            );
            broken.push(Violation::plain("I7", what));
        }
    }
    broken
}
