-- Care that any process may take, safely twice: promote what is due, rescue what died, end runs that are over, trim the book.

-- Due rows become ready. Returns how many.
create or replace function tidegate.promote_v1(p_limit int) returns int language plpgsql as $$
declare
  v_rows tidegate.ready[];
  v_ids uuid[];
begin
  with due as materialized (
    select s.id from tidegate.scheduled s where s.run_at <= now() order by s.run_at limit p_limit for update skip locked
  ), taken as (
    delete from tidegate.scheduled s using due where s.id = due.id returning s.*
  ), told as (
    update tidegate.tasks t set state = 'ready', run_at = null from taken k where t.id = k.id
  ), event as (
    insert into tidegate.event_batches (kind, task_ids) select 'due', array_agg(id) from taken having count(*) > 0
  )
  select array_agg((k.lane, 0, k.priority, k.id, k.est_input, k.attempts, k.epoch, k.tries, k.rescues, k.spent_ms)::tidegate.ready order by k.id),
         array_agg(k.id)
    into v_rows, v_ids from taken k;
  if v_ids is null then
    return 0;
  end if;
  perform tidegate.make_ready_v2(v_rows);
  perform tidegate.count_moves_v1(v_ids, 'scheduled', 'ready');
  return array_length(v_ids, 1);
end $$;

-- Declares lost the processes whose lease is over by p_grace (commit this before sweeping). Returns their ids.
create or replace function tidegate.declare_lost_v1(p_grace interval) returns setof uuid language sql volatile as $$
  update tidegate.processes p set lost_at = clock_timestamp()
   where p.stopped_at is null and p.lost_at is null and p.lease_until < now() - p_grace
  returning p.id
$$;

-- Gives back what lost processes held, and attempts past their deadline. A death counts as an attempt. A task whose process
-- died three times is set aside (class `quarantined`): from the second death on it was claimed alone of its kind, so that
-- whoever died beside it is not taken for it. p_overdue: look for attempts past their deadline too, which reads the whole book.
create or replace function tidegate.rescue_v2(p_limit int, p_overdue boolean) returns int language plpgsql as $$
declare
  c_deaths constant smallint := 3;
  v_n int;
  v_rows tidegate.ready[];
  v_ended uuid[];
begin
  if not p_overdue and not exists (
       select from tidegate.processes p where (p.lost_at is not null or p.stopped_at is not null)
          and coalesce(p.lost_at, p.stopped_at) > now() - interval '10 min') then
    return 0;
  end if;
  with dead as materialized (
    select r.id from tidegate.running r
     where (p_overdue and r.deadline_at < now())
        or not exists (select from tidegate.processes p where p.id = r.process_id and p.lost_at is null and p.stopped_at is null)
     order by r.id limit p_limit for update skip locked
  ), taken as (
    delete from tidegate.running r using dead where r.id = dead.id returning r.*
  ), judged as (
    select k.*, k.rescues + 1 >= c_deaths as poison, k.rescues + 1 >= c_deaths or k.attempts >= t.max_attempts or n.interactive as ends
      -- who waited for an interactive call died with it
      from taken k join tidegate.tasks t on t.id = k.id join tidegate.lanes n on n.lane = k.lane
  ), told as (
    update tidegate.tasks t
       set state = case when k.ends then 'failed' else 'ready' end,
           rescues = t.rescues + 1, process_id = null,
           error_class = case when k.poison then 'quarantined' else 'lost' end,
           last_error = case when k.poison then 'set aside: ' || c_deaths || ' processes died or hung while they held this task, the last one with no other such task; see tidegate.task_attempts, mend the cause, then retry it'
                             else 'its process died or hung while it held this task' end,
           finished_at = case when k.ends then clock_timestamp() end
      from judged k where t.id = k.id
    returning t.id, t.run_id, t.tier, t.generation, t.state, t.worker, t.component, t.item_id, t.error_class
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select k.run_id, k.tier, z.state, z.sign * k.n
      from (select t.run_id, t.tier, t.state, count(*) as n from told t group by t.run_id, t.tier, t.state) k
      cross join lateral (values ('running', -1), (k.state, 1)) z (state, sign)
  ), closed as (
    insert into tidegate.task_attempts_closed (task_id, generation, attempt, epoch, process_id, model, call_id, outcome, charged, error_class, started_at)
    select k.id, t.generation, k.attempts, k.epoch, k.process_id, d.model, k.call_id, 'lost', true, 'lost', k.granted_at
      from taken k join told t on t.id = k.id left join tidegate.models d on d.model_id = k.model_id
  ), ended as (
    insert into tidegate.failed (id, run_id, error_class) select t.id, t.run_id, t.error_class from told t where t.state = 'failed'
  ), keys as (
    delete from tidegate.open_keys k using told t
     where t.state = 'failed' and k.worker = t.worker and k.component = t.component and k.item_id = t.item_id and k.task_id = t.id
  ), event as (
    insert into tidegate.event_batches (kind, detail, task_ids)
    select case when t.state = 'ready' then 'rescued' when t.error_class = 'quarantined' then 'quarantined' else 'failed' end, 'lost', array_agg(t.id)
      from told t group by 1
  )
  select (select count(*) from taken)::int,
         array_agg((k.lane, 0, k.priority, k.id, k.est_input, k.attempts, k.epoch, k.tries, k.rescues + 1, k.spent_ms)::tidegate.ready order by k.id)
           filter (where t.state = 'ready'),
         array_agg(t.id) filter (where t.state = 'failed')
    into v_n, v_rows, v_ended
    from taken k join told t on t.id = k.id;
  if v_rows is not null then
    perform tidegate.make_ready_v2(v_rows);
  end if;
  if v_ended is not null then
    perform tidegate.mark_needs_v1(v_ended);
  end if;
  return v_n;
