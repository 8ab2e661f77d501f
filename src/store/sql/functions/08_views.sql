-- Views for people, dashboards and scalers. Names and columns are a contract: columns may be added, at the end.

create or replace view tidegate.task_attempts as
  select r.id as task_id, t.generation, r.attempts as attempt, r.epoch, r.process_id, m.model, r.call_id, 'running' as outcome,
         true as charged, null::text as error_class, null::text as error, r.granted_at as started_at, null::timestamptz as finished_at
    from tidegate.running r join tidegate.tasks t on t.id = r.id left join tidegate.models m on m.model_id = r.model_id
  union all
  select i.id, t.generation, i.attempts, i.epoch, i.process_id, m.model, i.call_id, 'in_batch', true, null, null, i.granted_at, null
    from tidegate.batch_items i join tidegate.tasks t on t.id = i.id left join tidegate.models m on m.model_id = i.model_id where i.waits
  union all
  select s.task_id, s.generation, s.attempt, s.epoch, s.process_id, s.model, s.call_id, 'ok', true, null, null, s.started_at, s.finished_at
    from tidegate.task_results s
  union all
  select c.task_id, c.generation, c.attempt, c.epoch, c.process_id, c.model, c.call_id, c.outcome, c.charged, c.error_class, c.error, c.started_at, c.finished_at
    from tidegate.task_attempts_closed c;

create or replace view tidegate.events as
  select b.at, u.task_id, b.kind, b.process_id, b.detail from tidegate.event_batches b cross join lateral unnest(b.task_ids) u (task_id);

-- What each limit used, window by window, as the limiter itself sees it.
create or replace view tidegate.model_usage as
  select m.model, l.name as limit_name, l.dimension, l.window_kind, b.at,
         b.total - coalesce(lag(b.total) over (partition by m.model, b.limit_id order by b.at), 0) as used, b.total
    from tidegate.limit_book b
    join tidegate.limits l on l.limit_id = b.limit_id
    join tidegate.model_limits ml on ml.limit_id = l.limit_id
    join tidegate.models m on m.model_id = ml.model_id;

-- What binds each model now, and until when. closed_by null: it may be called. until null: when a call in flight ends, or a person acts.
create or replace view tidegate.model_gates as
  select m.model_id, m.model,
         case when p.parked is not null then 'provider parked: ' || p.parked
              when m.parked is not null then 'model parked: ' || m.parked
              when c.until > now() then 'cooldown: ' || c.reason
              when c.gated then case when c.proven_at is null then 'cooldown ended: one call asks whether it answers again'
                                     else 'cooldown ended: few calls at first' end
              when g.limit_id is not null then 'limit: ' || g.what
         end as closed_by,
         case when p.parked is not null or m.parked is not null then null
              when c.gated then null
              else greatest(case when c.until > now() then c.until end, g.opens_at) end as until,
         g.limit_id
    from tidegate.models m
    join tidegate.providers p on p.name = m.provider
    left join lateral (
      select c.until, c.reason, c.proven_at,
             c.until <= now() and tidegate.gate_v1(c.until, c.proven_at, now())
               <= (select count(*) from tidegate.running r where r.model_id = m.model_id and r.granted_at >= c.until and r.lead) as gated
        from tidegate.model_cooldowns c where c.quota_scope = p.quota_scope and c.wire_name = m.wire_name) c on true
    left join lateral (
      select l.limit_id, tidegate.limit_words_v1(l.dimension, l.window_kind) as what, tidegate.limit_opens_at_v2(l.limit_id, 1, now()) as opens_at
        from tidegate.model_limits ml
        join tidegate.limits l on l.limit_id = ml.limit_id
        -- as a claim sees it: what is reserved for interactive calls is not for tasks
        join tidegate.limit_room_v2(array[l.limit_id], now(), now(), false) r on r.o_room <= 0
       where ml.model_id = m.model_id
       order by tidegate.limit_opens_at_v2(l.limit_id, 1, now()) desc nulls first
       limit 1) g on true;

