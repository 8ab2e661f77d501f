-- Models and limits as the file or a person tells them.

-- Where calls at once begin: where a rate is known at rate x latency x 1.5 (p_latency_ms null: 10 s), and at what may start at once;
-- else at 3; never above the cap.
create or replace function tidegate.first_concurrency_v1(p_rpm bigint, p_burst bigint, p_latency_ms float8, p_cap bigint)
returns bigint language sql immutable parallel safe as $$
  select greatest(1, least(coalesce(p_cap, 100000),
    case when p_rpm > 0 then greatest(3, coalesce(p_burst, p_rpm), ceil(p_rpm / 60.0 * coalesce(p_latency_ms, 10000) / 1000.0 * 1.5)) else 3 end))::bigint
$$;

-- A limit that has no book yet begins with what its models used of the present window: else a limit told or learned in mid-run
-- would grant a whole window's worth again.
create or replace function tidegate.seed_book_v1(p_limit int) returns void language sql volatile as $$
  insert into tidegate.limit_book (limit_id, at, total, full_at)
  select l.limit_id, clock_timestamp(), k.used,
         clock_timestamp() + case when l.window_kind = 'minute' and l.size > 0 then make_interval(secs => least(k.used, coalesce(l.burst, k.used)) * 60.0 / l.size) else interval '0' end
    from tidegate.limits l
    cross join lateral (
      select sum(case l.dimension
                   when 'requests' then c.lead::int
                   when 'input_tokens' then coalesce(c.input_tokens, c.est_input_tokens)
                   when 'output_tokens' then coalesce(c.output_tokens + c.thought_tokens, c.est_output_tokens)
                   else coalesce(c.input_tokens + c.output_tokens + c.thought_tokens, c.est_input_tokens::bigint + coalesce(c.est_output_tokens, 0)) end)::bigint as used
        from tidegate.model_limits ml
        join tidegate.models m on m.model_id = ml.model_id
        join tidegate.calls c on c.model = m.model and c.sent and c.batch_id is null  -- batches have limits of their own
         and c.started_at > case l.window_kind when 'day' then tidegate.limit_day_start_v1(l.quota_scope, now()) else now() - interval '60 s' end
       where ml.limit_id = l.limit_id) k
   where l.limit_id = p_limit and l.dimension in ('requests', 'input_tokens', 'output_tokens', 'total_tokens') and k.used > 0
     and not exists (select from tidegate.limit_book b where b.limit_id = l.limit_id)
     and not exists (select from tidegate.limit_settlements t where t.limit_id = l.limit_id)
$$;

-- Writes one limit of a model as somebody tells it; null: takes it away, and what is found out about it counts again from nothing.
-- Calls at once stay a limit of every model: untold, they follow what it bears.
create or replace function tidegate.tell_limit_v1(
  p_model int, p_scope text, p_name text, p_dimension text, p_window text, p_size bigint, p_counting text, p_burst bigint, p_source text,
  p_keep boolean                             -- the way of counting stays as it is known
) returns void language plpgsql as $$
declare
  v_rpm boolean := p_dimension = 'requests' and p_window = 'minute';
  v_id int;
  v_old bigint;
