-- Tasks enqueued by name of their worker, from any language, in the caller's own transaction.

-- Bad input, told in one way: TG422 with the row (from 0, in DETAIL), the column, and what to do.
create or replace function tidegate.refuse_v1(p_row bigint, p_field text, p_words text, p_hint text) returns void language plpgsql as $$
begin
  raise exception '%: %', p_field, p_words
    using errcode = 'TG422', column = p_field, detail = 'row ' || p_row, hint = p_hint;
end $$;

-- The first row that is bad, told; nothing is written then. What is checked here can't fail later.
create or replace function tidegate.check_tasks_v1(
  p_n int, p_tiers_known int, p_payloads text[], p_keys text[], p_priorities float8[], p_tiers smallint[], p_run_ats timestamptz[],
  p_expires timestamptz[], p_max_attempts int[], p_categories text[]
) returns void language plpgsql as $$
declare
  c_payload_max constant int := 16777216;    -- bytes
  v record;
  v_i int;
begin
  if (p_keys is not null and array_length(p_keys, 1) <> p_n) or (p_priorities is not null and array_length(p_priorities, 1) <> p_n)
     or (p_tiers is not null and array_length(p_tiers, 1) <> p_n) or (p_run_ats is not null and array_length(p_run_ats, 1) <> p_n)
     or (p_expires is not null and array_length(p_expires, 1) <> p_n) or (p_max_attempts is not null and array_length(p_max_attempts, 1) <> p_n)
     or (p_categories is not null and array_length(p_categories, 1) <> p_n) then
    perform tidegate.refuse_v1(0, 'payloads', 'the arrays differ in length', 'give one value a task in each array, or leave the array out');
  end if;
  select u.i - 1 as at, u.* into v
    from unnest(p_payloads, p_keys, p_priorities, p_tiers, p_run_ats, p_expires, p_max_attempts, p_categories)
         with ordinality as u (payload, key, priority, tier, run_at, expires, max_attempts, category, i)
   where u.payload is null or octet_length(u.payload) > c_payload_max
      or octet_length(u.key) not between 1 and 1024 or octet_length(u.category) > 1024
      or u.priority in ('NaN', 'infinity', '-infinity')
      or u.tier < 0 or u.tier >= p_tiers_known
      or not isfinite(u.run_at) or not isfinite(u.expires)
      or u.run_at > '9999-12-31 23:59:59+00' or u.expires > '9999-12-31 23:59:59+00'
      or u.max_attempts not between 1 and 1000
   order by u.i
   limit 1;
  if found then
    case
      when v.payload is null then
        perform tidegate.refuse_v1(v.at, 'payload', 'is missing', 'give JSON text, {} for none');
      when octet_length(v.payload) > c_payload_max then
        perform tidegate.refuse_v1(v.at, 'payload', 'is ' || octet_length(v.payload) || ' bytes, and 16 MiB is the most', 'keep large data elsewhere and enqueue a reference to it');
      when octet_length(v.key) not between 1 and 1024 then
        perform tidegate.refuse_v1(v.at, 'key', 'is ' || octet_length(v.key) || ' bytes', 'a key has 1 to 1,024 bytes; hash longer ones');
      when octet_length(v.category) > 1024 then
        perform tidegate.refuse_v1(v.at, 'category', 'is ' || octet_length(v.category) || ' bytes, and 1,024 is the most', 'shorten it');
      when v.priority in ('NaN', 'infinity', '-infinity') then
        perform tidegate.refuse_v1(v.at, 'priority', v.priority || ' is no rank', 'give a finite number, higher goes first');
      when v.tier < 0 or v.tier >= p_tiers_known then
        perform tidegate.refuse_v1(v.at, 'tier', v.tier || ' is not a tier of this worker', 'it has tiers 0 to ' || p_tiers_known - 1);
      when v.max_attempts not between 1 and 1000 then
        perform tidegate.refuse_v1(v.at, 'max_attempts', v.max_attempts || ' is out of range', 'give 1 to 1,000');
      when not isfinite(v.run_at) or v.run_at > '9999-12-31 23:59:59+00' then
        perform tidegate.refuse_v1(v.at, 'run_at', v.run_at || ' is no moment to start at', 'give a time before the year 10000, or leave it out');
      else
        perform tidegate.refuse_v1(v.at, 'expires_at', v.expires || ' is no moment to end at', 'give a time before the year 10000, or leave it out');
    end case;
  end if;
  begin
    perform count(p::json) from unnest(p_payloads) p;
  exception when invalid_text_representation or untranslatable_character or statement_too_complex then
    -- rare: now find which one, one by one
    for v_i in 1..p_n loop
      begin
        perform p_payloads[v_i]::json;
      exception when invalid_text_representation or untranslatable_character or statement_too_complex then
        perform tidegate.refuse_v1(v_i - 1, 'payload', 'is not JSON that Postgres can read (' || sqlerrm || ')', 'give valid JSON text, not nested too deeply');
      end;
    end loop;
  end;
