//! What a newcomer types: help, init, config show, migrate, simulate.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::Program;
use crate::support::TestDb;

#[test]
fn help_and_version_are_data() {
    for args in [
        &["--help"][..],
        &["--version"],
        &["help", "tasks"],
        &["models", "cool", "--help"],
    ] {
        let ran = Program::new().run(args).ok();
        assert!(ran.stderr.is_empty() && !ran.stdout.is_empty(), "{ran:?}");
    }
}

#[test]
fn init_writes_once_and_never_changes_what_is_there() {
    let program = Program::new();
    let first = program.run(&["init", "--worker", "summaries"]).ok();
    assert!(first.stdout.contains("wrote ./tidegate.toml"), "{first:?}");
    let worker = program.folder().join("workers/summaries/worker.toml");
    let text = std::fs::read_to_string(&worker).unwrap();
    assert!(text.contains("name = \"summaries\""), "{text}");

    std::fs::write(&worker, "mine").unwrap();
    let second = program
        .run(&["--json", "init", "--worker", "summaries"])
        .ok()
        .objects();
    assert_eq!(
        second[0]["wrote"].as_array().unwrap().len(),
        0,
        "{second:?}"
    );
    assert_eq!(second[0]["kept"].as_array().unwrap().len(), 5, "{second:?}");
    assert_eq!(std::fs::read_to_string(&worker).unwrap(), "mine");
}

#[test]
fn what_init_wrote_is_what_config_show_reads() {
    let program = Program::new().with("GEMINI_API_KEY", "canary-4711");
    program.run(&["init"]).ok();
    let ran = program.run(&["--json", "config", "show"]).ok();
    assert!(!ran.stdout.contains("canary"), "{ran:?}");
    let shown = ran.objects();
    let of = |key: &str| shown.iter().find(|it| it["key"] == key).unwrap();
    assert_eq!(of("providers.gemini.api_key")["value"], "set");
    let price = of("models.gemini/gemini-3.5-flash-lite.input_price_usd");
    assert_eq!(price["value"], "0.30");
    assert!(
        price["origin"]
            .as_str()
            .unwrap()
            .starts_with("tidegate.toml:"),
        "{price}"
    );
}

#[tokio::test]
async fn migrating_twice_is_migrating_once() {
    let db = TestDb::new().await;
    sqlx::raw_sql("drop schema tidegate cascade")
        .execute(db.pool())
        .await
        .unwrap();
    let program = Program::over(db.url());
    let first = program.run(&["--json", "migrate"]).ok().objects();
    assert!(
        !first[0]["applied"].as_array().unwrap().is_empty(),
        "{first:?}"
    );
    let second = program.run(&["migrate"]).ok();
    assert_eq!(second.stdout, "the schema is up to date\n", "{second:?}");
}

#[test]
fn simulate_tells_its_url_and_ends_when_asked() {
    let program = Program::new();
    let mut command = program.command(&["--json", "simulate", "--model", "m:rpm=3"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = told["base_url"].as_str().unwrap();
    assert!(
        url.starts_with("http://127.0.0.1:") && url.ends_with("/v1beta"),
        "{told}"
    );
    let address = told["addr"].as_str().unwrap();
    std::net::TcpStream::connect(address).expect("it listens where it says");

    let id = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    Program::new()
        .run(&["simulate", "--addr", &addr])
        .refused(&["cannot listen on"]);
}

#[test]
fn completions_are_printed_wherever_a_shell_starts() {
    let program = Program::new();
    super::write(&program.folder().join("tidegate.toml"), "no = [toml");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = program.run(&["completions", shell]).ok();
        assert!(
            ran.stdout.contains("doctor") && ran.stderr.is_empty(),
            "{ran:?}"
        );
    }
    assert_eq!(program.run(&["completions", "tcsh"]).code, Some(1));
}