begin
  select l.limit_id, case p_dimension when 'concurrency' then l.told else l.size end into v_id, v_old from tidegate.limits l
   where l.quota_scope = p_scope and l.name = p_name and l.dimension = p_dimension and l.window_kind = p_window for update;
  if p_size is null and p_dimension <> 'concurrency' then
    -- what was learned stays: nobody had told it
    update tidegate.limits l set told = null where l.limit_id = v_id and l.source = 'learned';
    delete from tidegate.model_limits ml using tidegate.limits l
     where ml.limit_id = l.limit_id and l.limit_id = v_id and l.source <> 'learned';
    delete from tidegate.limits l where l.limit_id = v_id and l.source <> 'learned'
       and not exists (select from tidegate.model_limits ml where ml.limit_id = l.limit_id);
    return;
  end if;
  if v_id is null then
    insert into tidegate.limits (quota_scope, name, dimension, window_kind, size, told, counting, burst, told_burst, source, adaptive, evidence)
    values (p_scope, p_name, p_dimension, p_window,
            case when p_dimension = 'concurrency' then tidegate.first_concurrency_v1(null, null, null, p_size) else p_size end, p_size,
            case when v_rpm then coalesce(p_counting, 'unknown') else 'sliding' end,
            case when v_rpm then case when p_counting = 'bucket' then p_burst
                                      -- not told how it is counted: few at once; see learn_counting_v1
                                      when p_counting is null then greatest(1, least(p_size, 3)) end end,
            p_burst,
            case when p_size is null then 'learned' else p_source end, p_dimension = 'concurrency',
            case when p_size is null then 'nothing is known yet: a few at once' when p_source = 'file' then 'tidegate.toml' else 'set by hand' end)
    returning limit_id into v_id;
  else
    update tidegate.limits l
       set told = p_size, source = case when p_size is null then 'learned' else p_source end, changed_at = clock_timestamp(), refused_at = null,
           -- calls at once stay what they are, below their cap
           size = case when l.adaptive then greatest(1, least(l.size, coalesce(p_size, l.size))) else p_size end,
           counting = case when not v_rpm or p_keep then l.counting else coalesce(p_counting, 'unknown') end,
           burst = case when not v_rpm then l.burst
                        when p_keep then case when l.burst is not null then least(l.burst, p_size) end
                        when p_counting = 'bucket' then p_burst
                        when p_counting is not null then null
                        else greatest(1, least(p_size, 3)) end,
           told_burst = case when not v_rpm then null when p_keep then case when l.told_burst is not null then least(l.told_burst, p_size) end else p_burst end,
           evidence = case when p_size is null then 'nothing is known yet: a few at once' when p_source = 'file' then 'tidegate.toml' else 'set by hand' end
     where l.limit_id = v_id
       and ((l.told, l.source) is distinct from (p_size, case when p_size is null then 'learned' else p_source end)
            or v_rpm and not p_keep and (l.counting, l.burst) is distinct from (coalesce(p_counting, 'unknown'), p_burst)
            or not l.adaptive and l.size <> p_size);
    if found then
      insert into tidegate.limit_adjustments (limit_id, what, old, new, reason)
      values (v_id, case when p_dimension = 'concurrency' then 'cap' else 'size' end, v_old, p_size, case p_source when 'file' then 'tidegate.toml' else 'set by hand' end);
    end if;
  end if;
  insert into tidegate.model_limits (model_id, limit_id) values (p_model, v_id) on conflict do nothing;
  perform tidegate.seed_book_v1(v_id);
end $$;

-- A model that is only named somewhere, without limits: known from now on. Returns its number; null: no such provider entry.
create or replace function tidegate.register_model_v1(p_model text) returns int language plpgsql as $$
declare
  v_id int;
  v_scope text;
  v_wire text := substring(p_model from position('/' in p_model) + 1);
begin
  select m.model_id into v_id from tidegate.models m where m.model = p_model;
  if v_id is not null then
    return v_id;
  end if;
  select p.quota_scope into v_scope from tidegate.providers p where p.name = split_part(p_model, '/', 1);
  if v_scope is null then
    return null;
  end if;
  insert into tidegate.models (model, provider, wire_name) values (p_model, split_part(p_model, '/', 1), v_wire) on conflict (model) do nothing;
  select m.model_id into v_id from tidegate.models m where m.model = p_model for update;
  -- another entry of the same scope, or another process just now, may have told it
  if not exists (select from tidegate.limits l where l.quota_scope = v_scope and l.name = v_wire and l.dimension = 'concurrency') then
    perform tidegate.tell_limit_v1(v_id, v_scope, v_wire, 'concurrency', 'none', null, null, null, 'learned', true);
  end if;
  -- another entry of the same scope may have told its limits already
  insert into tidegate.model_limits (model_id, limit_id)
  select v_id, l.limit_id from tidegate.limits l where l.quota_scope = v_scope and l.name = v_wire on conflict do nothing;
  return v_id;
