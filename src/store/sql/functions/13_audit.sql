-- Whether the books agree with `tasks`: reads everything, so it is for tests, drills and `doctor --deep`, never for a loop.
-- A row for each sort of disagreement there is; none: all is well.
create or replace function tidegate.audit_v1() returns table (o_what text, o_n bigint, o_example uuid) language sql stable as $$
  with wrong as (
    select 'ready, but not once in the ready book' as what, t.id from tidegate.tasks t
     where t.state = 'ready' and (select count(*) from tidegate.ready r where r.id = t.id) <> 1
    union all
    select 'ready, but its segment or lane is closed', t.id from tidegate.tasks t
      join tidegate.ready r on r.id = t.id
      left join tidegate.segments s on s.lane = r.lane and s.seg = r.seg
      left join tidegate.lanes n on n.lane = r.lane
     where s.open is not true or n.open is not true or r.lane <> t.lane or r.priority <> t.priority or r.priority > s.top
    union all
    select 'in the ready book, but not ready', r.id from tidegate.ready r left join tidegate.tasks t on t.id = r.id where t.state is distinct from 'ready'
    union all
    select 'running, but not in the running book', t.id from tidegate.tasks t
     where t.state = 'running' and not exists (select from tidegate.running r where r.id = t.id and r.epoch = t.epoch)
    union all
    select 'in the running book, but not running', r.id from tidegate.running r left join tidegate.tasks t on t.id = r.id where t.state is distinct from 'running'
    union all
    select 'in a batch, but not in its book', t.id from tidegate.tasks t
     where t.state = 'in_batch' and not exists (select from tidegate.batch_items i where i.id = t.id and i.waits and i.epoch = t.epoch)
    union all
    select 'in the book of batches, but not in a batch', i.id from tidegate.batch_items i left join tidegate.tasks t on t.id = i.id
     where i.waits and t.state is distinct from 'in_batch'
    union all
    select 'owed by a batch that is stored, or is not there', i.id from tidegate.batch_items i
      left join tidegate.provider_batches b on b.id = i.batch_id where b.state is null or b.state in ('stored', 'over')
    union all
    select 'scheduled, but not in its book', t.id from tidegate.tasks t
     where t.state = 'scheduled' and not exists (select from tidegate.scheduled r where r.id = t.id)
    union all
    select 'in the scheduled book, but not scheduled', r.id from tidegate.scheduled r left join tidegate.tasks t on t.id = r.id where t.state is distinct from 'scheduled'
    union all
    select 'blocked, but not in its book', t.id from tidegate.tasks t
     where t.state = 'blocked' and not exists (select from tidegate.blocked r where r.id = t.id)
    union all
    select 'in the blocked book, but not blocked', r.id from tidegate.blocked r left join tidegate.tasks t on t.id = r.id where t.state is distinct from 'blocked'
    union all
    select 'blocked by needs that are not there', b.id from tidegate.blocked b
     where b.needs <> (select count(*) from tidegate.needs n where n.task_id = b.id)
    union all
    select 'waits for an equal task, and for something else', b.id from tidegate.blocked b
     where b.follows is not null and (b.needs > 0 or b.unrendered)
    union all
    -- nothing lets it go: it needs nothing, is rendered, and follows nobody
    select 'blocked by nothing', b.id from tidegate.blocked b where b.follows is null and b.needs = 0 and not b.unrendered
    union all
    select 'a pack that not one call leads', min(c.task_id::text)::uuid from tidegate.calls c
     where c.pack_id is not null group by c.pack_id
    having count(*) filter (where c.lead) > 1 or (count(*) filter (where c.lead) = 0 and bool_and(c.ended_at is not null))
    union all
    select 'in a pack of others', c.task_id from tidegate.calls c
      join tidegate.calls l on l.id = c.pack_id and l.started_at = c.started_at
     where (c.worker, c.component, c.run_id, c.tier, c.model, c.process_id) is distinct from (l.worker, l.component, l.run_id, l.tier, l.model, l.process_id)
    union all
    select 'its call is led by none', r.id from tidegate.running r
     where not r.lead and not exists (select from tidegate.calls c where c.id = r.call_id and c.started_at = r.granted_at and c.pack_id is not null)
    union all
    select 'failed, but not in its book', t.id from tidegate.tasks t
     where t.state = 'failed' and not exists (select from tidegate.failed r where r.id = t.id)
    union all
    select 'in the failed book, but not failed', r.id from tidegate.failed r left join tidegate.tasks t on t.id = r.id where t.state is distinct from 'failed'
    union all
    select 'unfinished, but its key is not its own', t.id from tidegate.tasks t
     where t.item_id is not null and t.state in ('blocked', 'scheduled', 'ready', 'running', 'in_batch')
       and not exists (select from tidegate.open_keys k where k.worker = t.worker and k.component = t.component and k.item_id = t.item_id and k.task_id = t.id)
    union all
    select 'a key held by no unfinished task', k.task_id from tidegate.open_keys k left join tidegate.tasks t on t.id = k.task_id
     where t.state is null or t.state in ('done', 'failed', 'cancelled')
    union all
    select 'done without exactly one answer', t.id from tidegate.tasks t
     where t.state = 'done' and (select count(*) from tidegate.task_results r where r.task_id = t.id and r.generation = t.generation) <> 1
    union all
    select 'charged more attempts than it may have', t.id from tidegate.tasks t where t.attempts > t.max_attempts
    union all
    select 'counts of its run and tier are wrong', z.run_id from (
      select run_id, tier, state, n from tidegate.run_counts
      union all
      select run_id, tier, state, -1 from tidegate.tasks) z
     group by z.run_id, z.tier, z.state having sum(z.n) <> 0
  )
  select w.what, count(*), min(w.id::text)::uuid from wrong w group by w.what
$$;
