-- What became of claimed tasks, written down once. A row still in `running` under the same nonce and epoch is the fence: whoever
-- finds none has lost the lease, which is a normal answer, not an error.

-- Calls of these models, granted at these moments, were answered: the gate of a cooldown that ended before opens step by step.
create or replace function tidegate.prove_v1(p_models text[], p_granted_at timestamptz[]) returns void language sql volatile as $$
  update tidegate.model_cooldowns c set proven_at = clock_timestamp()
    from (select p.quota_scope, m.wire_name, max(g.at) as at
            from unnest(p_models, p_granted_at) g (model, at)
            join tidegate.models m on m.model = g.model
            join tidegate.providers p on p.name = m.provider
           group by 1, 2) z
   where c.quota_scope = z.quota_scope and c.wire_name = z.wire_name
     and c.proven_at is null and c.until <= now() and z.at >= c.until
$$;

-- Answers. `p_meta` is a json array in the order of `p_answers` (which is text, since jsonb refuses U+0000).
-- Fate: done; salvaged (the lease was lost, but the task waited again: a late paid answer completes it);
-- superseded (somebody else ended it: only the cost is kept).
create or replace function tidegate.settle_done_v1(p_process uuid, p_meta jsonb, p_answers text[])
returns table (o_task uuid, o_fate text) language plpgsql as $$
#variable_conflict use_column
declare
  v_keys bytea[];
