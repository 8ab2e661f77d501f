-- Loading a run: lanes first, then chunks in order of rank, then it opens. Nothing of a run is claimable while it is `loading`.

-- p_max_output: tokens of the longest answer, null: not bounded. p_policy and p_patience_ms: how its tasks take their fallbacks.
create or replace function tidegate.ensure_lane_v2(
  p_run uuid, p_component text, p_component_priority int, p_tier smallint, p_ladder int[], p_pack_size smallint, p_est_output int, p_max_output int,
  p_call_timeout_ms int, p_policy text, p_patience_ms int
) returns int language plpgsql as $$
declare
  v_lane int;
begin
  insert into tidegate.lanes as n (run_id, component, component_priority, tier, ladder, pack_size, est_output, max_output, call_timeout_ms, policy, patience_ms)
  values (p_run, p_component, p_component_priority, p_tier, p_ladder, p_pack_size, p_est_output, p_max_output, p_call_timeout_ms, p_policy, p_patience_ms)
  on conflict (run_id, component, tier, ladder) do update
     -- a retiering changes how what waits in it takes its fallbacks
     set est_output = excluded.est_output, max_output = excluded.max_output, call_timeout_ms = excluded.call_timeout_ms,
         policy = excluded.policy, patience_ms = excluded.patience_ms
   where (n.est_output, n.max_output, n.call_timeout_ms, n.policy, n.patience_ms)
         is distinct from (excluded.est_output, excluded.max_output, excluded.call_timeout_ms, excluded.policy, excluded.patience_ms);
  select n.lane into v_lane from tidegate.lanes n
   where n.run_id = p_run and n.component = p_component and n.tier = p_tier and n.ladder = p_ladder;
  return v_lane;
end $$;

-- One chunk of ranked items becomes tasks, in one statement for the caller: all or nothing. `p_from` must be how many were
-- ranked before, so that a loader that was taken over can do no harm. An item with an error is born failed: others go on.
-- Ids come in order of rank, so that of equal scores the one ranked first goes first. Skipped: items that wait in another run, and items another run of this worker answered after this run was begun.
create or replace function tidegate.enqueue_ranked_v1(
  p_run uuid, p_loader uuid, p_from bigint, p_ids uuid[], p_items text[], p_tiers smallint[], p_lanes int[], p_priorities float8[], p_est int[],
  p_cache_keys bytea[], p_categories text[], p_errors text[], p_of uuid[] default null
) returns table (o_enqueued int, o_skipped int, o_refused int) language plpgsql as $$
#variable_conflict use_column
declare
  v_run tidegate.runs;
  v_n int := coalesce(array_length(p_items, 1), 0);
