-- One row per task for people, and narrow books for the machine: the book that holds an id is the task's state.
-- Nothing that changes on `tasks` is indexed and its pages keep room, so that state changes are HOT and no index grows.
create table tidegate.tasks (
  id uuid primary key,
  run_id uuid not null references tidegate.runs (id),
  worker text not null,
  component text not null default '',
  item_id text,
  category text,
  tier smallint not null default 0 check (tier >= 0),
  priority float8 not null default 0 check (priority > '-infinity' and priority < 'infinity'),
  model text not null,                        -- assigned primary
  fallback_models text[] not null default '{}',
  model_used text,
  state text not null check (state in ('blocked', 'scheduled', 'ready', 'running', 'in_batch', 'done', 'failed', 'cancelled')),
  attempts int not null default 0 check (attempts >= 0),  -- charged calls
  deferrals int not null default 0,           -- given back unspent: cooldowns, expired grants, graceful stops
  rescues int not null default 0,             -- deaths of the process that held it
  claims int not null default 0,              -- times taken, whatever became of it
  max_attempts int not null check (max_attempts > 0),
  generation int not null default 1 check (generation > 0),
  epoch int not null default 0,               -- raised at every claim
  tries smallint[] not null default '{}',     -- charged calls per rung of the ladder, in this generation
  spent_ms bigint not null default 0,         -- calling and back-off, in this generation
  run_at timestamptz,
  deadline_at timestamptz,
  process_id uuid,
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  finished_at timestamptz,
  error_class text,
  last_error text,
  cache_key bytea,
  est_tokens int not null default 0 check (est_tokens >= 0),
  lane int not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.05);
create index tasks_by_item on tidegate.tasks (run_id, item_id);

-- A lane: the tasks of one run, component, tier and ladder. Pause, fair share and component priority stay flat in cost by it.
create table tidegate.lanes (
  lane int generated always as identity primary key,
  run_id uuid not null references tidegate.runs (id),
  component text not null default '',
  component_priority int not null default 0,
  tier smallint not null,
  ladder int[] not null,                      -- models.model_id, the primary first
  pack_size smallint not null default 1 check (pack_size > 0),
  est_output int not null default 256 check (est_output >= 0),  -- tokens reserved for an answer
  call_timeout_ms int not null default 60000,
  open boolean not null default true,
  unique (run_id, component, tier, ladder)
);
create index lanes_open on tidegate.lanes (run_id) where open;

-- A segment: a stretch of a lane's ready rows. Claims read from the open ones only, so that dead rows of used-up
-- stretches are never walked over, even while another session holds an old snapshot.
create table tidegate.segments (
  lane int not null,
  seg int not null,
  top float8 not null,                        -- no row of the segment has a higher priority
  sealed boolean not null,                    -- no row will be added (an unsealed one is locked FOR SHARE by who adds)
  open boolean not null default true,         -- may still hold rows
  created_at timestamptz not null default clock_timestamp(),
  primary key (lane, seg)
) with (fillfactor = 70);
create index segments_open on tidegate.segments (lane, top desc, seg) where open;
create sequence tidegate.segment_numbers as int cycle;

create table tidegate.ready (
  lane int not null,
  seg int not null,
  priority float8 not null,
  id uuid not null,
  est_input int not null,
  attempts int not null,
  epoch int not null,
  tries smallint[] not null,
  rescues smallint not null,
  spent_ms bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
create index ready_in_order on tidegate.ready (lane, seg, priority desc, id);

create table tidegate.running (
  id uuid not null,
  lane int not null,
  priority float8 not null,
  est_input int not null,
  attempts int not null,                      -- this one included: an attempt is counted at its claim
  epoch int not null,
  tries smallint[] not null,
  rescues smallint not null,
  spent_ms bigint not null,
  nonce bigint not null,                      -- drawn at random by each claim: with the epoch, the claim's identity
  process_id uuid not null,                   -- carries the lease
  model_id int not null,
  rung smallint not null,                     -- place of the model in the ladder, from 1
  call_id uuid not null,
  granted_at timestamptz not null,
  deadline_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create unique index running_once on tidegate.running (id);

create table tidegate.scheduled (
  id uuid primary key,
  run_at timestamptz not null,
  lane int not null,
  priority float8 not null,
  est_input int not null,
  attempts int not null,
  epoch int not null,
  tries smallint[] not null,
  rescues smallint not null,
  spent_ms bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create index scheduled_by_time on tidegate.scheduled (run_at);

create table tidegate.failed (
  id uuid primary key,
  run_id uuid not null,
  error_class text not null,
  failed_at timestamptz not null default clock_timestamp()
);
create index failed_by_run on tidegate.failed (run_id, id);

-- One unfinished task per (worker, component, item): the item is asked about once at a time, whatever the number of runs.
create table tidegate.open_keys (
  worker text not null,
  component text not null,
  item_id text not null,
  task_id uuid not null,
  primary key (worker, component, item_id)
);
