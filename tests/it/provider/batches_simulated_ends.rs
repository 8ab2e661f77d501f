//! What goes wrong with whole batches of the simulator: refused, ended early, damaged.

use std::io::Write;

use tidegate::{
    llm::{BatchDraft, BatchState, CallError},
    provider::Kind,
    simulator::{BatchEnd, BatchSettings, Damage},
};

use super::{
    VENDORS,
    batches::{batches, refused},
    batches_simulated::{LONG_MS, at, created, keys, lines, simulating, text, texts, token},
};

#[tokio::test]
async fn a_model_without_batch_mode_says_so_and_an_overloaded_one_may_have_created() {
    let simulator = simulating(BatchSettings {
        create_503: 1.0,
        ..BatchSettings::default()
    })
    .await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        let error = refused(created(of, "single", &token(1), &texts(2)).await);
        assert_eq!(error.class(), "model_gone");
        let error = refused(created(of, "m", &token(2), &texts(2)).await);
        assert_eq!(error.class(), "overloaded");
    }
}

#[tokio::test]
async fn too_much_enqueued_is_told_at_once_or_by_the_batch() {
    let simulator = simulating(BatchSettings {
        max_enqueued_tokens: Some(5),
        ..BatchSettings::default()
    })
    .await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        match created(of, "m", &token(1), &texts(9)).await {
            Err(error) => assert_eq!(refused::<()>(Err(error)).class(), "rate_limited"),
            Ok(made) => {
                let batch = of.look(&made.id).await.unwrap();
                let over = matches!(&batch.state, BatchState::Failed(it) if it.over_limit && !it.bad_input);
                assert!(over, "{batch:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_batch_ends_in_each_way_there_is_and_what_was_done_is_read() {
    for vendor in VENDORS {
        for end in [BatchEnd::Failed, BatchEnd::Expired, BatchEnd::Cancelled] {
            let simulator = simulating(BatchSettings {
                end,
                end_at: 0.5,
                ..BatchSettings::default()
            })
            .await;
            let subject = at(vendor, &simulator);
            let of = batches(&subject);
            let made = created(of, "m", &token(1), &texts(10)).await.unwrap();
            let batch = of.look(&made.id).await.unwrap();
            match end {
                BatchEnd::Failed => {
                    let failed = matches!(&batch.state, BatchState::Failed(it) if !it.bad_input && !it.over_limit);
                    assert!(failed, "{batch:?}");
                }
                BatchEnd::Expired => assert_eq!(batch.state, BatchState::Expired),
                _ => assert_eq!(batch.state, BatchState::Cancelled),
            }
            let lines = lines(of, &batch, None).await;
            let done = lines.iter().filter(|it| it.answer.is_ok()).count();
            let left = lines.iter().filter_map(|it| it.answer.as_ref().err());
            let left = left.filter(|it| matches!(it, CallError::Failed { status: 0, .. }));
            let seen = (done, left.count());
            match (vendor.kind, end) {
                (Kind::OpenAi, BatchEnd::Expired | BatchEnd::Cancelled) => assert_eq!(seen, (5, 5)),
                _ => assert_eq!(seen, (0, 0)),
            }
        }
    }
}

#[tokio::test]
async fn a_batch_is_cancelled_and_removed() {
    let simulator = simulating(BatchSettings {
        median_ms: LONG_MS,
        ..BatchSettings::default()
    })
    .await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        let made = created(of, "m", &token(1), &texts(10)).await.unwrap();
        let batch = of.look(&made.id).await.unwrap();
        assert!(!batch.state.is_final(), "{batch:?}");
        of.cancel(&made.id).await.unwrap();
        simulator.hasten("*");
        let batch = of.look(&made.id).await.unwrap();
        assert_eq!(batch.state, BatchState::Cancelled);
        of.remove(&made.id).await.unwrap();
        of.remove(&made.id).await.unwrap();
        let error = refused(of.look("nobody").await);
        assert!(
            matches!(error, CallError::Rejected { status: 404, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn damaged_results_lose_no_more_than_what_is_damaged() {
    for vendor in VENDORS {
        for damage in [
            Damage::Missing,
            Damage::Duplicate,
            Damage::UnknownId,
            Damage::Cut,
            Damage::Empty,
            Damage::Reordered,
        ] {
            let simulator = simulating(BatchSettings {
                damage: vec![damage],
                ..BatchSettings::default()
            })
            .await;
            let subject = at(vendor, &simulator);
            let of = batches(&subject);
            let made = created(of, "m", &token(1), &texts(20)).await.unwrap();
            let batch = of.look(&made.id).await.unwrap();
            let lines = lines(of, &batch, None).await;
            let known = keys(&lines);
            let known = known.iter().filter(|(key, _)| key.starts_with("k-"));
            let (seen, twice) = known.fold((0, 0), |(seen, twice), (_, count)| {
                (seen + 1, twice + usize::from(*count > 1))
            });
            let unread = lines.iter().filter(|it| it.key.is_none()).count();
            match damage {
                Damage::Missing | Damage::UnknownId => assert!((10..20).contains(&seen), "{seen}"),
                Damage::Duplicate => assert!(seen == 20 && twice > 0, "{seen} {twice}"),
                Damage::Cut => assert_eq!((seen, unread), (10, 1)),
                Damage::Empty => assert!(lines.is_empty()),
                Damage::Reordered => assert_eq!((seen, twice, unread), (20, 0, 0)),
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_fails_its_batch_as_bad_input() {
    let simulator = simulating(BatchSettings::default()).await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{}\nno JSON at all", of.line("m", "k", &text(1))).unwrap();
        let id = of.upload(&token(1), file.path()).await.unwrap();
        let draft = BatchDraft {
            wire_name: "m",
            embeds: false,
            token: &token(1),
            file: &id,
        };
        let made = of.create(&draft).await.unwrap();
        let batch = of.look(&made.id).await.unwrap();
        let bad = matches!(&batch.state, BatchState::Failed(it) if it.bad_input && !it.over_limit);
        assert!(bad, "{batch:?}");
        // the file is gone: told as no fault of key or model
        of.remove_file(&id).await.unwrap();
        let error = refused(of.create(&draft).await);
        assert!(
            matches!(error, CallError::Rejected { status: 400, .. }),
            "{error:?}"
        );
    }
}