begin
  update tidegate.runs u set ranked = u.ranked + v_n
   where u.id = p_run and u.state = 'loading' and u.loader_id = p_loader and u.ranked = p_from
  returning * into v_run;
  if v_run.id is null then
    raise exception 'run % is not being loaded by this process any more', p_run using errcode = 'TG409';
  end if;
  -- the keys first, in a statement of their own: it may wait for a task of another run that is just being settled, and
  -- only a snapshot taken after that wait sees its answer
  insert into tidegate.open_keys (worker, component, item_id, task_id)
  select v_run.worker, '', g.item_id, g.id from unnest(p_ids, p_items, p_errors) as g (id, item_id, error)
   where g.error is null order by g.item_id
  on conflict do nothing;
  delete from tidegate.open_keys k
   where k.worker = v_run.worker and k.component = '' and k.item_id = any (p_items) and k.task_id = any (p_ids)
     and exists (
       select from tidegate.runs u
         join tidegate.tasks t on t.run_id = u.id and t.item_id = k.item_id
        where u.worker = v_run.worker and u.id <> p_run and (u.finished_at is null or u.finished_at > v_run.created_at - interval '1 h')
          -- done by a transaction that the run could not see as it began: its source may have been read without that answer.
          -- The moment alone does not tell: it is stamped before its commit is seen
          and t.state = 'done' and t.finished_at > v_run.created_at - interval '1 h'
          and not pg_visible_in_snapshot(tidegate.full_xid_v1(t.xmin, v_run.begun), v_run.begun));
  with given as materialized (
    select * from unnest(p_ids, p_items, p_tiers, p_lanes, p_priorities, p_est, p_cache_keys, p_categories, p_errors, p_of)
                  as g (id, item_id, tier, lane, priority, est, cache_key, category, error, of_task)
  ), keyed as materialized (
    select k.item_id, k.task_id from tidegate.open_keys k
     where k.worker = v_run.worker and k.component = '' and k.item_id = any (p_items) and k.task_id = any (p_ids)
  ), segs as materialized (
    select z.lane, nextval('tidegate.segment_numbers')::int as seg, z.top
      from (select g.lane, max(g.priority) as top from given g join keyed k on k.item_id = g.item_id group by g.lane) z
  ), sealed as (
    insert into tidegate.segments (lane, seg, top, sealed) select lane, seg, top, true from segs
  ), born as (
    insert into tidegate.tasks (id, run_id, worker, item_id, category, tier, priority, model, fallback_models, state, max_attempts,
                                cache_key, est_tokens, lane, finished_at, error_class, last_error, reprocess_of)
    select g.id, p_run, v_run.worker, g.item_id, g.category, g.tier, g.priority,
           w.names[1], coalesce(w.names[2:], '{}'), case when g.error is null then 'ready' else 'failed' end, 4 * greatest(1, cardinality(n.ladder)),
           nullif(g.cache_key, ''), g.est, g.lane, case when g.error is not null then clock_timestamp() end,
           case when g.error is not null then 'input' end, g.error, g.of_task
      from given g
      join tidegate.lanes n on n.lane = g.lane
      cross join lateral (select array_agg(m.model order by z.rung) as names
                            from unnest(n.ladder) with ordinality z (model_id, rung) join tidegate.models m on m.model_id = z.model_id) w
      left join keyed k on k.item_id = g.item_id
     where k.task_id is not null or g.error is not null
    returning id, tier, lane, priority, est_tokens, state
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n) select p_run, b.tier, b.state, count(*) from born b group by b.tier, b.state
  ), queued as (
    insert into tidegate.ready (lane, seg, priority, id, est_input, attempts, epoch, tries, rescues, spent_ms)
    select b.lane, s.seg, b.priority, b.id, b.est_tokens, 0, 0, '{}', 0, 0
      from born b join segs s on s.lane = b.lane where b.state = 'ready' order by b.lane, b.priority desc, b.id
  ), refused as (
    insert into tidegate.failed (id, run_id, error_class) select b.id, p_run, 'input' from born b where b.state = 'failed'
  ), event as (
    insert into tidegate.event_batches (kind, process_id, task_ids)
    select case b.state when 'ready' then 'enqueued' else 'refused' end, p_loader, array_agg(b.id) from born b group by b.state
  )
  select count(*) filter (where b.state = 'ready'), v_n - count(*), count(*) filter (where b.state = 'failed')
    into o_enqueued, o_skipped, o_refused from born b;
  update tidegate.runs u set items_skipped = u.items_skipped + o_skipped, items_refused = u.items_refused + o_refused where u.id = p_run;
  return next;
end $$;

-- Cancels what dead loaders of this worker left half-loaded and nobody will take up (another definition or source): its items
-- would count as waiting for ever. Returns how many runs.
create or replace function tidegate.drop_orphans_v1(p_worker text, p_hash bytea, p_source text, p_silent interval) returns int language plpgsql as $$
declare
  v_runs uuid[];
begin
  select array_agg(z.id) into v_runs from (
    select u.id from tidegate.runs u
     where u.worker = p_worker and u.state = 'loading' and (u.definition_hash, u.source) is distinct from (p_hash, p_source)
       and not exists (select from tidegate.processes p
                        where p.id = u.loader_id and p.stopped_at is null and p.lost_at is null
                          and p.heartbeat_at > clock_timestamp() - p_silent)
     for update skip locked) z;
  if v_runs is null then
    return 0;
  end if;
  perform tidegate.cancel(array(select t.id from tidegate.tasks t where t.run_id = any (v_runs)));
  update tidegate.runs u set state = 'cancelled', loader_id = null, finished_at = clock_timestamp() where u.id = any (v_runs);
  return array_length(v_runs, 1);
end $$;
