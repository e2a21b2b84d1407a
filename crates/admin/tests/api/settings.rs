//! Tenants, domains, tokens: what is made, changed and removed, and what is on record then.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::bench::{Bench, tenant};

fn etag(answered: &crate::bench::Answered) -> String {
    answered.headers[header::ETAG].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_tenant_is_made_changed_and_removed() {
    let bench = Bench::new().await;
    let made = bench.post(&bench.operator, "/tenants", json!({ "id": "delta", "name": " Delta " })).await;
    assert_eq!((made.status, &made.json["name"]), (StatusCode::CREATED, &json!("Delta")));
    assert_eq!(bench.noted(), ("tenant.create".into(), Some("delta".into()), json!("ci")));
    for (body, status, code) in [
        (json!({ "id": "delta", "name": "x" }), StatusCode::CONFLICT, "already_exists"),
        (json!({ "id": "gamma", "name": "x" }), StatusCode::CONFLICT, "configured"),
        (json!({ "id": "sallyport-gate", "name": "x" }), StatusCode::UNPROCESSABLE_ENTITY, "invalid_value"),
        (json!({ "id": "De_lta", "name": "x" }), StatusCode::UNPROCESSABLE_ENTITY, "invalid_value"),
        (json!({ "id": "eps", "name": " " }), StatusCode::UNPROCESSABLE_ENTITY, "invalid_value"),
    ] {
        let answered = bench.post(&bench.operator, "/tenants", body.clone()).await;
        assert_eq!((answered.status, &answered.json["code"]), (status, &json!(code)), "{body}");
        assert!(answered.json["detail"].is_string() && answered.json["field"].is_string(), "{}", answered.json);
    }
    let gone = bench.delete(&bench.operator, "/tenants/delta").await;
    assert_eq!((gone.status, &gone.json["removed"]), (StatusCode::OK, &json!(true)));
    assert_eq!(bench.get(&bench.operator, "/tenants/delta").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.delete(&bench.operator, "/tenants/gamma").await.json["code"], "configured");
}

#[tokio::test]
async fn settings_change_only_from_the_state_that_was_seen() {
    let bench = Bench::new().await;
    let seen = bench.get(&bench.acme, "/tenants/acme").await;
    let body = json!({ "settings": { "grant_seconds": 3600, "federated_only": true } });
    let blind = bench.send(&bench.acme, Method::PATCH, "/tenants/acme", Some(&body)).await;
    assert_eq!((blind.status, &blind.json["code"]), (StatusCode::PRECONDITION_REQUIRED, &json!("if_match_required")));
    let done = bench.change(&bench.acme, Method::PATCH, "/tenants/acme", &etag(&seen), &body).await;
    assert_eq!((done.status, &done.json["chosen"]["grant_seconds"]), (StatusCode::OK, &json!(3600)));
    assert_eq!(bench.noted(), ("tenant.set".into(), Some("acme".into()), json!("ci")));
    assert_ne!(etag(&done), etag(&seen));
    let late = bench.change(&bench.acme, Method::PATCH, "/tenants/acme", &etag(&seen), &json!({ "name": "x" })).await;
    assert_eq!((late.status, &late.json["code"]), (StatusCode::PRECONDITION_FAILED, &json!("stale")));
    assert_eq!(bench.get(&bench.acme, "/tenants/acme").await.json, done.json, "nothing of it happened");
    let back = json!({ "settings": { "grant_seconds": null } });
    let back = bench.change(&bench.acme, Method::PATCH, "/tenants/acme", &etag(&done), &back).await;
    assert_eq!(back.json["chosen"], json!({ "federated_only": true }));
    assert_eq!(back.json["in_force"]["grant_seconds"], 24 * 3600);
    for (settings, field) in [
        (json!({ "grant_seconds": 24 * 3600 + 1 }), "settings.grant_seconds"),
        (json!({ "delegation_seconds": 8 * 3600 + 1 }), "settings.delegation_seconds"),
        (json!({ "access_token_seconds": 29 }), "settings.access_token_seconds"),
        (json!({ "agent_depth": 9 }), "settings.agent_depth"),
    ] {
        let body = json!({ "settings": settings });
        let no = bench.change(&bench.acme, Method::PATCH, "/tenants/acme", &etag(&back), &body).await;
        assert_eq!(no.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", no.json);
        assert_eq!((&no.json["code"], &no.json["field"]), (&json!("out_of_bounds"), &json!(field)));
        assert!(no.json["remedy"].as_str().unwrap().starts_with("choose"), "{}", no.json);
    }
}

/// A change that was read before a suspension and written after it must not let the tenant in again.
#[tokio::test]
async fn a_change_from_before_a_suspension_does_not_undo_it() {
    let bench = Bench::new().await;
    let seen = bench.store.tenant(&tenant("acme")).await.unwrap().unwrap();
    bench.post(&bench.operator, "/tenants/acme/suspend", json!(null)).await;
    let change = sallyport_admin::tenancy::tenants::Change { name: Some("New".into()), ..Default::default() };
    let late = sallyport_admin::tenancy::tenants::change(&bench.tenancy, seen, &change).await.unwrap_err();
    assert!(late.to_string().contains("somebody else changed it"), "{late}");
    assert!(bench.store.tenant(&tenant("acme")).await.unwrap().unwrap().suspended);
}

#[tokio::test]
async fn of_many_who_change_at_once_one_does() {
    let bench = std::sync::Arc::new(Bench::new().await);
    let seen = etag(&bench.get(&bench.acme, "/tenants/acme").await);
    let mut all = tokio::task::JoinSet::new();
    for n in 0..12 {
        let (bench, seen) = (bench.clone(), seen.clone());
        all.spawn(async move {
            let body = json!({ "name": format!("name {n}") });
            bench.change(&bench.acme, Method::PATCH, "/tenants/acme", &seen, &body).await.status
        });
    }
    let mut ended = all.join_all().await;
    ended.sort();
    assert_eq!(ended.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{ended:?}");
    assert!(ended[1..].iter().all(|status| *status == StatusCode::PRECONDITION_FAILED), "{ended:?}");
}

#[tokio::test]
async fn a_domain_is_claimed_and_proved_by_the_operator_or_its_record() {
    let bench = Bench::new().await;
    let claimed = bench.post(&bench.acme, "/tenants/acme/domains", json!({ "domain": "Mail.Acme.Example" })).await;
    assert_eq!((claimed.status, &claimed.json["domain"]), (StatusCode::CREATED, &json!("mail.acme.example")));
    assert_eq!(claimed.json["proved"], json!(null));
    assert!(claimed.json["record"]["value"].as_str().unwrap().starts_with("sallyport-domain-verification="));
    let path = "/tenants/acme/domains/mail.acme.example";
    let checked = bench.post(&bench.acme, &format!("{path}/check"), json!(null)).await;
    assert_eq!(
        (checked.status, &checked.json["code"]),
        (StatusCode::BAD_GATEWAY, &json!("elsewhere")),
        "no name server"
    );
    assert_eq!(bench.post(&bench.acme, &format!("{path}/prove"), json!(null)).await.status, StatusCode::FORBIDDEN);
    let proved = bench.post(&bench.operator, &format!("{path}/prove"), json!(null)).await;
    assert_eq!((proved.status, &proved.json["proved"]), (StatusCode::OK, &json!("operator")));
    assert_eq!(bench.delete(&bench.acme, path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.get(&bench.acme, path).await.status, StatusCode::NOT_FOUND);
    // Another tenant's proved domain can be claimed and not proved; whose it is, nobody says.
    let theirs = bench.post(&bench.acme, "/tenants/acme/domains", json!({ "domain": "beta.example" })).await;
    assert_eq!(theirs.status, StatusCode::CREATED);
    let checked = bench.post(&bench.acme, "/tenants/acme/domains/beta.example/check", json!(null)).await;
    let told = (checked.status, &checked.json["code"]);
    assert_eq!(
        told,
        (StatusCode::BAD_GATEWAY, &json!("elsewhere")),
        "not before the record was seen: {}",
        checked.json
    );
    let taken = bench.post(&bench.operator, "/tenants/acme/domains/beta.example/prove", json!(null)).await;
    assert_eq!((taken.status, &taken.json["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    let no = bench.post(&bench.acme, "/tenants/acme/domains", json!({ "domain": "localhost" })).await;
    assert_eq!((no.status, &no.json["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("domain")));
}

#[tokio::test]
async fn scim_tokens_are_shown_once() {
    let bench = Bench::new().await;
    let made =
        bench.post(&bench.acme, "/tenants/acme/scim-tokens", json!({ "name": "Entra", "expires_days": 30 })).await;
    let (id, token) = (made.json["id"].as_str().unwrap(), made.json["token"].as_str().unwrap());
    assert!(token.starts_with("sps_") && token.len() == 47, "{token}");
    assert_eq!(made.json["base_url"], "https://gate.example/scim/v2");
    let next = bench.post(&bench.acme, &format!("/tenants/acme/scim-tokens/{id}/rotate"), json!(null)).await;
    assert_eq!(next.status, StatusCode::CREATED);
    assert!(next.json["token"] != made.json["token"] && next.json["expires_at"] == made.json["expires_at"]);
    let listed = bench.get(&bench.acme, "/tenants/acme/scim-tokens").await.json;
    let ids: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert!(ids.contains(&&next.json["id"]) && !ids.contains(&&made.json["id"]), "{listed}");
    assert!(!listed.to_string().contains("sps_"));
    let events = format!("{:?}", bench.events());
    assert!(events.contains("tenant.scim_token.rotate") && !events.contains("sps_"));
    let id = next.json["id"].as_str().unwrap();
    assert_eq!(
        bench.delete(&bench.acme, &format!("/tenants/acme/scim-tokens/{id}")).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        bench.delete(&bench.acme, &format!("/tenants/acme/scim-tokens/{id}")).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn api_tokens_are_listed_without_values_and_revoked() {
    let bench = Bench::new().await;
    let all = bench.get(&bench.operator, "/api-tokens").await.json;
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    assert!(!all.to_string().contains("spadm_"));
    assert_eq!(bench.get(&bench.acme, "/api-tokens").await.status, StatusCode::FORBIDDEN);
    let id = bench.token_id("acme", "api-tokens").await;
    let path = format!("/tenants/acme/api-tokens/{id}");
    assert_eq!(bench.delete(&bench.acme, &path).await.status, StatusCode::NO_CONTENT, "its own");
    assert_eq!(bench.noted(), ("api_token.revoke".into(), Some("acme".into()), json!("ci")));
    assert_eq!(bench.get(&bench.acme, "/self").await.status, StatusCode::UNAUTHORIZED, "from the next request on");
    let id = bench.token_id("beta", "api-tokens").await;
    assert_eq!(bench.delete(&bench.operator, &format!("/api-tokens/{id}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.get(&bench.beta, "/self").await.status, StatusCode::UNAUTHORIZED);
}
