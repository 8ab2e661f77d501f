-- Batches at a provider's Batch API: tasks go from `ready` into a batch in one transaction with its intent, and each comes back once.

-- The most that an item may cost in a batch, in micro-dollars, rounded up; null: a price is not known.
create or replace function tidegate.batch_cost_v1(p_input int, p_output int, p_input_price bigint, p_output_price bigint, p_percent smallint) returns bigint
language sql immutable parallel safe as $$
  select ceil(tidegate.worst_cost_v1(p_input, p_input_price, p_output::numeric * p_output_price) * p_percent / 100.0)::bigint
$$;

-- What stands in the way of new batches of a model, as room: batches that may still be under way at once, and input tokens that may still
-- be enqueued. Entries of one scope share both, as they share limits. A batch that is being made counts.
create or replace function tidegate.batch_room_v1(p_model int) returns table (o_jobs bigint, o_tokens bigint) language sql stable as $$
  with of as (
    select m.wire_name, m.batch_tokens, p.quota_scope from tidegate.models m join tidegate.providers p on p.name = m.provider where m.model_id = p_model
  ), live as (
    select b.est_tokens, m.wire_name from tidegate.provider_batches b
      join tidegate.models m on m.model_id = b.model_id
      join tidegate.providers p on p.name = m.provider
     where b.state in ('intended', 'creating', 'submitted') and p.quota_scope = (select of.quota_scope from of)
  )
  select greatest(0, (select min(p.batch_jobs) from tidegate.providers p where p.quota_scope = of.quota_scope) - (select count(*) from live)),
         case when of.batch_tokens is null then 9223372036854775807
              else greatest(0, of.batch_tokens - (select coalesce(sum(l.est_tokens), 0) from live l where l.wire_name = of.wire_name)) end::bigint
    from of
$$;

-- Takes the tasks of a lane that come after the first p_skip into one batch, as many as it holds: the intent, their calls and what they may
-- cost are one commit. What is answered already, or is being asked by an equal task, goes out of the way. Returns how many tasks it took;
-- 0: there is nothing to take; -1: some went out of the way, there may be more; -2: there is no room for a batch, or no money.
create or replace function tidegate.form_batch_v1(
  p_process uuid, p_batch uuid, p_token text, p_lane int, p_model int, p_rung smallint, p_skip int, p_items int,
  p_rescue_at timestamptz, p_decision uuid, p_tasks uuid[] default null
) returns int language plpgsql as $$
#variable_conflict use_column
declare
  c_calls_per_model constant smallint := 4;  -- its twin is retry::CALLS_PER_MODEL
  v_now timestamptz;
  v_limits int[];
  v_jobs bigint;
  v_tokens bigint;
  v_money bigint;
  v_model tidegate.models;
  v_lane tidegate.lanes;
  v_run tidegate.runs;
  v_out int;
  v_shares boolean;
  v_tids tid[];
  v_ids uuid[];
  v_aside_tids tid[];
  v_aside_ids uuid[];
  v_hits boolean[];
  v_aside int := 0;
  v_n int;
