-- Interactive calls: somebody waits for the answer. Tasks of such a lane are claimed by who asked, by their id, and by nobody else.
alter table tidegate.lanes add column interactive boolean not null default false;
