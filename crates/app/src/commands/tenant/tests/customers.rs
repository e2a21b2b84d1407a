//! Tenants made, changed, suspended, deleted.

use super::*;

use sallyport_storage::{RevocationSubject, Revocations as _};
use serde_json::json;

#[tokio::test]
async fn a_tenant_is_made_once_and_listed() {
    let bench = Bench::new().await;
    let made = bench.json("tenant create delta --name Delta+Ltd").await;
    assert_eq!((&made["id"], &made["name"], &made["suspended"]), (&json!("delta"), &json!("Delta Ltd"), &json!(false)));
    assert_eq!(bench.action().await, ("tenant.create".into(), Some("delta".into())));
    let listed = bench.json("tenant list").await;
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["acme", "beta", "delta", "gamma"]);
    assert_eq!(
        listed[0],
        json!({
            "id": "acme", "name": "Acme", "suspended": false, "configured": true, "created_at": NOW.to_string(),
            "people": 0, "connections": 0, "domains": [],
        })
    );
    bench.refused("tenant create delta --name Again", "there is a tenant `delta` already").await;
    bench.refused("tenant create acme --name Acme", "the configuration names `acme`").await;
    bench.refused("tenant create sallyport-gate --name Gate", "the gate's own").await;
    bench.refused("tenant create epsilon --name +", "it is empty").await;
    bench.refused(&format!("tenant create epsilon --name {}", "x".repeat(201)), "longer than 200").await;
    bench.refused("tenant show nobody", "there is no tenant `nobody`; there are: acme, beta, delta, gamma").await;
}

#[tokio::test]
async fn lifetimes_are_shorter_than_the_operators_and_never_longer() {
    let bench = Bench::new().await;
    let typed = "tenant set beta --access-token-seconds 120 --refresh-idle-seconds 600 --grant-seconds 7200 \
                 --session-seconds 3600 --federated-only true --name Beta";
    let answer = bench.done(typed).await;
    let chosen = json!({
        "access_token_seconds": 120, "refresh_idle_seconds": 600, "grant_seconds": 7200, "session_seconds": 3600,
        "federated_only": true,
    });
    assert_eq!(answer.json["after"]["chosen"], chosen);
    assert_eq!(answer.json["before"]["chosen"], json!({}));
    assert!(answer.remarks.iter().any(|remark| remark.contains("Nobody of beta can sign in now")), "{answer:?}");
    let event = bench.noticed().await;
    assert_eq!((event.facts["action"].as_str(), &event.facts["after"]), (Some("tenant.set"), &chosen));
    let shown = bench.json("tenant show beta").await;
    assert_eq!((&shown["name"], &shown["in_force"]["access_token_seconds"]), (&json!("Beta"), &json!(120)));
    assert_eq!(shown["operator"]["access_token_seconds"], 300);
    for (typed, both) in [
        ("--access-token-seconds 301", "301 s is longer than the operator's 300 s (oauth.access_token_seconds)"),
        ("--refresh-idle-seconds 28801", "28801 s is longer than the operator's 28800 s"),
        ("--grant-seconds 86401", "86401 s is longer than the operator's 86400 s"),
        ("--session-seconds 43201", "43201 s is longer than the operator's 43200 s (identity.session_hours)"),
        ("--access-token-seconds 1", "1 s is too short"),
        ("--access-token-seconds 60 --grant-seconds 86401", "86401"),
    ] {
        bench.refused(&format!("tenant set beta {typed}"), both).await;
    }
    let after = bench.json("tenant set beta --access-token-seconds 0 --federated-only false").await;
    assert_eq!(after["after"]["in_force"]["access_token_seconds"], 300);
    assert_eq!(
        after["after"]["chosen"],
        json!({ "refresh_idle_seconds": 600, "grant_seconds": 7200, "session_seconds": 3600 })
    );
    bench.refused("tenant set acme --name Other", "change `name` in its [[tenants]] section").await;
    bench.json("tenant set acme --grant-seconds 3600").await;
    let notices = bench.store.notices(100).await.unwrap().len();
    assert!(bench.done("tenant set acme --grant-seconds 3600").await.lines[0].contains("nothing changes"));
    assert_eq!(bench.store.notices(100).await.unwrap().len(), notices);
}

#[tokio::test]
async fn a_suspended_tenants_sessions_end_and_do_not_come_back() {
    let bench = Bench::new().await;
    bench.person("beta", "ann", PersonOrigin::Local).await;
    bench.signed_in("beta", "ann", "s1", None).await;
    let answer = bench.json("tenant suspend beta").await;
    assert_eq!(answer["sessions"], json!({ "number": 1, "at_least": false }));
    assert_eq!((&answer["suspended"], &answer["was_suspended"]), (&json!(true), &json!(false)));
    assert_eq!(bench.action().await, ("tenant.suspend".into(), Some("beta".into())));
    assert!(bench.store.tenant(&id("beta")).await.unwrap().unwrap().suspended);
    let log = bench.store.revocations_after(0, 10).await.unwrap();
    assert_eq!(log[0].subject, RevocationSubject::Tenant(id("beta")));
    assert!(bench.json("tenant sessions beta").await.as_array().unwrap().is_empty());
    // Once more revokes once more: the first time may have been cut off.
    assert_eq!(bench.json("tenant suspend beta").await["was_suspended"], true);
    assert_eq!(bench.store.revocations_after(0, 10).await.unwrap().len(), 2);
    bench.json("tenant resume beta").await;
    assert_eq!(bench.action().await, ("tenant.resume".into(), Some("beta".into())));
    assert!(!bench.store.tenant(&id("beta")).await.unwrap().unwrap().suspended);
    assert!(bench.json("tenant sessions beta").await.as_array().unwrap().is_empty());
    assert_eq!(bench.json("tenant resume beta").await["was_suspended"], false);
}

#[tokio::test]
async fn deleting_says_what_goes_and_waits_for_a_yes() {
    let bench = Bench::new().await;
    bench.connected("beta", "idp").await;
    bench.person("beta", "ann", PersonOrigin::External).await;
    bench.signed_in("beta", "ann", "s1", Some("idp")).await;
    bench.done("tenant scim-token add beta okta").await;
    let before = bench.everything().await;
    let answer = bench.run("tenant delete beta").await.unwrap();
    assert_eq!(answer.end, crate::End::No);
    let one = json!({ "number": 1, "at_least": false });
    let none = json!({ "number": 0, "at_least": false });
    assert_eq!(
        answer.json,
        json!({ "id": "beta", "deleted": false, "owned": {
            "people": one, "agents": none, "grants": one, "sessions": one, "connections": one, "domains": none,
            "signal_streams": none, "SCIM_tokens": one,
        }})
    );
    assert_eq!(bench.everything().await, before);
    bench.refused("tenant delete acme --yes", "take its [[tenants]] section out").await;
    assert_eq!(bench.json("tenant delete beta --yes").await["deleted"], true);
    assert_eq!(bench.action().await, ("tenant.delete".into(), Some("beta".into())));
    assert!(bench.store.tenant(&id("beta")).await.unwrap().is_none());
    assert!(bench.store.person(&user("ann")).await.unwrap().is_none());
    bench.refused("tenant delete beta --yes", "there is no tenant `beta`").await;
}