end $$;

-- The worker's standing work, or an error that says what to do.
create or replace function tidegate.worker_v1(p_worker text) returns tidegate.workers language plpgsql stable as $$
declare
  v tidegate.workers;
begin
  select * into v from tidegate.workers w where w.worker = p_worker;
  if v.worker is null then
    raise exception 'no worker is called %', coalesce(p_worker, 'null')
      using errcode = 'TG404', column = 'worker', detail = 'row 0',
            hint = coalesce('known: ' || (select string_agg(w.worker, ', ' order by w.worker) from tidegate.workers w),
                            'make it known first: `tidegate workers add FOLDER`, or a program with a handler for it');
  end if;
  return v;
end $$;

-- Many tasks of one worker, in one statement, all or nothing. An array left out (null) gives each task the default.
-- p_keys: at most one unfinished task per worker and key. p_on_key, where a key is taken: `skip` leaves the task that has it
-- (the default), `replace` gives it the new payload, priority, times and so on while it waits (and leaves it once it runs),
-- `refuse` raises TG409. p_needing, p_needs: task p_needing[i] of this call starts after task p_needs[i] is done; where that
-- one fails or is cancelled, p_on_failed_need says whether it is cancelled too (`cancel`, the default) or starts (`release`).
-- Returns a row for each task that did not simply come in: `skipped` or `replaced`, with the task that has the key.
create or replace function tidegate.enqueue_many_v1(
  p_worker text, p_ids uuid[], p_payloads text[], p_keys text[] default null, p_priorities float8[] default null, p_tiers smallint[] default null,
  p_run_ats timestamptz[] default null, p_expires timestamptz[] default null, p_categories text[] default null, p_max_attempts int[] default null,
  p_on_key text default 'skip', p_needing uuid[] default null, p_needs uuid[] default null, p_on_failed_need text default 'cancel'
) returns table (o_given uuid, o_task uuid, o_fate text) language plpgsql as $$
#variable_conflict use_column
declare
  c_few constant int := 200;                 -- fewer join an unsealed segment
  c_segment constant int := 1000;
  v_worker tidegate.workers;
  v_names text[][];
  v_n int := coalesce(array_length(p_payloads, 1), 0);
  v_rows tidegate.ready[];
  v_taken uuid[] := '{}';
  v_need uuid;
  v_first record;
