-- Lists that somebody waits for and that go by batch: ordinary tasks of a worker known by name, so that they are there whoever dies.

-- Makes tasks of these, each with what its request weighs and its key, in the first tier of the worker, and takes them into batches in the
-- same transaction: no other choice gets between. What is answered already or asked by an equal task goes out of the way; what there is no
-- room for waits in its lane for a choice, or, where there is a deadline, is asked one by one. p_batches and p_tokens: ids and tokens of as
-- many batches as it may take. Returns how many tasks are in batches.
create or replace function tidegate.make_list_v1(
  p_process uuid, p_worker text, p_tasks uuid[], p_payloads text[], p_est_inputs int[], p_cache_keys bytea[],
  p_model int, p_rung smallint, p_items int, p_rescue_s float8, p_decision uuid, p_batches uuid[], p_tokens text[]
) returns int language plpgsql as $$
declare
  v tidegate.workers := tidegate.worker_v1(p_worker);
  v_lane int := v.lanes[1];
  v_names text[];
  v_some int;
  v_formed int := 0;
  v_at int := 1;
begin
  select array_agg(m.model order by z.rung) into v_names
    from tidegate.lanes n cross join lateral unnest(n.ladder) with ordinality z (model_id, rung) join tidegate.models m on m.model_id = z.model_id
   where n.lane = v_lane;
  insert into tidegate.tasks (id, run_id, worker, tier, model, fallback_models, state, max_attempts, cache_key, est_tokens, lane, payload)
  select z.task, v.run_id, p_worker, 0, v_names[1], coalesce(v_names[2:], '{}'), 'ready', v.max_attempts, z.cache_key, z.est_input, v_lane, z.payload
    from unnest(p_tasks, p_payloads, p_est_inputs, p_cache_keys) z (task, payload, est_input, cache_key);
  insert into tidegate.run_counts (run_id, tier, state, n) values (v.run_id, 0, 'ready', cardinality(p_tasks));
  insert into tidegate.event_batches (kind, task_ids) values ('enqueued', p_tasks);
  perform tidegate.make_ready_v2((
    select array_agg((v_lane, 0, 0, z.task, z.est_input, 0, 0, '{}', 0, 0)::tidegate.ready order by z.task)
      from unnest(p_tasks, p_est_inputs) z (task, est_input)));
  while v_at <= cardinality(p_batches) loop
    v_some := tidegate.form_batch_v1(p_process, p_batches[v_at], p_tokens[v_at], v_lane, p_model, p_rung, 0, p_items,
                                     clock_timestamp() + make_interval(secs => p_rescue_s), p_decision, p_tasks);
    exit when v_some = 0 or v_some = -2;
    if v_some > 0 then
      v_formed := v_formed + v_some;
      v_at := v_at + 1;
    end if;
  end loop;
  if p_rescue_s is not null then
    update tidegate.lanes n set held = false, singly = true
     where n.lane = v_lane and exists (select from tidegate.ready r where r.lane = v_lane and r.id = any (p_tasks));
  end if;
  perform tidegate.wake_v1('ready');
  return v_formed;
end $$;
alter function tidegate.make_list_v1 set jit = off;
