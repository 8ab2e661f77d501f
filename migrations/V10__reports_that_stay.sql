-- What a run came to, kept when it ends: its calls are dropped by day and its tasks by retention, its report stays as long as the run.

create table tidegate.run_reports (
  run_id uuid primary key references tidegate.runs (id) on delete cascade,
  ended_at timestamptz not null,              -- the end that it tells of: a run that was opened again ends anew
  made_at timestamptz not null,
  calls_open bigint not null,                 -- calls of it whose outcome was not known: it is made again for a while
  report jsonb not null                       -- as `tidegate runs show --json` prints it
);
comment on table tidegate.run_reports is 'What each run that ended came to: by tier, component, category and model, its failures, and who worked';

create index runs_by_end on tidegate.runs (finished_at) where finished_at is not null;