begin
  if not exists (select from tidegate.processes p where p.id = p_process and p.lost_at is null and p.lease_until > clock_timestamp()) then
    raise exception 'process % holds no lease', p_process using errcode = 'TG001', hint = 'start again under a new process id';
  end if;
  select * into v_lane from tidegate.lanes n where n.lane = p_lane;
  select * into v_run from tidegate.runs u where u.id = v_lane.run_id and u.state = 'active';
  if not found then
    return 0;
  end if;
  select * into v_model from tidegate.models m where m.model_id = p_model;
  -- budgets, locked as a claim locks them; then one batch of a provider's account after the other
  select coalesce(array_agg(l.limit_id order by l.limit_id), '{}') into v_limits
    from tidegate.limits l where l.dimension = 'money' and (l.run_id = v_run.id or l.window_kind = 'day');
  perform 1 from tidegate.limits l where l.limit_id = any (v_limits) order by l.limit_id for no key update;
  v_shares := v_lane.cache_s is not null and not v_lane.interactive;
  if v_shares then
    -- equal tasks may wait in lanes of any provider: who comes second sees what is being asked
    perform pg_advisory_xact_lock(hashtext('tidegate.form_batch'), 0);
  end if;
  perform pg_advisory_xact_lock(hashtext('tidegate.form_batch'), hashtext(v_model.provider));
  v_now := clock_timestamp();
  if v_model.batch_rest_until > v_now then
    return -2;
  end if;
  select r.o_jobs, r.o_tokens into v_jobs, v_tokens from tidegate.batch_room_v1(p_model) r;
  select min(r.o_room) into v_money from tidegate.limit_room_v2(v_limits, now(), v_now, false) r;
  if v_jobs <= 0 or v_tokens <= 0 or v_money <= 0 or (v_money is not null and (v_model.input_price_microusd is null or v_model.output_price_microusd is null)) then
    return -2;
  end if;
  v_out := coalesce((select q.tokens from tidegate.output_quantiles q
                      where q.worker = v_run.worker and q.component = v_lane.component and q.model_id = p_model), v_lane.est_output);

  with front as materialized (
    -- sealed segments stand in order of priority, so no more is read of them than it takes; of unsealed ones there are few
    (select w.ctid as tid, w.id, w.priority, w.est_input
       from (select s.seg from tidegate.segments s where s.lane = p_lane and s.open and not s.sealed) s
      cross join lateral (
        select w.* , w.ctid from tidegate.ready w
         where w.lane = p_lane and w.seg = s.seg and (p_tasks is null or w.id = any (p_tasks))
           -- who has two deaths behind it, or has used up this model, is asked alone
           and w.rescues < 2 and coalesce(w.tries[p_rung], 0) < c_calls_per_model) w)
    union all
    (select w.ctid, w.id, w.priority, w.est_input
       from (select s.seg from tidegate.segments s where s.lane = p_lane and s.open and s.sealed order by s.top desc, s.seg) s
      cross join lateral (
        select w.*, w.ctid from tidegate.ready w
         where w.lane = p_lane and w.seg = s.seg and (p_tasks is null or w.id = any (p_tasks))
           and w.rescues < 2 and coalesce(w.tries[p_rung], 0) < c_calls_per_model
         order by w.priority desc, w.id) w
      limit p_skip + p_items)
  ), seen as materialized (
    select f.tid, f.id, f.est_input, t.cache_key, row_number() over (order by f.priority desc, f.id) as n
      from (select * from front order by priority desc, id offset p_skip limit p_items) f
      -- what is not worth starting any more ends where it is asked alone
      -- (a look-up a row: a join would read all tasks)
      cross join lateral (select t.cache_key from tidegate.tasks t where t.id = f.id and coalesce(t.expires_at > v_now, true) limit 1) t
  ), keyed as materialized (
    select s.*,
           v_shares and exists (
             select from tidegate.result_cache c where c.key = s.cache_key and c.created_at > v_now - make_interval(secs => v_lane.cache_s)) as hit,
           v_shares and s.cache_key is not null and (
             coalesce((select true from tidegate.running r where r.cache_key = s.cache_key limit 1), false)
             or coalesce((select true from tidegate.batch_items b where b.cache_key = s.cache_key and b.waits limit 1), false)
             or row_number() over (partition by s.cache_key order by s.n) > 1) as asked
      from seen s
  ), paid as materialized (
    -- of those that ask: as many as tokens and money let through, and one at least where its tokens alone are the bound
    select k.n, sum(k.est_input) over w as tokens, row_number() over w as nth,
           sum(tidegate.batch_cost_v1(k.est_input, coalesce(v_lane.max_output, v_out), v_model.input_price_microusd,
                                      v_model.output_price_microusd, v_model.batch_percent)) over w as cost
      from keyed k where not k.hit and not k.asked window w as (order by k.n)
  )
  select array_agg(k.tid order by k.n) filter (where p.n is not null), array_agg(k.id order by k.n) filter (where p.n is not null),
         array_agg(k.tid order by k.n) filter (where k.hit or k.asked), array_agg(k.id order by k.n) filter (where k.hit or k.asked),
         array_agg(k.hit order by k.n) filter (where k.hit or k.asked), count(*)
    into v_tids, v_ids, v_aside_tids, v_aside_ids, v_hits, v_n
    from keyed k
    left join paid p on p.n = k.n and (p.tokens <= v_tokens or (p.nth = 1 and v_tokens = v_model.batch_tokens)) and (v_money is null or p.cost <= v_money);
  if v_aside_ids is not null then
    v_aside := tidegate.put_aside_v1(v_aside_tids, v_aside_ids, v_hits, v_now);
  end if;
  if v_ids is null then
    return case when v_aside > 0 then -1 when v_n > 0 then -2 else 0 end;
  end if;

  insert into tidegate.provider_batches (id, token, run_id, worker, component, lane, model, model_id, provider, state, items, est_tokens,
                                         rescue_at, decision, created_at, next_at)
  values (p_batch, p_token, v_run.id, v_run.worker, v_lane.component, p_lane, v_model.model, p_model, v_model.provider, 'intended', 0, 0,
          p_rescue_at, p_decision, v_now, v_now);
  with locked as materialized (
    select w.ctid as tid from tidegate.ready w where w.ctid = any (v_tids) for update skip locked
  ), taken as (
    delete from tidegate.ready w where w.ctid = any (array(select l.tid from locked l)) returning w.*
  ), numbered as materialized (
    select t.*, g.n, tidegate.uuid_v7() as call_id, (random() * 9e18)::bigint as nonce
      from taken t join (select distinct on (z.id) z.* from unnest(v_ids) with ordinality z (id, n) order by z.id, z.n) g on g.id = t.id
  ), told as (
    update tidegate.tasks t
       set state = 'in_batch', attempts = k.attempts + 1, claims = t.claims + 1, epoch = k.epoch + 1, process_id = null, started_at = v_now, run_at = null
      from numbered k where t.id = k.id
    returning t.id, t.cache_key
  ), booked as (
    insert into tidegate.batch_items (batch_id, n, id, lane, priority, est_input, est_output, attempts, epoch, tries, rescues, spent_ms, nonce,
                                      process_id, model_id, rung, call_id, granted_at, cache_key)
    select p_batch, k.n, k.id, k.lane, k.priority, k.est_input, v_out, k.attempts + 1, k.epoch + 1, k.tries, k.rescues, k.spent_ms, k.nonce,
           p_process, p_model, p_rung, k.call_id, v_now, case when v_shares then t.cache_key end
      from numbered k join told t on t.id = k.id
  ), worth as materialized (
    select k.id, coalesce(tidegate.batch_cost_v1(k.est_input, coalesce(v_lane.max_output, v_out), v_model.input_price_microusd,
                                                 v_model.output_price_microusd, v_model.batch_percent), 0) as cost
      from numbered k
  ), intents as (
    insert into tidegate.calls (id, started_at, task_id, run_id, process_id, worker, component, tier, model, attempt, est_input_tokens,
                                est_output_tokens, est_cost_microusd, lead, batch_id)
    select k.call_id, v_now, k.id, v_run.id, p_process, v_run.worker, v_lane.component, v_lane.tier, v_model.model, k.attempts + 1, k.est_input,
           v_out, w.cost, false, p_batch
      from numbered k join worth w on w.id = k.id
  ), debited as (
    insert into tidegate.limit_book (limit_id, at, total, full_at)
    select l.limit_id, greatest(v_now, newest.at + interval '1 us'), coalesce(newest.total, 0) + x.used, greatest(coalesce(newest.full_at, v_now), v_now)
      from unnest(v_limits) l (limit_id)
      cross join (select sum(w.cost)::bigint as used from worth w) x
      left join lateral (select b.at, b.total, b.full_at from tidegate.limit_book b where b.limit_id = l.limit_id order by b.at desc limit 1) newest on true
     where x.used is not null
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select v_run.id, v_lane.tier, z.state, z.sign * (select count(*) from numbered)
      from (values ('ready', -1), ('in_batch', 1)) z (state, sign) where exists (select from numbered)
  ), event as (
    insert into tidegate.event_batches (kind, process_id, detail, task_ids)
    select 'submitted', p_process, p_batch::text, array_agg(k.id) from numbered k having count(*) > 0
  )
  select count(*)::int, coalesce(sum(k.est_input), 0)::bigint into v_n, v_tokens from numbered k;
  if v_n = 0 then
    delete from tidegate.provider_batches b where b.id = p_batch;
    return 0;
  end if;
  update tidegate.provider_batches b set items = v_n, est_tokens = v_tokens where b.id = p_batch;
  perform tidegate.close_segments_v1(array[p_lane]);
  return v_n;
