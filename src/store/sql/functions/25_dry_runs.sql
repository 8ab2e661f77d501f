-- What acts by hand would come to, by lane; nothing is changed.

-- Lanes with what so many tasks and input tokens of each would ask: of its first model so many tokens, for so much (null: its price is
-- not known). A lane without a ladder is local work, and asks nothing.
create or replace function tidegate.lanes_outlook_v1(p_lanes int[], p_tasks bigint[], p_input bigint[], p_cached bigint[]) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_object(
           'run', n.run_id, 'worker', u.worker, 'weight', u.weight, 'mix', u.mix, 'tier', n.tier, 'component', n.component,
           'component_priority', n.component_priority, 'ladder', n.ladder, 'models', z.models, 'policy', n.policy, 'patience_ms', n.patience_ms,
           'tasks', g.tasks, 'cached', g.cached,
           'pack', case when n.pack_size = 1 then 1 else least(n.pack_size, (select z.size from tidegate.pack_sizes z where z.worker = u.worker and z.component = n.component)) end,
            'input_tokens', g.input, 'output', z.output, 'output_tokens', k.output,
           'cost_microusd', case when n.ladder = '{}' then 0
                                 else ceil((g.input::numeric * m.input_price_microusd + k.output * m.output_price_microusd) / 1000000)::bigint end)
           order by n.run_id, n.component_priority, n.tier, n.lane), '[]')
    from unnest(p_lanes, p_tasks, p_input, p_cached) as g (lane, tasks, input, cached)
    join tidegate.lanes n on n.lane = g.lane
    join tidegate.runs u on u.id = n.run_id
    cross join lateral (
      select coalesce(array_agg(o.model order by r.rung), '{}') as models, coalesce(array_agg(coalesce(q.tokens, n.est_output)::float8 order by r.rung), '{}') as output
        from unnest(n.ladder) with ordinality r (model_id, rung)
        join tidegate.models o on o.model_id = r.model_id
        left join tidegate.output_quantiles q on q.worker = u.worker and q.component = n.component and q.model_id = r.model_id) z
    cross join lateral (select ceil(coalesce(z.output[1], 0) * (g.tasks - g.cached))::bigint as output) k
    left join tidegate.models m on m.model_id = n.ladder[1]
$$;

-- Those of these tasks whose answer is kept already, so that nothing would be asked.
create or replace function tidegate.kept_answers_v1(p_tasks uuid[]) returns setof uuid language sql stable as $$
  select t.id from tidegate.tasks t
    join tidegate.lanes n on n.lane = t.lane and n.cache_s is not null
    join tidegate.result_cache c on c.key = t.cache_key and c.created_at > now() - make_interval(secs => n.cache_s)
   where t.id = any (p_tasks)
$$;

-- What putting these tasks back would come to: how many of them would come back, how many would have their sink applied again.
create or replace function tidegate.retry_outlook_v1(p_tasks uuid[]) returns jsonb language sql stable as $$
  with ended as materialized (
    select t.id, t.lane, t.est_tokens, t.error_class is not distinct from 'sink' as by_sink,
           t.item_id is null or (
             not exists (select from tidegate.open_keys k where k.worker = t.worker and k.component = t.component and k.item_id = t.item_id)
             -- of several tasks of an item one comes back
             and row_number() over (partition by t.worker, t.component, t.item_id order by t.id) = 1) as free
      from tidegate.tasks t where t.id = any (p_tasks) and t.state in ('failed', 'cancelled') and t.lane > 0
  ), by_lane as (
    select e.lane, count(*) as tasks, coalesce(sum(e.est_tokens) filter (where k.id is null), 0)::bigint as input, count(k.id) as cached
      from ended e left join tidegate.kept_answers_v1(p_tasks) k (id) on k.id = e.id
     where e.free and not e.by_sink group by e.lane
  )
  select jsonb_build_object(
    'tasks', (select coalesce(sum(b.tasks), 0)::bigint from by_lane b),
    'by_sink', (select count(*) from ended e where e.by_sink),
    'lanes', (select tidegate.lanes_outlook_v1(array_agg(b.lane), array_agg(b.tasks), array_agg(b.input), array_agg(b.cached)) from by_lane b))
$$;

-- What of a run waits, the same way: what it would still ask if it went on.
create or replace function tidegate.waiting_outlook_v1(p_run uuid) returns jsonb language sql stable as $$
  with by_lane as (
    select t.lane, count(*) as tasks, coalesce(sum(t.est_tokens), 0)::bigint as input, 0::bigint as cached
      from tidegate.tasks t where t.run_id = p_run and t.state in ('blocked', 'scheduled', 'ready') group by t.lane
  )
  select jsonb_build_object(
    'tasks', (select coalesce(sum(b.tasks), 0)::bigint from by_lane b), 'by_sink', 0,
    'lanes', (select tidegate.lanes_outlook_v1(array_agg(b.lane), array_agg(b.tasks), array_agg(b.input), array_agg(b.cached)) from by_lane b))
$$;
