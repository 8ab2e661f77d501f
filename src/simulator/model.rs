//! One model's changing side: its limits, what was used of them, outages and counters. Pure but
//! for being changed: time comes in as `now_ms`.

use std::sync::Arc;

use super::failure::Failure;
use super::ledger::Tally;
use super::limits::{Book, Dimension, Limits, Refusal, Violation, rest_of_minute};
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
        tokens: u64,
        settings: &Settings,
    ) -> Result<(), (&'static str, Failure)> {
        let judged = match self.outage(now_ms) {
            Some((OutageKind::Overloaded, _)) => {
                self.tally.overloaded();
                Err(("outage_503", Failure::overloaded()))
            }
            Some((kind, left_ms)) => {
                self.tally.refused_by_outage();
                let refusal = self.closed(kind, now_ms, left_ms);
                Err(("refused_outage", self.refused(&refusal, settings)))
            }
            None => self
                .book
                .admit(&self.limits, now_ms, tokens)
                .map_err(|refusal| {
                    let dimensions = refusal.violations.iter().map(|v| v.dimension);
                    self.tally.refused(dimensions);
                    (outcome(&refusal), self.refused(&refusal, settings))
                }),
        };
        match judged {
            Ok(()) => self.tally.accepted(now_ms, tokens),
            Err(_) if settings.count_refused => self.book.count_request(&self.limits, now_ms),
            Err(_) => {}
        }
        judged
    }

    /// What closes the model now, and how long still.
    fn outage(&self, now_ms: u64) -> Option<(OutageKind, u64)> {
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
            violations: vec![Violation { dimension, limit }],
            retry_ms,
        }
    }

    fn refused(&self, refusal: &Refusal, settings: &Settings) -> Failure {
        if settings.bare_429 {
            Failure::exhausted()
        } else {
            Failure::quota(&self.name, refusal, settings.paid_tier)
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
