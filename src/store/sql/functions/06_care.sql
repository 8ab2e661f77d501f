-- Care that any process may take, safely twice: promote what is due, rescue what died, end runs that are over, trim the book.

-- Due rows become ready. Returns how many.
create or replace function tidegate.promote_v1(p_limit int) returns int language plpgsql as $$
declare
  v record;
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
  select array_agg(id order by id) as ids, array_agg(lane order by id) as lanes, array_agg(priority order by id) as priorities,
         array_agg(est_input order by id) as est, array_agg(attempts order by id) as attempts, array_agg(epoch order by id) as epochs,
         array_agg(tries::text order by id) as tries, array_agg(rescues order by id) as rescues, array_agg(spent_ms order by id) as spent
    into v from taken;
  if v.ids is null then
    return 0;
  end if;
  perform tidegate.make_ready_v1(v.ids, v.lanes, v.priorities, v.est, v.attempts, v.epochs, v.tries, v.rescues, v.spent);
  return array_length(v.ids, 1);
end $$;

-- Declares lost the processes whose lease is over by p_grace (commit this before sweeping). Returns their ids.
create or replace function tidegate.declare_lost_v1(p_grace interval) returns setof uuid language sql volatile as $$
  update tidegate.processes p set lost_at = clock_timestamp()
   where p.stopped_at is null and p.lost_at is null and p.lease_until < now() - p_grace
  returning p.id
$$;

-- Gives back what lost processes held, and attempts past their deadline. A death counts as an attempt.
create or replace function tidegate.rescue_v1(p_limit int) returns int language plpgsql as $$
declare
  v record;
begin
  with dead as materialized (
    select r.id from tidegate.running r
     where r.deadline_at < now()
        or not exists (select from tidegate.processes p where p.id = r.process_id and p.lost_at is null and p.stopped_at is null)
     order by r.id limit p_limit for update skip locked
  ), taken as (
    delete from tidegate.running r using dead where r.id = dead.id returning r.*
  ), told as (
    update tidegate.tasks t
       set state = case when k.attempts >= t.max_attempts then 'failed' else 'ready' end,
           rescues = t.rescues + 1, process_id = null, error_class = 'lost',
           last_error = 'its process died or hung while it held this task',
           finished_at = case when k.attempts >= t.max_attempts then clock_timestamp() end
      from taken k where t.id = k.id
    returning t.id, t.run_id, t.generation, t.state, t.worker, t.component, t.item_id
  ), closed as (
    insert into tidegate.task_attempts_closed (task_id, generation, attempt, epoch, process_id, model, call_id, outcome, charged, error_class, started_at)
    select k.id, t.generation, k.attempts, k.epoch, k.process_id, d.model, k.call_id, 'lost', true, 'lost', k.granted_at
      from taken k join told t on t.id = k.id join tidegate.models d on d.model_id = k.model_id
  ), ended as (
    insert into tidegate.failed (id, run_id, error_class) select id, run_id, 'lost' from told where state = 'failed'
  ), keys as (
    delete from tidegate.open_keys k using told t
     where t.state = 'failed' and k.worker = t.worker and k.component = t.component and k.item_id = t.item_id and k.task_id = t.id
  ), event as (
    insert into tidegate.event_batches (kind, detail, task_ids) select 'rescued', 'lost', array_agg(id) from taken having count(*) > 0
  ), back as (
    select k.* from taken k join told t on t.id = k.id where t.state = 'ready'
  )
  select (select count(*) from taken)::int as n, array_agg(id order by id) as ids, array_agg(lane order by id) as lanes, array_agg(priority order by id) as priorities,
         array_agg(est_input order by id) as est, array_agg(attempts order by id) as attempts, array_agg(epoch order by id) as epochs,
         array_agg(tries::text order by id) as tries, array_agg((rescues + 1)::smallint order by id) as rescues, array_agg(spent_ms order by id) as spent
    into v from back;
  if v.ids is not null then
    perform tidegate.make_ready_v1(v.ids, v.lanes, v.priorities, v.est, v.attempts, v.epochs, v.tries, v.rescues, v.spent);
  end if;
  return v.n;
end $$;

-- Ends active runs of which nothing is left in any book. Returns how many.
create or replace function tidegate.finish_runs_v1() returns int language plpgsql as $$
declare
  v_over uuid[];
  v_runs int;
begin
  perform tidegate.close_segments_v1(array(
    select n.lane from tidegate.lanes n join tidegate.runs u on u.id = n.run_id where n.open and u.state in ('active', 'paused')));
  -- locked first, judged afterwards by a new snapshot: whoever adds to a run (retry, enqueue) locks its row too
  select array_agg(z.id) into v_over from (
    select u.id from tidegate.runs u
     where u.state = 'active'
       and not exists (select from tidegate.lanes n join tidegate.segments s on s.lane = n.lane and s.open where n.run_id = u.id)
     for update skip locked) z;
  if v_over is null then
    return 0;
  end if;
  with over as (
    update tidegate.runs u set state = 'done', finished_at = clock_timestamp()
     where u.id = any (v_over) and u.state = 'active'
       and not exists (select from tidegate.lanes n join tidegate.segments s on s.lane = n.lane and s.open where n.run_id = u.id)
       and not exists (select from tidegate.running r join tidegate.lanes n on n.lane = r.lane where n.run_id = u.id)
       and not exists (select from tidegate.scheduled r join tidegate.lanes n on n.lane = r.lane where n.run_id = u.id)
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
  delete from tidegate.limit_settlements s where s.at < now() - interval '5 min';
$$;
