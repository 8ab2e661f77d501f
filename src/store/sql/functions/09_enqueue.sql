-- Loading a run: lanes first, then chunks in order of rank, then it opens. Nothing of a run is claimable while it is `loading`.

-- p_max_output: tokens of the longest answer, null: not bounded. p_policy and p_patience_ms: how its tasks take their fallbacks.
-- p_pack_size, p_pack_tokens: items and their input tokens that travel together. p_cache_s: how old an answer may be that is used again,
-- null: none is kept or shared; p_cache_version, p_prompt_hash: told with what is kept. A new lane of a run that is not asked one by one
-- is held until it is chosen how its tasks are asked.
create or replace function tidegate.ensure_lane_v3(
  p_run uuid, p_component text, p_component_priority int, p_tier smallint, p_ladder int[], p_est_output int, p_max_output int,
  p_call_timeout_ms int, p_policy text, p_patience_ms int, p_pack_size smallint, p_pack_tokens int, p_cache_s bigint, p_cache_version text,
  p_prompt_hash bytea
) returns int language plpgsql as $$
declare
  v_lane int;
begin
  insert into tidegate.lanes as n (run_id, component, component_priority, tier, ladder, est_output, max_output, call_timeout_ms, policy, patience_ms,
                                   pack_size, pack_tokens, cache_s, cache_version, prompt_hash, held)
  values (p_run, p_component, p_component_priority, p_tier, p_ladder, p_est_output, p_max_output, p_call_timeout_ms, p_policy, p_patience_ms,
          p_pack_size, p_pack_tokens, p_cache_s, p_cache_version, p_prompt_hash,
          p_ladder <> '{}' and exists (select from tidegate.runs u where u.id = p_run and u.strategy <> 'individual'))
  on conflict (run_id, component, tier, ladder) do update
     -- a retiering changes how what waits in it takes its fallbacks
     set component_priority = excluded.component_priority, est_output = excluded.est_output, max_output = excluded.max_output,
         call_timeout_ms = excluded.call_timeout_ms, policy = excluded.policy, patience_ms = excluded.patience_ms, pack_size = excluded.pack_size,
         pack_tokens = excluded.pack_tokens, cache_s = excluded.cache_s, cache_version = excluded.cache_version, prompt_hash = excluded.prompt_hash
   where (n.component_priority, n.est_output, n.max_output, n.call_timeout_ms, n.policy, n.patience_ms, n.pack_size, n.pack_tokens, n.cache_s,
          n.cache_version, n.prompt_hash)
         is distinct from (excluded.component_priority, excluded.est_output, excluded.max_output, excluded.call_timeout_ms, excluded.policy,
          excluded.patience_ms, excluded.pack_size, excluded.pack_tokens, excluded.cache_s, excluded.cache_version, excluded.prompt_hash);
  select n.lane into v_lane from tidegate.lanes n
   where n.run_id = p_run and n.component = p_component and n.tier = p_tier and n.ladder = p_ladder;
  return v_lane;
end $$;

-- The newest task of each of these components and items that is done, of whatever run of the worker, with its answer kept.
create or replace function tidegate.earlier_results_v1(p_worker text, p_components text[], p_items text[])
returns table (o_component text, o_item text, o_task uuid) language sql stable as $$
  select distinct on (t.component, t.item_id) t.component, t.item_id, t.id
    from tidegate.runs u
    join tidegate.tasks t on t.run_id = u.id
   where u.worker = p_worker and t.item_id = any (p_items) and t.component = any (p_components) and t.state = 'done'
     and exists (select from tidegate.task_results r where r.task_id = t.id and r.generation = t.generation)
   order by t.component, t.item_id, t.finished_at desc
$$;

-- The answers that these tasks read, by component.
create or replace function tidegate.needed_v1(p_tasks uuid[]) returns table (o_task uuid, o_component text, o_answer text) language sql stable as $$
  select i.task_id, i.component, r.answer
    from tidegate.task_inputs i
    join tidegate.tasks t on t.id = i.of_task
    join tidegate.task_results r on r.task_id = t.id and r.generation = t.generation
   where i.task_id = any (p_tasks)
$$;

