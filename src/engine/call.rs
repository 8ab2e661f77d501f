//! One call: asks for one claimed task, or for the tasks of a pack at once, and gives each its own
//! outcome, whatever happens.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    GRANT_TTL, Shared,
    heartbeat::Lease,
    inputs,
    member::{Failed, Member, failure_of, rejected},
    registry::{Compiled, guarded},
    settle::{Outcome, Packed},
};
use crate::{
    cost,
    llm::{CallError, Exchange, Reply, Request, Usage, Verdict},
    pack::{Pack, Part, after_torn, share, shares},
    provider::CallLimits,
    store::settle::Spent,
    task::Item,
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

/// A task that is asked for.
struct Asked {
    member: Member,
    item: Item,
    request: Request,
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

    fn asked(&self, compiled: &Compiled, mut member: Member) -> Result<Asked, Box<Outcome>> {
        let Some(item) = member.item() else {
            return Err(Box::new(if self.items_were_read {
                member.refused("input", "its item is gone, or is not JSON")
            } else {
                member.unsent("not_sent", "the item could not be read")
            }));
        };
        let results = inputs::by_component(std::mem::take(&mut member.needed));
        let component = &member.claimed.component;
        let item = match compiled.item(item.id, item.body, component, results) {
            Ok(item) => item,
            Err(words) => return Err(Box::new(member.refused("input", &words))),
        };
        match guarded(|| compiled.handler.request(&item)) {
            Ok(Ok(request)) => Ok(Asked {
                member,
                item,
                request,
            }),
            Ok(Err(error)) => Err(Box::new(member.refused("input", &error.0))),
            Err(words) => Err(Box::new(member.refused("panic", &words))),
        }
    }

    async fn ask(&self, compiled: &Compiled, mut asked: Vec<Asked>) -> Vec<Outcome> {
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
        let mut apart = Vec::new();
        let pack = match joined(&asked) {
            Ok(pack) => pack,
            Err(words) => {
                // a handler asks for each in its own way: they go one by one
                tracing::debug!(worker = claimed.worker, "a pack cannot be made: {words}");
                apart = asked.split_off(1);
                None
            }
        };
        let request = pack.as_ref().map_or(&asked[0].request, Pack::request);
        let limits = CallLimits {
            timeout,
            ..CallLimits::default()
        };
        let sent_at = Instant::now();
        let exchange = tokio::select! {
            exchange = provider.generate(wire_name, request, &limits) => Some(exchange),
            () = self.shared.abandon.cancelled() => None,
        };
        let latency = sent_at.elapsed();
        let mut outcomes = match exchange {
            None => each(asked, |member| member.abandoned(latency)),
            Some(Exchange { answer, notices }) => {
                let mut outcomes = match answer {
                    Ok(reply) => judged(compiled, asked, pack.as_ref(), &reply, latency),
                    Err(error) => self.failed(asked, &error, latency).await,
                };
                if let Some(first) = outcomes.first_mut() {
                    first.notices = notices;
                }
                outcomes
            }
        };
        outcomes.extend(apart.into_iter().map(|it| it.member.apart()));
        outcomes
    }

    async fn failed(
        &self,
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
        let failed = failure_of(error);
        // what one of several may be at fault for is asked again with fewer; the rest befell them all
        let of_one = matches!(failed.verdict, Verdict::GiveUp | Verdict::NextModel);
        let parts = parts_of(&asked, failed.usage, &vec![0; asked.len()]);
        if asked.len() > 1 && of_one {
            let packed = Packed::of(&asked[0].member.claimed, asked.len(), asked.len());
            let most = after_torn(u16::try_from(asked.len()).unwrap_or(u16::MAX));
            let mut outcomes: Vec<Outcome> = asked
                .into_iter()
                .zip(parts)
                .map(|(it, usage)| {
                    let spent = it.member.spent(usage, failed.may_have_cost, latency);
                    it.member.torn(&failed.words, most, failed.status, spent)
                })
                .collect();
            outcomes[0].packed = Some(packed);
            return outcomes;
        }
        asked
            .into_iter()
            .zip(parts)
            .map(|(it, usage)| {
                let failed = Failed {
                    usage,
                    ..failed.clone()
                };
                it.member.failed(failed, latency)
            })
            .collect()
    }
}

/// The request for several; none for one.
fn joined(asked: &[Asked]) -> Result<Option<Pack>, String> {
    let requests: Vec<&Request> = asked.iter().map(|it| &it.request).collect();
    if requests.len() == 1 {
        return Ok(None);
    }
    let claimed = &asked[0].member.claimed;
    let seed = claimed.call.as_u64_pair().1;
    Pack::new(&requests, seed)
        .map(Some)
        .map_err(|apart| apart.to_string())
}

/// Gives each task its own part of the reply, and judges that.
fn judged(
    compiled: &Compiled,
    asked: Vec<Asked>,
    pack: Option<&Pack>,
    reply: &Reply,
    latency: Duration,
) -> Vec<Outcome> {
    let texts: Vec<Result<String, String>> = match pack {
        None => vec![Ok(reply.text.clone())],
        Some(pack) => pack
            .unpack(&reply.text)
            .into_iter()
            .map(|text| text.map_err(|lost| lost.to_string()))
            .collect(),
    };
    let lengths: Vec<u64> = texts
        .iter()
        .map(|text| text.as_ref().map_or(0, |text| text.len() as u64))
        .collect();
    let usages = parts_of(&asked, reply.usage, &lengths);
    let costs = costs_of(&asked[0].member, reply.usage, &usages);
    let (items, lead) = (asked.len(), asked[0].member.claimed.clone());
    let most = after_torn(u16::try_from(items).unwrap_or(u16::MAX));
    let mut lost = 0;
    let mut outcomes = Vec::with_capacity(items);
    for (((it, text), usage), cost) in asked.into_iter().zip(texts).zip(usages).zip(costs) {
        let own = Reply {
            text: text.as_ref().map_or_else(|_| String::new(), Clone::clone),
            usage,
            ..reply.clone()
        };
        let verdict =
            text.and_then(|_| it.member.judged(compiled.handler.as_ref(), &it.item, &own));
        let mut spent = it.member.spent(usage, true, latency);
        if let Some(cost) = cost {
            spent = Spent {
                cost_microusd: Some(cost),
                ..spent
            };
        }
        outcomes.push(match verdict {
            Ok(answer) => it
                .member
                .answered(compiled.sink.clone(), answer, &own, spent),
            Err(why) if items > 1 => {
                lost += 1;
                it.member.torn(&why, most, Some(200), spent)
            }
            Err(why) => {
                lost += 1;
                it.member.failed(rejected(&why, usage), latency)
            }
        });
    }
    let step = compiled.component(&lead.component);
    if step.is_some_and(|step| step.packs) {
        outcomes[0].packed = Some(Packed::of(&lead, items, lost));
    }
    outcomes
}

/// What each used of the call, where its provider counted it.
fn parts_of(asked: &[Asked], usage: Option<Usage>, lengths: &[u64]) -> Vec<Option<Usage>> {
    let Some(usage) = usage else {
        return vec![None; asked.len()];
    };
    let parts: Vec<Part> = asked
        .iter()
        .zip(lengths)
        .map(|(it, length)| Part {
            input_tokens: it.member.claimed.est_input.unsigned_abs().into(),
            answer_bytes: *length,
        })
        .collect();
    shares(&usage, &parts).into_iter().map(Some).collect()
}

/// What each cost of the call, so that all together are what the call cost; none where that is not
/// known.
fn costs_of(lead: &Member, whole: Option<Usage>, parts: &[Option<Usage>]) -> Vec<Option<i64>> {
    let price = (lead.claimed.input_price, lead.claimed.output_price);
    let cost = |usage: Option<Usage>| usage.and_then(|it| cost::actual(&it, price.0, price.1));
    let Some(all) = cost(whole) else {
        return vec![None; parts.len()];
    };
    let weights: Vec<u64> = parts
        .iter()
        .map(|part| cost(*part).map_or(0, i64::unsigned_abs))
        .collect();
    share(all.unsigned_abs(), &weights)
        .into_iter()
        .map(|part| i64::try_from(part).ok())
        .collect()
}

/// Of all outcomes of a call the first stands for it: the others say nothing of the model.
/// Where the task that was claimed as `leader` was not asked, and others of its pack were, the request is
/// theirs.
fn led(mut outcomes: Vec<Outcome>, leader: Option<Uuid>) -> Vec<Outcome> {
    if let Some((call, true)) = outcomes.first().and_then(Outcome::call)
        && leader.is_some_and(|leader| leader != call)
    {
        outcomes[0].set_leads(true);
        let led = |it: &&mut Outcome| it.call().map(|(call, _)| call) == leader;
        if let Some(led) = outcomes.iter_mut().find(led) {
            led.set_leads(false);
        }
    }
    for outcome in outcomes.iter_mut().skip(1) {
        outcome.leads = false;
        outcome.forget_verdict();
    }
    outcomes
}

fn unsent(asked: Vec<Asked>, class: &str, words: &str) -> Vec<Outcome> {
    each(asked, |member| member.unsent(class, words))
}

fn each(asked: Vec<Asked>, close: impl Fn(Member) -> Outcome) -> Vec<Outcome> {
    asked.into_iter().map(|it| close(it.member)).collect()
}

/// How long a slot rests when this machine had nothing left to call with.
const EXHAUSTED_PAUSE: Duration = Duration::from_secs(2);