-- One statement for the state of every model: calls of the last minute, wait, cooldown, concurrency. concurrency: calls at once that
-- it may have now; max_concurrency: what was told.
create or replace view tidegate.model_status as
  select m.model, p.quota_scope, g.closed_by, g.until,
         extract(epoch from g.until - now())::float8 as wait_seconds,
         (select count(*) from tidegate.running r where r.model_id = m.model_id and r.lead) as in_flight,
         (select count(*) from tidegate.calls k where k.model = m.model and k.started_at > now() - interval '60 s' and k.lead) as calls_last_minute,
         z.requests_per_minute, z.tokens_per_minute, z.requests_per_day, z.max_concurrency,
         coalesce(c.strikes, 0) as strikes, m.parked, p.parked as provider_parked,
         m.input_price_microusd, m.output_price_microusd,
         z.concurrency, z.output_tokens_per_minute, z.tokens_per_day, m.shares,
         m.batch_mode, m.batch_note, m.batch_percent, m.batch_tokens, p.batch_jobs
    from tidegate.models m
    join tidegate.providers p on p.name = m.provider
    join tidegate.model_gates g on g.model_id = m.model_id
    left join tidegate.model_cooldowns c on c.quota_scope = p.quota_scope and c.wire_name = m.wire_name
    cross join lateral (
      select max(l.size) filter (where l.dimension = 'requests' and l.window_kind = 'minute') as requests_per_minute,
             max(l.size) filter (where l.dimension in ('input_tokens', 'total_tokens') and l.window_kind = 'minute') as tokens_per_minute,
             max(l.size) filter (where l.dimension = 'output_tokens' and l.window_kind = 'minute') as output_tokens_per_minute,
             max(l.size) filter (where l.dimension = 'requests' and l.window_kind = 'day') as requests_per_day,
             max(l.size) filter (where l.dimension in ('input_tokens', 'total_tokens') and l.window_kind = 'day') as tokens_per_day,
             max(l.told) filter (where l.dimension = 'concurrency') as max_concurrency,
             max(l.size) filter (where l.dimension = 'concurrency') as concurrency
        from tidegate.model_limits ml join tidegate.limits l on l.limit_id = ml.limit_id
       where ml.model_id = m.model_id) z;

-- Every limit as it is now: its size, what was told, how it is counted, what is left, and what all this follows from.
create or replace view tidegate.limit_status as
  select l.limit_id, (select string_agg(m.model, ', ' order by m.model) from tidegate.model_limits ml join tidegate.models m on m.model_id = ml.model_id
                       where ml.limit_id = l.limit_id) as models,
         l.quota_scope, l.name, l.dimension, l.window_kind, l.size, l.told, l.said, l.said_at, r.o_room as room, l.counting, l.burst, l.guard_ms,
         l.source, l.evidence, l.changed_at, tidegate.limit_opens_at_v2(l.limit_id, 1, now()) as opens_at
    from tidegate.limits l
    cross join lateral tidegate.limit_room_v2(array[l.limit_id], now(), now()) r;

