-- Gauges of a long life: what grows, lags or is held back by somebody before anything fails. One row a gauge and object;
-- names are a contract. What other sessions do is seen in full by superusers and members of pg_read_all_stats.
create or replace view tidegate.health as
  -- who keeps old row versions from being removed: everything slows down behind the oldest snapshot
  (select 'oldest_transaction' as gauge, null::text as object,
          extract(epoch from clock_timestamp() - a.xact_start)::float8 as value, 'seconds' as unit,
          format('pid %s, %s, %s, %s', a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'no name'), a.state) as detail
     from pg_stat_activity a
    where a.xact_start is not null and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
    order by a.xact_start limit 1)
  union all
  (select 'oldest_xmin', null, z.age::float8, 'transactions', z.who
     from (select age(a.backend_xmin) as age, format('pid %s, %s, %s', a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'no name')) as who
             from pg_stat_activity a where a.backend_xmin is not null and a.pid <> pg_backend_pid()
           union all
           select age(p.transaction), 'prepared transaction ' || p.gid from pg_prepared_xacts p
           union all
           select greatest(age(s.xmin), age(s.catalog_xmin)), 'replication slot ' || s.slot_name from pg_replication_slots s
            where s.xmin is not null or s.catalog_xmin is not null) z
    order by z.age desc nulls last limit 1)
  union all
  select 'database_age', null, age(d.datfrozenxid)::float8, 'transactions', null from pg_database d where d.datname = current_database()
  union all
  select 'dead_tuples', s.relname, s.n_dead_tup::float8, 'rows',
         format('%s live, last vacuum %s', s.n_live_tup,
                coalesce(to_char(greatest(s.last_vacuum, s.last_autovacuum) at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS"Z"'), 'never'))
    from pg_stat_user_tables s
   where s.schemaname = 'tidegate'
     and s.relname in ('tasks', 'ready', 'running', 'scheduled', 'failed', 'segments', 'open_keys', 'limit_book', 'limit_settlements', 'processes')
  union all
  -- how full the queue of notifications is that the slowest listener has not read
  select 'listener_lag', null, pg_notification_queue_usage() * 100, 'percent', null
  union all
  -- due back-offs that nobody made ready: a process of the fleet does so about each second
  select 'promotion_lag', null, greatest(0, extract(epoch from clock_timestamp() - min(s.run_at)))::float8, 'seconds', null
    from tidegate.scheduled s having count(*) > 0
  union all
  select 'partition_days_ahead', p.relname, (max(to_date(right(c.relname, 8), 'YYYYMMDD')) - (clock_timestamp() at time zone 'utc')::date)::float8, 'days', null
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid and c.relname ~ '_[0-9]{8}$'
    join pg_class p on p.oid = i.inhparent and p.relkind = 'p'
    join pg_namespace n on n.oid = p.relnamespace and n.nspname = 'tidegate'
   group by p.relname
  union all
  select 'processes_alive', null, count(*)::float8, 'processes', null from tidegate.processes p
   where p.stopped_at is null and p.lost_at is null and p.lease_until > clock_timestamp()
  union all
  select 'processes_lost', null, count(*)::float8, 'processes', 'declared lost within the last day' from tidegate.processes p
   where p.lost_at > clock_timestamp() - interval '1 day'
  union all
  -- held by nobody who lives, and not given back: rescue should have done so within a lease and its grace
  select 'stuck_tasks', null, count(*)::float8, 'tasks', min(r.id::text) from tidegate.running r
    left join tidegate.processes p on p.id = r.process_id
   where coalesce(p.lost_at, p.stopped_at, p.lease_until, r.granted_at) < clock_timestamp() - interval '60 s'
      or r.deadline_at < clock_timestamp() - interval '60 s'
  union all
  -- steps of provider batches that are due, and that nobody takes: a process with the provider's key does so within a second
  select 'batch_lag', null, greatest(0, extract(epoch from clock_timestamp() - min(greatest(b.next_at, coalesce(b.owned_until, b.next_at)))))::float8, 'seconds',
         (array_agg(b.id::text || ' of ' || b.provider order by b.next_at))[1]
    from tidegate.provider_batches b where b.state <> 'over' having count(*) > 0
  union all
  -- asked to be created, and still not known whether it was
  select 'batch_unknown', null, coalesce(max(extract(epoch from clock_timestamp() - b.creating_at)), 0)::float8, 'seconds',
         (array_agg(b.id::text order by b.creating_at))[1] || coalesce(': ' || (array_agg(b.last_error order by b.creating_at))[1], '')
    from tidegate.provider_batches b where b.state = 'creating' having count(*) > 0
  union all
  -- steps that fail in a row
  select 'batch_fails', null, max(b.fails)::float8, 'steps', (array_agg(b.id::text || coalesce(': ' || b.last_error, '') order by b.fails desc))[1]
    from tidegate.provider_batches b where b.state <> 'over' having count(*) > 0
  union all
  -- at their providers for longer than those keep them at work
  select 'batch_age', null, max(extract(epoch from clock_timestamp() - b.created_at))::float8, 'seconds', (array_agg(b.id::text order by b.created_at))[1]
    from tidegate.provider_batches b where b.state in ('intended', 'creating', 'submitted') having count(*) > 0;
