//! What all calls share: models with their books, counters and the log, behind one lock.
//!
//! The lock is held for bookkeeping only, never across an await. Time is read inside it, so that
//! no book ever sees time run backwards.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::asked::Asked;
use super::batches::{self, BatchCounters, Desk};
use super::chance::{Chance, hash};
use super::clock::Clock;
use super::faults::{self, Fault};
use super::ledger::{CallRecord, Counters, Entry, Log};
use super::limits::Standing;
use super::model::{Closed, Denied, Model};
use super::settings::{ModelSettings, OutageKind, Settings};

/// What all calls share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    /// Ends waiting calls when the server stops.
    pub(super) stop: CancellationToken,
    clock: Clock,
    state: Mutex<State>,
    /// Never locked while `state` is.
    desk: Mutex<Desk>,
}

/// What changes.
pub(super) struct State {
    pub(super) models: Vec<Model>,
    log: Log,
    started_ms: u64,
    /// Which reset this is: a call from before it leaves no trace after it.
    generation: u64,
    arrivals: u64,
    bad_key: u64,
    unknown_model: u64,
}

/// What befalls a call that was let in.
pub(super) struct Fate {
    pub(super) delay_ms: u64,
    pub(super) fault: Option<Fault>,
    pub(super) at_ms: u64,
    pub(super) seq: u64,
    /// What decides further details of its fault.
    pub(super) draw: u64,
}

/// How a call was judged, and what is left of the model's limits after it.
pub(super) struct Admission {
    pub(super) seq: u64,
    pub(super) standing: Standing,
    pub(super) judged: Result<(Ticket, Fate), Denied>,
}

/// Why a call is not even judged.
#[derive(Clone, Copy)]
pub(super) enum Rejected {
    /// It asks wrongly; of which model, if that can be read.
    BadRequest(Option<usize>),
    /// With a wrong key or none.
    BadKey,
    /// Of a model that is not on offer.
    UnknownModel,
}

impl Shared {
    pub(super) fn new(settings: Settings, file: Option<File>, stop: CancellationToken) -> Self {
        let clock = Clock::start();
        let started_ms = clock.unix_ms();
        let models = settings.models.iter();
        let state = State {
            models: models.map(|model| Model::new(model, started_ms)).collect(),
            log: Log::new(settings.log_entries_max, file),
            started_ms,
            generation: 0,
            arrivals: 0,
            bad_key: 0,
            unknown_model: 0,
        };
        let desk = Mutex::new(Desk::new(&settings));
        Self {
            settings,
            stop,
            clock,
            state: Mutex::new(state),
            desk,
        }
    }

    /// The settings of a model on offer, and its place.
    pub(super) fn model(&self, name: &str) -> Option<(usize, &ModelSettings)> {
        let mut models = self.settings.models.iter().enumerate();
        models.find(|(_, model)| model.name == name)
    }

    /// Judges a call by outages and limits.
    pub(super) fn admit(self: &Arc<Self>, model: usize, asked: &Asked, key_hash: u32) -> Admission {
        let mut state = self.lock();
        let now_ms = self.clock.unix_ms();
        let mut entry = state.arrive(now_ms, Some(model), key_hash);
        entry.input_tokens = asked.input_tokens;
        entry.prompt_hash = asked.prompt_hash;
        let seq = entry.seq;
        let judged = state.models[model].judge(now_ms, asked, &self.settings);
        let standing = state.models[model].standing(now_ms);
        let judged = match judged {
            Ok(()) => {
                let fate = self.fate(&mut state.models[model], asked, now_ms, seq);
                let ticket = Ticket {
                    shared: self.clone(),
                    model,
                    generation: state.generation,
                    entry,
                    word: fate.fault.map(Fault::word),
                };
                Ok((ticket, fate))
            }
            Err((outcome, denied)) => {
                entry.status = denied.http();
                entry.outcome = outcome;
                state.log(entry);
                Err(denied)
            }
        };
        Admission {
            seq,
            standing,
            judged,
        }
    }

    /// Notes a call that was not even judged.
    pub(super) fn reject(&self, rejected: Rejected, key_hash: u32, http: u16) {
        let mut state = self.lock();
        let now_ms = self.clock.unix_ms();
        let model = match rejected {
            Rejected::BadRequest(model) => model,
            Rejected::BadKey | Rejected::UnknownModel => None,
        };
        let mut entry = state.arrive(now_ms, model, key_hash);
        entry.status = http;
        entry.outcome = match rejected {
            Rejected::BadRequest(model) => {
                if let Some(at) = model {
                    state.models[at].tally.bad_request();
                }
                "bad_request"
            }
            Rejected::BadKey => {
                state.bad_key += 1;
                "bad_key"
            }
            Rejected::UnknownModel => {
                state.unknown_model += 1;
                "unknown_model"
            }
        };
        state.log(entry);
    }

    /// What was counted; of batches, the output tokens are counted now if they never were before.
    pub(super) fn counters(&self) -> Counters {
        let mut counters = self.counters_of_calls();
        batches::fill(self, &mut counters);
        counters
    }

    /// Asks the desk of batches, when all that ended is written down there.
    pub(super) fn at_desk<T>(&self, ask: impl FnOnce(&mut Desk, u64) -> T) -> T {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.clock.unix_ms();
        desk.settle(now_ms);
        ask(&mut desk, now_ms)
    }

    /// Whether the account has no money for a model now.
    pub(super) fn is_broke(&self, model: usize) -> bool {
        let state = self.lock();
        let outage = state.models[model].outage(self.clock.unix_ms());
        outage.is_some_and(|(kind, _)| kind == OutageKind::Money)
    }

