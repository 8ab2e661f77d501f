-- What runs came to: how their tasks stand, what their calls came to, and the report that is kept when a run ends.

-- How the tasks of these runs stand, by tier, component and category (the largest so many, the rest in one), and which models answered.
-- Reads their tasks once.
create or replace function tidegate.run_groups_v1(p_runs uuid[], p_categories int) returns jsonb language sql stable as $$
  with counted as materialized (
    -- a task that would ask a model, done where none is asked: its answer was kept already
    select t.tier, t.component, t.category, t.state, t.model_used, t.model_used = t.model as is_primary, t.model is not null and n.ladder = '{}' as is_hit, count(*) as n
      from tidegate.tasks t left join tidegate.lanes n on n.lane = t.lane where t.run_id = any (p_runs)
     group by 1, 2, 3, 4, 5, 6, 7
  ), summed as materialized (
    select grouping(c.tier, c.component, c.category) as what, c.tier, c.component, c.category, coalesce(sum(c.n), 0)::bigint as total,
           coalesce(sum(c.n) filter (where c.state in ('blocked', 'scheduled', 'ready')), 0)::bigint as waiting,
           coalesce(sum(c.n) filter (where c.state in ('running', 'in_batch')), 0)::bigint as running,
           coalesce(sum(c.n) filter (where c.state = 'in_batch'), 0)::bigint as in_batch,
           coalesce(sum(c.n) filter (where c.state = 'done'), 0)::bigint as done,
           coalesce(sum(c.n) filter (where c.state = 'failed'), 0)::bigint as failed,
           coalesce(sum(c.n) filter (where c.state = 'cancelled'), 0)::bigint as cancelled
      from counted c group by grouping sets ((c.tier), (c.component), (c.category), ())
  ), placed as materialized (
    select s.*, row_number() over (partition by s.what order by s.total desc, s.category) as place from summed s
  ), merged as (
    -- 3: a tier, 5: a component, 6: a category, 7: all; 8: the categories that are not among the largest
    select p.what, p.tier, p.component, p.category, 1 as groups, p.total, p.waiting, p.running, p.in_batch, p.done, p.failed, p.cancelled
      from placed p where p.what <> 6 or p.place <= p_categories
    union all
    select 8, null, null, null, count(*)::int, sum(p.total)::bigint, sum(p.waiting)::bigint, sum(p.running)::bigint, sum(p.in_batch)::bigint, sum(p.done)::bigint,
           sum(p.failed)::bigint, sum(p.cancelled)::bigint
      from placed p where p.what = 6 and p.place > p_categories having count(*) > 0
  ), told as (
    select m.what, m.tier, m.component, m.category, m.total, m.groups,
           jsonb_build_object('total', m.total, 'waiting', m.waiting, 'running', m.running, 'in_batch', m.in_batch, 'done', m.done, 'failed', m.failed, 'cancelled', m.cancelled,
                              'success_rate', m.done::float8 / nullif(m.done + m.failed, 0)) as stand
      from merged m
  )
  select (select t.stand from told t where t.what = 7) || jsonb_build_object(
    'cache_hits', (select coalesce(sum(c.n), 0)::bigint from counted c where c.state = 'done' and c.is_hit),
    'fallbacks', (select coalesce(sum(c.n), 0)::bigint from counted c where c.state = 'done' and not c.is_primary and c.is_hit is not true),
    'tiers', (select coalesce(jsonb_agg(jsonb_build_object('tier', t.tier) || t.stand order by t.tier), '[]') from told t where t.what = 3),
    'components', (select coalesce(jsonb_agg(jsonb_build_object('component', t.component) || t.stand order by t.component), '[]') from told t where t.what = 5),
    -- a source without categories has none; null beside others: items without one
    'categories', (select coalesce(jsonb_agg(jsonb_build_object('category', t.category) || t.stand order by t.total desc, t.category), '[]')
                     from told t where t.what = 6 and exists (select from summed s where s.what = 6 and s.category is not null)),
    'other_categories', (select jsonb_build_object('categories', t.groups) || t.stand from told t where t.what = 8),
    'models', (select coalesce(jsonb_agg(jsonb_build_object('tier', z.tier, 'model', z.model_used, 'done', z.n, 'primary', z.is_primary) order by z.tier, z.n desc, z.model_used), '[]')
                 from (select c.tier, c.model_used, coalesce(c.is_primary, false) as is_primary, sum(c.n) as n
                         from counted c where c.state = 'done' and c.model_used is not null and c.is_hit is not true group by 1, 2, 3) z))
$$;

