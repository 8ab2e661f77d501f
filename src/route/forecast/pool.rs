//! What a limit lets through in time: how much is left, and how what was used comes back.

use std::collections::VecDeque;

use crate::limits::{Book, Dimension, Limit, MINUTE_US, SECOND_US, Window, level};

/// A limit in a forecast. Amounts are calls, tokens or micro-dollars; of calls at once, seconds of a
/// slot.
#[derive(Clone, Debug)]
pub struct Pool {
    /// What it counts.
    pub dimension: Dimension,
    /// How much may be out at once.
    size: f64,
    /// How much is.
    out: f64,
    back: Back,
    /// What comes back, and when, in order.
    returns: VecDeque<Return>,
    drip: Option<Drip>,
}

/// How what was used comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Back {
    /// After so many seconds.
    After(f64),
    /// All of it at this moment, and then each day.
    At(f64),
    Never,
}

/// What was used evenly between two moments comes back evenly between two others.
#[derive(Clone, Copy, Debug)]
struct Return {
    from: f64,
    until: f64,
    amount: f64,
}

/// A bucket that fills evenly.
#[derive(Clone, Copy, Debug)]
struct Drip {
    holds: f64,
    level: f64,
    per_second: f64,
}

impl Pool {
    /// A limit of requests, tokens or money with its book, seen at `now`.
    pub fn of(limit: &Limit, book: &Book, now: i64) -> Self {
        let size = limit.size.saturating_sub(limit.kept_back(now)) as f64;
        let seconds = |us: i64| us as f64 / SECOND_US as f64;
        let window = seconds(MINUTE_US) + f64::from(limit.guard_ms) / 1000.0;
        let mut returns: Vec<Return> = Vec::new();
        let mut out = 0.0;
        let began = limit.window.start(limit, now);
        let entries = [&book.debits, &book.corrections, &book.foreign];
        for entry in entries.into_iter().flatten().filter(|it| it.at > began) {
            out += entry.amount as f64;
            let at = seconds(entry.at - now) + window;
            returns.push(Return {
                from: at,
                until: at,
                amount: entry.amount as f64,
            });
        }
        returns.sort_by(|one, other| one.from.total_cmp(&other.from));
        let back = match limit.window {
            Window::Minute => Back::After(window),
            Window::Day { ends_at, .. } => Back::At(seconds(ends_at - now)),
            Window::Run | Window::None => Back::Never,
        };
        let drip = limit.burst.map(|burst| Drip {
            holds: crate::limits::capacity(burst, limit.size, limit.guard_ms) as f64,
            level: level(limit, book, now).unwrap_or_default(),
            per_second: limit.size as f64 / 60.0,
        });
        Self {
            dimension: limit.dimension,
            size,
            out,
            back,
            returns: if matches!(back, Back::After(_)) {
                returns.into()
            } else {
                VecDeque::new()
            },
            drip,
        }
    }

    /// So many calls at once, of which some are under way, each of so many seconds.
    pub fn at_once(size: u64, in_flight: u64, latency: f64) -> Self {
        Self {
            dimension: Dimension::Concurrency,
            size: f64::INFINITY,
            out: 0.0,
            back: Back::Never,
            returns: VecDeque::new(),
            drip: Some(Drip {
                holds: size as f64 * latency,
                level: size.saturating_sub(in_flight) as f64 * latency,
                per_second: size as f64,
            }),
        }
    }

