-- What people and other programs do by hand: callable from any language, in the caller's own transaction.

-- Wakes idle processes: `ready` (something may be claimed) or `care` (something is to be rendered or looked at). One
-- notification a transaction, however many tasks. Where so many transactions enqueue that the notifications' lock slows
-- their commits: `set tidegate.notify = off` (session, role or database); then the polls find what there is.
create or replace function tidegate.wake_v1(p_what text) returns void language sql volatile as $$
  select pg_notify('tidegate', p_what) where coalesce(current_setting('tidegate.notify', true), 'on') <> 'off'
$$;

-- Ends tasks that have not ended: those that wait, and with p_running those that run. A call in flight is not cut off; its
-- answer is dropped and its cost kept. Returns how many.
-- The books first, then `tasks`, as everyone does. A row may move from one book to another meanwhile: those are looked for again.
create or replace function tidegate.cancel_v1(p_tasks uuid[], p_running boolean, p_class text, p_words text) returns int language plpgsql as $$
declare
  v_left uuid[] := p_tasks;
  v_gone uuid[];
  v_was text[];
  v_n int := 0;
  v_turn int;
begin
  for v_turn in 1..5 loop
    -- in one order, so that two bulk acts never wait for each other in a circle: a delete by join locks in the plan's order
    perform 1 from tidegate.blocked b where b.id = any (v_left) order by b.id for update;
    perform 1 from tidegate.scheduled s where s.id = any (v_left) order by s.id for update;
    if p_running then
      perform 1 from tidegate.running r where r.id = any (v_left) order by r.id for update;
      perform 1 from tidegate.batch_items i where i.id = any (v_left) and i.waits order by i.id for update;
    end if;
    with open_ as materialized (
      select t.id, t.lane, t.priority, t.generation from tidegate.tasks t
       where t.id = any (v_left) and (t.state in ('blocked', 'scheduled', 'ready') or (p_running and t.state in ('running', 'in_batch')))
    ), from_blocked as (
      delete from tidegate.blocked b using open_ o where b.id = o.id returning b.id
    ), from_ready as (
      delete from tidegate.ready w using open_ o
       where w.lane = o.lane and w.priority = o.priority and w.id = o.id
         and w.seg in (select s.seg from tidegate.segments s where s.lane = o.lane and s.open)
      returning w.id
    ), from_scheduled as (
      delete from tidegate.scheduled s using open_ o where s.id = o.id returning s.id
    ), from_running as (
      delete from tidegate.running r using open_ o where p_running and r.id = o.id returning r.*
    ), from_batch as (
      -- the batch goes on, and owes its answer: what it cost is kept
      update tidegate.batch_items i set waits = false from open_ o where p_running and i.id = o.id and i.waits returning i.*
    ), closed as (
      insert into tidegate.task_attempts_closed (task_id, generation, attempt, epoch, process_id, model, call_id, outcome, charged, started_at)
      select r.id, o.generation, r.attempts, r.epoch, r.process_id, d.model, r.call_id, 'cancelled', true, r.granted_at
        from (select id, attempts, epoch, process_id, call_id, granted_at, model_id from from_running
              union all select id, attempts, epoch, process_id, call_id, granted_at, model_id from from_batch) r
        join open_ o on o.id = r.id left join tidegate.models d on d.model_id = r.model_id
    )
    select array_agg(z.id order by z.id), array_agg(z.was order by z.id) into v_gone, v_was
      from (select id, 'blocked' as was from from_blocked union all select id, 'ready' from from_ready
            union all select id, 'scheduled' from from_scheduled union all select id, 'running' from from_running
            union all select id, 'in_batch' from from_batch) z;
    if v_gone is not null then
      with told as (
        update tidegate.tasks t set state = 'cancelled', finished_at = clock_timestamp(), run_at = null, process_id = null,
                                    error_class = p_class, last_error = p_words
          from unnest(v_gone, v_was) as g (id, was)
         where t.id = g.id
        returning t.id, t.run_id, t.tier, t.worker, t.component, t.item_id, g.was
      ), counted as (
        insert into tidegate.run_counts (run_id, tier, state, n)
        select k.run_id, k.tier, z.state, z.sign * k.n
          from (select t.run_id, t.tier, t.was, count(*) as n from told t group by t.run_id, t.tier, t.was) k
          cross join lateral (values (k.was, -1), ('cancelled', 1)) z (state, sign)
      ), keys as (
        delete from tidegate.open_keys k using told t
         where k.worker = t.worker and k.component = t.component and k.item_id = t.item_id and k.task_id = t.id
      )
      insert into tidegate.event_batches (kind, detail, task_ids) select 'cancelled', p_class, array_agg(id) from told having count(*) > 0;
      perform tidegate.mark_needs_v1(v_gone);
      v_n := v_n + array_length(v_gone, 1);
    end if;
    select array_agg(t.id) into v_left from tidegate.tasks t
     where t.id = any (v_left) and (t.state in ('blocked', 'scheduled', 'ready') or (p_running and t.state in ('running', 'in_batch')));
    exit when v_left is null;
  end loop;
  return v_n;