begin
  if v_n = 0 then
    return;
  end if;
  v_worker := tidegate.worker_v1(p_worker);
  if p_on_key not in ('skip', 'replace', 'refuse') then
    perform tidegate.refuse_v1(0, 'on_key', p_on_key || ' is no policy', 'give skip, replace or refuse');
  end if;
  if p_on_failed_need not in ('cancel', 'release') then
    perform tidegate.refuse_v1(0, 'on_failed_need', p_on_failed_need || ' is no policy', 'give cancel or release');
  end if;
  perform tidegate.check_tasks_v1(v_n, array_length(v_worker.lanes, 1), p_payloads, p_keys, p_priorities, p_tiers, p_run_ats, p_expires, p_max_attempts, p_categories);
  if p_needs is not null then
    select x.need into v_need from unnest(p_needing, p_needs) x (task, need)
     where (not exists (select from tidegate.tasks t where t.id = x.need) and x.need <> all (p_ids)) or x.need = x.task or x.task is null limit 1;
    if found then
      perform tidegate.refuse_v1(0, 'needs', coalesce(v_need::text, 'null') || ' is no other task that there is', 'enqueue it first, or in the same call');
    end if;
  end if;

  if p_keys is not null then
    -- in one order, so that two callers never wait for each other in a circle; a task of the same key that another
    -- transaction is about to enqueue is waited for
    insert into tidegate.open_keys (worker, component, item_id, task_id)
    select p_worker, '', g.key, g.id from unnest(p_ids, p_keys) as g (id, key) where g.key is not null order by g.key, g.id
    on conflict do nothing;
    select coalesce(array_agg(g.id), '{}') into v_taken
      from unnest(p_ids, p_keys) as g (id, key)
     where g.key is not null
       and not exists (select from tidegate.open_keys k where k.worker = p_worker and k.component = '' and k.item_id = g.key and k.task_id = g.id);
    if v_taken <> '{}' and p_on_key = 'refuse' then
      select g.key, k.task_id, g.i - 1 as at into v_first
        from unnest(p_ids, p_keys) with ordinality as g (id, key, i)
        join tidegate.open_keys k on k.worker = p_worker and k.component = '' and k.item_id = g.key
       where g.id = any (v_taken) order by g.i limit 1;
      raise exception 'key: % is taken by task %', v_first.key, v_first.task_id
        using errcode = 'TG409', column = 'key', detail = 'row ' || v_first.at,
              hint = 'wait until that task has ended, or enqueue with on_key skip or replace';
    end if;
  end if;

  with lanes as materialized (
    select z.ord - 1 as tier, z.lane,
           (select array_agg(m.model order by r.rung) from unnest(n.ladder) with ordinality r (model_id, rung) join tidegate.models m on m.model_id = r.model_id) as names
      from unnest(v_worker.lanes) with ordinality z (lane, ord) join tidegate.lanes n on n.lane = z.lane
  ), given as materialized (
    select u.id, u.payload, u.key, coalesce(u.priority, 0) as priority, coalesce(u.tier, 0)::smallint as tier, u.run_at, u.expires,
           u.category, coalesce(u.attempts, v_worker.max_attempts) as attempts, l.lane, l.names,
           case when not v_worker.local or u.id = any (p_needing) then 'blocked'
                when u.run_at > clock_timestamp() then 'scheduled'
                else 'ready' end as state
      from unnest(p_ids, p_payloads, p_keys, p_priorities, p_tiers, p_run_ats, p_expires, p_categories, p_max_attempts)
           as u (id, payload, key, priority, tier, run_at, expires, category, attempts)
      join lanes l on l.tier = coalesce(u.tier, 0)
     where v_taken = '{}' or u.id <> all (v_taken)
  ), born as (
    insert into tidegate.tasks (id, run_id, worker, item_id, category, tier, priority, model, fallback_models, state, max_attempts,
                                run_at, expires_at, payload, lane)
    select g.id, v_worker.run_id, p_worker, g.key, g.category, g.tier, g.priority, g.names[1], coalesce(g.names[2:], '{}'), g.state, g.attempts,
           case when g.state <> 'ready' then g.run_at end, g.expires, g.payload, g.lane
      from given g
  ), counted as (
    insert into tidegate.run_counts (run_id, tier, state, n) select v_worker.run_id, g.tier, g.state, count(*) from given g group by g.tier, g.state
  ), later as (
    insert into tidegate.scheduled (id, run_at, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms)
    select g.id, g.run_at, g.lane, g.priority, 0, 0, 0, '{}', 0, 0 from given g where g.state = 'scheduled'
  ), held as (
    insert into tidegate.blocked (id, lane, needs, unrendered, on_failed_need)
    select g.id, g.lane, coalesce((select count(distinct x.need) from unnest(p_needing, p_needs) x (task, need) where x.task = g.id), 0),
           not v_worker.local, p_on_failed_need
      from given g where g.state = 'blocked'
  ), waits_for as (
    insert into tidegate.needs (task_id, need_id)
    select distinct x.task, x.need from unnest(p_needing, p_needs) x (task, need) join given g on g.id = x.task
  ), expiring as (
    insert into tidegate.expiries (expires_at, id) select g.expires, g.id from given g where g.expires is not null
  ), event as (
    insert into tidegate.event_batches (kind, task_ids) select 'enqueued', array_agg(g.id) from given g having count(*) > 0
  ), ranked as materialized (
    select g.lane, g.priority, g.id, (row_number() over (partition by g.lane order by g.priority desc, g.id) - 1) / c_segment as nth
      from given g where g.state = 'ready' and v_n >= c_few
  ), segs as materialized (
    select z.lane, z.nth, nextval('tidegate.segment_numbers')::int as seg, z.top
      from (select k.lane, k.nth, max(k.priority) as top from ranked k group by k.lane, k.nth order by k.lane, k.nth) z
  ), sealed as (
    insert into tidegate.segments (lane, seg, top, sealed) select lane, seg, top, true from segs
  ), queued as (
    insert into tidegate.ready (lane, seg, priority, id, est_input, attempts, epoch, tries, rescues, spent_ms)
    select k.lane, s.seg, k.priority, k.id, 0, 0, 0, '{}', 0, 0
      from ranked k join segs s on s.lane = k.lane and s.nth = k.nth order by s.lane, s.nth, k.priority desc, k.id
  )
  select array_agg((g.lane, 0, g.priority, g.id, 0, 0, 0, '{}', 0, 0)::tidegate.ready order by g.id)
    into v_rows from given g where g.state = 'ready' and v_n < c_few;
  if v_rows is not null then
    perform tidegate.make_ready_v2(v_rows);
  end if;
  perform tidegate.wake_v1(case when v_worker.local and p_needs is null then 'ready' else 'care' end);

  if v_taken <> '{}' then
    return query
    select r.o_given, r.o_task, r.o_fate
      from tidegate.replace_waiting_v1(v_worker, v_taken, p_ids, p_payloads, p_keys, p_priorities, p_tiers, p_run_ats, p_expires, p_categories,
                                       p_max_attempts, p_on_key = 'replace') r;
  end if;
