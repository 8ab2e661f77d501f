-- Lanes for which it is to be chosen how they are asked: held ones with something in them, and others in which much more waits than when
-- it was chosen last. $1: provider entries there is a key for; $2: workers that are served, null: all.
select n.lane as "lane!", n.run_id as "run!", u.worker as "worker!", n.component as "component!", u.strategy as "mode!", u.purpose as "purpose!",
       case when u.within_s is null then null
            when exists (select from tidegate.workers w where w.run_id = u.id) then u.within_s::float8
            else greatest(0, u.within_s - extract(epoch from now() - coalesce(u.loaded_at, now())))::float8 end as "within_s?",
       n.singly as "singly!", n.decided_at, u.definition_hash as "definition!",
       w.waiting as "waiting!", w.est_input as "est_input!",
       f.model as "first_model!", b.model_id as "model_id?", b.model as "model?", b.rung as "rung?", coalesce(b.note, f.note) as "note?",
       (r.o_jobs > 0 and r.o_tokens > 0 and coalesce(b.rest_until <= now(), true)) as "has_room?",
       i.p50_ms as "ind_p50?", i.p90_ms as "ind_p90?", i.samples as "ind_samples?",
       k.ind_age as "ind_age!", k.batch_age as "batch_age!", k.decisions as "decisions!",
       q.p50_ms as "batch_p50?", q.p90_ms as "batch_p90?", q.samples as "batch_samples?",
       (select min(l.size) from tidegate.model_limits ml join tidegate.limits l on l.limit_id = ml.limit_id
         where ml.model_id = n.ladder[1] and l.dimension = 'requests' and l.window_kind = 'minute') as "per_minute?",
       (select max(l.size) from tidegate.model_limits ml join tidegate.limits l on l.limit_id = ml.limit_id
         where ml.model_id = n.ladder[1] and l.dimension = 'concurrency') as "at_once?",
       ceil(c.picousd / 1e6)::bigint as "single_microusd?", floor(c.picousd * coalesce(b.percent, 50) / 1e8)::bigint as "batch_microusd?",
       n.pack_size as "pack_size!"
  from tidegate.lanes n
  join tidegate.runs u on u.id = n.run_id and u.strategy <> 'individual' and u.state = 'active'
  cross join lateral (
    select count(*) as waiting, coalesce(avg(z.est_input), 0)::int as est_input
      from (select r.est_input from tidegate.ready r where r.lane = n.lane limit 50000) z) w
  cross join lateral (
    select m.model, m.batch_note as note, m.input_price_microusd as input_price, m.output_price_microusd as output_price
      from tidegate.models m where m.model_id = n.ladder[1]) f
  cross join lateral (select w.est_input::numeric * f.input_price + n.est_output::numeric * f.output_price as picousd) c
  left join lateral (
    -- the first of its ladder that is not parked: a batch asks no worse model than a call would
    select m.model_id, m.model, m.provider, z.rung::smallint as rung, m.batch_mode
      from unnest(n.ladder) with ordinality z (model_id, rung)
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
  left join tidegate.latencies i on i.model_id = n.ladder[1] and i.how = 'individual'
  left join tidegate.latencies q on q.model_id = b.model_id and q.how = 'batch'
 where n.open and n.ladder <> '{}' and not n.interactive and (n.decided_at is null or n.decided_at < now() - interval '1 s') and w.waiting > 0
   -- who chooses can do what it chose
   and (g.provider is null or g.provider = any ($1))
   and ($2::text[] is null or u.worker = any ($2))
   and not exists (select from tidegate.worker_pauses z where z.worker = u.worker)
   and case when n.held then true
            else not n.singly and w.waiting >= greatest(10, 2 * n.decided_items) and n.decided_at < now() - interval '2 s' end
 order by n.component_priority, n.tier, n.lane
