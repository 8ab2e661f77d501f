//! `tidegate embed`: vectors of texts at once, as lines in their order.

use std::{io::Write, process::Stdio};

use tidegate::{
    llm::{EmbedRequest, TaskType},
    provider::CallLimits,
};

use super::{Program, Ran, shipped_worker};
use crate::support::fleet::{Fleet, a_model};

const MODEL: &str = "gemini/gemini-embedding-001";

async fn fleet() -> Fleet {
    Fleet::with(vec![a_model("gemini-embedding-001")]).await
}

fn piped(program: &Program, args: &[&str], text: &str) -> Ran {
    let mut command = program.command(args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it reads");
    stdin.write_all(text.as_bytes()).expect("it reads all");
    drop(stdin);
    Ran::of(args, child.wait_with_output().expect("it ends"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_the_vector_of_its_text_and_no_text_is_asked_twice() {
    let fleet = fleet().await;
    let program = shipped_worker(&fleet, "");
    let args = [
        "embed",
        MODEL,
        "-",
        "--lines",
        "--task-type",
        "clustering",
        "--dimensions",
        "12",
    ];
    let ran = piped(&program, &args, "one\ntwo\none\nthree\n").ok();
    let lines: Vec<Vec<f32>> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("an array of numbers"))
        .collect();
    assert_eq!(fleet.simulator.log().len(), 1);
    assert_eq!(lines[0], lines[2]);
    let request = EmbedRequest {
        texts: ["one", "two", "one", "three"].map(str::to_owned).to_vec(),
        task_type: Some(TaskType::Clustering),
        dimensions: Some(12),
    };
    let provider = &fleet.providers()["sim"];
    let limits = CallLimits::default();
    let exchange = provider
        .embed("gemini-embedding-001", &request, &limits)
        .await;
    let own = exchange.answer.expect("vectors").embeddings;
    let own: Vec<Vec<f32>> = own.into_iter().map(|it| it.values).collect();
    assert_eq!(lines, own);

    let before = fleet.simulator.log().len();
    let json = [&args[..], &["--json"]].concat();
    let again = piped(&program, &json, "two\nfour").ok().objects();
    assert_eq!(fleet.simulator.log().len(), before + 1, "one is kept");
    let told = |at: usize| (again[at]["index"].clone(), again[at]["cached"].clone());
    assert_eq!(told(0), (0.into(), true.into()));
    assert_eq!(told(1), (1.into(), false.into()));
    let read: Vec<f32> = serde_json::from_value(again[0]["vector"].clone()).expect("numbers");
    assert_eq!(read, lines[1]);
    assert_eq!(again[0]["task_type"], "clustering");
    assert!(again[1]["task_id"].is_string() && again[1]["input_tokens"].is_number());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_text_is_one_call_and_mistakes_are_told_before_any() {
    let fleet = fleet().await;
    let program = shipped_worker(&fleet, "");
    let ran = program
        .run(&["embed", MODEL, "Who went\nto the Moon?", "--tag", "a"])
        .ok();
    assert_eq!(ran.stdout.lines().count(), 1);
    assert_eq!(fleet.simulator.log().len(), 1);
    let tag = "select count(*) from tidegate.task_results where answer::jsonb ->> 'tag' = 'a'";
    assert_eq!(fleet.count(tag).await, 1);
    program
        .run(&["embed", MODEL, "x", "--no-cache", "--tag", "a"])
        .ok();
    let kept = "select count(*) from tidegate.result_cache";
    assert_eq!(fleet.count(kept).await, 1, "and that is not kept");
    let before = fleet.simulator.log().len();
    piped(&program, &["embed", MODEL, "--lines"], "a\n\nb\n")
        .refused(&["line 2 is empty", "leave it out"]);
    program
        .run(&["embed", MODEL, " "])
        .refused(&["the text is empty"]);
    program
        .run(&["embed", MODEL, "x", "--task-type", "retrieval_querry"])
        .refused(&["retrieval_querry", "retrieval_query"]);
    program
        .run(&["embed", MODEL, "x", "--dimensions", "0"])
        .refused(&["1..=20000"]);
    let gone = program.run(&["embed", "gemini/nosuch", "x"]);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(
        gone.stderr
            .contains("error: no model may be called: gemini/nosuch"),
        "{gone:?}"
    );
    assert_eq!(fleet.simulator.log().len(), before + 1, "only the last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_goes_by_batch_where_that_is_said_and_it_is_told_how_it_went() {
    let fleet = fleet().await;
    let program = shipped_worker(&fleet, "");
    let lines: String = (0..12).map(|n| format!("line {n}\n")).collect();
    let args = ["embed", MODEL, "-", "--lines", "--dimensions", "12"];
    let by_batch = [&args[..], &["--strategy", "batch", "--tag", "b"]].concat();
    let ran = piped(&program, &by_batch, &lines).ok();
    assert!(
        ran.stderr
            .contains("batch: 12 texts by batch: batch was asked for"),
        "{ran:?}"
    );
    assert_eq!(fleet.simulator.batches().len(), 1);
    assert!(fleet.simulator.log().is_empty());
    let singly = [&args[..], &["--strategy", "individual", "--tag", "i"]].concat();
    assert_eq!(piped(&program, &singly, &lines).ok().stdout, ran.stdout);
    let hybrid = ["--batching-strategy", "hybrid", "--tag", "h", "--json"];
    let hybrid = [&args[..], &hybrid].concat();
    let told = piped(&program, &hybrid, &lines).ok().objects();
    let how = &told[11]["how"];
    assert_eq!(how["strategy"], "hybrid");
    assert_eq!((&how["singly"], &how["by_batch"]), (&5.into(), &7.into()));
    let auto = ["--purpose", "rag_query", "--within", "1", "--tag", "a"];
    let ran = piped(&program, &[&args[..], &auto].concat(), &lines).ok();
    // which says, too, that it was learned how long both ways take
    let singly = "individual: 12 texts by calls: ";
    assert!(ran.stderr.contains(singly), "{}", ran.stderr);
    let calls = fleet.simulator.log().len();
    for (option, word) in [("--strategy", "bulk"), ("--purpose", "batch")] {
        let wrong = [&args[..], &[option, word]].concat();
        piped(&program, &wrong, &lines).refused(&[word]);
    }
    assert_eq!(fleet.simulator.log().len(), calls);
}
