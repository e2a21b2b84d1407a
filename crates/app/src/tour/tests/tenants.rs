//! The demo's deployment with a second tenant, and the same of everything on both sides.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::Method;
use sallyport_identity::{
    NewPerson, new_saml_keys,
    settings::{ConnectionSettings, Demands, Mapping, OidcSettings, SamlSettings},
    ssf::{
        settings::{OpaqueSubject, Signer, StreamSettings},
        setup::{NewEndpoint, SignalSetup},
    },
};
use sallyport_model::{
    Actor, AgentId, ConnectionId, ScimClientId, Secret, SessionId, SignalStreamId, SystemRng, TenantId, Timestamp,
    UserId,
};
use sallyport_outbound::{AddressPolicy, guard::SystemResolver, provider::ProviderClient};
use sallyport_storage::{
    Agent, AgentBounds, BrowserSession, Connection, ConnectionProtocol, Digest, Link, Passkey, ProviderSession, Role,
    ScimClient, ScimKind, SignalDelivery, SignalStream, Store, Tenant,
};
use serde_json::{Value, json};
use url::Url;

use super::provider::Provider;
use crate::{
    cli::Demo,
    commands::demo::{Account, Running},
    tour::{
        browser::Browser,
        client::{Client, REDIRECT, Tokens, parameters, text},
        form::{Form, forms},
        mcp::{Mcp, Session},
        web::{Reply, Web},
    },
};

pub(super) const SCOPE: &str = "desk:read";
/// Our client id at both providers.
pub(super) const CLIENT: &str = "gate";

pub(super) fn digest(text: &str) -> Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref().try_into().unwrap()
}

/// One tenant: a person who is signed in and has connected a client, and all that the tenant has.
pub(super) struct Side {
    pub(super) tenant: TenantId,
    pub(super) account: Account,
    pub(super) browser: Browser,
    pub(super) client: Client,
    pub(super) tokens: Tokens,
    pub(super) session: Session,
    pub(super) provider: Provider,
    pub(super) oidc: ConnectionId,
    pub(super) saml: ConnectionId,
    /// Whom both protocols' sessions and links are about, at the provider.
    pub(super) subject: String,
    pub(super) passkey: String,
    pub(super) agent: String,
    /// The token of her account page's forms, and the cookie of a passkey that she is about to add.
    pub(super) ceremony: (String, String),
    pub(super) scim: String,
    pub(super) scim_user: String,
    pub(super) scim_group: String,
    pub(super) stream: SignalStreamId,
    pub(super) push: String,
    pub(super) endpoint: SignalStreamId,
    pub(super) revoke: String,
    /// A consent page that waits for her.
    pub(super) waiting: (Url, Form),
    /// An answer with a code that was not redeemed yet, and its verifier.
    pub(super) code: (Value, String),
}

pub(super) struct World {
    pub(super) running: Running,
    pub(super) web: Web,
    pub(super) mcp: Mcp,
    pub(super) a: Side,
    pub(super) b: Side,
}

impl World {
    pub(super) async fn new() -> Self {
        let running = start().await;
        let globex = Tenant::new("globex".parse().unwrap(), "Globex", running.deployment.clock.now());
        running.deployment.store.put_tenant(&globex).await.unwrap();
        let web = Web::new(&Url::parse(&running.endpoint()).unwrap()).unwrap();
        let mcp = Mcp::new(web.clone(), running.endpoint());
        let a = Side::new(&running, &web, &mcp, "demo", "alice").await;
        let b = Side::new(&running, &web, &mcp, "globex", "gil").await;
        Self { running, web, mcp, a, b }
    }

    pub(super) fn origin(&self) -> &str {
        &self.running.origin
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.running.deployment.store.as_ref()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.running.deployment.clock.now()
    }