end $$;
-- by their ids and places: 50,000 of a million tasks are no reason to read all of them while budgets are locked
alter function tidegate.form_batch_v1 set jit = off;
alter function tidegate.form_batch_v1 set enable_seqscan = off;
alter function tidegate.form_batch_v1 set work_mem = '64MB';

-- Divides a batch: its items after the place p_after go into a batch of their own, at once; null: its second half. Returns how many.
create or replace function tidegate.split_batch_v1(p_batch uuid, p_new uuid, p_token text, p_after int) returns int language plpgsql as $$
declare
  v_after int;
  v_n int;
begin
  perform 1 from tidegate.provider_batches b where b.id = p_batch for update;
  -- in the order in which all lock them
  perform 1 from tidegate.batch_items i where i.batch_id = p_batch order by i.id for update;
  v_after := coalesce(p_after, (select percentile_disc(0.5) within group (order by i.n) from tidegate.batch_items i where i.batch_id = p_batch));
  with moved as (
    update tidegate.batch_items i set batch_id = p_new where i.batch_id = p_batch and i.n > v_after
    returning i.id, i.est_input, i.call_id, i.granted_at
  ), told as (
    update tidegate.calls c set batch_id = p_new from moved m where c.id = m.call_id and c.started_at = m.granted_at
  ), born as (
    insert into tidegate.provider_batches (id, token, run_id, worker, component, lane, model, model_id, provider, embeds, state, items, est_tokens,
                                           rescue_at, decision, split_of)
    select p_new, p_token, b.run_id, b.worker, b.component, b.lane, b.model, b.model_id, b.provider, b.embeds, 'intended', z.n, z.tokens,
           b.rescue_at, b.decision, b.id
      from tidegate.provider_batches b, (select count(*)::int as n, coalesce(sum(m.est_input), 0) as tokens from moved m) z
     where b.id = p_batch and z.n > 0
    returning items
  )
  select coalesce(max(items), 0) into v_n from born;
  update tidegate.provider_batches b
     set items = b.items - v_n, est_tokens = (select coalesce(sum(i.est_input), 0) from tidegate.batch_items i where i.batch_id = p_batch)
   where b.id = p_batch;
  return v_n;
