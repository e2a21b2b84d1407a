//! ID-JAGs of tenants' identity providers (Enterprise-Managed Authorization).

use http::StatusCode;
use sallyport_authserver::IdJagIssuer;
use sallyport_model::{Actor, Clock, EventKind, Mark};
use sallyport_oauth::oidc::{IssuerRule, Transport};
use serde_json::{Value, json};

use crate::{app::*, kit::*};

pub(crate) const IDP: &str = "https://idp.acme.example";

/// Lets `tenant` take ID-JAGs that are signed with `key`.
pub(crate) fn trust(app: &App, tenant: &str, key: &Key) {
    let rule = IssuerRule::exact(IDP, Transport::Https).unwrap();
    let issuer = IdJagIssuer::new(tenant.parse().unwrap(), format!("{tenant}-idp").parse().unwrap(), rule);
    app.providers.lock().unwrap().push(Provider { issuer, keys: key.jwks(), creates: false });
}

pub(crate) fn claims(app: &App, client: &str) -> Value {
    let now = app.clock.now().as_secs();
    json!({"iss": IDP, "sub": "alice", "aud": ISSUER, "client_id": client, "jti": random(), "iat": now,
        "exp": now + 300, "resource": FILES, "scope": "files:read files:share"})
}

pub(crate) fn id_jag(key: &Key, claims: &Value) -> String {
    key.jwt("oauth-id-jag+jwt", claims)
}

pub(crate) async fn redeem_as_web(app: &App, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let form = [("grant_type", JWT_BEARER), ("assertion", assertion), ("client_id", "web"), ("client_secret", SECRET)];
    app.token(&[&form[..], more].concat()).await
}

#[tokio::test]
async fn a_providers_word_gives_a_client_a_persons_token_and_no_refresh_token() {
    let app = App::new().await;
    let key = Key::new();
    trust(&app, "acme", &key);
    let answer = redeem_as_web(&app, &id_jag(&key, &claims(&app, "web")), &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.text("scope"), "files:read files:share");
    assert!(answer.json().get("refresh_token").is_none());
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!(principal.subject, Actor::Human("alice".parse().unwrap()));
    assert_eq!((principal.mark(), principal.session.as_str()), (Mark::Human, "id-jag-alice"));
    let issued = app.log.of(EventKind::TokenIssued).pop().unwrap();
    assert_eq!((&issued.facts["assertion"], &issued.facts["connection"]), (&json!("id_jag"), &json!("acme-idp")));
}

#[tokio::test]
async fn an_agents_client_acts_for_her_within_its_bounds() {
    let app = App::new().await;
    let (key, robot) = (Key::new(), app.agent("sorter").await);
    trust(&app, "acme", &key);
    let assertion = id_jag(&key, &claims(&app, "client-sorter"));
    let answer = robot.ask(&[("grant_type", JWT_BEARER), ("assertion", &assertion)]).await;
    assert_eq!(answer.text("scope"), "files:read", "the agent's ceiling");
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!((principal.mark(), principal.actors), (Mark::AgentForHuman, vec![robot.agent_id()]));
    app.change_agent("sorter", |agent| agent.suspended = true).await;
    let assertion = id_jag(&key, &claims(&app, "client-sorter"));
    let refused = robot.ask(&[("grant_type", JWT_BEARER), ("assertion", &assertion)]).await;
    assert_eq!(refused.error(), "invalid_grant");
}

#[tokio::test]
async fn a_machine_that_the_provider_names_does_not_pass_for_her() {
    let app = App::new().await;
    let (key, robot) = (Key::new(), app.agent("sorter").await);
    trust(&app, "acme", &key);
    let acted = |client: &str| {
        let mut claims = claims(&app, client);
        claims["act"] = json!({"sub": "some-agent"});
        id_jag(&key, &claims)
    };
    assert_eq!(redeem_as_web(&app, &acted("web"), &[]).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["id_jag_actor_unknown"]);
    let assertion = acted("client-sorter");
    let answer = robot.ask(&[("grant_type", JWT_BEARER), ("assertion", &assertion)]).await;
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!(principal.actors, [robot.agent_id()], "who proved itself, not who was named");
    app.settings(|settings| settings.agent_depth = Some(0)).await;
    let assertion = acted("client-sorter");
    let refused = robot.ask(&[("grant_type", JWT_BEARER), ("assertion", &assertion)]).await;
    assert_eq!(refused.error(), "invalid_grant", "agents act for nobody");
}

