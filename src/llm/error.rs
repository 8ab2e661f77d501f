//! What went wrong with a call, and what follows from it.

use std::time::Duration;

use super::Usage;

/// A call that brought no usable answer. Variants carry evidence; [`verdict`](Self::verdict) says
/// what follows. Texts are the provider's own words, cut to 500 characters, and never hold the
/// prompt or the key.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// 429: a limit of the provider. Costs no attempt.
    #[error("rate limited by the provider: {message}")]
    RateLimited {
        /// What the provider says is spent; empty when it does not say.
        quotas: Vec<Quota>,
        /// How long the provider asks us to wait.
        retry_after: Option<Duration>,
        /// The provider's words.
        message: String,
    },
    /// The model is overloaded (503, 529), or traffic to it grows too fast, whatever the limits (a 429
    /// `slow_down`): no limit is spent. Spends an attempt.
    #[error("model overloaded (HTTP {status}): {message}")]
    Overloaded {
        /// HTTP status.
        status: u16,
        /// How long the provider asks us to wait.
        retry_after: Option<Duration>,
        /// The provider's words.
        message: String,
    },
    /// A definite failure on the provider's side (500, 502, 504, 408, 409, 425, 499), or a redirect,
    /// which is never followed: spends an attempt.
    #[error("provider failed (HTTP {status}): {message}")]
    Failed {
        /// HTTP status.
        status: u16,
        /// How long the provider asks us to wait.
        retry_after: Option<Duration>,
        /// The provider's words.
        message: String,
    },
    /// Nothing was sent: name, connect or TLS failed. Spends an attempt, cannot have cost money.
    #[error("could not reach the provider: {message}")]
    Unreachable {
        /// What failed, without the URL's query.
        message: String,
    },
    /// This machine had nothing left to call with (descriptors, ports): nothing was sent, and no
    /// provider is to blame. Spends no attempt.
    #[error("this machine could not open a connection: {message}")]
    Exhausted {
        /// What it has none of.
        message: String,
    },
    /// Sent, and no complete answer came: reset, cut or timed out. The outcome is unknown and may
    /// have been billed.
    #[error("no complete answer: {message}")]
    Unknown {
        /// What happened.
        message: String,
    },
    /// HTTP 200 that is no usable answer: not JSON, cut JSON, empty, body above the cap, an unclear
    /// end. Spends an attempt.
    #[error("damaged answer: {message}")]
    Damaged {
        /// What was wrong with it.
        message: String,
        /// Tokens counted, where that much could be read.
        usage: Option<Usage>,
    },
    /// The answer was cut at the output limit. Asking the same again cannot help.
    #[error("answer cut at the output limit (raise max_output_tokens)")]
    Truncated {
        /// Tokens counted.
        usage: Option<Usage>,
    },
    /// The provider refused this content (safety, recitation, blocklist ...), or ended in a way that
    /// the same question will end again (unsupported language, a tool call nobody asked for).
    #[error("refused by the provider's filter: {reason}")]
    Filtered {
        /// The provider's reason, as it names it.
        reason: String,
        /// Tokens counted.
        usage: Option<Usage>,
    },
    /// The request itself is at fault (400, 413, 422): asking again cannot help.
    #[error("rejected by the provider (HTTP {status}): {message}")]
    Rejected {
        /// HTTP status.
        status: u16,
        /// The provider's words.
        message: String,
    },
    /// The prompt is longer than this model takes.
    #[error("prompt too long for this model: {message}")]
    TooLong {
        /// The provider's words.
        message: String,
    },
    /// The provider does not know this model, or does not offer it to us (404).
    #[error("model not available: {message}")]
    ModelGone {
        /// The provider's words.
        message: String,
    },
    /// The key is wrong, expired, blocked, or not allowed here (400 API_KEY_INVALID, 401, 403).
    #[error("key refused: {message}")]
    KeyRefused {
        /// The provider's words.
        message: String,
    },
    /// No money or no billing: waiting does not heal it (402, or a 429 that means money).
    #[error("no credit: {message}")]
    NoMoney {
        /// The provider's words.
        message: String,
    },
}

/// One limit that a provider says is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The provider's id of the limit.
    pub id: String,
    /// The window it counts in.
    pub window: QuotaWindow,
    /// `true`: counts tokens; `false`: counts requests.
    pub tokens: bool,
    /// `true`: it comes back little by little, so a wait that is told is true even of a day. `false`:
    /// it comes back as a whole when its window ends.
    pub refills: bool,
    /// The limit's size, if told. 0: this model is not granted at all.
    pub size: Option<u64>,
}

