//! The receiver against the laboratory's strict transmitter (`test-lab/idp/ssf_transmitter.py`), over sockets and
//! by the machine's clock. Start it with `--config -` and `{"tokens": ["lab-token"], "path": "/issuer1"}`, and give
//! its first line of output as `SALLYPORT_SSF_TRANSMITTER`.

use std::{sync::Arc, time::Duration};

use axum::{extract::Request, middleware::Next};
use http::{HeaderMap, Method};
use sallyport_identity::{
    Deps, Identity, IdentityConfig,
    ssf::{
        settings::OpaqueSubject,
        setup::{NewStream, SignalSetup},
    },
};
use sallyport_model::{Clock, Secret, SystemClock, UserId};
use sallyport_outbound::provider::ProviderRequest;
use sallyport_storage::{Link, RevocationSubject, SignalStream};
use sallyport_web::ClientAddress;
use serde_json::{Value, json};

use crate::{
    ssf_transmitter::{IDP, acme, connect, iss_sub, loopback, unlinked},
    support::TestApp,
};

struct Lab {
    app: TestApp,
    control: String,
    origin: String,
    issuer: String,
}

impl Lab {
    async fn start() -> (Self, Identity) {
        let line = std::env::var("SALLYPORT_SSF_TRANSMITTER").expect("the transmitter's first line of output");
        let line: Value = serde_json::from_str(&line).unwrap();
        let app = TestApp::with_providers().await;
        let identity = Identity::new(Deps {
            store: app.store.clone(),
            clock: Arc::new(SystemClock),
            rng: app.rng.clone(),
            recorder: app.log.clone(),
            strangers: app.strangers.clone(),
            providers: loopback(),
            shell: app.shell.clone(),
            config: IdentityConfig::default(),
        })
        .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let addressed = async |mut request: Request, next: Next| {
            request.extensions_mut().insert(ClientAddress([127, 0, 0, 1].into()));
            next.run(request).await
        };
        let router = identity.router().layer(axum::middleware::from_fn(addressed));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (Self { app, control: text("control"), origin, issuer: text("issuer") }, identity)
    }

    async fn control(&self, verb: &str, asked: &Value) -> Value {
        let url = format!("{}/{verb}", self.control.trim_end_matches('/')).parse().unwrap();
        let body = asked.to_string().into();
        let request =
            ProviderRequest { method: Method::POST, url, headers: HeaderMap::new(), body, max_bytes: 1 << 22 };
        let answer = loopback().send(request).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(answer.status.is_success(), "{verb} {asked}: {body}");
        body
    }