-- Why the ready tasks of each open lane wait. Tasks of a lane share their ladder, so they share the reason.
create or replace view tidegate.lane_waits as
  select n.lane, n.run_id, n.tier,
         case when u.state <> 'active' then 'its run is ' || u.state
              when z.worker is not null then 'its worker is paused: ' || z.reason
              when b.limit_id is not null and b.least is null then 'a budget holds, and no model of its ladder has a price'
              when b.limit_id is not null then case b.window_kind when 'run' then 'the budget of its run is spent' else 'the budget of the day is spent' end
              when n.held and not coalesce(w.all_parked, false) then 'the choice of how it is asked, or room for a provider batch'
              when k.limit_id is not null then 'as many calls of its worker are under way as may be at once'
              when y.next_at is not null then 'its run is paced'
              when w.all_closed then 'every model of its ladder is closed: ' || w.reasons
              when w.first_closed is not null and n.policy in ('auto', 'patient') and w.next_open is null
                then 'the better model, which opens soon (' || w.first_closed || '); a fallback is open'
              when w.first_closed is not null then 'its turn (first model closed: ' || w.first_closed || '; a fallback is open)'
              else 'its turn' end as reason,
         case when u.state <> 'active' or z.worker is not null then null
              when b.limit_id is not null then case when b.window_kind = 'day' and b.least is not null then tidegate.day_end('UTC', now()) end
              when n.held and not coalesce(w.all_parked, false) then null
              when k.limit_id is not null then null
              when y.next_at is not null then y.next_at
              when w.all_closed then w.until
              when w.first_closed is not null and n.policy in ('auto', 'patient') and w.next_open is null then w.until end as until,
         case when u.state <> 'active' then 'run'
              when z.worker is not null then 'worker'
              when b.limit_id is not null then 'budget'
              when n.held and not coalesce(w.all_parked, false) then 'strategy'
              when k.limit_id is not null then 'worker_limit'
              when y.next_at is not null then 'pacing'
              when w.all_closed then 'models'
              when w.first_closed is not null and n.policy in ('auto', 'patient') and w.next_open is null then 'better_model'
              else 'turn' end as kind
    from tidegate.lanes n
    join tidegate.runs u on u.id = n.run_id
    left join tidegate.worker_pauses z on z.worker = u.worker
    left join tidegate.run_pacing y on y.run_id = u.id and y.next_at > now() and n.ladder <> '{}'
    left join lateral (
      -- less is left than one answer of its cheapest model may cost; a model without a price is not asked under a budget
      select l.limit_id, l.window_kind, q.least
        from tidegate.limits l
        cross join lateral tidegate.limit_room_v2(array[l.limit_id], now(), now()) r
        cross join lateral (
          select min(m.output_price_microusd::numeric * coalesce(n.max_output, n.est_output) / 1000000) as least
            from tidegate.models m where m.model_id = any (n.ladder) and m.input_price_microusd is not null) q
       where l.dimension = 'money' and (l.run_id = u.id or l.window_kind = 'day')
         and (q.least is null or r.o_room <= q.least)
       order by l.window_kind desc limit 1) b on n.ladder <> '{}'
    left join lateral (
      select l.limit_id from tidegate.limits l cross join lateral tidegate.limit_room_v2(array[l.limit_id], now(), now()) r
       where l.worker = u.worker and r.o_room <= 0 limit 1) k on n.ladder <> '{}'
    left join (select z.lane, bool_and(g.closed_by is not null) as all_closed,
                 bool_and(coalesce(g.closed_by like '%parked: %', false)) as all_parked, min(g.until) as until,
                 string_agg(g.model || ' (' || g.closed_by || ')', '; ' order by z.rung) filter (where g.closed_by is not null) as reasons,
                 max(g.closed_by) filter (where z.rung = 1) as first_closed,
                 -- a fallback that may be taken: no earlier one (of another provider, for `auto`) opens within the patience
                 min(z.rung) filter (where z.rung > 1 and g.closed_by is null and not exists (
                   select from unnest(z.ladder[:z.rung - 1]) e (model_id) join tidegate.models f on f.model_id = e.model_id
                    cross join make_interval(secs => z.patience_ms / 1000.0) k (patience)
                    where (z.policy = 'patient' or f.provider <> z.provider)
                      and tidegate.model_opens_at_v2(e.model_id, null, now(), k.patience) <= now() + k.patience)) as next_open
            from (select l.lane, l.policy, l.patience_ms, l.ladder, m.model_id, m.rung, o.provider
                    from tidegate.lanes l
                    cross join lateral unnest(l.ladder) with ordinality m (model_id, rung)
                    join tidegate.models o on o.model_id = m.model_id
                   where l.open) z
            join tidegate.model_gates g on g.model_id = z.model_id
           group by z.lane) w on w.lane = n.lane
   where n.open;

