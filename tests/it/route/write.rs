//! A scene written down as rows, and what SQL takes of it.

use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, Row};
use tidegate::{
    limits::{Dimension, Window},
    route::{Pick, Policy},
};
use uuid::Uuid;

use super::{
    board::holds_of,
    board::{
        FLYING, Numbered, Owner, PROCESS, RUN, ladder_of, lane_of, limits_of, model_of, numbered,
        run_of, task_id,
    },
    id,
    scene::{PROVIDERS, Scene, WORKERS, ZONES},
};

/// Moments as microseconds, and a partition for the day of the scenes.
const PREPARE: &str = "
  create function at_us(us bigint) returns timestamptz language sql immutable as
    $$ select timestamptz 'epoch' + us * interval '1 us' $$;
  create table tidegate.calls_of_scenes partition of tidegate.calls for values from ('2026-03-08') to ('2026-03-09');";

pub(super) async fn prepare(pool: &PgPool) {
    sqlx::raw_sql(PREPARE)
        .execute(pool)
        .await
        .expect("prepared");
}

pub(super) async fn write(into: &mut PgConnection, scene: &Scene) {
    let all = numbered(scene);
    // rows as they are: no trigger fills or checks anything
    sqlx::raw_sql("set local session_replication_role = replica")
        .execute(&mut *into)
        .await
        .expect("a superuser's test");
    let rows = [
        (PROVIDERS_SQL, providers()),
        (MODELS_SQL, models(scene)),
        (LIMITS_SQL, limits(scene, &all)),
        (MODEL_LIMITS_SQL, model_limits(scene, &all)),
        (BOOK_SQL, book(&all)),
        (SETTLEMENTS_SQL, settlements(&all)),
        (HOLDS_SQL, held(scene)),
        (COOLDOWNS_SQL, cooldowns(scene)),
        (RUNS_SQL, runs(scene)),
        (PACING_SQL, pacing(scene)),
        (LANES_SQL, lanes(scene)),
        (QUANTILES_SQL, quantiles(scene)),
        (READY_SQL, ready(scene)),
        (RUNNING_SQL, running(scene)),
        (
            PROCESS_SQL,
            vec![json!({"id": id(PROCESS, 0), "lease_until": scene.now + 3_600_000_000_i64})],
        ),
    ];
    for (statement, rows) in rows {
        sqlx::query(statement)
            .bind(Value::from(rows))
            .execute(&mut *into)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    sqlx::raw_sql("set local session_replication_role = origin")
        .execute(&mut *into)
        .await
        .expect("as it was");
}

/// What the claim takes.
pub(super) async fn claim(of: &mut PgConnection, scene: &Scene) -> Vec<Pick> {
    let keys: Vec<&str> = PROVIDERS
        .into_iter()
        .zip(scene.has_key)
        .filter(|it| it.1)
        .map(|it| it.0)
        .collect();
    let rows = sqlx::query(
        "with taken as materialized (select * from tidegate.claim_v5($1, $2, 7, $3, null, $4, at_us($5), $6))
         select t.o_task, t.o_model_id, t.o_rung::int, coalesce(l.o_task, t.o_task) from taken t left join taken l on l.o_call = t.o_pack",
    )
    .bind(id(PROCESS, 0))
    .bind(i32::try_from(scene.slots).expect("a few"))
    .bind(keys)
    .bind(scene.offset)
    .bind(scene.now)
    .bind(scene.interactive)
    .fetch_all(of)
    .await
    .expect("a claim");
    let place = |number: i32| usize::try_from(number).expect("a small number");
    rows.iter()
        .map(|row| Pick {
            task: row.get(0),
            model: place(row.get::<i32, _>(1)) - 1,
            rung: place(row.get(2)),
            lead: row.get(3),
        })
        .collect()
}

/// Who is held for now.
pub(super) async fn holds(of: &mut PgConnection) -> Vec<(i32, Uuid, i64)> {
    sqlx::query_as("select limit_id, task_id, need from tidegate.limit_holds order by limit_id")
        .fetch_all(of)
        .await
        .expect("holds")
}

const PROVIDERS_SQL: &str = "insert into tidegate.providers (name, kind, base_url, quota_scope, day_zone)
  select r.name, 'gemini', 'http://127.0.0.1:9', r.name, r.zone from jsonb_to_recordset($1) r (name text, zone text)";

fn providers() -> Vec<Value> {
    let pairs = PROVIDERS.iter().zip(ZONES);
    pairs
        .map(|(name, zone)| json!({"name": name, "zone": zone}))
        .collect()
}

const MODELS_SQL: &str = "insert into tidegate.models (model_id, model, provider, wire_name, input_price_microusd, output_price_microusd, parked)
  overriding system value
  select r.id, r.provider || '/m' || r.id, r.provider, 'm' || r.id, r.input, r.output, r.parked
    from jsonb_to_recordset($1) r (id int, provider text, input bigint, output bigint, parked text)";

fn models(scene: &Scene) -> Vec<Value> {
    let models = scene.models.iter().enumerate();
    models
        .map(|(number, it)| {
            json!({
                "id": number + 1,
                "provider": PROVIDERS[it.provider],
                "input": it.input_price,
                "output": it.output_price,
                "parked": it.parked.then_some("a test"),
            })
        })
        .collect()
}

pub(super) const LIMITS_SQL: &str = "insert into tidegate.limits (limit_id, quota_scope, name, dimension, window_kind, size, counting, burst, guard_ms, worker, run_id, interactive_at)
  overriding system value
  select r.id, r.scope, 'l' || r.id, r.dimension, r.window_kind, r.size, case when r.burst is null then 'sliding' else 'bucket' end, r.burst, r.guard_ms,
         r.worker, r.run_id, at_us(r.interactive_at)
    from jsonb_to_recordset($1) r (id int, scope text, dimension text, window_kind text, size bigint, burst bigint, guard_ms int, worker text, run_id uuid, interactive_at bigint)";

pub(super) fn limits(scene: &Scene, all: &[Numbered]) -> Vec<Value> {
    let limits = all.iter().enumerate();
    limits
        .map(|(place, it)| {
            let scope = match it.owner {
                Owner::Model(model) => PROVIDERS[scene.models[model].provider],
                Owner::Worker(_) => "workers",
                Owner::Run(_) | Owner::Everything => "money",
            };
            let worker = match it.owner {
                Owner::Worker(worker) => Some(WORKERS[worker]),
                _ => None,
            };
            let run = match it.owner {
                Owner::Run(run) => Some(id(RUN, run)),
                _ => None,
            };
            json!({
                "id": place + 1,
                "scope": scope,
                "dimension": dimension(it.limit.dimension),
                "window_kind": match it.limit.window {
                    Window::Minute => "minute",
                    Window::Day { .. } => "day",
                    Window::Run => "run",
                    Window::None => "none",
                },
                "size": it.limit.size,
                "burst": it.limit.burst,
                "guard_ms": it.limit.guard_ms,
                "worker": worker,
                "run_id": run,
                "interactive_at": it.limit.interactive_at,
            })
        })
        .collect()
}

fn dimension(it: Dimension) -> &'static str {
    match it {
        Dimension::Requests => "requests",
        Dimension::InputTokens => "input_tokens",
        Dimension::OutputTokens => "output_tokens",
        Dimension::TotalTokens => "total_tokens",
        Dimension::Concurrency => "concurrency",
        Dimension::Money => "money",
    }
}

