//! The document says what is so.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::bench::Bench;

/// Holds an answer against a schema of the document: members, and which of them must be there.
fn hold(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(target) = schema["$ref"].as_str() {
        let name = target.strip_prefix("#/components/schemas/").unwrap();
        return hold(document, &document["components"]["schemas"][name], value, at);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.contains(&kind), "{at} is {kind}, not {kinds:?}");
    if let (Value::Object(members), Value::Object(known)) = (value, &schema["properties"]) {
        for (name, member) in members {
            let of = known.get(name).unwrap_or_else(|| panic!("{at}.{name} is not in the document"));
            hold(document, of, member, &format!("{at}.{name}"));
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(members.contains_key(name), "{at}.{name} is missing");
        }
    }
    if let Value::Array(items) = value {
        items.iter().for_each(|item| hold(document, &schema["items"], item, &format!("{at}[]")));
    }
}

#[tokio::test]
async fn answers_are_as_the_document_says() {
    let bench = Bench::new().await;
    let document = bench.document().await;
    let saml = json!({ "protocol": "saml", "name": "S", "entity_id": "urn:i", "metadata_url": "https://i.example/m" });
    let made = bench.post(&bench.acme, "/tenants/acme/connections", saml).await.json;
    let saml = made["id"].as_str().unwrap();
    let mut held = BTreeSet::new();
    let (nothing, token) = (Value::Null, bench.token_id("acme", "api-tokens").await);
    let calls = [
        (Method::GET, "/self".to_owned(), nothing.clone()),
        (Method::GET, "/openapi.json".into(), nothing.clone()),
        (Method::GET, "/api-tokens".into(), nothing.clone()),
        (Method::GET, "/tenants".into(), nothing.clone()),
        (Method::POST, "/tenants".into(), json!({ "id": "delta", "name": "D" })),
        (Method::GET, "/tenants/acme".into(), nothing.clone()),
        (Method::PATCH, "/tenants/acme".into(), json!({ "settings": { "session_seconds": 600 } })),
        (Method::POST, "/tenants/delta/suspend".into(), nothing.clone()),
        (Method::POST, "/tenants/delta/resume".into(), nothing.clone()),
        (Method::DELETE, "/tenants/delta".into(), nothing.clone()),
        (Method::GET, "/tenants/acme/api-tokens".into(), nothing.clone()),
        (Method::DELETE, format!("/tenants/acme/api-tokens/{token}"), nothing.clone()),
        (Method::GET, "/tenants/acme/domains".into(), nothing.clone()),
        (Method::POST, "/tenants/acme/domains".into(), json!({ "domain": "new.example", "connection": "idp" })),
        (Method::GET, "/tenants/acme/domains/new.example".into(), nothing.clone()),
        (Method::POST, "/tenants/acme/domains/new.example/prove".into(), nothing.clone()),
        (Method::POST, "/tenants/acme/domains/new.example/check".into(), nothing.clone()),
        (Method::DELETE, "/tenants/acme/domains/new.example".into(), nothing.clone()),
        (Method::GET, "/tenants/acme/connections".into(), nothing.clone()),
        (
            Method::POST,
            "/tenants/acme/connections".into(),
            json!({
                "protocol": "oidc", "name": "N", "preset": "standard", "issuer": "https://n.example", "client_id": "x",
            }),
        ),
        (Method::GET, "/tenants/acme/connections/c-acme".into(), nothing.clone()),
        (Method::PATCH, "/tenants/acme/connections/c-acme".into(), json!({ "client_id": "other" })),
        (Method::GET, "/tenants/acme/connections/c-acme/mapping".into(), nothing.clone()),
        (Method::PUT, "/tenants/acme/connections/c-acme/mapping".into(), json!({ "admitted": ["staff"] })),
        (Method::POST, "/tenants/acme/connections/c-acme/preview".into(), json!({})),
        (Method::POST, format!("/tenants/acme/connections/{saml}/saml-keys"), json!({ "step": "announce" })),
        (Method::GET, "/tenants/acme/scim-tokens".into(), nothing.clone()),
        (Method::POST, "/tenants/acme/scim-tokens".into(), json!({ "name": "x" })),
        (Method::POST, "/tenants/acme/scim-tokens/sc-acme/rotate".into(), nothing.clone()),
        (Method::GET, "/tenants/acme/signal-streams".into(), nothing.clone()),
        (Method::POST, "/tenants/acme/revocation-endpoints".into(), json!({ "connection": "idp", "bearer": true })),
        (Method::GET, "/tenants/acme/signal-streams/st-acme".into(), nothing.clone()),
        (Method::DELETE, "/tenants/acme/signal-streams/st-acme".into(), nothing.clone()),
        (Method::GET, "/tenants/acme/people".into(), nothing.clone()),
        (Method::GET, "/tenants/acme/people/u-acme".into(), nothing.clone()),
        (Method::GET, "/tenants/acme/sessions".into(), nothing.clone()),
        (Method::GET, "/tenants/acme/grants".into(), nothing.clone()),
        (Method::DELETE, "/tenants/acme/grants/g-acme".into(), nothing.clone()),
        (Method::DELETE, "/tenants/acme/sessions/s-acme".into(), nothing.clone()),
        (Method::POST, "/tenants/acme/people/u-acme/end".into(), nothing.clone()),
        (Method::POST, "/tenants/acme/people/u-acme/disable".into(), nothing.clone()),
        (Method::POST, "/tenants/acme/people/u-acme/enable".into(), nothing.clone()),
        (Method::POST, "/tenants/acme/connections/c-acme/disable".into(), nothing.clone()),
        (Method::POST, "/tenants/acme/connections/c-acme/enable".into(), nothing.clone()),
        (Method::DELETE, "/tenants/acme/connections/c-acme".into(), nothing.clone()),
    ];
    for (method, path, body) in calls {
        let body = (!body.is_null()).then_some(body);
        let mut request = bench.request(&bench.operator, method.clone(), &path, body.as_ref());
        request.headers_mut().insert(http::header::IF_MATCH, "*".parse().unwrap());
        let answered = bench.raw(request).await;
        let (known, operation) = operation(&document, &method, &path);
        let wanted = operation["responses"].as_object().unwrap().keys().next().unwrap();
        assert_eq!(answered.status.as_str(), wanted, "{method} {path}: {}", answered.json);
        let good = &operation["responses"][wanted];
        assert_eq!(good.get("headers").is_some(), answered.headers.contains_key(http::header::ETAG), "{method} {path}");
        if answered.status != StatusCode::NO_CONTENT {
            hold(&document, &good["content"]["application/json"]["schema"], &answered.json, &known);
        }
        held.insert(operation["operationId"].as_str().unwrap().to_owned());
    }
    let all = document["paths"].as_object().unwrap().values().flat_map(|verbs| verbs.as_object().unwrap().values());
    let missing: Vec<&str> =
        all.filter_map(|operation| operation["operationId"].as_str()).filter(|id| !held.contains(*id)).collect();
    // A transmitter is needed for the one; the other is its twin of a tenant.
    assert_eq!(missing, ["revokeApiToken", "revokeScimToken", "createSignalStream"]);
}

