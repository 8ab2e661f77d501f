-- What is found out about limits: how they are counted, how large they are, who else uses them, how many calls at once a model
-- bears, how long answers are. Each change leaves a row in `limit_adjustments` with what it followed from.

create or replace function tidegate.adjust_limit_v1(
  p_limit int, p_what text, p_new bigint, p_reason text
) returns void language plpgsql as $$
declare
  v_old bigint;
begin
  select case p_what when 'burst' then l.burst when 'guard' then l.guard_ms else l.size end into v_old
    from tidegate.limits l where l.limit_id = p_limit for no key update;
  if v_old is not distinct from p_new then
    return;
  end if;
  update tidegate.limits l
     set size = case p_what when 'size' then p_new else l.size end,
         -- with the size the burst shrinks and grows, never above what was told of it
         burst = case p_what when 'burst' then p_new
                             when 'size' then case when l.burst is null then null else greatest(1, least(p_new, coalesce(l.told_burst, p_new), (l.burst::numeric * p_new / greatest(1, v_old))::bigint)) end
                             else l.burst end,
         guard_ms = case p_what when 'guard' then p_new else l.guard_ms end,
         evidence = p_reason, changed_at = clock_timestamp()
   where l.limit_id = p_limit;
  insert into tidegate.limit_adjustments (limit_id, what, old, new, reason) values (p_limit, p_what, v_old, p_new, p_reason);
end $$;

-- A limit whose way of counting nobody told is found out gently: as many at once as we dare, a step more each time the last
-- step came back clean while the limit was used to the full: doubling while small, then a second's worth, so that the one
-- step too many is refused a few calls, not hundreds. Dared in full, the whole minute's worth may start at once.
create or replace function tidegate.learn_counting_v1() returns int language plpgsql as $$
declare
  v_n int;
begin
  with asked as (
    select l.limit_id, greatest(1, case when l.burst < 8 then l.burst else l.size / 60 end) as step
      from tidegate.limits l
     where l.counting = 'unknown' and l.burst < l.size
       and exists (select from tidegate.limit_room_v2(array[l.limit_id], now(), now()) r where r.o_room <= 0)
     order by l.limit_id
     for no key update of l skip locked
  ), clean as (
    select a.limit_id, a.step
      from asked a join tidegate.limits l on l.limit_id = a.limit_id
      cross join lateral (
        select count(*) filter (where c.outcome = 'ok') as ok, count(*) filter (where c.outcome = 'rate_limited') as refused
          from tidegate.calls c
         where c.started_at > greatest(l.changed_at, now() - interval '10 min') and c.lead
           and c.model in (select m.model from tidegate.models m join tidegate.model_limits ml on ml.model_id = m.model_id where ml.limit_id = l.limit_id)) k
     where k.refused = 0 and k.ok >= greatest(3, a.step)
  ), dared as (
    update tidegate.limits l
       set burst = least(l.size, l.burst + c.step), changed_at = clock_timestamp(),
           evidence = l.burst || ' at once came back clean'
      from clean c where l.limit_id = c.limit_id
    returning l.limit_id, l.burst, l.evidence, c.step
  )
  insert into tidegate.limit_adjustments (limit_id, what, old, new, reason)
  select d.limit_id, 'burst', d.burst - d.step, d.burst, d.evidence from dared d;
  get diagnostics v_n = row_count;
  return v_n;
end $$;

-- What providers said of their limits, in headers or in the body of a refusal: a json array of {model, tokens, day, size, remaining,
-- resets_ms}. A size that nobody told is taken as it is said; one that was told is lowered by what is said, never raised above it.
-- What remains falling faster than our book means that somebody else uses the key: that use is booked too.
create or replace function tidegate.learn_notices_v1(p_notices jsonb) returns void language plpgsql as $$
declare
  n record;
  l tidegate.limits;
  v_scope text;
  v_name text;
  v_provider text;
  v_model int;
  v_dim text;
  v_size bigint;
  v_total bigint;
  v_full_at timestamptz;
  v_ours numeric;
  v_foreign bigint;