    /// Sends a request with A's browser's cookies, from our own page.
    pub(super) async fn as_a(&self, method: Method, path: &str, kind: &str, body: String) -> Reply {
        let cookies = self.a.browser.cookie_header();
        self.with(method, path, &[("cookie", &cookies), ("content-type", kind), ("origin", self.origin())], body).await
    }

    pub(super) async fn with(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Reply {
        self.web.send(method, &self.url(path), headers, body).await.unwrap()
    }

    /// Every row of B, as text.
    pub(super) async fn rows_of_b(&self) -> Vec<String> {
        rows(self.store(), &self.b, self.now()).await
    }

    /// All that B holds opens what it opened.
    pub(super) async fn b_still_works(&mut self) {
        let called = self.mcp.tool_in(&self.b.session, &self.b.tokens, "list_tickets", json!({})).await.unwrap();
        assert!(called.status == 200 && called.json().get("error").is_none(), "{}", called.text());
        let page = self.b.browser.open(self.url("/account").parse().unwrap()).await.unwrap();
        assert!(page.reply.status == 200 && page.reply.text().contains("Ms gil"), "{}", page.url);
        let (answer, verifier) = &self.b.code;
        let redeemed = self.b.client.redeem(answer, verifier, &[]).await.unwrap();
        assert_eq!(redeemed.status, 200, "{}", redeemed.text());
        let (at, form) = &self.b.waiting;
        let values = form.filled("", "");
        let allowed = self.b.browser.submit(at, form, &values).await.unwrap();
        assert!(allowed.reply.header("location").contains("code="), "{}", allowed.reply.text());
        let fresh = self.b.client.refresh(self.b.tokens.refresh().unwrap()).await.unwrap();
        assert_eq!(fresh.status, 200, "{}", fresh.text());
        let user = format!("/scim/v2/Users/{}", self.b.scim_user);
        let bearer = format!("Bearer {}", self.b.scim);
        let seen = self.with(Method::GET, &user, &[("authorization", &bearer)], String::new()).await;
        assert_eq!((seen.status, text(&seen.json(), "userName").as_str()), (200, "gil.scim"));
    }

    pub(super) async fn stop(self) {
        self.running.stop(std::future::pending()).await.unwrap();
    }
}

/// The demo under a name, so that it offers passkeys.
async fn start() -> Running {
    for _ in 0..5 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], free.port()));
        let public_url = Some(format!("http://localhost:{}", free.port()).parse().unwrap());
        let demo = Demo { listen, data: None, json: true, tour: true, public_url };
        // Somebody else may have taken the port meanwhile.
        if let Ok(running) = Running::start(&demo).await {
            return running;
        }
    }
    panic!("the demo does not start");
}

