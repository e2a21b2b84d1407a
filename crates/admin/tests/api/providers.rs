//! Connections and signals: secrets come in and never go out.

use http::{Method, StatusCode, header};
use sallyport_identity::settings::ConnectionSettings;
use serde_json::json;

use crate::bench::{Answered, Bench, SECRET, tenant};

fn etag(answered: &Answered) -> String {
    answered.headers[header::ETAG].to_str().unwrap().to_owned()
}

const IDP: &str = "/tenants/acme/connections/c-acme";

#[tokio::test]
async fn a_connection_is_made_changed_and_switched_and_its_secret_shown_to_nobody() {
    let bench = Bench::new().await;
    let new = json!({
        "protocol": "oidc", "name": "Okta", "preset": "okta", "issuer": "https://acme.okta.com", "client_id": "0oa7",
        "client_secret": "a new secret", "demands": { "mfa": true }, "mapping": { "admitted": ["staff"] },
    });
    let made = bench.post(&bench.acme, "/tenants/acme/connections", new.clone()).await;
    assert_eq!((made.status, &made.json["authentication"]), (StatusCode::CREATED, &json!("secret")), "{}", made.json);
    assert_eq!(bench.noted(), ("tenant.connect_oidc".into(), Some("acme".into()), json!("ci")));
    let again = bench.post(&bench.acme, "/tenants/acme/connections", new).await;
    assert_eq!((again.status, &again.json["code"]), (StatusCode::CONFLICT, &json!("already_exists")));
    let id = made.json["id"].as_str().unwrap();
    let path = format!("/tenants/acme/connections/{id}");
    let change = json!({ "client_secret": "a newer secret", "demands": { "mfa": false, "max_age_seconds": 3600 } });
    let changed = bench.change(&bench.acme, Method::PATCH, &path, &etag(&made), &change).await;
    assert_eq!((changed.status, &changed.json["demands"]["mfa"]), (StatusCode::OK, &json!(false)), "{}", changed.json);
    assert_eq!(changed.json["mapping"]["admitted"], json!(["staff"]), "what is left out stays");
    assert_eq!((&changed.json["id"], &changed.json["client_id"]), (&made.json["id"], &json!("0oa7")));
    let kept = bench.store.connection(&id.parse().unwrap()).await.unwrap().unwrap();
    let ConnectionSettings::Oidc(kept) = ConnectionSettings::of(&kept).unwrap() else { panic!() };
    assert_eq!(kept.client_secret.as_deref(), Some("a newer secret"));
    let foreign = json!({ "allow_unsolicited": true });
    let state = etag(&bench.get(&bench.acme, &path).await);
    let no = bench.change(&bench.acme, Method::PATCH, &path, &state, &foreign).await;
    assert_eq!(no.status, StatusCode::UNPROCESSABLE_ENTITY);
    let late = bench.change(&bench.acme, Method::PATCH, &path, "\"x\"", &json!({ "client_id": "y" })).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    let listed = bench.get(&bench.acme, "/tenants/acme/connections").await.json;
    let told = format!("{listed}{}{}{:?}", made.json, changed.json, bench.events());
    for secret in [SECRET, "a new secret", "a newer secret"] {
        assert!(!told.contains(secret), "{secret}");
    }
    let off = bench.post(&bench.acme, &format!("{IDP}/disable"), json!(null)).await;
    assert_eq!((&off.json["was_enabled"], &off.json["sessions"]), (&json!(true), &json!(1)));
    assert_eq!(bench.get(&bench.acme, "/tenants/acme/sessions").await.json["items"], json!([]));
    assert_eq!(bench.post(&bench.acme, &format!("{IDP}/enable"), json!(null)).await.json["enabled"], true);
    assert_eq!(bench.delete(&bench.acme, IDP).await.json["removed"], true);
    assert_eq!(bench.get(&bench.acme, IDP).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_tenant_has_no_more_than_32_connections() {
    let bench = Bench::new().await;
    let new = |n: usize| {
        json!({ "protocol": "oidc", "name": format!("n{n}"), "preset": "standard", "issuer": "https://kc.example",
                "client_id": "gate", "client_secret": "s" })
    };
    for n in 1..32 {
        let made = bench.post(&bench.acme, "/tenants/acme/connections", new(n)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{n} {}", made.json);
    }
    let no = bench.post(&bench.acme, "/tenants/acme/connections", new(32)).await;
    assert_eq!((no.status, &no.json["code"]), (StatusCode::CONFLICT, &json!("too_many_connections")), "{}", no.json);
    assert!(no.json["remedy"].is_string());
    assert_eq!(bench.store.connections(&tenant("acme")).await.unwrap().len(), 32);
    // One that is there can still be changed.
    let seen = etag(&bench.get(&bench.acme, IDP).await);
    let changed = bench.change(&bench.acme, Method::PATCH, IDP, &seen, &json!({ "client_id": "other" })).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.json);
}

#[tokio::test]
async fn only_a_tenant_with_a_proved_domain_or_the_operator_turns_id_jags_on() {
    let bench = Bench::new().await;
    let new = |name: &str, id_jag: bool| {
        json!({ "protocol": "oidc", "name": name, "preset": "standard", "issuer": "https://kc.example",
            "client_id": "gate", "id_jag": id_jag })
    };
    let at = "/tenants/acme/connections";
    assert_eq!(bench.post(&bench.acme, at, new("Proved", true)).await.status, StatusCode::CREATED);
    let domain = bench.store.domains(&tenant("acme")).await.unwrap().remove(0);
    bench.store.remove_domain(&domain.tenant, &domain.name).await.unwrap();
    let no = bench.post(&bench.acme, at, new("New", true)).await;
    assert_eq!((no.status, &no.json["field"]), (StatusCode::CONFLICT, &json!("id_jag")), "{}", no.json);
    let made = bench.post(&bench.acme, at, new("New", false)).await;
    let path = format!("{at}/{}", made.json["id"].as_str().unwrap());
    let on = json!({ "id_jag": true });
    let no = bench.change(&bench.acme, Method::PATCH, &path, &etag(&made), &on).await;
    assert_eq!((no.status, &no.json["field"]), (StatusCode::CONFLICT, &json!("id_jag")), "{}", no.json);
    let done = bench.change(&bench.operator, Method::PATCH, &path, &etag(&made), &on).await;
    assert_eq!((done.status, &done.json["id_jag"]), (StatusCode::OK, &json!(true)), "{}", done.json);
    let later = bench.change(&bench.acme, Method::PATCH, &path, &etag(&done), &json!({ "name": "Newer" })).await;
    assert_eq!((later.status, &later.json["id_jag"]), (StatusCode::OK, &json!(true)), "what is on stays on");
}

#[tokio::test]
async fn a_key_is_made_where_no_secret_is_given() {
    let bench = Bench::new().await;
    let new = json!({
        "protocol": "oidc", "name": "KC", "preset": "standard", "issuer": "https://kc.example", "client_id": "gate",
    });
    let made = bench.post(&bench.acme, "/tenants/acme/connections", new).await.json;
    assert_eq!(made["authentication"], "private_key_jwt");
    assert!(made["jwk"]["x"].is_string() && made["jwk"].get("d").is_none(), "{made}");
}

#[tokio::test]
async fn a_saml_connection_is_made_and_its_keys_roll() {
    let bench = Bench::new().await;
    let new = json!({
        "protocol": "saml", "name": "SAML", "entity_id": "urn:idp", "metadata_url": "https://idp.example/m",
    });
    let made = bench.post(&bench.acme, "/tenants/acme/connections", new).await;
    assert_eq!((made.status, &made.json["provider"]), (StatusCode::CREATED, &json!("urn:idp")), "{}", made.json);
    let path = format!("/tenants/acme/connections/{}", made.json["id"].as_str().unwrap());
    let no = bench.post(&bench.acme, &format!("{path}/saml-keys"), json!({ "step": "use" })).await;
    assert_eq!(no.status, StatusCode::CONFLICT, "{}", no.json);
    let step = bench.post(&bench.acme, &format!("{path}/saml-keys"), json!({ "step": "announce" })).await;
    assert_eq!((step.status, &step.json["step"]), (StatusCode::OK, &json!("announce")));
    let no = bench.post(&bench.acme, &format!("{IDP}/saml-keys"), json!({ "step": "announce" })).await;
    assert_eq!(no.status, StatusCode::CONFLICT, "it speaks OpenID Connect");
    let state = etag(&bench.get(&bench.acme, &path).await);
    let changed = bench.change(&bench.acme, Method::PATCH, &path, &state, &json!({ "allow_unsolicited": true })).await;
    assert_eq!(changed.json["allow_unsolicited"], true, "{}", changed.json);
    for body in [
        json!({ "protocol": "saml", "name": "S2" }),
        json!({ "protocol": "saml", "name": "S2", "metadata": "<a/>" }),
        json!({ "protocol": "saml", "name": "S2", "metadata": "<a/>", "metadata_url": "https://idp.example" }),
        json!({ "protocol": "saml", "name": "S2", "entity_id": "x", "metadata_url": "http://idp.example" }),
    ] {
        let no = bench.post(&bench.acme, "/tenants/acme/connections", body.clone()).await;
        assert_eq!(no.status, StatusCode::UNPROCESSABLE_ENTITY, "{body} {}", no.json);
    }
}

#[tokio::test]
async fn a_mapping_is_previewed_and_changed_from_the_state_that_was_seen() {
    let bench = Bench::new().await;
    let seen = bench.get(&bench.acme, &format!("{IDP}/mapping")).await;
    assert_eq!(seen.json["email"], json!(["email"]));
    let body = json!({ "admitted": ["staff"], "scim": null, "groups": ["roles"] });
    let path = format!("{IDP}/mapping");
    let done = bench.change(&bench.acme, Method::PUT, &path, &etag(&seen), &body).await;
    assert_eq!((done.status, &done.json["groups"]), (StatusCode::OK, &json!(["roles"])), "{}", done.json);
    assert_eq!(bench.noted(), ("tenant.set_mapping".into(), Some("acme".into()), json!("ci")));
    let late = bench.change(&bench.acme, Method::PUT, &path, &etag(&seen), &json!({})).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    let kept = bench.store.connections(&tenant("acme")).await.unwrap().remove(0);
    let kept = ConnectionSettings::of(&kept).unwrap();
    assert_eq!((&kept.mapping().admitted[..], &kept.mapping().scim), (&["staff".to_owned()][..], &None));
    let asserted = json!({ "asserted": { "email": "ann@acme.example", "roles": ["staff"], "address": {} } });
    let seen = bench.post(&bench.acme, &format!("{IDP}/preview"), asserted).await.json;
    assert_eq!((&seen["profile"]["admitted"], &seen["ignored"]), (&json!(true), &json!(["address"])));
    let last = bench.post(&bench.acme, &format!("{IDP}/preview"), json!({ "user": "u-acme" })).await.json;
    assert_eq!((&last["source"]["user"], &last["profile"]["admitted"]), (&json!("u-acme"), &json!(false)), "{last}");
    let shut = json!({ "create": false, "scim": null });
    let state = etag(&bench.get(&bench.acme, &path).await);
    let no = bench.change(&bench.acme, Method::PUT, &path, &state, &shut).await;
    assert_eq!((no.status, &no.json["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("mapping.create")));
}

#[tokio::test]
async fn a_revocation_endpoints_token_is_shown_once() {
    let bench = Bench::new().await;
    let body = json!({ "connection": "idp", "bearer": true, "opaque_subject": "user_name" });
    let made = bench.post(&bench.acme, "/tenants/acme/revocation-endpoints", body).await;
    let token = made.json["token"].as_str().unwrap().to_owned();
    assert_eq!((made.status, token.len()), (StatusCode::CREATED, 43));
    assert_eq!(bench.noted().0, "tenant.signals.revocation_endpoint");
    let path = format!("/tenants/acme/signal-streams/{}", made.json["id"].as_str().unwrap());
    let shown = bench.get(&bench.acme, &path).await.json;
    assert_eq!((&shown["connection"], &shown["delivery"]), (&json!("idp"), &json!("token_revocation")));
    let listed = bench.get(&bench.acme, "/tenants/acme/signal-streams").await.json;
    assert!(listed["items"].as_array().unwrap().len() == 2 && !listed.to_string().contains(&token));
    assert_eq!(bench.delete(&bench.acme, &path).await.json["removed_at_transmitter"], true);
    let stream = json!({ "transmitter": "http://127.0.0.1:9", "token": "t", "delivery": "poll" });
    let no = bench.post(&bench.acme, "/tenants/acme/signal-streams", stream).await;
    assert_eq!((no.status, &no.json["code"]), (StatusCode::BAD_GATEWAY, &json!("elsewhere")), "{}", no.json);
}

#[tokio::test]
async fn a_tenant_learns_nothing_of_addresses_and_what_it_names_is_on_record_first() {
    let bench = Bench::new().await;
    let stream = |at: &str| json!({ "transmitter": at, "token": "t", "delivery": "poll" });
    let mut told = Vec::new();
    // An address where nothing may be reached, and a name that is none.
    for at in ["https://127.0.0.1:9", "https://transmitter.invalid"] {
        let no = bench.post(&bench.acme, "/tenants/acme/signal-streams", stream(at)).await;
        assert_eq!(no.status, StatusCode::BAD_GATEWAY, "{}", no.json);
        assert_eq!(bench.noted(), ("tenant.signals.add".into(), Some("acme".into()), json!("ci")));
        assert_eq!(bench.events().pop().unwrap().facts["transmitter"], at);
        told.push(no.json);
    }
    assert_eq!(told[0], told[1], "one answer for all");
    assert!(!told[0].to_string().contains("127.0.0.1") && told[0].to_string().contains("cannot be reached"));
    let no = bench.post(&bench.operator, "/tenants/acme/signal-streams", stream("https://127.0.0.1:9")).await;
    assert!(no.json["detail"].as_str().unwrap().contains("127.0.0.1"), "the operator learns why: {}", no.json);
    bench.kept.full.store(true, std::sync::atomic::Ordering::SeqCst);
    let no = bench.post(&bench.acme, "/tenants/acme/signal-streams", stream("https://127.0.0.1:9")).await;
    assert_eq!(no.json["code"], "not_recorded", "nothing is asked that is not on record: {}", no.json);
}
