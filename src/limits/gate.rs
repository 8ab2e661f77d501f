//! After a refusal: closed for a while, then one probe, then a ramp. The pure twin of `gate_v1`.
//!
//! A half-open circuit (M. Nygard, "Release It!", 2007) whose opening doubles like TCP's slow start
//! (RFC 5681), so that a model that was just in trouble never meets the whole herd.

use super::SECOND_US;

/// The last cooldown of a model, as a row of `model_cooldowns` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// Nobody calls before this moment.
    pub until: i64,
    /// When the first call that was granted after `until` came back. `None`: none has.
    pub proven_at: Option<i64>,
    /// Calls in flight that were granted since `until`.
    pub granted_since: u32,
}

impl Cooldown {
    /// How many calls may be in flight: none, one probe, then 2, 4, 8 ... doubling each half second for
    /// 5 s. `None`: no gate (any more).
    pub fn gate(&self, now: i64) -> Option<u32> {
        if self.until > now {
            return Some(0);
        }
        let Some(proven_at) = self.proven_at else {
            return Some(1);
        };
        let since = now.saturating_sub(proven_at);
        if since >= RAMP_US {
            return None;
        }
        let halves = u32::try_from(since.max(0) / (SECOND_US / 2)).unwrap_or_default();
        Some(2 << halves)
    }

    /// How many more calls may start now. `None`: as many as the limits allow.
    pub fn left(&self, now: i64) -> Option<u32> {
        Some(self.gate(now)?.saturating_sub(self.granted_since))
    }
}

/// The gate widens for so long after the first answer.
const RAMP_US: i64 = 5 * SECOND_US;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_probe_then_twice_as_many_each_half_second_for_five() {
        let mut cooldown = Cooldown {
            until: 10 * SECOND_US,
            proven_at: None,
            granted_since: 0,
        };
        assert_eq!(cooldown.left(9 * SECOND_US), Some(0));
        assert_eq!(cooldown.left(90 * SECOND_US), Some(1));
        cooldown.granted_since = 1;
        assert_eq!(cooldown.left(90 * SECOND_US), Some(0));
        cooldown.proven_at = Some(91 * SECOND_US);
        let at = |tenths: i64| cooldown.gate(91 * SECOND_US + tenths * SECOND_US / 10);
        assert_eq!(
            [0, 4, 5, 10, 49].map(at),
            [2, 2, 4, 8, 1_024].map(Some),
            "a ramp"
        );
        assert_eq!(at(50), None);
    }
}