    /// What may be taken at once.
    pub(super) fn room(&self) -> f64 {
        let held = self.drip.map_or(f64::INFINITY, |drip| drip.level);
        (self.size - self.out).min(held).max(0.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.room() <= TINY
    }

    /// How fast more may be taken while it is empty; without bound while it is not.
    pub(super) fn pace(&self, at: f64) -> f64 {
        let window = if self.size - self.out > TINY {
            f64::INFINITY
        } else {
            self.returning(at)
        };
        let drip = self.drip.filter(|it| it.level <= TINY);
        drip.map_or(window, |it| it.per_second.min(window))
    }

    /// When it holds anything again. `None`: not by itself.
    pub(super) fn opens(&self, at: f64) -> Option<f64> {
        if !self.is_empty() || self.pace(at) > 0.0 {
            return Some(at);
        }
        match self.back {
            Back::After(_) => self
                .returns
                .iter()
                .find(|it| it.amount > 0.0)
                .map(|it| it.from.max(at)),
            Back::At(moment) if self.size > 0.0 => Some(moment),
            Back::At(_) | Back::Never => None,
        }
    }

    pub(super) fn take(&mut self, at: f64, amount: f64) {
        self.use_evenly(at, at, amount);
        if let Some(drip) = &mut self.drip {
            drip.level -= amount;
        }
    }

    /// The next moment after `at` at which its pace changes by itself, or at which it runs empty at
    /// this pace of use.
    pub(super) fn next_change(&self, at: f64, per_second: f64) -> f64 {
        let edges = self
            .returns
            .iter()
            .take(2)
            .flat_map(|it| [it.from, it.until]);
        let mut next = edges
            .filter(|edge| *edge > at)
            .fold(f64::INFINITY, f64::min);
        if let Back::At(moment) = self.back {
            next = next.min(moment);
        }
        let left = self.size - self.out;
        let net = per_second - self.returning(at);
        if left > TINY && net > 0.0 {
            next = next.min(at + left / net);
        }
        if let Some(drip) = self.drip {
            let net = per_second - drip.per_second;
            if drip.level > TINY && net > TINY {
                next = next.min(at + drip.level / net);
            }
        }
        next
    }

    /// Lets time pass from `at` to `to`, in which so much a second is used.
    pub(super) fn advance(&mut self, at: f64, to: f64, per_second: f64) {
        let used = per_second * (to - at);
        self.use_evenly(at, to, used);
        if let Some(drip) = &mut self.drip {
            drip.level = (drip.level + drip.per_second * (to - at) - used).min(drip.holds);
        }
        while let Some(first) = self.returns.front_mut() {
            if first.until <= to {
                self.out -= first.amount;
                self.returns.pop_front();
                continue;
            }
            if first.from < to {
                let part = first.amount * (to - first.from) / (first.until - first.from);
                self.out -= part;
                first.amount -= part;
                first.from = to;
            }
            break;
        }
        if let Back::At(moment) = &mut self.back
            && to >= *moment
        {
            *moment += DAY;
            self.out = 0.0;
        }
    }

    /// From now on only its mean pace counts, not when in a minute it lets through what. Returns by how
    /// much that may be early.
    pub(super) fn smooth(&mut self) -> f64 {
        let Back::After(window) = self.back else {
            return 0.0;
        };
        let per_second = self.size / window;
        self.drip = Some(Drip {
            holds: TINY,
            level: 0.0,
            per_second: self
                .drip
                .map_or(per_second, |it| it.per_second.min(per_second)),
        });
        self.size = f64::INFINITY;
        self.back = Back::Never;
        self.returns.clear();
        window
    }

    fn returning(&self, at: f64) -> f64 {
        let first = self
            .returns
            .front()
            .filter(|it| it.from <= at && it.until > at);
        first.map_or(0.0, |it| it.amount / (it.until - it.from))
    }

    fn use_evenly(&mut self, from: f64, until: f64, amount: f64) {
        if amount == 0.0 || self.size.is_infinite() {
            return;
        }
        self.out += amount;
        let Back::After(window) = self.back else {
            return;
        };
        let (from, until) = (from + window, until + window);
        match self.returns.back_mut() {
            Some(last) if last.until == until && last.from == from => last.amount += amount,
            _ => self.returns.push_back(Return {
                from,
                until,
                amount,
            }),
        }
    }
}

/// Less than this of anything is nothing.
pub(super) const TINY: f64 = 1e-7;
/// Seconds; a day on which clocks change is off by an hour, in a forecast of days.
const DAY: f64 = 86_400.0;