begin
  -- all of them first, in the order of the claims
  perform 1 from tidegate.limits z
   where z.limit_id in (select ml.limit_id from tidegate.model_limits ml join tidegate.models m on m.model_id = ml.model_id
                         where m.model in (select x ->> 'model' from jsonb_array_elements(p_notices) x))
   order by z.limit_id for no key update;
  for n in
    select z.* from jsonb_to_recordset(p_notices) as z (model text, tokens boolean, day boolean, size bigint, remaining bigint, resets_ms bigint)
     order by z.model, z.tokens, z.day loop
    select m.model_id, p.quota_scope, coalesce(m.shares, m.wire_name), m.provider into v_model, v_scope, v_name, v_provider
      from tidegate.models m join tidegate.providers p on p.name = m.provider where m.model = n.model;
    continue when v_model is null;
    v_dim := case when n.tokens then tidegate.token_dimension_v1(v_provider) else 'requests' end;
    select * into l from tidegate.limits z
     where z.quota_scope = v_scope and z.name = v_name and z.dimension = v_dim and z.window_kind = case when n.day then 'day' else 'minute' end;
    if l.limit_id is null then
      -- nobody told it: it is as the provider says
      continue when coalesce(n.size, 0) <= 0;
      insert into tidegate.limits (quota_scope, name, dimension, window_kind, size, counting, burst, source, evidence, said, said_at)
      values (v_scope, v_name, v_dim, case when n.day then 'day' else 'minute' end, n.size,
              case when v_dim = 'requests' and not n.day then 'unknown' else 'sliding' end,
              case when v_dim = 'requests' and not n.day then least(n.size, 3) end,
              'learned', 'the provider says ' || n.size, n.size, clock_timestamp())
      on conflict (quota_scope, name, dimension, window_kind) do nothing
      returning * into l;
      continue when l.limit_id is null;
      insert into tidegate.model_limits (model_id, limit_id)
      select m.model_id, l.limit_id from tidegate.models m join tidegate.providers p on p.name = m.provider
       where p.quota_scope = v_scope and coalesce(m.shares, m.wire_name) = v_name on conflict do nothing;
      perform tidegate.seed_book_v1(l.limit_id);
      insert into tidegate.limit_adjustments (limit_id, what, old, new, reason) values (l.limit_id, 'size', null, n.size, l.evidence);
    elsif n.size > 0 and n.size is distinct from l.said then
      update tidegate.limits z set said = n.size, said_at = clock_timestamp() where z.limit_id = l.limit_id;
      v_size := least(coalesce(l.told, n.size), n.size);
      if v_size <> l.size then
        perform tidegate.adjust_limit_v1(l.limit_id, 'size', v_size, 'the provider says ' || n.size);
        select * into l from tidegate.limits z where z.limit_id = l.limit_id;
      end if;
    end if;
    -- the quota that a refusal names tells nothing of who used it: a bucket may be empty long before its minute is
    continue when n.day or n.size is null or n.remaining is null or n.resets_ms is null;
    v_size := n.size;
    -- what is used comes back evenly: a bucket as large as the limit
    if l.counting = 'unknown' and v_size - n.remaining >= 3
       and n.resets_ms between (v_size - n.remaining) * 48000 / v_size - 50 and (v_size - n.remaining) * 72000 / v_size + 50 then
      update tidegate.limits z
         set counting = 'bucket', burst = z.size, changed_at = clock_timestamp(),
             evidence = 'the provider says that what is used comes back evenly'
       where z.limit_id = l.limit_id and z.counting = 'unknown'
      returning * into l;
      insert into tidegate.limit_adjustments (limit_id, what, old, new, reason) values (l.limit_id, 'burst', null, l.burst, l.evidence);
      continue;
    end if;
    select b.total, b.full_at into v_total, v_full_at from tidegate.limit_book b where b.limit_id = l.limit_id order by b.at desc limit 1;
    v_ours := greatest(0, extract(epoch from coalesce(v_full_at, now()) - now())) * l.size / 60.0;
    -- only who was told that it is a bucket may take the minute's use as flown off evenly
    if l.counting <> 'bucket' or l.told_burst is null then
      v_ours := greatest(v_ours, coalesce(v_total, 0)
        - coalesce((select b.total from tidegate.limit_book b where b.limit_id = l.limit_id and b.at <= now() - interval '60 s' order by b.at desc limit 1), 0)
        + coalesce((select sum(s.delta) from tidegate.limit_settlements s where s.limit_id = l.limit_id and s.at > now() - interval '60 s'), 0));
    end if;
    v_foreign := (v_size - n.remaining) - ceil(v_ours);
    if v_foreign > greatest(2, ceil(v_size * case when n.tokens then 0.05 else 0.02 end)) then
      insert into tidegate.limit_settlements (limit_id, at, delta) values (l.limit_id, clock_timestamp(), v_foreign);
      insert into tidegate.limit_book (limit_id, at, total, full_at)
      select l.limit_id, greatest(clock_timestamp(), k.at + interval '1 us'), coalesce(v_total, 0),
             greatest(coalesce(v_full_at, now()), now()) + make_interval(secs => v_foreign * 60.0 / greatest(1, l.size))
        from (select max(b.at) as at from tidegate.limit_book b where b.limit_id = l.limit_id) k;
      if not exists (select from tidegate.limit_adjustments a where a.limit_id = l.limit_id and a.what = 'foreign' and a.at > now() - interval '10 s') then
        insert into tidegate.limit_adjustments (limit_id, what, old, new, reason)
        values (l.limit_id, 'foreign', ceil(v_ours)::bigint, v_size - n.remaining, 'somebody else uses the key: ' || n.remaining || ' of ' || v_size || ' are left');
      end if;
    end if;
  end loop;
