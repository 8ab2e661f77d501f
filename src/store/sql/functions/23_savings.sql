-- What choosing between single calls and batches came to, beside always the one and always the other. How saved is meant:
--
--  * Only runs count in which it was chosen: one that only ever asked one by one, unasked, saved nothing and lost nothing.
--  * Money against always individual: what the answers that came by batch would have cost singly (their tokens, at the prices of now), less
--    all that batches cost, for what brought no answer too.
--  * Money against always batch: what the answers of single calls would have cost in a batch, less all that single calls cost: mostly
--    negative, that is what the time cost. Models without a batch mode are left out; where no other was asked there is no such way: null.
--  * An answer that another was faster than (`superseded`) was paid for, and would not have been asked for one way only. What is under way
--    is left out until it has ended.
--  * Time against always individual: how long all would have taken singly, by the estimate that choices are made by (plan::estimate: the
--    half of the latencies, calls at once, calls a minute), less what it took. Against always batch: the half of the latencies of batches
--    (from their making to their end), less what it took. Latencies are those of the run's own calls and batches; where it had none, those
--    last seen of the model.
--  * Where nothing went by batch, nothing is saved against always individual: it was that; likewise the other way.
--  * Less than nothing is told as it is. Null: not known (no price, no latency, or it goes on), and never 0.

-- The calls of runs in which it was chosen, with what each would have cost the other way. Names and columns are a contract.
create or replace view tidegate.strategy_calls as
  select (c.started_at at time zone 'utc')::date as day, c.run_id, c.worker, c.model, c.task_id, c.batch_id, c.started_at, c.ended_at, c.outcome,
         c.lead, case when c.batch_id is null then c.latency_ms end as latency_ms, m.batch_mode is not false as has_batch,
         case when c.ended_at is null then c.est_cost_microusd
              else coalesce(c.cost_microusd, case when m.input_price_microusd is not null then 0 end) end as cost_microusd,
         -- what its answer would cost: rounded as each call is
         case when z.output is null then 0
              else ceil((c.input_tokens::numeric * m.input_price_microusd
                         + case z.output when 0 then 0 else z.output::numeric * m.output_price_microusd end) / 1000000) end::bigint as individual_microusd,
         case when z.output is null then 0
              else ceil((c.input_tokens::numeric * (m.input_price_microusd * m.batch_percent / 100)
                         + case z.output when 0 then 0 else z.output::numeric * (m.output_price_microusd * m.batch_percent / 100) end) / 1000000) end::bigint as batch_microusd
    from tidegate.calls c
    left join tidegate.models m on m.model = c.model
    cross join lateral (
      select case when c.input_tokens is not null and c.outcome is distinct from 'superseded'
                  then coalesce(c.output_tokens, 0) + coalesce(c.thought_tokens, 0) end as output) z
   where c.sent
     and (c.run_id in (select d.run_id from tidegate.strategy_decisions d) or c.run_id in (select b.run_id from tidegate.provider_batches b));

-- How long so many tasks take singly, in milliseconds: plan::estimate's twin, by half of the samples. Null: no call was seen.
create or replace function tidegate.singly_takes_v1(p_items bigint, p_p50 bigint, p_p90 bigint, p_parallel bigint, p_per_minute bigint) returns bigint
language sql immutable parallel safe as $$
  select case when p_items = 0 then 0
              when p_p50 is null then null
              -- rounds of calls at once, the last as long as its slowest; and not sooner than a minute's limits let the last one begin
              else greatest(p_p50 * ((p_items + greatest(p_parallel, 1) - 1) / greatest(p_parallel, 1) - 1)
                              + case p_items when 1 then p_p50 else greatest(p_p90, p_p50) end,
                            case when p_per_minute is null then 0 else (p_items - 1) / greatest(p_per_minute, 1) end * 60000 + p_p50) end
$$;