const MODEL_LIMITS_SQL: &str = "insert into tidegate.model_limits (model_id, limit_id)
  select r.model_id, r.limit_id from jsonb_to_recordset($1) r (model_id int, limit_id int)";

fn model_limits(scene: &Scene, all: &[Numbered]) -> Vec<Value> {
    let pairs = (0..scene.models.len()).flat_map(|model| {
        limits_of(scene, all, model)
            .into_iter()
            .map(move |limit| (model, limit))
    });
    pairs
        .map(|(model, limit)| json!({"model_id": model + 1, "limit_id": limit + 1}))
        .collect()
}

pub(super) const BOOK_SQL: &str = "insert into tidegate.limit_book (limit_id, at, total, full_at)
  select r.id, at_us(r.at), r.total, at_us(r.full_at) from jsonb_to_recordset($1) r (id int, at bigint, total bigint, full_at bigint)";

/// As claims write it: cumulative, with the moment at which a bucket is full again.
pub(super) fn book(all: &[Numbered]) -> Vec<Value> {
    let mut rows = Vec::new();
    for (place, it) in all.iter().enumerate() {
        let debits = it
            .book
            .debits
            .iter()
            .map(|debit| (debit.at, debit.amount, debit.amount));
        let foreign = it
            .book
            .foreign
            .iter()
            .map(|entry| (entry.at, 0, entry.amount));
        let mut entries: Vec<_> = debits.chain(foreign).collect();
        entries.sort_unstable();
        let (mut total, mut full_at) = (0, i64::MIN);
        for (at, debited, poured) in entries {
            total += debited;
            full_at = full_at.max(at);
            if it.limit.size > 0 && it.limit.window == Window::Minute {
                let seconds = poured as f64 * 60.0 / it.limit.size as f64;
                #[expect(clippy::cast_possible_truncation, reason = "microseconds of a scene")]
                let us = (seconds * 1e6).round_ties_even() as i64;
                full_at += us;
            }
            rows.push(json!({"id": place + 1, "at": at, "total": total, "full_at": full_at}));
        }
    }
    rows
}

