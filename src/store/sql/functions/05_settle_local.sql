-- What became of local tasks that have an answer: as settle_done_v1, without a call to close. Arrays in one order, ids ascending.
-- Returns only those whose lease was lost: salvaged (the task waited again) or superseded (somebody else ended it).
create or replace function tidegate.settle_local_v2(
  p_process uuid, p_tasks uuid[], p_nonces bigint[], p_epochs int[], p_answers text[], p_spent_ms int[], p_lanes int[], p_priorities float8[],
  p_models text[], p_versions text[]         -- of answers that were kept already: who gave them
) returns table (o_task uuid, o_fate text) language plpgsql as $$
#variable_conflict use_column
declare
  v_done uuid[];
  v_held bigint[];                           -- places in the arrays
begin
  with given as materialized (
    select * from unnest(p_tasks, p_nonces, p_epochs, p_answers, p_spent_ms, p_models, p_versions)
                  with ordinality as g (task, nonce, epoch, answer, spent, model, version, n)
  ), fenced as (
    delete from tidegate.running r using given g
     where r.id = g.task and r.nonce = g.nonce and r.epoch = g.epoch
    returning r.id, r.attempts, r.epoch, r.granted_at, g.answer, g.spent, g.model, g.version, g.n
  ), told as (
    update tidegate.tasks t
       set state = 'done', finished_at = clock_timestamp(), error_class = null, last_error = null, spent_ms = t.spent_ms + f.spent,
           model_used = f.model
      from fenced f
     where t.id = f.id
    returning t.id, t.run_id, t.tier, t.generation, t.worker, t.component, t.item_id, f.attempts, f.epoch, f.granted_at, f.answer, f.model, f.version, f.n
  ), results as (
    insert into tidegate.task_results (task_id, generation, run_id, answer, attempt, epoch, process_id, started_at, model, model_version, cached)
    select t.id, t.generation, t.run_id, t.answer, t.attempts, t.epoch, p_process, t.granted_at, t.model, t.version, t.model is not null from told t
  ), cache_counted as (
    insert into tidegate.cache_uses (worker, hits) select t.worker, count(*) from told t where t.model is not null group by t.worker
  ), keys as (
    delete from tidegate.open_keys k using told t
     where t.item_id is not null and k.worker = t.worker and k.component = t.component and k.item_id = t.item_id and k.task_id = t.id
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select k.run_id, k.tier, z.state, z.sign * k.n
      from (select t.run_id, t.tier, count(*) as n from told t group by t.run_id, t.tier) k
      cross join lateral (values ('running', -1), ('done', 1)) z (state, sign)
  ), event as (
    insert into tidegate.event_batches (kind, process_id, task_ids)
    select 'done', p_process, array_agg(t.id) from told t having count(*) > 0
  )
  select array_agg(t.id), array_agg(t.n) into v_done, v_held from told t;
  perform tidegate.mark_needs_v1(v_done);
  if coalesce(array_length(v_done, 1), 0) = coalesce(array_length(p_tasks, 1), 0) then
    return;
  end if;

  -- the lease of these was lost: a task that waits again is completed by its late answer
  return query
  with late as materialized (
    -- claims of a payload that was replaced since complete nothing; its lane as it is now: it may have been retiered while it waited
    select g.task, g.nonce, g.epoch, g.answer, g.spent, g.priority, g.model, g.version, g.n, k.lane, g.epoch > k.epoch - k.claims as fits
      from unnest(p_tasks, p_nonces, p_epochs, p_answers, p_spent_ms, p_lanes, p_priorities, p_models, p_versions)
           with ordinality as g (task, nonce, epoch, answer, spent, lane, priority, model, version, n)
      left join tidegate.tasks k on k.id = g.task
     where g.n <> all (coalesce(v_held, '{}'))
  ), from_ready as (
    delete from tidegate.ready w using late g
     where g.fits and w.lane = g.lane and w.priority = g.priority and w.id = g.task
       and w.seg in (select s.seg from tidegate.segments s where s.lane = g.lane and s.open)
    returning w.id, g.n, 'ready' as was
  ), from_scheduled as (
    delete from tidegate.scheduled s using late g where g.fits and s.id = g.task returning s.id, g.n, 'scheduled' as was
  ), back as materialized (
    select * from from_ready union all select * from from_scheduled
  ), told as (
    update tidegate.tasks t
       set state = 'done', finished_at = clock_timestamp(), error_class = null, last_error = null, run_at = null, epoch = t.epoch + 1
      from back b where t.id = b.id
    returning t.id, t.run_id, t.tier, t.generation, t.worker, t.component, t.item_id, t.attempts, t.started_at, b.was, b.n
  ), results as (
    insert into tidegate.task_results (task_id, generation, run_id, answer, attempt, epoch, process_id, started_at, salvaged, model, model_version, cached)
    select t.id, t.generation, t.run_id, g.answer, t.attempts, g.epoch, p_process, coalesce(t.started_at, now()), true, g.model, g.version, g.model is not null
      from told t join late g on g.n = t.n
  ), keys as (
    delete from tidegate.open_keys k using told t
     where k.worker = t.worker and k.component = t.component and k.item_id = t.item_id and k.task_id = t.id
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select t.run_id, t.tier, z.state, z.sign from told t cross join lateral (values (t.was, -1), ('done', 1)) z (state, sign)
  ), event as (
    insert into tidegate.event_batches (kind, process_id, task_ids)
    select 'salvaged', p_process, array_agg(t.id) from told t having count(*) > 0
  )
  select g.task, case when t.id is null then 'superseded' else 'salvaged' end from late g left join told t on t.n = g.n;
  perform tidegate.mark_needs_v1(p_tasks);
end $$;
alter function tidegate.settle_local_v2 set plan_cache_mode = force_generic_plan;
alter function tidegate.settle_local_v2 set jit = off;
alter function tidegate.settle_local_v2 set enable_seqscan = off;
alter function tidegate.settle_local_v2 set enable_mergejoin = off;
