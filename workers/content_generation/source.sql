-- Every material, with how common it is among all of them: 0 the rarest, 1 the most common.
--
-- A column is a field of the templates. Running again costs nothing for what was asked before: the
-- cache answers. The neighbours in the same group are what `comparison` compares with.
select m.symbol,
       m.revision,
       m.name,
       m.number,
       m.atomic_mass,
       m."group",
       m.period,
       m.block,
       m.series,
       m.melting_point_k,
       m.boiling_point_k,
       m.density_g_cm3,
       m.electronic_configuration,
       m.radioactive,
       m.crust_mg_per_kg,
       m.discovery_year,
       m.discoverers,
       m.name_origin,
       (select string_agg(o.name, ', ' order by o.number)
          from materials o
         where o."group" = m."group" and abs(o.period - m.period) = 1) as neighbours,
       percent_rank() over (order by m.crust_mg_per_kg nulls first) as commonness
  from materials m
