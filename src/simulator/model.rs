//! One model's changing side: its limits, what was used of them, outages and counters. Pure but
//! for being changed: time comes in as `now_ms`.

use std::sync::Arc;

use super::asked::Asked;
use super::ledger::Tally;
use super::limits::{Book, Dimension, Limits, Refusal, Standing, Violation, rest_of_minute};
use super::settings::{ModelSettings, Outage, OutageKind, Settings};

/// One model's changing side.
pub(super) struct Model {
    pub(super) name: Arc<str>,
    pub(super) limits: Limits,
    pub(super) book: Book,
    pub(super) outages: Vec<Closed>,
    pub(super) tally: Tally,
    /// Calls let in, which seeds their chance.
    pub(super) admitted: u64,
}

/// Why a call is not let in though there is nothing wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The model cannot keep up.
    Overloaded,
    /// The account has no money left.
    NoMoney,
    /// Limits are spent.
    Spent(Refusal),
}

impl Denied {
    pub(super) fn http(&self) -> u16 {
        match self {
            Self::Overloaded => 503,
            Self::NoMoney | Self::Spent(_) => 429,
        }
    }
}

/// A time at which a model is closed.
pub(super) struct Closed {
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    pub(super) kind: OutageKind,
}

impl Model {
    pub(super) fn new(settings: &ModelSettings, started_ms: u64) -> Self {
        let outages = settings.outages.iter();
        Self {
            name: Arc::from(settings.name.as_str()),
            limits: Limits::from(settings),
            book: Book::new(settings.window),
            outages: outages
                .map(|outage| Closed::new(outage, started_ms))
                .collect(),
            tally: Tally::default(),
            admitted: 0,
        }
    }

    /// Limits changed while running stay.
    pub(super) fn reset(&mut self, settings: &ModelSettings, now_ms: u64) {
        let fresh = Self::new(settings, now_ms);
        self.book = Book::new(self.limits.window);
        self.outages = fresh.outages;
        self.admitted = 0;
        self.tally.reset();
    }

    /// Judges a call that arrives now by outages and limits, and counts it.
    pub(super) fn judge(
        &mut self,
        now_ms: u64,
        asked: &Asked,
        settings: &Settings,
    ) -> Result<(), (&'static str, Denied)> {
        let judged = match self.outage(now_ms) {
            Some((OutageKind::Overloaded, _)) => {
                self.tally.overloaded();
                Err(("outage_503", Denied::Overloaded))
            }
            Some((OutageKind::Money, _)) => {
                self.tally.refused_by_outage();
                Err(("refused_outage", Denied::NoMoney))
            }
            Some((kind, left_ms)) => {
                self.tally.refused_by_outage();
                let refusal = self.closed(kind, now_ms, left_ms);
                Err(("refused_outage", Denied::Spent(refusal)))
            }
            None => self
                .book
                .admit(&self.limits, now_ms, asked.charged_tokens)
                .map_err(|refusal| {
                    let dimensions = refusal.violations.iter().map(|v| v.dimension);
                    self.tally.refused(dimensions);
                    (outcome(&refusal), Denied::Spent(refusal))
                }),
        };
        match judged {
            Ok(()) => self.tally.accepted(now_ms, asked),
            Err(_) if settings.count_refused => self.book.count_request(&self.limits, now_ms),
            Err(_) => {}
        }
        judged
    }

    /// What is left of its limits now.
    pub(super) fn standing(&mut self, now_ms: u64) -> Standing {
        self.book.standing(&self.limits, now_ms)
    }

    /// What closes the model now, and how long still.
    pub(super) fn outage(&self, now_ms: u64) -> Option<(OutageKind, u64)> {
        let mut outages = self.outages.iter();
        outages
            .find(|outage| (outage.from_ms..outage.to_ms).contains(&now_ms))
            .map(|outage| (outage.kind, outage.to_ms - now_ms))
    }

    fn closed(&self, kind: OutageKind, now_ms: u64, left_ms: u64) -> Refusal {
        let (dimension, limit, retry_ms) = match kind {
            OutageKind::Day => (Dimension::Day, self.limits.rpd, rest_of_minute(now_ms)),
            _ => (Dimension::Requests, self.limits.rpm, left_ms),
        };
        Refusal {
            violations: vec![Violation {
                dimension,
                limit,
                used: limit.unwrap_or(0),
                requested: 1,
            }],
            retry_ms,
        }
    }
}

impl Closed {
    fn new(outage: &Outage, started_ms: u64) -> Self {
        Self {
            from_ms: started_ms.saturating_add(ms(outage.from_s)),
            to_ms: started_ms.saturating_add(ms(outage.to_s)),
            kind: outage.kind,
        }
    }
}

/// Seconds as whole milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an `as` from f64 saturates"
)]
pub(super) fn ms(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

fn outcome(refusal: &Refusal) -> &'static str {
    match refusal.violations.first().map(|v| v.dimension) {
        Some(Dimension::Day) => "refused_day",
        Some(Dimension::Tokens) => "refused_tokens",
        _ => "refused_requests",
    }
}
