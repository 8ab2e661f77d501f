//! What the store says, and what is planned, as the forecast looks at it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    Planned,
    limits::{limits_of, read, words},
};
use crate::{
    client::lanes,
    definition::Component,
    limits::{Book, Dimension},
    route::{
        Policy, Prices,
        forecast::{Ahead, LaneAhead, ModelAhead, Pool, RunAhead},
    },
    store::{
        forecast::{AheadRows, ByBatchRow, LaneRow, LimitRow},
        model::ModelRow,
    },
};

/// What a forecast looks at, with names for what it says.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) ahead: Ahead,
    /// Names of models.
    pub(super) models: Vec<String>,
    /// Ids of runs.
    pub(super) runs: Vec<Uuid>,
    /// Each pool in words.
    pub(super) words: Vec<String>,
    /// Whether a pool is a model's own.
    pub(super) of_model: Vec<bool>,
    /// What of a run goes by batch.
    pub(super) by_batch: Vec<ByBatchRow>,
    /// Pools that bind every run.
    of_all: Vec<usize>,
}

impl Gathered {
    pub(super) fn of(rows: AheadRows) -> Self {
        let mut it = Self::default();
        let mut places = BTreeMap::new();
        for row in &rows.models {
            places.insert(row.id, it.models.len());
            it.models.push(row.model.clone());
            it.ahead.models.push(ModelAhead {
                provider: row.provider.clone(),
                pools: Vec::new(),
                opens_in: (!row.parked).then(|| row.cooling.unwrap_or(0.0)),
                latency: row.latency.unwrap_or(LATENCY_UNKNOWN),
                prices: Prices {
                    input: row.input_price,
                    output: row.output_price,
                },
            });
        }
        for row in &rows.runs {
            it.runs.push(row.id);
            it.ahead.runs.push(RunAhead {
                weight: row.weight,
                mix: row.mix.clone(),
                pools: Vec::new(),
                in_flight: row.in_flight,
            });
        }
        for row in &rows.limits {
            it.add_limit(row, &rows, &places);
        }
        if let Some(slots) = rows.slots.filter(|slots| *slots > 0) {
            let in_flight = rows.runs.iter().map(|run| run.in_flight).sum();
            let pool = Pool::at_once(slots, in_flight, it.mean_latency());
            let pool = it.add_pool(pool, "slots of the processes", false);
            it.of_all.push(pool);
        }
        for run in &mut it.ahead.runs {
            run.pools.extend(&it.of_all);
        }
        let lanes = rows.lanes.iter().filter_map(|row| it.lane(row, &places));
        it.ahead.lanes = lanes.collect();
        it.by_batch = rows.by_batch;
        it
    }

    fn add_limit(&mut self, row: &LimitRow, rows: &AheadRows, places: &BTreeMap<i32, usize>) {
        let Some((limit, book)) = read(row) else {
            return;
        };
        let models: Vec<usize> = row
            .models
            .iter()
            .filter_map(|id| places.get(id).copied())
            .collect();
        let pool = if limit.dimension == Dimension::Concurrency {
            let latencies = models.iter().map(|&it| self.ahead.models[it].latency);
            let latency = latencies
                .reduce(f64::max)
                .unwrap_or_else(|| self.mean_latency());
            Pool::at_once(limit.size, book.in_flight, latency)
        } else {
            Pool::of(&limit, &book, 0)
        };
        let pool = self.add_pool(pool, &words(row), !models.is_empty());
        for model in models {
            self.ahead.models[model].pools.push(pool);
        }
        let for_all = row.dimension == "money" && row.run.is_none();
        for (run, of) in self.ahead.runs.iter_mut().zip(&rows.runs) {
            if row.run == Some(of.id) || row.worker.as_ref() == Some(&of.worker) {
                run.pools.push(pool);
            }
        }
        if for_all {
            self.of_all.push(pool);
        }
    }

    fn add_pool(&mut self, pool: Pool, words: &str, of_model: bool) -> usize {
        self.ahead.pools.push(pool);
        self.words.push(words.to_owned());
        self.of_model.push(of_model);
        self.ahead.pools.len() - 1
    }

