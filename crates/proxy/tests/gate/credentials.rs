//! What the gate shows an upstream, kind by kind, from a client's call to the upstream and back; and what it does
//! when that is refused, late or over. The matrix of what never arrives is in `attacks/transit.rs`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::HeaderName;
use sallyport_mcp::Era;
use sallyport_model::{Secret, SigningKeyId, TenantId, Timestamp, UpstreamName, UserId};
use sallyport_oauth::jws::Compact;
use sallyport_outbound::{command::CommandSpec, http::HttpOptions};
use sallyport_proxy::{
    Offered,
    upstream::{
        CredentialKind, Transport, UpstreamCredential,
        credential::{CatalogueAccess, ClientProof, Exchanged, Issued, Linked, OwnClient, SecretSource, TokenServer},
        tokens::linking::Linker,
    },
};
use sallyport_storage::{Directory, LinkedAccounts, Person, PersonOrigin, RevocationSubject, Role, Tenant, Tenants};
use serde_json::{Value, json};

use crate::rig::{
    ISSUER, NOW, PUBLIC, Rig, able, claims,
    client::Client,
    issuer::{CLIENT, Issuer, LEAK, SECRET},
    offer,
};

/// An authorization server's token, asked for by a client with a secret.
pub fn issued() -> Issued {
    let secret = SecretSource::Value(Secret::new(SECRET));
    Issued {
        server: TokenServer::Discovered,
        client: OwnClient { id: Some(CLIENT.to_owned()), proof: ClientProof::SecretBasic(secret) },
        scope: Some("files:all".to_owned()),
        resource: None,
        dpop: false,
    }
}

pub fn exchanged() -> Arc<Exchanged> {
    Arc::new(Exchanged { issued: issued(), audience: None, send_email: false })
}

pub fn linked(catalogue: CatalogueAccess) -> UpstreamCredential {
    let client = OwnClient { id: None, proof: ClientProof::Public };
    UpstreamCredential::LinkedAccount(Arc::new(Linked { issued: Issued { client, ..issued() }, catalogue }))
}

pub fn offered(url: &str, credential: UpstreamCredential) -> Offered {
    let transport = Transport::Http { url: url.parse().unwrap(), options: HttpOptions::default() };
    offer("up", transport, credential)
}

/// A rig whose keys the issuer knows, its catalogue not read.
pub async fn rig(issuer: &Issuer, offered: Offered) -> Rig {
    let rig = Rig::unread(vec![offered]).await;
    issuer.trust(rig.keys());
    people(&rig).await;
    rig
}

/// The same, its catalogue read.
async fn read(issuer: &Issuer, offered: Offered) -> Rig {
    let rig = rig(issuer, offered).await;
    let failed = rig.gate.read_catalogues().await;
    assert!(failed.is_empty(), "{failed:?}");
    rig
}

/// Ann and Bob are people of the store, as those have to be who link accounts.
async fn people(rig: &Rig) {
    let acme = TenantId::new("acme").unwrap();
    rig.store.put_tenant(&Tenant::new(acme.clone(), "Acme", Timestamp::from_secs(NOW))).await.unwrap();
    for name in ["ann", "bob"] {
        let person = Person {
            id: UserId::new(format!("u-{name}")).unwrap(),
            tenant: acme.clone(),
            origin: PersonOrigin::Local,
            login: name.to_owned(),
            email: Some(format!("{name}@acme.example")),
            display_name: name.to_owned(),
            role: Role::User,
            groups: Vec::new(),
            password_hash: None,
            disabled: false,
            created_at: Timestamp::from_secs(NOW),
        };
        rig.store.add_person(&person).await.unwrap();
    }
}

pub fn linker(person: &str) -> Linker {
    Linker {
        tenant: TenantId::new("acme").unwrap(),
        user: UserId::new(format!("u-{person}")).unwrap(),
        session: format!("s-{person}").parse().unwrap(),
    }
}

