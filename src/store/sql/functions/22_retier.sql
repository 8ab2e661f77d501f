-- New tiers, lanes and models for what waits of a run.

-- The tier of a rank key, by the last key of each tier but the last (`rank_ends_v1`): how many of them it comes after.
create or replace function tidegate.tier_of_v1(
  p_priority float8, p_item text, p_id uuid, p_priorities float8[], p_items text[], p_ids uuid[]
) returns smallint language sql immutable as $$
  select count(*)::smallint from unnest(p_priorities, p_items, p_ids) e (priority, item, id)
   where p_priority < e.priority or (p_priority = e.priority and (coalesce(p_item, ''), p_id) > (e.item, e.id))
$$;

-- The keys that stand at these ranks (from 1) over all tasks of the run: priority, highest first, ties by item. An end of 0
-- has no task before it: every key comes after it.
create or replace function tidegate.rank_ends_v1(p_run uuid, p_ends bigint[])
returns table (o_priority float8, o_item text, o_id uuid) language sql stable as $$
  select coalesce(z.priority, 'infinity'), coalesce(z.item, ''), coalesce(z.id, '00000000-0000-0000-0000-000000000000')
    from unnest(p_ends) with ordinality e (rank, place)
    left join (select t.priority, coalesce(t.item_id, '') as item, t.id,
                      row_number() over (order by t.priority desc, coalesce(t.item_id, ''), t.id) as rank
                 from tidegate.tasks t where t.run_id = p_run) z on z.rank = e.rank
   order by e.place
$$;

-- Puts the run under another definition, with the mix of its tiers, its pacing, and how its tasks are asked. Where that changes, it is
-- chosen anew for what waits. False: it has ended, is being loaded, or is gone.
create or replace function tidegate.redefine_run_v3(
  p_run uuid, p_hash bytea, p_mix real[], p_stagger_ms int, p_cool_after int, p_cool_ms int, p_strategy text, p_purpose text, p_within_s int
) returns boolean language plpgsql as $$
declare
  v tidegate.runs;
begin
  select * into v from tidegate.runs u where u.id = p_run and u.state in ('active', 'paused') for update;
  if not found then
    return false;
  end if;
  update tidegate.runs u
     set definition_hash = p_hash, mix = p_mix, stagger_ms = p_stagger_ms, cool_after = p_cool_after, cool_ms = p_cool_ms,
         strategy = p_strategy, purpose = p_purpose, within_s = p_within_s
   where u.id = p_run;
  if (v.strategy, v.purpose, v.within_s) is distinct from (p_strategy, p_purpose, p_within_s) then
    update tidegate.lanes n set held = p_strategy <> 'individual', singly = false
     where n.run_id = p_run and n.ladder <> '{}' and (n.held, n.singly) is distinct from (p_strategy <> 'individual', false);
  end if;
  if p_stagger_ms is null and p_cool_after is null then
    delete from tidegate.run_pacing z where z.run_id = p_run;
  end if;
  return true;
end $$;

-- Gives those of these tasks that wait the lane of their rank. What a worker took meanwhile is left alone: whoever takes a
-- row out of its book has it. The books first, then `tasks`, as everyone does. Calls of former models are forgotten where the
-- ladder is another one. Saying it twice is saying it once. Returns how many moved from which tier to which.
create or replace function tidegate.retier_v1(
  p_run uuid, p_tasks uuid[], p_lanes int[], p_priorities float8[], p_items text[], p_ids uuid[]
) returns table (o_from smallint, o_to smallint, o_n bigint) language plpgsql as $$
#variable_conflict use_column
declare
  c_calls_per_model constant int := 4;        -- as of a run's tasks; its twin is retry::CALLS_PER_MODEL
  v_state text;
  v_left uuid[] := p_tasks;
  v_rows tidegate.ready[];
  v_moves jsonb := '[]';
  v_some jsonb;
  v_turn int;