end $$;

-- One provider entry of tidegate.toml. Another quota scope means other limits: its models are bound to those of the new one, and what
-- the file says of them is written anew. p_batch_jobs: batches under way at once, written only where the file says another number than at
-- the last sync; null: the file does not say.
create or replace function tidegate.sync_provider_v2(
  p_name text, p_kind text, p_base_url text, p_scope text, p_zone text, p_batch_jobs int
) returns void language plpgsql as $$
declare
  v_old text;
  v_model record;
begin
  select p.quota_scope into v_old from tidegate.providers p where p.name = p_name for update;
  insert into tidegate.providers (name, kind, base_url, quota_scope, day_zone) values (p_name, p_kind, p_base_url, p_scope, p_zone)
  on conflict (name) do update set kind = excluded.kind, base_url = excluded.base_url, quota_scope = excluded.quota_scope, day_zone = excluded.day_zone
   where (tidegate.providers.kind, tidegate.providers.base_url, tidegate.providers.quota_scope, tidegate.providers.day_zone)
     is distinct from (excluded.kind, excluded.base_url, excluded.quota_scope, excluded.day_zone);
  if p_batch_jobs is not null then
    insert into tidegate.file_values as f (name, value) values ('providers.' || p_name || '.batch_jobs', p_batch_jobs::text)
    on conflict (name) do update set value = excluded.value, at = clock_timestamp() where f.value <> excluded.value;
    if found then
      update tidegate.providers p set batch_jobs = p_batch_jobs where p.name = p_name;
    end if;
  end if;
  if v_old is null or v_old = p_scope then
    return;
  end if;
  for v_model in update tidegate.models m set file_hash = null, file_entry = null where m.provider = p_name returning m.model_id, m.wire_name, m.shares loop
    delete from tidegate.model_limits ml where ml.model_id = v_model.model_id;
    if not exists (select from tidegate.limits l where l.quota_scope = p_scope and l.name = v_model.wire_name and l.dimension = 'concurrency') then
      perform tidegate.tell_limit_v1(v_model.model_id, p_scope, v_model.wire_name, 'concurrency', 'none', null, null, null, 'learned', true);
    end if;
    insert into tidegate.model_limits (model_id, limit_id)
    select v_model.model_id, l.limit_id from tidegate.limits l
     where l.quota_scope = p_scope
       and l.name = case when l.dimension = 'concurrency' then v_model.wire_name else coalesce(v_model.shares, v_model.wire_name) end
    on conflict do nothing;
  end loop;
end $$;

-- One model of tidegate.toml. Its limits and prices are written only if its entry changed since the last sync (p_hash), and of
-- them only those that differ from what the file said then, so that a restarting pod never undoes what was set by hand. p_entry:
-- rpm, tpm, output_tpm, rpd, tpd, max_concurrency, window, burst, input_price_microusd, output_price_microusd, token_dimension,
-- shares, batch, batch_price_percent, batch_enqueued_tokens. A limit that is not named is null.
create or replace function tidegate.sync_model_v2(p_model text, p_hash bytea, p_entry jsonb) returns boolean language plpgsql as $$
declare
  v_id int := tidegate.register_model_v1(p_model);
begin
  if v_id is null then
    raise exception 'no provider entry is called %', split_part(p_model, '/', 1)
      using errcode = 'TG404', hint = 'add it to [providers] in tidegate.toml';
  end if;
  perform 1 from tidegate.models m where m.model_id = v_id and m.file_hash is distinct from p_hash for update;
  if not found then
    return false;
  end if;
  perform tidegate.tell_model_v1(v_id, p_entry, 'file');
  update tidegate.models m set file_hash = p_hash, file_entry = p_entry where m.model_id = v_id;
  perform tidegate.wake_v1('ready');
  return true;
