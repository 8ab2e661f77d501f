//! Laws of workers that embed: every text gets its own vector, many by one call, and one that cannot be
//! embedded costs its neighbours nothing.

use std::{collections::BTreeMap, sync::Arc};

use tidegate::{
    engine::{Engine, Registry, Settings},
    llm::{EmbedParams, Embedding, Reply, Request},
    store::{self, budget::Basis},
    task::{Answer, Handler, HandlerError, Item, Judgement},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{
    fleet::{Fleet, a_model, simulated},
    work::{ONE_TIER, items, load},
};

/// The worker of this name: one model of vectors, nothing kept, and these tables.
fn worker(name: &str, model: &str, more: &str) -> String {
    ONE_TIER
        .replace("\"small\"", &format!("{name:?}"))
        .replace("sim/a", model)
        .replace("fallbacks = [\"sim/b\"]\n", "")
        + &format!(
            "[embed]\ntask_type = \"clustering\"\ndimensions = 16\ntag = \"of {name}\"\n{more}"
        )
}

const KEPT_BY_NOBODY: &str = "[cache]\nenabled = false\n";

async fn worked_off(fleet: &Fleet, worker: &str, lines: &str) -> (Uuid, usize) {
    let before = fleet.simulator.log().len();
    let run = load(&fleet.store, worker, lines).await;
    let run = run.expect("a run").run;
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends");
    (run, fleet.simulator.log().len() - before)
}

async fn answers(fleet: &Fleet, run: Uuid) -> BTreeMap<String, String> {
    let sql = "select t.item_id, r.answer from tidegate.tasks t join tidegate.task_results r on r.task_id = t.id where t.run_id = $1";
    let rows: Vec<(String, String)> = sqlx::query_as(sql)
        .bind(run)
        .fetch_all(fleet.store.pool())
        .await
        .expect("answers");
    rows.into_iter().collect()
}

fn vectors(answers: &BTreeMap<String, String>) -> BTreeMap<&str, Embedding> {
    let mut vectors = BTreeMap::new();
    for (item, answer) in answers {
        let vector = Embedding::of_answer(answer).unwrap_or_else(|it| panic!("{it}: {answer}"));
        vectors.insert(item.as_str(), vector);
    }
    vectors
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_one_call_get_the_vectors_that_they_would_get_alone() {
    let fleet = Fleet::with(vec![a_model("embedding")]).await;
    let together = worker("together", "sim/embedding", KEPT_BY_NOBODY);
    let (together, calls) = worked_off(&fleet, &together, &items(250)).await;
    assert_eq!(calls, 3, "a hundred texts a call");
    let alone = worker(
        "alone",
        "sim/embedding",
        &format!("{KEPT_BY_NOBODY}[pack]\nsize = 1\n"),
    );
    let (alone, calls) = worked_off(&fleet, &alone, &items(250)).await;
    assert_eq!(calls, 250);
    let (together, alone) = (
        answers(&fleet, together).await,
        answers(&fleet, alone).await,
    );
    assert_eq!(together.len(), 250);
    assert_eq!(vectors(&together), vectors(&alone));
    let one = &together["i00007"];
    assert!(
        one.ends_with(r#"],"dimensions":16,"task_type":"clustering","tag":"of together"}"#),
        "{one}"
    );
    let known = "select count(distinct answer::jsonb -> 'vector') from tidegate.task_results";
    assert_eq!(fleet.count(known).await, 250, "no two texts have the same");
    let ledger = "select sum(input_tokens)::bigint from tidegate.calls where output_tokens = 0";
    let counted: u64 = fleet.simulator.log().iter().map(|it| it.input_tokens).sum();
    assert_eq!(fleet.count(ledger).await.unsigned_abs(), counted);
    let cost = "select sum(cost_microusd)::bigint from tidegate.calls";
    let exact = i64::try_from(counted).expect("few") / 10;
    assert!((exact..exact + 300).contains(&fleet.count(cost).await));
    let reserved = "select count(*) from tidegate.calls where est_output_tokens > 0";
    assert_eq!(fleet.count(reserved).await, 0);
    let learned = "select count(*) from tidegate.pack_sizes";
    assert_eq!(fleet.count(learned).await, 0, "that is for prompts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_no_model_takes_fails_alone() {
    let mut model = a_model("embedding");
    model.input_token_limit = 50;
    let fleet = Fleet::crossed(simulated(vec![model])).await;
    let lines = items(40)
        + &format!(
            "{{\"id\": \"long\", \"score\": 20.5, \"text\": \"{}\"}}\n{{\"id\": \"none\", \"score\": 20.4}}\n",
            "word ".repeat(100)
        );
    let (run, calls) = worked_off(&fleet, &worker("w", "oa/embedding", ""), &lines).await;
    assert_eq!(answers(&fleet, run).await.len(), 40);
    let failed: Vec<(String, String)> = sqlx::query_as(
        "select item_id, last_error from tidegate.tasks where state = 'failed' order by item_id",
    )
    .fetch_all(fleet.store.pool())
    .await
    .expect("tasks");
    let [(long, words), (none, _)] = failed.as_slice() else {
        panic!("{failed:?}")
    };
    assert_eq!((long.as_str(), none.as_str()), ("long", "none"));
    assert!(words.contains("maximum context length"), "{words}");
    assert!(calls < 20, "halves, not singles: {calls}");
    let charged = "select count(*) from tidegate.task_attempts a join tidegate.tasks t on t.id = a.task_id where a.charged and t.item_id like 'i%' and a.outcome <> 'ok'";
    assert_eq!(fleet.count(charged).await, 0, "neighbours pay nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_vector_is_not_asked_for_again_and_another_tag_is_another_answer() {
    let fleet = Fleet::with(vec![a_model("embedding")]).await;
    let first = worker("one", "sim/embedding", "");
    let (run, calls) = worked_off(&fleet, &first, &items(120)).await;
    assert_eq!(calls, 2);
    let again = first.replace("\"one\"", "\"two\"");
    let (second, calls) = worked_off(&fleet, &again, &items(120)).await;
    assert_eq!(calls, 0);
    assert_eq!(answers(&fleet, run).await, answers(&fleet, second).await);
    let other = first.replace("of one", "of another");
    assert_eq!(worked_off(&fleet, &other, &items(120)).await.1, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_holds_without_a_longest_answer() {
    let fleet = Fleet::with(vec![a_model("embedding")]).await;
    let (run, _) = worked_off(&fleet, &worker("w", "sim/embedding", ""), &items(3)).await;
    let basis = fleet.store.budget_basis(run).await.expect("a basis");
    let priced = Basis {
        priced: vec!["sim/embedding".to_owned()],
        ..Basis::default()
    };
    assert_eq!(basis, priced);
}

/// Asks for vectors of two lengths, by turns.
struct ByTurns;

impl Handler for ByTurns {
    fn request(&self, item: &Item) -> Result<Request, HandlerError> {
        let odd = item.id.ends_with(['1', '3', '5', '7', '9']);
        let embed = EmbedParams {
            dimensions: Some(if odd { 3 } else { 4 }),
            ..EmbedParams::default()
        };
        Ok(Request {
            prompt: item.body.get().to_owned(),
            embed: Some(embed),
            ..Request::default()
        })
    }

    fn judge(&self, _item: &Item, reply: &Reply) -> Judgement {
        match Answer::json(reply.text.clone()) {
            Ok(answer) => Judgement::Accept(answer),
            Err(error) => Judgement::Reject(error.to_string()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_into_a_call_or_asks_otherwise_goes_apart() {
    let fleet = Fleet::with(vec![a_model("embedding")]).await;
    let plain = worker("plain", "sim/embedding", KEPT_BY_NOBODY);
    let own = worker("own", "sim/embedding", KEPT_BY_NOBODY);
    let plain = load(&fleet.store, &plain, &items(250))
        .await
        .expect("a run");
    let own = load(&fleet.store, &own, &items(30)).await.expect("a run");
    sqlx::query("update tidegate.lanes set pack_size = 220")
        .execute(fleet.store.pool())
        .await
        .expect("more than the provider takes");
    let engine = Engine::new(
        fleet.store.clone(),
        store::Settings::new(fleet.url()),
        fleet.providers(),
        Registry::new().with("own", Arc::new(ByTurns)),
        Settings::default(),
    );
    let stop = CancellationToken::new();
    let process = tokio::spawn(engine.run(stop.clone()));
    fleet.until_done(plain.run).await;
    fleet.until_done(own.run).await;
    stop.cancel();
    process.await.expect("no panic").expect("it ends");
    assert_eq!(answers(&fleet, plain.run).await.len(), 250);
    let own = answers(&fleet, own.run).await;
    for (item, vector) in vectors(&own) {
        let odd = item.ends_with(['1', '3', '5', '7', '9']);
        assert_eq!(vector.values.len(), if odd { 3 } else { 4 }, "{item}");
    }
    assert_eq!(own.len(), 30);
    let refused = fleet.simulator.log();
    assert!(
        refused.iter().all(|it| it.status == 200),
        "none was sent in vain"
    );
}