-- Why each waiting task waits, and until when (the earliest of its models). until null: for a call in flight, or for a person.
create or replace view tidegate.task_waits as
  select t.id as task_id, t.run_id, t.worker, t.item_id, t.tier, t.model, t.state,
         case t.state when 'scheduled' then case when t.error_class is null then 'its moment' else 'back-off after: ' || t.error_class end
                      when 'blocked' then case when b.needs > 0 then 'tasks that it needs: ' || b.needs
                                           when b.follows is not null then 'the answer of an equal task, which is being asked'
                                           else 'its prompt to be rendered' end
                      else w.reason end as reason,
         case t.state when 'scheduled' then t.run_at when 'ready' then w.until end as until
    from tidegate.tasks t
    left join tidegate.lane_waits w on w.lane = t.lane
    left join tidegate.blocked b on t.state = 'blocked' and b.id = t.id
   where t.state in ('blocked', 'scheduled', 'ready');

-- The same, counted: how many tasks wait for what.
create or replace view tidegate.wait_counts as
  select u.id as run_id, u.worker, n.tier, z.state, coalesce(z.reason, w.reason) as reason, coalesce(z.until, w.until) as until, z.tasks
    from (select r.lane, 'ready' as state, null::text as reason, null::timestamptz as until, count(*) as tasks
            from tidegate.ready r group by r.lane
          union all
          select s.lane, 'scheduled', 'its moment, or back-off', min(s.run_at), count(*) from tidegate.scheduled s group by s.lane
          union all
          select b.lane, 'blocked', case when b.needs > 0 then 'tasks that it needs' when b.follows is not null then 'the answer of an equal task' else 'its prompt to be rendered' end, null, count(*)
            from tidegate.blocked b group by b.lane, 3) z
    join tidegate.lanes n on n.lane = z.lane
    join tidegate.runs u on u.id = n.run_id
    left join tidegate.lane_waits w on w.lane = z.lane;

create or replace view tidegate.failures as
  select run_id, worker, error_class, count(*) as tasks, max(finished_at) as last_at, min(last_error) as example, (array_agg(id order by finished_at desc))[1] as example_task
    from tidegate.tasks where state = 'failed' group by run_id, worker, error_class;

-- Tokens and micro-dollars per day, run, tier and model. Calls whose outcome is unknown stand with their worst case, and are counted apart.
create or replace view tidegate.spend as
  select (c.started_at at time zone 'utc')::date as day, c.run_id, c.worker, c.tier, c.model,
         split_part(c.model, '/', 1) as provider,
         count(*) filter (where c.sent and c.lead) as calls,
         count(*) filter (where c.outcome = 'ok' and c.lead) as calls_ok,
         count(*) filter (where c.outcome = 'rate_limited' and c.lead) as calls_429,
         count(*) filter (where c.ended_at is null and c.sent and c.lead) as calls_unknown,
         coalesce(sum(c.input_tokens), 0)::bigint as input_tokens,
         coalesce(sum(c.output_tokens + coalesce(c.thought_tokens, 0)), 0)::bigint as output_tokens,
         coalesce(sum(case when not c.sent then 0 when c.ended_at is null then c.est_cost_microusd else coalesce(c.cost_microusd, 0) end), 0)::bigint as cost_microusd,
         coalesce(sum(case when c.sent and c.ended_at is null then c.est_cost_microusd when c.cost_estimated then c.cost_microusd else 0 end), 0)::bigint as cost_estimated_microusd
    from tidegate.calls c
   group by 1, 2, 3, 4, 5;

