//! The worker that ships for vectors of chunks, from its sample to the user's table.

use tidegate::{
    llm::{EmbedRequest, TaskType},
    provider::CallLimits,
};

use super::{Program, Ran, shipped_worker};
use crate::support::fleet::{Fleet, a_model, shipped};

async fn fleet() -> Fleet {
    Fleet::with(vec![a_model("gemini-embedding-001")]).await
}

fn run(program: &Program, more: &[&str]) -> Ran {
    let folder = shipped("embedding");
    let folder = folder.to_str().expect("UTF-8");
    program.run(&[&["--json", "run", folder, "--wait"], more].concat())
}

fn last(ran: Ran) -> serde_json::Value {
    ran.ok().objects().pop().expect("a report")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_chunk_of_the_sample_gets_its_own_vector_by_few_calls_and_never_twice() {
    let fleet = fleet().await;
    let program = shipped_worker(&fleet, "");
    let report = last(run(&program, &["--sample"]));
    assert_eq!(
        (&report["done"], &report["calls"]),
        (&496.into(), &5.into()),
        "{report}"
    );
    assert_eq!(fleet.simulator.log().len(), 5, "a hundred a call");
    let whole = "select count(*) from chunks where cardinality(embedding) = 768 and embedding_task = 'retrieval_document'
                    and embedding_model = 'gemini/gemini-embedding-001' and embedding_tag = 'addresses'";
    assert_eq!(fleet.count(whole).await, 496);
    every_tenth_is_of_its_own_text(&fleet).await;

    let nothing = run(&program, &[]).ok().objects();
    assert_eq!(nothing[0]["items"], 0, "all have one");
    let calls = fleet.simulator.log().len();
    act(&fleet, "update chunks set embedding = null").await;
    let again = last(run(&program, &[]));
    let told = ["done", "cache_hits", "calls"].map(|key| again[key].clone());
    assert_eq!(told, [496, 496, 0].map(serde_json::Value::from), "{again}");
    assert_eq!(fleet.count(whole).await, 496);
    act(
        &fleet,
        "update chunks set text = text || ' Once more.' where position = 1 and document like '%196%'",
    )
    .await;
    let edited = last(run(&program, &[]));
    let told = ["done", "cache_hits", "calls"].map(|key| edited[key].clone());
    assert_eq!(told, [10, 0, 1].map(serde_json::Value::from), "{edited}");
    assert_eq!(fleet.simulator.log().len(), calls + 1);
}

/// The provider, asked about a text alone, says what stands in its row.
async fn every_tenth_is_of_its_own_text(fleet: &Fleet) {
    let rows: Vec<(String, Vec<f32>)> =
        sqlx::query_as("select text, embedding from chunks where hashtext(chunk_id) % 10 = 0")
            .fetch_all(fleet.store.pool())
            .await
            .expect("rows");
    assert!(rows.len() > 20);
    let provider = &fleet.providers()["sim"];
    let before = fleet.simulator.log().len();
    for (text, vector) in rows {
        let request = EmbedRequest {
            texts: vec![text],
            task_type: Some(TaskType::RetrievalDocument),
            dimensions: Some(768),
        };
        let limits = CallLimits::default();
        let exchange = provider
            .embed("gemini-embedding-001", &request, &limits)
            .await;
        let alone = exchange.answer.expect("a vector");
        assert_eq!(alone.embeddings[0].values, vector);
    }
    assert!(fleet.simulator.log().len() > before);
}

async fn act(fleet: &Fleet, sql: &'static str) {
    sqlx::raw_sql(sql)
        .execute(fleet.store.pool())
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_counts_calls_for_vectors_and_no_output() {
    let fleet = fleet().await;
    let prices = "[[models]]\nname = \"gemini/gemini-embedding-001\"\ninput_price_usd = 0.15\noutput_price_usd = 0.0\n";
    let program = shipped_worker(&fleet, prices);
    let folder = shipped("embedding");
    let folder = folder.to_str().expect("UTF-8");
    run(&program, &["--sample", "--limit", "1"]).ok();
    let dry = last(program.run(&["--json", "run", folder, "--dry-run"]));
    let told = ["items", "calls", "packs", "output_tokens_max"].map(|key| dry[key].clone());
    assert_eq!(told, [495, 5, 5, 0].map(serde_json::Value::from), "{dry}");
    let ran = run(&program, &["--budget-usd", "1"]);
    assert_eq!(last(ran)["done"], 495, "a budget holds");
}