end $$;

create or replace function tidegate.cancel_waiting_v1(p_tasks uuid[], p_class text, p_words text) returns int language sql as $$
  select tidegate.cancel_v1(p_tasks, false, p_class, p_words)
$$;

create or replace function tidegate.cancel(p_tasks uuid[]) returns int language sql as $$
  select tidegate.cancel_v1(p_tasks, true, null, null)
$$;

create or replace function tidegate.cancel(p_task uuid) returns boolean language sql as $$
  select tidegate.cancel(array[p_task]) = 1
$$;

-- Puts failed or cancelled tasks back: same id, next generation, nothing spent. A task whose item waits in another task stays.
-- Tasks that failed by their sink keep their answer: the program applies it again without a call (`tidegate tasks retry`).
create or replace function tidegate.retry(p_tasks uuid[]) returns int language plpgsql as $$
declare
  v record;
begin
  -- the runs first: a run is not ended while something is added to it
  perform 1 from tidegate.runs u
   where u.id in (select t.run_id from tidegate.tasks t where t.id = any (p_tasks)) order by u.id for update;
  -- what is put back by hand waits for nothing; before the tasks, as settle_needs locks them
  delete from tidegate.needs n using tidegate.tasks t
   where n.task_id = any (p_tasks) and t.id = n.task_id and t.state in ('failed', 'cancelled');
  perform 1 from tidegate.tasks t where t.id = any (p_tasks) and t.state in ('failed', 'cancelled') order by t.id for no key update;
  with ended as materialized (
    select t.*, z.open_inputs from tidegate.tasks t
      -- steps whose answers it reads, and that are not done
      cross join lateral (select count(*)::int as open_inputs from tidegate.task_inputs i left join tidegate.tasks s on s.id = i.of_task
                           where i.task_id = t.id and s.state is distinct from 'done') z
     where t.id = any (p_tasks) and t.state in ('failed', 'cancelled') and t.error_class is distinct from 'sink' and t.lane > 0
  ), keyed as (
    insert into tidegate.open_keys (worker, component, item_id, task_id)
    select e.worker, e.component, e.item_id, e.id from ended e where e.item_id is not null
    on conflict do nothing
    returning task_id
  ), back as materialized (
    select e.* from ended e where e.item_id is null or e.id in (select task_id from keyed)
  ), told as (
    -- what was never rendered is rendered first
    update tidegate.tasks t
       set state = case when back.open_inputs > 0 or (back.cache_key is null and back.model is not null) then 'blocked' else 'ready' end,
           generation = t.generation + 1, attempts = 0, tries = '{}', spent_ms = 0, rescues = 0,
           finished_at = null, started_at = null, process_id = null, error_class = null, last_error = null, run_at = null, expires_at = null
      from back where t.id = back.id
    returning t.*, back.state as was, back.open_inputs
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select k.run_id, k.tier, z.state, z.sign * k.n
      from (select t.run_id, t.tier, t.was, t.state, count(*) as n from told t group by t.run_id, t.tier, t.was, t.state) k
      cross join lateral (values (k.was, -1), (k.state, 1)) z (state, sign)
  ), held as (
    insert into tidegate.blocked (id, lane, needs, unrendered)
    select t.id, t.lane, t.open_inputs, t.cache_key is null and t.model is not null from told t where t.state = 'blocked'
  ), waits as (
    insert into tidegate.needs (task_id, need_id, due)
    select i.task_id, i.of_task, true from told t join tidegate.task_inputs i on i.task_id = t.id left join tidegate.tasks s on s.id = i.of_task
     where t.state = 'blocked' and t.open_inputs > 0 and s.state is distinct from 'done'
  ), unbooked as (
    delete from tidegate.failed f using back where f.id = back.id
  ), lanes_open as (
    update tidegate.lanes n set open = true where n.lane in (select lane from back) and not n.open
  ), runs_open as (
    update tidegate.runs u set state = 'active', finished_at = null where u.id in (select run_id from back) and u.state in ('done', 'cancelled')
  ), event as (
    insert into tidegate.event_batches (kind, task_ids) select 'retried', array_agg(id) from back having count(*) > 0
  )
  select count(*)::int as n, count(*) filter (where t.state = 'blocked') as blocked_,
         array_agg((t.lane, 0, t.priority, t.id, t.est_tokens, 0, t.epoch, '{}', 0, 0)::tidegate.ready order by t.id) filter (where t.state = 'ready') as rows_
    into v from told t;
  if v.n > 0 then
    if v.rows_ is not null then
      perform tidegate.make_ready_v2(v.rows_);
    end if;
    perform tidegate.wake_v1('ready');
    if v.blocked_ > 0 then
      perform tidegate.wake_v1('care');
    end if;
  end if;
  return v.n;
