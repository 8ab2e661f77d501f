-- Tasks that wait for others, tasks that wait for their prompt, tasks that are not worth starting any more.

-- These tasks have ended (or come back): who needs them is to be looked at. A statement of its own, after the one that moved
-- them: its snapshot is younger than the rows' locks, so that a need that was written meanwhile is not missed.
create or replace function tidegate.mark_needs_v1(p_tasks uuid[]) returns void language plpgsql as $$
begin
  if exists (select from tidegate.needs) then
    update tidegate.needs n set due = true where n.need_id = any (p_tasks) and not n.due;
  end if;
end $$;

-- Lets these blocked tasks go on, if nothing is left that they wait for: to `scheduled` where their moment is still to come,
-- else to `ready`. Returns how many.
create or replace function tidegate.unblock_v1(p_tasks uuid[]) returns int language plpgsql as $$
declare
  v_rows tidegate.ready[];
  v_ready uuid[];
  v_later uuid[];
begin
  with gone as (
    delete from tidegate.blocked b where b.id = any (p_tasks) and b.needs = 0 and not b.unrendered returning b.id
  ), told as (
    update tidegate.tasks t set state = case when t.run_at > clock_timestamp() then 'scheduled' else 'ready' end
      from gone g where t.id = g.id
    returning t.*
  ), later as (
    insert into tidegate.scheduled (id, run_at, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms)
    select t.id, t.run_at, t.lane, t.priority, t.est_tokens, t.attempts, t.epoch, t.tries, t.rescues, t.spent_ms from told t where t.state = 'scheduled'
  ), event as (
    insert into tidegate.event_batches (kind, task_ids) select 'unblocked', array_agg(t.id) from told t having count(*) > 0
  )
  select array_agg((t.lane, 0, t.priority, t.id, t.est_tokens, t.attempts, t.epoch, t.tries, t.rescues, t.spent_ms)::tidegate.ready order by t.id)
           filter (where t.state = 'ready'),
         array_agg(t.id) filter (where t.state = 'ready'), array_agg(t.id) filter (where t.state = 'scheduled')
    into v_rows, v_ready, v_later from told t;
  if v_rows is not null then
    perform tidegate.make_ready_v2(v_rows);
    perform tidegate.count_moves_v1(v_ready, 'blocked', 'ready');
    perform tidegate.wake_v1('ready');
  end if;
  if v_later is not null then
    perform tidegate.count_moves_v1(v_later, 'blocked', 'scheduled');
  end if;
  return coalesce(array_length(v_ready, 1), 0) + coalesce(array_length(v_later, 1), 0);
end $$;

-- Looks at needs that are due, each once: a need that is done lets go of who waits for it, one that failed or was cancelled
-- cancels or lets go by the policy of who waits. Returns how many needs were looked at.
create or replace function tidegate.settle_needs_v1(p_limit int) returns int language plpgsql as $$
declare
  v_tasks uuid[];
  v_needs uuid[];
  v_met uuid[];
  v_lost uuid[];
begin
  select array_agg(z.task_id), array_agg(z.need_id) into v_tasks, v_needs
    from (select n.task_id, n.need_id from tidegate.needs n where n.due order by n.task_id, n.need_id limit p_limit for update skip locked) z;
  if v_tasks is null then
    return 0;
  end if;
  -- the tasks that are needed are locked against their settling: either it is seen here, or it sees these needs
  perform 1 from tidegate.tasks t where t.id = any (v_needs) order by t.id for share;
  with seen as materialized (
    select u.task_id, u.need_id, t.state, b.on_failed_need
      from unnest(v_tasks, v_needs) u (task_id, need_id)
      left join tidegate.tasks t on t.id = u.need_id
      left join tidegate.blocked b on b.id = u.task_id
  ), over as (
    delete from tidegate.needs n using seen s
     where n.task_id = s.task_id and n.need_id = s.need_id
       and (s.state = 'done' or s.on_failed_need is null
            or (s.on_failed_need = 'release' and (s.state is null or s.state in ('failed', 'cancelled'))))
    returning n.task_id
  ), open_ as (
    update tidegate.needs n set due = false from seen s
     where n.task_id = s.task_id and n.need_id = s.need_id and s.state in ('blocked', 'scheduled', 'ready', 'running', 'in_batch')
       and s.on_failed_need is not null
  ), fewer as (
    update tidegate.blocked b set needs = b.needs - o.n
      from (select task_id, count(*)::int as n from over group by task_id) o
     where b.id = o.task_id
    returning b.id, b.needs
  )
  select (select array_agg(f.id) from fewer f where f.needs = 0),
         (select array_agg(distinct s.task_id) from seen s
           where s.on_failed_need = 'cancel' and (s.state is null or s.state in ('failed', 'cancelled')))
    into v_met, v_lost;
  if v_lost is not null then
    perform tidegate.cancel(v_lost);
    update tidegate.tasks t set error_class = 'need', last_error = 'a task that it needs failed or was cancelled'
     where t.id = any (v_lost) and t.state = 'cancelled';
  end if;
  if v_met is not null then
    perform tidegate.unblock_v1(v_met);
    if exists (select from tidegate.blocked b where b.id = any (v_met)) then
      perform tidegate.wake_v1('care');  -- a prompt is to be rendered
    end if;
  end if;
  return array_length(v_tasks, 1);
