-- Every tenth page, in order of its id, was edited once: it says so at its end, and is in version 2.
with numbered as (
    select page_id, row_number() over (order by page_id) as number from pages where space = 'addresses'
)
update pages p
   set body = p.body || ' (This page was edited.)'
  from numbered n
 where n.page_id = p.page_id
   and n.number % 10 = 0
   and p.version = 1