end $$;

-- The first of those that are due, for this process alone until p_for has passed; what a lost process owned is due. Null: none.
-- Of these workers only; null: of all.
create or replace function tidegate.own_batch_v2(p_process uuid, p_providers text[], p_workers text[], p_for interval) returns setof tidegate.provider_batches
language sql volatile as $$
  update tidegate.provider_batches b set owner = p_process, owned_until = clock_timestamp() + p_for
   where b.id = (
     select k.id from tidegate.provider_batches k
      where k.state <> 'over' and k.next_at <= now() and k.provider = any (p_providers) and (p_workers is null or k.worker = any (p_workers))
        and (k.owner is null or k.owned_until < now()
             or not exists (select from tidegate.processes p where p.id = k.owner and p.lost_at is null and p.stopped_at is null))
        and exists (select from tidegate.processes p where p.id = p_process and p.lost_at is null)
      order by k.next_at limit 1 for update skip locked)
  returning b.*
$$;

-- What of these came back: those that still wait in the batch go into the book of what runs, under the batch's own claim, so that they are
-- settled as all work in the same transaction. With p_take_over, an answer also wins over a single call that is under way for a task that
-- went on without its batch. Each leaves the batch, once. Returns those that were there.
create or replace function tidegate.from_batch_v1(p_process uuid, p_batch uuid, p_tasks uuid[], p_take_over boolean) returns setof uuid
language plpgsql as $$
#variable_conflict use_column
begin
  if p_take_over then
    -- first result wins: whoever asks singly finds its claim gone, and its cost is kept; its attempt ends here
    with theirs as materialized (
      select r.id, r.attempts, r.epoch, r.process_id, r.model_id, r.call_id, r.granted_at, t.generation,
             b.nonce as nonce_b, b.epoch as epoch_b, b.call_id as call_b, b.granted_at as granted_b, b.model_id as model_b, b.rung as rung_b
        from tidegate.batch_items b
        join tidegate.tasks t on t.id = b.id and b.epoch > t.epoch - t.claims
        join tidegate.running r on r.id = b.id
       where b.batch_id = p_batch and b.id = any (p_tasks) and not b.waits
       order by r.id for update of r
    ), closed as (
      insert into tidegate.task_attempts_closed (task_id, generation, attempt, epoch, process_id, model, call_id, outcome, charged, error_class, error, started_at)
      select k.id, k.generation, k.attempts, k.epoch, k.process_id, m.model, k.call_id, 'superseded', true, 'batch_first', 'its batch was back first', k.granted_at
        from theirs k join tidegate.models m on m.model_id = k.model_id
    )
    update tidegate.running r
       set nonce = k.nonce_b, epoch = k.epoch_b, call_id = k.call_b, granted_at = k.granted_b, process_id = p_process,
           deadline_at = clock_timestamp() + interval '1 min', cache_key = null, lead = false, model_id = k.model_b, rung = k.rung_b
      from theirs k where r.id = k.id;
  end if;
  return query
  with mine as (
    delete from tidegate.batch_items b where b.batch_id = p_batch and b.id = any (p_tasks) returning b.*
  ), home as (
    insert into tidegate.running (id, lane, priority, est_input, est_output, attempts, epoch, tries, rescues, spent_ms, nonce, process_id,
                                  model_id, rung, call_id, granted_at, deadline_at, lead)
    select m.id, m.lane, m.priority, m.est_input, m.est_output, m.attempts, m.epoch, m.tries, m.rescues, m.spent_ms, m.nonce, p_process,
           m.model_id, m.rung, m.call_id, m.granted_at, clock_timestamp() + interval '1 min', false
      from mine m where m.waits
    returning id
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select k.run_id, k.tier, z.state, z.sign * k.n
      from (select t.run_id, t.tier, count(*) as n from home h join tidegate.tasks t on t.id = h.id group by t.run_id, t.tier) k
      cross join lateral (values ('in_batch', -1), ('running', 1)) z (state, sign)
  )
  select m.id from mine m;
