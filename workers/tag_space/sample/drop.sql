-- Forgets the sample: its tables and all that was written to them.
drop table if exists page_labels, pages cascade;
drop function if exists pages_edited()
