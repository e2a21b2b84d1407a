//! A with her own credentials, B's ids, and every endpoint that takes some.

use std::collections::BTreeSet;

use http::Method;
use sallyport_saml::{Binding, Outgoing};
use serde_json::{Value, json};
use url::Url;

use super::tenants::{CLIENT, SCOPE, World};
use crate::tour::{
    client::{REDIRECT, text},
    form::forms,
    mcp::LEGACY,
    web::{Reply, encoded},
};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Where the walk has been.
#[derive(Default)]
struct Visited(BTreeSet<&'static str>);

impl Visited {
    /// `reply` is what `route` said.
    fn refused(&mut self, route: &'static str, reply: &Reply, with: &[u16]) {
        self.0.insert(route);
        assert!(
            with.contains(&reply.status),
            "{route}: {} {:?} {}",
            reply.status,
            reply.header("location"),
            reply.text()
        );
    }

    /// It answered, since that says nothing; whether it did something is seen in B's rows.
    fn went(&mut self, route: &'static str) {
        self.0.insert(route);
    }
}

/// Walks everything; the routes that were gone to.
pub(super) async fn all(world: &mut World) -> BTreeSet<&'static str> {
    let mut visited = Visited::default();
    gate(world, &mut visited).await;
    authorization(world, &mut visited).await;
    tokens(world, &mut visited).await;
    account(world, &mut visited).await;
    passkeys(world, &mut visited).await;
    oidc(world, &mut visited).await;
    saml(world, &mut visited).await;
    scim(world, &mut visited).await;
    signals(world, &mut visited).await;
    visited.0
}

/// A's token and B's session, in every verb.
async fn gate(world: &World, visited: &mut Visited) {
    let bearer = format!("Bearer {}", world.a.tokens.access);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    for (verb, body) in [(Method::POST, body), (Method::GET, String::new()), (Method::DELETE, String::new())] {
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", JSON),
            ("accept", "application/json, text/event-stream"),
            ("mcp-session-id", &world.b.session.id),
            ("mcp-protocol-version", LEGACY),
        ];
        let reply = world.with(verb, "/mcp/desk", &headers, body).await;
        visited.refused("proxy ANY /mcp/{name}", &reply, &[404]);
    }
}

/// What B pushed and what waits for B's consent, in A's browser.
async fn authorization(world: &mut World, visited: &mut Visited) {
    let par = world.b.client.endpoint("pushed_authorization_request_endpoint");
    let form = [
        ("client_id", world.b.client.client_id.as_str()),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("resource", &world.b.client.resource()),
        ("scope", SCOPE),
    ];
    let pushed = world.web.post_form(&par, &form, &[]).await.unwrap();
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    let theirs = text(&pushed.json(), "request_uri");
    let used = [("client_id", world.a.client.client_id.as_str()), ("request_uri", theirs.as_str())];
    let query = encoded(&used);
    let path = path_of(&world.a.client.endpoint("authorization_endpoint"));
    let reply = world.as_a(Method::GET, &format!("{path}?{query}"), FORM, String::new()).await;
    visited.refused("authserver GET metadata::AUTHORIZE", &reply, &[400]);
    let reply = world.as_a(Method::POST, &path, FORM, query.clone()).await;
    // It sends everybody round to the GET, where it is decided.
    visited.refused("authserver POST metadata::AUTHORIZE", &reply, &[303]);
    assert_eq!(reply.header("location"), format!("{path}?{query}"));
    let reply = world.web.post_form(&par, &used, &[]).await.unwrap();
    visited.refused("authserver POST metadata::PAR", &reply, &[400]);

    let (at, form) = &world.b.waiting;
    let resume = format!("{}?{}", at.path(), at.query().unwrap_or_default());
    let reply = world.as_a(Method::GET, &resume, FORM, String::new()).await;
    visited.refused("authserver GET authorize::RESUME", &reply, &[400, 403, 404]);
    // With the token of her own consent page, and with the one of B's.
    let theirs = form.hidden("handle").unwrap();
    for own in [&world.a.waiting.1, form] {
        let mut values = own.filled("", "");
        for (name, value) in &mut values {
            if name == "handle" {
                theirs.clone_into(value);
            }
        }
        values.retain(|(name, _)| name != "decision");
        values.push(("decision".to_owned(), "allow".to_owned()));
        let path = path_of(at.join(&form.action).unwrap().as_str());
        let reply = world.as_a(Method::POST, &path, FORM, encoded(&values)).await;
        visited.refused("authserver POST authorize::CONSENT", &reply, &[400, 403, 404]);
    }
}

