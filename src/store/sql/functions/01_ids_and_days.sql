-- Ids and calendar days.

create or replace function tidegate.uuid_v7() returns uuid language sql volatile parallel safe as $$
  -- 48 bits of unix milliseconds, then the version and random bits (RFC 9562); 15 to 17 have no uuidv7() of their own
  select encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
              placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
              from 1 for 6),
      52, 1), 53, 1), 'hex')::uuid
$$;

create or replace function tidegate.day_start(p_zone text, p_now timestamptz) returns timestamptz
language sql stable parallel safe as $$
  select date_trunc('day', p_now at time zone p_zone) at time zone p_zone
$$;

create or replace function tidegate.day_end(p_zone text, p_now timestamptz) returns timestamptz
language sql stable parallel safe as $$
  select (date_trunc('day', p_now at time zone p_zone) + interval '1 day') at time zone p_zone
$$;

-- The full number of a row's transaction, which the row keeps without its epoch: the one nearest to this snapshot.
create or replace function tidegate.full_xid_v1(p_xid xid, p_near pg_snapshot) returns xid8 language sql immutable parallel safe as $$
  select (case when z.x > z.m + 2147483648 then z.x - 4294967296 when z.x < z.m - 2147483648 then z.x + 4294967296 else z.x end)::text::xid8
    from (select pg_snapshot_xmax(p_near)::text::bigint as m,
                 (pg_snapshot_xmax(p_near)::text::bigint >> 32 << 32) | p_xid::text::bigint as x) z
$$;

-- Makes the day partitions from yesterday to a week ahead. Safe to run at any time, by any number at once.
create or replace function tidegate.ensure_partitions() returns void language plpgsql as $$
declare
  v_table text;
  v_day date;
  v_name text;
begin
  if not pg_try_advisory_xact_lock(hashtext('tidegate.ensure_partitions')) then
    return;  -- somebody else is at it
  end if;
  foreach v_table in array array['calls', 'task_attempts_closed', 'event_batches'] loop
    for v_day in select d::date from generate_series((now() at time zone 'utc')::date - 1, (now() at time zone 'utc')::date + 7, interval '1 day') d loop
      v_name := v_table || '_' || to_char(v_day, 'YYYYMMDD');
      if to_regclass('tidegate.' || v_name) is null then
        -- attached, not born as a partition: that would lock the whole table against readers and writers
        execute format('create table tidegate.%I (like tidegate.%I including all)', v_name, v_table);
        execute format('alter table tidegate.%I attach partition tidegate.%I for values from (%L) to (%L)',
                       v_table, v_name, v_day::timestamp at time zone 'utc', (v_day + 1)::timestamp at time zone 'utc');
      end if;
    end loop;
  end loop;
end $$;
alter function tidegate.ensure_partitions() set lock_timeout = '1s';
