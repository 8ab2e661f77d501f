-- Lanes for which it is to be chosen how they are asked: held ones with something in them, and others in which much more waits than when
-- it was chosen last. $1: workers that are served, null: all. What is known of their models: facts.sql.
select n.lane as "lane!", n.run_id as "run!", u.worker as "worker!", n.component as "component!", u.strategy as "mode!", u.purpose as "purpose!",
       case when u.within_s is null then null
            when exists (select from tidegate.workers w where w.run_id = u.id) then u.within_s::float8
            else greatest(0, u.within_s - extract(epoch from now() - coalesce(u.loaded_at, now())))::float8 end as "within_s?",
       extract(epoch from now() - coalesce(n.decided_at, u.loaded_at, u.created_at))::float8 as "unchosen_s!",
       n.singly as "singly!", n.decided_at, n.ladder as "ladder!",
       w.waiting as "waiting!", w.est_input as "est_input!", n.est_output as "est_output!", n.pack_size as "pack_size!"
  from tidegate.lanes n
  join tidegate.runs u on u.id = n.run_id and u.strategy <> 'individual' and u.state = 'active'
  cross join lateral (
    select count(*) as waiting, coalesce(avg(z.est_input), 0)::int as est_input
      from (select r.est_input from tidegate.ready r where r.lane = n.lane limit 50000) z) w
 where n.open and n.ladder <> '{}' and not n.interactive and (n.decided_at is null or n.decided_at < now() - interval '1 s') and w.waiting > 0
   and ($1::text[] is null or u.worker = any ($1))
   and not exists (select from tidegate.worker_pauses z where z.worker = u.worker)
   and case when n.held then true
            else not n.singly and w.waiting >= greatest(10, 2 * n.decided_items) and n.decided_at < now() - interval '2 s' end
 order by n.component_priority, n.tier, n.lane