pub(super) const SETTLEMENTS_SQL: &str = "insert into tidegate.limit_settlements (limit_id, at, delta)
  select r.id, at_us(r.at), r.delta from jsonb_to_recordset($1) r (id int, at bigint, delta bigint)";

pub(super) fn settlements(all: &[Numbered]) -> Vec<Value> {
    let numbered = all.iter().enumerate();
    let entries = numbered.flat_map(|(place, it)| {
        let both = it.book.corrections.iter().chain(&it.book.foreign);
        both.map(move |entry| (place, entry))
    });
    entries
        .map(|(place, it)| json!({"id": place + 1, "at": it.at, "delta": it.amount}))
        .collect()
}

const HOLDS_SQL: &str = "insert into tidegate.limit_holds (limit_id, task_id, need, since)
  select r.id, r.task, r.need, at_us(r.since) from jsonb_to_recordset($1) r (id int, task uuid, need bigint, since bigint)";

fn held(scene: &Scene) -> Vec<Value> {
    let holds = holds_of(scene).into_iter();
    holds
        .map(|(place, it)| {
            let since = scene.now - it.ago_ms * 1_000;
            json!({"id": place + 1, "task": it.hold.task, "need": it.hold.need, "since": since})
        })
        .collect()
}

const COOLDOWNS_SQL: &str = "insert into tidegate.model_cooldowns (quota_scope, wire_name, model, until, reason, who, proven_at)
  select r.scope, 'm' || r.id, r.scope || '/m' || r.id, at_us(r.until), 'a test', 'a test', at_us(r.proven_at)
    from jsonb_to_recordset($1) r (id int, scope text, until bigint, proven_at bigint)";

fn cooldowns(scene: &Scene) -> Vec<Value> {
    let models = scene.models.iter().enumerate();
    let cooling = models.filter_map(|(number, it)| Some((number, it, it.cooldown?)));
    cooling
        .map(|(number, it, cooldown)| {
            let until = scene.now + cooldown.until_ms * 1_000;
            let proven_at = cooldown.proven_ms.map(|after| until + after * 1_000);
            json!({"id": number + 1, "scope": PROVIDERS[it.provider], "until": until, "proven_at": proven_at})
        })
        .collect()
}

const RUNS_SQL: &str = "insert into tidegate.runs (id, worker, definition_hash, source, state, loaded_at, weight, mix, stagger_ms, cool_after, cool_ms)
  select r.id, r.worker, sha256(r.id::text::bytea), 'a test', case when r.paused then 'paused' else 'active' end, now(), r.weight, array(select jsonb_array_elements_text(r.mix)::real),
         r.stagger_ms, r.cool_after, case when r.cool_after is not null then 10000 end
    from jsonb_to_recordset($1) r (id uuid, worker text, paused boolean, weight real, mix jsonb, stagger_ms int, cool_after int)";

