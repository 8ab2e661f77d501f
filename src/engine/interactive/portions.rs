//! What came of a call for each of its texts: its vector, or what follows, and what is written down of it.

use std::{sync::Arc, time::Duration};

use super::{
    AskError, VectorTold,
    text::{Asked, Told},
};
use crate::{
    engine::{
        letter::Came,
        member::{Failed, Member},
        settle::Outcome,
        together::shares_of,
    },
    llm::Embedding,
    pack::after_torn,
    task::Answer,
};

/// Each one's own vector, with what is written down of it.
pub(super) fn answered(
    asked: Vec<(Asked, Member)>,
    mut came: Came,
    latency: Duration,
    waited: Duration,
) -> Vec<(Asked, Outcome, Told)> {
    let claims = asked.iter().map(|(_, member)| &member.claimed);
    let shares = shares_of(claims, came.usage, &came.lengths());
    let texts = std::mem::take(&mut came.texts);
    let mut all = Vec::with_capacity(asked.len());
    for (((it, member), text), share) in asked.into_iter().zip(texts).zip(shares) {
        let text = text.unwrap_or_default();
        let read = Embedding::of_answer(&text).and_then(|it| Ok((it, Answer::json(text.clone())?)));
        let (vector, answer) = match read {
            Ok(read) => read,
            Err(error) => {
                let failed = Failed::unsent("unreadable", &error.to_string());
                let told = Err(Arc::new(error_of(&failed)));
                all.push((it, member.failed(failed, latency), told));
                continue;
            }
        };
        let spent = share.spent(&member, latency);
        let reply = came.reply(text, share.usage);
        let told = VectorTold {
            vector,
            model: member.claimed.model.clone(),
            model_version: reply.model_version.clone(),
            usage: share.usage,
            cost_microusd: spent.cost_microusd,
            cached: false,
            waited,
            latency,
            task: Some(it.task),
        };
        let outcome = member.answered(None, answer, &reply, spent);
        all.push((it, outcome, Ok(told)));
    }
    all
}

/// What follows for each: how long it rests until it is asked again; `None`: it is over. `torn`: one of
/// them may be at fault, so all go again with fewer.
pub(super) fn unanswered(
    asked: Vec<(Asked, Member)>,
    failed: &Failed,
    torn: bool,
    latency: Duration,
) -> Vec<(Asked, Outcome, Option<Duration>)> {
    let most = after_torn(u16::try_from(asked.len()).unwrap_or(u16::MAX));
    let claims = asked.iter().map(|(_, member)| &member.claimed);
    let shares = shares_of(claims, failed.usage, &vec![0; asked.len()]);
    let mut all = Vec::with_capacity(asked.len());
    for ((mut it, member), share) in asked.into_iter().zip(shares) {
        if torn {
            let spent = member.spent(share.usage, failed.may_have_cost, latency);
            let outcome = member.torn(&failed.words, most, failed.status, spent);
            all.push((it, outcome, Some(Duration::ZERO)));
            continue;
        }
        let rung = member.claimed.rung;
        let failed = Failed {
            usage: share.usage,
            ..failed.clone()
        };
        let mut outcome = member.failed(failed, latency);
        let after = it.tries.after(&mut outcome, rung);
        all.push((it, outcome, after));
    }
    all
}

pub(super) fn error_of(failed: &Failed) -> AskError {
    AskError::Failed {
        class: failed.class.clone(),
        words: failed.words.clone(),
    }
}