end $$;

-- What a person or the file says of a model. By hand: only the keys that are there change. By the file: those that differ from what
-- it said before.
create or replace function tidegate.tell_model_v1(p_model int, p_entry jsonb, p_source text) returns void language plpgsql as $$
declare
  v tidegate.models;
  v_scope text;
  v_bucket text;
  v_key text;
  v_was jsonb;
begin
  select * into v from tidegate.models m where m.model_id = p_model for update;
  select p.quota_scope into v_scope from tidegate.providers p where p.name = v.provider;
  -- all it may touch, in the order of the claims
  perform 1 from tidegate.limits l
   where l.quota_scope = v_scope and l.name in (v.wire_name, v.shares, p_entry ->> 'shares') order by l.limit_id for no key update;
  v_was := case when p_source = 'file' then v.file_entry end;
  if p_entry ? 'shares' and (p_entry ->> 'shares') is distinct from v.shares then
    -- the limits of another name from now on, and no longer its own
    update tidegate.models m set shares = p_entry ->> 'shares' where m.model_id = p_model;
    v.shares := p_entry ->> 'shares';
    delete from tidegate.model_limits ml using tidegate.limits l
     where ml.model_id = p_model and l.limit_id = ml.limit_id and l.dimension <> 'concurrency';
    insert into tidegate.model_limits (model_id, limit_id)
    select p_model, l.limit_id from tidegate.limits l
     where l.quota_scope = v_scope and l.name = coalesce(v.shares, v.wire_name) and l.dimension <> 'concurrency'
    on conflict do nothing;
  end if;
  v_bucket := coalesce(v.shares, v.wire_name);
  if p_entry ? 'input_price_microusd' and (v_was is null or v_was -> 'input_price_microusd' is distinct from p_entry -> 'input_price_microusd') then
    update tidegate.models m set input_price_microusd = (p_entry ->> 'input_price_microusd')::numeric::bigint where m.model_id = p_model;
  end if;
  if p_entry ? 'output_price_microusd' and (v_was is null or v_was -> 'output_price_microusd' is distinct from p_entry -> 'output_price_microusd') then
    update tidegate.models m set output_price_microusd = (p_entry ->> 'output_price_microusd')::numeric::bigint where m.model_id = p_model;
  end if;
  -- its batch mode: what is taken away is as if nobody had said it
  foreach v_key in array array['batch', 'batch_price_percent', 'batch_enqueued_tokens'] loop
    continue when not p_entry ? v_key or v_was is not null and coalesce(v_was -> v_key, 'null') = p_entry -> v_key;
    continue when p_source = 'file' and p_entry -> v_key = 'null' and coalesce(v_was -> v_key, 'null') = 'null';
    update tidegate.models m
       set batch_mode = case v_key when 'batch' then (p_entry ->> v_key)::boolean else m.batch_mode end,
           batch_note = case when v_key <> 'batch' then m.batch_note when p_entry ->> v_key is null then null
                             when p_source = 'file' then 'tidegate.toml' else 'set by hand' end,
           batch_percent = case v_key when 'batch_price_percent' then coalesce((p_entry ->> v_key)::numeric::smallint, 50) else m.batch_percent end,
           batch_tokens = case v_key when 'batch_enqueued_tokens' then (p_entry ->> v_key)::numeric::bigint else m.batch_tokens end
     where m.model_id = p_model;
  end loop;
  foreach v_key in array array['max_concurrency', 'output_tpm', 'rpd', 'rpm', 'tpd', 'tpm'] loop
    continue when not p_entry ? v_key and not (v_key = 'rpm' and (p_entry ? 'window' or p_entry ? 'burst'));
    continue when v_was is not null
      and (v_was -> v_key) is not distinct from (p_entry -> v_key)
      and (v_key <> 'rpm' or ((v_was -> 'window') is not distinct from (p_entry -> 'window') and (v_was -> 'burst') is not distinct from (p_entry -> 'burst')));
    -- what the file never named is not taken away by it: another entry of the scope may have told it
    continue when p_source = 'file' and coalesce(p_entry -> v_key, 'null') = 'null' and coalesce(v_was -> v_key, 'null') = 'null';
    -- one bucket, many names: the numbers are told where the bucket has its name
    continue when v.shares is not null and v_key <> 'max_concurrency';
    perform tidegate.tell_limit_v1(
      p_model, v_scope, case when v_key = 'max_concurrency' then v.wire_name else v_bucket end,
      case v_key when 'max_concurrency' then 'concurrency' when 'rpm' then 'requests' when 'rpd' then 'requests'
                 when 'output_tpm' then 'output_tokens' else tidegate.token_dimension_v1(v.provider) end,
      case v_key when 'max_concurrency' then 'none' when 'rpd' then 'day' when 'tpd' then 'day' else 'minute' end,
      case when v_key = 'rpm' and not p_entry ? 'rpm'
           then (select coalesce(l.told, l.size) from tidegate.limits l where l.quota_scope = v_scope and l.name = v_bucket and l.dimension = 'requests' and l.window_kind = 'minute')
           else (p_entry ->> v_key)::numeric::bigint end,
      case when v_key = 'rpm' then p_entry ->> 'window' end,
      case when v_key = 'rpm' then (p_entry ->> 'burst')::numeric::bigint end, p_source,
      -- by hand, what is not named stays; in the file, what it did not name before either was found out
      case when p_source = 'file' then v_was is not null and v_was ->> 'window' is null and p_entry ->> 'window' is null
           else not p_entry ? 'window' end);
  end loop;
  -- who shares this bucket, under this name or in the same scope, gets what is new of it
  insert into tidegate.model_limits (model_id, limit_id)
  select o.model_id, l.limit_id
    from tidegate.models o
    join tidegate.providers p on p.name = o.provider and p.quota_scope = v_scope
    join tidegate.limits l on l.quota_scope = v_scope
     and l.name = case when l.dimension = 'concurrency' then o.wire_name else coalesce(o.shares, o.wire_name) end
   where coalesce(o.shares, o.wire_name) = v_bucket
  on conflict do nothing;
  -- calls at once begin by the rate, where it is known and nothing was found out yet
  update tidegate.limits l
     set size = tidegate.first_concurrency_v1(k.rpm, k.burst, null, l.told), evidence = case when k.rpm is null then l.evidence else 'by the rate' end
    from (select max(r.size) as rpm, max(r.burst) as burst from tidegate.limits r
           where r.quota_scope = v_scope and r.name = v_bucket and r.dimension = 'requests' and r.window_kind = 'minute') k
   where l.quota_scope = v_scope and l.name = v.wire_name and l.adaptive and l.cut_at is null
     and (l.evidence in ('nothing is known yet: a few at once', 'by the rate', 'tidegate.toml', 'set by hand'));