impl Side {
    async fn new(running: &Running, web: &Web, mcp: &Mcp, tenant: &str, login: &'static str) -> Self {
        let deployment = &running.deployment;
        let (store, now) = (&deployment.store, deployment.clock.now());
        let tenant: TenantId = tenant.parse().unwrap();
        let account = Account {
            username: login,
            email: format!("{login}@{tenant}.example"),
            password: Secret::new(format!("correct horse of {login}")),
            role: Role::User,
        };
        let new = NewPerson {
            tenant: tenant.clone(),
            login: login.to_owned(),
            email: Some(account.email.clone()),
            display_name: format!("Ms {login}"),
            role: Role::User,
            password: Some(account.password.clone()),
        };
        let user = deployment.identity.create_person(new).await.unwrap().id;
        let provider = Provider::start(now).await;
        let client = Client::discover(web.clone(), mcp.endpoint()).await.unwrap();
        let mut browser = Browser::new(web.clone());
        let tokens = client.sign_in(&mut browser, &account, SCOPE).await.unwrap();
        let session = mcp.session(&tokens).await.unwrap();
        let [oidc, saml] = connected(store.as_ref(), running, &tenant, &provider, now).await;
        let subject = format!("{login}-at-her-provider");
        federated(store.as_ref(), &tenant, &user, (&oidc, &saml, &provider), &subject, now).await;
        let ceremony = ceremony(running, web, &mut browser).await;
        let passkey = format!("passkey-of-{login}");
        let kept = Passkey {
            id: passkey.clone(),
            user: user.clone(),
            name: format!("Key of {login}"),
            credential: "{}".to_owned(),
            created_at: now,
            last_used_at: None,
        };
        store.put_passkey(&kept).await.unwrap();
        let agent = agent(store.as_ref(), &tenant, &user, now).await;
        let scim = format!("sps_of-{tenant}");
        let id: ScimClientId = format!("scim-{tenant}").parse().unwrap();
        let name = "their directory".to_owned();
        let client_row =
            ScimClient { id, tenant: tenant.clone(), name, token: digest(&scim), created_at: now, expires_at: None };
        store.add_scim_client(&client_row).await.unwrap();
        let [scim_user, scim_group] = provisioned(web, &running.origin, &scim, login).await;
        let push = format!("push-token-of-{tenant}");
        let stream = pushed(store.as_ref(), &tenant, &oidc, &provider, &push, now).await;
        let (endpoint, revoke) = revocation(running, &tenant, &oidc).await;
        let (url, verifier) = client.request(SCOPE, &[]).unwrap();
        let back = browser.walk(url, REDIRECT, &account).await.unwrap();
        let code = (parameters(&back), verifier);
        let waiting = waiting(&client, &mut browser).await;
        Self {
            tenant,
            account,
            browser,
            client,
            tokens,
            session,
            provider,
            oidc,
            saml,
            subject,
            passkey,
            agent: agent.to_string(),
            ceremony,
            scim,
            scim_user,
            scim_group,
            stream,
            push,
            endpoint,
            revoke,
            waiting,
            code,
        }
    }
}

/// An agent that she made for herself.
async fn agent(store: &dyn Store, tenant: &TenantId, owner: &UserId, now: Timestamp) -> AgentId {
    let id = AgentId::new(format!("agent-of-{tenant}")).unwrap();
    let agent = Agent {
        id: id.clone(),
        tenant: tenant.clone(),
        client: format!("client-of-{id}").parse().unwrap(),
        name: format!("Agent of {tenant}"),
        owner: Some(owner.clone()),
        purpose: "Reads tickets".to_owned(),
        scopes: SCOPE.parse().unwrap(),
        resources: Vec::new(),
        created_at: now,
        suspended: false,
        bounds: AgentBounds { personal: true, ..AgentBounds::default() },
        last_used_at: None,
    };
    store.put_agent(&agent).await.unwrap();
    id
}

/// Begins to add a passkey.
async fn ceremony(running: &Running, web: &Web, browser: &mut Browser) -> (String, String) {
    let account = format!("{}/account", running.origin);
    let page = browser.open(account.parse().unwrap()).await.unwrap().reply.text();
    let csrf = forms(&page).iter().find_map(|form| form.hidden("csrf").map(str::to_owned)).expect("a form token");
    let cookies = browser.cookie_header();
    let headers = [("cookie", cookies.as_str()), ("content-type", "application/json"), ("origin", &running.origin)];
    let body = json!({"csrf": csrf, "name": "new"}).to_string();
    let started = web.send(Method::POST, &format!("{account}/passkeys/start"), &headers, body).await.unwrap();
    assert_eq!(started.status, 200, "{}", started.text());
    (csrf, started.header("set-cookie").split(';').next().unwrap().to_owned())
}

/// Asks for more than was allowed so far, up to the page that asks the person; its address and form.
async fn waiting(client: &Client, browser: &mut Browser) -> (Url, Form) {
    let (url, _) = client.request("desk:read desk:write", &[]).unwrap();
    let page = browser.open(url).await.unwrap();
    let form = forms(&page.reply.text()).into_iter().find(|form| form.hidden("handle").is_some());
    (page.url, form.unwrap_or_else(|| panic!("no consent page: {}", page.reply.text())))
}

