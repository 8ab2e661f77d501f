//! How the simulator behaves: every field has a default, every contradiction is refused at start.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::batches::BatchSettings;
use super::openai::RateHeaders;

/// How the simulator behaves. Build it in code with `..Settings::default()`, or read it with
/// [`from_toml`](Self::from_toml).
///
/// ```
/// # use tidegate::simulator::Settings;
/// let settings = Settings::from_toml(
///     r#"
///     seed = 7
///     [latency]
///     median_ms = 900
///     p99_ms = 6000
///     [faults]
///     http_503 = 0.01
///     [[models]]
///     name = "gemini-2.0-flash"
///     rpm = 15
///     tpm = 1_000_000
///     window = "sliding"
///     outages = [{ from_s = 30, to_s = 60, kind = 503 }]
///     "#,
/// )?;
/// assert_eq!(settings.models[0].rpm, Some(15));
/// # Ok::<(), tidegate::simulator::SettingsError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen. Default `127.0.0.1:0`: a free port of this machine.
    pub addr: SocketAddr,
    /// Seeds faults, latencies and answers. Default 0.
    pub seed: u64,
    /// The models on offer; a model not named here is unknown. Default: six of Gemini's, with the
    /// limits of the free tier as published in 2025 where known, and a model of vectors of either
    /// vendor.
    pub models: Vec<ModelSettings>,
    /// How long an answer takes. Default: no time.
    pub latency: Latency,
    /// What goes wrong, and how often. Default: nothing.
    pub faults: Faults,
    /// How batches behave. Default: they end at once, and well.
    pub batches: BatchSettings,
    /// The keys that are let in. Default empty: every non-empty key is.
    pub api_keys: Vec<String>,
    /// Refused calls eat the requests of the minute and of the day too. Default false.
    pub count_refused: bool,
    /// A 429 says nothing but that it is one: no details, no delay. Default false.
    pub bare_429: bool,
    /// Name the quotas of the paid tier instead of the free one. Default false.
    pub paid_tier: bool,
    /// What OpenAI's rate-limit headers say. Default `true`: what is left of the limits.
    pub rate_headers: RateHeaders,
    /// Append every call to this file, one JSON object a line. Default: none.
    pub call_log: Option<PathBuf>,
    /// Calls kept for `/sim/log`; the oldest go first. Default 1,000,000 (about 100 bytes each).
    pub log_entries_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 0,
            models: default_models(),
            latency: Latency::default(),
            faults: Faults::default(),
            batches: BatchSettings::default(),
            api_keys: Vec::new(),
            count_refused: false,
            bare_429: false,
            paid_tier: false,
            rate_headers: RateHeaders::default(),
            call_log: None,
            log_entries_max: 1_000_000,
        }
    }
}

impl Settings {
    /// Reads and checks settings.
    ///
    /// # Errors
    /// When the text is not TOML, names an unknown key or contradicts itself; says where.
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        let settings: Self = toml::from_str(text)
            .map_err(|error| SettingsError::Unreadable(error.to_string().trim_end().to_owned()))?;
        settings.check()?;
        Ok(settings)
    }

    /// Says whether the settings make sense together; [`from_toml`](Self::from_toml) and the start
    /// of the simulator do it too.
    ///
    /// # Errors
    /// The first contradiction found, with the key it is at.
    pub fn check(&self) -> Result<(), SettingsError> {
        ensure(!self.models.is_empty(), "models", "name at least one model")?;
        let names: BTreeSet<_> = self.models.iter().map(|model| &model.name).collect();
        ensure(
            names.len() == self.models.len(),
            "models",
            "two models have the same name",
        )?;
        ensure(
            self.api_keys.iter().all(|key| !key.is_empty()),
            "api_keys",
            "an empty key lets nobody in",
        )?;
        self.latency.check("latency")?;
        self.faults.check()?;
        self.batches.check()?;
        self.models.iter().try_for_each(ModelSettings::check)
    }
}