create or replace view tidegate.run_progress as
  select u.id as run_id, u.worker, u.state, u.source, u.created_at, u.loaded_at, u.finished_at,
         u.items_total, u.items_skipped, t.total, t.waiting, t.running, t.done, t.failed, t.cancelled,
         t.rate_per_second,
         case when u.state = 'active' and t.rate_per_second > 0
              then now() + make_interval(secs => (t.waiting + t.running) / t.rate_per_second) end as eta,
         coalesce(s.calls, 0) as calls, coalesce(s.calls_429, 0) as calls_429, coalesce(s.input_tokens, 0) as input_tokens,
         coalesce(s.output_tokens, 0) as output_tokens, coalesce(s.cost_microusd, 0) as cost_microusd,
         coalesce(s.cost_estimated_microusd, 0) as cost_estimated_microusd
    from tidegate.runs u
    cross join lateral (
      -- the kept counts: nothing here counts tasks
      select coalesce(sum(k.n), 0)::bigint as total,
             coalesce(sum(k.n) filter (where k.state in ('blocked', 'scheduled', 'ready')), 0)::bigint as waiting,
             coalesce(sum(k.n) filter (where k.state in ('running', 'in_batch')), 0)::bigint as running,
             coalesce(sum(k.n) filter (where k.state = 'done'), 0)::bigint as done,
             coalesce(sum(k.n) filter (where k.state = 'failed'), 0)::bigint as failed,
             coalesce(sum(k.n) filter (where k.state = 'cancelled'), 0)::bigint as cancelled,
             -- over the last minute, or since the run was loaded
             coalesce(sum(k.n) filter (where k.state in ('done', 'failed') and k.at > greatest(now() - interval '60 s', u.loaded_at)), 0)
               / greatest(1, extract(epoch from least(now() - u.loaded_at, interval '60 s')))::float8 as rate_per_second
        from tidegate.run_counts k where k.run_id = u.id) t
    left join lateral (
      select sum(p.calls)::bigint as calls, sum(p.calls_429)::bigint as calls_429, sum(p.input_tokens)::bigint as input_tokens,
             sum(p.output_tokens)::bigint as output_tokens, sum(p.cost_microusd)::bigint as cost_microusd,
             sum(p.cost_estimated_microusd)::bigint as cost_estimated_microusd
        from tidegate.spend p where p.run_id = u.id) s on true;

-- Tasks by run, tier and state, from the kept counts.
create or replace view tidegate.run_states as
  select c.run_id, c.tier, c.state, sum(c.n)::bigint as tasks
    from tidegate.run_counts c group by c.run_id, c.tier, c.state having sum(c.n) <> 0;

-- What an autoscaler needs: tasks that could start now (rate-limit room included), and what runs.
create or replace view tidegate.scaling as
  select z.worker,
         coalesce(sum(z.tasks) filter (where z.state in ('ready', 'scheduled')), 0)::bigint as waiting,
         coalesce(sum(z.tasks) filter (where z.state = 'running'), 0)::bigint as running,
         coalesce(sum(z.tasks) filter (where z.state = 'ready' and z.can_start), 0)::bigint as startable,
         max(z.oldest_seconds) as oldest_ready_seconds,
         -- they take no slot, but some process must look after their batches
         coalesce(sum(z.tasks) filter (where z.state = 'in_batch'), 0)::bigint as in_batch
    from (select u.worker, c.state, c.tasks,
                 -- some lane of the tier has an open model, or asks none and holds something
                 exists (select from tidegate.lanes n
                          where n.run_id = u.id and n.tier = c.tier and n.open
                            and (n.ladder = '{}' and exists (select from tidegate.segments s where s.lane = n.lane and s.open)
                                 or exists (select from tidegate.model_gates g where g.model_id = any (n.ladder) and g.closed_by is null))) as can_start,
                 -- the oldest waiting row's segment tells within seconds
                 (select extract(epoch from now() - min(s.created_at)) from tidegate.lanes n join tidegate.segments s on s.lane = n.lane and s.open
                   where n.run_id = u.id and n.tier = c.tier and c.state = 'ready')::float8 as oldest_seconds
            from tidegate.runs u
            join tidegate.run_states c on c.run_id = u.id and c.state in ('ready', 'scheduled', 'running', 'in_batch')
           where u.state = 'active') z
   group by z.worker;