async fn connected(
    store: &dyn Store,
    running: &Running,
    tenant: &TenantId,
    provider: &Provider,
    now: Timestamp,
) -> [ConnectionId; 2] {
    let ids = ["oidc", "saml"].map(|protocol| ConnectionId::new(format!("{protocol}-of-{tenant}")).unwrap());
    let oidc: OidcSettings = serde_json::from_value(json!({
        "preset": "standard", "issuer": provider.origin, "client_id": CLIENT, "client_secret": "s3cret",
    }))
    .unwrap();
    let entity = sallyport_identity::saml_entity_id(&running.origin, &ids[1]);
    let saml = SamlSettings {
        idp_entity_id: format!("{}/saml", provider.origin),
        metadata_url: None,
        metadata: Some(provider.saml_metadata()),
        metadata_certificate: None,
        keys: new_saml_keys(&entity, now, &SystemRng).unwrap(),
        subject_attribute: None,
        allow_unsolicited: false,
        demands: Demands::default(),
        mapping: Mapping::saml(),
    };
    let settings = [ConnectionSettings::Oidc(Box::new(oidc)), ConnectionSettings::Saml(Box::new(saml))];
    let protocols = [ConnectionProtocol::Oidc, ConnectionProtocol::Saml];
    for ((id, settings), protocol) in ids.iter().zip(settings).zip(protocols) {
        let connection = Connection {
            id: id.clone(),
            tenant: tenant.clone(),
            name: format!("{id}"),
            protocol,
            settings: settings.to_json(),
            enabled: true,
            created_at: now,
            changed_at: now,
        };
        store.put_connection(&connection).await.unwrap();
    }
    ids
}

/// Links and sessions that stand on the two providers.
async fn federated(
    store: &dyn Store,
    tenant: &TenantId,
    user: &UserId,
    (oidc, saml, provider): (&ConnectionId, &ConnectionId, &Provider),
    name: &str,
    now: Timestamp,
) {
    let persistent = sallyport_saml::name_id_format::PERSISTENT;
    for (connection, subject) in
        [(oidc, format!("{} {name}", provider.origin)), (saml, format!("{persistent} - - {name}"))]
    {
        let link = Link {
            tenant: tenant.clone(),
            connection: connection.clone(),
            subject: subject.clone(),
            user: user.clone(),
            linked_at: now,
            last_seen_at: now,
            asserted: "{}".to_owned(),
        };
        store.put_link(&link).await.unwrap();
        let session = BrowserSession {
            id: SessionId::mint(&SystemRng),
            cookie: digest(&format!("a cookie for {connection}")),
            user: user.clone(),
            tenant: tenant.clone(),
            methods: Vec::new(),
            authenticated_at: now,
            expires_at: now.plus(Duration::from_secs(3600)),
            provider: Some(ProviderSession {
                connection: connection.clone(),
                subject,
                session: Some(format!("sid-of-{name}")),
                not_after: None,
            }),
        };
        store.add_browser_session(&session).await.unwrap();
    }
}

/// A user and a group, as the tenant's directory makes them.
async fn provisioned(web: &Web, origin: &str, token: &str, login: &str) -> [String; 2] {
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": format!("{login}.scim"), "externalId": format!("ext-{login}"), "displayName": "Ms Scim",
    });
    let user = made(web, origin, token, "Users", &user).await;
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": format!("group of {login}"), "members": [{"value": user}],
    });
    let group = made(web, origin, token, "Groups", &group).await;
    [user, group]
}

async fn made(web: &Web, origin: &str, token: &str, kind: &str, resource: &Value) -> String {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/scim+json")];
    let url = format!("{origin}/scim/v2/{kind}");
    let reply = web.send(Method::POST, &url, &headers, resource.to_string()).await.unwrap();
    assert_eq!(reply.status, 201, "{}", reply.text());
    text(&reply.json(), "id")
}

