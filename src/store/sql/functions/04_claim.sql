-- The most that a call may cost, in micro-dollars, rounded up; null: a price is not known. Nine billion dollars at most, whatever
-- the price: more than any budget, and a thousand of them can still be summed.
create or replace function tidegate.worst_cost_v1(p_input int, p_input_price bigint, p_output_cost numeric) returns bigint
language sql immutable parallel safe as $$
  select case when p_input_price is not null and p_output_cost is not null
              then least(ceil((p_input::numeric * p_input_price + p_output_cost) / 1000000), 9000000000000000)::bigint end
$$;

-- Claim: take tasks together with the right to call their models. One transaction: look, lock the limits in order, sum
-- afresh, choose, then one statement that moves exactly the chosen rows, debits, and writes each call's intent.
--
-- Order: fair share among runs, the tier mix of each run, component priority, priority, oldest. Shares are by systematic
-- sampling with one random start (exact on average for any number of slots; the pure twin is `priority::Mix`).
-- Each task goes to a model of its ladder that has room, by its lane's policy: `ladder` the first, `spread` in proportion to what
-- they have left, `patient` the first, but to a later one only where the earlier ones do not open within the patience; `auto` is
-- a ladder within a provider and patient before it crosses to another. The first call after a cooldown is waited for no longer than
-- the patience either. First everybody's own share on the primary, then on
-- fallbacks, then what others left. So a fallback's own first-choice tasks come before those that fall back to it.
-- A task too large for what is left of a token limit is passed over by smaller ones for 5 s; then they leave it room, if a
-- minute brings it back and nothing else keeps the task from being taken.
-- Of a lane with packs, the next tasks join the call of the one before while it has room: they debit tokens and money, and
-- neither a request nor a slot. What has been answered already, or is being asked by an equal task, is put aside (see put_aside_v1).
--
-- The lock and the sums are two statements on purpose: one statement would sum by a snapshot taken before it waited.
create or replace function tidegate.claim_v5(
  p_process uuid,
  p_slots int,
  p_nonce bigint,
  p_providers text[],                        -- entries this process has a key for
  p_workers text[] default null,             -- null: all
  p_offset float8 default null,              -- tests: the sampling offset in [0, 1)
  p_now timestamptz default null,            -- tests: the moment
  p_interactive boolean default false,       -- may use what is reserved for interactive calls
  p_tasks uuid[] default null                -- these only: interactive calls of the caller's own, of one lane
) returns table (
  o_task uuid, o_run uuid, o_item text, o_generation int, o_lane int, o_tier smallint, o_model text, o_model_id int, o_rung smallint,
  o_ladder_len smallint, o_priority float8, o_est_input int, o_attempt int, o_max_attempts int, o_epoch int, o_tries smallint[], o_rescues smallint,
  o_spent_ms bigint, o_est_output int, o_call uuid, o_granted_at timestamptz, o_call_timeout_ms int, o_input_price bigint, o_output_price bigint,
  o_definition bytea, o_expired boolean, o_worker text, o_component text, o_pack uuid, o_put_aside int, o_place bigint
) language plpgsql as $$
#variable_conflict use_column
declare
  c_hold_after constant interval := '5 s';   -- a large task passed over for so long is left room
  c_hold_for constant interval := '3 min';   -- and no longer than this: it may not come up again behind what came since
  c_calls_per_model constant smallint := 4;  -- the first call and 3 retries; its twin is retry::CALLS_PER_MODEL
  c_packed_max constant int := 1000;         -- a claim that took so many opens no further pack: its calls must not be later than their grant
  v_windows_at timestamptz := coalesce(p_now, now());
  v_now timestamptz;
  v_lanes int[];
  v_models int[];
  v_limits int[];                            -- the limits that may be debited, by id; what follows is by their place here: ids only grow
  v_room bigint[];
  v_dim text[];
  v_size bigint[];
  v_ml_from int[];                           -- model id -> stretch of v_ml
  v_ml_to int[];
  v_ml int[] := '{}';
  c_run uuid[];
  c_tier smallint[];
  c_quota int[];
  c_share float8[];
  c_worker text[];
  v_acc float8;
  v_total float8;
  v_prev int;
  v_this int;
  v_left int := p_slots;
  v_want int;
  v_got int;
  v_phase int;
  v_rung int;
  v_model int;
  v_limit int;
  v_fits boolean;
  v_need bigint;
  v_offset float8 := coalesce(p_offset, random());
  i int;
  k int;
  row_ record;
  v_tids tid[] := '{}';
  v_ids uuid[] := '{}';
  v_picked_models int[] := '{}';
  v_picked_rungs smallint[] := '{}';
  v_picked_outs int[] := '{}';
  v_dirty int[] := '{}';
  v_closed int := 0;
  v_suspect_free boolean;
  v_patient boolean;
  v_opens timestamptz[];                     -- model id -> when it may be called, of models that cannot be now (patient lanes)
  v_asked timestamptz[];                     -- model id -> end of a cooldown after which no call has come back yet
  v_largest bigint[];                        -- model id -> the longest prompt that its limits of tokens ever let pass
  v_gate int[];                              -- model id -> calls that the gate after a cooldown lets through; null: no gate
  v_given int[];                             -- model id -> calls given in this claim
  v_day_budget int;                          -- place
  v_budget_of uuid[];                        -- the run whose budget it is
  v_workers text[];                          -- limits of workers, and their places: few
  v_worker_limits int[];
  v_run_limits int[];                        -- of the cell: what holds besides the limits of models
  v_keeps boolean[];                         -- it keeps room for a large task: tokens per minute; a day would be blocked for too long
  v_held bigint[];                           -- room that waits for a large task
  v_held_task uuid[];
  v_passed_limits int[] := '{}';             -- limits for which a large task was passed over, and that task
  v_passed_tasks uuid[] := '{}';
  v_passed_needs bigint[] := '{}';
  v_paced uuid[] := '{}';                    -- runs with pacing, and how many they may start now
  v_paced_left int[] := '{}';
  v_place int;
  v_best int;
  v_best_left float8;
  v_left_of float8;
  v_out int;
  v_torn boolean;                            -- some tasks were lost in packs: they travel with fewer
  v_most int;
  v_joins boolean;                           -- this look is for a place in a pack that is open
  v_over boolean;                            -- it may open no call of its own
  v_unit int;                                -- what it debits of requests and calls at once
  v_from int;
  v_to int;
  v_pack int;                                -- a call of this claim, by its place in the arrays below
  v_pack_lane int[] := '{}';
  v_pack_rung int[] := '{}';
  v_pack_room int[] := '{}';                 -- items that may still join it
  v_pack_n int[] := '{}';
  v_pack_tokens bigint[] := '{}';
  v_picked_packs int[] := '{}';
  v_aside_tids tid[];
  v_aside_ids uuid[];
  v_aside_hits boolean[];
  v_aside int := 0;
