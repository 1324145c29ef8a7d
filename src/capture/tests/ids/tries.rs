//! Tries of one delivery by senders that mark each try with an id of its own.

use super::*;

#[test]
fn a_try_of_gitlab_has_the_key_of_the_first_and_uuids_of_its_own() {
    let tried = |key: &str, event: &str, uuid: &str| {
        sent("/webhook", [("x-gitlab-token", SECRET), ("x-gitlab-event", "Push Hook"), ("idempotency-key", key)], "{}")
            .and("x-gitlab-event-uuid", event)
            .and("x-gitlab-webhook-uuid", uuid)
    };
    for capture in [json!({}), json!({"verify": {"scheme": "gitlab", "secrets": [SECRET]}})] {
        let all =
            stored(&capture, &[tried("k-1", "e-1", "u-1"), tried("k-1", "e-2", "u-2"), tried("k-2", "e-1", "u-1")]);
        assert_eq!(all[0].id(), all[1].id());
        assert_ne!(all[0].id(), all[2].id());
        assert_eq!([all[0].sender_id(), all[0].attribute("source")], [Some("k-1"), Some("gitlab")]);
    }
}

#[test]
fn a_webhook_of_shopify_s_events_has_an_id_as_its_older_ones_have() {
    for name in ["x-shopify-webhook-id", "shopify-webhook-id"] {
        let request = sent("/webhook", [(name, "7")], "{}");
        let all = stored(&json!({}), &[request.clone(), request]);
        assert_eq!(all[0].id(), all[1].id(), "{name}");
        assert_eq!([all[0].sender_id(), all[0].attribute("source")], [Some("7"), Some("shopify")]);
    }
}
