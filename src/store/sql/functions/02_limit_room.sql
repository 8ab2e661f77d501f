create or replace function tidegate.limit_words_v1(p_dimension text, p_window text) returns text language sql immutable parallel safe as $$
  select case p_dimension when 'concurrency' then 'calls at once' when 'money' then 'budget' else replace(p_dimension, '_', ' ') end
         || case p_window when 'minute' then ' per minute' when 'day' then ' per day' when 'run' then ' of the run' else '' end
$$;

-- How many may start at once: the burst, less what may refill during the guard, at least half of it.
create or replace function tidegate.bucket_v1(p_burst bigint, p_size bigint, p_guard_ms int) returns numeric language sql immutable parallel safe as $$
  select greatest(ceil(p_burst / 2.0), p_burst - ceil(p_size * p_guard_ms / 60000.0))
$$;

-- What stays reserved for interactive calls: 5 %, at least 1, never over half; none of a limit of 1.
create or replace function tidegate.reserve_v1(p_size bigint) returns bigint language sql immutable parallel safe as $$
  select least(greatest(1, ceil(p_size * 0.05)), floor(p_size / 2.0))::bigint
$$;

-- Where the present day of a limit began, by its provider's calendar; money counts by UTC.
create or replace function tidegate.limit_day_start_v1(p_scope text, p_now timestamptz) returns timestamptz language sql stable as $$
  select tidegate.day_start(coalesce((select min(p.day_zone) from tidegate.providers p where p.quota_scope = p_scope), 'UTC'), p_now)
$$;

-- How much of each limit is left. The pure twin is `limits::room` (src/limits); a property test holds the two together.
--
-- p_windows_at: the moment windows are measured back from: the start of the transaction, so that waiting for a lock only
-- makes a window longer. p_now: the moment of the grant, read after the lock.
--
-- minute: no span of (60 s + guard) gets more than `size`, however placed; the guard covers calls that arrive late.
-- bucket and unknown counting: besides, at most `burst` at once and the rest evenly (GCRA; I. Cidon, "Traffic management", ITU-T
-- I.371). The burst is made smaller by what may refill during the guard, since arrivals may bunch by that much.
-- day: the provider's calendar. run: from its beginning. none: calls in flight.
-- p_interactive: false keeps back what is reserved for interactive calls for ten minutes after the last one.
create or replace function tidegate.limit_room_v2(p_limits int[], p_windows_at timestamptz, p_now timestamptz, p_interactive boolean default true)
returns table (o_limit int, o_room bigint) language sql stable as $$
  select l.limit_id,
    greatest(0, case
      when l.dimension = 'concurrency' and l.worker is null then
        l.size - (select coalesce(sum(k.n), 0) from tidegate.model_limits ml
                   cross join lateral (select count(*) as n from tidegate.running r where r.model_id = ml.model_id and r.lead) k
                   where ml.limit_id = l.limit_id)
      when l.dimension = 'concurrency' then
        l.size - (select count(*) from tidegate.running r
                    join tidegate.lanes n on n.lane = r.lane
                    join tidegate.runs u on u.id = n.run_id
                   where u.worker = l.worker and r.lead and r.model_id is not null)
      when l.window_kind = 'run' then
        l.size - coalesce(newest.total, 0) - coalesce(corrected.delta, 0)
      when l.window_kind = 'day' then
        l.size - (coalesce(newest.total, 0) - coalesce(before_day.total, 0)) - coalesce(corrected.delta, 0)
      when l.burst is null then
        l.size - (coalesce(newest.total, 0) - coalesce(before_window.total, 0)) - coalesce(corrected.delta, 0)
      else
        least(
          l.size - (coalesce(newest.total, 0) - coalesce(before_window.total, 0)) - coalesce(corrected.delta, 0),
          floor(
            tidegate.bucket_v1(l.burst, l.size, l.guard_ms)
            - extract(epoch from greatest(coalesce(newest.full_at, p_now), p_now) - p_now) * l.size / 60.0
            + 1e-6)::bigint)
    end - case when p_interactive or l.interactive_at is null or l.interactive_at < p_now - interval '10 min' or l.dimension = 'money' then 0
               else tidegate.reserve_v1(l.size) end)::bigint
  from tidegate.limits l
  -- conditions of the kind stand inside: what a kind has no use for is not even begun
  left join lateral (
    select b.total, b.full_at from tidegate.limit_book b
     where l.window_kind <> 'none' and b.limit_id = l.limit_id order by b.at desc limit 1) newest on true
  left join lateral (
    select b.total from tidegate.limit_book b
     where l.window_kind = 'minute' and b.limit_id = l.limit_id and b.at <= p_windows_at - make_interval(secs => 60 + l.guard_ms / 1000.0)
     order by b.at desc limit 1) before_window on true
  left join lateral (
    -- a case, since the planner would move the call up and make it for all
    select case when l.window_kind = 'day' then tidegate.limit_day_start_v1(l.quota_scope, p_windows_at) end as at) day on true
  left join lateral (
    select b.total from tidegate.limit_book b
     where l.window_kind = 'day' and b.limit_id = l.limit_id and b.at <= day.at
     order by b.at desc limit 1) before_day on true
  left join lateral (
    -- what was used more or less than reserved, at the moment of its grant; what others used of the same key
    select sum(s.delta)::bigint as delta from tidegate.limit_settlements s
     where l.window_kind <> 'none' and s.limit_id = l.limit_id
       and s.at > case l.window_kind when 'minute' then p_windows_at - make_interval(secs => 60 + l.guard_ms / 1000.0)
                                     when 'day' then day.at
                                     else '-infinity'::timestamptz end) corrected on true
  where l.limit_id = any (p_limits)