end $$;

-- What a provider counts per minute: Gemini what is asked, others what is asked and answered.
create or replace function tidegate.token_dimension_v1(p_provider text) returns text language sql stable as $$
  select case when p.kind = 'gemini' then 'input_tokens' else 'total_tokens' end from tidegate.providers p where p.name = p_provider
$$;

-- Refuses a model that another cannot share the limits of: it is known, of the same quota scope, another, and has its own.
create or replace function tidegate.may_share_v1(p_model int, p_of text) returns void language plpgsql as $$
declare
  v_other tidegate.models;
begin
  select o.* into v_other from tidegate.models o where o.model = p_of;
  if v_other.model_id is null then
    raise exception 'no model is called %', p_of using errcode = 'TG422', column = 'shares', hint = 'see: select model from tidegate.models';
  end if;
  if v_other.model_id = p_model then
    raise exception '% has its own limits already', p_of using errcode = 'TG422', column = 'shares', hint = 'name another model, or null';
  end if;
  if v_other.shares is not null then
    raise exception '% shares the limits of % itself', p_of, v_other.shares using errcode = 'TG422', column = 'shares', hint = 'name that one';
  end if;
  if exists (select from tidegate.models m join tidegate.providers p on p.name = m.provider, tidegate.providers k
              where m.model_id = p_model and k.name = v_other.provider and k.quota_scope <> p.quota_scope) then
    raise exception '% is of another quota scope', p_of
      using errcode = 'TG422', column = 'shares', hint = 'limits are shared within one quota_scope';
  end if;
  if exists (select from tidegate.models m join tidegate.models o on o.shares = m.wire_name
               join tidegate.providers p on p.name = m.provider join tidegate.providers k on k.name = o.provider and k.quota_scope = p.quota_scope
              where m.model_id = p_model) then
    raise exception 'others share its own limits' using errcode = 'TG422', column = 'shares', hint = 'take those away first';
  end if;