-- The same of calls and batches of these runs (null: all), one row a run, day and model; p_by_day: else of all days in one, and `day` is null.
-- singly_ms, by_batch_ms: how long all would have taken.
create or replace function tidegate.strategy_sums_v1(p_runs uuid[], p_by_day boolean) returns table (
  day date, run_id uuid, worker text, model text, has_batch boolean, individual_calls bigint, individual_items bigint, individual_answered bigint,
  individual_cost numeric, batches bigint, batch_items bigint, batch_answered bigint, batch_open bigint, batch_cost numeric,
  money_against_individual numeric, money_against_batch numeric, singly_ms bigint, by_batch_ms bigint, took_ms bigint
) language sql stable as $$
  with sums as materialized (
    select case when p_by_day then c.day end as day, c.run_id, c.worker, c.model, bool_and(c.has_batch) as has_batch,
           count(*) filter (where c.batch_id is null and c.lead) as singles,
           count(distinct c.task_id) filter (where c.batch_id is null) as single_items,
           count(distinct c.task_id) filter (where c.batch_id is null and c.outcome = 'ok') as single_ok,
           case when count(*) filter (where c.batch_id is null and c.cost_microusd is null) = 0
                then coalesce(sum(c.cost_microusd) filter (where c.batch_id is null), 0) end as single_cost,
           count(distinct c.batch_id) as batches,
           count(distinct c.task_id) filter (where c.batch_id is not null) as items,
           count(distinct c.task_id) filter (where c.batch_id is not null and c.outcome = 'ok') as ok,
           count(*) filter (where c.batch_id is not null and c.ended_at is null) as open,
           case when count(*) filter (where c.batch_id is not null and c.cost_microusd is null) = 0
                then coalesce(sum(c.cost_microusd) filter (where c.batch_id is not null), 0) end as cost,
           -- one that is not known makes the sum unknown
           case when count(*) filter (where c.batch_id is not null and c.ended_at is not null and c.individual_microusd - c.cost_microusd is null) = 0
                then coalesce(sum(c.individual_microusd - c.cost_microusd) filter (where c.batch_id is not null and c.ended_at is not null), 0) end as against_individual,
           case when bool_and(c.has_batch)
                 and count(*) filter (where c.batch_id is null and c.ended_at is not null and c.batch_microusd - c.cost_microusd is null) = 0
                then coalesce(sum(c.batch_microusd - c.cost_microusd) filter (where c.batch_id is null and c.ended_at is not null), 0) end as against_batch,
           count(distinct c.task_id) as tasks,
           percentile_disc(0.5) within group (order by c.latency_ms) filter (where c.outcome = 'ok' and c.lead) as p50,
           percentile_disc(0.9) within group (order by c.latency_ms) filter (where c.outcome = 'ok' and c.lead) as p90,
           -- what lost against another answer, or was never heard of, kept nobody waiting
           case when bool_and(c.ended_at is not null)
                then extract(epoch from max(c.ended_at) filter (where c.outcome is null or c.outcome not in ('superseded', 'lost')) - min(c.started_at)) * 1000 end::bigint as took
      from tidegate.strategy_calls c
     where c.run_id = any (coalesce(p_runs, array(select d.run_id from tidegate.strategy_decisions d union select b.run_id from tidegate.provider_batches b)))
     group by 1, 2, 3, 4
  )
  select s.day, s.run_id, s.worker, s.model, s.has_batch, s.singles, s.single_items, s.single_ok, s.single_cost, s.batches, s.items, s.ok, s.open, s.cost,
         s.against_individual, s.against_batch,
         tidegate.singly_takes_v1(s.tasks, coalesce(s.p50, i.p50_ms), coalesce(s.p90, i.p90_ms), coalesce(d.parallel, 5), d.per_minute),
         case when s.has_batch then coalesce(b.p50, q.p50_ms) end, s.took
    from sums s
    left join tidegate.models m on m.model = s.model
    left join tidegate.latencies i on i.model_id = m.model_id and i.how = 'individual'
    left join tidegate.latencies q on q.model_id = m.model_id and q.how = 'batch'
    left join lateral (
      select (d.facts #>> '{known,parallel}')::bigint as parallel, (d.facts #>> '{known,per_minute}')::bigint as per_minute
        from tidegate.strategy_decisions d where d.run_id = s.run_id order by d.model = s.model desc, d.at desc limit 1) d on true
    left join lateral (
      select percentile_disc(0.5) within group (order by (extract(epoch from b.ended_at - b.created_at) * 1000)::bigint) as p50
        from tidegate.provider_batches b
       where b.run_id = s.run_id and b.model = s.model and b.outcome = 'succeeded' and b.ended_at is not null
         and (s.day is null or (b.created_at at time zone 'utc')::date = s.day)) b on true
$$;

-- What was saved, by day (UTC), worker and model. Names and columns are a contract: columns may be added, at the end.
create or replace view tidegate.strategy_savings as
  select s.day, s.worker, s.model,
         sum(s.individual_calls)::bigint as individual_calls, sum(s.individual_items)::bigint as individual_items,
         sum(s.individual_answered)::bigint as individual_items_answered,
         case when bool_and(s.individual_cost is not null) then sum(s.individual_cost) end::bigint as individual_cost_microusd,
         sum(s.batches)::bigint as batches, sum(s.batch_items)::bigint as batch_items, sum(s.batch_answered)::bigint as batch_items_answered,
         sum(s.batch_open)::bigint as batch_items_open,
         case when bool_and(s.batch_cost is not null) then sum(s.batch_cost) end::bigint as batch_cost_microusd,
         case when bool_and(s.money_against_individual is not null) then sum(s.money_against_individual) end::bigint as money_saved_against_individual_microusd,
         case when bool_and(s.money_against_batch is not null) then sum(s.money_against_batch) end::bigint as money_saved_against_batch_microusd,
         case when bool_and(t.against_individual is not null) then sum(t.against_individual) end::bigint as time_saved_against_individual_ms,
         case when bool_and(t.against_batch is not null) then sum(t.against_batch) end::bigint as time_saved_against_batch_ms
    from tidegate.strategy_sums_v1(null, true) s
    cross join lateral (
      select case when s.batch_items = 0 then 0 else s.singly_ms - s.took_ms end as against_individual,
             case when not s.has_batch then null when s.individual_items = 0 then 0 else s.by_batch_ms - s.took_ms end as against_batch) t
   group by s.day, s.worker, s.model;

-- The part of a run's report; null: it only ever asked one by one, and nothing was chosen.
create or replace function tidegate.run_strategy_v1(p_run uuid) returns jsonb language sql stable as $$
  with sums as materialized (
    select * from tidegate.strategy_sums_v1(array[p_run], false)
  ), summed as materialized (
    select coalesce(sum(s.individual_calls), 0)::bigint as individual_calls, coalesce(sum(s.individual_items), 0)::bigint as individual_items,
           coalesce(sum(s.individual_answered), 0)::bigint as individual_answered, coalesce(sum(s.batches), 0)::bigint as batches,
           coalesce(sum(s.batch_items), 0)::bigint as batch_items, coalesce(sum(s.batch_answered), 0)::bigint as batch_answered,
           coalesce(sum(s.batch_open), 0)::bigint as batch_open,
           case when count(*) = count(s.individual_cost) then coalesce(sum(s.individual_cost), 0) end::bigint as individual_cost,
           case when count(*) = count(s.batch_cost) then coalesce(sum(s.batch_cost), 0) end::bigint as batch_cost,
           case when count(*) = count(s.money_against_individual) then coalesce(sum(s.money_against_individual), 0) end::bigint as against_individual,
           -- of models that have batches
           case when count(*) filter (where s.has_batch and s.money_against_batch is null) = 0
                then sum(s.money_against_batch) filter (where s.has_batch) end::bigint as against_batch,
           bool_and(s.has_batch) as has_batch,
           -- models are asked at the same time
           case when count(*) = count(s.singly_ms) then max(s.singly_ms) end as singly_ms,
           case when count(*) = count(s.by_batch_ms) then max(s.by_batch_ms) end as by_batch_ms
      from sums s
  ), run as (
    select (extract(epoch from u.finished_at - u.loaded_at) * 1000)::bigint as took from tidegate.runs u where u.id = p_run
  ), decided as materialized (
    select d.* from tidegate.strategy_decisions d where d.run_id = p_run
  )
  select jsonb_build_object(
           'individual_calls', s.individual_calls, 'individual_items', s.individual_items, 'individual_items_answered', s.individual_answered,
           'individual_cost_microusd', s.individual_cost,
           'batches', s.batches, 'batch_items', s.batch_items, 'batch_items_answered', s.batch_answered, 'batch_items_open', s.batch_open,
           'batch_cost_microusd', s.batch_cost,
           'took_ms', r.took, 'individual_takes_ms', s.singly_ms, 'batch_takes_ms', s.by_batch_ms,
           'money_saved_against_individual_microusd', s.against_individual, 'money_saved_against_batch_microusd', s.against_batch,
           'time_saved_against_individual_ms', case when s.batch_items = 0 then 0 else s.singly_ms - r.took end,
           'time_saved_against_batch_ms', case when not s.has_batch then null when s.individual_items = 0 then 0 else s.by_batch_ms - r.took end,
           'decisions', (select count(*) from decided),
           'last_decisions', (select coalesce(jsonb_agg(jsonb_build_object(
                                'at', d.at, 'component', d.component, 'model', d.model, 'items', d.items, 'strategy', d.strategy, 'singles', d.singles,
                                'reason', d.reason) order by d.at desc, d.id desc), '[]')
                                from (select * from decided order by at desc, id desc limit 20) d))
    from summed s, run r
   where s.batches > 0 or exists (select from decided)
$$;
