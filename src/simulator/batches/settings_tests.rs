//! What settings of batches may say.

use serde_json::json;

use super::*;
use crate::simulator::settings::Settings;

#[test]
fn contradictions_are_refused_with_their_key() {
    for (text, at) in [
        ("median_ms = -1", "batches.median_ms"),
        ("p99_ms = 5", "batches.p99_ms"),
        ("max_jobs = 0", "batches.max_jobs"),
        ("end_at = 1.5", "batches.end_at"),
        ("lost_replies = -0.1", "batches.lost_replies"),
        ("damage = \"torn\"", "damage is none, reordered"),
        ("end = \"lost\"", "lost"),
    ] {
        let told = Settings::from_toml(&format!("[batches]\n{text}")).unwrap_err();
        assert!(told.to_string().contains(at), "{text}: {told}");
    }
}

#[test]
fn damage_may_be_a_word_or_a_list_or_none() {
    for (text, damage) in [
        ("\"none\"", vec![]),
        ("\"unknown_id\"", vec![Damage::UnknownId]),
        ("[\"cut\", \"empty\"]", vec![Damage::Cut, Damage::Empty]),
    ] {
        let read = Settings::from_toml(&format!("[batches]\ndamage = {text}")).unwrap();
        assert_eq!(read.batches.damage, damage);
    }
}

#[test]
fn an_order_changes_its_keys_and_no_others() {
    let before = BatchSettings {
        max_enqueued_tokens: Some(7),
        max_jobs: 3,
        ..BatchSettings::default()
    };
    let order = json!({"end": "failed", "max_enqueued_tokens": null});
    let after = before.with(order.as_object().unwrap()).unwrap();
    assert_eq!((after.end, after.max_jobs), (BatchEnd::Failed, 3));
    assert_eq!(after.max_enqueued_tokens, None);
    for wrong in [json!({"ends": 1}), json!({"end_at": 2})] {
        assert!(before.with(wrong.as_object().unwrap()).is_err(), "{wrong}");
    }
}
