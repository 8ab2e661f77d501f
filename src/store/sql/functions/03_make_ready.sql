-- How a task's row comes into the ready book, and how the counts of a run are kept.

-- A few rows (released, due, rescued, enqueued one by one) go into an unsealed segment of each lane, so that such rows do not
-- make a segment each. Who adds to a segment holds it FOR SHARE, and who closes a segment takes it FOR UPDATE SKIP LOCKED and
-- looks again: a segment that gets a row is never closed under it. Young segments only: a claim walks over the dead rows of
-- an unsealed one, and while another session holds an old snapshot those stay.
create or replace function tidegate.open_segment_v2(p_lane int) returns int language plpgsql as $$
declare
  c_life constant interval := '5 s';
  v_seg int;
begin
  select s.seg into v_seg from tidegate.segments s
   where s.lane = p_lane and s.open and not s.sealed and s.created_at > now() - c_life
   order by s.seg desc
   limit 1
   for share;
  if v_seg is null then
    v_seg := nextval('tidegate.segment_numbers');
    insert into tidegate.segments (lane, seg, top, sealed) values (p_lane, v_seg, 'infinity', false);
  end if;
  return v_seg;
end $$;

-- Makes these rows ready (their `seg` is not looked at). Many rows of a lane make sealed segments of their own, in order of rank.
create or replace function tidegate.make_ready_v2(p_rows tidegate.ready[]) returns void language plpgsql as $$
declare
  c_many constant int := 200;
  c_segment constant int := 1000;
  v record;
begin
  for v in select r.lane, count(*) as n from unnest(p_rows) r group by r.lane order by r.lane loop
    if v.n < c_many then
      insert into tidegate.ready (lane, seg, priority, id, est_input, attempts, epoch, tries, rescues, spent_ms)
      select r.lane, tidegate.open_segment_v2(v.lane), r.priority, r.id, r.est_input, r.attempts, r.epoch, r.tries, r.rescues, r.spent_ms
        from unnest(p_rows) r where r.lane = v.lane;
    else
      with ranked as materialized (
        select r.*, (row_number() over (order by r.priority desc, r.id) - 1) / c_segment as nth from unnest(p_rows) r where r.lane = v.lane
      ), segs as materialized (
        select z.nth, nextval('tidegate.segment_numbers')::int as number, z.top
          from (select k.nth, max(k.priority) as top from ranked k group by k.nth order by k.nth) z
      ), sealed as (
        insert into tidegate.segments (lane, seg, top, sealed) select v.lane, g.number, g.top, true from segs g
      )
      insert into tidegate.ready (lane, seg, priority, id, est_input, attempts, epoch, tries, rescues, spent_ms)
      select k.lane, g.number, k.priority, k.id, k.est_input, k.attempts, k.epoch, k.tries, k.rescues, k.spent_ms
        from ranked k join segs g on g.nth = k.nth order by k.nth, k.priority desc, k.id;
    end if;
  end loop;
end $$;

-- Closes segments of these lanes that are used up; late closing only costs time. A lane may have thousands: its first 60 are looked
-- at, in the order of the claims, and the next 60 as long as half a lane's worth was used up. Returns how many.
create or replace function tidegate.close_segments_v1(p_lanes int[]) returns int language plpgsql as $$
declare
  v_lanes int[];
  v_segs int[];
  v_some int;
  v_closed int := 0;
begin
  for v_turn in 1..100 loop
    select array_agg(z.lane), array_agg(z.seg) into v_lanes, v_segs from (
      select s.lane, s.seg from tidegate.segments s
       where (s.lane, s.seg) in (
               select k.lane, k.seg from unnest(p_lanes) l (lane)
                cross join lateral (
                  select f.lane, f.seg from tidegate.segments f
                   where f.lane = l.lane and f.open order by f.top desc, f.seg limit 60) k
                where not exists (select from tidegate.ready r where r.lane = k.lane and r.seg = k.seg))
         and s.open
       order by s.lane, s.seg
       for update of s skip locked) z;
    exit when v_lanes is null;
    -- a second look under the lock, by a new snapshot: a row may have come between the first look and the lock
    update tidegate.segments s set open = false
      from unnest(v_lanes, v_segs) z (lane, seg)
     where s.lane = z.lane and s.seg = z.seg
       and not exists (select from tidegate.ready r where r.lane = s.lane and r.seg = s.seg);
    get diagnostics v_some = row_count;
    v_closed := v_closed + v_some;
    exit when v_some < 30;
  end loop;
  return v_closed;
end $$;
alter function tidegate.close_segments_v1 set enable_seqscan = off;
alter function tidegate.close_segments_v1 set enable_bitmapscan = off;
alter function tidegate.close_segments_v1 set jit = off;

-- Books a transition of these tasks in the counts of their runs. The hot paths (claim, settle) do it within their own statement.
create or replace function tidegate.count_moves_v1(p_tasks uuid[], p_from text, p_to text) returns void language sql volatile as $$
  insert into tidegate.run_counts (run_id, tier, state, n)
  select k.run_id, k.tier, z.state, z.sign * k.n
    from (select t.run_id, t.tier, count(*) as n from tidegate.tasks t where t.id = any (p_tasks) group by t.run_id, t.tier) k
    cross join lateral (values (p_from, -1), (p_to, 1)) z (state, sign)
   where z.state is not null
$$;
