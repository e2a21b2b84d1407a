//! Security events that are pushed: whom they mean, and what they end.

use std::time::Duration;

use http::StatusCode;
use sallyport_identity::ssf::settings::OpaqueSubject;
use sallyport_model::EventKind;
use sallyport_storage::ScimResource;
use serde_json::{Value, json};

use crate::ssf_transmitter::{CAEP, IDP, Made, RISC, SSF, Scene, acme, connect, iss_sub, prove, unlinked};

/// What becomes of a person's access at the connection, of that at another, and of her account.
const SESSIONS: (bool, bool, bool) = (false, true, false);
const ACCOUNT: (bool, bool, bool) = (false, false, true);
const NOTHING: (bool, bool, bool) = (true, true, false);

#[tokio::test]
async fn each_kind_of_event_ends_what_it_says() {
    let credential = |change: &str| json!({"credential_type": "password", "change_type": change});
    let level = |direction: &str| json!({"current_level": "aal1", "change_direction": direction});
    let caep = |name: &str| format!("{CAEP}{name}");
    let risc = |name: &str| format!("{RISC}{name}");
    for (event, payload, outcome, effect) in [
        (caep("session-revoked"), json!({}), SESSIONS, "sessions_ended"),
        (caep("credential-change"), credential("revoke"), SESSIONS, "sessions_ended"),
        (caep("credential-change"), credential("delete"), SESSIONS, "sessions_ended"),
        (caep("credential-change"), credential("update"), SESSIONS, "sessions_ended"),
        (caep("credential-change"), credential("create"), NOTHING, "none"),
        (caep("token-claims-change"), json!({"claims": {"groups": []}}), SESSIONS, "must_sign_in_again"),
        (caep("assurance-level-change"), level("decrease"), SESSIONS, "must_sign_in_again"),
        (caep("assurance-level-change"), level("increase"), NOTHING, "none"),
        (caep("device-compliance-change"), json!({}), NOTHING, "none"),
        (risc("sessions-revoked"), json!({}), SESSIONS, "sessions_ended"),
        (risc("credential-compromise"), json!({"credential_type": "password"}), SESSIONS, "sessions_ended"),
        (risc("account-disabled"), json!({"reason": "hijacking"}), ACCOUNT, "account_disabled"),
        (risc("account-purged"), json!({}), ACCOUNT, "account_purged"),
        (risc("account-enabled"), json!({}), NOTHING, "none"),
        (risc("identifier-changed"), json!({"new-value": "x@y.example"}), NOTHING, "none"),
    ] {
        let mut scene = Scene::new().await;
        let here = scene.access(&scene.connection.clone(), "ann", Some("s1")).await;
        let there = scene.access_of(here.person.clone(), &scene.other.clone(), "ann", None).await;
        let bystander = scene.access(&scene.connection.clone(), "bob", Some("s2")).await;
        scene.app.later(Duration::from_secs(1));
        let answer = scene.tell("e1", &event, &payload, &iss_sub("ann")).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::ACCEPTED, ""), "{event}");
        let found = (scene.lives(&here).await, scene.lives(&there).await, scene.is_disabled(&here).await);
        assert_eq!(found, outcome, "{event} {payload}");
        assert!(scene.lives(&bystander).await && !scene.is_disabled(&bystander).await);
        assert_eq!(scene.fact("effect"), json!(effect), "{event}");
        let last = scene.app.log.last();
        let kind = if outcome == NOTHING { EventKind::Administered } else { EventKind::Revoked };
        assert_eq!((last.kind, last.tenant), (kind, Some(acme())), "{event}");
        assert_eq!(last.facts["jti"], json!("e1"));
        assert_eq!(last.who.is_some(), outcome != NOTHING);
        assert!(scene.kept().await.last_event_at.is_some());
    }
}

