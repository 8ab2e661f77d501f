//! When something is told or looked at again: pure decisions, so that a fast run floods nobody and a large
//! one is not slowed down by being watched.

use std::time::Duration;

/// A line after so many items that ended ...
const LINE_ITEMS: i64 = 10;
/// ... or after so long ...
const LINE_EVERY: Duration = Duration::from_secs(5);
/// ... and never sooner than this after the last.
const LINE_REST: Duration = Duration::from_secs(1);
/// A look takes a twentieth of the time at most: it rests for so many times as long as it took.
const LOOK_REST: u32 = 19;
/// And never less than this, however cheap it is.
const LOOK_EVERY: Duration = Duration::from_millis(900);

/// Where a line was told last: so long ago, at so many items ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastLine {
    pub(super) ago: Duration,
    pub(super) ended: i64,
}

/// Whether a line is due now: the first at once, then every 10 items or 5 s, whichever comes first, but no
/// two within a second.
pub(super) fn line_is_due(last: Option<LastLine>, ended: i64) -> bool {
    last.is_none_or(|last| {
        last.ago >= LINE_REST && (ended - last.ended >= LINE_ITEMS || last.ago >= LINE_EVERY)
    })
}

/// How long a look that took so long is not repeated.
pub(super) fn look_rest(took: Duration) -> Duration {
    LOOK_EVERY.max(took * LOOK_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(ago_ms: u64, items: i64) -> bool {
        let last = LastLine {
            ago: Duration::from_millis(ago_ms),
            ended: 100,
        };
        line_is_due(Some(last), 100 + items)
    }

    #[test]
    fn a_line_is_due_every_ten_items_or_five_seconds_whichever_comes_first() {
        assert!(line_is_due(None, 0), "the first at once");
        assert!(due(1_000, 10) && due(4_999, 10) && due(1_500, 400));
        assert!(!due(4_999, 9) && !due(1_000, 0));
        assert!(due(5_000, 9) && due(5_000, 0) && due(60_000, 1));
    }

    #[test]
    fn a_fast_run_prints_one_line_a_second_at_most() {
        assert!(!due(0, 10) && !due(999, 1_000_000));
        let (mut at_ms, mut last, mut lines): (u64, Option<(u64, i64)>, u64) = (0, None, 0);
        // 1,000 items a second, looked at every millisecond for a minute
        while at_ms < 60_000 {
            let ended = i64::try_from(at_ms).expect("small");
            let told = last.map(|(at, ended)| LastLine {
                ago: Duration::from_millis(at_ms - at),
                ended,
            });
            if line_is_due(told, ended) {
                (last, lines) = (Some((at_ms, ended)), lines + 1);
            }
            at_ms += 1;
        }
        assert_eq!(lines, 60);
    }

    #[test]
    fn a_look_takes_a_twentieth_of_the_time_at_most() {
        for took_ms in [1, 47, 48, 100, 3_000] {
            let took = Duration::from_millis(took_ms);
            let share = took.as_secs_f64() / (took + look_rest(took)).as_secs_f64();
            assert!(share <= 0.0501, "{took:?}: {share}");
        }
        assert_eq!(look_rest(Duration::ZERO), LOOK_EVERY);
    }
}
