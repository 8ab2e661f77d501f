-- Interactive calls: tasks that somebody waits for. Who asks makes the task, claims it by its id (claim_v5, p_tasks), and settles it as any
-- other. They stand in a run that never ends.

-- Such tasks, ready, of one lane; where its packs hold more than 1 they may share a call. They are not worth starting after p_wait.
-- What their lane says of them is what the last ones said.
create or replace function tidegate.ask_v2(
  p_run uuid, p_tasks uuid[], p_payloads text[], p_est_inputs int[], p_cache_keys bytea[],
  p_ladder int[], p_est_output int, p_max_output int, p_timeout_ms int, p_cache_s bigint, p_pack_size int, p_pack_tokens int,
  p_wait interval, p_max_attempts int
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
  update tidegate.lanes n
     set est_output = p_est_output, max_output = p_max_output, call_timeout_ms = p_timeout_ms, cache_s = p_cache_s,
         pack_size = p_pack_size, pack_tokens = p_pack_tokens, open = true
   where n.lane = v_lane
     and (n.est_output, n.max_output, n.call_timeout_ms, n.cache_s, n.pack_size, n.pack_tokens, n.open)
         is distinct from (p_est_output, p_max_output, p_timeout_ms, p_cache_s, p_pack_size, p_pack_tokens, true);
  select array_agg(m.model order by z.rung) into v_names
    from unnest(p_ladder) with ordinality z (model_id, rung) join tidegate.models m on m.model_id = z.model_id;
  with new as materialized (
    insert into tidegate.tasks (id, run_id, worker, tier, model, fallback_models, state, max_attempts, cache_key, est_tokens, lane, payload, expires_at)
    select z.task, p_run, u.worker, 0, v_names[1], coalesce(v_names[2:], '{}'), 'ready', p_max_attempts, z.cache_key, z.est_input, v_lane, z.payload,
           clock_timestamp() + p_wait
      from unnest(p_tasks, p_payloads, p_est_inputs, p_cache_keys) z (task, payload, est_input, cache_key)
      join tidegate.runs u on u.id = p_run
    returning id, expires_at
  )
  insert into tidegate.expiries (expires_at, id) select n.expires_at, n.id from new n;
  insert into tidegate.run_counts (run_id, tier, state, n) values (p_run, 0, 'ready', cardinality(p_tasks));
  insert into tidegate.event_batches (kind, task_ids) values ('enqueued', p_tasks);
  perform tidegate.make_ready_v2((
    select array_agg((v_lane, 0, 0, z.task, z.est_input, 0, 0, '{}', 0, 0)::tidegate.ready order by z.task)
      from unnest(p_tasks, p_est_inputs) z (task, est_input)));
end $$;

-- The answers kept under these keys that are not too old, for who asked interactively, with each one's place: counted as hits of
-- this worker. They are used now, so they are not the next to be forgotten.
create or replace function tidegate.kept_answers_v1(p_keys bytea[], p_age_s bigint, p_worker text)
returns table (o_place bigint, o_answer text, o_model text, o_model_version text) language sql volatile as $$
  with found as materialized (
    select k.place, k.key, c.answer, c.model, c.model_version
      from unnest(p_keys) with ordinality k (key, place)
      join tidegate.result_cache c on c.key = k.key and c.created_at > now() - make_interval(secs => p_age_s)
  ), stale as materialized (
    select c.key from tidegate.result_cache c where c.key in (select f.key from found f) and c.used_at < now() - interval '10 min'
     order by c.key for update skip locked
  ), used as (
    update tidegate.result_cache c set used_at = now() from stale z where c.key = z.key
  ), counted as (
    insert into tidegate.cache_uses (worker, hits) select p_worker, count(*) from found having count(*) > 0
  )
  select f.place, f.answer, f.model, f.model_version from found f
$$;
