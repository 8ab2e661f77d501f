-- By hand, for a whole run or a model. Many tasks are moved in chunks by the program (`tidegate runs cancel`, `runs delete`), so that
-- no transaction is long.

-- Ends a run of which nothing is left waiting or running: its state becomes `cancelled`. False: something is left (again), it had
-- ended. The standing run of a worker takes what is enqueued by name: it is emptied, and open again. One that is loading stops loading; its loader is refused from then on.
create or replace function tidegate.end_run_v1(p_run uuid) returns boolean language plpgsql as $$
begin
  -- the run's row first, as `retry` and `finish_runs` do: judged by a snapshot that is taken after the wait
  perform 1 from tidegate.runs u where u.id = p_run for update;
  if exists (select from tidegate.workers w where w.run_id = p_run) then
    update tidegate.runs u set state = 'active' where u.id = p_run and u.state = 'paused';
    return true;
  end if;
  update tidegate.runs u set state = 'cancelled', loader_id = null, finished_at = clock_timestamp()
   where u.id = p_run and u.state in ('loading', 'active', 'paused')
     and (select coalesce(sum(c.n), 0) from tidegate.run_counts c
           where c.run_id = p_run and c.state in ('blocked', 'scheduled', 'ready', 'running', 'in_batch')) = 0;
  if not found then
    return false;
  end if;
  perform tidegate.close_segments_v1(array(select n.lane from tidegate.lanes n where n.run_id = p_run));
  update tidegate.lanes n set open = false where n.run_id = p_run;
  return true;
end $$;

-- Deletes up to p_limit tasks of an ended run with their results and attempts; when none is left, its items, and last the run
-- itself. Calls stay: they are the ledger. Returns how many tasks and items; null: the run is gone.
create or replace function tidegate.delete_run_v1(p_run uuid, p_limit int) returns int language plpgsql as $$
declare
  v_state text;
  v_ids uuid[];
  v_n int;
begin
  -- `retry` takes the run's row too: nothing comes back to life while it is deleted
  select u.state into v_state from tidegate.runs u where u.id = p_run for update;
  if v_state is null then
    return null;
  end if;
  if v_state not in ('done', 'cancelled') then
    raise exception 'run % is %: only a run that has ended can be deleted', p_run, v_state
      using errcode = 'TG409', hint = 'cancel it first';
  end if;
  select array_agg(z.id) into v_ids from (
    select t.id from tidegate.tasks t where t.run_id = p_run order by t.item_id limit p_limit for update) z;
  if v_ids is not null then
    delete from tidegate.failed f where f.id = any (v_ids);
    delete from tidegate.task_results r where r.task_id = any (v_ids);
    delete from tidegate.task_attempts_closed c where c.task_id = any (v_ids);
    delete from tidegate.needs n where n.task_id = any (v_ids);
    delete from tidegate.task_inputs n where n.task_id = any (v_ids);
    update tidegate.needs n set due = true where n.need_id = any (v_ids);
    with gone as (
      delete from tidegate.tasks t where t.id = any (v_ids) returning t.tier, t.state
    )
    insert into tidegate.run_counts (run_id, tier, state, n) select p_run, g.tier, g.state, -count(*) from gone g group by g.tier, g.state;
    return array_length(v_ids, 1);
  end if;
  delete from tidegate.items i
   where i.run_id = p_run
     and i.item_id in (select k.item_id from tidegate.items k where k.run_id = p_run order by k.item_id limit p_limit);
  get diagnostics v_n = row_count;
  if v_n > 0 then
    return v_n;
  end if;
  delete from tidegate.segments s using tidegate.lanes n where n.run_id = p_run and s.lane = n.lane;
  delete from tidegate.lanes n where n.run_id = p_run;
  delete from tidegate.run_counts c where c.run_id = p_run;
  delete from tidegate.limit_book b using tidegate.limits l where l.run_id = p_run and b.limit_id = l.limit_id;
  delete from tidegate.limits l where l.run_id = p_run;
  -- what is still at a provider is cancelled and removed there; the row goes when that is done
  update tidegate.provider_batches b set cancel_wanted = true, next_at = least(b.next_at, clock_timestamp()) where b.run_id = p_run and b.state <> 'over';
  delete from tidegate.provider_batches b where b.run_id = p_run and b.state = 'over';
  delete from tidegate.strategy_decisions d where d.run_id = p_run;
  delete from tidegate.runs u where u.id = p_run;
  return null;
end $$;

-- Closes a model for all until a person opens it (`resume_model`, `clear_cooldown`). Returns why it was closed in this way before;
-- null: it was not, and is now. What closed it first stays its reason.
create or replace function tidegate.pause_model(p_model text, p_reason text default 'paused by hand') returns text language plpgsql as $$
declare
  v_parked text;
begin
  select m.parked into v_parked from tidegate.models m where m.model = p_model for update;
  if not found then
    raise exception 'no model is called %', p_model using errcode = 'TG404', hint = 'see: select model from tidegate.models';
  end if;
  update tidegate.models m set parked = p_reason, parked_at = clock_timestamp() where m.model = p_model and m.parked is null;
  return v_parked;
end $$;

-- Opens a model that was paused or parked; cooldowns and its provider's closing stay. False: it was not closed in this way.
create or replace function tidegate.resume_model(p_model text) returns boolean language plpgsql as $$
declare
  v_parked text;
begin
  select m.parked into v_parked from tidegate.models m where m.model = p_model for update;
  if not found then
    raise exception 'no model is called %', p_model using errcode = 'TG404', hint = 'see: select model from tidegate.models';
  end if;
  update tidegate.models m set parked = null, parked_at = null where m.model = p_model and m.parked is not null;
  if found then
    perform tidegate.wake_v1('ready');
  end if;
  return v_parked is not null;
end $$;
