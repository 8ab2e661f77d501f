-- Answers, attempts that did not finish their task, calls, and events. Day partitions (database time): retention drops them.
create table tidegate.task_results (
  task_id uuid not null,
  generation int not null,
  run_id uuid not null,
  answer text not null,                       -- JSON text, byte for byte
  model text not null,
  model_version text,
  attempt int not null,
  epoch int not null,
  process_id uuid not null,
  call_id uuid not null,
  started_at timestamptz not null,
  finished_at timestamptz not null default clock_timestamp(),
  salvaged boolean not null default false,    -- came after the lease was lost, while the task waited again
  primary key (task_id, generation)
);

create table tidegate.task_attempts_closed (
  task_id uuid not null,
  generation int not null,
  attempt int not null,
  epoch int not null,
  process_id uuid not null,
  model text not null,
  call_id uuid not null,
  outcome text not null check (outcome in ('failed', 'lost', 'released', 'superseded', 'cancelled')),
  charged boolean not null,
  error_class text,
  error text,
  started_at timestamptz not null,
  finished_at timestamptz not null default clock_timestamp()
) partition by range (finished_at);
create index task_attempts_closed_by_task on tidegate.task_attempts_closed (task_id);

create table tidegate.calls (
  id uuid not null,
  started_at timestamptz not null,            -- when it was granted: its claim's commit is its intent
  task_id uuid not null,
  run_id uuid not null,
  process_id uuid not null,
  worker text not null,
  component text not null,
  tier smallint not null,
  model text not null,
  attempt int not null,
  est_input_tokens int not null,
  est_cost_microusd bigint not null check (est_cost_microusd >= 0),   -- worst case, at the claim
  ended_at timestamptz,                       -- null: under way, or its outcome is unknown
  outcome text,                               -- ok, an error class, not_sent, lost
  sent boolean not null default true,         -- false: it is certain that nothing left
  http_status smallint,
  error text,
  input_tokens bigint,
  cached_tokens bigint,
  output_tokens bigint,
  thought_tokens bigint,
  cost_microusd bigint check (cost_microusd >= 0),
  cost_estimated boolean,
  latency_ms int,
  model_version text,
  response_id text,
  primary key (id, started_at)
) partition by range (started_at);
create index calls_by_task on tidegate.calls (task_id);
create index calls_by_time on tidegate.calls (started_at);
create index calls_by_run on tidegate.calls (run_id);

create table tidegate.event_batches (
  at timestamptz not null default clock_timestamp(),
  kind text not null,
  process_id uuid,
  detail text,
  task_ids uuid[] not null
) partition by range (at);
create index event_batches_by_time on tidegate.event_batches (at);
