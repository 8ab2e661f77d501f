//! What a limit has used, as the limiter's own book tells it.

/// One entry, at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    /// When.
    pub at: i64,
    /// How much; of a correction also negative.
    pub amount: i64,
}

/// The entries of one limit, each list oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Debits at the claims, by estimate (`limit_book`).
    pub debits: Vec<Booking>,
    /// What a call used more or less than was reserved, at the moment of its grant, so that it leaves
    /// a window with the call that it corrects (`limit_settlements`).
    pub corrections: Vec<Booking>,
    /// What somebody else used of the same key, when it was noticed (both tables).
    pub foreign: Vec<Booking>,
    /// Calls that it counts in flight, of a limit of calls at once.
    pub in_flight: u64,
}

impl Book {
    /// All that was used after this moment, corrections included.
    pub(super) fn used_after(&self, start: i64) -> i64 {
        [&self.debits, &self.corrections, &self.foreign]
            .into_iter()
            .flatten()
            .filter(|entry| entry.at > start)
            .fold(0, |sum, entry| sum.saturating_add(entry.amount))
    }

    /// What claims debited after this moment.
    pub(super) fn debited_after(&self, start: i64) -> i64 {
        let debits = self.debits.iter().filter(|entry| entry.at > start);
        debits.fold(0, |sum, entry| sum.saturating_add(entry.amount))
    }

    /// What a bucket was asked for, oldest first: corrections are not, since a bucket that has refilled
    /// does not remember.
    pub(super) fn poured(&self) -> Vec<Booking> {
        let mut all = self.debits.clone();
        all.extend(&self.foreign);
        all.sort_by_key(|entry| entry.at);
        all
    }
}