fn runs(scene: &Scene) -> Vec<Value> {
    let runs = scene.runs.iter().enumerate();
    runs.map(|(number, it)| {
        json!({
            "id": id(RUN, number),
            "worker": WORKERS[it.worker],
            "paused": it.paused,
            "weight": it.weight,
            "mix": it.mix,
            "stagger_ms": it.stagger_ms,
            "cool_after": it.cool_after,
        })
    })
    .collect()
}

const PACING_SQL: &str = "insert into tidegate.run_pacing (run_id, next_at, since_rest)
  select r.id, at_us(r.next_at), r.since_rest from jsonb_to_recordset($1) r (id uuid, next_at bigint, since_rest int)";

fn pacing(scene: &Scene) -> Vec<Value> {
    let runs = scene.runs.iter().enumerate();
    let paced = runs.filter_map(|(number, it)| Some((number, it.paced?)));
    paced
        .map(|(number, (next_ms, since_rest))| {
            json!({"id": id(RUN, number), "next_at": scene.now + next_ms * 1_000, "since_rest": since_rest})
        })
        .collect()
}

/// The lane, and its stretches: half of a sealed one's tasks stand in each of two.
const LANES_SQL: &str = "with given as (
    select * from jsonb_to_recordset($1) r (lane int, run_id uuid, tier smallint, component_priority int, ladder jsonb, policy text, patience_ms int,
                                           est_output int, max_output int, pack_size smallint, pack_tokens int, segments jsonb)
  ), lanes as (
    insert into tidegate.lanes (lane, run_id, component, component_priority, tier, ladder, est_output, max_output, policy, patience_ms, pack_size, pack_tokens)
    overriding system value
    select g.lane, g.run_id, 'c' || g.lane, g.component_priority, g.tier, array(select jsonb_array_elements_text(g.ladder)::int),
           g.est_output, g.max_output, g.policy, g.patience_ms, g.pack_size, g.pack_tokens from given g)
  insert into tidegate.segments (lane, seg, top, sealed)
  select g.lane, s.seg, coalesce(s.top, 'infinity'), s.sealed
    from given g cross join lateral jsonb_to_recordset(g.segments) s (seg int, top float8, sealed boolean)";

fn lanes(scene: &Scene) -> Vec<Value> {
    let lanes = scene.lanes.iter().enumerate();
    lanes
        .map(|(number, it)| {
            let ladder: Vec<usize> = ladder_of(scene, it).iter().map(|model| model + 1).collect();
            let order = in_order(scene, number);
            let top = |place: usize| order.get(place).map(|&task| it.tasks[task].priority);
            let mut segments = vec![json!({"seg": number * 2, "sealed": it.sealed, "top": top(0).filter(|_| it.sealed)})];
            if it.sealed && order.len() > 1 {
                segments.push(json!({"seg": number * 2 + 1, "sealed": true, "top": top(order.len() / 2)}));
            }
            json!({
                "lane": number + 1,
                "run_id": id(RUN, run_of(scene, it)),
                "tier": it.tier,
                "component_priority": it.component_priority,
                "ladder": ladder,
                "policy": match it.policy {
                    Policy::Auto => "auto",
                    Policy::Ladder => "ladder",
                    Policy::Spread => "spread",
                    Policy::Patient => "patient",
                },
                "patience_ms": it.patience_ms,
                "est_output": it.est_output,
                "max_output": it.max_output,
                "pack_size": it.pack.0,
                "pack_tokens": it.pack.1,
                "segments": segments,
            })
        })
        .collect()
}

/// The tasks of a lane, the first to be served first.
fn in_order(scene: &Scene, lane: usize) -> Vec<usize> {
    let tasks = &scene.lanes[lane].tasks;
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|&task| (-tasks[task].priority, task));
    order
}