#[tokio::test]
async fn who_is_disabled_by_an_event_is_not_enabled_by_one() {
    let mut scene = Scene::new().await;
    let ann = scene.access(&scene.connection.clone(), "ann", None).await;
    scene.tell("e1", &format!("{RISC}account-disabled"), &json!({}), &iss_sub("ann")).await;
    let answer = scene.tell("e2", &format!("{RISC}account-enabled"), &json!({}), &iss_sub("ann")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert!(scene.is_disabled(&ann).await && !scene.lives(&ann).await);
}

#[tokio::test]
async fn a_grant_ends_with_a_session_that_its_person_has_left() {
    let mut scene = Scene::new().await;
    let ann = scene.access(&scene.connection.clone(), "ann", Some("s1")).await;
    scene.signs_out(&ann).await;
    assert!(scene.grant_lives(&ann).await, "signing out here leaves applications connected");
    scene.tell("e1", &format!("{CAEP}session-revoked"), &json!({}), &iss_sub("ann")).await;
    assert!(!scene.grant_lives(&ann).await);
}

#[tokio::test]
async fn one_session_ends_where_one_is_named() {
    let event = format!("{CAEP}session-revoked");
    let both = |user: Value, session: &str| json!({"format": "complex", "user": user, "session": {"format": "opaque", "id": session}});
    let alone = json!({"format": "complex", "session": {"format": "opaque", "id": "s1"}});
    for subject in [both(iss_sub("ann"), "s1"), alone, json!({"format": "opaque", "id": "s1"})] {
        let mut scene = Scene::new().await;
        let first = scene.access(&scene.connection.clone(), "ann", Some("s1")).await;
        let second = scene.access_of(first.person.clone(), &scene.connection.clone(), "ann", Some("s2")).await;
        let elsewhere = scene.access(&scene.other.clone(), "eve", Some("s1")).await;
        scene.tell("e1", &event, &json!({}), &subject).await;
        assert_eq!((scene.lives(&first).await, scene.lives(&second).await), (false, true), "{subject}");
        assert!(scene.lives(&elsewhere).await, "a session of another connection has the same id by chance");
        assert_eq!(scene.fact("sessions").as_array().unwrap().len(), 1);
    }
    // Both must fit: a session of somebody else is not ended by a name and an id that do not belong together.
    let mut scene = Scene::new().await;
    let ann = scene.access(&scene.connection.clone(), "ann", Some("s1")).await;
    let bob = scene.access(&scene.connection.clone(), "bob", Some("s2")).await;
    scene.tell("e1", &event, &json!({}), &both(iss_sub("ann"), "s2")).await;
    assert!(scene.lives(&ann).await && scene.lives(&bob).await);
    // A session whose id the provider never told may be the one.
    let silent = scene.access(&scene.connection.clone(), "sue", None).await;
    scene.tell("e2", &event, &json!({}), &both(iss_sub("sue"), "s9")).await;
    assert!(!scene.lives(&silent).await);
}

#[tokio::test]
async fn an_address_means_somebody_only_where_its_domain_is_proved() {
    let mut scene = Scene::new().await;
    let ann = scene.access(&scene.connection.clone(), "ann", None).await;
    let event = format!("{CAEP}session-revoked");
    let subject = json!({"format": "email", "email": "ANN@acme.example"});
    scene.tell("e1", &event, &json!({}), &subject).await;
    assert_eq!((scene.lives(&ann).await, scene.fact("why")), (true, json!("no_such_subject")));
    prove(&scene.app, &"globex".parse().unwrap(), "acme.example").await;
    scene.tell("e2", &event, &json!({}), &subject).await;
    assert!(scene.lives(&ann).await, "another tenant has proved it");
    scene.app.store.remove_domain(&"globex".parse().unwrap(), "acme.example").await.unwrap();
    prove(&scene.app, &acme(), "acme.example").await;
    scene.tell("e3", &event, &json!({}), &subject).await;
    assert!(!scene.lives(&ann).await);
}

#[tokio::test]
async fn the_most_exact_alias_decides() {
    let mut scene = Scene::new().await;
    prove(&scene.app, &acme(), "acme.example").await;
    let ann = scene.access(&scene.connection.clone(), "ann", None).await;
    let bob = scene.access(&scene.connection.clone(), "bob", None).await;
    let aliases = |all: Value| json!({"format": "aliases", "identifiers": all});
    let address = json!({"format": "email", "email": "bob@acme.example"});
    let event = format!("{CAEP}session-revoked");
    // The address was hers once.
    scene.tell("e1", &event, &json!({}), &aliases(json!([address, iss_sub("ann")]))).await;
    assert_eq!((scene.lives(&ann).await, scene.lives(&bob).await), (false, true));
    scene.tell("e2", &event, &json!({}), &aliases(json!([iss_sub("nobody"), address]))).await;
    assert!(!scene.lives(&bob).await);
}

#[tokio::test]
async fn an_opaque_id_is_what_the_stream_says() {
    let event = format!("{RISC}account-disabled");
    for (opaque, id) in [
        (OpaqueSubject::Subject, "ann"),
        (OpaqueSubject::ExternalId, "ext-1"),
        (OpaqueSubject::UserName, "Ann.Lee"),
        (OpaqueSubject::ScimId, ""),
    ] {
        let mut scene = Scene::made(Made { opaque, ..Made::default() }).await;
        let ann = scene.access(&scene.connection.clone(), "ann", None).await;
        let user = ScimResource {
            id: ann.person.id.to_string(),
            tenant: acme(),
            kind: sallyport_storage::ScimKind::User,
            version: 1,
            name: "ann.lee".into(),
            external_id: Some("ext-1".into()),
            document: "{}".into(),
            created_at: scene.app.now(),
            changed_at: scene.app.now(),
        };
        scene.app.store.adopt_scim_user(&user).await.unwrap();
        let id = if id.is_empty() { ann.person.id.as_str() } else { id };
        for wrong in ["ann2", "ext-2", "x"] {
            scene.tell(wrong, &event, &json!({}), &json!({"format": "opaque", "id": wrong})).await;
        }
        assert!(!scene.is_disabled(&ann).await, "{opaque:?}");
        scene.tell("e1", &event, &json!({}), &json!({"format": "account", "uri": format!("acct:{id}")})).await;
        assert!(scene.is_disabled(&ann).await && !scene.lives(&ann).await, "{opaque:?}");
    }
}

#[tokio::test]
async fn somebody_provisioned_who_never_signed_in_can_be_disabled() {
    let mut scene = Scene::made(Made { opaque: OpaqueSubject::ScimId, ..Made::default() }).await;
    let waits = unlinked(&scene.app, &acme(), "new").await;
    let user = ScimResource {
        id: waits.id.to_string(),
        tenant: acme(),
        kind: sallyport_storage::ScimKind::User,
        version: 1,
        name: "new".into(),
        external_id: None,
        document: "{}".into(),
        created_at: scene.app.now(),
        changed_at: scene.app.now(),
    };
    scene.app.store.adopt_scim_user(&user).await.unwrap();
    let subject = json!({"format": "opaque", "id": waits.id});
    scene.tell("e1", &format!("{RISC}account-disabled"), &json!({}), &subject).await;
    assert!(scene.app.store.person(&waits.id).await.unwrap().unwrap().disabled);
}

#[tokio::test]
async fn nobody_of_another_tenant_or_connection_is_touched() {
    let mut scene = Scene::new().await;
    prove(&scene.app, &"globex".parse().unwrap(), "globex.example").await;
    prove(&scene.app, &acme(), "acme.example").await;
    let foreign = connect(&scene.app, "globex", "idp").await;
    let stranger = scene.access(&foreign, "zoe", Some("s1")).await;
    let neighbour = scene.access(&scene.other.clone(), "eve", Some("s2")).await;
    let before = scene.epoch().await;
    let mut number = 0;
    for event in ["account-disabled", "account-purged", "sessions-revoked"] {
        for subject in [
            iss_sub("zoe"),
            iss_sub("eve"),
            json!({"format": "iss_sub", "iss": "https://other.example", "sub": "zoe"}),
            json!({"format": "email", "email": "zoe@globex.example"}),
            json!({"format": "email", "email": "eve@acme.example"}),
            json!({"format": "opaque", "id": "zoe"}),
            json!({"format": "opaque", "id": "s1"}),
            json!({"format": "opaque", "id": stranger.person.id}),
            json!({"format": "account", "uri": "acct:zoe"}),
            json!({"format": "complex", "session": {"format": "opaque", "id": "s2"}}),
            json!({"format": "complex", "user": iss_sub("zoe"), "tenant": {"format": "opaque", "id": "globex"}}),
            json!({"format": "complex", "tenant": {"format": "opaque", "id": "globex"}}),
            json!({"format": "phone_number", "phone_number": "+1"}),
        ] {
            number += 1;
            let answer = scene.tell(&format!("e{number}"), &format!("{RISC}{event}"), &json!({}), &subject).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{subject}");
            assert_eq!(scene.fact("effect"), json!("none"), "{subject}");
            assert_eq!(scene.app.log.last().tenant, Some(acme()));
        }
    }
    assert_eq!(scene.epoch().await, before, "nothing was revoked");
    assert!(scene.lives(&stranger).await && scene.lives(&neighbour).await);
    assert!(!scene.is_disabled(&stranger).await && !scene.is_disabled(&neighbour).await);
}

#[tokio::test]
async fn a_stream_of_no_connection_speaks_of_all_the_tenants_people() {
    let mut scene = Scene::made(Made { of_connection: false, ..Made::default() }).await;
    let foreign = connect(&scene.app, "globex", "idp").await;
    let stranger = scene.access(&foreign, "zoe", Some("s1")).await;
    let ann = scene.access(&scene.connection.clone(), "ann", Some("s1")).await;
    let there = scene.access_of(ann.person.clone(), &scene.other.clone(), "ann", Some("s2")).await;
    let one = json!({"format": "complex", "user": iss_sub("ann"), "session": {"format": "opaque", "id": "s1"}});
    scene.tell("e1", &format!("{CAEP}session-revoked"), &json!({}), &one).await;
    assert_eq!((scene.lives(&ann).await, scene.lives(&there).await), (false, true));
    scene.tell("e2", &format!("{CAEP}session-revoked"), &json!({}), &iss_sub("ann")).await;
    assert!(!scene.lives(&there).await);
    scene.tell("e3", &format!("{RISC}account-disabled"), &json!({}), &iss_sub("zoe")).await;
    scene.tell("e4", &format!("{CAEP}session-revoked"), &json!({}), &json!({"format": "opaque", "id": "s1"})).await;
    assert!(scene.lives(&stranger).await && !scene.is_disabled(&stranger).await);
}

#[tokio::test]
async fn a_customer_of_a_shared_transmitter_speaks_of_itself_alone() {
    let mut scene = Scene::made(Made { customer: Some("org-1".into()), ..Made::default() }).await;
    let ann = scene.access(&scene.connection.clone(), "ann", None).await;
    let of = |customer: &str| {
        json!({"format": "complex", "user": {"format": "iss_sub", "iss": IDP, "sub": "ann"},
            "tenant": {"format": "opaque", "id": customer}})
    };
    scene.tell("e1", &format!("{CAEP}session-revoked"), &json!({}), &of("org-2")).await;
    assert_eq!((scene.lives(&ann).await, scene.fact("why")), (true, json!("another_customer")));
    scene.tell("e2", &format!("{CAEP}session-revoked"), &json!({}), &of("org-1")).await;
    assert!(!scene.lives(&ann).await);
}

#[tokio::test]
async fn a_critical_member_that_is_not_understood_discards_the_event() {
    let mut scene = Scene::new().await;
    let ann = scene.access(&scene.connection.clone(), "ann", None).await;
    let subject = json!({"format": "complex", "user": iss_sub("ann"), "device": {"format": "opaque", "id": "d"}});
    let answer = scene.tell("e1", &format!("{CAEP}session-revoked"), &json!({}), &subject).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!((scene.lives(&ann).await, scene.fact("why")), (true, json!("critical_member_not_understood")));
}

#[tokio::test]
async fn a_token_that_comes_twice_acts_once() {
    let mut scene = Scene::new().await;
    let ann = scene.access(&scene.connection.clone(), "ann", None).await;
    let claims = scene.claims("e1", &format!("{CAEP}session-revoked"), &json!({}), &iss_sub("ann"));
    let token = scene.transmitter.sign(&json!({}), &claims);
    assert_eq!(scene.push(&token).await.status, StatusCode::ACCEPTED);
    assert!(!scene.lives(&ann).await);
    let (epoch, recorded) = (scene.epoch().await, scene.app.log.count(EventKind::Revoked));
    scene.app.later(Duration::from_secs(60));
    let again = scene.access_of(ann.person.clone(), &scene.connection.clone(), "ann", None).await;
    for _ in 0..3 {
        assert_eq!(scene.push(&token).await.status, StatusCode::ACCEPTED);
    }
    assert!(scene.lives(&again).await, "a replayed event ends nothing that began since");
    assert_eq!((scene.epoch().await, scene.app.log.count(EventKind::Revoked)), (epoch, recorded));
}

#[tokio::test]
async fn what_cannot_commit_or_be_recorded_is_not_taken() {
    let disabled = format!("{RISC}account-disabled");
    for step in ["stream", "use_once", "link", "person", "set_disabled", "revoke", "note_stream", "the log"] {
        let mut scene = Scene::new().await;
        let ann = scene.access(&scene.connection.clone(), "ann", None).await;
        scene.app.later(Duration::from_secs(1));
        scene.failing.refuse(&[step]);
        scene.app.log.broken.store(step == "the log", std::sync::atomic::Ordering::SeqCst);
        let answer = scene.tell("e1", &disabled, &json!({}), &iss_sub("ann")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{step}");
        assert!(answer.json()["error"]["code"].as_str().unwrap().ends_with("_unavailable"), "{step}");
        scene.failing.refuse(&[]);
        scene.app.log.broken.store(false, std::sync::atomic::Ordering::SeqCst);
        let answer = scene.tell("e1", &disabled, &json!({}), &iss_sub("ann")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{step}");
        assert!(!scene.lives(&ann).await && scene.is_disabled(&ann).await, "{step}");
        assert_eq!(scene.app.log.count(EventKind::Revoked), 1, "{step}");
    }
    // The sessions' part, where the list of them cannot be had or the end cannot commit.
    for step in ["browser_sessions", "grants_of", "revoke"] {
        let mut scene = Scene::new().await;
        let ann = scene.access(&scene.connection.clone(), "ann", None).await;
        scene.failing.refuse(&[step]);
        let event = format!("{CAEP}session-revoked");
        let answer = scene.tell("e1", &event, &json!({}), &iss_sub("ann")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{step}");
        assert_eq!(answer.headers["retry-after"], "5");
        scene.failing.refuse(&[]);
        assert_eq!(scene.tell("e1", &event, &json!({}), &iss_sub("ann")).await.status, StatusCode::ACCEPTED);
        assert!(!scene.lives(&ann).await, "{step}");
    }
}

#[tokio::test]
async fn events_about_the_stream_are_noted() {
    let mut scene = Scene::new().await;
    let this = json!({"format": "opaque", "id": "stream-0"});
    let verification = format!("{SSF}verification");
    let state = scene.transmitter.is().states[0].clone();
    let answer = scene.tell("v1", &verification, &json!({"state": "made up"}), &this).await;
    assert_eq!((answer.status, answer.json()["err"].clone()), (StatusCode::BAD_REQUEST, json!("invalid_state")));
    let other = json!({"format": "opaque", "id": "stream-7"});
    let answer = scene.tell("v2", &verification, &json!({"state": state}), &other).await;
    assert_eq!(answer.json()["err"], json!("invalid_request"), "it is about another stream");
    assert_eq!(scene.kept().await.verified_at, None);
    assert_eq!(scene.tell("v3", &verification, &json!({"state": state}), &this).await.status, StatusCode::ACCEPTED);
    let kept = scene.kept().await;
    assert_eq!((kept.verified_at, kept.last_fault), (Some(scene.app.now()), None));
    assert_eq!(scene.fact("why"), json!("verified"));
    let updated = format!("{SSF}stream-updated");
    scene.tell("u1", &updated, &json!({"status": "paused", "reason": "unpaid"}), &this).await;
    let kept = scene.kept().await;
    assert_eq!(kept.last_fault.as_deref(), Some("the transmitter made the stream paused: unpaid"));
    assert!(kept.verified_at.is_some());
    scene.tell("u2", &updated, &json!({"status": "enabled"}), &this).await;
    assert_eq!(scene.kept().await.last_fault, None);
}