end $$;

-- Takes blocked tasks whose prompt is to be rendered, for so long, never more than the limit in any plan. Rendering twice does no harm.
create or replace function tidegate.take_unrendered_v1(p_limit int, p_for interval, p_workers text[] default null)
returns setof uuid language sql volatile as $$
  with due as materialized (
    select z.id from tidegate.blocked z join tidegate.tasks t on t.id = z.id
     where z.needs = 0 and z.unrendered and (z.taken_until is null or z.taken_until < now())
       and (p_workers is null or t.worker = any (p_workers))
     order by z.id limit p_limit for update of z skip locked
  )
  update tidegate.blocked b set taken_until = clock_timestamp() + p_for from due d where b.id = d.id
  returning b.id
$$;

-- What rendering came to: estimate and key, or the error for which no prompt can be made (the task fails). Returns how many went on.
create or replace function tidegate.rendered_v1(p_tasks uuid[], p_est int[], p_cache_keys bytea[], p_errors text[]) returns int language plpgsql as $$
declare
  v_refused uuid[];
begin
  with given as materialized (
    select * from unnest(p_tasks, p_est, p_cache_keys, p_errors) g (id, est, cache_key, error)
  ), fine as (
    update tidegate.blocked b set unrendered = false from given g where b.id = g.id and g.error is null returning b.id
  )
  update tidegate.tasks t set est_tokens = g.est, cache_key = g.cache_key from given g, fine f where f.id = g.id and t.id = g.id;
  with given as materialized (
    select * from unnest(p_tasks, p_errors) g (id, error) where g.error is not null
  ), gone as (
    delete from tidegate.blocked b using given g where b.id = g.id returning b.id
  ), told as (
    update tidegate.tasks t set state = 'failed', error_class = 'input', last_error = g.error, finished_at = clock_timestamp()
      from given g join gone o on o.id = g.id where t.id = g.id
    returning t.id, t.run_id, t.worker, t.component, t.item_id
  ), booked as (
    insert into tidegate.failed (id, run_id, error_class) select k.id, k.run_id, 'input' from told k
  ), keys as (
    delete from tidegate.open_keys k using told t
     where k.worker = t.worker and k.component = t.component and k.item_id = t.item_id and k.task_id = t.id
  ), event as (
    insert into tidegate.event_batches (kind, detail, task_ids) select 'failed', 'input', array_agg(k.id) from told k having count(*) > 0
  )
  select array_agg(k.id) into v_refused from told k;
  if v_refused is not null then
    perform tidegate.count_moves_v1(v_refused, 'blocked', 'failed');
    perform tidegate.mark_needs_v1(v_refused);
  end if;
  perform tidegate.find_hits_v1(p_tasks);
  return tidegate.unblock_v1(p_tasks);
end $$;

-- Cancels what is not worth starting any more. What is running goes on. Returns how many.
create or replace function tidegate.expire_v1(p_limit int) returns int language plpgsql as $$
declare
  v_ids uuid[];
  v_n int;
begin
  with due as materialized (
    select e.expires_at, e.id from tidegate.expiries e where e.expires_at <= now() order by e.expires_at limit p_limit for update skip locked
  ), gone as (
    delete from tidegate.expiries e using due d where e.expires_at = d.expires_at and e.id = d.id returning e.id
  )
  -- an expiry that was moved (replaced) has another row
  select array_agg(t.id) into v_ids from gone g join tidegate.tasks t on t.id = g.id
   where t.expires_at <= now() and t.state in ('blocked', 'scheduled', 'ready');
  if v_ids is null then
    return 0;
  end if;
  v_n := tidegate.cancel_waiting_v1(v_ids, 'expired', 'it was not worth starting any more');
  return v_n;
end $$;