end $$;

-- A refusal (429) of a call that was granted at p_granted_at. p_named: the provider named the limit that is spent, and it was told
-- to `learn_notices_v1`. Returns whether the book of the limits explains it: then only the limits are to be corrected, else the
-- calls at once are cut too.
create or replace function tidegate.learn_refusal_v2(p_model text, p_granted_at timestamptz, p_named boolean) returns boolean language plpgsql as $$
declare
  v_scope text;
  v_name text;
  v_models text[];
  l tidegate.limits;
  v_since timestamptz;
  v_accepted bigint;
  v_seconds float8;
  v_size bigint;
  v_explained boolean;
  v_marked boolean;
begin
  select p.quota_scope, coalesce(m.shares, m.wire_name) into v_scope, v_name
    from tidegate.models m join tidegate.providers p on p.name = m.provider where m.model = p_model;
  if v_scope is null then
    return true;
  end if;
  v_models := array(select m.model from tidegate.models m join tidegate.providers p on p.name = m.provider
                     where p.quota_scope = v_scope and coalesce(m.shares, m.wire_name) = v_name);
  -- some limit of it is used to four fifths (of a bucket: what may start at once is): the refusal is no surprise
  select coalesce(bool_or(r.o_room <= 0.2 * least(z.size, coalesce(tidegate.bucket_v1(z.burst, z.size, z.guard_ms), z.size))), false) into v_explained
    from tidegate.limits z
    cross join lateral tidegate.limit_room_v2(array[z.limit_id], now(), now()) r
   where z.quota_scope = v_scope and z.name = v_name and z.dimension in ('requests', 'input_tokens', 'output_tokens', 'total_tokens');
  select * into l from tidegate.limits z
   where z.quota_scope = v_scope and z.name = v_name and z.dimension = 'requests' and z.window_kind = 'minute';
  if l.refused_at is not null and p_granted_at <= l.refused_at then
    return true;  -- of a burst whose refusal was looked at already
  end if;
  -- counted before the lock, and never over more than two minutes: a mean over idle hours is no rate
  v_marked := l.refused_at > now() - interval '2 min';
  v_since := case when v_marked then l.refused_at else coalesce((
    select min(c.started_at) from tidegate.calls c where c.started_at > now() - interval '60 s' and c.model = any (v_models) and c.lead), now()) end;
  select count(*) into v_accepted from tidegate.calls c
   where c.started_at >= v_since and c.model = any (v_models) and c.lead
     -- what was granted with the refused call may be refused as well
     and (c.outcome = 'ok' or (c.outcome is null and c.started_at < p_granted_at));
  select * into l from tidegate.limits z where z.limit_id = l.limit_id for no key update;
  if l.refused_at is not null and p_granted_at <= l.refused_at then
    return true;
  end if;
  if l.limit_id is null then
    if p_named then
      return v_explained;  -- of another window, or of tokens
    end if;
    -- nothing is known but that so much was taken in so long: about ten seconds' worth, as buckets go; the next refusal tells better
    v_size := greatest(1, ceil(v_accepted * 60 / greatest(10, extract(epoch from clock_timestamp() - v_since))));
    insert into tidegate.limits (quota_scope, name, dimension, window_kind, size, counting, burst, source, evidence, refused_at)
    values (v_scope, v_name, 'requests', 'minute', v_size, 'bucket', greatest(1, v_size / 30), 'learned',
            'refused (429) after ' || v_accepted || ' calls', clock_timestamp())
    on conflict (quota_scope, name, dimension, window_kind) do nothing
    returning * into l;
    if l.limit_id is not null then
      insert into tidegate.model_limits (model_id, limit_id)
      select m.model_id, l.limit_id from tidegate.models m where m.model = any (v_models) on conflict do nothing;
      perform tidegate.seed_book_v1(l.limit_id);
      insert into tidegate.limit_adjustments (limit_id, what, old, new, reason) values (l.limit_id, 'size', null, v_size, l.evidence);
    end if;
    return true;
  end if;
  update tidegate.limits z set refused_at = clock_timestamp() where z.limit_id = l.limit_id;
  if p_named and p_granted_at <= l.changed_at then
    return true;  -- what the provider just said of it was not known when the call was granted
  end if;
  if l.counting = 'unknown' then
    -- a fifth less than was dared is what may start at once
    update tidegate.limits z
       set counting = 'bucket', burst = greatest(1, z.burst * 4 / 5), changed_at = clock_timestamp(),
           evidence = 'refused (429) when ' || z.burst || ' at once were dared'
     where z.limit_id = l.limit_id;
    insert into tidegate.limit_adjustments (limit_id, what, old, new, reason)
    values (l.limit_id, 'burst', l.burst, greatest(1, l.burst * 4 / 5), 'refused (429) when ' || l.burst || ' at once were dared');
    return true;
  end if;
  if p_named and l.said is not null and l.said_at > now() - interval '10 s' then
    return true;  -- its size was just told by the provider itself
  end if;
  -- between two refusals, what was taken is the rate: all of it was used
  v_seconds := extract(epoch from clock_timestamp() - v_since);
  v_size := greatest(1, floor(v_accepted * 57 / greatest(1, v_seconds)), l.size / 2);
  if l.source = 'learned' and l.said is null and v_marked and v_accepted >= 3 and v_seconds >= 3 then
    perform tidegate.adjust_limit_v1(l.limit_id, 'size', v_size, v_accepted || ' calls were taken in ' || round(v_seconds::numeric, 1) || ' s between two refusals');
    return true;
  elsif v_explained then
    -- as many as there may be, and refused: they came later, or closer together, than they were granted
    if l.counting = 'bucket' and l.burst > 1 then
      perform tidegate.adjust_limit_v1(l.limit_id, 'burst', l.burst * 4 / 5, 'refused (429) within the limit: fewer may start at once');
      return true;
    end if;
    perform tidegate.adjust_limit_v1(l.limit_id, 'guard', least(5000, l.guard_ms * 3 / 2), 'refused (429) within the limit: calls arrive late');
    return true;
  elsif v_accepted >= 3 and v_seconds >= 3 and v_size < l.size and not p_named then
    perform tidegate.adjust_limit_v1(l.limit_id, 'size', v_size, 'refused (429) though ' || l.size || ' were told: ' || v_accepted || ' calls were taken in ' || round(v_seconds::numeric, 1) || ' s');
    return false;
  end if;
  return false;
