//! People and their sessions.

use super::*;

use sallyport_storage::{Provisioning as _, ScimKind, ScimResource};
use serde_json::json;

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.connected("beta", "idp").await;
    bench.person("beta", "ann", PersonOrigin::Local).await;
    bench.person("beta", "eve", PersonOrigin::External).await;
    bench.person("gamma", "gil", PersonOrigin::Local).await;
    bench.signed_in("beta", "ann", "s-ann", None).await;
    bench.signed_in("beta", "eve", "s-eve", Some("idp")).await;
    bench.signed_in("gamma", "gil", "s-gil", None).await;
    bench
}

#[tokio::test]
async fn people_are_listed_with_where_they_come_from() {
    let bench = bench().await;
    let user = ScimResource {
        id: "eve".into(),
        tenant: id("beta"),
        kind: ScimKind::User,
        version: 1,
        name: "eve@beta.example".into(),
        external_id: None,
        document: "{}".into(),
        created_at: NOW,
        changed_at: NOW,
    };
    bench.store.adopt_scim_user(&user).await.unwrap();
    let people = bench.json("tenant people beta").await;
    assert_eq!(
        people[0],
        json!({
            "id": "ann", "login": "ann", "email": "ann@beta.example", "display_name": "ANN", "origin": "local",
            "groups": ["staff"], "role": "user", "disabled": false, "provisioned": false,
            "created_at": NOW.to_string(),
        })
    );
    assert_eq!((&people[1]["origin"], &people[1]["provisioned"]), (&json!("external"), &json!(true)));
    assert_eq!(people.as_array().unwrap().len(), 2);
    let lines = bench.done("tenant people beta").await.lines;
    assert!(lines[2].starts_with("eve@beta.example"), "an external person is known by her address: {lines:?}");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one() {
    let bench = bench().await;
    let sessions = bench.json("tenant sessions beta").await;
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    for name in ["eve", "EVE@beta.example"] {
        let hers = bench.json(&format!("tenant sessions beta --user {name}")).await;
        assert_eq!(
            hers,
            json!([{
                "id": "s-eve", "user": "eve", "login": "eve", "email": "eve@beta.example", "methods": ["pwd"],
                "authenticated_at": NOW.minus(std::time::Duration::from_secs(60)).to_string(),
                "expires_at": NOW.plus(std::time::Duration::from_secs(3600)).to_string(), "connection": "idp",
            }])
        );
    }
    bench.refused("tenant sessions beta --user gil", "beta has nobody `gil`").await;
    bench.refused("tenant end-session beta s-gil", "beta has no session `s-gil`").await;
    bench.refused("tenant end-session beta nothing", "beta has no session").await;
    let ended = bench.json("tenant end-session beta s-eve").await;
    assert_eq!((&ended["session"], &ended["grants"]), (&json!("s-eve"), &json!(1)));
    let event = bench.noticed().await;
    assert_eq!(
        (event.facts["action"].as_str(), &event.facts["session"]),
        (Some("tenant.end_session"), &json!("s-eve"))
    );
    let left = bench.json("tenant sessions beta").await;
    assert_eq!((left.as_array().unwrap().len(), &left[0]["id"]), (1, &json!("s-ann")));
    let grants = bench.store.grants_of(&id("beta"), &Actor::Human(user("eve")), NOW).await.unwrap();
    assert!(grants.is_empty());
}
