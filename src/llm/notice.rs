//! What a provider tells of its limits beside an answer.
//!
//! Owns: [`LimitNotice`], [`Exchange`]. Never: what is concluded from them.

use std::time::Duration;

use super::{CallError, Quota, QuotaWindow, Reply};

/// One limit as the provider told it with an answer or a refusal. Whatever it did not tell, or told
/// in a way that makes no sense, is `None`; at least one of the three is told.
///
/// A single notice is a hint, not a proof: some servers that copy a provider tell nonsense, and the
/// window is concluded where the provider does not name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitNotice {
    /// `true`: counts tokens; `false`: counts requests.
    pub tokens: bool,
    /// The window it counts in.
    pub window: QuotaWindow,
    /// How much the window grants. 0 only in a refusal: this model is not granted at all.
    pub size: Option<u64>,
    /// What is left of it, this call counted; never more than `size`.
    pub remaining: Option<u64>,
    /// Until all of it is back, if nothing more is used. At most 31 days.
    pub resets_in: Option<Duration>,
}

/// What came of one call: the answer, and what was told of limits beside it. `T` is what a good
/// answer is: [`Reply`], or [`EmbedReply`](super::EmbedReply).
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange<T = Reply> {
    /// The reply, or why there is none.
    pub answer: Result<T, CallError>,
    /// At most one for each of requests and tokens per minute and per day.
    pub notices: Vec<LimitNotice>,
}

impl<T> Exchange<T> {
    /// An exchange whose notices are those given, and where these are silent the quotas that the
    /// refusal names. Of several notices of one limit the tightest stays: all of them bind.
    pub fn new(answer: Result<T, CallError>, told: Vec<LimitNotice>) -> Self {
        let quotas = match &answer {
            Err(CallError::RateLimited { quotas, .. }) => quotas.as_slice(),
            _ => &[],
        };
        let spent = quotas.iter().filter_map(LimitNotice::of_quota);
        let mut notices: Vec<LimitNotice> = Vec::new();
        for notice in told.into_iter().chain(spent) {
            let same = |known: &&mut LimitNotice| {
                (known.tokens, known.window) == (notice.tokens, notice.window)
            };
            match notices.iter_mut().find(same) {
                None => notices.push(notice),
                Some(known) if notice.is_tighter(known) => *known = notice,
                Some(_) => {}
            }
        }
        Self { answer, notices }
    }

    /// A failure beside which nothing was told.
    pub fn failed(error: CallError) -> Self {
        Self::new(Err(error), Vec::new())
    }
}

impl LimitNotice {
    /// What a spent quota tells, if it tells a size. The wait beside it is until the next call, not
    /// until all is back.
    fn of_quota(quota: &Quota) -> Option<Self> {
        quota.size.map(|size| Self {
            tokens: quota.tokens,
            window: quota.window,
            size: Some(size),
            // of tokens there may be some left, only not enough for this call
            remaining: (!quota.tokens || size == 0).then_some(0),
            resets_in: None,
        })
    }

    fn is_tighter(&self, other: &Self) -> bool {
        match (self.size, other.size) {
            (Some(size), Some(known)) => size < known,
            (size, known) => size.is_some() && known.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(tokens: bool, window: QuotaWindow, size: Option<u64>) -> Quota {
        Quota {
            id: "q".to_owned(),
            window,
            tokens,
            refills: false,
            size,
        }
    }

    fn refused(quotas: Vec<Quota>) -> Result<Reply, CallError> {
        Err(CallError::RateLimited {
            quotas,
            retry_after: Some(Duration::from_secs(7)),
            message: String::new(),
        })
    }

    #[test]
    fn the_quotas_of_a_refusal_are_notices_where_they_have_a_size() {
        let (minute, day) = (QuotaWindow::Minute, QuotaWindow::Day);
        let quotas = vec![
            quota(false, minute, Some(15)),
            quota(true, minute, Some(250_000)),
            quota(false, day, None),
        ];
        let seen: Vec<_> = Exchange::new(refused(quotas), Vec::new())
            .notices
            .iter()
            .map(|it| (it.tokens, it.window, it.size, it.remaining, it.resets_in))
            .collect();
        assert_eq!(
            seen,
            [
                (false, minute, Some(15), Some(0), None),
                (true, minute, Some(250_000), None, None)
            ]
        );
    }

    #[test]
    fn of_one_limit_the_tightest_notice_stays() {
        let told = |size| LimitNotice {
            tokens: true,
            window: QuotaWindow::Minute,
            size,
            remaining: Some(1),
            resets_in: None,
        };
        for (sizes, kept) in [
            ([Some(9), Some(5)], Some(5)),
            ([Some(5), Some(9)], Some(5)),
            ([None, Some(9)], Some(9)),
            ([Some(9), None], Some(9)),
        ] {
            let exchange = Exchange::new(refused(Vec::new()), sizes.map(told).to_vec());
            let sizes: Vec<_> = exchange.notices.iter().map(|it| it.size).collect();
            assert_eq!(sizes, [kept]);
        }
    }
}