end $$;
alter function tidegate.enqueue_many_v1 set jit = off;

-- Tasks whose key is taken: left alone, or replaced while they wait.
create or replace function tidegate.replace_waiting_v1(
  p_worker tidegate.workers, p_taken uuid[], p_ids uuid[], p_payloads text[], p_keys text[], p_priorities float8[], p_tiers smallint[],
  p_run_ats timestamptz[], p_expires timestamptz[], p_categories text[], p_max_attempts int[], p_replace boolean
) returns table (o_given uuid, o_task uuid, o_fate text) language plpgsql as $$
#variable_conflict use_column
declare
  g record;
  v_needs int;
  v_policy text;
  v_was text;
  v_state text;
  v_task tidegate.tasks;
begin
  for g in
    select u.*, k.task_id as has
      from unnest(p_ids, p_payloads, p_keys, p_priorities, p_tiers, p_run_ats, p_expires, p_categories, p_max_attempts)
           as u (id, payload, key, priority, tier, run_at, expires, category, attempts)
      left join tidegate.open_keys k on k.worker = p_worker.worker and k.component = '' and k.item_id = u.key
     where u.id = any (p_taken)
     order by u.key, u.id
  loop
    o_given := g.id;
    o_task := g.has;
    o_fate := 'skipped';
    v_was := null;
    v_needs := 0;
    v_policy := 'cancel';
    if p_replace and g.has is not null and g.has <> all (p_ids) then
      -- whoever takes its row out of a book has it
      select * into v_task from tidegate.tasks t where t.id = g.has;
      delete from tidegate.ready w
       where w.lane = v_task.lane and w.priority = v_task.priority and w.id = g.has
         and w.seg in (select s.seg from tidegate.segments s where s.lane = v_task.lane and s.open);
      if found then
        v_was := 'ready';
      else
        delete from tidegate.scheduled s where s.id = g.has;
        if found then
          v_was := 'scheduled';
        else
          delete from tidegate.blocked b where b.id = g.has returning b.needs, b.on_failed_need into v_needs, v_policy;
          if found then
            v_was := 'blocked';
          end if;
        end if;
      end if;
    end if;
    if v_was is not null then
      o_fate := 'replaced';
      v_state := case when v_was = 'blocked' or not p_worker.local then 'blocked'
                      when g.run_at > clock_timestamp() then 'scheduled' else 'ready' end;
      update tidegate.tasks t
         set payload = g.payload, priority = coalesce(g.priority, 0), tier = coalesce(g.tier, 0), category = g.category, expires_at = g.expires,
             max_attempts = coalesce(g.attempts, p_worker.max_attempts), run_at = case when v_state <> 'ready' then g.run_at end,
             run_id = p_worker.run_id, lane = p_worker.lanes[coalesce(g.tier, 0) + 1], state = v_state, cache_key = null,
             model = z.names[1], fallback_models = coalesce(z.names[2:], '{}'),
             attempts = 0, tries = '{}', spent_ms = 0, rescues = 0, error_class = null, last_error = null,
             claims = 0                      -- from here on: late answers to the former payload are none to this
        from (select array_agg(m.model order by r.rung) as names
                from tidegate.lanes n cross join lateral unnest(n.ladder) with ordinality r (model_id, rung)
                join tidegate.models m on m.model_id = r.model_id
               where n.lane = p_worker.lanes[coalesce(g.tier, 0) + 1]) z
       where t.id = g.has;
      insert into tidegate.run_counts (run_id, tier, state, n)
      values (v_task.run_id, v_task.tier, v_was, -1), (p_worker.run_id, coalesce(g.tier, 0), v_state, 1);
      if g.expires is not null then
        insert into tidegate.expiries (expires_at, id) values (g.expires, g.has) on conflict do nothing;
      end if;
      select * into v_task from tidegate.tasks t where t.id = g.has;
      if v_state = 'blocked' then
        insert into tidegate.blocked (id, lane, needs, unrendered, on_failed_need)
        values (g.has, v_task.lane, v_needs, not p_worker.local, v_policy);
      elsif v_state = 'scheduled' then
        insert into tidegate.scheduled (id, run_at, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms)
        values (g.has, g.run_at, v_task.lane, v_task.priority, 0, 0, v_task.epoch, '{}', 0, 0);
      else
        perform tidegate.make_ready_v2(array[(v_task.lane, 0, v_task.priority, v_task.id, 0, 0, v_task.epoch, '{}', 0, 0)::tidegate.ready]);
      end if;
      insert into tidegate.event_batches (kind, task_ids) values ('replaced', array[g.has]);
    end if;
    return next;
  end loop;
