-- What is known of a ladder, for who chooses how tasks of it are asked. $1: its models; $2: input tokens of one task, on average; $3: its
-- output tokens.
select f.model as "first_model!", g.provider as "provider?",
       b.model_id as "model_id?", b.model as "model?", b.rung as "rung?", coalesce(b.note, f.note) as "note?",
       (r.o_jobs > 0 and r.o_tokens > 0 and coalesce(b.rest_until <= now(), true)) as "has_room?",
       i.p50_ms as "ind_p50?", i.p90_ms as "ind_p90?", i.samples as "ind_samples?",
       k.ind_age as "ind_age!", k.batch_age as "batch_age!", k.decisions as "decisions!",
       q.p50_ms as "batch_p50?", q.p90_ms as "batch_p90?", q.samples as "batch_samples?",
       (select min(l.size) from tidegate.model_limits ml join tidegate.limits l on l.limit_id = ml.limit_id
         where ml.model_id = f.model_id and l.dimension = 'requests' and l.window_kind = 'minute') as "per_minute?",
       (select max(l.size) from tidegate.model_limits ml join tidegate.limits l on l.limit_id = ml.limit_id
         where ml.model_id = f.model_id and l.dimension = 'concurrency') as "at_once?",
       ceil(c.picousd / 1e6)::bigint as "single_microusd?", floor(c.picousd * coalesce(b.percent, 50) / 1e8)::bigint as "batch_microusd?"
  from (
    select m.model_id, m.model, m.batch_note as note, m.input_price_microusd as input_price, m.output_price_microusd as output_price
      from tidegate.models m where m.model_id = ($1::int[])[1]) f
  cross join lateral (select $2::int::numeric * f.input_price + $3::int::numeric * f.output_price as picousd) c
  left join lateral (
    -- the first of its ladder that is not parked: a batch asks no worse model than a call would
    select m.model_id, m.model, m.provider, z.rung::smallint as rung, m.batch_mode
      from unnest($1::int[]) with ordinality z (model_id, rung)
      join tidegate.models m on m.model_id = z.model_id and m.parked is null
      join tidegate.providers p on p.name = m.provider and p.parked is null
     order by z.rung limit 1) g on true
  left join lateral (
    select m.model_id, m.model, g.rung, m.batch_note as note, m.batch_percent as percent, m.batch_rest_until as rest_until
      from tidegate.models m where m.model_id = g.model_id and g.batch_mode is not false) b on true
  left join lateral tidegate.batch_room_v1(b.model_id) r on b.model_id is not null
  cross join lateral (
    select count(*) as decisions,
           coalesce(min(d.nth) filter (where d.strategy <> 'batch') - 1, count(*)) as ind_age,
           coalesce(min(d.nth) filter (where d.strategy <> 'individual') - 1, count(*)) as batch_age
      from (select d.strategy, row_number() over (order by d.at desc) as nth from tidegate.strategy_decisions d
             where d.model = f.model order by d.at desc limit 1000) d) k
  left join tidegate.latencies i on i.model_id = f.model_id and i.how = 'individual'
  left join tidegate.latencies q on q.model_id = b.model_id and q.how = 'batch'