end $$;

create or replace function tidegate.retry(p_task uuid) returns boolean language sql as $$
  select tidegate.retry(array[p_task]) = 1
$$;

-- Closes a model for all until a moment, never earlier than it is closed already. p_wait null: 5 s, doubling with each strike
-- to 15 min: afterwards one call asks, so that looking early costs little. p_day: until the provider's day ends (and a minute).
-- Models that share its limits are closed with it. Returns until when.
create or replace function tidegate.cool_down_v1(p_model text, p_wait interval, p_day boolean, p_reason text, p_who text)
returns timestamptz language plpgsql as $$
declare
  v_scope text;
  v_wire text;
  v_zone text;
  v_bucket text;
  v_until timestamptz;
  c_first constant interval := '5 s';
begin
  -- for longer, a model is paused by hand
  p_wait := case when p_wait is not null then least(p_wait, interval '31 days') end;
  select p.quota_scope, m.wire_name, p.day_zone, coalesce(m.shares, m.wire_name) into v_scope, v_wire, v_zone, v_bucket
    from tidegate.models m join tidegate.providers p on p.name = m.provider where m.model = p_model;
  if v_scope is null then
    raise exception 'no model is called %', p_model using errcode = 'TG404', hint = 'see: select model from tidegate.models';
  end if;
  insert into tidegate.model_cooldowns as c (quota_scope, wire_name, model, until, reason, who, strikes)
  select v_scope, z.wire_name, z.model,
         case when p_day then tidegate.day_end(v_zone, clock_timestamp()) + interval '1 min'
              else clock_timestamp() + coalesce(p_wait, c_first) end,
         p_reason, p_who, 1
    from (select v_wire as wire_name, p_model as model
          union
          select o.wire_name, min(o.model)
            from tidegate.models o join tidegate.providers p on p.name = o.provider and p.quota_scope = v_scope
           where coalesce(o.shares, o.wire_name) = v_bucket and o.wire_name <> v_wire
           group by o.wire_name) z
   order by z.wire_name
  on conflict (quota_scope, wire_name) do update
     -- one burst of refusals is one strike; one after the former cooldown ended, with no answer between, is the next
     set strikes = case when c.until > clock_timestamp() then c.strikes
                        when c.until > clock_timestamp() - interval '15 min' and c.proven_at is null then c.strikes + 1
                        else 1 end,
         since = case when c.until > clock_timestamp() then c.since else clock_timestamp() end,
         reason = case when excluded.until > c.until or c.until <= clock_timestamp() then excluded.reason else c.reason end,
         who = case when excluded.until > c.until or c.until <= clock_timestamp() then excluded.who else c.who end,
         model = excluded.model,
         proven_at = null,
         until = greatest(c.until, case
           when p_day or p_wait is not null then excluded.until
           else clock_timestamp() + least(interval '15 min', c_first * power(2, least(10,
                  case when c.until > clock_timestamp() then greatest(c.strikes, 1) - 1
                       when c.until > clock_timestamp() - interval '15 min' and c.proven_at is null then c.strikes
                       else 0 end))) end);
  select c.until into v_until from tidegate.model_cooldowns c where c.quota_scope = v_scope and c.wire_name = v_wire;
  return v_until;