#[tokio::test]
async fn scopes_and_resources_are_what_both_name() {
    let app = App::new().await;
    let key = Key::new();
    trust(&app, "acme", &key);
    let ask = async |change: Value, more: &[(&str, &str)]| {
        let mut claims = claims(&app, "web");
        for (name, value) in change.as_object().unwrap() {
            match value.is_null() {
                true => drop(claims.as_object_mut().unwrap().remove(name)),
                false => claims[name] = value.clone(),
            }
        }
        redeem_as_web(&app, &id_jag(&key, &claims), more).await
    };
    for (change, more, scope) in [
        (json!({}), vec![("scope", "files:read")], "files:read"),
        (json!({"scope": "files:write"}), vec![("scope", "files:read")], "files:read"),
        (json!({"scope": "files:read mail:send other"}), vec![], "files:read"),
        (json!({"scope": null}), vec![], "files:read"),
        (json!({"resource": [FILES, MAIL]}), vec![("resource", FILES)], "files:read files:share"),
        (json!({"resource": null}), vec![("resource", FILES)], "files:read files:share"),
        (json!({"resource": [FILES, "https://other.example/"]}), vec![], "files:read files:share"),
    ] {
        let answer = ask(change.clone(), &more).await;
        assert_eq!(answer.status, StatusCode::OK, "{change}: {}", answer.body);
        assert_eq!(answer.text("scope"), scope, "{change} {more:?}");
    }
    for (change, more, error) in [
        (json!({}), vec![("scope", "files:write")], "invalid_scope"),
        (json!({"scope": ""}), vec![], "invalid_scope"),
        (json!({"scope": null}), vec![("scope", "files:share")], "invalid_scope"),
        (json!({}), vec![("resource", MAIL)], "invalid_target"),
        (json!({"resource": [FILES, MAIL]}), vec![], "invalid_target"),
        (json!({"resource": null}), vec![], "invalid_target"),
        (json!({"resource": "https://other.example/"}), vec![], "invalid_target"),
        (json!({"resource": "https://other.example/"}), vec![("resource", FILES)], "invalid_target"),
    ] {
        assert_eq!(ask(change.clone(), &more).await.error(), error, "{change} {more:?}");
    }
}

#[tokio::test]
async fn a_client_known_by_its_document_needs_no_secret_and_one_that_registered_itself_gets_nothing() {
    let app = App::new().await;
    let key = Key::new();
    trust(&app, "acme", &key);
    let url = "https://client.example/oauth.json";
    let document = json!({"client_id": url, "client_name": "A client", "redirect_uris": ["https://client.example/cb"],
        "token_endpoint_auth_method": "none"});
    app.documents.at.lock().unwrap().insert(url.into(), (document.to_string(), None));
    let assertion = id_jag(&key, &claims(&app, url));
    let form = [("grant_type", JWT_BEARER), ("assertion", &*assertion), ("client_id", url)];
    let answer = app.token(&form).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let own = app.register().await;
    let assertion = id_jag(&key, &claims(&app, &own));
    let form = [("grant_type", JWT_BEARER), ("assertion", &*assertion), ("client_id", &own)];
    assert_eq!(app.token(&form).await.error(), "unauthorized_client");
}

#[tokio::test]
async fn a_bound_assertion_needs_its_key_and_gives_a_bound_token() {
    let app = App::new().await;
    let (key, holder) = (Key::new(), Key::new());
    trust(&app, "acme", &key);
    let mut bound = claims(&app, "web");
    bound["cnf"] = json!({"jkt": holder.jkt()});
    let assertion = id_jag(&key, &bound);
    assert_eq!(redeem_as_web(&app, &assertion, &[]).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["id_jag_proof_missing"]);
    let form =
        [("grant_type", JWT_BEARER), ("assertion", &*assertion), ("client_id", "web"), ("client_secret", SECRET)];
    let thief = Key::new().proof(&app).await;
    assert_eq!(app.token_with(&form, &thief).await.error(), "invalid_grant");
    let answer = app.token_with(&form, &holder.proof(&app).await).await;
    assert_eq!(answer.text("token_type"), "DPoP", "{}", answer.body);
    app.settings(|settings| settings.sender_bound = true).await;
    let unbound = redeem_as_web(&app, &id_jag(&key, &claims(&app, "web")), &[]).await;
    assert_eq!(unbound.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused).last().unwrap(), "sender_binding_demanded");
}