end $$;

-- One task. Returns its id: of the new one, or of the one that has its key. `payload` is JSON, kept byte for byte.
--   select tidegate.enqueue('thumbnails', '{"image": 17}', key => 'image-17', priority => 5);
create or replace function tidegate.enqueue(
  worker text, payload json, key text default null, priority float8 default 0, tier int default 0, run_at timestamptz default null,
  expires_at timestamptz default null, category text default null, max_attempts int default null, on_key text default 'skip',
  needs uuid[] default null, on_failed_need text default 'cancel'
) returns uuid language plpgsql as $$
#variable_conflict use_variable
declare
  v_id uuid := tidegate.uuid_v7();
  v_has uuid;
begin
  if tier not between 0 and 32767 then
    perform tidegate.refuse_v1(0, 'tier', tier || ' is not a tier', 'tiers are numbered from 0');
  end if;
  select r.o_task into v_has
    from tidegate.enqueue_many_v1(
      worker, array[v_id], array[payload::text],
      case when key is not null then array[key] end, array[priority], array[tier::smallint],
      case when run_at is not null then array[run_at] end, case when expires_at is not null then array[expires_at] end,
      case when category is not null then array[category] end, case when max_attempts is not null then array[max_attempts] end, on_key,
      case when needs is not null and needs <> '{}' then array_fill(v_id, array[array_length(needs, 1)]) end,
      case when needs <> '{}' then needs end, on_failed_need) r;
  return coalesce(v_has, v_id);