end $$;

create or replace function tidegate.cool_down(p_model text, p_wait interval, p_reason text default 'set by hand')
returns timestamptz language sql as $$
  select tidegate.cool_down_v1(p_model, p_wait, false, p_reason, session_user::text)
$$;

-- Opens a model again: its cooldown, and what parked it or its provider. False: it was open.
create or replace function tidegate.clear_cooldown(p_model text) returns boolean language plpgsql as $$
declare
  v_scope text;
  v_wire text;
  v_provider text;
  v_bucket text;
  v_hit int := 0;
  v_n int;
begin
  select p.quota_scope, m.wire_name, m.provider, coalesce(m.shares, m.wire_name) into v_scope, v_wire, v_provider, v_bucket
    from tidegate.models m join tidegate.providers p on p.name = m.provider where m.model = p_model;
  if v_scope is null then
    raise exception 'no model is called %', p_model using errcode = 'TG404', hint = 'see: select model from tidegate.models';
  end if;
  -- what shares its bucket was closed with it; a gate that waits for its probe is opened too
  delete from tidegate.model_cooldowns c
   where c.quota_scope = v_scope and (c.until > clock_timestamp() or c.proven_at is null)
     and c.wire_name in (select o.wire_name from tidegate.models o join tidegate.providers p on p.name = o.provider and p.quota_scope = v_scope
                          where coalesce(o.shares, o.wire_name) = v_bucket);
  get diagnostics v_hit = row_count;
  update tidegate.models m set parked = null, parked_at = null where m.model = p_model and m.parked is not null;
  get diagnostics v_n = row_count;
  v_hit := v_hit + v_n;
  update tidegate.providers p set parked = null, parked_at = null where p.name = v_provider and p.parked is not null;
  get diagnostics v_n = row_count;
  if v_hit + v_n > 0 then
    perform tidegate.wake_v1('ready');
  end if;
  return v_hit + v_n > 0;
end $$;

create or replace function tidegate.pause_run(p_run uuid) returns boolean language plpgsql as $$
begin
  update tidegate.runs u set state = 'paused' where u.id = p_run and u.state = 'active';
  return found;
end $$;

create or replace function tidegate.resume_run(p_run uuid) returns boolean language plpgsql as $$
begin
  update tidegate.runs u set state = 'active' where u.id = p_run and u.state = 'paused';
  if found then
    perform tidegate.wake_v1('ready');
    return true;
  end if;
  return false;
end $$;