/// B's tokens at A's client.
async fn tokens(world: &World, visited: &mut Visited) {
    let (a, b) = (&world.a.client, &world.b);
    let refresh = b.tokens.refresh().unwrap();
    let reply = a.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh)], &[]).await.unwrap();
    visited.refused("authserver POST metadata::TOKEN", &reply, &[400]);
    // Not her code: that is no id but a secret, and one that the wrong client has got ends, with its grant.
    for token in [refresh, &b.tokens.access] {
        let form = [("token", token), ("client_id", a.client_id.as_str())];
        let reply = world.web.post_form(&a.endpoint("revocation_endpoint"), &form, &[]).await.unwrap();
        // 200 says nothing (RFC 7009, section 2.2): a token of somebody else is like one that is none.
        visited.refused("authserver POST metadata::REVOKE", &reply, &[200, 400]);
    }
    let form = [("token", b.tokens.access.as_str()), ("client_id", a.client_id.as_str()), ("client_secret", "x")];
    let reply = world.web.post_form(&world.url("/oauth/introspect"), &form, &[]).await.unwrap();
    visited.refused("authserver POST metadata::INTROSPECT", &reply, &[401]);
}

/// The account page's own forms with what is B's.
async fn account(world: &mut World, visited: &mut Visited) {
    let url: Url = world.url("/account").parse().unwrap();
    let page = world.a.browser.open(url).await.unwrap().reply.text();
    visited.went("identity GET /account");
    assert!(page.contains("Ms alice"));
    let b = &world.b;
    for theirs in
        ["Ms gil", b.account.email.as_str(), b.client.client_id.as_str(), b.passkey.as_str(), b.agent.as_str()]
    {
        assert!(!page.contains(theirs), "A's page shows {theirs}");
    }
    let csrf = forms(&page).iter().find_map(|form| form.hidden("csrf").map(str::to_owned)).expect("a form token");
    let (grant, client, resource) = (b.tokens.claim("grant"), b.client.client_id.clone(), b.client.resource());
    let agent = [("agent", b.agent.as_str())];
    let cases = [
        ("identity POST /account/agents/suspend", "/account/agents/suspend", agent.to_vec()),
        ("identity POST /account/agents/end", "/account/agents/end", agent.to_vec()),
        ("identity POST /account/agents/delete", "/account/agents/delete", agent.to_vec()),
        ("identity POST /account/grants/revoke", "/account/grants/revoke", vec![("grant", grant.as_str())]),
        (
            "identity POST /account/consents/withdraw",
            "/account/consents/withdraw",
            vec![("client", client.as_str()), ("resource", resource.as_str())],
        ),
        ("identity POST /account/passkeys/remove", "/account/passkeys/remove", vec![("passkey", b.passkey.as_str())]),
    ];
    for (route, path, mut fields) in cases {
        fields.push(("csrf", &csrf));
        let reply = world.as_a(Method::POST, path, FORM, encoded(&fields)).await;
        visited.refused(route, &reply, &[404]);
    }
}

/// B's ceremony, with A's session.
async fn passkeys(world: &World, visited: &mut Visited) {
    let (csrf, _) = &world.a.ceremony;
    let (_, theirs) = &world.b.ceremony;
    let cookies = format!("{}; {theirs}", world.a.browser.cookie_header());
    let headers = [("cookie", cookies.as_str()), ("content-type", JSON), ("origin", world.origin())];
    let body = json!({"csrf": csrf, "credential": {"id": "x"}}).to_string();
    let reply = world.with(Method::POST, "/account/passkeys/finish", &headers, body).await;
    visited.refused("identity POST /account/passkeys/finish", &reply, &[403]);
}

/// Begins a sign-in at A's connection, in A's browser; the query of where that led.
async fn begun(world: &mut World, connection: &str) -> Vec<(String, String)> {
    let url: Url = world.url(&format!("/signin/sso/{connection}")).parse().unwrap();
    let reply = world.a.browser.fetch(&url).await.unwrap();
    assert!(reply.status == 303, "{} {}", reply.status, reply.text());
    let to: Url = reply.header("location").parse().unwrap();
    to.query_pairs().into_owned().collect()
}

fn value<'a>(query: &'a [(String, String)], name: &str) -> &'a str {
    query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap()
}