    async fn add(&self, push: bool) -> SignalStream {
        let connection = connect(&self.app, "acme", if push { "push" } else { "poll" }).await;
        let person = unlinked(&self.app, &acme(), "ann").await;
        let link = Link {
            tenant: acme(),
            connection: connection.clone(),
            subject: format!("{IDP} ann"),
            user: person.id,
            linked_at: self.app.now(),
            last_seen_at: self.app.now(),
            asserted: "{}".into(),
        };
        self.app.store.put_link(&link).await.unwrap();
        let providers = loopback();
        let setup = SignalSetup {
            providers: &providers,
            store: self.app.store.as_ref(),
            rng: self.app.rng.as_ref(),
            now: SystemClock.now(),
            origin: &self.origin,
        };
        let metadata = setup.metadata(&self.issuer).await.unwrap();
        let new = NewStream {
            tenant: acme(),
            connection: Some(connection),
            token: Secret::new("lab-token"),
            push,
            description: "strict".into(),
            opaque: OpaqueSubject::Subject,
            customer: None,
        };
        let added = setup.add(&metadata, new).await.unwrap();
        assert!(setup.ask_verification(&metadata, &added.stream).await.unwrap());
        for _ in 0..80 {
            let stream = self.app.store.stream(&added.stream.id).await.unwrap().unwrap();
            if stream.verified_at.is_some() {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not verified: {:?}", self.app.store.stream(&added.stream.id).await.unwrap().unwrap().last_fault);
    }

    async fn person_of(&self, stream: &SignalStream) -> UserId {
        let connection = stream.connection.as_ref().unwrap();
        self.app.store.link(connection, &format!("{IDP} ann")).await.unwrap().unwrap().user
    }

    async fn nothing_to_complain_of(&self) {
        assert_eq!(self.control("state", &json!({})).await["complaints"], json!([]));
    }

    async fn remove(&self, stream: &SignalStream) {
        let providers = loopback();
        let setup = SignalSetup {
            providers: &providers,
            store: self.app.store.as_ref(),
            rng: self.app.rng.as_ref(),
            now: SystemClock.now(),
            origin: &self.origin,
        };
        assert!(setup.remove(stream).await.unwrap().is_none());
    }
}

const FORGED: [(&str, &str); 18] = [
    ("unknown_kid", "invalid_key"),
    ("forged", "invalid_key"),
    ("alg_none", "invalid_key"),
    ("alg_hs256", "invalid_key"),
    ("embedded_jwk", "invalid_request"),
    ("other_audience", "invalid_audience"),
    ("other_issuer", "invalid_issuer"),
    ("no_typ", "invalid_request"),
    ("wrong_typ", "invalid_request"),
    ("with_exp", "invalid_request"),
    ("with_sub", "invalid_request"),
    ("no_jti", "invalid_request"),
    ("no_iat", "invalid_request"),
    ("no_sub_id", "invalid_request"),
    ("no_events", "invalid_request"),
    ("old", "invalid_request"),
    ("future", "invalid_request"),
    ("not_a_token", "invalid_request"),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it needs the laboratory's transmitter"]
async fn a_strict_transmitter_that_pushes_has_nothing_to_complain_of() {
    let (lab, _) = Lab::start().await;
    let stream = lab.add(true).await;
    let ann = lab.person_of(&stream).await;
    let mut slowest = 0.0_f64;
    for name in [
        "session-revoked",
        "credential-change",
        "token-claims-change",
        "assurance-level-change",
        "device-compliance-change",
        "credential-compromise",
        "sessions-revoked",
        "account-enabled",
    ] {
        let sent = lab.control("send", &json!({"type": name, "sub_id": iss_sub("ann"), "force": true})).await;
        assert_eq!(sent["status"], json!(202), "{name}: {sent}");
        slowest = slowest.max(sent["milliseconds"].as_f64().unwrap());
        let again = lab.control("replay", &json!({"jti": sent["jti"]})).await;
        assert_eq!(again["status"], json!(202), "{name}: {again}");
    }
    eprintln!("the slowest push took {slowest:.1} ms");
    let before = lab.app.store.revocations_after(0, 1000).await.unwrap().len();
    for (mode, wanted) in FORGED {
        let asked = json!({"type": "account-disabled", "sub_id": iss_sub("ann"), "mode": mode});
        let sent = lab.control("send", &asked).await;
        let said: Value = serde_json::from_str(sent["answer"].as_str().unwrap()).unwrap();
        assert_eq!((&sent["status"], &said["err"]), (&json!(400), &json!(wanted)), "{mode}: {sent}");
    }
    assert!(!lab.app.store.person(&ann).await.unwrap().unwrap().disabled);
    assert_eq!(lab.app.store.revocations_after(0, 1000).await.unwrap().len(), before);
    lab.control("rotate", &json!({})).await;
    let early = lab.control("send", &json!({"type": "account-disabled", "sub_id": iss_sub("ann")})).await;
    assert_eq!(early["status"], json!(503), "the keys were fetched for the forged ones just now: {early}");
    tokio::time::sleep(Duration::from_secs(31)).await;
    let sent = lab.control("send", &json!({"type": "account-disabled", "sub_id": iss_sub("ann")})).await;
    assert_eq!(sent["status"], json!(202), "with the new key: {sent}");
    assert!(lab.app.store.person(&ann).await.unwrap().unwrap().disabled);
    let last = lab.app.store.revocations_after(0, 1000).await.unwrap().pop().unwrap();
    assert_eq!(last.subject, RevocationSubject::User(ann));
    lab.control("stream-updated", &json!({"status": "paused"})).await;
    let kept = lab.app.store.stream(&stream.id).await.unwrap().unwrap();
    assert_eq!(kept.last_fault.as_deref(), Some("the transmitter made the stream paused: lab"));
    lab.nothing_to_complain_of().await;
    lab.remove(&stream).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it needs the laboratory's transmitter"]
async fn a_strict_transmitter_that_is_polled_has_nothing_to_complain_of() {
    let (lab, identity) = Lab::start().await;
    let running = tokio::spawn(identity.keep_polling_signals());
    let stream = lab.add(false).await;
    let ann = lab.person_of(&stream).await;
    let mut sent = Vec::new();
    for name in ["session-revoked", "credential-change", "account-purged"] {
        let one = lab.control("send", &json!({"type": name, "sub_id": iss_sub("ann")})).await;
        sent.push(one["jti"].as_str().unwrap().to_owned());
    }
    // What names no id of its own could not be acknowledged by anybody.
    for (mode, _) in FORGED.iter().filter(|(mode, _)| *mode != "no_jti") {
        lab.control("send", &json!({"type": "account-disabled", "sub_id": iss_sub("ann"), "mode": mode})).await;
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(lab.app.store.person(&ann).await.unwrap().unwrap().disabled);
    let state = lab.control("state", &json!({})).await;
    let known = state["streams"].as_array().unwrap().last().unwrap();
    let acknowledged = known["acknowledged"].as_array().unwrap();
    assert!(sent.iter().all(|jti| acknowledged.contains(&json!(jti))), "{known}");
    assert_eq!(known["errors"].as_object().unwrap().len(), FORGED.len() - 1, "{known}");
    assert_eq!(known["waiting"], json!([]));
    lab.nothing_to_complain_of().await;
    lab.remove(&stream).await;
    running.abort();
}