-- One chunk of ranked items becomes tasks, one for each step of each item, in one statement for the caller: all or nothing. `p_from` must be
-- how many items were ranked before, so that a loader that was taken over can do no harm; p_ranked: how many these are. An item with an
-- error is born failed: others go on. Ids come in order of rank, so that of equal scores the one ranked first goes first, and a step comes
-- after those that it needs. p_need_*: which task reads whose answer; settled: that of an earlier run. A task with open needs is born
-- blocked. What is answered already (result_cache) goes to the lane beside its own that asks no model.
-- Skipped: items that wait in another run, and items another run of this worker answered after this run was begun.
create or replace function tidegate.enqueue_ranked_v2(
  p_run uuid, p_loader uuid, p_from bigint, p_ranked int, p_ids uuid[], p_items text[], p_components text[], p_tiers smallint[], p_lanes int[],
  p_priorities float8[], p_est int[], p_cache_keys bytea[], p_categories text[], p_errors text[], p_of uuid[],
  p_need_tasks uuid[], p_need_components text[], p_need_of uuid[], p_need_settled boolean[]
) returns table (o_enqueued int, o_skipped int, o_refused int) language plpgsql as $$
#variable_conflict use_column
declare
  v_run tidegate.runs;
  v_n int := coalesce(array_length(p_items, 1), 0);
  v_from int[];
  v_to int[];
  v_mine boolean := p_need_tasks <> '{}';
  v_others uuid[];
