//! What the provider's own log says: shares, peaks and what was used. Pure.

use std::time::Duration;

use super::scenario::Scene;

/// One call as the provider saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// When it arrived, in milliseconds since 1970.
    pub(super) at_ms: u64,
    pub(super) took_ms: u64,
    pub(super) model: String,
    pub(super) input_tokens: u64,
    pub(super) how: How,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Let in and answered.
    Answered,
    /// Let in; the client went away before the answer.
    Abandoned,
    /// 429.
    Refused,
    /// Anything else.
    Other,
}

/// When the size of all limits was halved, in milliseconds since 1970.
pub(super) type Halved = Option<u64>;

/// What was measured of one run.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Figures {
    pub(super) makespan_s: f64,
    /// From the opening of the run to the first call.
    pub(super) first_call_s: f64,
    pub(super) calls: usize,
    pub(super) refused: usize,
    pub(super) refused_share: f64,
    pub(super) calls_per_task: f64,
    /// Calls beyond one per task that were answered or broken off.
    pub(super) repeated: usize,
    /// Of these, what was broken off: in flight as its process died.
    pub(super) abandoned: usize,
    /// The most calls under way at once.
    pub(super) concurrency: usize,
    /// Requests beyond a limit in the worst span of 60 s, over all models.
    pub(super) over: u64,
    /// The same of tokens.
    pub(super) over_tokens: u64,
    /// From the halving of all limits to the last refusal.
    pub(super) refused_after_halving_s: Option<f64>,
    pub(super) models: Vec<OfModel>,
}

/// One model's part.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct OfModel {
    pub(super) model: String,
    pub(super) limit: u64,
    pub(super) calls: usize,
    pub(super) refused: usize,
    /// Calls let in, of all that it could have granted from the first call to the last start.
    pub(super) use_of_quota: f64,
    pub(super) most_in_60s: u64,
    pub(super) token_limit: Option<u64>,
    pub(super) most_tokens_in_60s: u64,
}

/// Measures the calls that arrived since a run was opened.
pub(super) fn measure(scene: &Scene, log: &[Seen], opened_ms: u64, halved: Halved) -> Figures {
    let mut log: Vec<&Seen> = log.iter().collect();
    log.sort_by_key(|seen| seen.at_ms);
    let first_ms = log.first().map_or(opened_ms, |seen| seen.at_ms);
    // some may have been claimed before the loader heard that the run is open
    let began_ms = opened_ms.min(first_ms);
    let ended_ms = log.iter().map(|seen| seen.at_ms + seen.took_ms).max();
    let makespan_ms = ended_ms.unwrap_or(began_ms) - began_ms;
    let count = |how: How| log.iter().filter(|seen| seen.how == how).count();
    let refusals = log.iter().filter(|seen| seen.how == How::Refused);
    let last_refusal = refusals.map(|seen| seen.at_ms).max();
    let (calls, refused, abandoned) = (log.len(), count(How::Refused), count(How::Abandoned));
    let tasks = scene.tasks as usize;
    let last_start = Duration::from_millis(makespan_ms).saturating_sub(scene.latency);
    let mut over = (0, 0);
    let models = scene
        .models
        .iter()
        .map(|model| {
            let mine = || log.iter().filter(|seen| seen.model == model.name);
            let counts = |seen: &&&Seen| seen.how != How::Refused || scene.count_refused;
            let requests: Vec<_> = mine().filter(counts).map(|it| (it.at_ms, 1)).collect();
            let let_in = |seen: &&&Seen| seen.how != How::Refused;
            let tokens: Vec<_> = mine()
                .filter(let_in)
                .map(|it| (it.at_ms, it.input_tokens))
                .collect();
            over.0 = over.0.max(beyond(&requests, model.requests.size, halved));
            if let Some(size) = model.tokens {
                over.1 = over.1.max(beyond(&tokens, size, halved));
            }
            let could = model.requests.granted_by(last_start).max(1);
            OfModel {
                model: model.name.clone(),
                limit: model.requests.size,
                calls: mine().count(),
                refused: mine().filter(|seen| seen.how == How::Refused).count(),
                use_of_quota: mine().filter(let_in).count() as f64 / could as f64,
                most_in_60s: beyond(&requests, 0, None),
                token_limit: model.tokens,
                most_tokens_in_60s: beyond(&tokens, 0, None),
            }
        })
        .collect();
    Figures {
        makespan_s: makespan_ms as f64 / 1_000.0,
        first_call_s: (first_ms - began_ms) as f64 / 1_000.0,
        calls,
        refused,
        refused_share: refused as f64 / calls.max(1) as f64,
        calls_per_task: calls as f64 / tasks.max(1) as f64,
        repeated: (calls - refused).saturating_sub(tasks),
        abandoned,
        concurrency: concurrency(&log),
        over: over.0,
        over_tokens: over.1,
        refused_after_halving_s: halved.zip(last_refusal).map(|(halved, last)| {
            // none since: clean at once
            last.saturating_sub(halved) as f64 / 1_000.0
        }),
        models,
    }
}

