-- Claim of local work: tasks that ask no model, so that nothing is admitted and no lock is shared. Processes go past each
-- other's rows (SKIP LOCKED) and need not wait. Tasks whose answer is kept already come with it (o_answer, and who gave it). The order is that of claim_v5: fair share among runs, tier mix, component
-- priority, priority, oldest; the shares are dealt by systematic sampling (twin: `priority::quota`).
create or replace function tidegate.claim_local_v3(
  p_process uuid,
  p_slots int,
  p_nonce bigint,
  p_programs text[],                         -- workers whose handler this process brought
  p_workers text[] default null,             -- null: all
  p_kept boolean default false,              -- only tasks whose answer is kept already: they need no slot, and many go at once
  p_offset float8 default null               -- tests: the sampling offset in [0, 1)
) returns table (
  o_task uuid, o_run uuid, o_item text, o_generation int, o_lane int, o_tier smallint, o_priority float8, o_attempt int,
  o_max_attempts int, o_epoch int, o_rescues smallint, o_spent_ms bigint, o_granted_at timestamptz, o_call_timeout_ms int,
  o_definition bytea, o_worker text, o_expired boolean, o_payload text, o_component text, o_answer text, o_model text, o_model_version text, o_version text
) language plpgsql as $$
#variable_conflict use_column
declare
  c_small constant int := 4000;              -- bytes of a payload that travels with its claim; larger ones are read afterwards
  c_run uuid[];
  c_tier smallint[];
  c_share float8[];
  c_quota int[];
  v_now timestamptz;
  v_lane record;
  v_rows tidegate.ready[] := '{}';
  v_some tidegate.ready[];
  v_stale boolean;
  v_offset float8 := coalesce(p_offset, random());
  v_acc float8;
  v_total float8;
  v_prev int;
  v_this int;
  v_left int := p_slots;
  v_want int;
  v_n int;
  v_turn int;
  v_dirty int[] := '{}';
  v_closed int := 0;
  v_hits uuid[] := '{}';                     -- those whose answer is kept, and that answer
  v_answers text[];
  v_models text[];
  v_versions text[];
  i int;
