-- Retention: what has ended goes after a while, in small statements; history goes by dropping day partitions.

-- Deletes these tasks with their answers and items, whatever their age. Only such as have ended and that nobody waits for.
-- Returns how many. Attempts and calls are history of their own.
create or replace function tidegate.delete_tasks_v1(p_tasks uuid[]) returns int language plpgsql as $$
declare
  v_n int;
begin
  -- one order everywhere
  perform 1 from tidegate.tasks t where t.id = any (p_tasks) order by t.id for update;
  with gone as (
    delete from tidegate.tasks t
     where t.id = any (p_tasks) and t.state in ('done', 'failed', 'cancelled')
       and not exists (select from tidegate.needs n where n.need_id = t.id)
    returning t.id, t.run_id, t.tier, t.state, t.item_id
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select g.run_id, g.tier, g.state, -count(*) from gone g group by g.run_id, g.tier, g.state
  ), answers as (
    delete from tidegate.task_results r using gone g where r.task_id = g.id
  ), unbooked as (
    delete from tidegate.failed f using gone g where f.id = g.id
  ), forgotten as (
    delete from tidegate.needs n using gone g where n.task_id = g.id
  ), inputs as (
    delete from tidegate.task_inputs n using gone g where n.task_id = g.id
  ), bodies as (
    delete from tidegate.items i using gone g
     where g.item_id is not null and i.run_id = g.run_id and i.item_id = g.item_id
       and not exists (select from tidegate.tasks t where t.run_id = g.run_id and t.item_id = g.item_id and t.id <> all (p_tasks))
  )
  select count(*) into v_n from gone;
  return v_n;
end $$;

-- One step of retention: looks at up to p_limit tasks from where the last step ended, and deletes those that ended longer ago
-- than their state allows (null: kept for ever). One at a time, whoever calls. Returns whether there is more to look at now.
create or replace function tidegate.retain_v1(p_done interval, p_failed interval, p_cancelled interval, p_limit int) returns boolean language plpgsql as $$
declare
  v_place uuid;
  v_last uuid;
  v_n int;
  v_old uuid[];
begin
  if not pg_try_advisory_xact_lock(hashtext('tidegate.retain')) then
    return false;
  end if;
  insert into tidegate.upkeep (job, done_at) values ('retention', '-infinity') on conflict do nothing;
  select u.place into v_place from tidegate.upkeep u where u.job = 'retention' and (u.place is not null or u.done_at < now() - interval '10 min');
  if not found then
    return false;
  end if;
  select count(*), max(z.id::text)::uuid,
         array_agg(z.id) filter (where z.finished_at < now() - case z.state when 'done' then p_done when 'failed' then p_failed when 'cancelled' then p_cancelled end)
    into v_n, v_last, v_old
    from (select t.id, t.state, t.finished_at from tidegate.tasks t where v_place is null or t.id > v_place order by t.id limit p_limit) z;
  if v_old is not null then
    perform tidegate.delete_tasks_v1(v_old);
  end if;
  update tidegate.upkeep u set place = case when v_n < p_limit then null else v_last end, done_at = clock_timestamp() where u.job = 'retention';
  return v_n >= p_limit;
end $$;

-- Drops day partitions older than so many days, at least 2: history (closed attempts, events), and the ledger of calls.
-- Returns how many. A busy table is left for the next time.
create or replace function tidegate.drop_partitions_v1(p_history_days int, p_calls_days int) returns int language plpgsql as $$
declare
  v record;
  v_n int := 0;
begin
  for v in
    select c.relname, p.relname as parent from pg_inherits i
      join pg_class c on c.oid = i.inhrelid
      join pg_class p on p.oid = i.inhparent
      join pg_namespace s on s.oid = p.relnamespace and s.nspname = 'tidegate'
     where c.relname ~ '_[0-9]{8}$'
       and to_date(right(c.relname, 8), 'YYYYMMDD') < (now() at time zone 'utc')::date
           - greatest(2, case p.relname when 'calls' then p_calls_days else p_history_days end)
  loop
    -- another process may have dropped it while we waited for its lock
    execute format('drop table if exists tidegate.%I', v.relname);
    v_n := v_n + 1;
  end loop;
  return v_n;
end $$;
alter function tidegate.drop_partitions_v1 set lock_timeout = '1s';

-- Rows of processes that ended or were lost long ago and hold nothing.
create or replace function tidegate.forget_processes_v1(p_age interval) returns int language sql volatile as $$
  with gone as (
    delete from tidegate.processes p
     where coalesce(p.stopped_at, p.lost_at) < now() - p_age
       and not exists (select from tidegate.running r where r.process_id = p.id)
    returning 1
  )
  select count(*)::int from gone
$$;

-- A run that ended while something came in (a transaction that committed late) is opened again. Returns how many.
create or replace function tidegate.reopen_runs_v1() returns int language plpgsql as $$
declare
  v_runs uuid[];
begin
  select array_agg(u.id) into v_runs from tidegate.runs u
   where u.state = 'done' and u.finished_at > now() - interval '1 day'
     and (select coalesce(sum(c.n), 0) from tidegate.run_counts c
           where c.run_id = u.id and c.state in ('blocked', 'scheduled', 'ready', 'running', 'in_batch')) > 0;
  update tidegate.runs u set state = 'active', finished_at = null where u.id = any (v_runs);
  update tidegate.lanes n set open = true where n.run_id = any (v_runs) and not n.open;
  return coalesce(array_length(v_runs, 1), 0);
end $$;

-- Batches that were over so many days ago, or whose run is gone, and choices as old: a thousand of each at a time. Returns how many.
create or replace function tidegate.forget_batches_v1(p_days int) returns int language sql volatile as $$
  with old as (
    select b.id from tidegate.provider_batches b
     where b.state = 'over'
       and (b.over_at < now() - make_interval(days => greatest(2, p_days)) or not exists (select from tidegate.runs u where u.id = b.run_id))
     order by b.id limit 1000 for update skip locked
  ), gone as (
    delete from tidegate.provider_batches b using old o where b.id = o.id returning 1
  ), choices as (
    delete from tidegate.strategy_decisions d
     where d.id in (select k.id from tidegate.strategy_decisions k where k.at < now() - make_interval(days => greatest(2, p_days)) order by k.at limit 1000)
    returning 1
  )
  select ((select count(*) from gone) + (select count(*) from choices))::int
$$;