end $$;

-- A row inserted into `tasks` by hand becomes a task like any other: what is left out is filled in, and it goes into its book.
-- It names a worker and a payload, or an item that exists. A key (item_id) that is taken raises unique_violation.
create or replace function tidegate.fill_task_v1() returns trigger language plpgsql as $$
declare
  v tidegate.workers;
begin
  v := tidegate.worker_v1(new.worker);
  new.id := coalesce(new.id, tidegate.uuid_v7());
  new.tier := coalesce(new.tier, 0);
  new.priority := coalesce(new.priority, 0);
  new.max_attempts := coalesce(new.max_attempts, v.max_attempts);
  if new.payload is null and new.item_id is not null then
    select i.body into new.payload from tidegate.items i
     where i.item_id = new.item_id and (new.run_id is null or i.run_id = new.run_id) order by i.run_id desc limit 1;
    if new.payload is null then
      perform tidegate.refuse_v1(0, 'item_id', 'no item is called ' || new.item_id, 'give a payload, or the id of an item that there is');
    end if;
  end if;
  perform tidegate.check_tasks_v1(1, array_length(v.lanes, 1), array[new.payload], case when new.item_id is not null then array[new.item_id] end,
                                  array[new.priority], array[new.tier], array[new.run_at], array[new.expires_at], array[new.max_attempts], array[new.category]);
  new.run_id := v.run_id;
  new.lane := v.lanes[new.tier + 1];
  select coalesce(array_agg(m.model order by r.rung), '{}') into new.fallback_models
    from tidegate.lanes n cross join lateral unnest(n.ladder) with ordinality r (model_id, rung) join tidegate.models m on m.model_id = r.model_id
   where n.lane = new.lane;
  new.model := new.fallback_models[1];
  new.fallback_models := coalesce(new.fallback_models[2:], '{}');
  new.state := case when not v.local then 'blocked' when new.run_at > clock_timestamp() then 'scheduled' else 'ready' end;
  new.attempts := 0; new.epoch := 0; new.tries := '{}'; new.generation := 1; new.claims := 0; new.deferrals := 0; new.rescues := 0;
  new.process_id := null; new.started_at := null; new.finished_at := null; new.model_used := null; new.error_class := null;
  new.last_error := null; new.spent_ms := 0; new.cache_key := null; new.est_tokens := 0; new.created_at := clock_timestamp();
  new.plain_insert := true;
  return new;
end $$;

create or replace function tidegate.book_task_v1() returns trigger language plpgsql as $$
begin
  if new.item_id is not null then
    insert into tidegate.open_keys (worker, component, item_id, task_id) values (new.worker, new.component, new.item_id, new.id);
  end if;
  insert into tidegate.run_counts (run_id, tier, state, n) values (new.run_id, new.tier, new.state, 1);
  insert into tidegate.event_batches (kind, task_ids) values ('enqueued', array[new.id]);
  if new.expires_at is not null then
    insert into tidegate.expiries (expires_at, id) values (new.expires_at, new.id);
  end if;
  if new.state = 'ready' then
    perform tidegate.make_ready_v2(array[(new.lane, 0, new.priority, new.id, 0, 0, 0, '{}', 0, 0)::tidegate.ready]);
    perform tidegate.wake_v1('ready');
  elsif new.state = 'scheduled' then
    insert into tidegate.scheduled (id, run_at, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms)
    values (new.id, new.run_at, new.lane, new.priority, 0, 0, 0, '{}', 0, 0);
  else
    insert into tidegate.blocked (id, lane, needs, unrendered) values (new.id, new.lane, 0, true);
    perform tidegate.wake_v1('care');
  end if;
  return null;
end $$;

create or replace trigger tasks_fill before insert on tidegate.tasks for each row when (new.lane is null) execute function tidegate.fill_task_v1();
create or replace trigger tasks_book after insert on tidegate.tasks for each row when (new.plain_insert) execute function tidegate.book_task_v1();