-- The calls of these runs, summed by model, process and outcome. Of a pack one row leads and is counted as the call; the others carry
-- their share of its tokens and cost. It is a good one if any of its items was answered.
create or replace function tidegate.run_call_sums_v1(p_runs uuid[]) returns table (
  model text, process_id uuid, outcome text, n bigint, again bigint, packs bigint, packed bigint, input_tokens numeric, cached_tokens numeric,
  output_tokens numeric, thought_tokens numeric, cost numeric, cost_estimated numeric, latency bigint, timed bigint
) language plpgsql stable as $$
#variable_conflict use_column
begin
  return query
  with good as materialized (
    select distinct c.pack_id from tidegate.calls c where c.run_id = any (p_runs) and c.pack_id is not null and not c.lead and c.outcome = 'ok'
  )
  select c.model, c.process_id, case when c.ended_at is null then 'open' when g.pack_id is not null then 'ok' else coalesce(c.outcome, 'unknown') end,
         count(*) filter (where c.lead), count(*) filter (where c.lead and c.attempt > 1),
         count(*) filter (where c.lead and c.pack_id is not null), count(*) filter (where c.pack_id is not null),
         sum(c.input_tokens), sum(c.cached_tokens), sum(c.output_tokens), sum(c.thought_tokens),
         sum(case when c.ended_at is null then c.est_cost_microusd else c.cost_microusd end),
         sum(case when c.ended_at is null then c.est_cost_microusd when c.cost_estimated then c.cost_microusd end),
         sum(c.latency_ms) filter (where c.lead), count(c.latency_ms) filter (where c.lead)
    from tidegate.calls c left join good g on c.lead and g.pack_id = c.pack_id
   where c.run_id = any (p_runs) and c.sent
   group by 1, 2, 3;
end $$;

-- What the calls of these runs came to: in all, and by model. calls = ok + calls_failed + rate_limited + open; what was asked in a batch
-- is no call of its own, its tokens and its cost are of these. One whose outcome is not
-- known stands with its worst case. By process, for who asks who worked.
create or replace function tidegate.run_calls_v1(p_runs uuid[]) returns jsonb language sql stable as $$
  with counted as materialized (
    select * from tidegate.run_call_sums_v1(p_runs)
  ), summed as materialized (
    select k.model, grouping(k.model) = 1 as all_models,
           jsonb_build_object(
             'calls', coalesce(sum(k.n), 0)::bigint,
             'ok', coalesce(sum(k.n) filter (where k.outcome = 'ok'), 0)::bigint,
             'calls_failed', coalesce(sum(k.n) filter (where k.outcome not in ('ok', 'rate_limited', 'open')), 0)::bigint,
             'rate_limited', coalesce(sum(k.n) filter (where k.outcome = 'rate_limited'), 0)::bigint,
             'open', coalesce(sum(k.n) filter (where k.outcome = 'open'), 0)::bigint,
             'retries', coalesce(sum(k.again), 0)::bigint,
             'packs', coalesce(sum(k.packs), 0)::bigint,
             'packed', coalesce(sum(k.packed), 0)::bigint,
             'items_per_pack', (sum(k.packed) / nullif(sum(k.packs), 0))::float8,
             'input_tokens', coalesce(sum(k.input_tokens), 0)::bigint,
             'cached_tokens', coalesce(sum(k.cached_tokens), 0)::bigint,
             'output_tokens', (coalesce(sum(k.output_tokens), 0) + coalesce(sum(k.thought_tokens), 0))::bigint,
             'cost_microusd', coalesce(sum(k.cost), 0)::bigint,
             'cost_estimated_microusd', coalesce(sum(k.cost_estimated), 0)::bigint,
             'price_unknown', coalesce(bool_or(m.input_price_microusd is null), false),
             'latency_ms_mean', (sum(k.latency) filter (where k.outcome = 'ok') / nullif(sum(k.timed) filter (where k.outcome = 'ok'), 0))::float8) as sum
      from counted k left join tidegate.models m on m.model = k.model
     group by grouping sets ((k.model), ())
  )
  select jsonb_build_object(
    'all', (select s.sum from summed s where s.all_models),
    'by_model', (select coalesce(jsonb_agg(jsonb_build_object('model', s.model) || s.sum || jsonb_build_object('failed_by_class', (
                          select coalesce(jsonb_object_agg(f.outcome, f.n), '{}')
                            from (select k.outcome, sum(k.n)::bigint as n from counted k
                                   where k.model = s.model and k.outcome not in ('ok', 'open') group by k.outcome having sum(k.n) > 0) f)) order by s.model), '[]')
                   from summed s where not s.all_models),
    'by_process', (select coalesce(jsonb_agg(jsonb_build_object('process_id', z.process_id, 'calls', z.n) order by z.n desc, z.process_id), '[]')
                     from (select k.process_id, sum(k.n)::bigint as n from counted k group by k.process_id order by 2 desc, 1 limit 100) z))
$$;

-- Why tasks of these runs failed: of each class how many, and the newest of them with its words.
create or replace function tidegate.run_failures_v1(p_runs uuid[]) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_object('class', z.error_class, 'tasks', z.n, 'example', coalesce(t.last_error, ''), 'task', z.task) order by z.n desc, z.error_class), '[]')
    from (select f.error_class, count(*) as n, max(f.id::text)::uuid as task
            from tidegate.failed f where f.run_id = any (p_runs) group by f.error_class order by 2 desc limit 50) z
    left join tidegate.tasks t on t.id = z.task
$$;

