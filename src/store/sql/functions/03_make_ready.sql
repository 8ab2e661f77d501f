-- Puts rows into the ready book, in small numbers (released, due, rescued, retried by hand): into an unsealed segment of each
-- lane, so that such rows do not make a segment each. Who adds to a segment holds it FOR SHARE, and who closes a segment
-- takes it FOR UPDATE SKIP LOCKED and looks again: a segment that gets a row is never closed under it.
create or replace function tidegate.open_segment_v1(p_lane int) returns int language plpgsql as $$
declare
  v_seg int;
begin
  select s.seg into v_seg from tidegate.segments s
   where s.lane = p_lane and s.open and not s.sealed and s.created_at > now() - interval '60 s'
   order by s.seg desc
   limit 1
   for share;
  if v_seg is null then
    v_seg := nextval('tidegate.segment_numbers');
    insert into tidegate.segments (lane, seg, top, sealed) values (p_lane, v_seg, 'infinity', false);
  end if;
  return v_seg;
end $$;

create or replace function tidegate.make_ready_v1(
  p_ids uuid[], p_lanes int[], p_priorities float8[], p_est int[], p_attempts int[], p_epochs int[],
  p_tries text[], p_rescues smallint[], p_spent_ms bigint[]
) returns void language plpgsql as $$
declare
  v_lane int;
begin
  for v_lane in select distinct u from unnest(p_lanes) u order by u loop
    insert into tidegate.ready (lane, seg, priority, id, est_input, attempts, epoch, tries, rescues, spent_ms)
    select u.lane, tidegate.open_segment_v1(v_lane), u.priority, u.id, u.est, u.attempts, u.epoch, u.tries::smallint[], u.rescues, u.spent_ms
      from unnest(p_ids, p_lanes, p_priorities, p_est, p_attempts, p_epochs, p_tries, p_rescues, p_spent_ms)
           as u (id, lane, priority, est, attempts, epoch, tries, rescues, spent_ms)
     where u.lane = v_lane;
  end loop;
end $$;

-- Closes segments of these lanes that are used up; late closing only costs time. Returns how many.
create or replace function tidegate.close_segments_v1(p_lanes int[]) returns int language plpgsql as $$
declare
  v_lanes int[];
  v_segs int[];
  v_closed int;
begin
  select array_agg(z.lane), array_agg(z.seg) into v_lanes, v_segs from (
    select s.lane, s.seg from tidegate.segments s
     where s.open and s.lane = any (p_lanes)
       and not exists (select from tidegate.ready r where r.lane = s.lane and r.seg = s.seg)
     order by s.lane, s.seg
     limit 200
     for update of s skip locked) z;
  if v_lanes is null then
    return 0;
  end if;
  -- a second look under the lock, by a new snapshot: a row may have come between the first look and the lock
  update tidegate.segments s set open = false
    from unnest(v_lanes, v_segs) z (lane, seg)
   where s.lane = z.lane and s.seg = z.seg
     and not exists (select from tidegate.ready r where r.lane = s.lane and r.seg = s.seg);
  get diagnostics v_closed = row_count;
  return v_closed;
end $$;
