//! Where texts gather that are to become vectors: who comes at the same time shares a call. When to leave is
//! `plan::coalesce`'s word; here is who waits.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OnceCell, Semaphore},
    time::Instant,
};
use uuid::Uuid;

use super::{
    desk::Desk,
    group,
    sort::{EmbedSettings, Sort},
    text::{Text, refused},
};
use crate::{
    plan::coalesce::{self, Gathered},
    store::StoreError,
};

/// Texts by their sort, on their way to calls.
pub(super) struct Gathering {
    pub(super) desk: Arc<Desk>,
    settings: EmbedSettings,
    /// The standing run of their tasks, once the first came.
    run: OnceCell<Uuid>,
    queues: Mutex<HashMap<Arc<Sort>, Queue>>,
}

/// Texts of one sort that have not left yet.
struct Queue {
    texts: VecDeque<Text>,
    /// Callers on their way here.
    coming: usize,
    /// Since when the first of the texts waits.
    since: Instant,
    arrived_at: Option<Instant>,
    gap: Option<Duration>,
    latency: Option<Duration>,
    /// Somebody sees to it that they leave.
    driven: bool,
    wake: Arc<Notify>,
    slots: Arc<Semaphore>,
}

/// A caller on its way: counted as long as it has not come.
pub(super) struct Coming {
    gathering: Arc<Gathering>,
    sort: Arc<Sort>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut queues = self.gathering.lock();
        if let Some(queue) = queues.get_mut(&self.sort) {
            queue.coming -= 1;
            queue.wake.notify_one();
        }
    }
}

/// What a look at a queue came to.
enum Look {
    Empty,
    Wait(Duration),
    Leave(Vec<Text>),
}

impl Gathering {
    pub(super) fn new(desk: Arc<Desk>, settings: EmbedSettings) -> Arc<Self> {
        Arc::new(Self {
            desk,
            settings,
            run: OnceCell::new(),
            queues: Mutex::default(),
        })
    }

    /// Tells that texts of this sort are on their way.
    pub(super) fn announced(self: &Arc<Self>, sort: &Arc<Sort>) -> Coming {
        let mut queues = self.lock();
        if queues.len() >= SORTS_MAX {
            queues.retain(|_, queue| queue.driven || queue.coming > 0);
        }
        let calls = self.calls();
        let queue = queues.entry(sort.clone()).or_insert_with(|| Queue {
            texts: VecDeque::new(),
            coming: 0,
            since: Instant::now(),
            arrived_at: None,
            gap: None,
            latency: None,
            driven: false,
            wake: Arc::default(),
            slots: Arc::new(Semaphore::new(calls)),
        });
        queue.coming += 1;
        Coming {
            gathering: self.clone(),
            sort: sort.clone(),
        }
    }

    /// They are here: they leave by themselves, and each is told.
    pub(super) fn join(self: &Arc<Self>, coming: Coming, texts: Vec<Text>) {
        if texts.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(&coming.sort) else {
            return;
        };
        if let Some(before) = queue.arrived_at.replace(now) {
            queue.gap = coalesce::gap_after(queue.gap, now - before);
        }
        if queue.texts.is_empty() {
            queue.since = now;
        }
        for text in texts {
            // an equal one may wait already; what is not to be kept is asked by each
            let equal = |it: &&mut Text| coming.sort.cache_s.is_some() && it.key == text.key;
            match queue.texts.iter_mut().find(equal) {
                Some(equal) => equal.replies.extend(text.replies),
                None => queue.texts.push_back(text),
            }
        }
        if !std::mem::replace(&mut queue.driven, true) {
            let driving = self.clone().drive(coming.sort.clone());
            self.desk.shared.calls.spawn(driving);
        }
        // it is no longer on its way; whoever drives is woken by that
        drop(queues);
        drop(coming);
    }

    /// Lets them leave, call by call, until none is left.
    async fn drive(self: Arc<Self>, sort: Arc<Sort>) {
        let at_once = self.at_once(&sort);
        let (wake, slots) = match self.lock().get(&sort) {
            Some(queue) => (queue.wake.clone(), queue.slots.clone()),
            None => return,
        };
        loop {
            // while all calls are under way more may come: they leave together then
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let texts = loop {
                match self.look(&sort, at_once) {
                    Look::Empty => return,
                    Look::Leave(texts) => break texts,
                    Look::Wait(pause) => tokio::select! {
                        () = wake.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    },
                }
            };
            let (this, sort) = (self.clone(), sort.clone());
            self.desk.shared.calls.spawn(async move {
                let latency = this.called(&sort, texts, at_once).await;
                if let (Some(latency), Some(queue)) = (latency, this.lock().get_mut(&sort)) {
                    let known = queue.latency.unwrap_or(latency);
                    queue.latency = Some((known * 3 + latency) / 4);
                }
                drop(slot);
            });
        }
    }

    async fn called(&self, sort: &Sort, texts: Vec<Text>, at_once: usize) -> Option<Duration> {
        match self.run().await {
            Ok(run) => group::called(&self.desk, run, sort, texts, at_once).await,
            Err(error) => {
                refused(texts, error.into());
                None
            }
        }
    }

    /// The standing run of texts that are asked singly.
    pub(super) async fn run(&self) -> Result<Uuid, StoreError> {
        let register = async || {
            let folder = r#"{"interactive": true, "embed": true}"#;
            let worker = super::worker(super::EMBED_WORKER, folder);
            self.desk.shared.store.register_worker(&worker).await
        };
        Ok(*self.run.get_or_try_init(register).await?)
    }

    /// Calls of one sort side by side.
    pub(super) fn calls(&self) -> usize {
        self.settings.calls.max(1)
    }

    fn look(&self, sort: &Sort, most: usize) -> Look {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(sort) else {
            return Look::Empty;
        };
        // who has gone waits for nothing
        queue.texts.retain(|text| !text.is_unheard());
        if queue.texts.is_empty() {
            queue.driven = false;
            return Look::Empty;
        }
        let pause = coalesce::pause(&Gathered {
            texts: queue.texts.len(),
            most,
            waited: queue.since.elapsed(),
            coming: queue.coming,
            gap: queue.gap,
            since: queue.arrived_at.map_or(Duration::MAX, |it| it.elapsed()),
            latency: queue.latency,
            window: self.settings.window,
        });
        if let Some(pause) = pause {
            return Look::Wait(pause);
        }
        let (mut texts, mut tokens) = (Vec::new(), 0);
        while let Some(text) = queue.texts.pop_front_if(|text| {
            texts.is_empty() || texts.len() < most && tokens + text.tokens <= group::TOKENS_MAX
        }) {
            tokens += text.tokens;
            texts.push(text);
        }
        queue.since = Instant::now();
        Look::Leave(texts)
    }

    /// How many texts any of the models takes in a call.
    pub(super) fn at_once(&self, sort: &Sort) -> usize {
        let names = sort.models.iter().map(ToString::to_string);
        let entries = names.filter_map(|name| Some(name.split_once('/')?.0.to_owned()));
        let known = entries.filter_map(|entry| self.desk.shared.providers.get(&entry));
        let least = known.map(|provider| provider.embeds_at_once()).min();
        least.unwrap_or(1).clamp(1, AT_ONCE_MAX)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Sort>, Queue>> {
        // a panic elsewhere leaves each queue whole
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sorts of which something is remembered; beyond it those are forgotten that nobody asks for now.
const SORTS_MAX: usize = 64;
/// Texts in a call, whatever a provider takes.
const AT_ONCE_MAX: usize = 2_048;