-- Makes a worker known by name, with the lanes of its tiers in a standing run. A definition that is in force already changes
-- nothing. What waits under a former definition goes on under it. Returns the standing run.
create or replace function tidegate.register_worker_v4(
  p_worker text, p_hash bytea, p_run uuid, p_local boolean, p_program boolean, p_max_attempts int, p_mix real[],
  p_ladders int[], p_rungs int, p_est_output int, p_call_timeout_ms int, p_max_output int, p_policy text, p_patience_ms int,
  p_stagger_ms int, p_cool_after int, p_cool_ms int,
  p_pack_size smallint, p_pack_tokens int, p_cache_s bigint, p_cache_version text, p_prompt_hash bytea,
  p_strategy text, p_purpose text, p_within_s int
) returns uuid language plpgsql as $$
declare
  v tidegate.workers;
  v_lanes int[] := '{}';
  v_lane int;
  v_tier int;
  v_ladder int[];
begin
  perform pg_advisory_xact_lock(hashtext('tidegate.register_worker'), hashtext(p_worker));
  select * into v from tidegate.workers w where w.worker = p_worker;
  if v.definition_hash = p_hash then
    return v.run_id;
  end if;
  insert into tidegate.runs (id, worker, definition_hash, source, state, mix, loaded_at, source_read, stagger_ms, cool_after, cool_ms,
                             strategy, purpose, within_s)
  values (p_run, p_worker, p_hash, 'enqueued one by one', 'active', p_mix, clock_timestamp(), true, p_stagger_ms, p_cool_after, p_cool_ms,
          p_strategy, p_purpose, p_within_s);
  for v_tier in 1..array_length(p_mix, 1) loop
    -- the ladders stand one after the other, padded with 0 to one length
    select coalesce(array_agg(z.m order by z.i), '{}') into v_ladder
      from unnest(case when p_local then '{}'::int[] else p_ladders[(v_tier - 1) * p_rungs + 1:v_tier * p_rungs] end) with ordinality z (m, i)
     where z.m > 0;
    insert into tidegate.lanes (run_id, tier, ladder, est_output, call_timeout_ms, program, max_output, policy, patience_ms,
                                pack_size, pack_tokens, cache_s, cache_version, prompt_hash, held)
    values (p_run, v_tier - 1, v_ladder, p_est_output, p_call_timeout_ms, p_program, p_max_output, p_policy, p_patience_ms,
            p_pack_size, p_pack_tokens, p_cache_s, p_cache_version, p_prompt_hash, v_ladder <> '{}' and p_strategy <> 'individual')
    returning lane into v_lane;
    v_lanes := v_lanes || v_lane;
  end loop;
  insert into tidegate.workers as w (worker, definition_hash, run_id, lanes, local, max_attempts)
  values (p_worker, p_hash, p_run, v_lanes, p_local, p_max_attempts)
  on conflict (worker) do update
     set definition_hash = excluded.definition_hash, run_id = excluded.run_id, lanes = excluded.lanes, local = excluded.local,
         max_attempts = excluded.max_attempts, registered_at = clock_timestamp();
  return p_run;
end $$;

-- Takes no more tasks of a worker, in whatever run, until it is resumed. What runs goes on.
create or replace function tidegate.pause_worker(worker text, reason text default 'by hand') returns boolean language plpgsql as $$
#variable_conflict use_variable
begin
  if not exists (select from tidegate.workers w where w.worker = worker) and not exists (select from tidegate.runs u where u.worker = worker) then
    perform tidegate.worker_v1(worker);
  end if;
  insert into tidegate.worker_pauses (worker, reason, who) values (worker, reason, session_user) on conflict do nothing;
  return found;
end $$;

create or replace function tidegate.resume_worker(worker text) returns boolean language plpgsql as $$
#variable_conflict use_variable
begin
  delete from tidegate.worker_pauses w where w.worker = worker;
  if found then
    perform tidegate.wake_v1('ready');
    return true;
  end if;
  return false;
end $$;
