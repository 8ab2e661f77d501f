//! The containers say what the program understands: their command lines and their configuration.

use std::process::{Command, Output};

fn tidegate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(args)
        .current_dir(super::root())
        // by this machine's settings, a file that is wrong could pass
        .env_clear()
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program runs")
}

/// Every `command: [...]` of docker-compose.yml.
fn commands() -> Vec<Vec<String>> {
    let file = std::fs::read_to_string(super::root().join("docker-compose.yml"))
        .expect("docker-compose.yml can be read");
    let lists = file.split("command: ").skip(1);
    lists
        .map(|rest| {
            let end = rest.find(']').expect("a command is a list in brackets");
            serde_json::from_str(&rest[..=end]).expect("a command is a list of strings")
        })
        .collect()
}

#[test]
fn every_command_of_the_containers_is_understood() {
    let commands = commands();
    assert_eq!(commands.len(), 4, "{commands:?}");
    for command in commands {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        // everything before it is read first, and nothing is done
        args.push("--help");
        let out = tidegate(&args);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{args:?}: {said}");
    }
}

#[test]
fn a_command_that_is_not_understood_is_seen() {
    assert!(
        !tidegate(&["work", "--slot", "3", "--help"])
            .status
            .success()
    );
}

#[test]
fn the_configuration_of_the_containers_is_understood() {
    let out = tidegate(&["--config", "docker/tidegate.toml", "config", "show"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
}
