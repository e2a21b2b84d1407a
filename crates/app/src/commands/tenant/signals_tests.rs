//! `sallyport tenant signals` as it is typed, with a transmitter on a loopback socket and a gate that notes the
//! verification event.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::Request, response::IntoResponse};
use clap::Parser as _;
use http::{Method, StatusCode};
use sallyport_model::{ManualClock, SeededRng, Timestamp};
use sallyport_storage::{Notices as _, SignalDelivery, Signals as _, SqliteStore, Tenant, Tenants as _};

use super::*;
use crate::{
    End,
    cli::{Cli, Command},
    config::Config,
};

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

struct Bench {
    _dir: tempfile::TempDir,
    store: Arc<SqliteStore>,
    opened: Opened,
    transmitter: String,
    /// Method, path and `Authorization` of every request.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private/store.db");
        let store = Arc::new(SqliteStore::open(path, zeroize::Zeroizing::new([7; 32])).unwrap());
        store.put_tenant(&Tenant::new("acme".parse().unwrap(), "Acme", NOW)).await.unwrap();
        let text = "[server]\nlisten = \"127.0.0.1:8080\"\npublic_url = \"https://gate.example\"\n[data]\n\
                    directory = \"/tmp/x\"\n[identity]\nprovider_networks = [\"127.0.0.0/8\"]\n[[tenants]]\n\
                    id = \"acme\"\nname = \"Acme\"\n[[upstreams]]\nname = \"up\"\nurl = \"https://up.example/mcp\"\n";
        let config = Config::parse(text, std::path::Path::new("sallyport.toml"), &[]).unwrap();
        let opened = Opened::of(config, store.clone(), Arc::new(SeededRng::new(7)), Arc::new(ManualClock::at(NOW)));
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let transmitter = transmitter(store.clone(), Arc::clone(&seen)).await;
        Self { _dir: dir, store, opened, transmitter, seen }
    }

    async fn run(&self, typed: &str) -> Result<Answer> {
        let typed = typed.replace("ISSUER", &self.transmitter);
        let words = typed.split_whitespace().map(str::to_owned);
        let cli = Cli::try_parse_from(["sallyport", "tenant", "signals"].map(str::to_owned).into_iter().chain(words))?;
        let Command::Tenant(tenant) = cli.command else { panic!("{typed}") };
        let environment = |name: &str| (name == "TOKEN").then(|| "the token\n".to_owned());
        super::super::answered(&self.opened, &tenant.verb, &environment).await
    }

    async fn notices(&self) -> String {
        self.store.notices(100).await.unwrap().into_iter().map(|(_, text)| text).collect()
    }
}

