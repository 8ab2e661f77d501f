//! Each step done to the database and to the twins: provider batches, their answers and what they do not bring.

use std::collections::BTreeMap;

use tidegate::{
    store::{
        batch::choose::{Formed, NewBatch},
        claim::Claimed,
        settle::Settled,
    },
    task::{Event, State},
};
use uuid::Uuid;

use super::{
    op::End,
    settles::{REFUSES, answered, fate, unanswered},
    twin::Twin,
    world::{Claim, World},
};

impl World<'_> {
    pub(super) async fn form(&mut self, tier: i16, count: usize) {
        let sql = "select lane, ladder[1] from tidegate.lanes where run_id = $1 and tier = $2 and ladder <> '{}'";
        let lane: Option<(i32, i32)> = sqlx::query_as(sql)
            .bind(self.runs[0])
            .bind(tier)
            .fetch_optional(self.db.pool())
            .await
            .expect("a lane");
        let Some((lane, model_id)) = lane else { return };
        let id = Uuid::now_v7();
        let batch = NewBatch {
            id,
            token: &id.to_string(),
            lane,
            model_id,
            rung: 1,
            skip: 0,
            items: count,
            rescue_after_s: Some(3_600.0),
            decision: id,
            tasks: None,
        };
        let formed = self.store.form_batch(self.processes[0], &batch).await;
        let may = |twin: &&Twin| {
            !twin.new.local
                && twin.new.tier == tier
                && twin.state == State::Ready
                && twin.rescues < 2
        };
        let open = !self.run_paused[0];
        let mut best: Vec<&Twin> = self.twins.iter().filter(|it| open && may(it)).collect();
        best.sort_by_key(|twin| (-i32::from(twin.new.priority), twin.id));
        best.truncate(count);
        // what is not worth starting any more is left for who looks at it alone
        best.retain(|twin| twin.expires != Some(false));
        let best: Vec<Uuid> = best.into_iter().map(|twin| twin.id).collect();
        let expected = match best.len() {
            0 => Formed::Nothing,
            tasks => Formed::Tasks(tasks),
        };
        assert_eq!(formed.expect("formed"), expected);
        let items = self.store.batch_items(id, i32::MIN, 1_000, None).await;
        let items: Vec<Claimed> = items
            .expect("items")
            .into_iter()
            .map(|it| it.claimed)
            .collect();
        let taken: Vec<Uuid> = items.iter().map(|it| it.task).collect();
        assert_eq!(taken, best);
        for item in items {
            let twin = self.twin(item.task);
            twin.submit();
            assert_eq!((item.epoch, item.attempt), (twin.epoch, twin.attempts));
            self.items.push((id, item));
        }
    }

    /// Some items of one batch, whatever became of them.
    fn some_items(&self, item: usize, count: usize) -> Vec<(Uuid, Claimed)> {
        let Some(last) = self.items.len().checked_sub(1) else {
            return Vec::new();
        };
        let from = last - item % self.items.len().min(16);
        let batch = self.items[from].0;
        let same = self.items[from..].iter().filter(|(of, _)| *of == batch);
        same.take(count).cloned().collect()
    }

    pub(super) async fn batch_answer(&mut self, item: usize, count: usize, sink_refuses: bool) {
        let items = self.some_items(item, count);
        let Some((batch, _)) = items.first() else {
            return;
        };
        let batch = *batch;
        let mut expected = BTreeMap::new();
        for (_, item) in &items {
            let owed = self.settled.insert((batch, item.task));
            let twin = self.twin(item.task);
            let fits = item.epoch > twin.outdated;
            // the first result wins over a single call that is under way
            let holds =
                owed && (twin.is_in_batch(item.epoch) || twin.state == State::Running && fits);
            let late = twin.takes_late(item.epoch);
            let mut word = match (holds, late) {
                (true, _) => Settled::Done,
                (_, true) => Settled::Salvaged,
                _ => Settled::Superseded,
            };
            if holds || late {
                if sink_refuses {
                    word = Settled::SinkFailed;
                    twin.failed_by_sink = true;
                }
                twin.on(match sink_refuses {
                    true => Event::SinkRefused,
                    false => Event::Succeeded,
                });
                twin.epoch += i32::from(late);
            }
            expected.insert(item.task, word);
        }
        let answers = items.iter();
        let answers = answers.map(|(_, it)| answered(&Claim::Asking(it.clone())));
        let sink = sink_refuses.then(|| REFUSES.to_owned());
        let process = self.processes[1];
        let came = self
            .store
            .settle_done_batch(process, batch, answers.collect(), sink)
            .await;
        let came: BTreeMap<Uuid, Settled> = came.expect("settled").into_iter().collect();
        assert_eq!(came, expected);
    }

    pub(super) async fn batch_open(&mut self, item: usize, count: usize, end: End) {
        let items = self.some_items(item, count);
        let Some((batch, _)) = items.first() else {
            return;
        };
        let batch = *batch;
        let (mut attempts, mut expected) = (Vec::new(), Vec::new());
        for (_, item) in &items {
            let owed = self.settled.insert((batch, item.task));
            let twin = self.twin(item.task);
            // a batch looks at no expiry, and a last attempt is not tried again
            let end = match end {
                End::Expire => End::Release,
                End::Reschedule { .. } if item.attempt >= twin.new.max_attempts => End::Fail,
                end => end,
            };
            attempts.push(unanswered(&Claim::Asking(item.clone()), fate(end)));
            if !(owed && twin.is_in_batch(item.epoch)) {
                continue;
            }
            expected.push(item.task);
            match end {
                End::Release | End::Expire => {
                    twin.on(Event::Released);
                    twin.attempts -= 1;
                }
                End::Reschedule { later } => {
                    twin.on(Event::Rescheduled);
                    twin.later = later;
                }
                End::Fail => twin.on(Event::Rejected),
            }
        }
        let process = self.processes[2];
        let held = self.store.settle_open_batch(process, batch, attempts).await;
        let mut held = held.expect("settled");
        held.sort();
        expected.sort();
        assert_eq!(held, expected, "items that waited");
    }

    pub(super) async fn batch_late(&mut self, item: usize) {
        let Some((batch, _)) = self.some_items(item, 1).pop() else {
            return;
        };
        let sql = "update tidegate.provider_batches set rescue_at = now() where id = $1";
        let late = sqlx::query(sql).bind(batch).execute(self.db.pool()).await;
        late.expect("late");
        let of_it = self.items.iter().filter(|(of, _)| *of == batch);
        let of_it: Vec<(Uuid, i32)> = of_it.map(|(_, it)| (it.task, it.epoch)).collect();
        let mut expected = 0;
        for (task, epoch) in of_it {
            let owed = !self.settled.contains(&(batch, task));
            let twin = self.twin(task);
            if owed && twin.is_in_batch(epoch) {
                twin.on(Event::Released);
                twin.attempts -= 1;
                expected += 1;
            }
        }
        assert_eq!(
            self.store.rescue_batches().await.expect("rescued"),
            expected
        );
    }
}