end $$;

-- Sets limits and prices of a model by hand: {"rpm": 60, "window": "bucket", "burst": 10, "tpm": null}. A null takes a limit away.
-- Obeyed by the next claim of every process, and not undone by tidegate.toml unless its entry changes. Refuses what cannot be.
create or replace function tidegate.set_model(p_model text, p_changes jsonb) returns void language plpgsql as $$
declare
  v_id int;
  v_key text;
  v_value jsonb;
  v_shares text;
begin
  select m.model_id, m.shares into v_id, v_shares from tidegate.models m where m.model = p_model;
  if v_id is null then
    raise exception 'no model is called %', p_model using errcode = 'TG404', hint = 'see: select model from tidegate.models';
  end if;
  if jsonb_typeof(p_changes) <> 'object' or p_changes = '{}' then
    raise exception 'nothing to set' using errcode = 'TG422', hint = 'give an object like {"rpm": 60}';
  end if;
  for v_key, v_value in select * from jsonb_each(p_changes) loop
    if v_key not in ('rpm', 'tpm', 'output_tpm', 'rpd', 'tpd', 'max_concurrency', 'window', 'burst', 'input_price_microusd', 'output_price_microusd', 'shares',
                     'batch', 'batch_price_percent', 'batch_enqueued_tokens') then
      raise exception '% is nothing that a model has', v_key using errcode = 'TG422', column = v_key,
        hint = 'one of rpm, tpm, output_tpm, rpd, tpd, max_concurrency, window, burst, input_price_microusd, output_price_microusd, shares, batch, batch_price_percent, batch_enqueued_tokens';
    end if;
    continue when v_value = 'null';
    if v_key = 'window' then
      if v_value #>> '{}' not in ('sliding', 'fixed', 'bucket') then
        raise exception 'window % is no way of counting', v_value using errcode = 'TG422', column = v_key, hint = 'sliding, fixed or bucket';
      end if;
    elsif v_key = 'shares' then
      perform tidegate.may_share_v1(v_id, v_value #>> '{}');
    elsif v_key = 'batch' then
      if jsonb_typeof(v_value) <> 'boolean' then
        raise exception 'batch must be true or false, not %', v_value
          using errcode = 'TG422', column = v_key, hint = 'whether it has a batch mode; null: that is found out';
      end if;
    elsif v_key = 'batch_price_percent' then
      if jsonb_typeof(v_value) <> 'number' or v_value::numeric <> trunc(v_value::numeric) or v_value::numeric not between 0 and 100 then
        raise exception 'batch_price_percent must be a whole number from 0 to 100, not %', v_value
          using errcode = 'TG422', column = v_key, hint = 'of the price of single calls';
      end if;
    elsif jsonb_typeof(v_value) <> 'number' or v_value::numeric <> trunc(v_value::numeric)
       or v_value::numeric not between (v_key not like '%price%')::int and 1000000000000 then
      raise exception '% must be a whole number from % to 10^12, not %', v_key, (v_key not like '%price%')::int, v_value
        using errcode = 'TG422', column = v_key, hint = 'to close a model, pause it: tidegate.pause_model';
    end if;
  end loop;
  -- one bucket, many names: its limits are told where it has its name
  if p_changes ? 'shares' then
    v_shares := substring(p_changes ->> 'shares' from position('/' in p_changes ->> 'shares') + 1);
  end if;
  select min(k) into v_key from jsonb_object_keys(p_changes) k where k in ('rpm', 'tpm', 'output_tpm', 'rpd', 'tpd', 'window', 'burst');
  if v_shares is not null and v_key is not null then
    raise exception 'the limits of % are those of %', p_model, v_shares
      using errcode = 'TG422', column = v_key, hint = 'set it there, or set shares to null first';
  end if;
  if p_changes ->> 'window' = 'bucket' and coalesce(p_changes -> 'burst', 'null') = 'null' then
    raise exception 'a bucket needs a burst' using errcode = 'TG422', column = 'burst', hint = 'how many calls may start at once';
  end if;
  if coalesce(p_changes -> 'burst', 'null') <> 'null' and p_changes ->> 'window' is distinct from 'bucket' then
    raise exception 'a burst needs window = bucket' using errcode = 'TG422', column = 'burst', hint = 'set both, or neither';
  end if;
  if (p_changes ->> 'burst')::bigint > coalesce((p_changes ->> 'rpm')::bigint, (
       select max(l.size) from tidegate.limits l join tidegate.model_limits ml on ml.limit_id = l.limit_id
        where ml.model_id = v_id and l.dimension = 'requests' and l.window_kind = 'minute'), 0) then
    raise exception 'a burst of % is more than a whole minute''s', p_changes ->> 'burst' using errcode = 'TG422', column = 'burst', hint = 'at most rpm';
  end if;
  if (p_changes ? 'window' and not p_changes ? 'rpm') and not exists (
       select from tidegate.limits l join tidegate.model_limits ml on ml.limit_id = l.limit_id
        where ml.model_id = v_id and l.dimension = 'requests' and l.window_kind = 'minute') then
    raise exception 'window says how requests per minute are counted, and there is no rpm' using errcode = 'TG422', column = 'window', hint = 'set rpm with it';
  end if;
  perform tidegate.tell_model_v1(v_id, case when p_changes ? 'shares' then p_changes || jsonb_build_object('shares', v_shares) else p_changes end, 'hand');
  perform tidegate.wake_v1('ready');
end $$;

-- The budget of a run, or of a day for everything (p_run null), in micro-dollars; null: none. What was spent before counts.
create or replace function tidegate.set_budget(p_run uuid, p_microusd bigint) returns void language plpgsql as $$
declare
  v_name text := coalesce('run:' || p_run::text, 'budget');
begin
  if p_microusd < 0 then
    raise exception 'a budget of % cannot be', p_microusd using errcode = 'TG422', column = 'microusd', hint = 'give micro-dollars: 1000000 is a dollar';
  end if;
  if p_run is not null and not exists (select from tidegate.runs u where u.id = p_run) then
    raise exception 'no run has the id %', p_run using errcode = 'TG404', hint = 'see: select id from tidegate.runs';
  end if;
  -- claims that looked before it stood have booked nothing: they are waited for, and what they granted is summed below
  lock table tidegate.limits in exclusive mode;
  if p_microusd is null then
    delete from tidegate.limit_settlements s using tidegate.limits l where s.limit_id = l.limit_id and l.dimension = 'money' and l.name = v_name;
    delete from tidegate.limit_book b using tidegate.limits l where b.limit_id = l.limit_id and l.dimension = 'money' and l.name = v_name;
    delete from tidegate.limits l where l.dimension = 'money' and l.name = v_name;
  else
    insert into tidegate.limits as l (quota_scope, name, dimension, window_kind, size, told, counting, source, run_id)
    values ('money', v_name, 'money', case when p_run is null then 'day' else 'run' end, p_microusd, p_microusd, 'sliding', 'hand', p_run)
    on conflict (quota_scope, name, dimension, window_kind) do update
       set size = excluded.size, told = excluded.told, source = excluded.source, changed_at = clock_timestamp();
    if not exists (select from tidegate.limit_book b join tidegate.limits l on l.limit_id = b.limit_id where l.dimension = 'money' and l.name = v_name) then
      -- what its calls cost so far: done ones as they cost, others at their worst
      insert into tidegate.limit_book (limit_id, at, total, full_at)
      select l.limit_id, clock_timestamp(), k.spent, clock_timestamp()
        from tidegate.limits l
        cross join lateral (
          select coalesce(sum(case when not c.sent then 0 when c.ended_at is null or c.cost_estimated then greatest(c.est_cost_microusd, coalesce(c.cost_microusd, 0))
                                   else coalesce(c.cost_microusd, 0) end), 0)::bigint as spent
            from tidegate.calls c
           where case when p_run is null then c.started_at >= tidegate.day_start('UTC', now()) else c.run_id = p_run end) k
       where l.dimension = 'money' and l.name = v_name;
    end if;
  end if;
  perform tidegate.wake_v1('ready');
end $$;

-- The day's budget as tidegate.toml says it (null: it says that there is none). Written only if it says something else than at the
-- last sync, so that what was set by hand stays. A file that says nothing of it is not synced.
create or replace function tidegate.sync_budget_v1(p_microusd bigint) returns boolean language plpgsql as $$
begin
  insert into tidegate.file_values as f (name, value) values ('budget.usd_per_day', coalesce(p_microusd::text, 'none'))
  on conflict (name) do update set value = excluded.value, at = clock_timestamp() where f.value <> excluded.value;
  if not found then
    return false;
  end if;
  perform tidegate.set_budget(null, p_microusd);
  update tidegate.limits l set source = 'file', evidence = 'tidegate.toml' where l.dimension = 'money' and l.window_kind = 'day';
  return true;
end $$;

-- What may be spent, by a run or by all in a day (UTC), and what of it is: calls that ended as they cost (where that is not known, at
-- their worst), those under way at their worst (reserved).
create or replace view tidegate.budgets as
  select l.run_id, l.window_kind, l.size as budget_microusd, (z.used - least(z.used, f.reserved))::bigint as spent_microusd,
         f.reserved as reserved_microusd, greatest(0, l.size - z.used)::bigint as left_microusd, l.source, l.changed_at
    from tidegate.limits l
    cross join lateral (
      select case l.window_kind when 'day' then tidegate.day_start('UTC', now()) else '-infinity'::timestamptz end as start) d
    cross join lateral (
      select coalesce((select b.total from tidegate.limit_book b where b.limit_id = l.limit_id order by b.at desc limit 1), 0)
             - coalesce((select b.total from tidegate.limit_book b where b.limit_id = l.limit_id and b.at <= d.start order by b.at desc limit 1), 0)
             + coalesce((select sum(s.delta) from tidegate.limit_settlements s where s.limit_id = l.limit_id and s.at > d.start), 0) as used) z
    cross join lateral (
      -- under way singly, and what is asked in batches or owed by them
      select coalesce(sum(c.est_cost_microusd), 0)::bigint as reserved
        from (select r.call_id, r.granted_at from tidegate.running r
              union all
              select i.call_id, i.granted_at from tidegate.batch_items i) r
        join tidegate.calls c on c.id = r.call_id and c.started_at = r.granted_at
       where l.run_id is null or c.run_id = l.run_id) f
   where l.dimension = 'money';
