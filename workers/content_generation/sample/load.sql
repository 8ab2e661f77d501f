-- Takes a chunk of elements.jsonl, $1 jsonb (an array of its objects), into materials.
-- A material that is there and unchanged is left alone; changed facts make another revision (by the
-- trigger in setup.sql).
insert into materials as m
       (symbol, name, number, atomic_mass, "group", period, block, series, melting_point_k,
        boiling_point_k, density_g_cm3, electronic_configuration, radioactive, crust_mg_per_kg,
        discovery_year, discoverers, name_origin)
select r.symbol, r.name, r.number, r.atomic_mass, r."group", r.period, r.block, r.series,
       r.melting_point_k, r.boiling_point_k, r.density_g_cm3, r.electronic_configuration, r.radioactive,
       r.crust_mg_per_kg, r.discovery_year, r.discoverers, r.name_origin
  from jsonb_to_recordset($1) as r(
         symbol text,
         name text,
         number integer,
         atomic_mass double precision,
         "group" integer,
         period integer,
         block text,
         series text,
         melting_point_k double precision,
         boiling_point_k double precision,
         density_g_cm3 double precision,
         electronic_configuration text,
         radioactive boolean,
         crust_mg_per_kg double precision,
         discovery_year integer,
         discoverers text,
         name_origin text
       )
    on conflict (symbol) do update
   set (name, number, atomic_mass, "group", period, block, series, melting_point_k, boiling_point_k, density_g_cm3, electronic_configuration, radioactive, crust_mg_per_kg, discovery_year, discoverers, name_origin) =
       (excluded.name, excluded.number, excluded.atomic_mass, excluded."group", excluded.period, excluded.block, excluded.series, excluded.melting_point_k, excluded.boiling_point_k, excluded.density_g_cm3, excluded.electronic_configuration, excluded.radioactive, excluded.crust_mg_per_kg, excluded.discovery_year, excluded.discoverers, excluded.name_origin)
 where to_jsonb(m) - 'revision' is distinct from to_jsonb(excluded) - 'revision'