end $$;
alter function tidegate.from_batch_v1 set jit = off;

-- What is not back in time is asked one by one from now on; the batch goes on, and the first result wins. Returns how many tasks.
create or replace function tidegate.rescue_batches_v1(p_limit int) returns int language plpgsql as $$
#variable_conflict use_column
declare
  v_rows tidegate.ready[];
  v_ids uuid[];
  v_lanes int[];
begin
  with late as materialized (
    select b.id as batch_id from tidegate.provider_batches b
     where b.state in ('intended', 'creating', 'submitted') and b.rescue_at <= now()
       and exists (select from tidegate.batch_items i where i.batch_id = b.id and i.waits)
     order by b.rescue_at limit 10 for no key update skip locked
  ), due as materialized (
    select i.batch_id, i.id from tidegate.batch_items i
     where i.batch_id in (select l.batch_id from late l) and i.waits order by i.priority desc, i.id limit p_limit for update skip locked
  ), freed as (
    update tidegate.batch_items i set waits = false from due d where i.batch_id = d.batch_id and i.id = d.id returning i.*
  ), told as (
    update tidegate.tasks t
       set state = 'ready', attempts = f.attempts - 1, deferrals = t.deferrals + 1, error_class = 'batch_late',
           last_error = 'its batch was not back in time: asked alone'
      from freed f where t.id = f.id
    returning t.id, t.generation
  ), closed as (
    insert into tidegate.task_attempts_closed (task_id, generation, attempt, epoch, process_id, model, call_id, outcome, charged, error_class, error, started_at)
    select f.id, t.generation, f.attempts, f.epoch, f.process_id, m.model, f.call_id, 'released', false, 'batch_late', 'not back in time', f.granted_at
      from freed f join told t on t.id = f.id left join tidegate.models m on m.model_id = f.model_id
  ), noted as (
    update tidegate.provider_batches b set rescued = b.rescued + z.n
      from (select f.batch_id, count(*)::int as n from freed f group by f.batch_id) z where b.id = z.batch_id
  ), event as (
    insert into tidegate.event_batches (kind, detail, task_ids) select 'released', 'batch_late', array_agg(f.id) from freed f having count(*) > 0
  )
  select array_agg((f.lane, 0, f.priority, f.id, f.est_input, f.attempts - 1, f.epoch, f.tries, f.rescues, f.spent_ms)::tidegate.ready order by f.id),
         array_agg(f.id), array_agg(distinct f.lane)
    into v_rows, v_ids, v_lanes from freed f;
  if v_ids is null then
    return 0;
  end if;
  perform tidegate.make_ready_v2(v_rows);
  perform tidegate.count_moves_v1(v_ids, 'in_batch', 'ready');
  update tidegate.lanes n set singly = true, held = false where n.lane = any (v_lanes);
  perform tidegate.wake_v1('ready');
  return array_length(v_ids, 1);
