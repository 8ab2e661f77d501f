-- The pages of the space that have no labels in the version they have now.
--
-- Each row is an item; its columns are the fields of prompt.md. Another space: change the last line,
-- or run with a source.sql of your own. Tables are found by the connection's search_path.
select p.page_id,
       p.version,
       p.section,
       p.title,
       p.body
  from pages p
 where not exists (select from page_labels l where l.page_id = p.page_id and l.version = p.version)
   and p.space = 'addresses'