/// A's provider at B's connection, and B's subject out of A's provider's mouth.
async fn oidc(world: &mut World, visited: &mut Visited) {
    let (ours, theirs) = (world.a.oidc.to_string(), world.b.oidc.to_string());
    let query = begun(world, &ours).await;
    let (a, b) = (&world.a, &world.b);
    for issuer in [&a.provider.origin, &b.provider.origin] {
        let answer = encoded(&[("state", value(&query, "state")), ("code", "a-code"), ("iss", issuer)]);
        let path = format!("/signin/oidc/{theirs}/callback?{answer}");
        let reply = world.as_a(Method::GET, &path, FORM, String::new()).await;
        visited.refused("identity GET /signin/oidc/{connection}/callback", &reply, &[400, 403]);
    }
    let sid = format!("sid-of-{}", b.subject);
    let now = world.now().as_secs();
    for (jti, issuer, connection, with) in [
        ("l1", &a.provider.origin, &theirs, &[400][..]),
        ("l2", &b.provider.origin, &theirs, &[400]),
        // At her own connection, of a subject that is there and here nobody: done, and nothing to do.
        ("l3", &a.provider.origin, &ours, &[200, 400]),
    ] {
        let token = a.provider.sign(
            "logout+jwt",
            &json!({
                "iss": issuer, "aud": CLIENT, "iat": now, "exp": now + 100, "jti": jti, "sub": b.subject, "sid": sid,
                "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            }),
        );
        let path = format!("/signin/oidc/{connection}/logout");
        let reply =
            world.with(Method::POST, &path, &[("content-type", FORM)], encoded(&[("logout_token", token)])).await;
        visited.refused("identity POST /signin/oidc/{connection}/logout", &reply, with);
    }
    for (connection, issuer) in [(&theirs, &b.provider.origin), (&ours, &a.provider.origin)] {
        let query = encoded(&[("iss", issuer.as_str()), ("sid", &sid)]);
        let path = format!("/signin/oidc/{connection}/frontchannel-logout?{query}");
        // A page in a frame, which says nothing of what it did.
        let reply = world.as_a(Method::GET, &path, FORM, String::new()).await;
        visited.refused("identity GET /signin/oidc/{connection}/frontchannel-logout", &reply, &[200, 400]);
    }
}

/// The same of the other protocol.
async fn saml(world: &mut World, visited: &mut Visited) {
    let (ours, theirs) = (world.a.saml.to_string(), world.b.saml.to_string());
    let query = begun(world, &ours).await;
    let state = value(&query, "RelayState").to_owned();
    let base = format!("/signin/saml/{theirs}");
    let response = "PHNhbWxwOlJlc3BvbnNlLz4=";
    for (route, end, message) in [
        ("identity POST /signin/saml/{connection}/acs/continue", "acs/continue", "SAMLResponse"),
        ("identity POST /signin/saml/{connection}/acs/confirm", "acs/confirm", "SAMLResponse"),
        ("identity POST /signin/saml/{connection}/slo/continue", "slo/continue", "SAMLResponse"),
    ] {
        let fields = encoded(&[(message, response), ("RelayState", &state), ("csrf", "x")]);
        let reply = world.as_a(Method::POST, &format!("{base}/{end}"), FORM, fields).await;
        visited.refused(route, &reply, &[400, 403]);
    }
    let now = world.now();
    for (connection, with) in [(&theirs, &[400, 403][..]), (&ours, &[200, 303, 400, 403])] {
        let at = world.url(&format!("/signin/saml/{connection}"));
        for binding in [Binding::Redirect, Binding::Post] {
            let (route, reply) = match world.a.provider.logout(&at, binding, &world.b.subject, now) {
                Outgoing::Redirect { url } => {
                    let url: Url = url.parse().unwrap();
                    let path = format!("{}?{}", url.path(), url.query().unwrap());
                    let reply = world.with(Method::GET, &path, &[], String::new()).await;
                    ("identity GET /signin/saml/{connection}/slo", reply)
                }
                Outgoing::Post { url, fields } => {
                    let headers = [("content-type", FORM)];
                    let reply = world.with(Method::POST, &path_of(&url), &headers, encoded(&fields)).await;
                    ("identity POST /signin/saml/{connection}/slo", reply)
                }
            };
            visited.refused(route, &reply, with);
        }
    }
}

/// A's directory and B's people.
async fn scim(world: &World, visited: &mut Visited) {
    let bearer = format!("Bearer {}", world.a.scim);
    let send = |method: Method, path: String, body: Value| {
        let bearer = bearer.clone();
        async move {
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/scim+json")];
            let body = if body.is_null() { String::new() } else { body.to_string() };
            world.with(method, &format!("/scim/v2{path}"), &headers, body).await
        }
    };
    const ROUTE: &str = "identity ANY /scim/v2/{*path}";
    let off = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": false, "displayName": "taken"}}],
    });
    for path in [format!("/Users/{}", world.b.scim_user), format!("/Groups/{}", world.b.scim_group)] {
        for (method, body) in [
            (Method::GET, Value::Null),
            (Method::DELETE, Value::Null),
            (Method::PUT, json!({"userName": "taken", "displayName": "taken", "active": false})),
            (Method::PATCH, off.clone()),
        ] {
            visited.refused(ROUTE, &send(method, path.clone(), body).await, &[404]);
        }
    }
    let members = json!([{"value": world.b.scim_user}]);
    let group =
        json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "g", "members": members});
    visited.refused(ROUTE, &send(Method::POST, "/Groups".to_owned(), group).await, &[400, 404]);
    let add = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": "members", "value": members}],
    });
    let own = format!("/Groups/{}", world.a.scim_group);
    visited.refused(ROUTE, &send(Method::PATCH, own, add).await, &[400, 404]);
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{"method": "DELETE", "path": format!("/Users/{}", world.b.scim_user)}],
    });
    let done = send(Method::POST, "/Bulk".to_owned(), bulk).await.json();
    assert_eq!(done["Operations"][0]["status"], "404", "{done}");
    for filter in ["userName eq \"gil.scim\"", "externalId eq \"ext-gil\"", "userName pr"] {
        let path = format!("/Users?{}", encoded(&[("filter", filter)]));
        let found = send(Method::GET, path, Value::Null).await.text();
        assert!(!found.contains("gil"), "{filter}: {found}");
    }
    let root = send(Method::GET, String::new(), Value::Null).await;
    visited.went("identity ANY BASE");
    assert!(!root.text().contains("gil"), "{}", root.text());
}