async fn pushed(
    store: &dyn Store,
    tenant: &TenantId,
    connection: &ConnectionId,
    provider: &Provider,
    token: &str,
    now: Timestamp,
) -> SignalStreamId {
    let jwks_uri = format!("{}/jwks", provider.origin).parse().unwrap();
    let settings = StreamSettings {
        signer: Some(Signer { issuer: provider.origin.clone(), jwks_uri, keys: None }),
        stream_id: Some("stream-1".to_owned()),
        audience: vec![format!("us-for-{tenant}")],
        ..StreamSettings::default()
    };
    let stream = SignalStream {
        id: format!("stream-of-{tenant}").parse().unwrap(),
        tenant: tenant.clone(),
        connection: Some(connection.clone()),
        delivery: SignalDelivery::Push,
        settings: settings.to_json(),
        token: Some(digest(token)),
        created_at: now,
        verified_at: None,
        last_event_at: None,
        last_fault: None,
    };
    store.put_stream(&stream).await.unwrap();
    stream.id
}

async fn revocation(running: &Running, tenant: &TenantId, connection: &ConnectionId) -> (SignalStreamId, String) {
    let deployment = &running.deployment;
    let providers = ProviderClient::new(AddressPolicy::PublicOnly, Arc::new(SystemResolver), Vec::new());
    let setup = SignalSetup {
        providers: &providers,
        store: deployment.store.as_ref(),
        rng: &SystemRng,
        now: deployment.clock.now(),
        origin: &running.origin,
    };
    let new = NewEndpoint {
        tenant: tenant.clone(),
        connection: Some(connection.clone()),
        issuer: None,
        client_id: None,
        opaque: OpaqueSubject::Subject,
    };
    let (stream, bearer) = setup.revocation_endpoint(new).await.unwrap();
    (stream.id, bearer.unwrap().expose().to_owned())
}

/// Whatever the store holds of a tenant, and every revocation.
async fn rows(store: &dyn Store, side: &Side, now: Timestamp) -> Vec<String> {
    let tenant = &side.tenant;
    let mut all = vec![format!("{:?}", store.tenant(tenant).await.unwrap())];
    for person in store.people(tenant).await.unwrap() {
        let user = &person.id;
        all.push(format!("{person:?} {:?}", store.person_by_login(&person.login).await.unwrap()));
        all.push(format!("{:?}", store.consents(user).await.unwrap()));
        all.push(format!("{:?}", store.passkeys(user).await.unwrap()));
        all.push(format!("{:?}", store.links(user).await.unwrap()));
        all.push(format!("{:?}", store.grants_of(tenant, &Actor::Human(user.clone()), now).await.unwrap()));
    }
    let sessions = store.browser_sessions(tenant, None, now).await.unwrap();
    all.push(format!("{sessions:?}"));
    for connection in store.connections(tenant).await.unwrap() {
        all.push(format!("{connection:?} {} {} {:?}", connection.name, connection.settings, connection.enabled));
    }
    for stream in store.streams(Some(tenant)).await.unwrap() {
        let facts = (stream.token, stream.verified_at, stream.last_event_at, &stream.last_fault);
        all.push(format!("{stream:?} {} {facts:?}", stream.settings));
    }
    for client in store.scim_clients(tenant).await.unwrap() {
        all.push(format!("{} {} {:?} {:?}", client.id, client.name, client.token, client.expires_at));
    }
    for kind in [ScimKind::User, ScimKind::Group] {
        for resource in store.scim_list(tenant, kind, None, 0, 100).await.unwrap() {
            all.push(format!("{resource:?}"));
        }
    }
    all.push(format!("{:?}", store.scim_members(tenant, &side.scim_group).await.unwrap()));
    all.push(format!("{:?}", store.domains(tenant).await.unwrap()));
    all.push(format!("{:?}", store.agents(tenant).await.unwrap()));
    let revoked = store.revocations_after(0, 1000).await.unwrap();
    all.push(format!("{revoked:?}"));
    all
}