/// A person links her account, at the issuer's page and the gate's.
pub async fn link(rig: &Rig, issuer: &Issuer, person: &str) {
    let spec = Arc::clone(&rig.gate.served(&"up".parse().unwrap()).unwrap().offered().spec);
    let tokens = rig.connector.tokens().unwrap();
    let begun = tokens.begin_link(&spec, linker(person)).await.unwrap();
    let query = issuer.consent(&begun.redirect, person);
    tokens.finish_link(&spec, begun.kept.expose(), &query, &linker(person)).await.unwrap();
}

async fn says(client: &Client<'_>) -> String {
    client.call("echo", json!({"a": 1})).await.text().to_owned()
}

/// The claims of an assertion of the gate's.
fn read_assertion(rig: &Rig, jwt: &str, typ: &str) -> serde_json::Map<String, Value> {
    let compact = Compact::parse(jwt).unwrap();
    let kid = SigningKeyId::new(compact.kid.clone().unwrap()).unwrap();
    let key = rig.keys().verifying_key(&kid).unwrap();
    assert!(key.verifies(compact.signing_input.as_bytes(), &compact.signature) && compact.has_type(typ));
    compact.claims
}

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials_are_fetched_once_for_everybody_and_again_before_they_end() {
    for era in [Era::Legacy, Era::Modern] {
        let (issuer, url) = Issuer::start(era).await;
        let credential = UpstreamCredential::ClientCredentials(Arc::new(issued()));
        let rig = read(&issuer, offered(&url, credential)).await;
        let ann = Client::connect(&rig, "up", Era::Modern).await;
        let bob = Client::connect_as(&rig, "up", "2025-11-25", rig.sign(&claims("bob", "up")), able()).await;
        for client in [&ann, &bob] {
            assert!(!says(client).await.is_empty());
        }
        assert_eq!(issuer.token_requests().len(), 1, "one token serves catalogue, Ann and Bob");
        assert_eq!(issuer.token_requests()[0]["resource"], url);
        assert_eq!(issuer.token_requests()[0]["scope"], "files:all");
        rig.clock.advance(Duration::from_secs(271));
        says(&Client::connect_as(&rig, "up", "2026-07-28", late(&rig), able()).await).await;
        assert_eq!(issuer.token_requests().len(), 2, "{era:?}: not used to its very end");
    }
}

