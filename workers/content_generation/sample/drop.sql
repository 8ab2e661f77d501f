-- Forgets the sample: its tables and all that was written to them.
drop table if exists material_frontmatter, material_metatags, material_text, material_table, material_tags, material_captions, material_faq, material_summary, material_comparison, material_jsonld, materials cascade;
drop function if exists materials_changed()
