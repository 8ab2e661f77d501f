//! What the store says, and what is planned, as the forecast looks at it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Planned;
use crate::{
    limits::{Book, Booking, Dimension, Limit, SECOND_US, Window},
    route::{
        Policy, Prices,
        forecast::{Ahead, LaneAhead, ModelAhead, Pool, RunAhead},
    },
    store::{
        forecast::{AheadRows, LaneRow, LimitRow},
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
            input: row.input.unwrap_or(INPUT_UNKNOWN),
            output: row.output.clone(),
        })
    }

    /// Adds a run that is only planned.
    pub(super) fn plan(&mut self, planned: &Planned<'_>, ladders: &[Vec<String>], est_output: i32) {
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
        let tasks = (outlook.items - outlook.refused).max(1);
        for (tier, (count, names)) in outlook.tiers.iter().zip(ladders).enumerate() {
            let ladder: Vec<usize> = names.iter().map(|name| self.model(name, models)).collect();
            self.ahead.lanes.push(LaneAhead {
                run,
                tier,
                component_priority: 0,
                policy: policy(definition.routing.policy.as_str()),
                patience: definition.routing.patience.as_secs_f64(),
                tasks: *count,
                input: outlook.input_tokens as f64 / tasks as f64,
                output: vec![f64::from(est_output); ladder.len()],
                ladder,
            });
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

/// A limit with its book, seen at moment 0. `None`: of a sort that is not known here.
fn read(row: &LimitRow) -> Option<(Limit, Book)> {
    let dimension = match row.dimension.as_str() {
        "requests" => Dimension::Requests,
        "input_tokens" => Dimension::InputTokens,
        "output_tokens" => Dimension::OutputTokens,
        "total_tokens" => Dimension::TotalTokens,
        "concurrency" => Dimension::Concurrency,
        "money" => Dimension::Money,
        _ => return None,
    };
    let window = match row.window.as_str() {
        "minute" => Window::Minute,
        "day" => Window::Day {
            began_at: i64::MIN,
            ends_at: us(row.day_ends_in.unwrap_or(DAY)),
        },
        "run" => Window::Run,
        _ => Window::None,
    };
    let debits: Vec<Booking> = row
        .used
        .iter()
        .rev()
        .map(|&(ago, amount)| Booking {
            at: -us(ago),
            amount,
        })
        .collect();
    let in_flight = debits.iter().map(|debit| debit.amount).sum::<i64>();
    let limit = Limit {
        dimension,
        window,
        size: row.size,
        burst: row.burst,
        guard_ms: row.guard_ms,
        interactive_at: row.interactive_ago.map(|ago| -us(ago)),
    };
    let mut book = Book {
        debits,
        in_flight: u64::try_from(in_flight).unwrap_or(0),
        ..Book::default()
    };
    book.debits.sort_by_key(|debit| debit.at);
    Some((limit, book))
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of a day")]
fn us(seconds: f64) -> i64 {
    (seconds * SECOND_US as f64) as i64
}

/// As the file says, before anything is known of them.
fn limits_of(row: &ModelRow) -> Vec<(Limit, &'static str)> {
    let day = Window::Day {
        began_at: i64::MIN,
        ends_at: us(DAY),
    };
    let of = |dimension, window, size: Option<u64>, words| {
        let limit = Limit {
            dimension,
            window,
            burst: None,
            ..Limit::per_minute(size?)
        };
        Some((limit, words))
    };
    let requests = row.rpm.map(|rpm| {
        let limit = Limit {
            burst: row.burst.map(u64::from),
            ..Limit::per_minute(u64::from(rpm))
        };
        (limit, "requests per minute")
    });
    let (rpd, at_once) = (row.rpd.map(u64::from), row.max_concurrency.map(u64::from));
    let others = [
        of(
            Dimension::InputTokens,
            Window::Minute,
            row.tpm,
            "tokens per minute",
        ),
        of(
            Dimension::OutputTokens,
            Window::Minute,
            row.output_tpm,
            "output tokens per minute",
        ),
        of(Dimension::Requests, day, rpd, "requests per day"),
        of(Dimension::InputTokens, day, row.tpd, "tokens per day"),
        of(
            Dimension::Concurrency,
            Window::None,
            at_once,
            "calls at once",
        ),
    ];
    requests
        .into_iter()
        .chain(others.into_iter().flatten())
        .collect()
}

fn words(row: &LimitRow) -> String {
    let window = match row.window.as_str() {
        "minute" => " per minute",
        "day" => " per day",
        "run" => " of the run",
        _ => "",
    };
    let what = match row.dimension.as_str() {
        "concurrency" if row.worker.is_some() => "calls at once of the worker".to_owned(),
        "concurrency" => "calls at once".to_owned(),
        "money" => "budget".to_owned(),
        other => other.replace('_', " "),
    };
    format!("{what}{window}")
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
/// Seconds.
const DAY: f64 = 86_400.0;
