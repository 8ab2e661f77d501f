//! F35: the server's disk is full.

use std::{io::Write, path::Path, process::Command};

use rustix::process::geteuid;
use sqlx::{Connection, PgConnection};

use super::tools::{Program, arrived, loaded_on, slow_models, until};
use crate::support::TestServer;

/// Fills a disk to its last page, until it is dropped.
struct Filler(std::path::PathBuf);

impl Filler {
    fn of(disk: &Path) -> Self {
        let path = disk.join("filler");
        let mut file = std::fs::File::create(&path).expect("a file is made");
        let page = [7_u8; 4_096];
        while file.write_all(&page).is_ok() {}
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // the disk goes with its test
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether a small disk can be made here. Where it cannot, says aloud that the test was left out.
#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests must see what was left out"
)]
fn disks_can_be_made() -> bool {
    let can = geteuid().is_root() && Command::new("mount").arg("-V").output().is_ok();
    if !can {
        eprintln!("tests: SKIPPED: only root can mount a small disk");
    }
    can
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f35_a_full_disk_is_waited_out_and_costs_no_answer() {
    if !disks_can_be_made() {
        return;
    }
    let mut server = TestServer::on_a_small_disk(200)
        .await
        .expect("root mounts a disk");
    let (fleet, run) = loaded_on(&server, 150, slow_models(60.0)).await;
    // a table that needs room with every batch of answers
    let greedy = "create table greed (filler text);
        alter table greed alter column filler set storage external;
        create function want_room() returns trigger language plpgsql as $$
        begin
          insert into greed select repeat(md5(random()::text), 2000);
          return null;
        end $$;
        create trigger greed after insert on tidegate.task_results for each statement execute function want_room()";
    sqlx::raw_sql(greedy)
        .execute(fleet.store.pool())
        .await
        .expect("greed");
    let mut program = Program::start(&fleet, fleet.url(), 6, &[]);
    fleet.until_calls(20).await;
    let filler = Filler::of(server.disk().expect("it is on one"));
    until("it is told that the disk is full", async || {
        program.log().contains("No space left on device")
    })
    .await;
    let stored = "select count(*) from tidegate.task_results";
    assert!(fleet.count(stored).await < 150);
    drop(filler);
    if PgConnection::connect(server.url()).await.is_err() {
        // the server itself ends where its log of writes finds no room: a person starts it again
        server.start().await;
    }
    fleet.until_done(run).await;
    assert!(program.runs(), "{}", program.log());
    program.stop().await;
    let done = "select count(*) from articles where extracted_entities";
    assert_eq!((fleet.count(done).await, arrived(&fleet)), (150, 150));
    for none in [
        "select count(*) from tidegate.tasks where state <> 'done' or attempts <> 1",
        "select count(*) from tidegate.audit_v1()",
    ] {
        assert_eq!(fleet.count(none).await, 0, "{none}");
    }
}
