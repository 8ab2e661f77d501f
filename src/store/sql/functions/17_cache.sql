-- Answers that are kept, and tasks that need no call of their own: what they would ask is answered already, or an equal task is asking.

-- The lane of tasks whose answer is kept already, beside this one: it asks no model. Of several lanes it is asked in their order.
create or replace function tidegate.hit_lane_v1(p_lane int) returns int language plpgsql as $$
declare
  v_lane int;
begin
  select h.lane into v_lane from tidegate.lanes n
    join tidegate.lanes h on h.run_id = n.run_id and h.component = n.component and h.tier = n.tier and h.ladder = '{}'
   where n.lane = p_lane;
  if v_lane is null then
    insert into tidegate.lanes (run_id, component, component_priority, tier, ladder, est_output, call_timeout_ms, cache_s, cache_version, prompt_hash, hits)
    select n.run_id, n.component, n.component_priority, n.tier, '{}', 0, n.call_timeout_ms, n.cache_s, n.cache_version, n.prompt_hash, true
      from tidegate.lanes n where n.lane = p_lane
    on conflict (run_id, component, tier, ladder) do nothing;
    select h.lane into v_lane from tidegate.lanes n
      join tidegate.lanes h on h.run_id = n.run_id and h.component = n.component and h.tier = n.tier and h.ladder = '{}'
     where n.lane = p_lane;
  else
    update tidegate.lanes h set open = true where h.lane = v_lane and not h.open;
  end if;
  return v_lane;
end $$;

-- Takes these rows out of the ready book: hits go to the lane of what is answered already, the others wait for the equal task that is
-- asking (`blocked`, follows). Where one stood in front, more may: the next few hundred of these lanes are looked at too. Returns how many.
create or replace function tidegate.put_aside_v1(p_tids tid[], p_ids uuid[], p_hits boolean[], p_now timestamptz)
returns int language plpgsql as $$
#variable_conflict use_column
declare
  c_more constant int := 300;
  v_tids tid[] := p_tids;
  v_ids uuid[] := p_ids;
  v_hits boolean[] := p_hits;
  v_from int[];
  v_to int[];
  v_rows tidegate.ready[];
  v_hit uuid[];
  v_held uuid[];
begin
  with more as (
    select w.tid, w.id, exists (select from tidegate.result_cache c where c.key = t.cache_key and c.created_at > p_now - make_interval(secs => n.cache_s)) as hit,
           (exists (select from tidegate.running r where r.cache_key = t.cache_key)
            or exists (select from tidegate.batch_items b where b.cache_key = t.cache_key and b.waits)) as asked
      from (select distinct t.lane from tidegate.tasks t where t.id = any (p_ids)) l (lane)
      join tidegate.lanes n on n.lane = l.lane and n.cache_s is not null
      cross join lateral (
        select r.ctid as tid, r.id
          from (select s.seg from tidegate.segments s where s.lane = l.lane and s.open order by s.top desc, s.seg limit 20) s
          cross join lateral (select r.ctid, r.id from tidegate.ready r where r.lane = l.lane and r.seg = s.seg order by r.priority desc, r.id limit c_more) r
         limit c_more) w
      join tidegate.tasks t on t.id = w.id and t.cache_key is not null
  )
  select v_tids || coalesce(array_agg(m.tid), '{}'), v_ids || coalesce(array_agg(m.id), '{}'), v_hits || coalesce(array_agg(m.hit), '{}')
    into v_tids, v_ids, v_hits
    from more m where (m.hit or m.asked) and m.id <> all (p_ids);
  select array_agg(z.lane), array_agg(tidegate.hit_lane_v1(z.lane)) into v_from, v_to
    from (select distinct t.lane from unnest(v_ids, v_hits) g (id, hit) join tidegate.tasks t on t.id = g.id where g.hit order by t.lane) z;
  with locked as materialized (
    select w.ctid as tid from tidegate.ready w where w.ctid = any (v_tids) for update skip locked
  ), taken as (
    delete from tidegate.ready w where w.ctid = any (array(select l.tid from locked l)) returning w.*
  ), kinds as materialized (
    select k.*, g.hit, f.home from taken k join unnest(v_ids, v_hits) g (id, hit) on g.id = k.id left join unnest(v_from, v_to) f (lane, home) on f.lane = k.lane
  ), told as (
    update tidegate.tasks t set state = case when k.hit then 'ready' else 'blocked' end, lane = case when k.hit then k.home else k.lane end
      from kinds k where t.id = k.id
    returning t.id, t.cache_key
  ), held as (
    insert into tidegate.blocked (id, lane, needs, unrendered, follows)
    select k.id, k.lane, 0, false, t.cache_key from kinds k join told t on t.id = k.id where not k.hit
  ), event as (
    insert into tidegate.event_batches (kind, detail, task_ids)
    select 'held', 'an equal task is being asked', array_agg(k.id) from kinds k where not k.hit having count(*) > 0
  )
  select array_agg((k.home, 0, k.priority, k.id, k.est_input, k.attempts, k.epoch, k.tries, k.rescues, k.spent_ms)::tidegate.ready order by k.id) filter (where k.hit),
         array_agg(k.id) filter (where k.hit), array_agg(k.id) filter (where not k.hit)
    into v_rows, v_hit, v_held from kinds k;
  if v_rows is not null then
    perform tidegate.make_ready_v2(v_rows);
    perform tidegate.wake_v1('ready');
  end if;
  if v_held is not null then
    perform tidegate.count_moves_v1(v_held, 'ready', 'blocked');
  end if;
  return coalesce(array_length(v_hit, 1), 0) + coalesce(array_length(v_held, 1), 0);
