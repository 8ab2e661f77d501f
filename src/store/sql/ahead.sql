-- All that a forecast looks at, in one look: counts of lanes and means of their tokens, never their tasks one by one.
-- $1: models that are to be there too, though nothing waits for them yet.
with waiting as materialized (
  select k.run_id, k.tier, sum(k.n) as tasks from tidegate.run_counts k
   where k.state in ('blocked', 'scheduled', 'ready')
     and k.run_id in (select u.id from tidegate.runs u where u.state = 'active')
   group by k.run_id, k.tier having sum(k.n) > 0
), looked_at as materialized (
  -- those that ask no model too: of what waits they hold their part
  select n.lane, n.run_id, n.tier, n.component, n.component_priority, n.ladder, n.policy, n.patience_ms, n.est_output, n.pack_size, w.tasks,
         -- held for a batch of the first that is not parked, as it is chosen: claims take nothing of it
         case when n.held then (select case when m.batch_mode is not false then m.model_id end
                                  from unnest(n.ladder) with ordinality y (model_id, rung)
                                  join tidegate.models m on m.model_id = y.model_id and m.parked is null
                                  join tidegate.providers p on p.name = m.provider and p.parked is null
                                 order by y.rung limit 1) end as held_for,
         z.n + case when n.ladder = '{}' then 0 else 0.001 end as n, z.input
    from waiting w
    join tidegate.lanes n on n.run_id = w.run_id and n.tier = w.tier and n.open
   cross join lateral (
     -- so many tell the mean; how many there are is told by the counts that are kept
     select count(*) as n, avg(y.est_input)::float8 as input
       from (select r.est_input from tidegate.ready r where r.lane = n.lane limit 2000) y) z
), parted as materialized (
  select l.* from (select l.*, round(l.tasks * l.n / nullif(sum(l.n) over (partition by l.run_id, l.tier), 0))::bigint as part from looked_at l) l
   where l.ladder <> '{}'
), lanes as materialized (
  select l.* from parted l where l.held_for is null
), by_batch as materialized (
  -- what stands in batches, and what waits for one: seconds until it should be back, by the half of the latest, else by nine of ten
  select l.run_id, q.p50_ms / 1000.0 as seconds,
         round(l.part * (l.input * m.input_price_microusd + l.est_output * m.output_price_microusd) * m.batch_percent / 1e8)::bigint as cost
    from parted l
    join tidegate.models m on m.model_id = l.held_for
    left join tidegate.latencies q on q.model_id = l.held_for and q.how = 'batch'
   where l.part > 0
  union all
  select b.run_id,
         case when b.state in ('ended', 'stored') then 0 when a.ms < q.p50_ms then q.p50_ms - a.ms when a.ms < q.p90_ms then q.p90_ms - a.ms end / 1000.0, 0
    from tidegate.provider_batches b
    join tidegate.runs u on u.id = b.run_id and u.state = 'active'
    left join tidegate.latencies q on q.model_id = b.model_id and q.how = 'batch'
   cross join lateral (select extract(epoch from clock_timestamp() - b.created_at) * 1000 as ms) a
   where b.state <> 'over' and exists (select from tidegate.batch_items i where i.batch_id = b.id and i.waits)
), runs as materialized (
  select u.id, u.worker, u.weight, u.mix,
         (select count(*) from tidegate.running r join tidegate.lanes n on n.lane = r.lane where n.run_id = u.id) as in_flight
    from tidegate.runs u
   where u.state = 'active'
     and (u.id in (select l.run_id from lanes l)
          or u.id in (select l.run_id from by_batch l)
          or u.id in (select n.run_id from tidegate.running r join tidegate.lanes n on n.lane = r.lane where r.model_id is not null))
), models as materialized (
  select m.model_id, m.model, m.provider, m.input_price_microusd, m.output_price_microusd, m.parked is not null or p.parked is not null as parked,
         greatest(0, extract(epoch from c.until - now()))::float8 as cooling
    from tidegate.models m
    join tidegate.providers p on p.name = m.provider
    left join tidegate.model_cooldowns c on c.quota_scope = p.quota_scope and c.wire_name = m.wire_name
   where m.model = any ($1) or m.model_id in (select unnest(l.ladder) from lanes l)
), latencies as materialized (
  select c.model, (avg(c.latency_ms) / 1000)::float8 as seconds
    from (select k.model, k.latency_ms from tidegate.calls k
           where k.started_at > now() - interval '1 h' and k.outcome = 'ok' and k.batch_id is null order by k.started_at desc limit 3000) c
   group by c.model
), limits as materialized (
  select l.*, r.o_room as room, make_interval(secs => 60 + l.guard_ms / 1000.0) as stretch,
         -- what is still being found out is not what binds a run of any length
         case when l.adaptive and l.cut_at is null then greatest(l.size, coalesce(l.told, 10)) else l.size end as size_soon
    from tidegate.limits l
   cross join lateral tidegate.limit_room_v2(array[l.limit_id], now(), now(), true) r
   where l.limit_id in (select ml.limit_id from tidegate.model_limits ml join models m on m.model_id = ml.model_id)
      or l.worker in (select u.worker from runs u)
      or l.run_id in (select u.id from runs u)
      or l.dimension = 'money' and l.window_kind = 'day'
)
select jsonb_build_object(
  'limits', (select coalesce(jsonb_agg(jsonb_build_object(
      'dimension', l.dimension, 'window', l.window_kind, 'size', l.size_soon, 'burst', l.burst, 'guard_ms', l.guard_ms,
      'interactive_ago', extract(epoch from now() - l.interactive_at)::float8,
      'day_ends_in', case l.window_kind when 'day' then extract(epoch from tidegate.limit_day_start_v1(l.quota_scope, now() + interval '26 h') - now())::float8 end,
      'worker', l.worker, 'run', l.run_id,
      'models', array(select ml.model_id from tidegate.model_limits ml where ml.limit_id = l.limit_id),
      'used', case when l.window_kind = 'minute' then used.by_second else jsonb_build_array(jsonb_build_array(0, l.size - l.room)) end)), '[]')
    from limits l
    left join lateral (
      select coalesce(jsonb_agg(jsonb_build_array(s.ago, s.amount)), '[]') as by_second
        from (select floor(extract(epoch from now() - y.at))::float8 as ago, sum(y.amount)::bigint as amount
                from (select b.at, b.total - coalesce(lag(b.total) over (order by b.at), (
                               select o.total from tidegate.limit_book o where o.limit_id = l.limit_id and o.at <= now() - l.stretch order by o.at desc limit 1), 0) as amount
                        from tidegate.limit_book b where b.limit_id = l.limit_id and b.at > now() - l.stretch
                      union all
                      select t.at, t.delta from tidegate.limit_settlements t where t.limit_id = l.limit_id and t.at > now() - l.stretch) y
               group by 1 having sum(y.amount) <> 0) s) used on l.window_kind = 'minute'),
  'models', (select coalesce(jsonb_agg(jsonb_build_object(
      'id', m.model_id, 'model', m.model, 'provider', m.provider, 'parked', m.parked, 'cooling', m.cooling, 'latency', k.seconds,
      'input_price', m.input_price_microusd, 'output_price', m.output_price_microusd)), '[]')
    from models m left join latencies k on k.model = m.model),
  'runs', (select coalesce(jsonb_agg(jsonb_build_object('id', u.id, 'worker', u.worker, 'weight', u.weight, 'mix', u.mix, 'in_flight', u.in_flight)), '[]') from runs u),
  'lanes', (select coalesce(jsonb_agg(jsonb_build_object(
      'run', l.run_id, 'tier', l.tier, 'component_priority', l.component_priority, 'ladder', l.ladder, 'policy', l.policy, 'patience_ms', l.patience_ms,
      'tasks', l.part, 'input', l.input,
      'pack', case when l.pack_size = 1 then 1 else least(l.pack_size, (select z.size from tidegate.pack_sizes z where z.worker = u.worker and z.component = l.component)) end,
      'output', array(select coalesce(q.tokens, l.est_output) from unnest(l.ladder) with ordinality z (model_id, rung)
                        left join tidegate.output_quantiles q on q.worker = u.worker and q.component = l.component and q.model_id = z.model_id
                       order by z.rung))), '[]')
    from lanes l join runs u on u.id = l.run_id),
  'by_batch', (select coalesce(jsonb_agg(jsonb_build_object('run', l.run_id, 'seconds', l.seconds::float8, 'cost', l.cost)), '[]') from by_batch l),
  'slots', (select sum(p.slots) from tidegate.processes p where p.stopped_at is null and p.lost_at is null and p.lease_until > now())
) as "ahead!: Json<AheadRows>"
