//! Every operation of the document, with the token of one tenant's administrator and the ids of another tenant. An
//! operation that has no example here fails the test, so that nobody can add one without it.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use sallyport_admin::api::operations::OPERATIONS;
use serde_json::{Value, json};

use crate::bench::{Bench, ids};

/// How an operation is called.
pub struct Example {
    /// What its query may name of somebody.
    pub query: Vec<(&'static str, String)>,
    /// A body that would be taken, but for the ids in it.
    pub body: Option<Value>,
    /// Bodies that name something of somebody.
    pub naming: Vec<Value>,
}

fn plain() -> Option<Example> {
    Some(Example { query: Vec::new(), body: None, naming: Vec::new() })
}

fn with(body: Value) -> Option<Example> {
    Some(Example { query: Vec::new(), body: Some(body), naming: Vec::new() })
}

fn naming(body: Value, others: Vec<Value>) -> Option<Example> {
    Some(Example { query: Vec::new(), body: Some(body), naming: others })
}

/// How each operation is called with the ids of `of`.
pub fn example(operation: &str, of: &BTreeMap<&'static str, String>) -> Option<Example> {
    match operation {
        "getSelf" | "getDocument" | "listApiTokens" | "revokeApiToken" => plain(),
        "listTenants" | "getTenant" | "suspendTenant" | "resumeTenant" | "deleteTenant" => plain(),
        "createTenant" => with(json!({ "id": "delta", "name": "Delta" })),
        "changeTenant" => with(json!({ "settings": { "grant_seconds": 3600 } })),
        "listTenantApiTokens" | "revokeTenantApiToken" => plain(),
        "listDomains" | "getDomain" | "checkDomain" | "proveDomain" | "removeDomain" => plain(),
        "claimDomain" => naming(
            json!({ "domain": "new.example" }),
            vec![json!({ "domain": "new.example", "connection": of["connection"] })],
        ),
        "listConnections" | "getConnection" | "enableConnection" | "disableConnection" | "removeConnection" => plain(),
        "createConnection" => with(json!({
            "protocol": "oidc", "name": "New", "preset": "standard", "issuer": "https://new.example", "client_id": "x",
            "client_secret": "y",
        })),
        "changeConnection" => with(json!({ "client_id": "other" })),
        "rollSamlKeys" => with(json!({ "step": "announce" })),
        "getMapping" => plain(),
        "setMapping" => with(json!({ "admitted": ["nobody"] })),
        "previewMapping" => {
            naming(json!({ "asserted": { "email": "ann@acme.example" } }), vec![json!({ "user": of["person"] })])
        }
        "listScimTokens" | "rotateScimToken" | "revokeScimToken" => plain(),
        "createScimToken" => with(json!({ "name": "Entra" })),
        "listSignalStreams" | "getSignalStream" | "removeSignalStream" => plain(),
        "createSignalStream" => {
            let body = json!({ "transmitter": "https://t.example", "token": "x", "delivery": "push" });
            let mut named = body.clone();
            named["connection"] = json!(of["connection"]);
            naming(body, vec![named])
        }
        "createRevocationEndpoint" => {
            let body = json!({ "connection": of["connection"], "bearer": true });
            naming(body.clone(), vec![body])
        }
        "listPeople" | "getPerson" | "disablePerson" | "enablePerson" | "endPerson" => plain(),
        "listSessions" => Some(Example { query: vec![("user", of["person"].clone())], ..plain()? }),
        "listGrants" => {
            Some(Example { query: vec![("user", of["person"].clone()), ("agent", of["agent"].clone())], ..plain()? })
        }
        "endSession" | "endGrant" => plain(),
        _ => None,
    }
}

/// One operation, as the document has it.
struct Listed {
    id: String,
    method: Method,
    path: String,
    operators: bool,
}

async fn listed(bench: &Bench) -> Vec<Listed> {
    let document = bench.document().await;
    let mut all = Vec::new();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for (verb, operation) in verbs.as_object().unwrap() {
            all.push(Listed {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: Method::from_bytes(verb.to_ascii_uppercase().as_bytes()).unwrap(),
                path: path.clone(),
                operators: operation["description"].as_str().is_some_and(|what| what.contains("operator alone")),
            });
        }
    }
    assert_eq!(all.len(), OPERATIONS.len(), "the document has them all");
    all
}