begin
  -- the run first, as `retry` does: it is not ended while something is added to its lanes
  select u.state into v_state from tidegate.runs u where u.id = p_run for update;
  if v_state is null or v_state not in ('active', 'paused') then
    return;
  end if;
  -- a lane is closed when a run ends, and not all are opened when tasks come back
  update tidegate.lanes n set open = true where n.lane = any (p_lanes) and not n.open;
  for v_turn in 1..5 loop
    with due as materialized (
      select t.id, t.lane, t.priority, t.tier, tidegate.tier_of_v1(t.priority, t.item_id, t.id, p_priorities, p_items, p_ids) as tier_now
        from tidegate.tasks t
       where t.id = any (v_left) and t.run_id = p_run and t.state in ('blocked', 'scheduled', 'ready')
    ), wanted as materialized (
      -- what is answered already stands in a lane beside its own, and stays there where its own does
      select d.id, d.lane, d.priority, d.tier, d.tier_now, n.lane as lane_now, n.ladder as ladder_now, n.ladder <> o.ladder as other_ladder
        from due d
        join tidegate.lanes n on n.lane = p_lanes[d.tier_now + 1]
        join tidegate.lanes h on h.lane = d.lane
        join tidegate.lanes o on o.lane = case when h.hits then tidegate.home_lane_v1(d.id) else d.lane end
       where n.lane <> o.lane
    ), from_ready as (
      delete from tidegate.ready w using wanted o
       where w.lane = o.lane and w.priority = o.priority and w.id = o.id
         and w.seg in (select s.seg from tidegate.segments s where s.lane = o.lane and s.open)
      returning w.*, o.lane_now, o.other_ladder
    ), in_scheduled as (
      update tidegate.scheduled s set lane = o.lane_now, tries = case when o.other_ladder then '{}' else s.tries end
        from wanted o where s.id = o.id
      returning s.id
    ), in_blocked as (
      update tidegate.blocked b set lane = o.lane_now from wanted o where b.id = o.id returning b.id
    ), had as materialized (
      select id from from_ready union all select id from in_scheduled union all select id from in_blocked
    ), told as (
      update tidegate.tasks t
         set tier = o.tier_now, lane = o.lane_now, model = z.names[1], fallback_models = coalesce(z.names[2:], '{}'),
             tries = case when o.other_ladder then '{}' else t.tries end,
             -- the key names the models of the former ladder: an answer of others is none to it
             cache_key = case when o.other_ladder then null else t.cache_key end,
             -- a task that came with its own number of attempts keeps it
             max_attempts = case when o.other_ladder and t.payload is null and o.ladder_now <> '{}'
                                 then t.attempts + c_calls_per_model * array_length(o.ladder_now, 1) else t.max_attempts end
        from had h
        join wanted o on o.id = h.id
        cross join lateral (select array_agg(m.model order by r.rung) as names
                              from unnest(o.ladder_now) with ordinality r (model_id, rung) join tidegate.models m on m.model_id = r.model_id) z
       where t.id = h.id
      returning t.id, t.state, o.tier, o.tier_now
    ), counted as (
      insert into tidegate.run_counts (run_id, tier, state, n)
      select p_run, z.tier, k.state, z.sign * k.n
        from (select t.tier, t.tier_now, t.state, count(*) as n from told t where t.tier <> t.tier_now group by t.tier, t.tier_now, t.state) k
        cross join lateral (values (k.tier, -1), (k.tier_now, 1)) z (tier, sign)
    ), event as (
      insert into tidegate.event_batches (kind, detail, task_ids)
      select 'retiered', 'to tier ' || t.tier_now, array_agg(t.id) from told t group by t.tier_now
    )
    select (select array_agg((w.lane_now, 0, w.priority, w.id, w.est_input, w.attempts, w.epoch,
                              case when w.other_ladder then '{}' else w.tries end, w.rescues, w.spent_ms)::tidegate.ready order by w.id)
              from from_ready w),
           (select jsonb_agg(jsonb_build_object('from', k.tier, 'to', k.tier_now, 'n', k.n))
              from (select t.tier, t.tier_now, count(*) as n from told t group by t.tier, t.tier_now) k),
           -- a row may move from one book to another meanwhile: those are looked for again
           (select array_agg(o.id) from wanted o where o.id not in (select h.id from had h))
      into v_rows, v_some, v_left;
    if v_rows is not null then
      perform tidegate.make_ready_v2(v_rows);
    end if;
    v_moves := v_moves || coalesce(v_some, '[]');
    exit when v_left is null;
  end loop;
  -- what was emptied is not to stand before what was filled
  perform tidegate.close_segments_v1(array(select n.lane from tidegate.lanes n where n.run_id = p_run));
  perform tidegate.wake_v1('ready');
  return query
    select m."from", m."to", sum(m.n)::bigint from jsonb_to_recordset(v_moves) as m ("from" smallint, "to" smallint, n bigint) group by 1, 2 order by 1, 2;
end $$;

-- What would be moved: how many waiting tasks of each tier and ladder belong to which tier.
create or replace function tidegate.retier_outlook_v1(p_run uuid, p_priorities float8[], p_items text[], p_ids uuid[])
returns table (o_from smallint, o_ladder int[], o_to smallint, o_n bigint) language sql stable as $$
  select z.tier, n.ladder, z.tier_now, count(*)
    from (select t.tier, case when (select h.hits from tidegate.lanes h where h.lane = t.lane) then tidegate.home_lane_v1(t.id) else t.lane end as lane,
                 tidegate.tier_of_v1(t.priority, t.item_id, t.id, p_priorities, p_items, p_ids) as tier_now
            from tidegate.tasks t where t.run_id = p_run and t.state in ('blocked', 'scheduled', 'ready')) z
    join tidegate.lanes n on n.lane = z.lane
   group by 1, 2, 3 order by 1, 3
$$;
