-- One row per start of a process (never the host's name): it carries the lease of all that the process holds.
create table tidegate.processes (
  id uuid primary key,
  role text not null,
  host text not null,
  pid int not null,
  version text not null,
  slots int not null default 0,
  started_at timestamptz not null default clock_timestamp(),
  heartbeat_at timestamptz not null default clock_timestamp(),
  lease_until timestamptz not null,
  lost_at timestamptz,                        -- rescued by others: it must start again under a new id
  stopped_at timestamptz                      -- ended by itself, holding nothing
) with (fillfactor = 50);
create index processes_alive on tidegate.processes (id) where stopped_at is null;
