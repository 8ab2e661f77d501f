//! Batches of every vendor as they are known: found again by their token, looked at, ended, quoted by nobody.

use serde_json::{Value, json};
use tidegate::{llm::BatchState, provider::Kind};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{query_param, query_param_is_missing},
};

use super::{
    KEY, PROMPT, SYSTEM, Subject, VENDORS, assert_silent,
    batches::{TOKEN, answering, batches, create, desk, refused, rejected},
};

#[tokio::test]
async fn a_token_is_found_on_whatever_page_it_is() {
    for vendor in VENDORS {
        let desk = desk(vendor);
        let server = MockServer::start().await;
        let page = |page: Value| ResponseTemplate::new(200).set_body_json(page);
        Mock::given(query_param_is_missing(desk.next))
            .respond_with(page((desk.page)((desk.other)(), Some("p2"))))
            .mount(&server)
            .await;
        // the first came again: something was made in front of it meanwhile
        Mock::given(query_param(desk.next, "p2"))
            .respond_with(page((desk.page)((desk.other)(), Some("p3"))))
            .mount(&server)
            .await;
        Mock::given(query_param(desk.next, "p3"))
            .respond_with(page((desk.page)((desk.made)(), None)))
            .mount(&server)
            .await;
        let subject = Subject::at(vendor, &server.uri());
        let listed = batches(&subject).list().await.unwrap();
        let seen: Vec<_> = listed.iter().map(|it| it.token.as_deref()).collect();
        assert_eq!(seen, [None, Some(TOKEN)]);
        assert_eq!(listed[0].state, BatchState::Succeeded);
        assert_eq!(listed[0].outputs.len(), 1);
        assert_eq!(server.received_requests().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn what_others_made_and_nobody_can_read_hides_no_batch_of_ours() {
    for vendor in VENDORS {
        let desk = desk(vendor);
        let mut page = (desk.page)((desk.made)(), None);
        let list = match vendor.kind {
            Kind::Gemini => "operations",
            _ => "data",
        };
        let entries = page[list].as_array_mut().expect("a list");
        entries.insert(0, json!({"name": 7, "id": 7}));
        let (_server, subject) = answering(vendor, 200, &page.to_string()).await;
        let listed = batches(&subject).list().await.unwrap();
        assert_eq!(listed[0].token.as_deref(), Some(TOKEN));

        let ours =
            json!({"name": 7, "id": 7, "metadata": {"displayName": TOKEN, "submission": TOKEN}});
        let page = (desk.page)(ours, None).to_string();
        let (_server, subject) = answering(vendor, 200, &page).await;
        refused(batches(&subject).list().await);
    }
}

#[tokio::test]
async fn a_list_that_is_none_or_does_not_end_is_never_a_short_list() {
    for vendor in VENDORS {
        let desk = desk(vendor);
        let endless = (desk.page)((desk.other)(), Some("again")).to_string();
        for body in [
            endless,
            (vendor.error)("no"),
            "<html>".to_owned(),
            String::new(),
        ] {
            let (_server, subject) = answering(vendor, 200, &body).await;
            refused(batches(&subject).list().await);
            refused(batches(&subject).files().await);
        }
    }
    // proto3 leaves out what is empty
    let (_server, subject) = answering(&VENDORS[0], 200, "{}").await;
    assert_eq!(batches(&subject).list().await, Ok(vec![]));
}

#[tokio::test]
async fn what_is_not_known_is_rejected_or_gone_already() {
    for vendor in VENDORS {
        let (batch, file) = desk(vendor).ids;
        let body = (vendor.error)("Requested entity was not found.");
        let (_server, subject) = answering(vendor, 404, &body).await;
        let of = batches(&subject);
        assert_eq!(rejected(&refused(of.look(batch).await)), 404);
        assert_eq!(rejected(&refused(of.cancel(batch).await)), 404);
        let (lines, _kept) = tokio::sync::mpsc::channel(1);
        assert_eq!(
            rejected(&refused(of.results(file, None, &lines).await)),
            404
        );
        assert_eq!(of.remove_file(file).await, Ok(()));
        assert_eq!(of.remove(batch).await, Ok(()));
    }
    let absent = "You do not have permission to access the File in or it may not exist.";
    let (_server, subject) = answering(&VENDORS[0], 403, &(VENDORS[0].error)(absent)).await;
    assert_eq!(batches(&subject).remove_file("files/in").await, Ok(()));
}

#[tokio::test]
async fn a_batch_that_is_over_cannot_be_cancelled_and_nobody_is_parked() {
    for (vendor, status, body) in [
        (
            &VENDORS[0],
            400,
            json!({"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "It is over."}}),
        ),
        (
            &VENDORS[1],
            409,
            json!({"error": {"message": "Cannot cancel a batch with status 'completed'."}}),
        ),
    ] {
        let (_server, subject) = answering(vendor, status, &body.to_string()).await;
        let error = refused(batches(&subject).cancel(desk(vendor).ids.0).await);
        assert_eq!(rejected(&error), status);
    }
}

#[tokio::test]
async fn each_question_goes_where_its_vendor_takes_it() {
    for vendor in VENDORS {
        let desk = desk(vendor);
        let (server, subject) = answering(vendor, 200, &(desk.made)().to_string()).await;
        let of = batches(&subject);
        assert!(of.look(desk.ids.0).await.is_ok());
        of.cancel(desk.ids.0).await.unwrap();
        of.remove_file(desk.ids.1).await.unwrap();
        of.remove(desk.ids.0).await.unwrap();
        let asked = server.received_requests().await.unwrap();
        let seen = asked
            .iter()
            .map(|it| format!("{} {}", it.method, it.url.path()));
        let seen: Vec<_> = seen.collect();
        let expected: &[&str] = match vendor.kind {
            Kind::Gemini => &[
                "GET /v1/batches/one",
                "POST /v1/batches/one:cancel",
                "DELETE /v1/files/in",
                "DELETE /v1/batches/one",
            ],
            _ => &[
                "GET /v1/batches/batch_one",
                "POST /v1/batches/batch_one/cancel",
                "DELETE /v1/files/file-in",
            ],
        };
        assert_eq!(seen, expected);
        for request in asked {
            assert_eq!(request.headers[vendor.key_header.0], vendor.key_header.1);
            assert!(!request.url.as_str().contains(KEY));
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_as_it_is() {
    for vendor in VENDORS {
        let (_server, subject) = answering(vendor, 401, &(vendor.error)("no")).await;
        let of = batches(&subject);
        let id = desk(vendor).ids.0;
        for error in [
            refused(of.look(id).await),
            refused(of.list().await),
            refused(create(vendor, &subject).await),
        ] {
            assert_eq!(error.class(), "key_refused");
        }
    }
    let body = json!({"error": {"code": 400, "status": "INVALID_ARGUMENT",
        "message": "API key not valid. Please pass a valid API key."}});
    let (_server, subject) = answering(&VENDORS[0], 400, &body.to_string()).await;
    let error = refused(batches(&subject).look("batches/one").await);
    assert_eq!(error.class(), "key_refused");
}

#[tokio::test]
async fn a_provider_that_quotes_us_is_not_quoted() {
    let words = format!("Bad line: 'api_key:{KEY}' asked \"{PROMPT}\" under {SYSTEM}!");
    for vendor in VENDORS {
        let (batch, file) = desk(vendor).ids;
        for status in [200, 302, 400, 401, 402, 403, 404, 409, 413, 429, 500, 503] {
            for body in [(vendor.error)(&words), words.clone()] {
                let (_server, subject) = answering(vendor, status, &body).await;
                let of = batches(&subject);
                let (lines, mut came) = tokio::sync::mpsc::channel(9);
                let mut errors = vec![create(vendor, &subject).await.err()];
                errors.push(of.look(batch).await.err());
                errors.push(of.list().await.err());
                errors.push(of.files().await.err());
                errors.push(of.results(file, None, &lines).await.err());
                errors.push(of.cancel(batch).await.err());
                errors.push(of.remove_file(file).await.err());
                errors.push(of.remove(batch).await.err());
                errors.extend(came.try_recv().ok().map(|it| it.answer.err()));
                for error in errors.into_iter().flatten() {
                    assert_silent(&format!("{error} {error:?}"));
                }
            }
        }
        let failed = match vendor.kind {
            Kind::Gemini => {
                json!({"name": batch, "done": true, "error": {"code": 3, "message": words},
                "metadata": {"state": "BATCH_STATE_FAILED"}})
            }
            _ => json!({"id": batch, "status": "failed", "errors": {"data": [
                {"code": "invalid_json_line", "message": words, "line": 2}]}}),
        };
        let (_server, subject) = answering(vendor, 200, &failed.to_string()).await;
        let told = batches(&subject).look(batch).await.unwrap();
        assert!(matches!(&told.state, BatchState::Failed(it) if it.bad_input));
        assert_silent(&format!("{told:?}"));
    }
}