/// One model on offer and its limits. A limit left out is no limit; 0 means that the model is not
/// granted (the provider's "limit: 0").
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// The wire name, without `models/`.
    pub name: String,
    /// Requests per minute.
    #[serde(default)]
    pub rpm: Option<u64>,
    /// Tokens per minute, as the vendor that is spoken to counts them.
    #[serde(default)]
    pub tpm: Option<u64>,
    /// Requests per day; the day ends at midnight in Los Angeles.
    #[serde(default)]
    pub rpd: Option<u64>,
    /// How a minute is counted. Default fixed.
    #[serde(default)]
    pub window: WindowKind,
    /// Requests a full bucket holds. Default: a sixth of `rpm`, rounded up.
    #[serde(default)]
    pub burst: Option<u64>,
    /// Tokens a full bucket holds. Default `tpm`.
    #[serde(default)]
    pub token_burst: Option<u64>,
    /// Times at which the model is closed.
    #[serde(default)]
    pub outages: Vec<Outage>,
    /// Longest prompt. Default 1,048,576 tokens.
    #[serde(default = "input_token_limit")]
    pub input_token_limit: u64,
    /// Makes this a model of vectors, which answers nothing else: their dimensions where none are
    /// asked for, 1 to 3,072. Default: 1,536 if the name begins with `text-embedding`, 768 if it
    /// holds `embedding` elsewhere, else none.
    #[serde(default)]
    pub dimensions: Option<u32>,
    /// Longest answer. Default 65,536 tokens.
    #[serde(default = "output_token_limit")]
    pub output_token_limit: u64,
    /// Replaces [`Settings::latency`] for this model.
    #[serde(default)]
    pub latency: Option<Latency>,
    /// Whether it takes batches; if not, who creates one is told that there is no such model (404).
    /// Default true.
    #[serde(default = "batch")]
    pub batch: bool,
}

impl ModelSettings {
    /// A model without limits.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            rpm: None,
            tpm: None,
            rpd: None,
            window: WindowKind::default(),
            burst: None,
            token_burst: None,
            outages: Vec::new(),
            input_token_limit: input_token_limit(),
            dimensions: None,
            output_token_limit: output_token_limit(),
            latency: None,
            batch: batch(),
        }
    }

    /// The dimensions of its vectors where none are asked for; `None`: it makes none.
    pub(super) fn dimensions(&self) -> Option<u32> {
        let by_name = match self.name.as_str() {
            name if name.starts_with("text-embedding") => Some(1_536),
            name if name.contains("embedding") => Some(768),
            _ => None,
        };
        self.dimensions.or(by_name)
    }

    fn check(&self) -> Result<(), SettingsError> {
        let at = format!("models.{}", self.name);
        let sound = !self.name.is_empty() && !self.name.contains(['/', ':', ' ', '*']);
        ensure(
            sound,
            &at,
            "a name is not empty and has no '/', ':', '*' or blank",
        )?;
        ensure(
            self.dimensions
                .is_none_or(|count| (1..=DIMENSIONS_MAX).contains(&count)),
            &at,
            "dimensions lie between 1 and 3072",
        )?;
        ensure(self.burst != Some(0), &at, "burst is at least 1")?;
        ensure(
            self.token_burst != Some(0),
            &at,
            "token_burst is at least 1",
        )?;
        ensure(
            self.window == WindowKind::Bucket
                || (self.burst.is_none() && self.token_burst.is_none()),
            &at,
            "burst and token_burst need window = \"bucket\"",
        )?;
        self.outages
            .iter()
            .try_for_each(|outage| outage.check(&at))?;
        self.latency
            .as_ref()
            .map_or(Ok(()), |latency| latency.check(&at))
    }
}

/// How a provider counts a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowKind {
    /// From one minute of the wall clock to the next.
    #[default]
    Fixed,
    /// The last 60 seconds.
    Sliding,
    /// A bucket that holds the burst and refills evenly (GCRA): up to burst + limit in a minute.
    Bucket,
}

/// A time at which a model is closed, in seconds since the start (or the last reset).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// First second.
    pub from_s: f64,
    /// First second after it.
    pub to_s: f64,
    /// What a caller is told.
    pub kind: OutageKind,
}

impl Outage {
    fn check(&self, at: &str) -> Result<(), SettingsError> {
        let sound = self.from_s >= 0.0 && self.from_s < self.to_s && self.to_s <= SECONDS_MAX;
        ensure(sound, at, "an outage needs 0 <= from_s < to_s")
    }
}

/// What the callers of a closed model are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageKind {
    /// `429`: the minute is spent; the delay is what is left of the outage.
    Minute,
    /// `503`: overloaded.
    Overloaded,
    /// `day`: the day is spent, with a misleadingly short delay.
    Day,
    /// `money`: a 429 that no waiting heals.
    Money,
}

impl<'de> Deserialize<'de> for OutageKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Number(u64),
            Word(String),
        }
        let word = match Wire::deserialize(deserializer)? {
            Wire::Number(number) => number.to_string(),
            Wire::Word(word) => word,
        };
        match word.as_str() {
            "429" => Ok(Self::Minute),
            "503" => Ok(Self::Overloaded),
            "day" => Ok(Self::Day),
            "money" => Ok(Self::Money),
            other => Err(D::Error::custom(format!(
                "an outage is of kind 429, 503, \"day\" or \"money\", not {other:?}"
            ))),
        }
    }
}