$$;

-- When the limit will have room for `p_need` again, if nothing else happens; null: when a call in flight ends, or a person raises it.
create or replace function tidegate.limit_opens_at_v2(p_limit int, p_need bigint, p_now timestamptz)
returns timestamptz language sql stable as $$
  select case
    when l.size = 0 or l.dimension = 'concurrency' or l.window_kind = 'run' then null
    when (select r.o_room from tidegate.limit_room_v2(array[l.limit_id], p_now, p_now) r) >= least(p_need, l.size) then p_now
    when l.window_kind = 'day' then
      tidegate.day_end(coalesce((select min(p.day_zone) from tidegate.providers p where p.quota_scope = l.quota_scope), 'UTC'), p_now)
    else greatest(
      p_now,
      -- the bucket: when enough has dripped in
      case when l.burst is not null then
        (select b.full_at from tidegate.limit_book b where b.limit_id = l.limit_id order by b.at desc limit 1)
        - make_interval(secs => ((tidegate.bucket_v1(l.burst, l.size, l.guard_ms) - least(p_need, l.burst)) * 60.0 / l.size)::float8)
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

-- How many calls of a model may be in flight after its last cooldown: one until a call granted after its end has come back, then
-- twice as many each half second. Null: no such gate (any more).
create or replace function tidegate.gate_v1(p_until timestamptz, p_proven_at timestamptz, p_now timestamptz) returns int
language sql immutable parallel safe as $$
  select case when p_until > p_now then 0
              when p_proven_at is null then 1
              when p_now < p_proven_at + interval '5 s' then (2 ^ (1 + floor(extract(epoch from p_now - p_proven_at) * 2)))::int end
$$;

-- When a model may be called again, as far as that is known: now, a moment to come, infinity (a person must act, or this process
-- has no key for it). What only waits for a call in flight is as if it were now; but where the first call after a cooldown has not come
-- back for longer than `p_patience`, who is so patient waits no more: infinity.
create or replace function tidegate.model_opens_at_v2(p_model int, p_providers text[], p_now timestamptz, p_patience interval)
returns timestamptz language sql stable as $$
  select case when p.parked is not null or m.parked is not null or (p_providers is not null and m.provider <> all (p_providers)) then 'infinity'::timestamptz
              when c.proven_at is null and c.until + p_patience < p_now then 'infinity'
              else greatest(p_now, c.until, (
                select max(case when l.size = 0 then 'infinity'::timestamptz else tidegate.limit_opens_at_v2(l.limit_id, 1, p_now) end)
                  from tidegate.model_limits ml join tidegate.limits l on l.limit_id = ml.limit_id
                 where ml.model_id = m.model_id)) end
    from tidegate.models m
    join tidegate.providers p on p.name = m.provider
    left join tidegate.model_cooldowns c on c.quota_scope = p.quota_scope and c.wire_name = m.wire_name
   where m.model_id = p_model
$$;

create or replace function tidegate.model_opens_at_v1(p_model int, p_providers text[], p_now timestamptz) returns timestamptz language sql stable as $$
  select tidegate.model_opens_at_v2(p_model, p_providers, p_now, null)
$$;

-- The earliest moment at which a claim that found too little may find more, as far as limits and cooldowns tell. Null: nothing waits
-- for them.
create or replace function tidegate.next_opening_v1(p_providers text[], p_workers text[]) returns timestamptz language sql stable as $$
  select min(tidegate.model_opens_at_v1(z.model_id, p_providers, now()))
    from (select distinct m.model_id
            from tidegate.lanes n
            join tidegate.runs u on u.id = n.run_id and u.state = 'active'
            cross join lateral unnest(n.ladder) m (model_id)
           where n.open and not n.held and (p_workers is null or u.worker = any (p_workers))
             and (select true from tidegate.segments s where s.lane = n.lane and s.open limit 1)) z
   where tidegate.model_opens_at_v1(z.model_id, p_providers, now()) > now()
$$;