    fn mean_latency(&self) -> f64 {
        let models = &self.ahead.models;
        let sum: f64 = models.iter().map(|it| it.latency).sum();
        if models.is_empty() {
            LATENCY_UNKNOWN
        } else {
            sum / models.len() as f64
        }
    }

    fn lane(&self, row: &LaneRow, places: &BTreeMap<i32, usize>) -> Option<LaneAhead> {
        let ladder = row.ladder.iter().map(|id| places.get(id).copied());
        Some(LaneAhead {
            run: self.runs.iter().position(|run| *run == row.run)?,
            tier: row.tier,
            component_priority: row.component_priority,
            ladder: ladder.collect::<Option<_>>()?,
            policy: policy(&row.policy),
            patience: f64::from(row.patience_ms) / 1000.0,
            tasks: row.tasks,
            pack: row.pack,
            input: row.input.unwrap_or(INPUT_UNKNOWN),
            output: row.output.clone(),
        })
    }

    /// Adds a run that is only planned.
    pub(super) fn plan(&mut self, planned: &Planned<'_>) {
        let Planned {
            definition,
            outlook,
            models,
        } = planned;
        let run = self.runs.len();
        self.runs.push(Uuid::nil());
        self.ahead.runs.push(RunAhead {
            weight: 1.0,
            mix: definition
                .tiers
                .iter()
                .map(|tier| f64::from(tier.mix))
                .collect(),
            pools: self.of_all.clone(),
            in_flight: 0,
        });
        let asks = |step: &&Component| !step.local;
        for step in definition.steps().iter().filter(asks) {
            let of_step = outlook.steps.iter().find(|it| it.component == step.name);
            let Some(of_step) = of_step else { continue };
            for (tier, asked) in of_step.asked.iter().enumerate() {
                let names = definition.ladder_of(step, tier).into_iter();
                let ladder: Vec<usize> = names
                    .map(|name| self.model(&String::from(name), models))
                    .collect();
                self.ahead.lanes.push(LaneAhead {
                    run,
                    tier,
                    component_priority: step.priority,
                    policy: policy(definition.routing.policy.as_str()),
                    patience: definition.routing.patience.as_secs_f64(),
                    tasks: asked.tasks,
                    pack: of_step.pack,
                    input: asked.input_tokens as f64 / asked.tasks.max(1) as f64,
                    output: vec![f64::from(lanes::est_output(step)); ladder.len()],
                    ladder,
                });
            }
        }
    }

    /// The model of this name: as the database knows it, else as the file says.
    fn model(&mut self, name: &str, rows: &[ModelRow]) -> usize {
        if let Some(place) = self.models.iter().position(|it| it == name) {
            return place;
        }
        let row = rows.iter().find(|row| row.model == name);
        let limits = row.map(limits_of).unwrap_or_default();
        let pools = limits.into_iter().map(|(limit, words)| {
            let pool = match limit.dimension {
                Dimension::Concurrency => Pool::at_once(limit.size, 0, LATENCY_UNKNOWN),
                _ => Pool::of(&limit, &Book::default(), 0),
            };
            self.add_pool(pool, words, true)
        });
        let pools = pools.collect();
        let price = |part: fn(&ModelRow) -> Option<i64>| row.and_then(part)?.try_into().ok();
        self.models.push(name.to_owned());
        self.ahead.models.push(ModelAhead {
            provider: name.split('/').next().unwrap_or_default().to_owned(),
            pools,
            opens_in: Some(0.0),
            latency: LATENCY_UNKNOWN,
            prices: Prices {
                input: price(|row| row.input_price_microusd),
                output: price(|row| row.output_price_microusd),
            },
        });
        self.models.len() - 1
    }
}

fn policy(word: &str) -> Policy {
    match word {
        "ladder" => Policy::Ladder,
        "spread" => Policy::Spread,
        "patient" => Policy::Patient,
        _ => Policy::Auto,
    }
}

/// Seconds of a call of a model that was not called within the hour.
const LATENCY_UNKNOWN: f64 = 5.0;
/// Input tokens of tasks whose prompts are not rendered yet.
const INPUT_UNKNOWN: f64 = 500.0;
