//! The rate-limit headers beside OpenAI's answers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::simulator::chance::Chance;
use crate::simulator::limits::{Level, Standing};

/// What the `x-ratelimit-...` headers of OpenAI's wire say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateHeaders {
    /// `true`: what is left of the model's limits.
    #[default]
    True,
    /// `false`: nothing, they are not sent.
    Off,
    /// `"garbage"`: what makes no sense.
    Garbage,
}

impl<'de> Deserialize<'de> for RateHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Flag(bool),
            Word(String),
        }
        match Wire::deserialize(deserializer)? {
            Wire::Flag(true) => Ok(Self::True),
            Wire::Flag(false) => Ok(Self::Off),
            Wire::Word(word) if word == "garbage" => Ok(Self::Garbage),
            Wire::Word(other) => Err(D::Error::custom(format!(
                "rate_headers is true, false or \"garbage\", not {other:?}"
            ))),
        }
    }
}

/// The headers, by what is left. A model with limits of a minute and of a day tells the day's as
/// servers do that copy OpenAI, with the window in the name.
pub(super) fn of(standing: &Standing, kind: RateHeaders, mut chance: Chance) -> HeaderMap {
    let (requests, day) = match (standing.requests, standing.day) {
        (None, day) => (day, None),
        both => both,
    };
    let families = [
        ("requests", requests),
        ("tokens", standing.tokens),
        ("requests-day", day),
    ];
    let mut headers = HeaderMap::new();
    match kind {
        RateHeaders::Off => {}
        RateHeaders::True => {
            for (name, level) in families {
                if let Some(Level {
                    limit,
                    remaining,
                    reset_ms,
                }) = level
                {
                    insert(&mut headers, "limit", name, limit.to_string().as_bytes());
                    insert(
                        &mut headers,
                        "remaining",
                        name,
                        remaining.to_string().as_bytes(),
                    );
                    insert(&mut headers, "reset", name, duration(reset_ms).as_bytes());
                }
            }
        }
        RateHeaders::Garbage => {
            for (name, _) in families {
                for what in ["limit", "remaining", "reset"] {
                    let at = chance.bits() % GARBAGE.len() as u64;
                    let odd = GARBAGE[usize::try_from(at).unwrap_or(0)];
                    insert(&mut headers, what, name, odd);
                }
            }
        }
    }
    headers
}

const GARBAGE: [&[u8]; 14] = [
    b"",
    b"-1",
    b"+60",
    b"1e9",
    b"0x3c",
    b"NaN",
    b"many",
    b"60;w=60",
    b"60, 60",
    b"99999999999999999999999999",
    b"6m0",
    b"-1s",
    b"soon",
    b"\xff\xfe",
];

fn insert(headers: &mut HeaderMap, what: &str, name: &str, value: &[u8]) {
    let name = HeaderName::try_from(format!("x-ratelimit-{what}-{name}"));
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
        headers.insert(name, value);
    }
}

/// As Go writes a duration: `120ms`, `1s`, `6m0s`, `1h2m3.5s`.
pub(super) fn duration(ms: u64) -> String {
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let seconds = match (ms / 1000 % 60, ms % 1000) {
        (seconds, 0) => format!("{seconds}s"),
        (seconds, rest) => {
            let rest = format!("{rest:03}");
            format!("{seconds}.{}s", rest.trim_end_matches('0'))
        }
    };
    match (hours, minutes) {
        (0, 0) if ms > 0 && ms < 1000 => format!("{ms}ms"),
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(
            [
                0, 6, 120, 1000, 59_900, 62_500, 360_000, 3_723_500, 86_400_000
            ]
            .map(duration),
            [
                "0s", "6ms", "120ms", "1s", "59.9s", "1m2.5s", "6m0s", "1h2m3.5s", "24h0m0s"
            ]
        );
    }

    #[test]
    fn a_day_alone_takes_the_place_of_the_minute() {
        let level = |limit| {
            Some(Level {
                limit,
                remaining: limit - 1,
                reset_ms: 1000,
            })
        };
        let told = |standing: Standing| {
            let headers = of(&standing, RateHeaders::True, Chance::of(&[]));
            let limit = |name: &str| {
                let value = headers.get(format!("x-ratelimit-limit-{name}"));
                value.map(|value| value.to_str().unwrap().to_owned())
            };
            (limit("requests"), limit("tokens"), limit("requests-day"))
        };
        let some = |text: &str| Some(text.to_owned());
        let both = Standing {
            requests: level(60),
            tokens: level(1000),
            day: level(200),
        };
        assert_eq!(told(both), (some("60"), some("1000"), some("200")));
        let day = Standing {
            day: level(200),
            ..Standing::default()
        };
        assert_eq!(told(day), (some("200"), None, None));
        assert_eq!(told(Standing::default()), (None, None, None));
    }
}