const QUANTILES_SQL: &str = "insert into tidegate.output_quantiles (worker, component, model_id, tokens, answers)
  select r.worker, 'c' || r.lane, r.model, r.tokens, 20 from jsonb_to_recordset($1) r (worker text, lane int, model int, tokens int)";

fn quantiles(scene: &Scene) -> Vec<Value> {
    let lanes = scene.lanes.iter().enumerate();
    let known = lanes.filter_map(|(number, it)| Some((number, it, it.quantile?)));
    known
        .map(|(number, it, tokens)| {
            let worker = WORKERS[scene.runs[run_of(scene, it)].worker];
            json!({"worker": worker, "lane": number + 1, "model": ladder_of(scene, it)[0] + 1, "tokens": tokens})
        })
        .collect()
}

const READY_SQL: &str = "with given as (
    select * from jsonb_to_recordset($1) r (id uuid, lane int, seg int, run_id uuid, worker text, tier smallint, priority float8, est_input int, tries jsonb, rescues smallint, most smallint)
  ), torn as (
    insert into tidegate.pack_most (task_id, most) select g.id, g.most from given g where g.most is not null
  ), tasks as (
    insert into tidegate.tasks (id, run_id, worker, component, tier, priority, model, state, max_attempts, est_tokens, lane)
    select g.id, g.run_id, g.worker, 'c' || g.lane, g.tier, g.priority, 'm', 'ready', 100, g.est_input, g.lane from given g)
  insert into tidegate.ready (lane, seg, priority, id, est_input, attempts, epoch, tries, rescues, spent_ms)
  select g.lane, g.seg, g.priority, g.id, g.est_input, 0, 0, array(select jsonb_array_elements_text(g.tries)::smallint), g.rescues, 0 from given g";

fn ready(scene: &Scene) -> Vec<Value> {
    let mut rows = Vec::new();
    for (number, lane) in scene.lanes.iter().enumerate() {
        let order = in_order(scene, number);
        for (place, &task) in order.iter().enumerate() {
            let second = lane.sealed && order.len() > 1 && place >= order.len() / 2;
            let it = &lane.tasks[task];
            let run = run_of(scene, lane);
            rows.push(json!({
                "id": task_id(number, task),
                "lane": number + 1,
                "seg": number * 2 + usize::from(second),
                "run_id": id(RUN, run),
                "worker": WORKERS[scene.runs[run].worker],
                "tier": lane.tier,
                "priority": it.priority,
                "est_input": it.est_input,
                "tries": it.tries,
                "rescues": it.rescues,
                "most": it.most,
            }));
        }
    }
    rows
}

const RUNNING_SQL: &str = "insert into tidegate.running (id, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms, nonce, process_id, model_id,
                                  rung, call_id, granted_at, deadline_at)
  select r.id, r.lane, 0, 1, 1, 1, '{}', r.rescues, 0, 1, r.process, r.model, 1, r.id, at_us(r.at), at_us(r.at)
    from jsonb_to_recordset($1) r (id uuid, lane int, rescues smallint, process uuid, model int, at bigint)";

fn running(scene: &Scene) -> Vec<Value> {
    let calls = scene.flying.iter().enumerate();
    calls
        .map(|(number, it)| {
            let lane = lane_of(scene, it.lane);
            let place = scene
                .lanes
                .iter()
                .position(|other| std::ptr::eq(other, lane));
            json!({
                "id": id(FLYING, number),
                "lane": place.expect("it is one of them") + 1,
                "rescues": if it.suspect_of_ours { 2 } else { 0 },
                "process": id(PROCESS, usize::from(!it.suspect_of_ours)),
                "model": model_of(scene, it.model) + 1,
                "at": scene.now - it.ago_ms * 1_000,
            })
        })
        .collect()
}

const PROCESS_SQL: &str = "insert into tidegate.processes (id, role, host, pid, version, lease_until)
  select r.id, 'work', 'a test', 1, '1', at_us(r.lease_until) from jsonb_to_recordset($1) r (id uuid, lease_until bigint)";
