//! What befalls a call: its fault, if any, and how long it takes. Pure: chance is an argument.

use std::f64::consts::TAU;

use super::asked::{Asked, Form};
use super::chance::Chance;
use super::packed;
use super::settings::{Faults, Latency, MS_MAX};

/// What goes wrong with a call that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Http500,
    Http503,
    Reset,
    Hang,
    CutJson,
    ShortBody,
    NotJson,
    Safety,
    MaxTokens,
    Empty,
    LoneSurrogate,
    U0000,
    NoUsage,
    PackMissing,
    PackDoubled,
    PackWrongId,
    PackSwappedId,
    PackCut,
    ProseAround,
    StreamCut,
    StreamError,
}

impl Fault {
    /// The word of the settings, the counters and the log.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Http500 => "http_500",
            Self::Http503 => "http_503",
            Self::Reset => "reset",
            Self::Hang => "hang",
            Self::CutJson => "cut_json",
            Self::ShortBody => "short_body",
            Self::NotJson => "not_json",
            Self::Safety => "safety",
            Self::MaxTokens => "max_tokens",
            Self::Empty => "empty",
            Self::LoneSurrogate => "lone_surrogate",
            Self::U0000 => "u0000",
            Self::NoUsage => "no_usage",
            Self::PackMissing => "pack_missing",
            Self::PackDoubled => "pack_doubled",
            Self::PackWrongId => "pack_wrong_id",
            Self::PackSwappedId => "pack_swapped_id",
            Self::PackCut => "pack_cut",
            Self::ProseAround => "prose_around",
            Self::StreamCut => "stream_cut",
            Self::StreamError => "stream_error",
        }
    }

    fn is_of_content(self) -> bool {
        !matches!(
            self,
            Self::Http500
                | Self::Http503
                | Self::Reset
                | Self::Hang
                | Self::CutJson
                | Self::ShortBody
                | Self::NotJson
                | Self::StreamCut
                | Self::StreamError
        )
    }

    /// Whether it can befall this call; if not, the call goes well, and nothing is counted.
    pub(super) fn befalls(self, asked: &Asked) -> bool {
        match self {
            Self::StreamCut | Self::StreamError => matches!(asked.form, Form::Stream),
            Self::Safety | Self::MaxTokens | Self::LoneSurrogate | Self::U0000 => {
                !matches!(asked.form, Form::Vectors(_))
            }
            Self::PackMissing
            | Self::PackDoubled
            | Self::PackWrongId
            | Self::PackSwappedId
            | Self::PackCut => packed::may_be(asked),
            Self::ProseAround => asked.mime == "application/json",
            _ => true,
        }
    }
}

/// Every fault with its probability.
pub(super) fn table(faults: &Faults) -> [(Fault, f64); 21] {
    [
        (Fault::Http500, faults.http_500),
        (Fault::Http503, faults.http_503),
        (Fault::Reset, faults.reset),
        (Fault::Hang, faults.hang),
        (Fault::CutJson, faults.cut_json),
        (Fault::ShortBody, faults.short_body),
        (Fault::NotJson, faults.not_json),
        (Fault::Safety, faults.safety),
        (Fault::MaxTokens, faults.max_tokens),
        (Fault::Empty, faults.empty),
        (Fault::LoneSurrogate, faults.lone_surrogate),
        (Fault::U0000, faults.u0000),
        (Fault::NoUsage, faults.no_usage),
        (Fault::PackMissing, faults.pack_missing),
        (Fault::PackDoubled, faults.pack_doubled),
        (Fault::PackWrongId, faults.pack_wrong_id),
        (Fault::PackSwappedId, faults.pack_swapped_id),
        (Fault::PackCut, faults.pack_cut),
        (Fault::ProseAround, faults.prose_around),
        (Fault::StreamCut, faults.stream_cut),
        (Fault::StreamError, faults.stream_error),
    ]
}

/// The fault that a draw in `[0, 1)` falls on.
pub(super) fn pick(faults: &Faults, draw: f64) -> Option<Fault> {
    let mut left = draw;
    for (fault, chance) in table(faults) {
        if left < chance {
            return Some(fault);
        }
        left -= chance;
    }
    None
}

/// The fault of an item of a batch: one of those that befall an answer's content, not its call.
pub(super) fn of_content(faults: &Faults, draw: f64, asked: &Asked) -> Option<Fault> {
    pick(faults, draw).filter(|fault| fault.is_of_content() && fault.befalls(asked))
}

/// How long a call takes.
pub(super) fn delay_ms(latency: &Latency, chance: &mut Chance) -> u64 {
    drawn_ms(latency, MS_MAX, chance)
}

/// A time of a distribution, cut at `most_ms`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped before to what an `as` holds"
)]
pub(super) fn drawn_ms(latency: &Latency, most_ms: f64, chance: &mut Chance) -> u64 {
    /// The 99th percentile of the standard normal distribution.
    const Z99: f64 = 2.326_347_874;
    let sigma = match (latency.p99_ms, latency.sigma) {
        (Some(p99), _) => (p99 / latency.median_ms).ln() / Z99,
        (None, sigma) => sigma.unwrap_or(0.0),
    };
    // Box and Muller; 1 - u keeps the logarithm away from zero.
    let radius = (-2.0 * (1.0 - chance.unit()).ln()).sqrt();
    let normal = radius * (TAU * chance.unit()).cos();
    let drawn = latency.median_ms * (sigma * normal).exp();
    drawn.max(latency.min_ms).clamp(0.0, most_ms).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_falls_on_each_fault_as_often_as_it_should() {
        let faults = Faults {
            http_500: 0.25,
            hang: 0.5,
            ..Faults::default()
        };
        for (draw, fault) in [
            (0.0, Some(Fault::Http500)),
            (0.249, Some(Fault::Http500)),
            (0.25, Some(Fault::Hang)),
            (0.749, Some(Fault::Hang)),
            (0.75, None),
        ] {
            assert_eq!(pick(&faults, draw), fault, "{draw}");
        }
    }

    #[test]
    fn no_latency_is_no_time() {
        assert_eq!(delay_ms(&Latency::default(), &mut Chance::of(&[1])), 0);
    }

    #[test]
    fn delays_have_the_median_the_p99_and_the_floor_asked_for() {
        let latency = Latency {
            median_ms: 1000.0,
            p99_ms: Some(5000.0),
            sigma: None,
            min_ms: 400.0,
        };
        let mut chance = Chance::of(&[3]);
        let mut drawn: Vec<u64> = (0..20_000)
            .map(|_| delay_ms(&latency, &mut chance))
            .collect();
        drawn.sort_unstable();
        assert!((950..=1050).contains(&drawn[10_000]), "{}", drawn[10_000]);
        assert!((4500..=5500).contains(&drawn[19_800]), "{}", drawn[19_800]);
        assert_eq!(drawn[0], 400);
    }
}