/// By how much the fullest span of 60 s, however placed, is above the limit. Spans that begin after
/// the halving have half of it. Amounts in order of their moments.
fn beyond(amounts: &[(u64, u64)], limit: u64, halved: Halved) -> u64 {
    let (mut end, mut sum, mut most) = (0, 0, 0);
    for (from, amount) in amounts {
        while let Some((_, next)) = amounts.get(end).filter(|(at, _)| *at < from + MINUTE_MS) {
            sum += next;
            end += 1;
        }
        let limit = match halved {
            Some(moment) if *from >= moment => limit / 2,
            _ => limit,
        };
        most = most.max(u64::saturating_sub(sum, limit));
        sum -= amount;
    }
    most
}

fn concurrency(log: &[&Seen]) -> usize {
    let mut turns: Vec<(u64, bool)> = log
        .iter()
        .filter(|seen| seen.how != How::Refused)
        .flat_map(|seen| [(seen.at_ms, true), (seen.at_ms + seen.took_ms, false)])
        .collect();
    // at one moment, who leaves leaves first
    turns.sort_unstable();
    let (mut now, mut most) = (0_usize, 0);
    for (_, begins) in turns {
        now = if begins {
            now + 1
        } else {
            now.saturating_sub(1)
        };
        most = most.max(now);
    }
    most
}

const MINUTE_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::super::scenario::Window;
    use super::*;

    fn seen(at_ms: u64, how: How) -> Seen {
        Seen {
            at_ms,
            took_ms: 100,
            model: "model-1".to_owned(),
            input_tokens: 10,
            how,
        }
    }

    fn scene(tasks: u32, rpm: u32) -> Scene {
        let latency = Duration::from_millis(100);
        Scene::new(tasks, &[rpm], Window::Sliding, latency, (false, false))
    }

    #[test]
    fn a_span_of_60_seconds_is_open_at_its_end() {
        let at = |moments: &[u64]| moments.iter().map(|at| (*at, 1)).collect::<Vec<_>>();
        assert_eq!(beyond(&at(&[0, 59_999, 60_000]), 1, None), 1);
        assert_eq!(beyond(&at(&[0, 60_000]), 1, None), 0);
        assert_eq!(
            beyond(&at(&[0, 30_000, 59_000, 61_000, 89_999]), 3, None),
            1
        );
        assert_eq!(beyond(&at(&[0, 1, 70_000, 70_001]), 2, Some(60_000)), 1);
        assert_eq!(beyond(&at(&[]), 0, None), 0);
    }

    #[test]
    fn refusals_and_repetitions_are_told_apart() {
        let log = [
            seen(1_000, How::Answered),
            seen(1_050, How::Refused),
            seen(1_060, How::Abandoned),
            seen(1_500, How::Answered),
        ];
        let figures = measure(&scene(2, 60), &log, 900, None);
        assert_eq!((figures.calls, figures.refused), (4, 1));
        assert_eq!((figures.repeated, figures.abandoned), (1, 1));
        assert_eq!((figures.concurrency, figures.over), (2, 0));
        assert!((figures.makespan_s - 0.7).abs() < 1e-9, "{figures:?}");
        assert!((figures.first_call_s - 0.1).abs() < 1e-9, "{figures:?}");
    }

    #[test]
    fn a_window_that_was_broken_is_seen() {
        let log: Vec<Seen> = (0..5).map(|it| seen(it * 10_000, How::Answered)).collect();
        assert_eq!(measure(&scene(5, 3), &log, 0, None).over, 2);
        assert_eq!(measure(&scene(5, 5), &log, 0, None).over, 0);
    }

    #[test]
    fn how_long_it_took_to_be_clean_again_is_told() {
        let log = [seen(10_000, How::Answered), seen(13_500, How::Refused)];
        let figures = measure(&scene(1, 60), &log, 0, Some(12_000));
        assert_eq!(figures.refused_after_halving_s, Some(1.5));
    }
}