/// How long an answer takes: a log-normal distribution, cut at ten minutes. Faulty answers take as
/// long as good ones; refusals come at once. A stream's pieces come evenly over that time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Half of all answers are faster. Default 0: all come at once.
    pub median_ms: f64,
    /// One in a hundred is slower. Excludes `sigma`.
    pub p99_ms: Option<f64>,
    /// Standard deviation of the logarithm. Default 0: all take the median.
    pub sigma: Option<f64>,
    /// No answer is faster. Default 0.
    pub min_ms: f64,
}

impl Latency {
    fn check(&self, at: &str) -> Result<(), SettingsError> {
        let sound = |value: f64| (0.0..=MS_MAX).contains(&value);
        ensure(
            sound(self.median_ms) && sound(self.min_ms),
            at,
            "median_ms and min_ms lie between 0 and 600000",
        )?;
        ensure(
            self.p99_ms.is_none() || self.sigma.is_none(),
            at,
            "p99_ms and sigma say the same thing twice: name one",
        )?;
        ensure(
            self.p99_ms
                .is_none_or(|p99| p99.is_finite() && self.median_ms > 0.0 && p99 >= self.median_ms),
            at,
            "p99_ms needs a median_ms above 0 that is not larger",
        )?;
        ensure(
            self.sigma.is_none_or(|sigma| (0.0..=10.0).contains(&sigma)),
            at,
            "sigma lies between 0 and 10",
        )
    }
}

/// What goes wrong with calls that were let in: the probability of each fault, at most one a call.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// 500 INTERNAL.
    pub http_500: f64,
    /// 503 UNAVAILABLE.
    pub http_503: f64,
    /// The connection is reset after the request was read.
    pub reset: f64,
    /// No answer comes, ever (see `hang_ms_max`).
    pub hang: f64,
    /// 200 whose JSON ends in the middle, with a matching content-length.
    pub cut_json: f64,
    /// 200 that breaks off before its content-length.
    pub short_body: f64,
    /// 200 with a page of HTML.
    pub not_json: f64,
    /// 200 without content: finishReason SAFETY, one in four as a blocked prompt.
    pub safety: f64,
    /// 200 whose text is cut in half: finishReason MAX_TOKENS.
    pub max_tokens: f64,
    /// 200 with a candidate that has no parts, or with vectors of no numbers. Of the faults of an
    /// answer's text, none befalls a call for vectors.
    pub empty: f64,
    /// 200 with half a surrogate pair (`\ud800`) in the answer.
    pub lone_surrogate: f64,
    /// 200 with a `\u0000` in the answer.
    pub u0000: f64,
    /// 200 without usageMetadata.
    pub no_usage: f64,
    /// 200 with one answer of a pack left out. A pack is a prompt of several tasks that asks for
    /// `{"answers": [{"id", "answer"}]}`; other calls this and the next four do not befall.
    pub pack_missing: f64,
    /// 200 with one answer of a pack twice, the second time another.
    pub pack_doubled: f64,
    /// 200 with one answer of a pack under an id that nobody gave.
    pub pack_wrong_id: f64,
    /// 200 with one answer of a pack under its neighbour's id, which has its own as well.
    pub pack_swapped_id: f64,
    /// 200 with the text of a pack's answers cut in half, and no word of it.
    pub pack_cut: f64,
    /// 200 with words and a fence around the JSON. Calls that ask for no JSON it does not befall.
    pub prose_around: f64,
    /// A stream whose connection breaks in the middle. Only streams this and the next befall; of the
    /// others, `cut_json` ends a stream in the middle as if that were its end, `short_body` is as
    /// this.
    pub stream_cut: f64,
    /// A stream that says in its middle that the model is overloaded, and ends.
    pub stream_error: f64,
    /// A hanging call is reset after this time. Default 600,000.
    pub hang_ms_max: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            http_500: 0.0,
            http_503: 0.0,
            reset: 0.0,
            hang: 0.0,
            cut_json: 0.0,
            short_body: 0.0,
            not_json: 0.0,
            safety: 0.0,
            max_tokens: 0.0,
            empty: 0.0,
            lone_surrogate: 0.0,
            u0000: 0.0,
            no_usage: 0.0,
            pack_missing: 0.0,
            pack_doubled: 0.0,
            pack_wrong_id: 0.0,
            pack_swapped_id: 0.0,
            pack_cut: 0.0,
            prose_around: 0.0,
            stream_cut: 0.0,
            stream_error: 0.0,
            hang_ms_max: 600_000,
        }
    }
}

impl Faults {
    fn check(&self) -> Result<(), SettingsError> {
        let chances = super::faults::table(self);
        for (fault, chance) in chances {
            ensure(
                (0.0..=1.0).contains(&chance),
                &format!("faults.{}", fault.word()),
                "a probability lies between 0 and 1",
            )?;
        }
        let sum: f64 = chances.iter().map(|(_, chance)| chance).sum();
        ensure(
            sum <= 1.0 + 1e-9,
            "faults",
            "the probabilities add up to more than 1",
        )
    }
}

/// Settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Not TOML, or not of this shape; says where.
    #[error("the simulator's settings cannot be read: {0}")]
    Unreadable(String),
    /// A value that makes no sense.
    #[error("the simulator's settings make no sense at {at}: {problem}")]
    Senseless {
        /// The key.
        at: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

pub(super) fn ensure(sound: bool, at: &str, problem: &'static str) -> Result<(), SettingsError> {
    if sound {
        return Ok(());
    }
    let at = at.to_owned();
    Err(SettingsError::Senseless { at, problem })
}

/// Most dimensions of a vector.
pub(super) const DIMENSIONS_MAX: u32 = 3_072;
/// Longest latency.
pub(super) const MS_MAX: f64 = 600_000.0;
/// Longest time an outage may be away: ten years.
pub(super) const SECONDS_MAX: f64 = 315_360_000.0;

fn input_token_limit() -> u64 {
    1_048_576
}

fn output_token_limit() -> u64 {
    65_536
}

fn batch() -> bool {
    true
}

/// The models of the demo and two of today; published limits of the free tier where there are.
fn default_models() -> Vec<ModelSettings> {
    let model = |name: &str, rpm, tpm, rpd| ModelSettings {
        rpm: Some(rpm),
        tpm: Some(tpm),
        rpd: Some(rpd),
        ..ModelSettings::named(name)
    };
    vec![
        model("gemini-2.0-flash-thinking-exp-01-21", 10, 4_000_000, 1500),
        model("gemini-2.0-flash-exp", 10, 4_000_000, 1500),
        model("gemini-2.0-flash", 15, 1_000_000, 1500),
        model("gemini-2.0-flash-lite", 30, 1_000_000, 1500),
        model("gemini-2.5-flash", 10, 250_000, 250),
        model("gemini-2.5-flash-lite", 15, 250_000, 1000),
        model("gemini-embedding-001", 100, 30_000, 1000),
        ModelSettings::named("text-embedding-3-small"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Settings::from_toml(text).unwrap_err().to_string()
    }

    #[test]
    fn nothing_at_all_is_the_default() {
        let settings = Settings::from_toml("").unwrap();
        assert_eq!(settings.models.len(), 8);
        assert_eq!(settings.addr.port(), 0);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let said = problem("[[models]]\nname = \"m\"\nrmp = 3\n");
        assert!(said.contains("rmp") && said.contains("line 3"), "{said}");
    }

    #[test]
    fn contradictions_are_refused_with_their_key() {
        for (text, at) in [
            ("models = []", "models"),
            ("[faults]\nreset = 0.7\nhang = 0.7", "faults"),
            ("[faults]\nreset = 1.5", "faults.reset"),
            ("[[models]]\nname = \"m\"\ndimensions = 0", "models.m"),
            ("[latency]\np99_ms = 10", "latency"),
            (
                "[latency]\nmedian_ms = 9\np99_ms = 10\nsigma = 1",
                "latency",
            ),
            ("[[models]]\nname = \"a/b\"", "models.a/b"),
            ("[[models]]\nname = \"m\"\nburst = 3", "models.m"),
            (
                "[[models]]\nname = \"m\"\n[[models]]\nname = \"m\"",
                "models",
            ),
            (
                "[[models]]\nname = \"m\"\noutages = [{from_s = 9, to_s = 3, kind = 429}]",
                "models.m",
            ),
        ] {
            let said = problem(text);
            assert!(said.contains(&format!("at {at}:")), "{text}: {said}");
        }
    }

    #[test]
    fn rate_headers_may_be_on_off_or_garbage() {
        for (text, kind) in [
            ("", RateHeaders::True),
            ("rate_headers = true", RateHeaders::True),
            ("rate_headers = false", RateHeaders::Off),
            ("rate_headers = \"garbage\"", RateHeaders::Garbage),
        ] {
            assert_eq!(Settings::from_toml(text).unwrap().rate_headers, kind);
        }
        assert!(problem("rate_headers = \"some\"").contains("some"));
    }

    #[test]
    fn an_outage_kind_may_be_a_number_or_a_word() {
        for (kind, expected) in [
            ("429", OutageKind::Minute),
            ("\"503\"", OutageKind::Overloaded),
            ("\"money\"", OutageKind::Money),
            ("\"day\"", OutageKind::Day),
        ] {
            let text = format!(
                "[[models]]\nname = \"m\"\noutages = [{{from_s = 0, to_s = 3, kind = {kind}}}]"
            );
            let settings = Settings::from_toml(&text).unwrap();
            assert_eq!(settings.models[0].outages[0].kind, expected);
        }
        let text = "[[models]]\nname = \"m\"\noutages = [{from_s = 0, to_s = 3, kind = \"night\"}]";
        assert!(problem(text).contains("night"));
    }
}
