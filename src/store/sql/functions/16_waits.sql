-- Why one task waits, in full: what it needs of each model of its ladder, its own prompt included, and what of that is not there.

-- Of each model: how many tasks wait for it as their first choice, and the first of those: it would start next, but for the fair share
-- among runs and tiers.
create or replace view tidegate.model_queues as
  select m.model_id, m.model, coalesce(q.waiting, 0)::bigint as waiting, q.next_task, q.next_worker
    from tidegate.models m
    left join lateral (
      select sum(c.n) as waiting,
             (array_agg(f.id order by n.component_priority, n.tier, f.priority desc, f.id) filter (where f.id is not null))[1] as next_task,
             (array_agg(u.worker order by n.component_priority, n.tier, f.priority desc, f.id) filter (where f.id is not null))[1] as next_worker
        from tidegate.lanes n
        join tidegate.runs u on u.id = n.run_id and u.state = 'active'
        cross join lateral (select count(*) as n from tidegate.ready r where r.lane = n.lane) c
        left join lateral (
          select w.id, w.priority
            from (select s.seg from tidegate.segments s where s.lane = n.lane and s.open order by s.top desc, s.seg limit 60) s
            cross join lateral (
              select w.id, w.priority from tidegate.ready w where w.lane = n.lane and w.seg = s.seg order by w.priority desc, w.id limit 1) w
           order by w.priority desc, w.id limit 1) f on true
       where n.open and n.ladder[1] = m.model_id
         and not exists (select from tidegate.worker_pauses z where z.worker = u.worker)) q on true;

-- Each model of a task's ladder, as a claim would judge it for this task. closed_by null: it has room for it. until null: for a call
-- in flight, or for a person. takable: nothing is to be waited for before it is taken.
create or replace function tidegate.task_rungs_v1(p_task uuid) returns table (
  o_rung smallint, o_model text, o_closed_by text, o_until timestamptz, o_need bigint, o_room bigint, o_size bigint, o_takable boolean,
  o_waiting bigint, o_next uuid
) language sql stable as $$
  with rungs as materialized (
    select z.rung, z.model_id, m.model, m.provider, m.input_price_microusd, m.output_price_microusd, t.id as task_id, t.run_id,
           t.est_tokens as est_input, coalesce(q.tokens, n.est_output) as est_output, coalesce(n.max_output, q.tokens, n.est_output) as worst_output,
           -- the first call and 3 retries; its twin is retry::CALLS_PER_MODEL
           coalesce(t.tries[z.rung], 0) >= 4 as used_up,
           n.policy, make_interval(secs => n.patience_ms / 1000.0) as patience
      from tidegate.tasks t
      join tidegate.lanes n on n.lane = t.lane
      cross join lateral unnest(n.ladder) with ordinality z (model_id, rung)
      join tidegate.models m on m.model_id = z.model_id
      left join tidegate.output_quantiles q on q.worker = t.worker and q.component = n.component and q.model_id = z.model_id
     where t.id = p_task
  ), judged as materialized (
    select r.*,
           case when r.used_up then 'its calls for this task are used up'
                when g.closed_by is not null and g.limit_id is null then g.closed_by
                when g.closed_by not like 'limit:%' then g.closed_by
                when b.too_large then 'limit: its prompt of ' || r.est_input || ' tokens is more than the ' || b.size || ' ' || b.what
                when b.room < b.need or b.room <= 0 then 'limit: ' || b.what || ' (' || b.need || ' needed, ' || b.room || ' of ' || b.size || ' left)'
                when b.limit_id is not null then 'limit: ' || b.what || ' (what is left waits for a larger task)'
                when y.limit_id is not null and y.need is null then 'a budget holds, and it has no price'
                when y.limit_id is not null then
                  'the budget of ' || case y.window_kind when 'run' then 'its run' else 'the day' end
                  || ' ($' || trim_scale(round(y.need / 1e6, 6)) || ' needed, $' || trim_scale(round(y.room / 1e6, 6)) || ' left)'
           end as closed_by,
           case when r.used_up or b.too_large then null
                when g.closed_by is not null and g.closed_by not like 'limit:%' then g.until
                when b.limit_id is not null then greatest(g.until, b.opens_at)
                when y.window_kind = 'day' and y.need is not null then tidegate.day_end('UTC', now()) end as until,
           coalesce(b.too_large, false) as too_large, b.need, b.room, b.size
      from rungs r
      join tidegate.model_gates g on g.model_id = r.model_id
      left join lateral (
        select l.limit_id, tidegate.limit_words_v1(l.dimension, l.window_kind) as what, l.size, k.need, k.room, k.too_large,
               tidegate.limit_opens_at_v2(l.limit_id, k.need + k.reserved, now()) as opens_at
          from tidegate.model_limits ml
          join tidegate.limits l on l.limit_id = ml.limit_id
          cross join lateral (
            select o.o_room as room, w.o_room - o.o_room as reserved,
                   case l.dimension when 'input_tokens' then least(r.est_input, l.size)
                                    when 'output_tokens' then least(r.est_output, l.size)
                                    when 'total_tokens' then least(r.est_input::bigint + r.est_output, l.size)
                                    else 1 end as need,
                   -- a quarter more is left for our estimate being high, as in the claim
                   l.dimension in ('input_tokens', 'total_tokens') and r.est_input > l.size * 1.25 as too_large
              from tidegate.limit_room_v2(array[l.limit_id], now(), now(), false) o, tidegate.limit_room_v2(array[l.limit_id], now(), now()) w) k
          left join tidegate.limit_holds h on h.limit_id = l.limit_id and h.task_id <> r.task_id and h.since < now() - interval '5 s'
           and exists (select from tidegate.tasks t where t.id = h.task_id and t.state = 'ready')
         where ml.model_id = r.model_id
           and (k.too_large or k.room < k.need or k.room <= 0 or h.limit_id is not null and k.room - least(h.need, l.size) < k.need)
         order by k.too_large desc, opens_at desc nulls first
         limit 1) b on true
      left join lateral (
        select l.limit_id, l.window_kind, k.need, o.o_room as room
          from tidegate.limits l
          cross join lateral tidegate.limit_room_v2(array[l.limit_id], now(), now()) o
          cross join lateral (
            select ceil((r.est_input::numeric * r.input_price_microusd + r.output_price_microusd::numeric * r.worst_output) / 1000000)::bigint as need) k
         where l.dimension = 'money' and (l.run_id = r.run_id or l.window_kind = 'day')
           and (k.need is null or o.o_room < k.need or o.o_room <= 0)
         order by l.window_kind desc limit 1) y on true
  )
  select j.rung::smallint, j.model, j.closed_by, j.until, j.need, j.room, j.size,
         j.closed_by is null and not exists (
           -- an earlier one (of another provider, for `auto`) that opens within the patience is waited for
           select from judged e
            where e.rung < j.rung and not e.used_up and not e.too_large and j.policy in ('auto', 'patient')
              and (j.policy = 'patient' or e.provider <> j.provider)
              and tidegate.model_opens_at_v2(e.model_id, null, now(), j.patience) <= now() + j.patience),
         q.waiting, q.next_task
    from judged j
    join tidegate.model_queues q on q.model_id = j.model_id
   order by j.rung