end $$;

-- Ends active runs of which nothing is left in any book. Returns how many.
create or replace function tidegate.finish_runs_v1() returns int language plpgsql as $$
declare
  v_over uuid[];
  v_runs int;
begin
  -- locked first, judged afterwards by a new snapshot: whoever adds to a run (retry, enqueue) locks its row too
  select array_agg(z.id) into v_over from (
    select u.id from tidegate.runs u
     where u.state = 'active'
       and not exists (select from tidegate.workers w where w.run_id = u.id)
       and (select coalesce(sum(c.n), 0) from tidegate.run_counts c
             where c.run_id = u.id and c.state in ('blocked', 'scheduled', 'ready', 'running', 'in_batch')) = 0
     for update skip locked) z;
  if v_over is null then
    return 0;
  end if;
  perform tidegate.close_segments_v1(array(select n.lane from tidegate.lanes n where n.run_id = any (v_over) and n.open));
  with over as (
    update tidegate.runs u set state = 'done', finished_at = clock_timestamp()
     where u.id = any (v_over) and u.state = 'active'
       and not exists (select from tidegate.lanes n join tidegate.segments s on s.lane = n.lane and s.open where n.run_id = u.id)
       and (select coalesce(sum(c.n), 0) from tidegate.run_counts c
             where c.run_id = u.id and c.state in ('blocked', 'scheduled', 'ready', 'running', 'in_batch')) = 0
    returning u.id
  ), shut as (
    update tidegate.lanes n set open = false from over where n.run_id = over.id
  )
  select count(*) into v_runs from over;
  return v_runs;
end $$;

-- Keeps the book small: of what is older than any minute window, one row a minute; settlements older than any window go.
create or replace function tidegate.trim_book_v1() returns void language sql volatile as $$
  delete from tidegate.limit_book b
   where b.at < now() - interval '5 min'
     and exists (select from tidegate.limit_book k
                  where k.limit_id = b.limit_id and k.at > b.at and k.at < date_trunc('minute', b.at) + interval '1 min');
  delete from tidegate.limit_book b where b.at < now() - interval '3 days'
     -- what a window or a day is measured from stays: the newest of those that are old
     and exists (select from tidegate.limit_book k
                  where k.limit_id = b.limit_id and k.at > b.at and k.at < now() - interval '3 days');
  delete from tidegate.limit_settlements s using tidegate.limits l
   where l.limit_id = s.limit_id and l.window_kind = 'minute' and s.at < now() - interval '5 min';
  delete from tidegate.limit_settlements s where not exists (select from tidegate.limits l where l.limit_id = s.limit_id);
  delete from tidegate.limit_adjustments a where a.at < now() - interval '90 days';
  delete from tidegate.run_pacing z where not exists (select from tidegate.runs u where u.id = z.run_id and u.state in ('loading', 'active', 'paused'));
  delete from tidegate.pack_most z where not exists (select from tidegate.tasks t where t.id = z.task_id and t.state in ('blocked', 'scheduled', 'ready', 'running'));
  delete from tidegate.pack_adjustments a where a.at < now() - interval '90 days';
  delete from tidegate.limit_holds h where not exists (select from tidegate.tasks t where t.id = h.task_id and t.state = 'ready');
  -- used-up segments, too
  delete from tidegate.segments s where not s.open and s.created_at < now() - interval '10 min';
