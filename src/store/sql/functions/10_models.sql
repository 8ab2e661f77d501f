-- Models and limits as the file names them, and what is found out about the way a limit is counted.

-- One model of tidegate.toml. Its limits are written only if its entry changed since the last sync (p_hash), so that a
-- restarting pod never undoes what was set by hand. A null limit is one that the file does not name.
create or replace function tidegate.sync_model_v1(
  p_model text, p_hash bytea, p_token_dimension text, p_rpm bigint, p_tpm bigint, p_rpd bigint, p_max_concurrency bigint,
  p_counting text, p_burst bigint, p_input_price bigint, p_output_price bigint
) returns boolean language plpgsql as $$
declare
  v_id int;
  v_scope text;
  v_wire text := substring(p_model from position('/' in p_model) + 1);
  v_limit record;
begin
  select p.quota_scope into v_scope from tidegate.providers p where p.name = split_part(p_model, '/', 1);
  if v_scope is null then
    raise exception 'no provider entry is called %', split_part(p_model, '/', 1)
      using errcode = 'TG404', hint = 'add it to [providers] in tidegate.toml';
  end if;
  insert into tidegate.models (model, provider, wire_name) values (p_model, split_part(p_model, '/', 1), v_wire) on conflict (model) do nothing;
  select m.model_id into v_id from tidegate.models m
   where m.model = p_model and m.file_hash is distinct from p_hash for update;
  if v_id is null then
    return false;
  end if;
  update tidegate.models m
     set file_hash = p_hash, input_price_microusd = p_input_price, output_price_microusd = p_output_price
   where m.model_id = v_id;
  for v_limit in
    select * from (values ('requests', 'minute', p_rpm), (p_token_dimension, 'minute', p_tpm),
                          ('requests', 'day', p_rpd), ('concurrency', 'none', p_max_concurrency)) z (dimension, window_kind, size)
  loop
    if v_limit.size is null then
      delete from tidegate.model_limits ml using tidegate.limits l
       where ml.limit_id = l.limit_id and ml.model_id = v_id and l.quota_scope = v_scope and l.name = v_wire
         and l.dimension = v_limit.dimension and l.window_kind = v_limit.window_kind;
      continue;
    end if;
    insert into tidegate.limits as l (quota_scope, name, dimension, window_kind, size, counting, burst, evidence)
    values (v_scope, v_wire, v_limit.dimension, v_limit.window_kind, v_limit.size,
            case when v_limit.dimension = 'requests' and v_limit.window_kind = 'minute' then coalesce(p_counting, 'unknown') else 'sliding' end,
            case when v_limit.dimension = 'requests' and v_limit.window_kind = 'minute' then
              case when p_counting = 'bucket' then p_burst
                   -- not told how it is counted: few at once; see learn_counting_v1
                   when p_counting is null then greatest(1, least(v_limit.size, 3)) end end,
            'tidegate.toml')
    on conflict (quota_scope, name, dimension, window_kind) do update
       set size = excluded.size, counting = excluded.counting, burst = excluded.burst, evidence = excluded.evidence, changed_at = clock_timestamp()
     where (l.size, l.counting, l.burst) is distinct from (excluded.size, excluded.counting, excluded.burst);
    insert into tidegate.model_limits (model_id, limit_id)
    select v_id, l.limit_id from tidegate.limits l
     where l.quota_scope = v_scope and l.name = v_wire and l.dimension = v_limit.dimension and l.window_kind = v_limit.window_kind
    on conflict do nothing;
  end loop;
  perform pg_notify('tidegate', 'ready');
  return true;
end $$;

-- A limit whose way of counting nobody told is found out gently: as many at once as we dare, a step more each time the last
-- step came back clean while the limit was used to the full: doubling while small, then half a second's worth, so that the one
-- step too many is refused a few calls, not hundreds. Dared in full, the whole minute's worth may start at once.
create or replace function tidegate.learn_counting_v1() returns int language plpgsql as $$
declare
  v_n int;
begin
  with asked as (
    select l.limit_id, greatest(1, case when l.burst < 8 then l.burst else l.size / 120 end) as step
      from tidegate.limits l
     where l.counting = 'unknown' and l.burst < l.size
       and exists (select from tidegate.limit_room_v1(array[l.limit_id], now(), now()) r where r.o_room <= 0)
     order by l.limit_id
     for no key update of l skip locked
  ), clean as (
    select a.limit_id, a.step
      from asked a join tidegate.limits l on l.limit_id = a.limit_id
      cross join lateral (
        select count(*) filter (where c.outcome = 'ok') as ok, count(*) filter (where c.outcome = 'rate_limited') as refused
          from tidegate.calls c
         where c.started_at > greatest(l.changed_at, now() - interval '10 min')
           and c.model in (select m.model from tidegate.models m join tidegate.model_limits ml on ml.model_id = m.model_id where ml.limit_id = l.limit_id)) k
     where k.refused = 0 and k.ok >= greatest(3, a.step)
  )
  update tidegate.limits l
     set burst = least(l.size, l.burst + c.step), changed_at = clock_timestamp(),
         evidence = l.burst || ' at once came back clean'
    from clean c where l.limit_id = c.limit_id;
  get diagnostics v_n = row_count;
  return v_n;
end $$;

-- A refusal while the way of counting is being found out: a fifth less than was dared is what may start at once.
create or replace function tidegate.learn_refusal_v1(p_model text) returns void language sql volatile as $$
  update tidegate.limits l
     set counting = 'bucket', burst = greatest(1, l.burst * 4 / 5), changed_at = clock_timestamp(),
         evidence = 'refused (429) when ' || l.burst || ' at once were dared'
   where l.counting = 'unknown'
     and l.limit_id in (select ml.limit_id from tidegate.model_limits ml join tidegate.models m on m.model_id = ml.model_id where m.model = p_model)
$$;
