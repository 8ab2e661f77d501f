//! One call: asks for one claimed task, or for the tasks of a pack at once, and gives each its own
//! outcome, whatever happens.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    GRANT_TTL, Shared,
    asked::Asked,
    heartbeat::Lease,
    judging::{judged, unanswered},
    letter::{Letter, are_alike},
    member::Member,
    registry::Compiled,
    settle::Outcome,
    together::led,
};
use crate::{
    llm::{CallError, Exchange, Request},
    provider::CallLimits,
};

/// The tasks of one call on their way to their outcomes. All are of one definition, step and model.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) lease: Lease,
    /// The one that leads first.
    pub(super) members: Vec<Member>,
    /// Whether the items of its claim could be read at all.
    pub(super) items_were_read: bool,
    /// When the grant arrived here.
    pub(super) arrived_at: Instant,
}

impl Call {
    /// Asks, calls and judges: an outcome for each task.
    pub(super) async fn run(mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(self.members.len());
        let members = std::mem::take(&mut self.members);
        let leader = members.iter().find(|it| it.claimed.leads());
        let leader = leader.map(|it| it.claimed.call);
        let (expired, members): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|it| it.claimed.expired);
        outcomes.extend(expired.into_iter().map(Member::expired));
        let Some(first) = members.first() else {
            return led(outcomes, leader);
        };
        let registry = &self.shared.registry;
        let compiled = registry
            .compiled(&self.shared.store, &first.claimed.definition)
            .await;
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(error) => {
                let class = self.shared.without_definition(&error);
                let words = error.to_string();
                outcomes.extend(members.into_iter().map(|it| it.unsent(class, &words)));
                return led(outcomes, leader);
            }
        };
        let mut asked = Vec::with_capacity(members.len());
        for member in members {
            match self.asked(&compiled, member) {
                Ok(it) => asked.push(it),
                Err(outcome) => outcomes.push(*outcome),
            }
        }
        // what is asked leads what is not
        let mut all = self.ask(&compiled, asked).await;
        all.append(&mut outcomes);
        led(all, leader)
    }

    fn asked(&self, compiled: &Compiled, member: Member) -> Result<Asked, Box<Outcome>> {
        if member.body.is_none() && !self.items_were_read {
            return Err(Box::new(
                member.unsent("not_sent", "the item could not be read"),
            ));
        }
        Asked::of(compiled, member)
    }

    async fn ask(&self, compiled: &Compiled, asked: Vec<Asked>) -> Vec<Outcome> {
        let Some(first) = asked.first() else {
            return Vec::new();
        };
        let claimed = &first.member.claimed;
        let model = claimed.model.clone();
        let (entry, wire_name) = model.split_once('/').unwrap_or_default();
        let timeout = Duration::from_millis(claimed.call_timeout_ms.unsigned_abs().into());
        let Some(provider) = self.shared.providers.get(entry).cloned() else {
            return unsent(
                asked,
                "not_sent",
                "this process has no key for the provider",
            );
        };
        if self.arrived_at.elapsed() > GRANT_TTL || !self.lease.holds() {
            return unsent(asked, "grant_expired", "the grant was not used in time");
        }
        let (asked, apart) = fellows(asked, provider.embeds_at_once());
        let requests: Vec<&Request> = asked.iter().map(|it| &it.request).collect();
        let seed = asked[0].member.claimed.call.as_u64_pair().1;
        let (letter, alone) = match Letter::of(&requests, seed) {
            Ok(letter) => (letter, asked.len()),
            Err(words) => {
                // a handler asks for each in its own way: they go one by one
                tracing::debug!(model, "a pack cannot be made: {words}");
                (Letter::One(requests[0]), 1)
            }
        };
        let limits = CallLimits {
            timeout,
            ..CallLimits::default()
        };
        let sent_at = Instant::now();
        let exchange = tokio::select! {
            exchange = letter.send(provider.as_ref(), wire_name, &limits) => Some(exchange),
            () = self.shared.abandon.cancelled() => None,
        };
        let latency = sent_at.elapsed();
        let mut asked = asked;
        let rest = asked.split_off(alone);
        let mut outcomes = match exchange {
            None => each(asked, |member| member.abandoned(latency)),
            Some(Exchange { answer, notices }) => {
                let mut outcomes = match answer {
                    Ok(came) => judged(compiled, asked, came, latency),
                    Err(error) => self.failed(compiled, asked, &error, latency).await,
                };
                if let Some(first) = outcomes.first_mut() {
                    first.notices = notices;
                }
                outcomes
            }
        };
        outcomes.extend(rest.into_iter().map(|it| it.member.apart(1)));
        outcomes.extend(apart);
        outcomes
    }

    async fn failed(
        &self,
        compiled: &Compiled,
        asked: Vec<Asked>,
        error: &CallError,
        latency: Duration,
    ) -> Vec<Outcome> {
        if let CallError::Exhausted { .. } = error {
            tracing::warn!(%error, "a task is given back, and its slot rests for a moment");
            // the slot stays taken: fewer calls at once need less
            tokio::select! {
                () = tokio::time::sleep(EXHAUSTED_PAUSE) => {}
                () = self.shared.abandon.cancelled() => {}
            }
            return unsent(asked, "not_sent", &error.to_string());
        }
        unanswered(compiled, asked, error, latency)
    }
}

/// Those that may be asked with the first, and the others given back: of another sort, or more than a call
/// for vectors takes.
fn fellows(asked: Vec<Asked>, at_once: usize) -> (Vec<Asked>, Vec<Outcome>) {
    let first = asked[0].request.clone();
    let (mut with, others): (Vec<Asked>, Vec<Asked>) = asked
        .into_iter()
        .partition(|it| are_alike(&first, &it.request));
    let mut apart = each(others, |member| member.apart(1));
    if first.embed.is_some() && with.len() > at_once {
        let most = u16::try_from(at_once).unwrap_or(u16::MAX);
        apart.extend(each(with.split_off(at_once), |it| it.apart(most)));
    }
    (with, apart)
}

fn unsent(asked: Vec<Asked>, class: &str, words: &str) -> Vec<Outcome> {
    each(asked, |member| member.unsent(class, words))
}

fn each(asked: Vec<Asked>, close: impl Fn(Member) -> Outcome) -> Vec<Outcome> {
    asked.into_iter().map(|it| close(it.member)).collect()
}

/// How long a slot rests when this machine had nothing left to call with.
const EXHAUSTED_PAUSE: Duration = Duration::from_secs(2);
