//! Whether what waits to leave leaves now, or a moment later together with what comes meanwhile.
//!
//! Waiting is paid by all that wait and earns one call for each that joins, so it is worth only a little
//! time, and none where nobody is likely to come.

use std::time::Duration;

/// The longest that anything waits for others.
pub const WINDOW_MAX: Duration = Duration::from_secs(1);

/// What waits, and what may be known of what comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Texts that wait, at least 1.
    pub texts: usize,
    /// Texts that one call takes.
    pub most: usize,
    /// How long the first of them has waited.
    pub waited: Duration,
    /// Callers who have begun and not come here yet: they are a look at the cache away.
    pub coming: usize,
    /// Time between the last callers. `None`: there was one, or they were more than a second apart.
    pub gap: Option<Duration>,
    /// Since the last caller came.
    pub since: Duration,
    /// How long a call takes. `None`: none has come back yet.
    pub latency: Option<Duration>,
    /// How long the first may wait, up to [`WINDOW_MAX`].
    pub window: Duration,
}

/// How long to wait for more; what happens before that is a reason to ask again. `None`: leave now.
///
/// Nobody waits longer than the window, nor than half of what a call takes: more than that no shared
/// call gives back. Within that, callers who have begun are waited for, and where callers come at a
/// steady pace the next one is, for twice the time between them.
///
/// ```
/// # use std::time::Duration;
/// # use tidegate::plan::coalesce::{Gathered, pause};
/// let ms = Duration::from_millis;
/// let alone = Gathered { texts: 1, most: 100, window: ms(5), ..Gathered::default() };
/// assert_eq!(pause(&alone), None);
/// let accompanied = Gathered { coming: 1, waited: ms(2), ..alone };
/// assert_eq!(pause(&accompanied), Some(ms(3)));
/// ```
pub fn pause(gathered: &Gathered) -> Option<Duration> {
    let Gathered {
        texts,
        most,
        waited,
        coming,
        gap,
        since,
        latency,
        window,
    } = *gathered;
    if texts >= most {
        return None;
    }
    let half = latency.map_or(WINDOW_MAX, |it| it / 2);
    let left = window.min(WINDOW_MAX).min(half).saturating_sub(waited);
    let wanted = match (coming, gap) {
        (1.., _) => left,
        // a pace so slow that nobody comes within the time that is left is no reason
        (0, Some(gap)) if gap <= left => (gap * 2).saturating_sub(since).min(left),
        (0, _) => Duration::ZERO,
    };
    (!wanted.is_zero()).then_some(wanted)
}

/// The time between callers after one more came `since` the one before: half of it is news, so that a
/// burst is noticed at its second caller and forgotten as soon. `None` after more than a second.
///
/// ```
/// # use std::time::Duration;
/// # use tidegate::plan::coalesce::gap_after;
/// let ms = Duration::from_millis;
/// assert_eq!(gap_after(None, ms(4)), Some(ms(4)));
/// assert_eq!(gap_after(Some(ms(4)), ms(2)), Some(ms(3)));
/// assert_eq!(gap_after(Some(ms(4)), ms(1_001)), None);
/// ```
pub fn gap_after(gap: Option<Duration>, since: Duration) -> Option<Duration> {
    if since > WINDOW_MAX {
        return None;
    }
    Some(gap.map_or(since, |gap| (gap + since) / 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_waits_only_for_what_is_likely_and_no_longer_than_it_earns() {
        let some = Gathered {
            texts: 3,
            most: 100,
            window: ms(10),
            ..Gathered::default()
        };
        for (what, seen, wanted) in [
            ("nobody comes", some, None),
            ("one comes", Gathered { coming: 1, ..some }, Some(ms(10))),
            (
                "the call is full",
                Gathered {
                    coming: 1,
                    texts: 100,
                    ..some
                },
                None,
            ),
            (
                "the window is over",
                Gathered {
                    coming: 1,
                    waited: ms(10),
                    ..some
                },
                None,
            ),
            (
                "calls are quick",
                Gathered {
                    coming: 1,
                    latency: Some(ms(6)),
                    ..some
                },
                Some(ms(3)),
            ),
            (
                "a steady pace",
                Gathered {
                    gap: Some(ms(2)),
                    since: ms(1),
                    ..some
                },
                Some(ms(3)),
            ),
            (
                "the pace broke off",
                Gathered {
                    gap: Some(ms(2)),
                    since: ms(4),
                    ..some
                },
                None,
            ),
            (
                "a pace too slow",
                Gathered {
                    gap: Some(ms(20)),
                    ..some
                },
                None,
            ),
        ] {
            assert_eq!(pause(&seen), wanted, "{what}");
        }
    }

    proptest! {
        #[test]
        fn nobody_ever_waits_beyond_the_window(
            texts in 1_usize..200, most in 1_usize..200, waited in 0_u64..3_000, coming in 0_usize..4,
            gap in prop::option::of(0_u64..3_000), since in 0_u64..3_000, latency in prop::option::of(0_u64..3_000), window in 0_u64..3_000,
        ) {
            let seen = Gathered {
                texts, most, waited: ms(waited), coming, gap: gap.map(ms), since: ms(since), latency: latency.map(ms), window: ms(window),
            };
            if let Some(pause) = pause(&seen) {
                prop_assert!(pause + ms(waited) <= ms(window).min(WINDOW_MAX));
                prop_assert!(coming > 0 || gap.is_some());
            }
        }
    }
}