end $$;

-- Gives back what still waits in a batch that nothing was sent of, uncharged, a part at a time, with what was reserved for it and for what
-- went on without it. Returns how many.
create or replace function tidegate.give_back_batch_v1(p_process uuid, p_batch uuid, p_limit int, p_class text, p_words text) returns int language plpgsql as $$
declare
  v_ids uuid[];
  v_meta jsonb;
begin
  select array_agg(i.id), jsonb_agg(jsonb_build_object(
           'task', i.id, 'nonce', i.nonce, 'epoch', i.epoch, 'call_id', i.call_id, 'granted_at', i.granted_at, 'fate', 'release', 'delay_ms', 0,
           'exhaust_rung', false, 'error_class', p_class, 'error', p_words, 'sent', false))
    into v_ids, v_meta
    from (select * from tidegate.batch_items k where k.batch_id = p_batch order by k.id limit p_limit for update) i;
  if v_ids is null then
    return 0;
  end if;
  perform tidegate.from_batch_v1(p_process, p_batch, v_ids, false);
  perform tidegate.settle_open_v1(p_process, v_meta);
  return array_length(v_ids, 1);
end $$;

-- Items of a batch that still wait, p_most in order after a place; or with p_tasks those of these tasks, waiting or not.
create or replace function tidegate.batch_items_of_v1(p_batch uuid, p_after int, p_most bigint, p_tasks uuid[]) returns setof tidegate.batch_items
language plpgsql stable rows 500 as $$
begin
  if p_tasks is null then
    return query select i.* from tidegate.batch_items i where i.batch_id = p_batch and i.n > p_after and i.waits order by i.n limit p_most;
  else
    return query select i.* from tidegate.batch_items i where i.batch_id = p_batch and i.id = any (p_tasks);
  end if;
end $$;

-- What a batch owes to tasks that went on without it, and did not bring: their calls end as lost. p_billed: it may have been paid for, so
-- what it may have cost stays, flagged; else nothing of it was done. Returns how many.
create or replace function tidegate.forget_unheard_v1(p_batch uuid, p_billed boolean, p_limit int) returns int language plpgsql as $$
#variable_conflict use_column
declare
  v_n int;
begin
  with due as materialized (
    select i.id from tidegate.batch_items i where i.batch_id = p_batch and not i.waits order by i.id limit p_limit for update
  ), gone as (
    delete from tidegate.batch_items i using due d where i.batch_id = p_batch and i.id = d.id returning i.call_id, i.granted_at
  ), told as (
    update tidegate.calls c
       set ended_at = clock_timestamp(), outcome = 'lost', error = 'its batch ended without a line for it',
           cost_microusd = case when p_billed then c.est_cost_microusd else 0 end, cost_estimated = p_billed
      from gone g where c.id = g.call_id and c.started_at = g.granted_at and c.ended_at is null
    returning c.run_id, c.started_at, c.est_cost_microusd
  ), refunded as (
    insert into tidegate.limit_settlements (limit_id, at, delta)
    select l.limit_id, t.started_at, -sum(t.est_cost_microusd)
      from told t join tidegate.limits l on l.dimension = 'money' and (l.run_id = t.run_id or l.window_kind = 'day')
     where not p_billed group by l.limit_id, t.started_at having sum(t.est_cost_microusd) <> 0
  )
  select count(*) into v_n from gone;
  return v_n;
end $$;