end $$;

-- Too many calls at once, says the model: half of those that are, once a burst (only calls granted after the last cut count).
create or replace function tidegate.cut_concurrency_v1(p_model text, p_granted_at timestamptz, p_reason text) returns boolean language plpgsql as $$
declare
  l tidegate.limits;
  v_flying bigint;
begin
  select z.* into l from tidegate.limits z
    join tidegate.model_limits ml on ml.limit_id = z.limit_id join tidegate.models m on m.model_id = ml.model_id
   where m.model = p_model and z.adaptive for no key update of z;
  if l.limit_id is null or p_granted_at <= l.cut_at then
    return false;
  end if;
  select count(*) into v_flying from tidegate.running r
   where r.lead and r.model_id in (select ml.model_id from tidegate.model_limits ml where ml.limit_id = l.limit_id);
  update tidegate.limits z set cut_at = clock_timestamp() where z.limit_id = l.limit_id;
  -- of those that are, since the limit itself may be far above; a lull does not make it nothing
  perform tidegate.adjust_limit_v1(l.limit_id, 'size',
    greatest(1, least(5, (l.size + 1) / 2), (least(l.size, v_flying) + 1) / 2), p_reason);
  return true;
end $$;

-- Some times a second in the whole fleet: calls at once grow where they are used to the full and nothing speaks against it; limits that
-- were lowered or learned grow back; the guard shrinks back. Returns how many were changed.
create or replace function tidegate.learn_v1() returns int language plpgsql as $$
declare
  l record;
  v_n int := 0;
  v_new bigint;