begin
  if p_slots <= 0 then
    return;
  end if;
  if not exists (select from tidegate.processes p where p.id = p_process and p.lost_at is null and p.lease_until > clock_timestamp()) then
    raise exception 'process % holds no lease', p_process using errcode = 'TG001', hint = 'start again under a new process id';
  end if;
  select array_agg(z.run_id order by z.tier, z.run_id), array_agg(z.tier order by z.tier, z.run_id),
         array_agg(z.share order by z.tier, z.run_id)
    into c_run, c_tier, c_share
    from (select y.run_id, y.tier,
                 y.weight / sum(y.weight / y.tiers) over () * y.mix / sum(y.mix) over (partition by y.run_id) as share
            from (select n.run_id, n.tier, u.weight::float8 as weight, coalesce(u.mix[n.tier + 1], 1)::float8 as mix,
                         count(*) over (partition by n.run_id)::float8 as tiers
                    from (select distinct n.run_id, n.tier from tidegate.lanes n
                           where n.open and n.ladder = '{}' and (n.hits or not p_kept)
                             -- a probe a lane: there may be thousands of segments
                             and (select true from tidegate.segments s where s.lane = n.lane and s.open limit 1)) n
                    join tidegate.runs u on u.id = n.run_id and u.state = 'active'
                   where (p_workers is null or u.worker = any (p_workers))
                     and not exists (select from tidegate.worker_pauses z where z.worker = u.worker)) y) z;
  if c_run is null then
    return;
  end if;
  -- 0. a task whose process died twice (a literal 2: partial indexes know it) is taken alone of its kind: if it kills
  -- again, it was not for its neighbours
  if not p_kept and not exists (select from tidegate.running r where r.process_id = p_process and r.rescues >= 2) then
    with one as materialized (
      select w.ctid as tid from tidegate.ready w
        join tidegate.lanes n on n.lane = w.lane
        join tidegate.runs u on u.id = n.run_id
       where w.rescues >= 2 and n.open and n.ladder = '{}' and n.run_id = any (c_run)
         and (not n.program or u.worker = any (p_programs))
       limit 1 for update of w skip locked
    ), gone as (
      delete from tidegate.ready w where w.ctid = any (array(select o.tid from one o)) returning w.*
    )
    select coalesce(array_agg(g), '{}') into v_rows from gone g;
    v_left := v_left - coalesce(array_length(v_rows, 1), 0);
  end if;

  -- 1. each cell's own share, then what others left
  for v_turn in 1..3 loop
    v_total := (select sum(s) from unnest(c_share) s);
    exit when v_left <= 0 or v_total <= 0;
    c_quota := array_fill(0, array[array_length(c_share, 1)]);
    v_acc := 0;
    v_prev := 0;
    for i in 1..array_length(c_share, 1) loop
      v_acc := v_acc + c_share[i] / v_total * v_left;
      v_this := case when i = array_length(c_share, 1) then greatest(v_left, floor(v_acc + v_offset)::int) else floor(v_acc + v_offset)::int end;
      c_quota[i] := v_this - v_prev;
      v_prev := v_this;
    end loop;
    for i in 1..array_length(c_share, 1) loop
      v_want := least(c_quota[i], v_left);
      continue when v_want <= 0;
      for v_lane in
        select n.lane from tidegate.lanes n join tidegate.runs u on u.id = n.run_id
         where n.run_id = c_run[i] and n.tier = c_tier[i] and n.open and n.ladder = '{}' and (n.hits or not p_kept)
           and (not n.program or u.worker = any (p_programs))
         order by n.component_priority, n.lane
      loop
        exit when v_want <= 0;
        with fresh as materialized (
          select w.tid, w.priority, w.id
            from (select s.seg from tidegate.segments s where s.lane = v_lane.lane and s.open and not s.sealed order by s.top desc, s.seg limit 50) s
            cross join lateral (
              select w.ctid as tid, w.priority, w.id from tidegate.ready w
               where w.lane = v_lane.lane and w.seg = s.seg and w.rescues < 2
               order by w.priority desc, w.id limit v_want for update skip locked) w
        ), in_order as materialized (
          select w.tid, w.priority, w.id, s.nth > 1 as stale
            from (select s.seg, row_number() over (order by s.top desc, s.seg) as nth
                    from tidegate.segments s where s.lane = v_lane.lane and s.open and s.sealed order by s.top desc, s.seg limit 50) s
            cross join lateral (
              select w.ctid as tid, w.priority, w.id from tidegate.ready w
               where w.lane = v_lane.lane and w.seg = s.seg and w.rescues < 2
               order by w.priority desc, w.id limit v_want for update skip locked) w
           limit v_want
        ), best as materialized (
          select f.tid, f.priority, f.id, false as stale from fresh f
          union all
          select o.tid, o.priority, o.id, o.stale from in_order o
           order by 2 desc, 3
           limit v_want
        ), gone as (
          delete from tidegate.ready w where w.ctid = any (array(select b.tid from best b)) returning w.*
        )
        select array_agg(g), (select bool_or(b.stale) from best b) into v_some, v_stale from gone g;
        v_n := coalesce(array_length(v_some, 1), 0);
        if v_n > 0 then
          v_rows := v_rows || v_some;
          v_left := v_left - v_n;
          v_want := v_want - v_n;
        end if;
        if v_stale or v_want > 0 then
          v_dirty := v_dirty || v_lane.lane;
        end if;
      end loop;
      if v_want > 0 then
        c_share[i] := 0;  -- nothing more to be had here in this claim
      end if;
    end loop;
  end loop;
  if v_dirty <> '{}' then
    v_closed := tidegate.close_segments_v1(v_dirty);
  end if;
  if v_rows = '{}' then
    -- so many used-up segments stood before those that hold something: they are closed now
    if v_closed >= 30 then
      return query select * from tidegate.claim_local_v3(p_process, p_slots, p_nonce, p_programs, p_workers, p_kept, p_offset);
    end if;
    return;
  end if;

  -- 2. what was answered, and is forgotten since, goes back to where it asks a model. The answers are read once: one that is forgotten
  -- a moment later is given all the same
  if exists (select from unnest(v_rows) r join tidegate.lanes n on n.lane = r.lane and n.hits) then
    select coalesce(array_agg(r.id), '{}'), array_agg(c.answer), array_agg(c.model), array_agg(c.model_version)
      into v_hits, v_answers, v_models, v_versions
      from unnest(v_rows) r
      join tidegate.lanes n on n.lane = r.lane and n.hits
      join tidegate.tasks t on t.id = r.id
      join tidegate.result_cache c on c.key = t.cache_key and c.created_at > now() - make_interval(secs => n.cache_s);
    select array_agg((tidegate.home_lane_v1(r.id), 0, r.priority, r.id, r.est_input, r.attempts, r.epoch, r.tries, r.rescues, r.spent_ms)::tidegate.ready order by r.id)
      into v_some
      from unnest(v_rows) r
      join tidegate.lanes n on n.lane = r.lane and n.hits
     where r.id not in (select h from unnest(v_hits) h);
    if v_some is not null then
      update tidegate.tasks t set lane = s.lane from unnest(v_some) s where t.id = s.id;
      -- it may have been closed when the run had ended, and not opened with the lane of what was put back
      update tidegate.lanes n set open = true where n.lane in (select s.lane from unnest(v_some) s) and not n.open;
      perform tidegate.make_ready_v2(v_some);
      perform tidegate.wake_v1('ready');
      v_rows := array(select r from unnest(v_rows) r where r.id not in (select s.id from unnest(v_some) s));
      if v_rows = '{}' then
        return query select * from tidegate.claim_local_v3(p_process, p_slots, p_nonce, p_programs, p_workers, p_kept, p_offset);
        return;
      end if;
    end if;
    -- noted only now and then, so that a hit writes nothing
    with stale as materialized (
      select c.key from unnest(v_rows) r join tidegate.lanes n on n.lane = r.lane and n.hits
        join tidegate.tasks t on t.id = r.id
        join tidegate.result_cache c on c.key = t.cache_key
       where c.used_at < now() - interval '10 min' order by c.key for update of c skip locked
    )
    update tidegate.result_cache c set used_at = now() from stale z where c.key = z.key;
  end if;

  -- 3. move and report: one statement
  v_now := clock_timestamp();
  return query
  with taken as materialized (
    select r.* from unnest(v_rows) r
  ), now_running as (
    insert into tidegate.running (id, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms,
                                  nonce, process_id, rung, granted_at, deadline_at)
    select t.id, t.lane, t.priority, t.est_input, t.attempts + 1, t.epoch + 1, t.tries, t.rescues, t.spent_ms,
           p_nonce, p_process, 1, v_now, v_now + make_interval(secs => n.call_timeout_ms / 1000.0 + 60)
      from taken t join tidegate.lanes n on n.lane = t.lane
  ), told as (
    update tidegate.tasks t
       set state = 'running', attempts = k.attempts + 1, claims = t.claims + 1, epoch = k.epoch + 1, process_id = p_process,
           started_at = v_now, run_at = null
      from taken k
     where t.id = k.id
    returning t.id, t.run_id, t.item_id, t.tier, t.generation, t.max_attempts, t.expires_at <= v_now as expired, t.component,
              case when octet_length(t.payload) <= c_small then t.payload end as payload
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select k.run_id, k.tier, z.state, z.sign * k.n
      from (select t.run_id, t.tier, count(*) as n from told t group by t.run_id, t.tier) k
      cross join lateral (values ('ready', -1), ('running', 1)) z (state, sign)
  ), event as (
    insert into tidegate.event_batches (kind, process_id, task_ids)
    select 'claimed', p_process, array_agg(k.id) from taken k
  )
  select k.id, t.run_id, t.item_id, t.generation, k.lane, t.tier, k.priority, k.attempts + 1, t.max_attempts, k.epoch + 1, k.rescues,
         k.spent_ms, v_now, n.call_timeout_ms, u.definition_hash, u.worker, coalesce(t.expired, false), t.payload,
         t.component, h.answer, h.model, h.model_version,
         case when n.hits then (select i.version from tidegate.items i where i.run_id = t.run_id and i.item_id = t.item_id) end
    from taken k
    join told t on t.id = k.id
    join tidegate.lanes n on n.lane = k.lane
    join tidegate.runs u on u.id = n.run_id
    left join unnest(v_hits, v_answers, v_models, v_versions) h (id, answer, model, model_version) on h.id = k.id;
end $$;
alter function tidegate.claim_local_v3 set plan_cache_mode = force_generic_plan;
alter function tidegate.claim_local_v3 set jit = off;
alter function tidegate.claim_local_v3 set enable_mergejoin = off;
alter function tidegate.claim_local_v3 set enable_seqscan = off;
alter function tidegate.claim_local_v3 set enable_bitmapscan = off;
alter function tidegate.claim_local_v3 set enable_sort = off;