/// The path with these ids in the place of its parameters.
fn filled(path: &str, ids: &BTreeMap<&'static str, String>) -> String {
    path.split('/')
        .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            None => part.to_owned(),
            Some(name) => ids.get(name).unwrap_or_else(|| panic!("no id for {{{name}}} of {path}")).clone(),
        })
        .collect::<Vec<_>>()
        .join("/")
}

/// The ids of a tenant, with those of the kind of token that the path is about.
async fn ids_for(bench: &Bench, of: &str, path: &str) -> BTreeMap<&'static str, String> {
    let mut all = ids(of);
    all.insert("agent", format!("a-{of}"));
    let scim = path.contains("scim-tokens");
    let token = bench.token_id(of, if scim { "scim-tokens" } else { "api-tokens" }).await;
    all.insert("token", token);
    all
}

/// A problem with the ids taken out, so that two can be compared.
fn without(problem: &Value, ids: &BTreeMap<&'static str, String>) -> String {
    let mut text = problem.to_string();
    let mut values: Vec<&String> = ids.values().collect();
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values {
        text = text.replace(value.as_str(), "ID");
    }
    text
}

/// Sends with whatever state the request may be about.
async fn tried(bench: &Bench, operation: &Listed, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
    let mut request = bench.request(&bench.acme, operation.method.clone(), path, body);
    request.headers_mut().insert(http::header::IF_MATCH, "*".parse().unwrap());
    let answered = bench.raw(request).await;
    (answered.status, answered.json)
}

#[tokio::test]
async fn no_operation_reaches_another_tenant() {
    let bench = Bench::new().await;
    agents(&bench).await;
    let mut walked = 0;
    for operation in listed(&bench).await {
        let theirs = ids_for(&bench, "beta", &operation.path).await;
        let ours = ids_for(&bench, "acme", &operation.path).await;
        let nobodys: BTreeMap<_, _> = theirs.keys().map(|name| (*name, "nobody-9".to_owned())).collect();
        let nobodys = BTreeMap::from_iter(nobodys.into_iter().chain([("domain", "nobody-9.example".to_owned())]));
        let Some(example) = example(&operation.id, &theirs) else {
            panic!("{} has no example in this walk: add one", operation.id);
        };
        let before = (bench.everything("beta").await, bench.events().len());
        let mut attempts: Vec<(String, Option<Value>, Option<String>)> = Vec::new();
        if operation.path.contains('{') {
            // Their tenant with their things, and our tenant with their things; beside each, what never was.
            let like = Some(filled(&operation.path, &nobodys));
            attempts.push((filled(&operation.path, &theirs), example.body.clone(), like));
            let mixed = |of: &BTreeMap<&'static str, String>| {
                let mut mixed = of.clone();
                mixed.insert("tenant", ours["tenant"].clone());
                filled(&operation.path, &mixed)
            };
            if operation.path.matches('{').count() > 1 {
                attempts.push((mixed(&theirs), example.body.clone(), Some(mixed(&nobodys))));
            }
        }
        for (name, id) in &example.query {
            let path = filled(&operation.path, &ours);
            let like = format!("{path}?{name}=nobody-9");
            attempts.push((format!("{path}?{name}={id}"), example.body.clone(), Some(like)));
        }
        for body in &example.naming {
            attempts.push((filled(&operation.path, &ours), Some(body.clone()), None));
        }
        for (path, body, like) in attempts {
            let (status, problem) = tried(&bench, &operation, &path, body.as_ref()).await;
            let wanted = if operation.operators { StatusCode::FORBIDDEN } else { StatusCode::NOT_FOUND };
            assert_eq!(status, wanted, "{} {path}: {problem}", operation.id);
            if let Some(like) = like {
                let (status, never) = tried(&bench, &operation, &like, body.as_ref()).await;
                assert_eq!(status, wanted, "{} {like}", operation.id);
                let (found, never) = (without(&problem, &theirs), without(&never, &nobodys));
                assert_eq!(found, never, "{}: what is theirs looks as if it never was", operation.id);
            }
            walked += 1;
        }
        if operation.operators && !operation.path.contains('{') {
            let (status, problem) = tried(&bench, &operation, &operation.path, example.body.as_ref()).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{}: {problem}", operation.id);
            walked += 1;
        }
        let after = (bench.everything("beta").await, bench.events().len());
        assert!(before == after, "{} changed something of beta, or recorded a change", operation.id);
    }
    assert!(walked > OPERATIONS.len(), "{walked}");
}