/// A's transmitter at B's stream, and about B's people.
async fn signals(world: &World, visited: &mut Visited) {
    let (a, b) = (&world.a, &world.b);
    let subject = json!({"format": "iss_sub", "iss": b.provider.origin, "sub": b.subject});
    let event = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
    let set = |jti: &str, issuer: &str, audience: &str| {
        let claims = json!({
            "iss": issuer, "aud": audience, "jti": jti, "iat": world.now().as_secs(), "sub_id": subject,
            "events": {event: {}},
        });
        a.provider.sign("secevent+jwt", &claims)
    };
    const EVENTS: &str = "identity POST /signals/{stream}/events";
    let theirs = format!("us-for-{}", b.tenant);
    let ours = format!("us-for-{}", a.tenant);
    for (stream, bearer, token, with) in [
        (&b.stream, &a.push, set("s1", &a.provider.origin, &theirs), &[400, 401][..]),
        (&b.stream, &a.push, set("s2", &b.provider.origin, &theirs), &[400, 401]),
        // Her own stream, about somebody of another issuer and tenant: taken, and nobody is meant.
        (&a.stream, &a.push, set("s4", &a.provider.origin, &ours), &[202, 400]),
        (&a.endpoint, &a.push, set("s5", &a.provider.origin, &ours), &[400, 401, 404]),
    ] {
        let authorization = format!("Bearer {bearer}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/secevent+jwt")];
        let reply = world.with(Method::POST, &format!("/signals/{stream}/events"), &headers, token).await;
        visited.refused(EVENTS, &reply, with);
    }
    const REVOKE: &str = "identity POST /signals/{stream}/revoke";
    let body = json!({"sub_id": subject}).to_string();
    for (stream, bearer, with) in [
        (&b.endpoint, &a.revoke, &[401, 403][..]),
        (&b.stream, &a.revoke, &[401, 403, 404]),
        (&a.endpoint, &a.revoke, &[404, 400, 204]),
    ] {
        let authorization = format!("Bearer {bearer}");
        let headers = [("authorization", authorization.as_str()), ("content-type", JSON)];
        let reply = world.with(Method::POST, &format!("/signals/{stream}/revoke"), &headers, body.clone()).await;
        visited.refused(REVOKE, &reply, with);
    }
}

fn path_of(url: &str) -> String {
    let parsed: Url = url.parse().unwrap();
    parsed.path().to_owned()
}
