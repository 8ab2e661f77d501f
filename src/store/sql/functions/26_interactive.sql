-- Interactive calls: tasks that somebody waits for. Who asks makes the task, claims it by its id (claim_v4, p_task), and settles it as any
-- other. They stand in a run that never ends.

-- One such task, ready. It is not worth starting after p_wait. What its lane says of it is what the last one said.
create or replace function tidegate.ask_v1(
  p_run uuid, p_task uuid, p_payload text, p_ladder int[], p_est_input int, p_est_output int, p_max_output int, p_timeout_ms int,
  p_cache_key bytea, p_cache_s bigint, p_wait interval, p_max_attempts int
) returns void language plpgsql as $$
declare
  v_lane int;
  v_names text[];
begin
  select n.lane into v_lane from tidegate.lanes n where n.run_id = p_run and n.component = '' and n.tier = 0 and n.ladder = p_ladder;
  if v_lane is null then
    insert into tidegate.lanes (run_id, tier, ladder, est_output, call_timeout_ms, policy, patience_ms, interactive)
    values (p_run, 0, p_ladder, p_est_output, p_timeout_ms, 'ladder', 0, true)
    on conflict (run_id, component, tier, ladder) do nothing;
    select n.lane into v_lane from tidegate.lanes n where n.run_id = p_run and n.component = '' and n.tier = 0 and n.ladder = p_ladder;
  end if;
  update tidegate.lanes n set est_output = p_est_output, max_output = p_max_output, call_timeout_ms = p_timeout_ms, cache_s = p_cache_s, open = true
   where n.lane = v_lane
     and (n.est_output, n.max_output, n.call_timeout_ms, n.cache_s, n.open) is distinct from (p_est_output, p_max_output, p_timeout_ms, p_cache_s, true);
  select array_agg(m.model order by z.rung) into v_names
    from unnest(p_ladder) with ordinality z (model_id, rung) join tidegate.models m on m.model_id = z.model_id;
  insert into tidegate.tasks (id, run_id, worker, tier, model, fallback_models, state, max_attempts, cache_key, est_tokens, lane, payload, expires_at)
  select p_task, p_run, u.worker, 0, v_names[1], coalesce(v_names[2:], '{}'), 'ready', p_max_attempts, p_cache_key, p_est_input, v_lane, p_payload,
         clock_timestamp() + p_wait
    from tidegate.runs u where u.id = p_run;
  insert into tidegate.expiries (expires_at, id) select t.expires_at, t.id from tidegate.tasks t where t.id = p_task;
  insert into tidegate.run_counts (run_id, tier, state, n) values (p_run, 0, 'ready', 1);
  insert into tidegate.event_batches (kind, task_ids) values ('enqueued', array[p_task]);
  perform tidegate.make_ready_v2(array[(v_lane, 0, 0, p_task, p_est_input, 0, 0, '{}', 0, 0)::tidegate.ready]);
end $$;

-- The answer kept under a key, if it is not too old, for who asked interactively: counted as a hit of this worker.
create or replace function tidegate.kept_answer_v1(p_key bytea, p_age_s bigint, p_worker text)
returns table (o_answer text, o_model text, o_model_version text) language sql volatile as $$
  with found as (
    select c.answer, c.model, c.model_version from tidegate.result_cache c
     where c.key = p_key and c.created_at > now() - make_interval(secs => p_age_s)
  ), counted as (
    insert into tidegate.cache_uses (worker, hits) select p_worker, 1 from found
  )
  select * from found
$$;
