-- Doing tasks anew: their items are copied to a run that is being loaded, in one chunk. An item that comes twice is copied
-- once, for the task that is named first; one without an id gets that of its task. A payload of a task's own is its body.
-- Returns how many were copied, and of how many the body is gone.
create or replace function tidegate.copy_items_v1(p_run uuid, p_loader uuid, p_tasks uuid[]) returns table (o_copied int, o_gone int) language plpgsql as $$
#variable_conflict use_column
begin
  perform 1 from tidegate.runs u where u.id = p_run and u.loader_id = p_loader and u.state = 'loading' and not u.source_read for share;
  if not found then
    raise exception 'run % is not being loaded by this process any more', p_run using errcode = 'TG409';
  end if;
  return query
  with given as materialized (
    select g.place, t.id, coalesce(t.item_id, t.id::text) as item_id, coalesce(t.payload, i.body) as body, i.version,
           coalesce(i.category, t.category) as category, coalesce(i.score, t.priority) as score
      from unnest(p_tasks) with ordinality g (id, place)
      join tidegate.tasks t on t.id = g.id
      left join tidegate.items i on i.run_id = t.run_id and i.item_id = t.item_id
  ), copied as (
    insert into tidegate.items (run_id, item_id, body, version, category, score, of_task)
    select distinct on (g.item_id) p_run, g.item_id, g.body, g.version, g.category, g.score, g.id
      from given g where g.body is not null order by g.item_id, g.place
    on conflict do nothing
    returning 1
  )
  select (select count(*)::int from copied), (count(*) filter (where g.body is null))::int from given g;
end $$;