-- All figures of these runs.
create or replace function tidegate.run_figures_v1(p_runs uuid[]) returns jsonb language sql stable as $$
  with calls as materialized (
    select tidegate.run_calls_v1(p_runs) as it
  ), workers as materialized (
    -- who made its calls, and who held its tasks last: local work makes no calls
    select coalesce(k.process_id, h.process_id) as process_id, coalesce(k.calls, 0) as calls, coalesce(h.done, 0) as done
      from (select z.process_id, z.calls from calls c, jsonb_to_recordset(c.it -> 'by_process') as z (process_id uuid, calls bigint)) k
      full join (select t.process_id, count(*) as done from tidegate.tasks t
                  where t.run_id = any (p_runs) and t.state = 'done' and t.process_id is not null group by t.process_id) h on h.process_id = k.process_id
  )
  select tidegate.run_groups_v1(p_runs, 50) || (c.it -> 'all')
         || jsonb_build_object(
              'calls_by_model', c.it -> 'by_model', 'failures', tidegate.run_failures_v1(p_runs),
              'processes', (select coalesce(jsonb_agg(jsonb_build_object('process_id', w.process_id, 'role', p.role, 'host', p.host, 'pid', p.pid,
                                                                         'calls', w.calls, 'done', w.done) order by w.done desc, w.calls desc, w.process_id), '[]')
                              from workers w left join tidegate.processes p on p.id = w.process_id))
    from calls c
$$;

-- A run in full; null: there is no such run.
create or replace function tidegate.run_report_v1(p_run uuid) returns jsonb language sql stable as $$
  select jsonb_build_object(
           'run_id', u.id, 'worker', u.worker, 'version', d.version, 'state', u.state, 'source', u.source, 'created_at', u.created_at,
           'loaded_at', u.loaded_at, 'finished_at', u.finished_at, 'items_total', u.items_total, 'items_skipped', u.items_skipped,
           'items_refused', u.items_refused,
           'seconds', extract(epoch from coalesce(u.finished_at, clock_timestamp()) - u.created_at)::float8,
           'working_seconds', extract(epoch from coalesce(u.finished_at, clock_timestamp()) - u.loaded_at)::float8,
           'made_at', clock_timestamp(), 'final', u.finished_at is not null)
         || tidegate.run_figures_v1(array[u.id])
         -- `strategy` says how it was to be asked
         || case when exists (select from tidegate.strategy_decisions x where x.run_id = u.id) or exists (select from tidegate.provider_batches b where b.run_id = u.id)
                 then coalesce(jsonb_build_object('saved', tidegate.run_strategy_v1(u.id)), '{}') else '{}' end
    from tidegate.runs u left join tidegate.worker_definitions d on d.hash = u.definition_hash
   where u.id = p_run
$$;

-- Keeps the report of a run that has ended. Safe at any time, and by many at once: it counts for the end that it was made after, and
-- a run that is opened again has another end. False: the run has not ended.
create or replace function tidegate.keep_report_v1(p_run uuid) returns boolean language plpgsql as $$
declare
  v_end timestamptz;
  v_made timestamptz := clock_timestamp();
  v_report jsonb;
begin
  select u.finished_at into v_end from tidegate.runs u where u.id = p_run and u.state in ('done', 'cancelled') and u.finished_at is not null;
  if v_end is null then
    return false;
  end if;
  -- by a snapshot that is taken after the end was seen
  v_report := tidegate.run_report_v1(p_run);
  insert into tidegate.run_reports as r (run_id, ended_at, made_at, calls_open, report)
  select u.id, v_end, v_made, coalesce((v_report ->> 'open')::bigint, 0) + coalesce((v_report #>> '{saved,batch_items_open}')::bigint, 0), v_report
    from tidegate.runs u where u.id = p_run and u.finished_at = v_end
  on conflict (run_id) do update set ended_at = excluded.ended_at, made_at = excluded.made_at, calls_open = excluded.calls_open, report = excluded.report
   where r.made_at < excluded.made_at;
  return true;
end $$;

-- Keeps the report of one run that ended lately and has none of this end. Calls that were under way then come back later: for an
-- hour it is made again, ever more seldom, and once more when a batch that outlived its run is stored. Returns whether there was one.
create or replace function tidegate.keep_next_report_v1() returns boolean language plpgsql as $$
declare
  v_run uuid;
begin
  if not pg_try_advisory_xact_lock(hashtext('tidegate.keep_reports')) then
    return false;
  end if;
  select u.id into v_run
    from tidegate.runs u left join tidegate.run_reports r on r.run_id = u.id
   where u.finished_at > now() - interval '7 days' and u.state in ('done', 'cancelled')
     and (r.ended_at is distinct from u.finished_at
          -- a batch that outlived its run has told the last of it
          or exists (select from tidegate.provider_batches b where b.run_id = u.id and b.stored_at > r.made_at)
          or (r.calls_open > 0 and r.made_at < r.ended_at + interval '1 h' and now() - r.made_at > greatest(interval '30 s', r.made_at - r.ended_at)))
   order by u.finished_at limit 1;
  return coalesce(tidegate.keep_report_v1(v_run), false);
end $$;
