//! What a limit is: what it counts, over which stretch of time, how much of it there may be.

use super::{MINUTE_US, SECOND_US};

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// Calls.
    Requests,
    /// Tokens asked.
    InputTokens,
    /// Tokens answered, thinking included.
    OutputTokens,
    /// Tokens asked and answered.
    TotalTokens,
    /// Calls at once.
    Concurrency,
    /// Micro-dollars.
    Money,
}

impl Dimension {
    /// Whether a prompt may be too large for it.
    pub fn counts_input(self) -> bool {
        matches!(self, Self::InputTokens | Self::TotalTokens)
    }

    /// Whether it counts tokens: what does not fit may be passed over by what is smaller.
    pub fn counts_tokens(self) -> bool {
        self.counts_input() || self == Self::OutputTokens
    }

    /// As people read it, and as `limit_words_v1` says it.
    pub fn as_words(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
            Self::TotalTokens => "total tokens",
            Self::Concurrency => "calls at once",
            Self::Money => "budget",
        }
    }
}

/// The stretch of time over which a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Any 60 s, however placed: providers count in fixed, sliding or bucket fashion and do not all
    /// say which.
    Minute,
    /// A day of the provider's calendar.
    Day {
        /// When the present one began.
        began_at: i64,
        /// When the next one begins.
        ends_at: i64,
    },
    /// A run, from its beginning.
    Run,
    /// None: calls in flight.
    None,
}

impl Window {
    /// What stands in the book after this moment counts.
    pub(crate) fn start(self, limit: &Limit, now: i64) -> i64 {
        match self {
            Self::Minute => now
                .saturating_sub(MINUTE_US)
                .saturating_sub(limit.guard_us()),
            Self::Day { began_at, .. } => began_at,
            Self::Run | Self::None => i64::MIN,
        }
    }
}

/// A limit, as a row of `tidegate.limits` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What it counts.
    pub dimension: Dimension,
    /// Over which stretch of time.
    pub window: Window,
    /// How much there may be in it.
    pub size: u64,
    /// Per minute only: how many may start at once, the rest evenly. `None`: all of them.
    pub burst: Option<u64>,
    /// How much later than its grant a call may arrive, in milliseconds (500 unless learned).
    pub guard_ms: u32,
    /// The last interactive call (`ask`, `embed`): for ten minutes a little stays reserved.
    pub interactive_at: Option<i64>,
}

impl Limit {
    /// One of requests per minute, counted as a sliding window, with the default guard of half a second.
    pub fn per_minute(size: u64) -> Self {
        Self {
            dimension: Dimension::Requests,
            window: Window::Minute,
            size,
            burst: None,
            guard_ms: 500,
            interactive_at: None,
        }
    }

    pub(super) fn guard_us(&self) -> i64 {
        i64::from(self.guard_ms) * 1_000
    }

    /// What is kept back now from calls that are not interactive.
    pub fn kept_back(&self, now: i64) -> u64 {
        let recent = |at: i64| at >= now.saturating_sub(INTERACTIVE_US);
        if self.dimension != Dimension::Money && self.interactive_at.is_some_and(recent) {
            reserve(self.size)
        } else {
            0
        }
    }
}

/// What stays reserved for interactive calls: 5 %, at least 1, never over half; none of a limit of 1.
///
/// ```
/// # use tidegate::limits::reserve;
/// assert_eq!([1, 2, 15, 30, 1_000].map(reserve), [0, 1, 1, 2, 50]);
/// ```
pub fn reserve(size: u64) -> u64 {
    size.div_ceil(20).max(1).min(size / 2)
}

/// For so long after an interactive call a little stays reserved for the next.
const INTERACTIVE_US: i64 = 600 * SECOND_US;