$$;

-- Why a task waits and until when, its own needs included. What stops its whole lane comes first. No row: it does not wait.
create or replace function tidegate.why_v1(p_task uuid) returns table (o_reason text, o_until timestamptz, o_kind text) language sql stable as $$
  select case when not z.own then z.reason
              when k.open = 0 then 'no model of its ladder can take it now: ' || k.reasons
              when k.takable = 0 then 'the better model, which opens soon, though a fallback is open: ' || k.reasons
              else 'its turn' || coalesce(' (not now: ' || k.reasons || ')', '') end,
         case when not z.own then z.until when k.takable = 0 then k.until end,
         case when not z.own then z.kind when k.open = 0 then 'models' when k.takable = 0 then 'better_model' else 'turn' end
    from (select w.reason, w.until, n.kind,
                 w.state = 'ready' and coalesce(n.kind in ('models', 'better_model', 'turn', 'budget'), false)
                   and exists (select from tidegate.lanes l where l.lane = t.lane and l.ladder <> '{}') as own
            from tidegate.task_waits w
            join tidegate.tasks t on t.id = w.task_id
            left join tidegate.lane_waits n on n.lane = t.lane and w.state = 'ready'
           where w.task_id = p_task) z
    left join lateral (
      select count(*) filter (where r.o_closed_by is null) as open, count(*) filter (where r.o_takable) as takable, min(r.o_until) as until,
             string_agg(r.o_model || ' (' || r.o_closed_by || ')', '; ' order by r.o_rung) filter (where r.o_closed_by is not null) as reasons
        from tidegate.task_rungs_v1(p_task) r) k on z.own
$$;
