-- How much of each limit is left. The pure twin is `limits::room` (src/limits); a property test holds the two together.
--
-- p_windows_at: the moment windows are measured back from: the start of the transaction, so that waiting for a lock only
-- makes a window longer. p_now: the moment of the grant, read after the lock.
--
-- minute: no span of (60 s + guard) gets more than `size`, however placed; the guard covers calls that arrive late.
-- bucket and unknown counting: besides, at most `burst` at once and the rest evenly (GCRA; I. Cidon, "Traffic management", ITU-T
-- I.371). The burst is made smaller by what may refill during the guard, since arrivals may bunch by that much.
-- day: the provider's calendar. none: calls in flight.
create or replace function tidegate.limit_room_v1(p_limits int[], p_windows_at timestamptz, p_now timestamptz)
returns table (o_limit int, o_room bigint) language sql stable as $$
  select l.limit_id,
    greatest(0, case
      when l.dimension = 'concurrency' and l.worker is null then
        l.size - (select count(*) from tidegate.running r
                   where r.model_id in (select ml.model_id from tidegate.model_limits ml where ml.limit_id = l.limit_id))
      when l.dimension = 'concurrency' then
        l.size - (select count(*) from tidegate.running r
                    join tidegate.lanes n on n.lane = r.lane
                    join tidegate.runs u on u.id = n.run_id
                   where u.worker = l.worker)
      when l.window_kind = 'day' then
        l.size - (coalesce(newest.total, 0) - coalesce(before_day.total, 0)) - coalesce(corrected.delta, 0)
      when l.burst is null then
        l.size - (coalesce(newest.total, 0) - coalesce(before_window.total, 0)) - coalesce(corrected.delta, 0)
      else
        least(
          l.size - (coalesce(newest.total, 0) - coalesce(before_window.total, 0)) - coalesce(corrected.delta, 0),
          floor(
            greatest(ceil(l.burst / 2.0), l.burst - ceil(l.size * l.guard_ms / 60000.0))
            - extract(epoch from greatest(coalesce(newest.full_at, p_now), p_now) - p_now) * l.size / 60.0
            + 1e-6)::bigint)
    end)::bigint
  from tidegate.limits l
  left join lateral (
    select b.total, b.full_at from tidegate.limit_book b
     where b.limit_id = l.limit_id order by b.at desc limit 1) newest on l.window_kind <> 'none'
  left join lateral (
    select b.total from tidegate.limit_book b
     where b.limit_id = l.limit_id and b.at <= p_windows_at - make_interval(secs => 60 + l.guard_ms / 1000.0)
     order by b.at desc limit 1) before_window on l.window_kind = 'minute'
  left join lateral (
    select b.total from tidegate.limit_book b
     where b.limit_id = l.limit_id
       and b.at <= tidegate.day_start((select min(p.day_zone) from tidegate.providers p where p.quota_scope = l.quota_scope), p_windows_at)
     order by b.at desc limit 1) before_day on l.window_kind = 'day'
  left join lateral (
    select sum(s.delta)::bigint as delta from tidegate.limit_settlements s
     where s.limit_id = l.limit_id
       and s.at > p_windows_at - make_interval(secs => 60 + l.guard_ms / 1000.0)) corrected
    on l.window_kind = 'minute' and l.dimension in ('input_tokens', 'total_tokens')
  where l.limit_id = any (p_limits)
$$;

-- When the limit will have room for `p_need` again, if nothing else happens; null: when a call in flight ends.
create or replace function tidegate.limit_opens_at_v1(p_limit int, p_need bigint, p_now timestamptz)
returns timestamptz language sql stable as $$
  select case
    when l.size = 0 then null  -- until a person raises it
    when l.dimension = 'concurrency' then null
    when (select r.o_room from tidegate.limit_room_v1(array[l.limit_id], p_now, p_now) r) >= least(p_need, l.size) then p_now
    when l.window_kind = 'day' then
      tidegate.day_end((select min(p.day_zone) from tidegate.providers p where p.quota_scope = l.quota_scope), p_now)
    else greatest(
      p_now,
      -- the bucket: when enough has dripped in
      case when l.burst is not null then
        (select b.full_at from tidegate.limit_book b where b.limit_id = l.limit_id order by b.at desc limit 1)
        - make_interval(secs => ((greatest(ceil(l.burst / 2.0), l.burst - ceil(l.size * l.guard_ms / 60000.0))
                                  - least(p_need, l.burst)) * 60.0 / l.size)::float8)
      end,
      -- the window: when enough of the oldest has left it; nothing where it has room
      case when coalesce(newest.total, 0) - coalesce(before_window.total, 0) > l.size - least(p_need, l.size) then
        (select min(b.at) + make_interval(secs => 60 + l.guard_ms / 1000.0)
           from tidegate.limit_book b
          where b.limit_id = l.limit_id
            and b.at > p_now - make_interval(secs => 60 + l.guard_ms / 1000.0)
            and newest.total - b.total <= l.size - least(p_need, l.size))
      end)
  end
  from tidegate.limits l
  left join lateral (
    select b.total from tidegate.limit_book b where b.limit_id = l.limit_id order by b.at desc limit 1) newest on true
  left join lateral (
    select b.total from tidegate.limit_book b
     where b.limit_id = l.limit_id and b.at <= p_now - make_interval(secs => 60 + l.guard_ms / 1000.0)
     order by b.at desc limit 1) before_window on true
  where l.limit_id = p_limit
$$;