/// A token of Ann's that lives on when the clock was moved.
fn late(rig: &Rig) -> String {
    let mut claims = claims("ann", "up");
    (claims.iat, claims.exp) = (NOW + 200, NOW + 600);
    rig.sign(&claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_proved_to_by_secret_or_assertion_and_found_or_named() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    let secret = || SecretSource::Value(Secret::new(SECRET));
    let printf = vec!["%s\n".to_owned(), SECRET.to_owned()];
    let printed = CommandSpec::from_operator("printf", printf, Default::default(), None);
    for proof in [
        ClientProof::SecretBasic(secret()),
        ClientProof::SecretPost(secret()),
        ClientProof::SecretPost(SecretSource::Command(printed)),
        ClientProof::PrivateKeyJwt,
    ] {
        for server in [
            TokenServer::Discovered,
            TokenServer::Issuer(issuer.url.parse().unwrap()),
            TokenServer::Endpoint {
                token_endpoint: format!("{}/token", issuer.url).parse().unwrap(),
                issuer: Some(issuer.url.clone()),
            },
        ] {
            let client = OwnClient { id: Some(CLIENT.to_owned()), proof: proof.clone() };
            let issued = Issued { server, client, ..issued() };
            let rig = read(&issuer, offered(&url, UpstreamCredential::ClientCredentials(Arc::new(issued)))).await;
            says(&Client::connect(&rig, "up", Era::Modern).await).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_bound_to_a_key_of_the_gates_where_that_is_wanted() {
    for era in [Era::Legacy, Era::Modern] {
        let (issuer, url) = Issuer::start(era).await;
        issuer.dpop.store(true, Ordering::SeqCst);
        let bound = Issued { dpop: true, ..issued() };
        let rig = read(&issuer, offered(&url, UpstreamCredential::ClientCredentials(Arc::new(bound)))).await;
        says(&Client::connect(&rig, "up", Era::Legacy).await).await;
        assert!(issuer.issued().iter().all(|issued| issued.jkt.is_some()));
        // A bearer token where a bound one was asked for is none.
        let (careless, url) = Issuer::start(era).await;
        let bound = Issued { dpop: true, ..issued() };
        let rig = self::rig(&careless, offered(&url, UpstreamCredential::ClientCredentials(Arc::new(bound)))).await;
        let failed = rig.gate.read_catalogues().await;
        assert!(failed[0].1.to_string().contains("bearer token"), "{failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_shows_a_fresh_assertion_about_the_principal_and_each_gets_her_own_token() {
    for (id_jag, typ, field) in
        [(false, "sallyport-subject+jwt", "subject_token"), (true, "oauth-id-jag+jwt", "assertion")]
    {
        let (issuer, url) = Issuer::start(Era::Legacy).await;
        let exchanged = Arc::new(Exchanged { send_email: true, ..(*exchanged()).clone() });
        let credential = match id_jag {
            true => UpstreamCredential::IdJag(exchanged),
            false => UpstreamCredential::TokenExchange(exchanged),
        };
        let rig = read(&issuer, offered(&url, credential)).await;
        assert_eq!(issuer.token_requests()[0]["grant_type"], "client_credentials", "the gate for itself");
        let mut robot = claims("ann", "up");
        robot.act = vec!["a-sub".parse().unwrap(), "a-robot".parse().unwrap()];
        robot.client_id = "c-robot".parse().unwrap();
        let ann = Client::connect(&rig, "up", Era::Modern).await;
        let agents = Client::connect_as(&rig, "up", "2025-11-25", rig.sign(&robot), able()).await;
        for client in [&ann, &agents, &ann] {
            says(client).await;
        }
        let requests = issuer.token_requests();
        assert_eq!(requests.len(), 3, "one for each principal");
        let (own, acted) =
            (read_assertion(&rig, &requests[1][field], typ), read_assertion(&rig, &requests[2][field], typ));
        assert_eq!((&own["sub"], &own["tenant"], &own["mark"]), (&json!("u-ann"), &json!("acme"), &json!("human")));
        assert_eq!((&own["iss"], &own["email"]), (&json!(ISSUER), &json!("ann@acme.example")));
        assert!(!own.contains_key("act") && !own.contains_key("sid"));
        assert_eq!(acted["act"], json!({"sub": "a-sub", "act": {"sub": "a-robot"}}));
        assert_eq!((&acted["sub"], &acted["mark"]), (&json!("u-ann"), &json!("agent_for_human")));
        assert_ne!(own["jti"], acted["jti"]);
        let audience = if id_jag { issuer.url.clone() } else { format!("{}/token", issuer.url) };
        assert_eq!(own["aud"], json!(audience));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_principal_loses_her_token_and_a_new_sign_in_gets_another() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    let rig = read(&issuer, offered(&url, UpstreamCredential::TokenExchange(exchanged()))).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    says(&client).await;
    says(&client).await;
    assert_eq!(issuer.token_requests().len(), 2, "the catalogue's and hers");
    rig.revoke(RevocationSubject::User("u-ann".parse().unwrap())).await;
    assert_eq!(client.open("tools/list", json!({})).await.status, 401);
    rig.clock.advance(Duration::from_secs(2));
    let mut again = claims("ann", "up");
    (again.iat, again.sid) = (NOW + 2, "s-ann-2".parse().unwrap());
    says(&Client::connect_as(&rig, "up", "2026-07-28", rig.sign(&again), able()).await).await;
    assert_eq!(issuer.token_requests().len(), 3, "a new sign-in is another principal to the gate's cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_replaced_once_and_nothing_else_is_tried_again() {
    for era in [Era::Legacy, Era::Modern] {
        let (issuer, url) = Issuer::start(era).await;
        let rig = read(&issuer, offered(&url, UpstreamCredential::ClientCredentials(Arc::new(issued())))).await;
        let client = Client::connect(&rig, "up", era).await;
        says(&client).await;
        issuer.forget_tokens();
        says(&client).await;
        assert_eq!(issuer.upstream.calls("echo"), 2, "the refused one did not reach it");
        // Nobody's tokens are good any more: two tries, and a clear refusal.
        issuer.refuse("invalid_client", 401);
        issuer.forget_tokens();
        let before = issuer.seen().iter().filter(|seen| seen.body.contains("tools/call")).count();
        let refused = client.call("echo", json!({})).await;
        let text = refused.response.to_string();
        assert!(text.contains("upstream_token_refused") && text.contains("nothing was executed"), "{text}");
        assert!(!text.contains(LEAK) && !text.contains(&url), "{text}");
        let after = issuer.seen().iter().filter(|seen| seen.body.contains("tools/call")).count();
        assert_eq!(after - before, 1, "there was nothing to try again with");
        assert_eq!(issuer.upstream.calls("echo"), 2);
        let closed = rig.log.events().into_iter().rev().find_map(|event| event.outcome?.code);
        assert_eq!(closed.as_deref(), Some("upstream_token_refused"));
        assert!(!format!("{:?}", rig.log.events()).contains(LEAK));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_fetch_one_token() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    issuer.slow.store(150, Ordering::SeqCst);
    let rig = read(&issuer, offered(&url, UpstreamCredential::TokenExchange(exchanged()))).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let before = issuer.token_requests().len();
    issuer.forget_tokens();
    futures::future::join_all((0..12).map(|_| says(&client))).await;
    assert_eq!(issuer.token_requests().len() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_leads_to_nobody_else() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    let credential = || UpstreamCredential::ClientCredentials(Arc::new(issued()));
    let failure = async || {
        let rig = rig(&issuer, offered(&url, credential())).await;
        let failed = rig.gate.read_catalogues().await;
        failed.first().unwrap_or_else(|| panic!("it was read")).1.to_string()
    };
    issuer.impostor.store(true, Ordering::SeqCst);
    assert!(failure().await.contains("of another issuer"));
    issuer.impostor.store(false, Ordering::SeqCst);
    for (elsewhere, why) in [
        ("http://10.0.0.1/", "is not https"),
        ("https://169.254.169.254/", "cannot be reached"),
        ("https://10.0.0.1/", "cannot be reached"),
        ("file:///etc/passwd", "has no host"),
    ] {
        *issuer.elsewhere.lock().unwrap() = Some(elsewhere.to_owned());
        let failed = failure().await;
        assert!(failed.contains(why), "{elsewhere}: {failed}");
    }
    assert!(issuer.token_requests().is_empty(), "no secret went anywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_prints_the_secret_and_is_asked_again_when_it_is_refused() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "stale\n").unwrap();
    let command = CommandSpec::from_operator("cat", vec![file.display().to_string()], Default::default(), None);
    let credential = UpstreamCredential::Command { command, header: None };
    assert_eq!(credential.kind(), CredentialKind::Static);
    let rig = rig(&issuer, offered(&url, credential)).await;
    assert!(rig.gate.read_catalogues().await[0].1.to_string().contains("refuses the gate's credential"));
    // Rotated: the next refusal reads it anew.
    let token = issuer.grant();
    std::fs::write(&file, format!("{token}\n")).unwrap();
    assert!(rig.gate.read_catalogues().await.is_empty());
    says(&Client::connect(&rig, "up", Era::Legacy).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_be_told_who_calls_in_an_assertion_for_it_alone() {
    for era in [Era::Legacy, Era::Modern] {
        let (issuer, url) = Issuer::start(era).await;
        let mut offered = offered(&url, UpstreamCredential::ClientCredentials(Arc::new(issued())));
        let mut spec = (*offered.spec).clone();
        spec.identity_header = true;
        offered.spec = Arc::new(spec);
        let rig = read(&issuer, offered).await;
        let mut robot = claims("ann", "up");
        robot.act = vec!["a-robot".parse().unwrap()];
        let client = Client::connect_as(&rig, "up", "2025-11-25", rig.sign(&robot), able()).await;
        says(&client).await;
        let header = HeaderName::from_static("sallyport-identity");
        let told: Vec<_> = issuer
            .upstream
            .arrived()
            .iter()
            .map(|arrived| read_assertion(&rig, arrived.headers[&header].to_str().unwrap(), "sallyport-identity+jwt"))
            .collect();
        let mut ids = std::collections::BTreeSet::new();
        for claims in &told {
            assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &json!(url)));
            assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
            assert!(ids.insert(claims["jti"].to_string()), "each request has its own");
        }
        assert!(told.iter().any(|claims| claims["mark"] == "gate" && claims["sub"] == ISSUER), "the catalogue");
        let call = told.last().unwrap();
        assert_eq!((&call["sub"], &call["mark"]), (&json!("u-ann"), &json!("agent_for_human")));
        assert_eq!((&call["act"], &call["tenant"]), (&json!({"sub": "a-robot"}), &json!("acme")));
        assert_eq!(call["client_id"], "c-1");
        // It opens nothing at the gate itself.
        let jwt = issuer.upstream.arrived().last().unwrap().headers[&header].to_str().unwrap().to_owned();
        let stranger = Client::unconnected(&rig, "up", "2026-07-28", jwt);
        assert_eq!(stranger.open("tools/list", json!({})).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_sent_to_link_her_account_and_then_calls_with_it() {
    for server in [Era::Legacy, Era::Modern] {
        let (issuer, url) = Issuer::start(server).await;
        issuer.open_lists.store(true, Ordering::SeqCst);
        let rig = read(&issuer, offered(&url, linked(CatalogueAccess::Open))).await;
        let page = format!("{PUBLIC}/account/linked/up");
        for era in [Era::Legacy, Era::Modern] {
            let person = if era == Era::Legacy { "ann" } else { "bob" };
            issuer.open_lists.store(false, Ordering::SeqCst);
            let version = if era == Era::Legacy { "2025-11-25" } else { "2026-07-28" };
            let token = rig.sign(&claims(person, "up"));
            let able = Client::connect_as(&rig, "up", version, token.clone(), able()).await;
            let unable = Client::connect_as(&rig, "up", version, token, json!({})).await;
            // Who cannot be sent anywhere is told where to go.
            let told = unable.call("echo", json!({})).await;
            assert_eq!(told.result()["isError"], true, "{told:?}");
            assert!(told.text().contains(&page));
            let arguments = json!({"name": "echo", "arguments": {"a": 1}});
            let asked = able.request_once("tools/call", arguments.clone()).await;
            let elicitation = match era {
                Era::Legacy => {
                    assert_eq!(asked.code(), -32042);
                    asked.response["error"]["data"]["elicitations"][0].clone()
                }
                Era::Modern => asked.result()["inputRequests"]["link"]["params"].clone(),
            };
            assert_eq!((&elicitation["mode"], &elicitation["url"]), (&json!("url"), &json!(page)), "{elicitation}");
            assert_eq!(elicitation["elicitationId"].is_string(), era == Era::Legacy);
            assert_eq!(issuer.upstream.calls("echo"), 2 * usize::from(era == Era::Modern), "nothing was executed");
            let closed = rig.log.events().into_iter().rev().find_map(|event| event.outcome?.code);
            assert_eq!(closed.as_deref(), Some("link_required"));

            link(&rig, &issuer, person).await;
            if era == Era::Modern {
                // The client's retry: the same call with the state, its question answered.
                let mut retry = arguments.clone();
                retry["requestState"] = asked.result()["requestState"].clone();
                retry["inputResponses"] = json!({"link": {"action": "accept"}});
                let done = able.request("tools/call", retry).await;
                assert!(done.result()["content"][0]["text"].is_string(), "{done:?}");
            } else {
                says(&able).await;
            }
            says(&unable).await;
        }
        let people: std::collections::BTreeSet<_> =
            issuer.issued().into_iter().filter_map(|issued| issued.person).collect();
        assert_eq!(people.len(), 2, "each calls with an account of her own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_account_is_refreshed_by_one_call_unlinked_and_ended_with_access() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    issuer.open_lists.store(true, Ordering::SeqCst);
    let rig = read(&issuer, offered(&url, linked(CatalogueAccess::Open))).await;
    issuer.open_lists.store(false, Ordering::SeqCst);
    link(&rig, &issuer, "ann").await;
    let ann = Client::connect(&rig, "up", Era::Modern).await;
    says(&ann).await;
    // The tokens are worth nothing any more: one refresh serves all.
    let refreshes = || issuer.token_requests().iter().filter(|form| form["grant_type"] == "refresh_token").count();
    issuer.slow.store(100, Ordering::SeqCst);
    issuer.forget_tokens();
    futures::future::join_all((0..8).map(|_| says(&ann))).await;
    assert_eq!(refreshes(), 1, "single flight");
    issuer.slow.store(0, Ordering::SeqCst);

    // Her client's next call after she unlinked is asked again, and the server was told.
    let (spec, tokens) = (rig.gate.served(&"up".parse().unwrap()).unwrap(), rig.connector.tokens().unwrap());
    let spec = &spec.offered().spec;
    let who = linker("ann");
    assert!(tokens.unlink(spec, &who.tenant, &who.user).await.unwrap());
    assert!(!tokens.unlink(spec, &who.tenant, &who.user).await.unwrap());
    assert_eq!(issuer.revoked().len(), 1);
    let asked = ann.request_once("tools/call", json!({"name": "echo", "arguments": {}})).await;
    assert_eq!(asked.result()["resultType"], "input_required");

    // The server ended the grant: she is asked, and nothing is kept.
    link(&rig, &issuer, "ann").await;
    issuer.forget_grants();
    let asked = ann.request_once("tools/call", json!({"name": "echo", "arguments": {}})).await;
    assert_eq!(asked.result()["resultType"], "input_required", "{asked:?}");
    let up: UpstreamName = "up".parse().unwrap();
    assert!(rig.store.linked_account(&who.tenant, &who.user, &up).await.unwrap().is_none());

    // Revoked: gone, whoever asks.
    link(&rig, &issuer, "ann").await;
    assert!(rig.store.linked_account(&who.tenant, &who.user, &up).await.unwrap().is_some());
    rig.revoke(RevocationSubject::User(who.user.clone())).await;
    assert!(rig.store.linked_account(&who.tenant, &who.user, &up).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_finished_by_the_same_person_in_the_same_browser_and_at_that_server() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    let rig = rig(&issuer, offered(&url, linked(CatalogueAccess::Open))).await;
    let spec = Arc::clone(&rig.gate.served(&"up".parse().unwrap()).unwrap().offered().spec);
    let tokens = rig.connector.tokens().unwrap();
    let begun = tokens.begin_link(&spec, linker("ann")).await.unwrap();
    let query = issuer.consent(&begun.redirect, "ann");
    let finish = async |query: &str, who: Linker| tokens.finish_link(&spec, begun.kept.expose(), query, &who).await;
    let other_browser = Linker { session: "s-other".parse().unwrap(), ..linker("ann") };
    for who in [linker("bob"), other_browser] {
        assert_eq!(finish(&query, who).await.unwrap_err().code(), "link_foreign_answer");
    }
    let mixed_up = query.replace(&urlencoded(&issuer.url), "https%3A%2F%2Fevil.example");
    assert_ne!(mixed_up, query);
    assert_eq!(finish(&mixed_up, linker("ann")).await.unwrap_err().code(), "link_foreign_answer");
    assert!(issuer.token_requests().is_empty(), "no code was sent anywhere");
    finish(&query, linker("ann")).await.unwrap();
    let replayed = finish(&query, linker("ann")).await.unwrap_err();
    assert_eq!(replayed.code(), "upstream_token_refused", "a code works once");

    issuer.s256.store(false, Ordering::SeqCst);
    let rig = self::rig(&issuer, offered(&url, linked(CatalogueAccess::Open))).await;
    let unfit = rig.connector.tokens().unwrap().begin_link(&spec, linker("ann")).await.unwrap_err();
    assert_eq!(unfit.code(), "link_unfit_server");
}

fn urlencoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_store_shows_no_token_of_a_linked_account() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    issuer.dpop.store(true, Ordering::SeqCst);
    let client = OwnClient { id: None, proof: ClientProof::Public };
    let bound = Linked { issued: Issued { client, dpop: true, ..issued() }, catalogue: CatalogueAccess::Open };
    let rig = rig(&issuer, offered(&url, UpstreamCredential::LinkedAccount(Arc::new(bound)))).await;
    link(&rig, &issuer, "ann").await;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(rig.store_dir()).unwrap() {
        files.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    for secret in ["upstream-token-", "upstream-refresh-", "dpop_key"] {
        assert!(!files.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
    // And a bound account works, its key being kept with it.
    issuer.open_lists.store(true, Ordering::SeqCst);
    assert!(rig.gate.read_catalogues().await.is_empty());
    issuer.open_lists.store(false, Ordering::SeqCst);
    says(&Client::connect(&rig, "up", Era::Legacy).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_the_upstream_named_sends_nobody_to_another_ones_page() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    issuer.astray.store(true, Ordering::SeqCst);
    let begin = async |server: TokenServer| {
        let client = OwnClient { id: None, proof: ClientProof::Public };
        let issued = Issued { client, server, ..issued() };
        let credential =
            UpstreamCredential::LinkedAccount(Arc::new(Linked { issued, catalogue: CatalogueAccess::Open }));
        let rig = rig(&issuer, offered(&url, credential)).await;
        let spec = Arc::clone(&rig.gate.served(&"up".parse().unwrap()).unwrap().offered().spec);
        rig.connector.tokens().unwrap().begin_link(&spec, linker("ann")).await.map(|begun| begun.redirect)
    };
    let refused = begin(TokenServer::Discovered).await.unwrap_err();
    assert_eq!(refused.code(), "upstream_token_discovery");
    assert!(refused.to_string().contains("another origin"), "{refused}");
    // The operator may know better.
    let named = begin(TokenServer::Issuer(issuer.url.parse().unwrap())).await.unwrap();
    assert_eq!(named.port(), Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_nonce_costs_no_call_and_no_account() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    issuer.dpop.store(true, Ordering::SeqCst);
    issuer.open_lists.store(true, Ordering::SeqCst);
    let client = OwnClient { id: None, proof: ClientProof::Public };
    let bound = Linked { issued: Issued { client, dpop: true, ..issued() }, catalogue: CatalogueAccess::Open };
    let rig = read(&issuer, offered(&url, UpstreamCredential::LinkedAccount(Arc::new(bound)))).await;
    issuer.open_lists.store(false, Ordering::SeqCst);
    link(&rig, &issuer, "ann").await;
    let ann = Client::connect(&rig, "up", Era::Modern).await;
    says(&ann).await;
    for round in 2..6 {
        // All are signed with the old nonce; the first refusal teaches the new one to everybody.
        issuer.nonce.store(round, Ordering::SeqCst);
        let said = futures::future::join_all((0..8).map(|_| says(&ann))).await;
        assert!(said.iter().all(|text| text.contains("tools/call")), "{said:?}");
    }
    let requests = issuer.token_requests();
    assert!(requests.iter().all(|form| form["grant_type"] == "authorization_code"), "nothing was refreshed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_outlives_the_call_that_began_it() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    issuer.open_lists.store(true, Ordering::SeqCst);
    let rig = read(&issuer, offered(&url, linked(CatalogueAccess::Open))).await;
    issuer.open_lists.store(false, Ordering::SeqCst);
    link(&rig, &issuer, "ann").await;
    let tokens = rig.connector.tokens().unwrap();
    let spec = Arc::clone(&rig.gate.served(&"up".parse().unwrap()).unwrap().offered().spec);
    let (who, up): (_, UpstreamName) = (linker("ann"), "up".parse().unwrap());
    let kept = async || rig.store.linked_account(&who.tenant, &who.user, &up).await.unwrap().unwrap();
    let before = kept().await;
    assert!(tokens.is_linked(&spec, &before));
    let ann = Client::connect(&rig, "up", Era::Modern).await;
    issuer.slow.store(400, Ordering::SeqCst);
    issuer.forget_tokens();
    assert!(tokio::time::timeout(Duration::from_millis(150), says(&ann)).await.is_err(), "she went away");
    for _ in 0..100 {
        if kept().await.version != before.version {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(kept().await.version, before.version + 1);
    issuer.slow.store(0, Ordering::SeqCst);
    says(&ann).await;
    let refreshes = issuer.token_requests().iter().filter(|form| form["grant_type"] == "refresh_token").count();
    assert_eq!(refreshes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_only_where_it_was_linked_for() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    issuer.open_lists.store(true, Ordering::SeqCst);
    let rig = read(&issuer, offered(&url, linked(CatalogueAccess::Open))).await;
    issuer.open_lists.store(false, Ordering::SeqCst);
    link(&rig, &issuer, "ann").await;
    let tokens = rig.connector.tokens().unwrap();
    let spec = Arc::clone(&rig.gate.served(&"up".parse().unwrap()).unwrap().offered().spec);
    let (who, up): (_, UpstreamName) = (linker("ann"), "up".parse().unwrap());
    let mut account = rig.store.linked_account(&who.tenant, &who.user, &up).await.unwrap().unwrap();
    // As if the operator had pointed the upstream elsewhere since.
    let mut text: Value = serde_json::from_str(&account.tokens).unwrap();
    assert_eq!(text["place"]["url"], url);
    text["place"]["url"] = json!("https://before.example/mcp");
    account.tokens = text.to_string();
    assert!(!tokens.is_linked(&spec, &account));
    rig.store.link_account(&account).await.unwrap();
    let ann = Client::connect(&rig, "up", Era::Modern).await;
    let before = issuer.seen().len();
    let asked = ann.request_once("tools/call", json!({"name": "echo", "arguments": {}})).await;
    assert_eq!(asked.result()["resultType"], "input_required", "{asked:?}");
    let access = text["access_token"].as_str().unwrap();
    assert!(issuer.seen()[before..].iter().all(|seen| !seen.text().contains(access)));
    link(&rig, &issuer, "ann").await;
    says(&ann).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_its_own_has_no_account() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    issuer.open_lists.store(true, Ordering::SeqCst);
    let rig = read(&issuer, offered(&url, linked(CatalogueAccess::Open))).await;
    issuer.open_lists.store(false, Ordering::SeqCst);
    let mut agent = claims("ann", "up");
    agent.sub = "a-robot".to_owned();
    agent.principal_type = sallyport_model::principal::PrincipalKind::Agent;
    let client = Client::unconnected(&rig, "up", "2026-07-28", rig.sign(&agent));
    let refused = client.request_once("tools/call", json!({"name": "echo", "arguments": {}})).await;
    assert!(refused.response.to_string().contains("link_needs_a_person"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_read_with_an_account_that_was_linked_for_it() {
    let (issuer, url) = Issuer::start(Era::Modern).await;
    let who = linker("bob");
    let catalogue = CatalogueAccess::Account { tenant: who.tenant, user: who.user };
    let rig = rig(&issuer, offered(&url, linked(catalogue))).await;
    let failed = rig.gate.read_catalogues().await;
    assert!(failed[0].1.to_string().contains("nobody has linked the account"), "{failed:?}");
    link(&rig, &issuer, "bob").await;
    assert!(rig.gate.read_catalogues().await.is_empty());
    let ann = Client::connect(&rig, "up", Era::Legacy).await;
    let asked = ann.request_once("tools/call", json!({"name": "echo", "arguments": {}})).await;
    assert_eq!(asked.code(), -32042, "Bob's account is nobody else's: {asked:?}");
}
