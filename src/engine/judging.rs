//! What a call came to for each of its tasks: its own answer, judged, or what follows where there is none.

use std::time::Duration;

use super::{
    asked::Asked,
    letter::Came,
    member::{Failed, failure_of, rejected},
    registry::Compiled,
    settle::{Outcome, Packed},
    together::shares_of,
};
use crate::{
    llm::{CallError, Verdict},
    pack::after_torn,
    store::claim::Claimed,
};

/// Gives each task its own part of what came, and judges that.
pub(super) fn judged(
    compiled: &Compiled,
    asked: Vec<Asked>,
    mut came: Came,
    latency: Duration,
) -> Vec<Outcome> {
    let (items, lead) = (asked.len(), asked[0].member.claimed.clone());
    let shares = shares_of(claims(&asked), came.usage, &came.lengths());
    let texts = std::mem::take(&mut came.texts);
    let most = after_torn(u16::try_from(items).unwrap_or(u16::MAX));
    let mut lost = 0;
    let mut outcomes = Vec::with_capacity(items);
    for ((it, text), share) in asked.into_iter().zip(texts).zip(shares) {
        let spent = share.spent(&it.member, latency);
        let handler = compiled.handler.as_ref();
        let verdict = text.and_then(|text| {
            let own = came.reply(text, share.usage);
            let answer = it.member.judged(handler, &it.item, &own)?;
            Ok((answer, own))
        });
        outcomes.push(match verdict {
            Ok((answer, own)) => it
                .member
                .answered(compiled.sink.clone(), answer, &own, spent),
            Err(why) if items > 1 => {
                lost += 1;
                it.member.torn(&why, most, Some(200), spent)
            }
            Err(why) => {
                lost += 1;
                it.member.failed(rejected(&why, share.usage), latency)
            }
        });
    }
    outcomes[0].packed = packed(compiled, &lead, items, lost);
    outcomes
}

/// What is noted of the call where the step's prompts are packed: how many travel well is learned. A call
/// for vectors takes as many texts as it takes.
fn packed(compiled: &Compiled, lead: &Claimed, items: usize, lost: usize) -> Option<Packed> {
    let step = compiled.component(&lead.component)?;
    step.packs.then(|| Packed::of(lead, items, lost))
}

fn claims(asked: &[Asked]) -> impl Iterator<Item = &Claimed> + Clone {
    asked.iter().map(|it| &it.member.claimed)
}

/// What follows for each task of a call that brought nothing.
pub(super) fn unanswered(
    compiled: &Compiled,
    asked: Vec<Asked>,
    error: &CallError,
    latency: Duration,
) -> Vec<Outcome> {
    let failed = failure_of(error);
    // what one of several may be at fault for is asked again with fewer; the rest befell them all
    let of_one = matches!(failed.verdict, Verdict::GiveUp | Verdict::NextModel);
    let items = asked.len();
    let most = after_torn(u16::try_from(items).unwrap_or(u16::MAX));
    let shares = shares_of(claims(&asked), failed.usage, &vec![0; items]);
    let packed = packed(compiled, &asked[0].member.claimed, items, items);
    let mut outcomes: Vec<Outcome> = asked
        .into_iter()
        .zip(shares)
        .map(|(it, share)| {
            if items > 1 && of_one {
                let spent = it.member.spent(share.usage, failed.may_have_cost, latency);
                return it.member.torn(&failed.words, most, failed.status, spent);
            }
            let failed = Failed {
                usage: share.usage,
                ..failed.clone()
            };
            it.member.failed(failed, latency)
        })
        .collect();
    if items > 1 && of_one {
        outcomes[0].packed = packed;
    }
    outcomes
}