/// Grants streams, and plays the gate: notes the verification event that it was asked for.
async fn transmitter(store: Arc<SqliteStore>, seen: Arc<Mutex<Vec<String>>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let own = issuer.clone();
    let answer = async move |request: Request| {
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let line = format!("{} {} {}", request.method(), request.uri().path(), authorization.unwrap_or_default());
        seen.lock().unwrap().push(line.trim().to_owned());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        match (method, path.as_str()) {
            (Method::GET, "/.well-known/ssf-configuration") => Json(json!({
                "issuer": own, "jwks_uri": format!("{own}/jwks"), "configuration_endpoint": format!("{own}/stream"),
                "verification_endpoint": format!("{own}/verify"), "default_subjects": "NONE",
            }))
            .into_response(),
            (Method::GET, "/jwks") => Json(json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k",
                "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}))
            .into_response(),
            (Method::POST, "/stream") => {
                let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                let asked: Value = serde_json::from_slice(&body).unwrap();
                let mut delivery = asked["delivery"].clone();
                delivery["endpoint_url"] = json!("https://gate.example/x");
                Json(json!({"stream_id": "s1", "iss": own, "aud": "https://gate.example", "delivery": delivery,
                    "events_delivered": ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"]}))
                .into_response()
            }
            (Method::POST, "/verify") => {
                for stream in store.streams(None).await.unwrap() {
                    store.note_stream(&stream.id, Some(NOW), Some(NOW), None).await.unwrap();
                }
                StatusCode::NO_CONTENT.into_response()
            }
            (Method::DELETE, "/stream") => StatusCode::NO_CONTENT.into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    issuer
}

#[tokio::test]
async fn one_command_makes_a_stream_and_has_it_verified() {
    let bench = Bench::new().await;
    let answer = bench.run("add acme --transmitter ISSUER --token-env TOKEN --push").await.unwrap();
    assert_eq!((answer.end, answer.json["verified_at"].as_str()), (End::Done, Some("2026-09-21T14:13:20.000Z")));
    let stream = bench.store.streams(None).await.unwrap().remove(0);
    assert_eq!(answer.json["endpoint"], json!(format!("https://gate.example/signals/{}/events", stream.id)));
    assert_eq!(answer.json["stream_id"], json!("s1"));
    let said = answer.remarks.join("\n");
    assert!(said.contains("will not send: credential-change") && said.contains("about nobody"), "{said}");
    assert!(bench.seen.lock().unwrap().contains(&"POST /verify Bearer the token".to_owned()));
    let noticed = bench.notices().await;
    assert!(noticed.contains("tenant.signals.add") && !noticed.contains("the token"), "{noticed}");

    let listed = bench.run("list acme").await.unwrap();
    assert_eq!(listed.json[0]["delivery"], json!("push"));
    assert!(listed.lines[1].contains(stream.id.as_str()));
    let all = format!("{:?}{}", listed.lines, listed.json);
    assert!(!all.contains("the token"), "no token is shown");

    assert!(bench.run("remove acme nothing").await.is_err());
    let removed = bench.run(&format!("remove acme {}", stream.id)).await.unwrap();
    assert_eq!((removed.end, &removed.json["removed_at_transmitter"]), (End::Done, &json!(true)));
    assert!(bench.seen.lock().unwrap().contains(&"DELETE /stream Bearer the token".to_owned()));
    assert!(bench.store.streams(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_made() {
    let bench = Bench::new().await;
    for (typed, said) in [
        ("add acme --transmitter ISSUER --token-env TOKEN", "--push"),
        ("add acme --transmitter ISSUER --token-env TOKEN --push --poll", "cannot be used with"),
        ("add acme --transmitter ISSUER --token-env NONE --push", "NONE of the environment is not set"),
        ("add beta --transmitter ISSUER --token-env TOKEN --push", "there is no tenant `beta`"),
        ("add acme --transmitter ISSUER --token-env TOKEN --push --connection Okta", "has no connection `Okta`"),
        ("add acme --transmitter ISSUER/ --token-env TOKEN --push", "this is of the transmitter"),
        ("add acme --transmitter http://192.0.2.1 --token-env TOKEN --push", "not https"),
        (
            "add acme --transmitter ISSUER/elsewhere --token-env TOKEN --push",
            "404 Not Found and no metadata: write the issuer exactly",
        ),
        ("revocation-endpoint acme --connection Okta", "has no connection `Okta`"),
    ] {
        let error = bench.run(typed).await.unwrap_err();
        assert!(format!("{error:#}").contains(said), "{typed}: {error:#}");
    }
    assert!(bench.store.streams(None).await.unwrap().is_empty());
    let notices = bench.notices().await;
    let asked = notices.matches("tenant.signals.add").count();
    assert_eq!(asked, 3, "whatever goes out is noted before it does, and nothing else: {notices}");
    assert!(!notices.contains("the token"));
}

#[tokio::test]
async fn an_endpoint_for_revocation_shows_its_token_once() {
    let bench = Bench::new().await;
    let add = "sallyport tenant connect-oidc acme Okta --preset standard --issuer ISSUER --client-id gate \
               --private-key-jwt";
    let words: Vec<String> = add.replace("ISSUER", &bench.transmitter).split_whitespace().map(str::to_owned).collect();
    let Command::Tenant(tenant) = Cli::try_parse_from(words).unwrap().command else { panic!("{add}") };
    super::super::answered(&bench.opened, &tenant.verb, &|_: &str| None).await.unwrap();
    let answer = bench.run("revocation-endpoint acme --connection Okta --bearer").await.unwrap();
    let token = answer.json["token"].as_str().unwrap().to_owned();
    assert_eq!(token.len(), 43);
    let kept = bench.store.streams(None).await.unwrap().remove(0);
    assert_eq!(kept.delivery, SignalDelivery::TokenRevocation);
    assert!(kept.token.is_some() && kept.connection.is_some() && !kept.settings.contains(&token));
    assert_eq!(answer.json["endpoint"], json!(format!("https://gate.example/signals/{}/revoke", kept.id)));
    let listed = bench.run("list acme").await.unwrap();
    assert!(!listed.json.to_string().contains(&token) && !bench.notices().await.contains(&token));
    // Its own issuer has no OpenID metadata here, and that is said.
    let error = bench.run("revocation-endpoint acme --connection Okta").await.unwrap_err();
    assert!(format!("{error:#}").contains("404"), "{error:#}");
    let removed = bench.run(&format!("remove acme {}", kept.id)).await.unwrap();
    assert_eq!(removed.end, End::Done);
}