    fn counters_of_calls(&self) -> Counters {
        let state = self.lock();
        let models = state.models.iter();
        Counters {
            started_unix_ms: state.started_ms,
            uptime_ms: self.clock.unix_ms().saturating_sub(state.started_ms),
            models: models
                .map(|model| (model.name.to_string(), model.tally.counters()))
                .collect(),
            bad_key: state.bad_key,
            unknown_model: state.unknown_model,
            log_entries: state.log.total(),
            log_dropped: state.log.dropped(),
            batches: BatchCounters::default(),
        }
    }

    /// Up to `count` calls from the `from`th that ended on, and the place after them.
    pub(super) fn log_slice(&self, from: u64, count: usize) -> (Vec<CallRecord>, u64) {
        let state = self.lock();
        let (entries, next) = state.log.slice(from, count);
        let records = entries.iter().map(|entry| entry.record(state.started_ms));
        (records.collect(), next)
    }

    /// Closes a model, or all with `*`, from now on; no time at all opens it instead.
    pub(super) fn close(&self, model: &str, kind: OutageKind, for_ms: u64) -> bool {
        let mut state = self.lock();
        let now_ms = self.clock.unix_ms();
        let mut found = false;
        for known in &mut state.models {
            if model == "*" || &*known.name == model {
                found = true;
                known.outages.retain(|outage| outage.from_ms > now_ms);
                if for_ms > 0 {
                    known.outages.push(Closed {
                        from_ms: now_ms,
                        to_ms: now_ms.saturating_add(for_ms),
                        kind,
                    });
                }
            }
        }
        found
    }

    /// Lets a caller change one model; `None` when it is not on offer.
    pub(super) fn with_model<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Model) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        let mut models = state.models.iter_mut();
        models.find(|model| &*model.name == name).map(change)
    }

    /// Forgets counters, log, books, batches and files, and starts the time of outages anew.
    pub(super) fn reset(&self) {
        self.at_desk(|desk, _| desk.reset(&self.settings));
        let mut state = self.lock();
        let now_ms = self.clock.unix_ms();
        state.started_ms = now_ms;
        state.generation += 1;
        state.arrivals = 0;
        state.bad_key = 0;
        state.unknown_model = 0;
        state.log.clear();
        for (model, settings) in state.models.iter_mut().zip(&self.settings.models) {
            model.reset(settings, now_ms);
        }
    }

    fn fate(&self, model: &mut Model, asked: &Asked, now_ms: u64, seq: u64) -> Fate {
        let settings = &self.settings;
        model.admitted += 1;
        let mut chance = Chance::of(&[settings.seed, hash(&model.name), model.admitted]);
        let fault = faults::pick(&settings.faults, chance.unit());
        let fault = fault.filter(|fault| fault.befalls(asked));
        if let Some(fault) = fault {
            model.tally.fault(fault.word());
        }
        let own = settings.models.iter().find(|own| *own.name == *model.name);
        let latency = own.and_then(|own| own.latency.as_ref());
        Fate {
            delay_ms: faults::delay_ms(latency.unwrap_or(&settings.latency), &mut chance),
            fault,
            at_ms: now_ms,
            seq,
            draw: chance.bits(),
        }
    }

    /// A panic while the lock was held left at worst one call half counted.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn arrive(&mut self, now_ms: u64, model: Option<usize>, key_hash: u32) -> Entry {
        self.arrivals += 1;
        let name = match model {
            Some(at) => {
                self.models[at].tally.arrived();
                self.models[at].name.clone()
            }
            None => Arc::from("(unknown)"),
        };
        Entry {
            seq: self.arrivals,
            arrived_ms: now_ms,
            took_ms: 0,
            first_ms: None,
            model: name,
            status: 0,
            outcome: "",
            prompt_hash: [0; 16],
            key_hash,
            input_tokens: 0,
            output_tokens: 0,
        }
    }

    fn log(&mut self, entry: Entry) {
        self.log.push(entry, self.started_ms);
    }
}

/// A call under way. Dropped unclosed, its client went away: that is noted too, for the provider
/// has done (and billed) the work all the same.
pub(super) struct Ticket {
    shared: Arc<Shared>,
    model: usize,
    generation: u64,
    entry: Entry,
    /// The fault's word, which names the call whatever its client does.
    word: Option<&'static str>,
}

impl Ticket {
    /// The first piece of its answer goes out.
    pub(super) fn speaks(&mut self) {
        let now_ms = self.shared.clock.unix_ms();
        self.entry.first_ms = Some(now_ms.saturating_sub(self.entry.arrived_ms));
    }

    /// The call ended so.
    pub(super) fn close(mut self, status: u16, outcome: &'static str, output_tokens: u64) {
        self.entry.status = status;
        self.entry.outcome = outcome;
        self.entry.output_tokens = output_tokens;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let tally = &mut state.models[self.model].tally;
        tally.left();
        let mut entry = self.entry.clone();
        if entry.outcome.is_empty() {
            entry.status = 499;
            entry.outcome = "abandoned";
        }
        entry.outcome = self.word.unwrap_or(entry.outcome);
        if state.generation == self.generation {
            state.models[self.model]
                .tally
                .ended(entry.outcome, entry.output_tokens);
            entry.took_ms = self.shared.clock.unix_ms().saturating_sub(entry.arrived_ms);
            state.log(entry);
        }
    }
}