impl Quota {
    /// Whether nothing is granted any more until the provider's day ends.
    fn closes_the_day(&self, has_wait: bool) -> bool {
        let waits = self.refills && has_wait;
        self.size == Some(0) || (self.window == QuotaWindow::Day && !waits)
    }

    /// What is spent, in words.
    fn brief(&self) -> String {
        let what = if self.tokens { "tokens" } else { "requests" };
        let window = match self.window {
            QuotaWindow::Minute => "minute",
            QuotaWindow::Day => "day",
        };
        match self.size {
            Some(0) => format!("no {what} per {window} are granted for this model"),
            Some(size) => format!("{size} {what} per {window} are spent"),
            None => format!("the {what} per {window} are spent"),
        }
    }
}

/// Characters of a reason shown in lists.
const BRIEF_CHARS_MAX: usize = 200;

/// The window that a spent limit counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaWindow {
    /// A minute; also what is assumed when the provider does not say.
    Minute,
    /// The provider's calendar day.
    Day,
}

/// What the engine does about a failed call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Ask the same model again later; spends an attempt on it.
    Retry {
        /// The provider's wish, a minimum.
        after: Option<Duration>,
    },
    /// The provider is refusing, not the task failing: closes the model for all, costs no attempt.
    CoolDown {
        /// How long; `None`: the provider did not say.
        wait: Option<Duration>,
        /// Until the provider's day ends, whatever `wait` says.
        until_day_ends: bool,
    },
    /// This model cannot answer this task; the next one of its ladder may.
    NextModel,
    /// Nobody may call this model until a person looks; the task takes its fallback or waits.
    ParkModel,
    /// Nobody may call this provider until a person looks; the task takes its fallback or waits.
    ParkProvider,
    /// Asking again cannot help: the task fails with the provider's words.
    GiveUp,
}

impl CallError {
    /// What follows from this failure.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::RateLimited {
                quotas,
                retry_after,
                ..
            } => Verdict::CoolDown {
                wait: *retry_after,
                until_day_ends: quotas
                    .iter()
                    .any(|quota| quota.closes_the_day(retry_after.is_some())),
            },
            Self::Overloaded { retry_after, .. } | Self::Failed { retry_after, .. } => {
                Verdict::Retry {
                    after: *retry_after,
                }
            }
            Self::Unreachable { .. }
            | Self::Exhausted { .. }
            | Self::Unknown { .. }
            | Self::Damaged { .. } => Verdict::Retry { after: None },
            Self::TooLong { .. } => Verdict::NextModel,
            Self::Truncated { .. } | Self::Filtered { .. } | Self::Rejected { .. } => {
                Verdict::GiveUp
            }
            Self::ModelGone { .. } => Verdict::ParkModel,
            Self::KeyRefused { .. } | Self::NoMoney { .. } => Verdict::ParkProvider,
        }
    }

    /// Why a model or provider is closed after this, in one short line: what people read in
    /// `model_cooldowns` and in why a task waits.
    pub fn brief(&self) -> String {
        match self {
            Self::RateLimited { quotas, .. } if quotas.is_empty() => {
                "refused (429), and the provider does not say by which limit".to_owned()
            }
            Self::RateLimited { quotas, .. } => {
                let spent: Vec<String> = quotas.iter().map(Quota::brief).collect();
                format!("refused (429): {}", spent.join(", "))
            }
            other => other.to_string().chars().take(BRIEF_CHARS_MAX).collect(),
        }
    }

    /// A fixed word for metrics, columns and filters.
    pub fn class(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::Overloaded { .. } => "overloaded",
            Self::Failed { .. } => "provider_failed",
            Self::Unreachable { .. } => "unreachable",
            Self::Exhausted { .. } => "exhausted",
            Self::Unknown { .. } => "unknown_outcome",
            Self::Damaged { .. } => "damaged",
            Self::Truncated { .. } => "truncated",
            Self::Filtered { .. } => "filtered",
            Self::Rejected { .. } => "rejected",
            Self::TooLong { .. } => "too_long",
            Self::ModelGone { .. } => "model_gone",
            Self::KeyRefused { .. } => "key_refused",
            Self::NoMoney { .. } => "no_money",
        }
    }

    /// Whether the provider may have billed the call although no answer came.
    pub fn may_have_cost(&self) -> bool {
        matches!(
            self,
            Self::Unknown { .. }
                | Self::Damaged { .. }
                | Self::Truncated { .. }
                | Self::Filtered { .. }
        )
    }

    /// Tokens counted by the provider for the failed call, where it said so.
    pub fn usage(&self) -> Option<Usage> {
        match self {
            Self::Damaged { usage, .. }
            | Self::Truncated { usage }
            | Self::Filtered { usage, .. } => *usage,
            _ => None,
        }
    }
}