begin
  if p_slots <= 0 then
    return;
  end if;
  -- 0. a process that was declared lost takes nothing more
  if not exists (select from tidegate.processes p
                  where p.id = p_process and p.lost_at is null and p.lease_until > coalesce(p_now, clock_timestamp())) then
    raise exception 'process % holds no lease', p_process using errcode = 'TG001', hint = 'start again under a new process id';
  end if;

  -- 1. without locks: lanes that hold anything, models that anybody may call, limits with room
  select array_agg(n.lane order by n.lane) into v_lanes
    from tidegate.lanes n
    join tidegate.runs u on u.id = n.run_id
   where n.open and not n.held and n.ladder <> '{}' and u.state = 'active'
     and case when p_tasks is null then not n.interactive else n.lane in (select t.lane from tidegate.tasks t where t.id = any (p_tasks)) end
     and (p_workers is null or u.worker = any (p_workers))
     and not exists (select from tidegate.worker_pauses z where z.worker = u.worker)
     and not exists (select from tidegate.run_pacing z where z.run_id = u.id and z.next_at > coalesce(p_now, clock_timestamp()))
     -- a probe a lane: there may be thousands of segments
     and (select true from tidegate.segments s where s.lane = n.lane and s.open limit 1);
  if v_lanes is null then
    return;
  end if;
  select array_agg(m.model_id order by m.model_id) into v_models
    from tidegate.models m
    join tidegate.providers p on p.name = m.provider
   where m.model_id in (select distinct z from tidegate.lanes n, unnest(n.ladder) z where n.lane = any (v_lanes))
     and m.provider = any (p_providers)
     and m.parked is null and p.parked is null
     and not exists (select from tidegate.model_cooldowns c
                      where c.quota_scope = p.quota_scope and c.wire_name = m.wire_name
                        and (c.until > coalesce(p_now, clock_timestamp())
                             -- somebody's probe is under way
                             or (c.proven_at is null and exists (select from tidegate.running r where r.model_id = m.model_id and r.granted_at >= c.until))));
  if v_models is null then
    return;
  end if;
  select array_agg(distinct ml.limit_id) into v_limits from tidegate.model_limits ml where ml.model_id = any (v_models);
  -- models whose limits are all but spent are left out before anything is locked
  select array_agg(m) into v_models from unnest(v_models) m
   where m not in (select ml.model_id
                     from tidegate.limit_room_v2(coalesce(v_limits, '{}'), v_windows_at, v_windows_at, p_interactive) r
                     join tidegate.model_limits ml on ml.limit_id = r.o_limit
                    where r.o_room <= 0);
  if v_models is null then
    return;
  end if;
  select coalesce(array_agg(distinct z order by z), '{}') into v_limits from (
    select ml.limit_id z from tidegate.model_limits ml where ml.model_id = any (v_models)
    union all
    select l.limit_id from (select distinct n.run_id from tidegate.lanes n where n.lane = any (v_lanes)) u
      join tidegate.limits l on l.run_id = u.run_id
    union all
    -- of workers, and the day's budget
    select l.limit_id from tidegate.limits l
     where l.run_id is null
       and (l.dimension = 'money' and l.window_kind = 'day'
            or l.worker in (select u.worker from tidegate.lanes n join tidegate.runs u on u.id = n.run_id where n.lane = any (v_lanes)))) z;

  -- 2. the lock: limits that this claim may debit, in order of id, never updated by claims
  perform 1 from tidegate.limits l where l.limit_id = any (v_limits) order by l.limit_id for no key update;
  v_now := coalesce(p_now, clock_timestamp());
  select array_agg(z.limit_id), array_agg(z.o_room), array_agg(z.dimension), array_agg(z.size), array_agg(z.run_id),
         array_agg(z.keeps), array_agg(case when z.keeps and z.task_id is not null then least(z.need, z.size) else 0 end), array_agg(z.task_id),
         array_agg(z.worker) filter (where z.worker is not null), array_agg(z.place) filter (where z.worker is not null),
         max(z.place) filter (where z.dimension = 'money' and z.window_kind = 'day')
    into v_limits, v_room, v_dim, v_size, v_budget_of, v_keeps, v_held, v_held_task, v_workers, v_worker_limits, v_day_budget
    from (select l.limit_id, r.o_room, l.dimension, l.window_kind, l.size, l.run_id, l.worker, h.task_id, h.need,
                 l.window_kind = 'minute' and l.dimension in ('input_tokens', 'output_tokens', 'total_tokens') as keeps,
                 (row_number() over ())::int as place
            from tidegate.limit_room_v2(v_limits, v_windows_at, v_now, p_interactive) r
            join tidegate.limits l on l.limit_id = r.o_limit
            left join tidegate.limit_holds h on h.limit_id = l.limit_id and h.since < v_now - c_hold_after and h.since > v_now - c_hold_for
             and exists (select from tidegate.tasks t join tidegate.runs u on u.id = t.run_id
                          where t.id = h.task_id and t.state = 'ready' and u.state = 'active')) z;
  v_ml_from := array_fill(1, array[(select max(m.model_id) from tidegate.models m)]);
  v_ml_to := array_fill(0, array[array_length(v_ml_from, 1)]);
  for row_ in select z.model_id, array_agg(array_position(v_limits, ml.limit_id) order by ml.limit_id) as places
                from unnest(v_models) z (model_id) join tidegate.model_limits ml on ml.model_id = z.model_id
               group by z.model_id loop
    -- a limit that came while we waited for the lock is not ours: the model is for the next claim
    if array_position(row_.places, null) is not null then
      v_models := array_remove(v_models, row_.model_id);
      continue;
    end if;
    v_ml_from[row_.model_id] := coalesce(array_length(v_ml, 1), 0) + 1;
    v_ml := v_ml || row_.places;
    v_ml_to[row_.model_id] := array_length(v_ml, 1);
  end loop;
  -- a cooldown may have been written while we waited for the lock; after one ended, few calls go at first
  v_given := array_fill(0, array[array_length(v_ml_from, 1)]);
  v_gate := array_fill(null::int, array[array_length(v_ml_from, 1)]);
  v_opens := array_fill(null::timestamptz, array[array_length(v_ml_from, 1)]);
  v_asked := v_opens;
  for row_ in
    select m.model_id, g.calls - (select count(*) from tidegate.running r where r.model_id = m.model_id and r.granted_at >= c.until and r.lead) as left_
      from tidegate.models m
      join tidegate.providers p on p.name = m.provider
      join tidegate.model_cooldowns c on c.quota_scope = p.quota_scope and c.wire_name = m.wire_name
      cross join lateral (select tidegate.gate_v1(c.until, c.proven_at, v_now) as calls) g
     where m.model_id = any (v_models) and g.calls is not null loop
    v_gate[row_.model_id] := greatest(0, row_.left_);
  end loop;
  select array_agg(m.model_id) into v_models
    from tidegate.models m join tidegate.providers p on p.name = m.provider
   where m.model_id = any (v_models) and m.parked is null and p.parked is null and v_gate[m.model_id] is distinct from 0;
  if v_models is null then
    return;
  end if;
  -- what is larger than the whole limit never passes; a quarter more is left for our estimate being high
  v_largest := array_fill(2147483647::bigint, array[array_length(v_ml_from, 1)]);
  for row_ in
    select ml.model_id, min(least(l.size, 2147483647) + least(l.size, 2147483647) / 4) as input
      from tidegate.model_limits ml join tidegate.limits l on l.limit_id = ml.limit_id
     where ml.model_id in (select z from tidegate.lanes n cross join lateral unnest(n.ladder) z where n.lane = any (v_lanes))
       and l.dimension in ('input_tokens', 'total_tokens')
     group by ml.model_id loop
    v_largest[row_.model_id] := row_.input;
  end loop;
  -- who is patient needs to know how long the models that are closed stay so, and since when one is asked whether it answers again
  for row_ in
    select z.model_id, c.until, c.proven_at
      from (select distinct z.model_id from tidegate.lanes n cross join lateral unnest(n.ladder) z (model_id)
             where n.lane = any (v_lanes) and n.policy in ('auto', 'patient')) z
      join tidegate.models m on m.model_id = z.model_id
      join tidegate.providers p on p.name = m.provider
      left join tidegate.model_cooldowns c on c.quota_scope = p.quota_scope and c.wire_name = m.wire_name and c.until <= v_now loop
    if row_.proven_at is null then
      v_asked[row_.model_id] := row_.until;
    end if;
    if row_.model_id <> all (v_models) then
      v_opens[row_.model_id] := coalesce(tidegate.model_opens_at_v1(row_.model_id, p_providers, v_now), v_now);
    end if;
  end loop;
  -- runs with pacing: their rows are locked, so that the whole fleet keeps to it
  for row_ in
    select u.id, u.stagger_ms, u.cool_after from tidegate.runs u
     where u.id in (select n.run_id from tidegate.lanes n where n.lane = any (v_lanes))
       and (u.stagger_ms is not null or u.cool_after is not null)
     order by u.id loop
    insert into tidegate.run_pacing (run_id, next_at, since_rest) values (row_.id, v_now, 0) on conflict do nothing;
    v_place := null;
    select case when z.next_at > v_now then 0
                else least(case when row_.stagger_ms is not null then 1 end,
                           row_.cool_after - case when z.since_rest >= row_.cool_after then 0 else z.since_rest end) end
      into v_place
      from tidegate.run_pacing z where z.run_id = row_.id for update;
    v_paced := v_paced || row_.id;
    v_paced_left := v_paced_left || v_place;
  end loop;

  -- a task whose process died twice (a literal 2: partial indexes know it) is taken alone of its kind: if it kills
  -- again, it was not for its neighbours
  v_suspect_free := not exists (select from tidegate.running r where r.process_id = p_process and r.rescues >= 2);
  v_torn := exists (select from tidegate.pack_most);

  -- 3. shares: a cell is one tier of one run
  select array_agg(z.run_id order by z.tier, z.run_id), array_agg(z.tier order by z.tier, z.run_id),
         array_agg(z.share order by z.tier, z.run_id), array_agg(z.worker order by z.tier, z.run_id)
    into c_run, c_tier, c_share, c_worker
    from (select y.run_id, y.tier, y.worker,
                 y.weight / sum(y.weight / y.tiers) over () * y.mix / sum(y.mix) over (partition by y.run_id) as share
            from (select n.run_id, n.tier, u.worker, u.weight::float8 as weight, coalesce(u.mix[n.tier + 1], 1)::float8 as mix,
                         count(*) over (partition by n.run_id)::float8 as tiers
                    -- a cell whose models are all closed would only be dealt slots that it cannot use
                    from (select distinct n.run_id, n.tier from tidegate.lanes n where n.lane = any (v_lanes) and n.ladder && v_models) n
                    -- one look-up a run: taken for one row, a join would walk all runs for each
                    cross join lateral (select u.worker, u.weight, u.mix from tidegate.runs u where u.id = n.run_id limit 1) u) y) z;

  for v_phase in 1..6 loop
    exit when v_left <= 0;
    -- phases 1 and 2 serve each cell's own share (on the primary, then on fallbacks); later ones share out what was left
    if v_phase <> 2 then
      v_total := (select sum(s) from unnest(c_share) s);
      exit when v_total is null or v_total <= 0;
      c_quota := array_fill(0, array[array_length(c_share, 1)]);
      v_acc := 0;
      v_prev := 0;
      for i in 1..array_length(c_share, 1) loop
        v_acc := v_acc + c_share[i] / v_total * v_left;
        -- the last cell takes the rounding, so that all slots are dealt
        v_this := case when i = array_length(c_share, 1) then greatest(v_left, floor(v_acc + v_offset)::int) else floor(v_acc + v_offset)::int end;
        c_quota[i] := v_this - v_prev;
        v_prev := v_this;
      end loop;
    end if;
    for i in 1..array_length(c_share, 1) loop
      v_want := least(c_quota[i], v_left);
      continue when v_want <= 0;
      v_got := 0;
      v_place := array_position(v_paced, c_run[i]);
      v_run_limits := array_remove(array[v_day_budget, array_position(v_budget_of, c_run[i])], null)
                      || array(select z.place from unnest(v_workers, v_worker_limits) z (worker, place) where z.worker = c_worker[i]);
      for row_ in
        select n.lane, n.ladder, n.policy, n.patience, n.max_output, n.outs, n.names, n.cost_in, n.cost_out, n.pack, n.pack_tokens,
               p.tid, p.id, p.est_input, p.tries, p.rescues, p.stale
          from (select n.lane, n.ladder, n.policy, make_interval(secs => n.patience_ms / 1000.0) as patience, n.max_output, n.component_priority,
                       n.pack_tokens, case when n.pack_size = 1 then 1 else least(n.pack_size, coalesce(
                         (select z.size from tidegate.pack_sizes z where z.worker = u.worker and z.component = n.component), n.pack_size)) end::int as pack,
                       k.outs, k.names, k.cost_in, k.cost_out,
                       (select max(v_largest[z]) from unnest(n.ladder) z where z = any (v_models)) as max_input
                  from tidegate.lanes n join tidegate.runs u on u.id = n.run_id
                 cross join lateral (
                   select array_agg(coalesce(q.tokens, n.est_output) order by z.rung) as outs, array_agg(m.provider order by z.rung) as names,
                          array_agg(m.input_price_microusd order by z.rung) as cost_in,
                          array_agg(m.output_price_microusd::numeric * coalesce(n.max_output, q.tokens, n.est_output) order by z.rung) as cost_out
                     from unnest(n.ladder) with ordinality z (model_id, rung)
                     join tidegate.models m on m.model_id = z.model_id
                     left join tidegate.output_quantiles q on q.worker = u.worker and q.component = n.component and q.model_id = z.model_id) k
                 where n.lane = any (v_lanes) and n.run_id = c_run[i] and n.tier = c_tier[i] and n.ladder && v_models) n
          cross join lateral (
            select w.tid, w.id, w.priority, w.est_input, w.tries, w.rescues, w.stale from (
              (select w.tid, w.id, w.priority, w.est_input, w.tries, w.rescues, false as stale
                 from (select s.seg from tidegate.segments s where s.lane = n.lane and s.open and not s.sealed
                        order by s.top desc, s.seg limit 50) s
                 cross join lateral (
                   select w.ctid as tid, w.id, w.priority, w.est_input, w.tries, w.rescues from tidegate.ready w
                    where w.lane = n.lane and w.seg = s.seg and w.ctid <> all (v_tids) and (w.rescues < 2 or v_suspect_free)
                      and (p_tasks is null or w.id = any (p_tasks))
                      -- rows that no open model may have, too large or tried too often, must not stand before those that can be served
                      and w.est_input <= n.max_input
                      and (w.tries = '{}' or exists (
                            select from unnest(n.ladder) with ordinality z (model_id, rung)
                             where z.model_id = any (v_models) and coalesce(w.tries[z.rung], 0) < c_calls_per_model
                               and w.est_input <= v_largest[z.model_id]))
                    order by w.priority desc, w.id limit v_want * n.pack + 16) w)
              union all
              (select w.tid, w.id, w.priority, w.est_input, w.tries, w.rescues, s.nth > 1 as stale
                 from (select s.seg, row_number() over (order by s.top desc, s.seg) as nth
                         from tidegate.segments s where s.lane = n.lane and s.open and s.sealed
                        order by s.top desc, s.seg limit 50) s
                 cross join lateral (
                   select w.ctid as tid, w.id, w.priority, w.est_input, w.tries, w.rescues from tidegate.ready w
                    where w.lane = n.lane and w.seg = s.seg and w.ctid <> all (v_tids) and (w.rescues < 2 or v_suspect_free)
                      and (p_tasks is null or w.id = any (p_tasks))
                      -- rows that no open model may have, too large or tried too often, must not stand before those that can be served
                      and w.est_input <= n.max_input
                      and (w.tries = '{}' or exists (
                            select from unnest(n.ladder) with ordinality z (model_id, rung)
                             where z.model_id = any (v_models) and coalesce(w.tries[z.rung], 0) < c_calls_per_model
                               and w.est_input <= v_largest[z.model_id]))
                    order by w.priority desc, w.id limit v_want * n.pack + 16) w
                limit v_want * n.pack + 16)) w
             order by w.priority desc, w.id
             limit v_want * n.pack + 16) p
         order by n.component_priority, p.priority desc, p.id
      loop
        if row_.stale and row_.lane <> all (v_dirty) then
          v_dirty := v_dirty || row_.lane;
        end if;
        continue when row_.rescues >= 2 and not v_suspect_free;
        v_most := 1;
        v_pack := null;
        if row_.pack > 1 and row_.rescues = 0 then
          v_most := row_.pack;
          if v_torn then
            v_most := least(v_most, (select z.most from tidegate.pack_most z where z.task_id = row_.id));
          end if;
          select max(z.place) into v_pack from unnest(v_pack_lane, v_pack_room, v_pack_n, v_pack_tokens) with ordinality z (lane, room, n, tokens, place)
           where z.lane = row_.lane and z.room > 0 and z.n < v_most and z.tokens + row_.est_input <= row_.pack_tokens;
        end if;
        v_over := v_got >= v_want or v_place is not null and v_paced_left[v_place] <= 0
                  or row_.pack > 1 and coalesce(array_length(v_ids, 1), 0) >= c_packed_max;
        if v_over then
          -- no call more: what may still come joins one that is open
          exit when not exists (select from unnest(v_pack_room) z where z > 0);
          continue when v_pack is null;
        end if;
        v_best := null;
        -- first a place in the pack that is open, then a call of its own
        for v_look in 0..1 loop
          v_joins := v_look = 0;
          continue when v_joins and v_pack is null;
          exit when not v_joins and v_over;
          v_unit := case when v_joins then 0 else 1 end;
          v_from := case when v_joins then v_pack_rung[v_pack] else 1 end;
          v_to := case when v_joins then v_pack_rung[v_pack] else array_length(row_.ladder, 1) end;
          v_best_left := 0;
          v_patient := true;  -- the earlier rungs, if any, are closed for longer than the task is to wait
          for v_rung in v_from..v_to loop
            -- a rung whose calls are used up for this task is as if it were not there
            continue when coalesce(row_.tries[v_rung], 0) >= c_calls_per_model;
            v_model := row_.ladder[v_rung];
            -- to a later rung (of another provider, for `auto`) only where no earlier one opens within the patience
            if row_.policy in ('auto', 'patient') and v_rung > 1 then
              v_patient := not exists (
                select from generate_series(1, v_rung - 1) e
                 where coalesce(row_.tries[e], 0) < c_calls_per_model
                   and (row_.policy = 'patient' or row_.names[e] <> row_.names[v_rung])
                   and coalesce(v_opens[row_.ladder[e]], v_now) <= v_now + row_.patience
                   and coalesce(v_asked[row_.ladder[e]] + row_.patience >= v_now, true)
                   -- a prompt larger than what it takes in a whole window never passes there
                   and row_.est_input <= v_largest[row_.ladder[e]]);
            end if;
            if v_patient and v_model = any (v_models) and (v_joins or v_gate[v_model] is distinct from 0)
               and row_.est_input + (case when v_joins then v_pack_tokens[v_pack] else 0 end) <= v_largest[v_model] then
              v_out := row_.outs[v_rung];
              v_fits := true;
              v_left_of := 1e9;
              -- what its run and its worker may have comes first: room is kept for no task that could not use it
              foreach v_limit in array v_run_limits loop
                v_need := case v_dim[v_limit]
                  -- a budget holds only where the price is known
                  when 'money' then coalesce(tidegate.worst_cost_v1(row_.est_input, row_.cost_in[v_rung], row_.cost_out[v_rung]), v_room[v_limit] + 1)
                  else v_unit end;
                -- who joins a call asks for no further one; a budget that is spent is spent for what costs nothing, too
                if (v_need > 0 or v_dim[v_limit] = 'money') and (v_room[v_limit] < v_need or v_room[v_limit] <= 0) then
                  v_fits := false;
                  exit;
                end if;
              end loop;
              if v_fits then
                for k in v_ml_from[v_model]..v_ml_to[v_model] loop
                  v_limit := v_ml[k];
                  v_need := case v_dim[v_limit]
                    when 'input_tokens' then least(row_.est_input, v_size[v_limit])
                    when 'output_tokens' then least(v_out, v_size[v_limit])
                    -- the longest answer is charged at first, whatever it comes to
                    when 'total_tokens' then least(greatest(row_.est_input::bigint + v_out, row_.max_output), v_size[v_limit])
                    else v_unit end;
                  continue when v_joins and v_need = 0;
                  if v_room[v_limit] < v_need or v_room[v_limit] <= 0 then
                    v_fits := false;
                    -- the first that is passed over, in the order of the claim
                    if not v_joins and v_keeps[v_limit] and v_room[v_limit] < v_need and v_limit <> all (v_passed_limits) then
                      v_passed_limits := v_passed_limits || v_limit;
                      v_passed_tasks := v_passed_tasks || row_.id;
                      v_passed_needs := v_passed_needs || v_need;
                    end if;
                    exit;
                  end if;
                  -- room that a large task waits for is for that task
                  if v_held[v_limit] > 0 and v_held_task[v_limit] <> row_.id and v_room[v_limit] - v_held[v_limit] < v_need then
                    v_fits := false;
                    exit;
                  end if;
                  v_left_of := least(v_left_of, v_room[v_limit]::float8 / greatest(v_need, 1));
                end loop;
              end if;
              if v_fits then
                -- in proportion to what they had left when the claim began: highest averages (D'Hondt)
                v_left_of := (least(v_left_of, v_gate[v_model]) + v_given[v_model]) / (v_given[v_model] + 1);
                if v_best is null or v_left_of > v_best_left then
                  v_best := v_rung;
                  v_best_left := v_left_of;
                end if;
                exit when row_.policy <> 'spread';
              end if;
            end if;
            -- the primary only: fallbacks have their turn when all primaries were served. Of a spread, all are first choices
            exit when v_phase = 1 and row_.policy <> 'spread';
          end loop;
          exit when v_best is not null;
        end loop;
        if v_best is not null then
          v_model := row_.ladder[v_best];
          v_out := row_.outs[v_best];
          for k in v_ml_from[v_model]..v_ml_to[v_model] loop
            v_limit := v_ml[k];
            v_room[v_limit] := v_room[v_limit] - case v_dim[v_limit]
              when 'input_tokens' then least(row_.est_input, v_size[v_limit])
              when 'output_tokens' then least(v_out, v_size[v_limit])
              when 'total_tokens' then least(greatest(row_.est_input::bigint + v_out, row_.max_output), v_size[v_limit])
              else v_unit end;
            if v_held_task[v_limit] = row_.id then
              v_held[v_limit] := 0;
            end if;
          end loop;
          foreach v_limit in array v_run_limits loop
            v_room[v_limit] := v_room[v_limit] - case v_dim[v_limit]
              when 'money' then tidegate.worst_cost_v1(row_.est_input, row_.cost_in[v_best], row_.cost_out[v_best])
              else v_unit end;
          end loop;
          if v_joins then
            v_pack_room[v_pack] := least(v_pack_room[v_pack] - 1, v_most - v_pack_n[v_pack] - 1);
            v_pack_n[v_pack] := v_pack_n[v_pack] + 1;
            v_pack_tokens[v_pack] := v_pack_tokens[v_pack] + row_.est_input;
          else
            v_given[v_model] := v_given[v_model] + 1;
            v_gate[v_model] := v_gate[v_model] - 1;
            if v_place is not null then
              v_paced_left[v_place] := v_paced_left[v_place] - 1;
            end if;
            v_pack := array_length(v_pack_lane, 1) + 1;
            v_pack := coalesce(v_pack, 1);
            v_pack_lane := v_pack_lane || row_.lane;
            v_pack_rung := v_pack_rung || v_best;
            -- a task for which an earlier model is used up goes alone: its neighbours would have that model
            v_pack_room := v_pack_room || case when exists (select from generate_series(1, v_best - 1) e where coalesce(row_.tries[e], 0) >= c_calls_per_model)
                                               then 0 else v_most - 1 end;
            v_pack_n := v_pack_n || 1;
            v_pack_tokens := v_pack_tokens || row_.est_input::bigint;
            v_got := v_got + 1;
          end if;
          v_tids := v_tids || row_.tid;
          v_ids := v_ids || row_.id;
          v_picked_models := v_picked_models || v_model;
          v_picked_rungs := v_picked_rungs || v_best::smallint;
          v_picked_outs := v_picked_outs || v_out;
          v_picked_packs := v_picked_packs || v_pack;
          v_suspect_free := v_suspect_free and row_.rescues < 2;
        end if;
      end loop;
      v_left := v_left - v_got;
      if v_phase = 1 then
        c_quota[i] := c_quota[i] - v_got;
      elsif v_got < v_want then
        c_share[i] := 0;  -- nothing more to be had here in this claim
        select v_dirty || coalesce(array_agg(n.lane), '{}') into v_dirty
          from tidegate.lanes n where n.lane = any (v_lanes) and n.run_id = c_run[i] and n.tier = c_tier[i] and n.lane <> all (v_dirty);
      end if;
    end loop;
  end loop;

  if v_dirty <> '{}' then
    v_closed := tidegate.close_segments_v1(v_dirty);
  end if;
  -- what is answered already, or is being asked by an equal task, goes out of the way: it needs no call of its own
  if v_ids <> '{}' and exists (select from tidegate.lanes n where n.lane = any (v_pack_lane) and n.cache_s is not null and not n.interactive) then
    select array_agg(z.tid), array_agg(z.id), array_agg(z.hit) into v_aside_tids, v_aside_ids, v_aside_hits
      from (select g.tid, g.id, exists (select from tidegate.result_cache c where c.key = t.cache_key and c.created_at > v_now - make_interval(secs => n.cache_s)) as hit,
                   (exists (select from tidegate.running r where r.cache_key = t.cache_key)
                    or exists (select from tidegate.batch_items b where b.cache_key = t.cache_key and b.waits)) as asked,
                   row_number() over (partition by t.cache_key order by g.n) as nth
              from unnest(v_tids, v_ids) with ordinality g (tid, id, n)
              join tidegate.tasks t on t.id = g.id and t.cache_key is not null
              join tidegate.lanes n on n.lane = t.lane and n.cache_s is not null) z
     where z.hit or z.asked or z.nth > 1;
    if v_aside_ids is not null then
      v_aside := tidegate.put_aside_v1(v_aside_tids, v_aside_ids, v_aside_hits, v_now);
      select coalesce(array_agg(g.tid order by g.n), '{}'), coalesce(array_agg(g.id order by g.n), '{}'), coalesce(array_agg(g.model order by g.n), '{}'),
             coalesce(array_agg(g.rung order by g.n), '{}'), coalesce(array_agg(g.out order by g.n), '{}'), coalesce(array_agg(g.pack order by g.n), '{}')
        into v_tids, v_ids, v_picked_models, v_picked_rungs, v_picked_outs, v_picked_packs
        from unnest(v_tids, v_ids, v_picked_models, v_picked_rungs, v_picked_outs, v_picked_packs) with ordinality g (tid, id, model, rung, out, pack, n)
       where g.id <> all (v_aside_ids);
    end if;
  end if;
  if v_passed_limits <> '{}' then
    insert into tidegate.limit_holds as h (limit_id, task_id, need, since)
    select v_limits[z.place], z.task, z.need, v_now from unnest(v_passed_limits, v_passed_tasks, v_passed_needs) z (place, task, need)
     where z.task <> all (v_ids)
    on conflict (limit_id) do update set task_id = excluded.task_id, need = excluded.need, since = excluded.since
     -- one at a time, until it has been served
     where not exists (select from tidegate.tasks t where t.id = h.task_id and t.state = 'ready') or h.task_id = any (v_ids)
        or h.since <= v_now - c_hold_for;
  end if;
  if v_paced <> '{}' then
    update tidegate.run_pacing z
       set since_rest = case when z.since_rest >= coalesce(u.cool_after, 2147483647) then 0 else z.since_rest end + k.n,
           next_at = v_now + greatest(
             case when u.stagger_ms is not null then make_interval(secs => u.stagger_ms / 1000.0) else interval '0' end,
             case when case when z.since_rest >= coalesce(u.cool_after, 2147483647) then 0 else z.since_rest end + k.n >= u.cool_after
                  then make_interval(secs => u.cool_ms / 1000.0) else interval '0' end)
      from (select t.run_id, count(distinct g.pack)::int as n from unnest(v_ids, v_picked_packs) g (id, pack) join tidegate.tasks t on t.id = g.id group by t.run_id) k
      join tidegate.runs u on u.id = k.run_id
     where z.run_id = k.run_id and z.run_id = any (v_paced);
  end if;
  if v_tids = '{}' then
    if v_aside > 0 then
      -- nothing is taken, but what stood in front is out of the way: the caller asks again at once
      return query select null::uuid, null::uuid, null::text, null::int, null::int, null::smallint, null::text, null::int, null::smallint,
        null::smallint, null::float8, null::int, null::int, null::int, null::int, null::smallint[], null::smallint, null::bigint, null::int, null::uuid,
        null::timestamptz, null::int, null::bigint, null::bigint, null::bytea, null::boolean, null::text, null::text, null::uuid, v_aside, null::bigint;
      return;
    end if;
    -- so many used-up segments stood before those that hold something: they are closed now
    if v_closed >= 30 then
      return query select * from tidegate.claim_v5(p_process, p_slots, p_nonce, p_providers, p_workers, p_offset, p_now, p_interactive, p_tasks);
    end if;
    return;
  end if;

  if p_interactive then
    -- a little stays reserved for those who wait, for ten minutes from now
    update tidegate.limits l set interactive_at = v_now
      from tidegate.model_limits ml
     where ml.model_id = any (v_picked_models) and l.limit_id = ml.limit_id and l.limit_id = any (v_limits)
       and (l.interactive_at is null or l.interactive_at < v_now - interval '10 s');
  end if;
  -- 4. lock exactly those, move, debit, write the intents, report: one statement
  return query
  with locked as materialized (
    select w.ctid as tid from tidegate.ready w where w.ctid = any (v_tids) for update skip locked
  ), taken as (
    delete from tidegate.ready w where w.ctid = any (array(select l.tid from locked l)) returning w.*
  ), numbered as materialized (
    select z.*, case when z.items > 1 then first_value(z.call_id) over (partition by z.pack order by z.n) end as pack_id
      from (select t.*, c.model_id, c.rung, c.est_output, c.pack, c.n, tidegate.uuid_v7() as call_id,
                   row_number() over (partition by c.pack order by c.n) = 1 as lead, count(*) over (partition by c.pack) as items, min(c.n) over (partition by c.pack) as place
              from taken t
              -- a task that was retiered meanwhile may have been seen twice: once in its former lane, where it is no more
              join (select distinct on (z.id) z.* from unnest(v_ids, v_picked_models, v_picked_rungs, v_picked_outs, v_picked_packs)
                           with ordinality z (id, model_id, rung, est_output, pack, n) order by z.id, z.n desc) c on c.id = t.id) z
  ), now_running as (
    insert into tidegate.running (id, lane, priority, est_input, est_output, attempts, epoch, tries, rescues, spent_ms,
                                  nonce, process_id, model_id, rung, call_id, granted_at, deadline_at, lead, cache_key)
    select t.id, t.lane, t.priority, t.est_input, t.est_output, t.attempts + 1, t.epoch + 1, t.tries, t.rescues, t.spent_ms,
           p_nonce, p_process, t.model_id, t.rung, t.call_id, v_now,
           v_now + make_interval(secs => n.call_timeout_ms / 1000.0 + 60), t.lead,
           k.cache_key
      from numbered t
      join tidegate.lanes n on n.lane = t.lane
      left join tidegate.tasks k on n.cache_s is not null and not n.interactive and k.id = t.id
     -- in one order: claims under other limits may take equal tasks, and never wait for each other in a circle
     order by k.cache_key
    returning *
  ), told as (
    -- the state people see; nothing here is indexed, so the update is HOT
    update tidegate.tasks t
       set state = 'running', attempts = r.attempts, claims = t.claims + 1, epoch = r.epoch, process_id = p_process,
           started_at = v_now, run_at = null
      from now_running r
     where t.id = r.id
    returning t.id, t.run_id, t.worker, t.component, t.item_id, t.tier, t.generation, t.max_attempts,
              coalesce(t.expires_at <= v_now, false) as expired
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n)
    select k.run_id, k.tier, z.state, z.sign * k.n
      from (select t.run_id, t.tier, count(*) as n from told t group by t.run_id, t.tier) k
      cross join lateral (values ('ready', -1), ('running', 1)) z (state, sign)
  ), worth as materialized (
    -- the worst case of each call: money is reserved for the longest answer; null: a price is not known
    select r.id, tidegate.worst_cost_v1(r.est_input, m.input_price_microusd,
                                        coalesce(n.max_output, r.est_output)::numeric * m.output_price_microusd) as cost
      from now_running r join tidegate.models m on m.model_id = r.model_id join tidegate.lanes n on n.lane = r.lane
  ), booked as (
    insert into tidegate.limit_book (limit_id, at, total, full_at)
    select x.limit_id, greatest(coalesce(p_now, clock_timestamp()), newest.at + interval '1 us'), coalesce(newest.total, 0) + x.used,
           greatest(coalesce(newest.full_at, v_now), v_now)
             + case when l.size > 0 and l.window_kind = 'minute' then make_interval(secs => x.used * 60.0 / l.size) else interval '0' end
      from (select ml.limit_id,
                   sum(case l.dimension
                         when 'requests' then r.lead::int
                         when 'input_tokens' then r.est_input
                         when 'output_tokens' then r.est_output
                         else greatest(r.est_input::bigint + r.est_output, n.max_output) end)::bigint as used
              from now_running r
              join tidegate.lanes n on n.lane = r.lane
              join tidegate.model_limits ml on ml.model_id = r.model_id
              join tidegate.limits l on l.limit_id = ml.limit_id and l.dimension <> 'concurrency'
             group by ml.limit_id
            union all
            -- budgets: of the runs, and of the day
            select l.limit_id, sum(w.cost)::bigint
              from told t
              join worth w on w.id = t.id
              join tidegate.limits l on l.run_id = t.run_id and l.limit_id = any (v_limits)
             group by l.limit_id
            union all
            select v_limits[v_day_budget], sum(w.cost)::bigint from worth w where v_day_budget is not null) x
      join tidegate.limits l on l.limit_id = x.limit_id
      left join lateral (select b.at, b.total, b.full_at from tidegate.limit_book b
                          where b.limit_id = x.limit_id order by b.at desc limit 1) newest on true
     where x.used is not null
  ), intents as (
    insert into tidegate.calls (id, started_at, task_id, run_id, process_id, worker, component, tier, model, attempt,
                                est_input_tokens, est_output_tokens, est_cost_microusd, lead, pack_id)
    select r.call_id, r.granted_at, r.id, t.run_id, p_process, t.worker, t.component, t.tier, m.model, r.attempts, r.est_input, r.est_output,
           coalesce(w.cost, 0), r.lead, o.pack_id
      from now_running r
      join numbered o on o.id = r.id
      join told t on t.id = r.id
      join worth w on w.id = r.id
      join tidegate.models m on m.model_id = r.model_id
  ), event as (
    insert into tidegate.event_batches (kind, process_id, task_ids)
    select 'claimed', p_process, array_agg(r.id) from now_running r having count(*) > 0
  )
  select r.id, t.run_id, t.item_id, t.generation, r.lane, t.tier, m.model, r.model_id, r.rung, array_length(n.ladder, 1)::smallint,
         r.priority, r.est_input, r.attempts, t.max_attempts, r.epoch, r.tries, r.rescues, r.spent_ms, r.est_output, r.call_id, r.granted_at, n.call_timeout_ms,
         m.input_price_microusd, m.output_price_microusd, u.definition_hash, t.expired,
         t.worker, t.component, o.pack_id, v_aside, o.place
    from now_running r
    join numbered o on o.id = r.id
    join told t on t.id = r.id
    join tidegate.models m on m.model_id = r.model_id
    join tidegate.lanes n on n.lane = r.lane
    join tidegate.runs u on u.id = t.run_id;
end $$;
-- generic statistics make the planner read whole segments and sort them; a disabled node costs 1e10, which would switch JIT on
alter function tidegate.claim_v5 set plan_cache_mode = force_generic_plan;
alter function tidegate.claim_v5 set jit = off;
alter function tidegate.claim_v5 set enable_mergejoin = off;
alter function tidegate.claim_v5 set enable_seqscan = off;
alter function tidegate.claim_v5 set enable_bitmapscan = off;
alter function tidegate.claim_v5 set enable_sort = off;