#[tokio::test]
async fn what_names_no_tenant_shows_only_ones_own() {
    let bench = Bench::new().await;
    for operation in listed(&bench).await.iter().filter(|one| !one.path.contains('{') && !one.operators) {
        let answered = bench.send(&bench.acme, operation.method.clone(), &operation.path, None).await;
        assert_eq!(answered.status, StatusCode::OK, "{}", operation.id);
        assert!(!answered.json.to_string().contains("beta"), "{}", operation.id);
    }
    let listed = bench.get(&bench.acme, "/tenants").await.json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(bench.get(&bench.operator, "/tenants").await.json["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn without_a_living_token_there_is_nothing() {
    let bench = Bench::new().await;
    let revoked = bench.beta.clone();
    let id = bench.token_id("beta", "api-tokens").await;
    bench.store.remove_api_token(&id.parse().unwrap()).await.unwrap();
    let expired = expiring(&bench).await;
    bench.clock.advance(std::time::Duration::from_secs(24 * 3600));
    // An access token of the authorization server, and a SCIM token.
    let access = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJ1LWFjbWUifQ.c2lnbmF0dXJl";
    let strangers = ["", &revoked, &expired, access, "sps_x", "spadm_", "spadm_x", "spa_x"];
    let before = (bench.everything("acme").await, bench.everything("beta").await);
    for operation in listed(&bench).await {
        let ours = ids_for(&bench, "acme", &operation.path).await;
        let path = filled(&operation.path, &ours);
        let body = example(&operation.id, &ours).and_then(|example| example.body);
        let mut problems = Vec::new();
        for token in strangers {
            let answered = bench.send(token, operation.method.clone(), &path, body.as_ref()).await;
            assert_eq!(answered.status, StatusCode::UNAUTHORIZED, "{} with `{token}`", operation.id);
            assert!(answered.headers[http::header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer "));
            problems.push(answered.json);
        }
        let mut cookie = bench.request("", operation.method.clone(), &path, body.as_ref());
        cookie.headers_mut().remove(http::header::AUTHORIZATION);
        cookie.headers_mut().insert(http::header::COOKIE, format!("session={}", bench.acme).parse().unwrap());
        assert_eq!(bench.raw(cookie).await.status, StatusCode::UNAUTHORIZED, "{} with a cookie", operation.id);
    }
    assert!(before == (bench.everything("acme").await, bench.everything("beta").await));
    assert!(bench.events().is_empty(), "strangers change nothing");
}

async fn expiring(bench: &Bench) -> String {
    use sallyport_admin::tenancy::api_tokens;
    let (_, token) =
        api_tokens::create(&bench.tenancy, sallyport_storage::ApiRole::Operator, "short", Some(1)).await.unwrap();
    assert_eq!(bench.get(token.expose(), "/self").await.status, StatusCode::OK);
    token.expose().to_owned()
}

/// An agent of each tenant.
async fn agents(bench: &Bench) {
    use sallyport_storage::{Agent, AgentBounds};
    for of in ["acme", "beta"] {
        let agent = Agent {
            id: format!("a-{of}").parse().unwrap(),
            tenant: crate::bench::tenant(of),
            client: format!("client-{of}").parse().unwrap(),
            name: "Agent".into(),
            owner: None,
            purpose: "tests".into(),
            scopes: "x:read".parse().unwrap(),
            resources: Vec::new(),
            created_at: crate::bench::NOW,
            suspended: false,
            bounds: AgentBounds::default(),
            last_used_at: None,
        };
        bench.store.put_agent(&agent).await.unwrap();
    }
}