begin
  if not pg_try_advisory_xact_lock(hashtext('tidegate.learn')) then
    return 0;
  end if;
  insert into tidegate.upkeep (job, done_at) values ('learn', '-infinity') on conflict do nothing;
  update tidegate.upkeep u set done_at = clock_timestamp() where u.job = 'learn' and u.done_at < clock_timestamp() - interval '200 ms';
  if not found then
    return 0;
  end if;
  perform tidegate.fold_settlements_v1();
  v_n := tidegate.learn_counting_v1();
  for l in
    with seen as (
      -- the newest of each model: a busy one hides no other
      select ml.limit_id, avg(c.latency_ms) filter (where c.outcome = 'ok') as latency_ms,
             count(*) filter (where c.outcome = 'ok' and c.started_at > z.changed_at) as ok,
             count(*) filter (where c.outcome in ('overloaded', 'rate_limited') and c.started_at > z.changed_at) as bad
        from tidegate.limits z
        join tidegate.model_limits ml on ml.limit_id = z.limit_id
        join tidegate.models m on m.model_id = ml.model_id
        cross join lateral (
          select c.outcome, c.latency_ms, c.started_at from tidegate.calls c
           where c.model = m.model and c.started_at > now() - interval '10 min' and c.lead order by c.started_at desc limit 300) c
       where z.adaptive
       group by ml.limit_id
    )
    select z.limit_id, z.size, z.told, z.cut_at, z.changed_at, s.latency_ms, s.ok, s.bad,
           (select count(*) from tidegate.running r where r.lead and r.model_id in (select ml.model_id from tidegate.model_limits ml where ml.limit_id = z.limit_id)) as flying,
           k.rpm, k.burst
      from tidegate.limits z join seen s on s.limit_id = z.limit_id
      cross join lateral (
        select min(r.size) as rpm, min(r.burst) as burst
          from tidegate.limits r join tidegate.model_limits ml on ml.limit_id = r.limit_id
          join tidegate.model_limits mine on mine.model_id = ml.model_id and mine.limit_id = z.limit_id
         where r.dimension = 'requests' and r.window_kind = 'minute') k
     where z.adaptive and s.ok > 0 loop
    -- nobody is waited for here: claims take these locks in an order of their own
    perform 1 from tidegate.limits z where z.limit_id = l.limit_id for no key update skip locked;
    continue when not found;
    if l.cut_at is null and l.rpm is not null and l.latency_ms is not null then
      v_new := tidegate.first_concurrency_v1(l.rpm, l.burst, l.latency_ms, l.told);
      -- small changes are not worth a row
      continue when v_new between l.size * 0.8 and l.size * 1.25 or (v_new < l.size and l.ok < 20);
      perform tidegate.adjust_limit_v1(l.limit_id, 'size', v_new, 'by the rate (' || l.rpm || ' per minute), the latency (' || round(l.latency_ms) || ' ms) and what may start at once');
    elsif l.cut_at is null and l.rpm is null then
      v_new := least(coalesce(l.told, 10), l.size * 2);
      continue when v_new <= l.size or l.bad > 0 or l.ok < l.size or l.flying < l.size * 0.8;
      perform tidegate.adjust_limit_v1(l.limit_id, 'size', v_new, l.size || ' at once came back clean');
    elsif l.cut_at < now() - interval '5 min' and l.changed_at < now() - interval '5 min' and l.bad = 0 and l.flying >= l.size * 0.8 then
      v_new := least(coalesce(l.told, case when l.rpm is null then 10 else 100000 end), greatest(l.size + 1, l.size * 6 / 5));
      continue when v_new <= l.size;
      perform tidegate.adjust_limit_v1(l.limit_id, 'size', v_new, 'five quiet minutes, used to the full');
    else
      continue;
    end if;
    v_n := v_n + 1;
  end loop;
  for l in
    select z.limit_id, z.size, z.told, z.said from tidegate.limits z
     where z.dimension = 'requests' and z.window_kind = 'minute' and z.refused_at < now() - interval '60 s' and z.changed_at < now() - interval '60 s'
       and z.size < least(z.said, z.told, 10000000)
       and exists (select from tidegate.limit_room_v2(array[z.limit_id], now(), now()) r where r.o_room <= z.size * 0.1) loop
    perform 1 from tidegate.limits z where z.limit_id = l.limit_id for no key update skip locked;
    continue when not found;
    perform tidegate.adjust_limit_v1(l.limit_id, 'size', least(l.said, l.told, 10000000, greatest(l.size + 1, l.size * 11 / 10)), 'a clean minute, used to the full');
    v_n := v_n + 1;
  end loop;
  for l in
    select z.limit_id, z.burst, z.told_burst from tidegate.limits z
     where z.burst < least(z.told_burst, z.size) and z.changed_at < now() - interval '10 min' and z.refused_at < now() - interval '10 min' loop
    perform 1 from tidegate.limits z where z.limit_id = l.limit_id for no key update skip locked;
    continue when not found;
    perform tidegate.adjust_limit_v1(l.limit_id, 'burst', least(l.told_burst, l.burst * 5 / 4 + 1), 'ten minutes without a refusal');
    v_n := v_n + 1;
  end loop;
  for l in
    select z.limit_id from tidegate.limits z where z.guard_ms > 500 and z.changed_at < now() - interval '1 h' loop
    perform 1 from tidegate.limits z where z.limit_id = l.limit_id for no key update skip locked;
    continue when not found;
    perform tidegate.adjust_limit_v1(l.limit_id, 'guard', 500, 'an hour without a refusal');
    v_n := v_n + 1;
  end loop;
  if v_n > 0 then
    perform tidegate.wake_v1('ready');
  end if;
  return v_n;
