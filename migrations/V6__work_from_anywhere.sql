-- Work from anywhere: workers known by name, tasks enqueued one by one with their payload, needs, expiry, local work (no
-- model), maintained counts, pauses, retention.

create table tidegate.workers (
  worker text primary key check (octet_length(worker) between 1 and 200),
  definition_hash bytea not null references tidegate.worker_definitions (hash),
  run_id uuid not null references tidegate.runs (id),  -- what is enqueued one by one belongs to it; it stays open
  lanes int[] not null check (array_length(lanes, 1) >= 1),  -- of each tier, in order
  local boolean not null,                     -- asks no model
  max_attempts int not null check (max_attempts between 1 and 1000),
  registered_at timestamptz not null default clock_timestamp()
);
comment on table tidegate.workers is 'Workers that tasks may be enqueued for by name, each with the definition in force';

create table tidegate.worker_pauses (
  worker text primary key,
  reason text not null,
  who text not null,
  since timestamptz not null default clock_timestamp()
);
comment on table tidegate.worker_pauses is 'No task of a worker named here is claimed';

-- One row per task is checked by the functions that write it: a foreign key costs more than the row.
alter table tidegate.tasks drop constraint tasks_run_id_fkey;
alter table tidegate.items drop constraint items_run_id_fkey;

alter table tidegate.tasks
  alter column model drop not null,           -- null: local work
  add column payload text,                    -- JSON text, byte for byte; null: its body stands in `items`
  add column expires_at timestamptz,          -- not worth starting after
  add column reprocess_of uuid,               -- the task it does anew
  add column plain_insert boolean not null default false;
comment on table tidegate.tasks is 'One row per task. `insert into tidegate.tasks (worker, payload) values (...)` makes one';

-- A local lane has no ladder. Of a lane marked `program`, only processes that brought a handler of the worker's name take tasks.
alter table tidegate.lanes add column program boolean not null default false;

alter table tidegate.running
  alter column model_id drop not null,
  alter column call_id drop not null;
create index running_by_model on tidegate.running (model_id) where model_id is not null;
alter table tidegate.task_results
  alter column model drop not null,
  alter column call_id drop not null;
alter table tidegate.task_attempts_closed
  alter column model drop not null,
  alter column call_id drop not null;

-- Waits for other tasks, or for its prompt to be rendered.
create table tidegate.blocked (
  id uuid primary key,
  lane int not null,
  needs int not null check (needs >= 0),      -- tasks it still waits for
  unrendered boolean not null,
  on_failed_need text not null default 'cancel' check (on_failed_need in ('cancel', 'release')),
  taken_until timestamptz                     -- somebody is rendering it
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create index blocked_unrendered on tidegate.blocked (id) where needs = 0;

-- Which task waits for which. `due`: to be looked at, since one of the two has just come or has ended.
create table tidegate.needs (
  task_id uuid not null,
  need_id uuid not null,
  due boolean not null default true,
  primary key (task_id, need_id)
);
create index needs_by_need on tidegate.needs (need_id);
create index needs_due on tidegate.needs (task_id) where due;

create table tidegate.expiries (
  expires_at timestamptz not null,
  id uuid not null,
  primary key (expires_at, id)
);

-- How many tasks of each run and tier are in each state: changes, summed up as they grow old. Written with each transition.
create table tidegate.run_counts (
  run_id uuid not null,
  tier smallint not null,
  state text not null,
  n bigint not null,
  at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create index run_counts_by_run on tidegate.run_counts (run_id, at);
insert into tidegate.run_counts (run_id, tier, state, n) select run_id, tier, state, count(*) from tidegate.tasks group by 1, 2, 3;

-- How far long jobs of upkeep have come.
create table tidegate.upkeep (
  job text primary key,
  place uuid,
  done_at timestamptz not null default clock_timestamp()
);

-- Their successors stand in the functions; a program older than this schema is told so.
drop function if exists tidegate.claim_v1(uuid, int, bigint, text[], text[], float8, timestamptz);
drop function if exists tidegate.make_ready_v1(uuid[], int[], float8[], int[], int[], int[], text[], smallint[], bigint[]);
drop function if exists tidegate.open_segment_v1(int);
drop function if exists tidegate.rescue_v1(int);

-- Suspects: tasks whose process died twice (see the claims). Nearly always empty.
create index ready_suspects on tidegate.ready (lane) where rescues >= 2;
create index running_suspects on tidegate.running (process_id) where rescues >= 2;