end $$;
alter function tidegate.put_aside_v1 set enable_seqscan = off;
alter function tidegate.put_aside_v1 set jit = off;

-- Puts these blocked tasks, whose answer is kept, into the lanes of such; null: none.
create or replace function tidegate.into_hit_lanes_v1(p_tasks uuid[]) returns void language plpgsql as $$
declare
  v_from int[];
  v_to int[];
begin
  if p_tasks is null then
    return;
  end if;
  select array_agg(z.lane), array_agg(tidegate.hit_lane_v1(z.lane)) into v_from, v_to
    from (select distinct t.lane from tidegate.tasks t where t.id = any (p_tasks) order by t.lane) z;
  update tidegate.blocked b set lane = f.home from unnest(v_from, v_to) f (lane, home) where b.id = any (p_tasks) and b.lane = f.lane;
  update tidegate.tasks t set lane = f.home from unnest(v_from, v_to) f (lane, home) where t.id = any (p_tasks) and t.lane = f.lane;
end $$;

-- Lets go of tasks that wait for an equal one which is asked no more: its answer is kept, and all have it; or it is not, and of each
-- key the first asks for itself. p_keys null: whichever. Returns how many went on.
create or replace function tidegate.free_followers_v1(p_keys bytea[] default null, p_limit int default 1000) returns int language plpgsql as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_hit uuid[];
  v_next uuid[];
begin
  if not exists (select from tidegate.blocked b where b.follows is not null) then
    return 0;
  end if;
  with free as materialized (
    select b.id, b.lane, b.follows from tidegate.blocked b
     where b.follows is not null and (p_keys is null or b.follows = any (p_keys))
       and not exists (select from tidegate.running r where r.cache_key = b.follows)
       and not exists (select from tidegate.batch_items i where i.cache_key = b.follows and i.waits)
     order by b.id limit p_limit for update of b skip locked
  ), ranked as (
    select f.id, row_number() over (partition by f.follows order by t.priority desc, f.id) as nth,
           exists (select from tidegate.result_cache c where c.key = f.follows and c.created_at > now() - make_interval(secs => n.cache_s)) as hit
      from free f join tidegate.tasks t on t.id = f.id join tidegate.lanes n on n.lane = f.lane
  )
  select array_agg(r.id) filter (where r.hit), array_agg(r.id) filter (where not r.hit and r.nth = 1) into v_hit, v_next from ranked r;
  perform tidegate.into_hit_lanes_v1(v_hit);
  v_ids := coalesce(v_hit, '{}') || coalesce(v_next, '{}');
  return tidegate.unblock_v1(v_ids);
end $$;

-- Blocked tasks that are about to go on, and are answered already, go into the lane of those.
create or replace function tidegate.find_hits_v1(p_tasks uuid[]) returns void language plpgsql as $$
declare
  v_hit uuid[];
begin
  select array_agg(t.id) into v_hit
    from tidegate.tasks t
    join tidegate.lanes n on n.lane = t.lane and n.cache_s is not null and not n.hits
    join tidegate.result_cache c on c.key = t.cache_key and c.created_at > now() - make_interval(secs => n.cache_s)
   where t.id = any (p_tasks) and t.state = 'blocked';
  perform tidegate.into_hit_lanes_v1(v_hit);
end $$;

-- The lane in which a task asks a model: that of its ladder.
create or replace function tidegate.home_lane_v1(p_task uuid) returns int language sql stable as $$
  select n.lane from tidegate.tasks t
    join tidegate.lanes n on n.run_id = t.run_id and n.component = t.component and n.tier = t.tier and n.ladder <> '{}'
   where t.id = p_task
   order by n.ladder = (select array_agg(m.model_id order by z.rung) from unnest(t.model || t.fallback_models) with ordinality z (model, rung)
                          join tidegate.models m on m.model = z.model) desc nulls last, n.lane desc
   limit 1
$$;

-- Upkeep of the cache, a step: sums up its changes by day as they grow old, and while it holds more than it may, forgets up to
-- p_limit answers, those first that were used longest ago. One at a time, whoever calls. Returns how many were forgotten.
create or replace function tidegate.trim_cache_v1(p_entries bigint, p_bytes bigint, p_limit int default 1000) returns int language plpgsql as $$
declare
  v_entries bigint;
  v_bytes bigint;
  v_n int := 0;