begin
  update tidegate.runs u set ranked = u.ranked + p_ranked
   where u.id = p_run and u.state = 'loading' and u.loader_id = p_loader and u.ranked = p_from
  returning * into v_run;
  if v_run.id is null then
    raise exception 'run % is not being loaded by this process any more', p_run using errcode = 'TG409';
  end if;
  -- the keys first, in a statement of their own: it may wait for a task of another run that is just being settled, and
  -- only a snapshot taken after that wait sees its answer
  insert into tidegate.open_keys (worker, component, item_id, task_id)
  select v_run.worker, g.component, g.item_id, g.id from unnest(p_ids, p_components, p_items, p_errors) as g (id, component, item_id, error)
   where g.error is null order by g.component, g.item_id
  on conflict do nothing;
  -- each key is looked up by all of its columns, and so that no plan can read all keys of the worker (a table that was just
  -- filled has no statistics): hence the limits
  v_others := array(select u.id from tidegate.runs u where u.worker = v_run.worker and u.id <> p_run
                       and (u.finished_at is null or u.finished_at > v_run.created_at - interval '1 h'));
  if v_others <> '{}' then
    with answered as materialized (
      select k.tid
        from unnest(p_ids, p_components, p_items) as g (id, component, item_id)
        cross join lateral (
          select k.ctid as tid from tidegate.open_keys k
           where k.worker = v_run.worker and k.component = g.component and k.item_id = g.item_id and k.task_id = g.id limit 1) k
        cross join lateral (
          select true from unnest(v_others) u (id)
           cross join lateral (
             select t.xmin as xid from tidegate.tasks t
              where t.run_id = u.id and t.item_id = g.item_id and t.component = g.component
                -- done by a transaction that the run could not see as it began: its source may have been read without that answer.
                -- The moment alone does not tell: it is stamped before its commit is seen
                and t.state = 'done' and t.finished_at > v_run.created_at - interval '1 h' limit 1) t
           where not pg_visible_in_snapshot(tidegate.full_xid_v1(t.xid, v_run.begun), v_run.begun) limit 1) d
    )
    delete from tidegate.open_keys k where k.ctid = any (array(select a.tid from answered a));
  end if;
  -- the lanes of what is answered already
  if exists (select from tidegate.lanes n where n.lane = any (p_lanes) and n.cache_s is not null)
     and exists (select from tidegate.result_cache c where c.key = any (p_cache_keys)) then
    select array_agg(z.lane), array_agg(tidegate.hit_lane_v1(z.lane)) into v_from, v_to
      from (select distinct g.lane from unnest(p_lanes, p_cache_keys) g (lane, cache_key)
              join tidegate.lanes n on n.lane = g.lane and n.cache_s is not null
              join tidegate.result_cache c on c.key = g.cache_key and c.created_at > now() - make_interval(secs => n.cache_s)
             order by g.lane) z;
  end if;
  with given as materialized (
    select g.id, g.item_id, g.component, g.tier, g.lane as home, coalesce(f.hits, g.lane) as lane, g.priority, g.est, g.cache_key, g.category, g.error, g.of_task
      from unnest(p_ids, p_items, p_components, p_tiers, p_lanes, p_priorities, p_est, p_cache_keys, p_categories, p_errors, p_of)
                  as g (id, item_id, component, tier, lane, priority, est, cache_key, category, error, of_task)
      join tidegate.lanes n on n.lane = g.lane
      left join unnest(v_from, v_to) f (lane, hits) on f.lane = g.lane
       and exists (select from tidegate.result_cache c where c.key = g.cache_key and c.created_at > now() - make_interval(secs => n.cache_s))
  ), keyed as materialized (
    select g.component, g.item_id, g.id as task_id from given g
     cross join lateral (
       select from tidegate.open_keys k
        where k.worker = v_run.worker and k.component = g.component and k.item_id = g.item_id and k.task_id = g.id limit 1) k
  ), needed as materialized (
    -- of a step that waits in another run, or was answered there meanwhile, the answer of that one
    select u.task_id, u.component,
           case when u.settled or k.task_id is not null or g.error is not null then u.of_task
                else coalesce(o.task_id, (select e.o_task from tidegate.earlier_results_v1(v_run.worker, array[u.component], array[g.item_id]) e), u.of_task) end as of_task,
           g.error is not null or k.task_id is null as due
      from unnest(p_need_tasks, p_need_components, p_need_of, p_need_settled) as u (task_id, component, of_task, settled)
      left join given g on v_mine and g.id = u.of_task
      left join keyed k on v_mine and k.task_id = u.of_task
      left join lateral (
        select o.task_id from tidegate.open_keys o
         where v_mine and not u.settled and k.task_id is null and o.worker = v_run.worker and o.component = u.component and o.item_id = g.item_id limit 1) o on true
  ), waits as materialized (
    select z.task_id, z.of_task, z.due
      from needed z left join lateral (select s.state from tidegate.tasks s where s.id = z.of_task limit 1) s on true
     where s.state is distinct from 'done'
  ), born as (
    insert into tidegate.tasks (id, run_id, worker, component, item_id, category, tier, priority, model, fallback_models, state, max_attempts,
                                cache_key, est_tokens, lane, finished_at, error_class, last_error, reprocess_of)
    select g.id, p_run, v_run.worker, g.component, g.item_id, g.category, g.tier, g.priority,
           w.names[1], coalesce(w.names[2:], '{}'),
           case when g.error is not null then 'failed'
                when v_mine and exists (select from waits z where z.task_id = g.id) then 'blocked'
                -- all that it needs is done, but not by tasks of this load: its prompt is still to be rendered
                when coalesce(g.cache_key, '') = '' and n.ladder <> '{}' then 'blocked' else 'ready' end,
           4 * greatest(1, cardinality(n.ladder)),
           nullif(g.cache_key, ''), g.est, g.lane, case when g.error is not null then clock_timestamp() end,
           case when g.error is not null then 'input' end, g.error, g.of_task
      from given g
      join tidegate.lanes n on n.lane = g.home
      cross join lateral (select array_agg(m.model order by z.rung) as names
                            from unnest(n.ladder) with ordinality z (model_id, rung) join tidegate.models m on m.model_id = z.model_id) w
      left join keyed k on k.task_id = g.id
     where k.task_id is not null or g.error is not null
    returning id, tier, lane, priority, est_tokens, state, cache_key, model
  ), segs as materialized (
    select z.lane, nextval('tidegate.segment_numbers')::int as seg, z.top
      from (select b.lane, max(b.priority) as top from born b where b.state = 'ready' group by b.lane) z
  ), sealed as (
    insert into tidegate.segments (lane, seg, top, sealed) select lane, seg, top, true from segs
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n) select p_run, b.tier, b.state, count(*) from born b group by b.tier, b.state
  ), queued as (
    insert into tidegate.ready (lane, seg, priority, id, est_input, attempts, epoch, tries, rescues, spent_ms)
    select b.lane, s.seg, b.priority, b.id, b.est_tokens, 0, 0, '{}', 0, 0
      from born b join segs s on s.lane = b.lane where b.state = 'ready' order by b.lane, b.priority desc, b.id
  ), held as (
    insert into tidegate.blocked (id, lane, needs, unrendered)
    select b.id, b.lane, (select count(distinct z.of_task) from waits z where z.task_id = b.id)::int, b.cache_key is null and b.model is not null
      from born b where b.state = 'blocked'
  ), wait_for as (
    insert into tidegate.needs (task_id, need_id, due)
    select z.task_id, z.of_task, bool_or(z.due) from waits z join born b on b.id = z.task_id and b.state = 'blocked' group by 1, 2
  ), inputs as (
    insert into tidegate.task_inputs (task_id, component, of_task) select z.task_id, z.component, z.of_task from needed z join born b on b.id = z.task_id
  ), refused as (
    insert into tidegate.failed (id, run_id, error_class) select b.id, p_run, 'input' from born b where b.state = 'failed'
  ), event as (
    insert into tidegate.event_batches (kind, process_id, task_ids)
    select case b.state when 'failed' then 'refused' else 'enqueued' end, p_loader, array_agg(b.id) from born b group by 1
  )
  select count(*) filter (where b.state <> 'failed'), v_n - count(*), count(*) filter (where b.state = 'failed')
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
alter function tidegate.enqueue_ranked_v2 set jit = off;
