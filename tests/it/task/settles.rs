//! Each step done to the database and to the twins: what became of claims, however late.

use std::collections::BTreeMap;

use tidegate::{
    llm::Usage,
    store::{
        local::LocalDone,
        settle::{Answered, Fate, Settled, Spent, Unanswered},
    },
    task::{Answer, Event},
};
use uuid::Uuid;

use super::{
    op::End,
    world::{Claim, World},
};

/// A sink that takes nothing.
pub(super) const REFUSES: &str = "select 1 / (jsonb_array_length($1) * 0)";
const TAKES: &str = "select jsonb_array_length($1)";

/// How many answers of a task had which fate.
type Fates = BTreeMap<(Uuid, &'static str), usize>;

impl World<'_> {
    /// Some claims of one sort, from the one that is picked on, youngest first.
    fn some_claims(&self, claim: usize, count: usize) -> Vec<(Uuid, Claim)> {
        let Some(last) = self.claims.len().checked_sub(1) else {
            return Vec::new();
        };
        let from = last - claim % self.claims.len();
        let local = self.claims[from].1.is_local();
        let mut same = self.claims[from..].iter();
        let picked = same.by_ref().filter(|(_, claim)| claim.is_local() == local);
        picked.take(count).cloned().collect()
    }

    pub(super) async fn answer(&mut self, claim: usize, count: usize, sink_refuses: bool) {
        let claims = self.some_claims(claim, count);
        let Some((process, first)) = claims.first() else {
            return;
        };
        let (process, local) = (*process, first.is_local());
        let expected = self.expect_answers(&claims, sink_refuses && !local);
        let count = |word: &str| -> u64 {
            let of_it = expected.iter().filter(|((_, fate), _)| *fate == word);
            of_it.map(|(_, n)| *n as u64).sum()
        };
        if local {
            let done = claims.into_iter().filter_map(|(_, claim)| match claim {
                Claim::Local(task) => Some((task, "null".to_owned(), 1)),
                Claim::Asking(_) => None,
            });
            let done = LocalDone::of(done.collect());
            let fates = self.store.settle_local(process, &done).await;
            let late: (u64, u64) = (count("salvaged"), count("superseded"));
            assert_eq!(fates.expect("settled"), late, "{expected:?}");
            return;
        }
        let answers = claims.iter().map(|(_, claim)| answered(claim)).collect();
        let sink = sink_refuses.then(|| REFUSES.to_owned());
        let fates = self.store.settle_done(process, answers, sink).await;
        let mut came = Fates::new();
        for (task, fate) in fates.expect("settled") {
            let word = match fate {
                Settled::Done => "done",
                Settled::Salvaged => "salvaged",
                Settled::Superseded => "superseded",
                Settled::SinkFailed => "refused",
            };
            *came.entry((task, word)).or_default() += 1;
        }
        assert_eq!(came, expected);
    }

    /// What should become of these answers, done to the twins.
    fn expect_answers(&mut self, claims: &[(Uuid, Claim)], sink_refuses: bool) -> Fates {
        let mut fates = Fates::new();
        // who still holds a task goes before who lost it
        let mut keys: Vec<_> = claims.iter().map(|(_, claim)| claim.key()).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.epoch));
        for key in keys {
            let twin = self.twin(key.task);
            let (holds, late) = (twin.is_held_by_claim(key.epoch), twin.takes_late(key.epoch));
            let mut word = match (holds, late) {
                (true, _) => "done",
                (_, true) => "salvaged",
                _ => "superseded",
            };
            if holds || late {
                if sink_refuses {
                    word = "refused";
                    twin.failed_by_sink = true;
                }
                twin.on(match sink_refuses {
                    true => Event::SinkRefused,
                    false => Event::Succeeded,
                });
                twin.epoch += i32::from(late);
            }
            *fates.entry((key.task, word)).or_default() += 1;
        }
        fates
    }

    pub(super) async fn open(&mut self, claim: usize, count: usize, end: End) {
        let claims = self.some_claims(claim, count);
        let Some((process, _)) = claims.first() else {
            return;
        };
        let process = *process;
        let mut attempts = Vec::new();
        let mut expected = Vec::new();
        for (_, claim) in &claims {
            let key = claim.key();
            let twin = self.twin(key.task);
            // who settles knows that a last attempt is not tried again
            let last = key.attempt >= twin.new.max_attempts;
            let end = match end {
                End::Reschedule { .. } if last => End::Fail,
                end => end,
            };
            attempts.push(unanswered(claim, fate(end)));
            if !twin.is_held_by_claim(key.epoch) {
                continue;
            }
            expected.push(key.task);
            match end {
                End::Release => {
                    twin.on(Event::Released);
                    twin.attempts -= 1;
                }
                End::Reschedule { later } => {
                    twin.on(Event::Rescheduled);
                    twin.later = later;
                }
                End::Fail => twin.on(Event::Rejected),
                End::Expire => {
                    twin.on(Event::Expired);
                    twin.attempts -= 1;
                }
            }
        }
        let held = self.store.settle_open(process, &attempts).await;
        let mut held = held.expect("settled");
        held.sort();
        expected.sort();
        assert_eq!(held, expected, "leases that held");
    }

    pub(super) async fn apply_sink(&mut self, task: usize) {
        let refused = |twin: &&super::twin::Twin| twin.failed_by_sink;
        let refused: Vec<Uuid> = self.twins.iter().filter(refused).map(|it| it.id).collect();
        let id = match (refused.is_empty(), self.pick(task)) {
            (false, _) => refused[task % refused.len()],
            (true, Some(at)) => self.twins[at].id,
            (true, None) => return,
        };
        let applied = self.store.reapply_sink(&[id], TAKES.to_owned()).await;
        let (done, again) = applied.expect("applied");
        let twin = self.twin(id);
        assert_eq!(
            (done.len(), again.len()),
            (usize::from(twin.failed_by_sink), 0)
        );
        if twin.failed_by_sink {
            twin.on(Event::SinkApplied);
            twin.failed_by_sink = false;
            twin.generation += 1;
        }
    }
}

pub(super) fn fate(end: End) -> Fate {
    match end {
        End::Release => Fate::Release,
        End::Reschedule { later } => Fate::Reschedule {
            delay_ms: if later { 3_600_000 } else { 0 },
        },
        End::Fail => Fate::Fail,
        End::Expire => Fate::Expire,
    }
}

fn spent() -> Spent {
    Spent {
        usage: Some(Usage {
            input_tokens: 10,
            output_tokens: 5,
            ..Usage::default()
        }),
        cost_microusd: Some(7),
        estimated: false,
        latency_ms: 2,
    }
}

pub(super) fn answered(claim: &Claim) -> Answered {
    Answered {
        claim: claim.key(),
        item: None,
        version: None,
        answer: Answer::text("yes"),
        spent: spent(),
        model_version: None,
        response_id: None,
        leads: None,
    }
}

pub(super) fn unanswered(claim: &Claim, fate: Fate) -> Unanswered {
    Unanswered {
        claim: claim.key(),
        fate,
        exhaust_rung: false,
        error_class: "provider_failed".to_owned(),
        error: "said a test".to_owned(),
        sent: true,
        http_status: Some(500),
        pack_most: None,
        leads: None,
        spent: spent(),
    }
}