-- A batch nothing of which is wanted any more: all its tasks have ended, or left it and ended.
create or replace function tidegate.is_batch_unwanted_v1(p_batch uuid) returns boolean language sql stable as $$
  select not exists (select from tidegate.batch_items i join tidegate.tasks t on t.id = i.id
                      where i.batch_id = p_batch and t.state in ('blocked', 'scheduled', 'ready', 'running', 'in_batch'))
     -- one that was made to see how long batches take is let to its end
     and not exists (select from tidegate.provider_batches b join tidegate.strategy_decisions d on d.id = b.decision
                      where b.id = p_batch and d.facts #>> '{choice,reason,why}' = 'explores' and d.facts #>> '{choice,reason,side}' = 'batch')
$$;

-- Lanes in which nothing waits any more: what comes next waits for a choice again.
create or replace function tidegate.hold_again_v1() returns int language sql volatile as $$
  with idle as materialized (
    select n.lane from tidegate.lanes n
      join tidegate.runs u on u.id = n.run_id and u.strategy <> 'individual' and u.state = 'active'
     where n.open and not n.held and n.ladder <> '{}' and not n.interactive and n.decided_at is not null
       and not exists (select from tidegate.ready r where r.lane = n.lane)
     for update of n skip locked
  ), held as (
    update tidegate.lanes n set held = true, singly = false from idle where n.lane = idle.lane returning 1
  )
  select count(*)::int from held
$$;

-- How long calls and batches of models took lately: quantiles of the last 50 calls and the last 5 batches of each model that is
-- asked by more than one way; of these, what is older than the ten choices before the newest says nothing any more (plan::STALE, and the
-- laws beside it). Batches count from their intent to their end.
create or replace function tidegate.learn_latencies_v1() returns void language sql volatile as $$
  with asked as materialized (
    select distinct m.model_id, m.model from tidegate.runs u
      join tidegate.lanes n on n.run_id = u.id
      cross join lateral unnest(n.ladder) z (model_id)
      join tidegate.models m on m.model_id = z.model_id
     -- lists that somebody waits for are asked either way (28_lists.sql)
     where (u.strategy <> 'individual' or n.interactive) and (u.state = 'active' or u.finished_at > now() - interval '10 min')
  ), seen as (
    select a.model_id, 'individual' as how, c.latency_ms::bigint as ms, c.ended_at as at, a.model from asked a
      cross join lateral (
        select c.latency_ms, c.ended_at from tidegate.calls c
         where c.model = a.model and c.outcome = 'ok' and c.lead and c.batch_id is null and c.started_at > now() - interval '1 day'
         order by c.started_at desc limit 50) c
    union all
    select a.model_id, 'batch', (extract(epoch from b.ended_at - b.created_at) * 1000)::bigint, b.ended_at, a.model from asked a
      cross join lateral (
        select b.ended_at, b.created_at from tidegate.provider_batches b
         where b.model_id = a.model_id and b.ended_at is not null and b.outcome = 'succeeded'
         order by b.ended_at desc limit 5) b
  ), newest as (
    select s.model_id, s.how, s.model, max(s.at) as at from seen s group by 1, 2, 3
  ), taken as (
    select s.* from seen s join newest n on n.model_id = s.model_id and n.how = s.how
     where s.at >= coalesce((select d.at from tidegate.strategy_decisions d where d.model = n.model and d.at <= n.at
                              order by d.at desc offset 10 limit 1), '-infinity')
  )
  insert into tidegate.latencies as l (model_id, how, p50_ms, p90_ms, samples, newest_at)
  select t.model_id, t.how, percentile_disc(0.5) within group (order by t.ms), percentile_disc(0.9) within group (order by t.ms), count(*), max(t.at)
    from taken t group by t.model_id, t.how
  on conflict (model_id, how) do update
     set p50_ms = excluded.p50_ms, p90_ms = excluded.p90_ms, samples = excluded.samples, newest_at = excluded.newest_at, at = clock_timestamp()
   where l.newest_at <> excluded.newest_at
$$;

-- A choice, written down. p_release: tasks of the lane are claimed one by one from now on. False: somebody else chose meanwhile.
create or replace function tidegate.decide_v1(
  p_lane int, p_was timestamptz, p_release boolean, p_decision uuid, p_model text, p_items int, p_strategy text, p_singles int, p_reason text, p_facts jsonb
) returns boolean language plpgsql as $$
begin
  update tidegate.lanes n set held = not p_release, decided_at = clock_timestamp(), decided_items = p_items
   where n.lane = p_lane and n.decided_at is not distinct from p_was;
  if not found then
    return false;
  end if;
  insert into tidegate.strategy_decisions (id, run_id, worker, component, model, items, mode, purpose, strategy, singles, reason, facts)
  select p_decision, u.id, u.worker, n.component, p_model, p_items, u.strategy, u.purpose, p_strategy, p_singles, p_reason, p_facts
    from tidegate.lanes n join tidegate.runs u on u.id = n.run_id where n.lane = p_lane;
  if p_release then
    perform tidegate.wake_v1('ready');
  end if;
  return true;
end $$;