/// The operation that a path is of.
fn operation<'a>(document: &'a Value, method: &Method, path: &str) -> (String, &'a Value) {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |known: &str| {
        let known: Vec<&str> = known.split('/').collect();
        known.len() == parts.len() && known.iter().zip(&parts).all(|(a, b)| a.starts_with('{') || a == b)
    };
    let verb = method.as_str().to_ascii_lowercase();
    let paths = document["paths"].as_object().unwrap();
    let (known, verbs) = paths.iter().find(|(known, verbs)| fits(known) && verbs.get(&verb).is_some()).unwrap();
    (format!("{verb} {known}"), &verbs[&verb])
}

#[tokio::test]
async fn the_document_holds_together() {
    let bench = Bench::new().await;
    let document = bench.document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut targets = BTreeSet::new();
    references(&document, &mut targets);
    for target in &targets {
        let name = target.strip_prefix("#/components/schemas/").unwrap_or_else(|| panic!("{target}"));
        assert!(document["components"]["schemas"].get(name).is_some(), "{target} leads nowhere");
    }
    assert!(targets.len() > 20, "{targets:?}");
    let mut ids = BTreeSet::new();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for operation in verbs.as_object().unwrap().values() {
            assert!(ids.insert(operation["operationId"].clone().to_string()), "{path}: an id is one operation's");
            let named: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|one| one["in"] == "path")
                .filter_map(|one| one["name"].as_str())
                .collect();
            let there = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(named, there, "{path}");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(target) if name == "$ref" => drop(found.insert(target.clone())),
                    other => references(other, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