end $$;

-- How long answers are: nine of ten of the last ones stay below it. Returns how many were written anew.
create or replace function tidegate.learn_outputs_v1() returns int language plpgsql as $$
declare
  v_n int;
begin
  with told as (
    select n.worker, n.component, m.model_id, percentile_disc(0.9) within group (order by n.tokens) as tokens, count(*)::int as answers
      from tidegate.models m
      cross join lateral (
        select c.worker, c.component, c.output_tokens + coalesce(c.thought_tokens, 0) as tokens from tidegate.calls c
         where c.model = m.model and c.started_at > now() - interval '1 h' order by c.started_at desc limit 1000) n
     where n.tokens is not null
     group by 1, 2, 3 having count(*) >= 20
  )
  insert into tidegate.output_quantiles as q (worker, component, model_id, tokens, answers)
  select t.worker, t.component, t.model_id, least(t.tokens, 2147483647)::int, t.answers from told t
  on conflict (worker, component, model_id) do update set tokens = excluded.tokens, answers = excluded.answers, at = clock_timestamp()
   where excluded.tokens not between q.tokens * 0.95 and q.tokens * 1.05;
  get diagnostics v_n = row_count;
  return v_n;
end $$;

-- Every adjustment of calls at once, and of the other limits.
create or replace view tidegate.concurrency_adjustments as
  select a.at, m.model, l.quota_scope, l.dimension, l.window_kind, a.what, a.reason, a.old, a.new
    from tidegate.limit_adjustments a
    join tidegate.limits l on l.limit_id = a.limit_id
    left join lateral (
      select min(k.model) as model from tidegate.model_limits ml join tidegate.models k on k.model_id = ml.model_id where ml.limit_id = l.limit_id) m on true;