begin
  return query
  with given as materialized (
    select m.*
      from rows from (
             jsonb_to_recordset(p_meta) as (
               task uuid, nonce bigint, epoch int, attempt int, lane int, priority float8, model text, model_id int, call_id uuid, granted_at timestamptz,
               input_tokens bigint, cached_tokens bigint, output_tokens bigint, thought_tokens bigint, cost_microusd bigint,
               cost_estimated boolean, latency_ms int, model_version text, response_id text, leads boolean),
             unnest(p_answers)) with ordinality as m (
               task, nonce, epoch, attempt, lane, priority, model, model_id, call_id, granted_at,
               input_tokens, cached_tokens, output_tokens, thought_tokens, cost_microusd,
               cost_estimated, latency_ms, model_version, response_id, leads, answer, n)
  ), fenced as (
    delete from tidegate.running r using given g
     where r.id = g.task and r.nonce = g.nonce and r.epoch = g.epoch
    returning r.id, g.n
  ), late as materialized (
    -- claims of a payload that was replaced since complete nothing; its lane as it is now: it may have been retiered while it waited
    select g.*, k.lane as lane_now, g.epoch > k.epoch - k.claims as fits
      from given g left join tidegate.tasks k on k.id = g.task where not exists (select from fenced f where f.n = g.n)
  ), from_ready as (
    delete from tidegate.ready w using late g
     where g.fits and w.lane = g.lane_now and w.priority = g.priority and w.id = g.task
       and w.seg in (select s.seg from tidegate.segments s where s.lane = g.lane_now and s.open)
    returning w.id, g.n
  ), from_scheduled as (
    delete from tidegate.scheduled s using late g where g.fits and s.id = g.task returning s.id, g.n
  ), from_followers as (
    -- it waits for the answer of an equal task, and here is its own
    delete from tidegate.blocked b using late g where g.fits and b.id = g.task and b.follows is not null returning b.id, g.n
  ), fates as materialized (
    select f.id, f.n, 'done' as fate, 'running' as was from fenced f
    union all select id, n, 'salvaged', 'ready' from from_ready
    union all select id, n, 'salvaged', 'scheduled' from from_scheduled
    union all select id, n, 'salvaged', 'blocked' from from_followers
  ), told as (
    update tidegate.tasks t
       set state = 'done', finished_at = clock_timestamp(), model_used = g.model, error_class = null, last_error = null, run_at = null,
           epoch = case when f.fate = 'salvaged' then t.epoch + 1 else t.epoch end,
           spent_ms = t.spent_ms + coalesce(g.latency_ms, 0)
      from fates f join given g on g.n = f.n
     where t.id = f.id
    returning t.id, t.generation, t.run_id, t.tier, t.worker, t.component, t.item_id, f.was, t.cache_key, t.lane, f.n
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select k.run_id, k.tier, z.state, z.sign * k.n
      from (select t.run_id, t.tier, t.was, count(*) as n from told t group by t.run_id, t.tier, t.was) k
      cross join lateral (values (k.was, -1), ('done', 1)) z (state, sign)
  ), results as (
    insert into tidegate.task_results (task_id, generation, run_id, answer, model, model_version, attempt, epoch, process_id, call_id, started_at, salvaged)
    select t.id, t.generation, t.run_id, g.answer, g.model, g.model_version, g.attempt, g.epoch, p_process, g.call_id, g.granted_at, f.fate = 'salvaged'
      from told t join fates f on f.id = t.id join given g on g.n = f.n
  ), keys as (
    delete from tidegate.open_keys k using told t
     where k.worker = t.worker and k.component = t.component and k.item_id = t.item_id and k.task_id = t.id
  ), keepable as materialized (
    -- in one order, so that two batches never wait for each other in a circle
    select distinct on (t.cache_key) t.cache_key as key, g.answer, octet_length(g.answer) as bytes, t.worker, t.component, n.cache_version, n.prompt_hash,
           g.model, g.model_version, g.input_tokens, g.output_tokens + g.thought_tokens as output_tokens, g.cost_microusd, t.id, o.bytes as bytes_before
      from told t
      join given g on g.n = t.n
      join tidegate.lanes n on n.lane = t.lane and n.cache_s is not null
      left join tidegate.result_cache o on o.key = t.cache_key
     where t.cache_key is not null
     order by t.cache_key, t.n
  ), kept as (
    insert into tidegate.result_cache as c (key, answer, bytes, worker, component, version, prompt_hash, model, model_version, input_tokens, output_tokens, cost_microusd, task_id)
    select k.key, k.answer, k.bytes, k.worker, k.component, k.cache_version, k.prompt_hash, k.model, k.model_version, k.input_tokens, k.output_tokens, k.cost_microusd, k.id
      from keepable k order by k.key
    on conflict (key) do update
       set answer = excluded.answer, bytes = excluded.bytes, worker = excluded.worker, component = excluded.component, version = excluded.version,
           prompt_hash = excluded.prompt_hash, model = excluded.model, model_version = excluded.model_version, input_tokens = excluded.input_tokens,
           output_tokens = excluded.output_tokens, cost_microusd = excluded.cost_microusd, task_id = excluded.task_id,
           created_at = clock_timestamp(), used_at = clock_timestamp()
  ), cache_counted as (
    insert into tidegate.cache_uses (worker, misses, entries, bytes)
    select k.worker, count(*), count(*) filter (where k.bytes_before is null), sum(k.bytes - coalesce(k.bytes_before, 0)) from keepable k group by k.worker
  ), untorn as (
    delete from tidegate.pack_most z using told t where z.task_id = t.id
  ), ledger as (
    update tidegate.calls c
       set ended_at = clock_timestamp(), outcome = case when exists (select from fates f where f.n = g.n) then 'ok' else 'superseded' end,
           input_tokens = g.input_tokens, cached_tokens = g.cached_tokens, output_tokens = g.output_tokens, thought_tokens = g.thought_tokens,
           cost_microusd = g.cost_microusd, cost_estimated = g.cost_estimated, latency_ms = g.latency_ms,
           model_version = g.model_version, response_id = g.response_id, lead = coalesce(g.leads, c.lead)
      from given g
     -- a call is closed once: an answer handed in twice (its commit's reply was lost) does not change its row
     where c.id = g.call_id and c.started_at = g.granted_at
       and (c.ended_at is null or (c.outcome = 'superseded' and exists (select from fates f where f.n = g.n)))
  ), corrected as (
    -- what was used more or less than reserved, at the moment of the grant: it leaves a window with its call
    insert into tidegate.limit_settlements (limit_id, at, delta)
    select z.limit_id, z.at, sum(z.delta)
      from (select l.limit_id, g.granted_at as at,
                   case l.dimension
                     when 'input_tokens' then g.input_tokens - c.est_input_tokens
                     when 'output_tokens' then g.output_tokens + g.thought_tokens - coalesce(c.est_output_tokens, n.est_output)
                     -- as the claim reserved it: a provider that counts both charges the longest answer at first, and gives nothing of it back
                     else greatest(g.input_tokens + g.output_tokens + g.thought_tokens, n.max_output)
                          - greatest(c.est_input_tokens::bigint + coalesce(c.est_output_tokens, n.est_output), n.max_output) end as delta
              from given g
              join tidegate.calls c on c.id = g.call_id and c.started_at = g.granted_at and c.ended_at is null
              join tidegate.lanes n on n.lane = g.lane
              join tidegate.model_limits ml on ml.model_id = g.model_id
              join tidegate.limits l on l.limit_id = ml.limit_id and l.dimension in ('input_tokens', 'output_tokens', 'total_tokens')
             where g.input_tokens is not null and c.batch_id is null  -- batches have limits of their own
            union all
            -- a cost that is only estimated stays reserved as it was
            select l.limit_id, g.granted_at, g.cost_microusd - c.est_cost_microusd
              from given g
              join tidegate.calls c on c.id = g.call_id and c.started_at = g.granted_at and c.ended_at is null
              join lateral (
                select z.limit_id from tidegate.limits z where z.run_id = c.run_id
                union all
                select z.limit_id from tidegate.limits z where z.dimension = 'money' and z.window_kind = 'day') l on true
             where g.cost_microusd is not null and not coalesce(g.cost_estimated, false)) z
     group by z.limit_id, z.at having sum(z.delta) <> 0
  ), event as (
    insert into tidegate.event_batches (kind, process_id, task_ids)
    select f.fate, p_process, array_agg(f.id) from fates f group by f.fate
  )
  select g.task, coalesce(f.fate, 'superseded') from given g left join fates f on f.n = g.n order by g.n;
  if exists (select from tidegate.blocked b where b.follows is not null) then
    select array_agg(t.cache_key) into v_keys from jsonb_array_elements(p_meta) m join tidegate.tasks t on t.id = (m ->> 'task')::uuid where t.cache_key is not null;
    perform tidegate.free_followers_v1(v_keys);
  end if;
  if exists (select from tidegate.needs) then
    perform tidegate.mark_needs_v1(array(select (m ->> 'task')::uuid from jsonb_array_elements(p_meta) m));
  end if;
  if exists (select from tidegate.model_cooldowns c where c.proven_at is null and c.until <= now()) then
    -- what came back in a provider batch says nothing of how its model bears calls
    perform tidegate.prove_v1(array_agg(c.model), array_agg(c.started_at))
       from jsonb_to_recordset(p_meta) as g (call_id uuid, granted_at timestamptz)
       join tidegate.calls c on c.id = g.call_id and c.started_at = g.granted_at and c.batch_id is null;
  end if;
end $$;

-- The user's sink refused these answers (within the same transaction): the answers stay, the tasks fail with class `sink`,
-- and `retry` applies them again without a call.
create or replace function tidegate.settle_sink_failed_v1(p_process uuid, p_tasks uuid[], p_error text) returns void
language sql volatile as $$
  with told as (
    update tidegate.tasks t set state = 'failed', error_class = 'sink', last_error = p_error
     where t.id = any (p_tasks) and t.state = 'done'
    returning t.id, t.run_id, t.tier
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select k.run_id, k.tier, z.state, z.sign from told k cross join lateral (values ('done', -1), ('failed', 1)) z (state, sign)
  ), booked as (
    insert into tidegate.failed (id, run_id, error_class) select id, run_id, 'sink' from told
    on conflict (id) do update set error_class = excluded.error_class, failed_at = excluded.failed_at
  )
  insert into tidegate.event_batches (kind, process_id, detail, task_ids)
  select 'failed', p_process, 'sink', array_agg(id) from told having count(*) > 0
$$;

-- Attempts that brought no answer. Fate: release (back to ready, uncharged), reschedule (after delay_ms, charged), fail,
-- expire (not worth starting any more: cancelled, uncharged).
-- exhaust_rung: this model is asked no more for this task. leads (here and among answers): it stands for its pack's call though it was
-- not claimed so, or does not though it was (it was not asked); null: as it was claimed. Returns the tasks whose lease still held.
create or replace function tidegate.settle_open_v1(p_process uuid, p_meta jsonb) returns setof uuid language plpgsql as $$
#variable_conflict use_column
declare
  v_back record;
begin
  for v_back in
    with given as materialized (
      select * from jsonb_to_recordset(p_meta) as g (
        task uuid, nonce bigint, epoch int, call_id uuid, granted_at timestamptz, fate text, delay_ms bigint, exhaust_rung boolean,
        error_class text, error text, sent boolean, http_status smallint, input_tokens bigint, cached_tokens bigint,
        output_tokens bigint, thought_tokens bigint, cost_microusd bigint, cost_estimated boolean, latency_ms int, pack_most smallint, leads boolean)
    ), torn as (
      insert into tidegate.pack_most as z (task_id, most) select g.task, g.pack_most from given g where g.pack_most is not null order by g.task
      on conflict (task_id) do update set most = least(z.most, excluded.most)
    ), ledger as (
      update tidegate.calls c
         set ended_at = clock_timestamp(), outcome = g.error_class, sent = g.sent, http_status = g.http_status, error = g.error,
             input_tokens = g.input_tokens, cached_tokens = g.cached_tokens, output_tokens = g.output_tokens, thought_tokens = g.thought_tokens,
             cost_microusd = g.cost_microusd, cost_estimated = g.cost_estimated, latency_ms = g.latency_ms, lead = coalesce(g.leads, c.lead)
        from given g where c.id = g.call_id and c.started_at = g.granted_at and c.ended_at is null
    ), corrected as (
      -- what certainly never left uses nothing, but the request of a pack that left without it; what was counted uses what was counted; else the reservation stays
      insert into tidegate.limit_settlements (limit_id, at, delta)
      select z.limit_id, z.at, sum(z.delta)
        from (select l.limit_id, g.granted_at as at,
                     case when not g.sent then -case l.dimension when 'requests' then case when g.leads is null then c.lead::int else 0 end
                                                                 when 'input_tokens' then c.est_input_tokens
                                                                 when 'output_tokens' then coalesce(c.est_output_tokens, n.est_output)
                                                                 else greatest(c.est_input_tokens::bigint + coalesce(c.est_output_tokens, n.est_output), n.max_output) end
                          else case l.dimension when 'requests' then 0
                                                when 'input_tokens' then g.input_tokens - c.est_input_tokens
                                                when 'output_tokens' then g.output_tokens + g.thought_tokens - coalesce(c.est_output_tokens, n.est_output)
                                                else greatest(g.input_tokens + g.output_tokens + g.thought_tokens, n.max_output)
                                                     - greatest(c.est_input_tokens::bigint + coalesce(c.est_output_tokens, n.est_output), n.max_output) end end as delta
                from given g
                join tidegate.calls c on c.id = g.call_id and c.started_at = g.granted_at and c.ended_at is null
                join tidegate.models m on m.model = c.model
                join tidegate.tasks t on t.id = c.task_id
                join tidegate.lanes n on n.lane = t.lane
                join tidegate.model_limits ml on ml.model_id = m.model_id
                join tidegate.limits l on l.limit_id = ml.limit_id and l.dimension <> 'concurrency'
               where (not g.sent or g.input_tokens is not null) and c.batch_id is null
              union all
              select l.limit_id, g.granted_at, coalesce(g.cost_microusd, 0) - c.est_cost_microusd
                from given g
                join tidegate.calls c on c.id = g.call_id and c.started_at = g.granted_at and c.ended_at is null
                join lateral (
                select z.limit_id from tidegate.limits z where z.run_id = c.run_id
                union all
                select z.limit_id from tidegate.limits z where z.dimension = 'money' and z.window_kind = 'day') l on true
               where not g.sent or (g.cost_microusd is not null and not coalesce(g.cost_estimated, false))) z
       group by z.limit_id, z.at having sum(z.delta) <> 0
    ), fenced as (
      delete from tidegate.running r using given g
       where r.id = g.task and r.nonce = g.nonce and r.epoch = g.epoch
      returning r.*
    ), moved as materialized (
      select r.id, r.lane, r.priority, r.est_input, r.epoch, r.rescues, r.process_id, r.model_id, r.call_id, r.granted_at, r.attempts as attempt,
             g.fate, g.delay_ms, g.error_class, g.error,
             r.attempts - case when g.fate in ('release', 'expire') then 1 else 0 end as attempts,
             r.spent_ms + coalesce(g.latency_ms, 0) + case when g.fate = 'reschedule' then g.delay_ms else 0 end as spent_ms,
             (select array_agg((case when i = r.rung and g.exhaust_rung then 4
                                     when i = r.rung and g.fate not in ('release', 'expire') then coalesce(r.tries[i], 0) + 1
                                     else coalesce(r.tries[i], 0) end)::smallint order by i)
                from generate_series(1, greatest(r.rung, coalesce(array_length(r.tries, 1), 0))) i) as tries
        from fenced r join given g on g.task = r.id and g.nonce = r.nonce and g.epoch = r.epoch
    ), told as (
      update tidegate.tasks t
         set state = case m.fate when 'release' then 'ready' when 'reschedule' then 'scheduled' when 'expire' then 'cancelled' else 'failed' end,
             attempts = m.attempts, tries = m.tries, spent_ms = m.spent_ms, process_id = null,
             deferrals = t.deferrals + case when m.fate = 'release' then 1 else 0 end,
             run_at = case when m.fate = 'reschedule' then clock_timestamp() + make_interval(secs => m.delay_ms / 1000.0) end,
             finished_at = case when m.fate in ('fail', 'expire') then clock_timestamp() end,
             error_class = m.error_class, last_error = m.error
        from moved m where t.id = m.id
      returning t.id, t.run_id, t.tier, t.worker, t.component, t.item_id, t.generation, t.run_at, t.state
    ), counted as (
      insert into tidegate.run_counts (run_id, tier, state, n)
      select k.run_id, k.tier, z.state, z.sign * k.n
        from (select t.run_id, t.tier, t.state, count(*) as n from told t group by t.run_id, t.tier, t.state) k
        cross join lateral (values ('running', -1), (k.state, 1)) z (state, sign)
    ), closed as (
      insert into tidegate.task_attempts_closed (task_id, generation, attempt, epoch, process_id, model, call_id, outcome, charged, error_class, error, started_at)
      select m.id, t.generation, m.attempt, m.epoch, m.process_id, d.model, m.call_id,
             case m.fate when 'release' then 'released' when 'expire' then 'cancelled' else 'failed' end, m.fate not in ('release', 'expire'), m.error_class, m.error, m.granted_at
        from moved m join told t on t.id = m.id left join tidegate.models d on d.model_id = m.model_id
    ), later as (
      insert into tidegate.scheduled (id, run_at, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms)
      select m.id, t.run_at, m.lane, m.priority, m.est_input, m.attempts, m.epoch, m.tries, m.rescues, m.spent_ms
        from moved m join told t on t.id = m.id where m.fate = 'reschedule'
    ), ended as (
      insert into tidegate.failed (id, run_id, error_class)
      select t.id, t.run_id, m.error_class from moved m join told t on t.id = m.id where m.fate = 'fail'
    ), keys as (
      delete from tidegate.open_keys k using told t
       where t.state in ('failed', 'cancelled') and k.worker = t.worker and k.component = t.component and k.item_id = t.item_id and k.task_id = t.id
    ), event as (
      insert into tidegate.event_batches (kind, process_id, detail, task_ids)
      select case m.fate when 'release' then 'released' when 'reschedule' then 'rescheduled' when 'expire' then 'cancelled' else 'failed' end, p_process, m.error_class, array_agg(m.id)
        from moved m group by m.fate, m.error_class
    )
    select array_agg(m.id order by m.id) as ids_all,
           array_agg((m.lane, 0, m.priority, m.id, m.est_input, m.attempts, m.epoch, m.tries, m.rescues, m.spent_ms)::tidegate.ready order by m.id)
             filter (where m.fate = 'release') as rows_,
           bool_or(m.fate in ('fail', 'expire')) as some_ended
      from moved m
  loop
    if v_back.rows_ is not null then
      perform tidegate.make_ready_v2(v_back.rows_);
    end if;
    if v_back.some_ended then
      perform tidegate.mark_needs_v1(v_back.ids_all);
    end if;
    if exists (select from tidegate.model_cooldowns c where c.proven_at is null and c.until <= now()) then
      -- an answer that does not do, or a refusal of what was asked, is a sign of life too
      perform tidegate.prove_v1(array_agg(c.model), array_agg(c.started_at))
         from jsonb_to_recordset(p_meta) as g (call_id uuid, granted_at timestamptz, sent boolean, http_status smallint)
         join tidegate.calls c on c.id = g.call_id and c.started_at = g.granted_at and c.batch_id is null
        where g.sent and (g.http_status = 200 or g.http_status between 400 and 428);
    end if;
    if exists (select from tidegate.blocked b where b.follows is not null) then
      perform tidegate.free_followers_v1(array(select t.cache_key from tidegate.tasks t where t.id = any (v_back.ids_all) and t.cache_key is not null));
    end if;
    return query select unnest(v_back.ids_all);
  end loop;
end $$;

-- The sink took these kept answers after all: failed by their sink becomes done, in the next generation, without a call.
create or replace function tidegate.sink_applied_v1(p_tasks uuid[]) returns void language sql volatile as $$
  with told as (
    update tidegate.tasks t
       set state = 'done', generation = t.generation + 1, error_class = null, last_error = null, finished_at = clock_timestamp()
     where t.id = any (p_tasks) and t.state = 'failed' and t.error_class = 'sink'
    returning t.id, t.generation, t.run_id, t.tier
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select k.run_id, k.tier, z.state, z.sign from told k cross join lateral (values ('failed', -1), ('done', 1)) z (state, sign)
  ), results as (
    update tidegate.task_results r set generation = told.generation
      from told where r.task_id = told.id and r.generation = told.generation - 1
  ), unbooked as (
    delete from tidegate.failed f using told where f.id = told.id
  )
  insert into tidegate.event_batches (kind, detail, task_ids) select 'done', 'sink applied again', array_agg(id) from told having count(*) > 0
$$;
-- by their ids, whatever the statistics say: read from front to back, the running book costs as much as its dead rows
alter function tidegate.settle_done_v1 set plan_cache_mode = force_generic_plan;
alter function tidegate.settle_done_v1 set jit = off;
alter function tidegate.settle_done_v1 set enable_seqscan = off;
alter function tidegate.settle_done_v1 set enable_mergejoin = off;
alter function tidegate.settle_open_v1 set plan_cache_mode = force_generic_plan;
alter function tidegate.settle_open_v1 set jit = off;
alter function tidegate.settle_open_v1 set enable_seqscan = off;
alter function tidegate.settle_open_v1 set enable_mergejoin = off;