begin
  if not pg_try_advisory_xact_lock(hashtext('tidegate.trim_cache')) then
    return 0;
  end if;
  with old as materialized (
    select c.ctid as tid from tidegate.cache_uses c
     where c.at < now() - interval '1 min' and c.at <> date_trunc('day', c.at) limit 20000
  ), gone as (
    delete from tidegate.cache_uses c where c.ctid = any (array(select o.tid from old o)) returning c.*
  )
  insert into tidegate.cache_uses (at, worker, hits, misses, entries, bytes)
  select date_trunc('day', g.at), g.worker, sum(g.hits), sum(g.misses), sum(g.entries), sum(g.bytes) from gone g group by 1, 2;
  select coalesce(sum(c.entries), 0), coalesce(sum(c.bytes), 0) into v_entries, v_bytes from tidegate.cache_uses c;
  if v_entries > p_entries or v_bytes > p_bytes then
    with oldest as materialized (
      select c.key, c.bytes, c.used_at from tidegate.result_cache c order by c.used_at limit p_limit for update skip locked
    ), old as materialized (
      -- no more than it must
      select z.key
        from (select o.key, row_number() over w as nth, sum(o.bytes) over w - o.bytes as before from oldest o window w as (order by o.used_at, o.key)) z
       where z.nth <= v_entries - p_entries or z.before < v_bytes - p_bytes
    ), gone as (
      delete from tidegate.result_cache c using old o where c.key = o.key returning c.worker, c.bytes
    ), counted as (
      insert into tidegate.cache_uses (worker, entries, bytes) select g.worker, -count(*), -sum(g.bytes) from gone g group by g.worker
    )
    select count(*)::int into v_n from gone;
  end if;
  return v_n;
end $$;

-- The keys of answers that a purge forgets; what is null is not looked at. p_model: who answered, as `provider/name` or as the provider
-- names it.
create or replace function tidegate.purgeable_v1(p_worker text, p_component text, p_model text, p_version text, p_prompt bytea, p_older interval)
returns setof bytea language sql stable as $$
  select c.key from tidegate.result_cache c
   where (p_worker is null or c.worker = p_worker) and (p_component is null or c.component = p_component)
     and (p_model is null or c.model = p_model or c.model_version = p_model) and (p_version is null or c.version = p_version)
     and (p_prompt is null or c.prompt_hash = p_prompt) and (p_older is null or c.created_at < now() - p_older)
$$;

-- Forgets up to p_limit of them.
create or replace function tidegate.purge_cache_v1(p_worker text, p_component text, p_model text, p_version text, p_prompt bytea, p_older interval, p_limit int)
returns int language sql volatile as $$
  with old as materialized (
    select c.key from tidegate.result_cache c
     where c.key in (select z.key from tidegate.purgeable_v1(p_worker, p_component, p_model, p_version, p_prompt, p_older) z (key) limit p_limit)
     limit p_limit for update skip locked
  ), gone as (
    delete from tidegate.result_cache c using old o where c.key = o.key returning c.worker, c.bytes
  ), counted as (
    insert into tidegate.cache_uses (worker, entries, bytes) select g.worker, -count(*), -sum(g.bytes) from gone g group by g.worker
  )
  select count(*)::int from gone
$$;

-- What the cache holds and what it did, by worker.
create or replace view tidegate.cache_stats as
  select c.worker, sum(c.entries)::bigint as entries, sum(c.bytes)::bigint as bytes, sum(c.hits)::bigint as hits, sum(c.misses)::bigint as misses,
         (sum(c.hits) / nullif(sum(c.hits) + sum(c.misses), 0))::float8 as hit_rate
    from tidegate.cache_uses c group by c.worker;

-- Packs of what workers ask: how many went, how many of their items were lost, since the size last changed. Returns the counts as they
-- are now; who sees that the size should change sets it (set_pack_size_v1).
create or replace function tidegate.note_packs_v1(p_worker text, p_component text, p_packs int, p_items int, p_lost int)
returns table (o_size smallint, o_most smallint, o_packs bigint, o_items bigint, o_lost bigint) language plpgsql as $$
#variable_conflict use_column
declare
  v_most smallint;
begin
  select max(n.pack_size) into v_most from tidegate.lanes n join tidegate.runs u on u.id = n.run_id
   where u.worker = p_worker and n.component = p_component and n.open;
  if v_most is null then
    return;
  end if;
  return query
  insert into tidegate.pack_sizes as z (worker, component, size, packs, items, lost) values (p_worker, p_component, v_most, p_packs, p_items, p_lost)
  on conflict (worker, component) do update set packs = z.packs + excluded.packs, items = z.items + excluded.items, lost = z.lost + excluded.lost
  returning z.size, v_most, z.packs, z.items, z.lost;
end $$;

-- Sets how many items travel together, unless somebody else did meanwhile. Returns whether it was set.
create or replace function tidegate.set_pack_size_v1(p_worker text, p_component text, p_old smallint, p_new smallint, p_reason text) returns boolean language sql volatile as $$
  with changed as (
    update tidegate.pack_sizes z set size = p_new, packs = 0, items = 0, lost = 0, changed_at = clock_timestamp()
     where z.worker = p_worker and z.component = p_component and z.size = p_old
    returning 1
  ), told as (
    insert into tidegate.pack_adjustments (worker, component, old, new, reason) select p_worker, p_component, p_old, p_new, p_reason from changed
  )
  select exists (select from changed)
$$;
