//! What a worker process logs: where its models stand, what goes to fallbacks, and what it did.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::{Program, write};
use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, items, load},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_tells_where_its_models_stand_what_falls_back_and_what_it_did() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let run = load(&fleet.store, ONE_TIER, &items(20)).await.unwrap().run;
    let program = Program::over(fleet.url()).with("A_TEST_KEY", "a-test-key");
    let settings = format!(
        "[work]\nstatus_s = 1\n[providers.sim]\nkind = \"gemini\"\nbase_url = {:?}\napi_key_env = \"A_TEST_KEY\"\n",
        fleet.simulator.base_url()
    );
    write(&program.folder().join("tidegate.toml"), &settings);
    program.run(&["models", "pause", "sim/a"]).ok();
    let mut child = program
        .command(&["work"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut until = |words: &str| loop {
        let line = lines.next().expect("it logs on").expect("text");
        if line.contains(words) {
            return line;
        }
    };
    let fell = until("tidegate::fallback");
    assert!(
        fell.contains("20 tasks go to sim/b instead of sim/a"),
        "{fell}"
    );
    let stands = until("tidegate::concurrency");
    assert!(
        stands.contains("sim/b: 20 calls in the last minute"),
        "{stands}"
    );
    fleet.until_done(run).await;
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("it runs");
    let did = until("tidegate::summary");
    assert!(
        did.contains("20 done, 0 failed, 0 given back; 20 calls, 0 refused with 429"),
        "{did}"
    );
    assert!(child.wait().expect("it ends").success());
}