$$;

-- Keeps settlements few, since each claim sums them. Long windows (a day, a run): those that are seconds old become part of the book,
-- under the limit's lock, as a claim would. Minutes: those of one second become one; more use than was reserved leaves its window
-- with the end of that second, less use with its beginning, so that the window is never told too much room.
create or replace function tidegate.fold_settlements_v1() returns int language plpgsql as $$
declare
  v_limit record;
  v_n int := 0;
begin
  for v_limit in
    select l.limit_id, l.window_kind, l.quota_scope from tidegate.limits l
     where l.window_kind in ('day', 'run')
       and exists (select from tidegate.limit_settlements s where s.limit_id = l.limit_id and s.at < now() - interval '5 s')
     order by l.limit_id for no key update of l skip locked loop
    with gone as (
      delete from tidegate.limit_settlements s where s.limit_id = v_limit.limit_id and s.at < now() - interval '5 s' returning s.at, s.delta
    ), total as (
      -- of a day that is over nothing counts any more
      select coalesce(sum(g.delta), 0)::bigint as delta from gone g
       where v_limit.window_kind = 'run' or g.at > tidegate.limit_day_start_v1(v_limit.quota_scope, now())
    )
    insert into tidegate.limit_book (limit_id, at, total, full_at)
    select v_limit.limit_id, greatest(clock_timestamp(), newest.at + interval '1 us'), coalesce(newest.total, 0) + t.delta,
           coalesce(newest.full_at, clock_timestamp())
      from total t
      left join lateral (select b.at, b.total, b.full_at from tidegate.limit_book b
                          where b.limit_id = v_limit.limit_id order by b.at desc limit 1) newest on true;
    v_n := v_n + 1;
  end loop;
  with old as (
    delete from tidegate.limit_settlements s using tidegate.limits l
     where l.limit_id = s.limit_id and l.window_kind = 'minute' and s.at < now() - interval '5 s' and s.at > now() - interval '5 min'
       and s.at <> date_trunc('second', s.at)
    returning s.limit_id, date_trunc('second', s.at) as second, s.delta
  )
  insert into tidegate.limit_settlements (limit_id, at, delta)
  select o.limit_id, o.second + case when sum(o.delta) > 0 then interval '1 s' else interval '0' end, sum(o.delta)
    from old o group by o.limit_id, o.second having sum(o.delta) <> 0;
  return v_n;
end $$;

-- Sums up counts that have grown old (the pace of a run is read from young ones). One at a time. Returns how many rows were summed.
create or replace function tidegate.sum_counts_v1() returns int language plpgsql as $$
declare
  v_n int;
begin
  if not pg_try_advisory_xact_lock(hashtext('tidegate.sum_counts')) then
    return 0;
  end if;
  with old as materialized (
    select c.ctid as tid from tidegate.run_counts c
     where c.at < now() - interval '70 s'
       and c.run_id in (select k.run_id from tidegate.run_counts k where k.at > '-infinity' and k.at < now() - interval '70 s')
     limit 20000
  ), gone as (
    delete from tidegate.run_counts c where c.ctid = any (array(select o.tid from old o)) returning c.*
  ), summed as (
    insert into tidegate.run_counts (run_id, tier, state, n, at)
    select g.run_id, g.tier, g.state, sum(g.n), '-infinity' from gone g group by 1, 2, 3 having sum(g.n) <> 0
  )
  select count(*) into v_n from gone;
  return v_n;
end $$;
