//! Every public route, out of the source, and what the walk does about it.

use std::{collections::BTreeSet, fs, path::Path};

/// What is done about a route.
pub(super) enum Row {
    /// The walk goes there with another tenant's ids.
    Walked,
    /// It takes nothing that belongs to a tenant, or nothing but what its own credential decides; why.
    Open(&'static str),
}

use Row::{Open, Walked};

const OWN: &str = "takes no id of anybody: it acts on whoever is signed in";
const PUBLIC: &str = "the same public document for everybody";

/// `crate VERB path`, the path as the source writes it.
pub(super) const ROWS: &[(&str, Row)] = &[
    // Ids of tasks and events, and `requestState`, are walked by the gate's own tests (`foreign_ids.rs`), whose
    // upstreams make them.
    ("proxy ANY /mcp/{name}", Walked),
    ("proxy GET /.well-known/oauth-protected-resource/mcp/{name}", Open(PUBLIC)),
    ("proxy GET /.well-known/oauth-protected-resource", Open(PUBLIC)),
    ("authserver GET metadata::AUTHORIZE", Walked),
    ("authserver POST metadata::AUTHORIZE", Walked),
    ("authserver GET authorize::RESUME", Walked),
    ("authserver POST authorize::CONSENT", Walked),
    ("authserver POST metadata::PAR", Walked),
    ("authserver POST metadata::INTROSPECT", Walked),
    ("authserver GET metadata::JWKS", Open(PUBLIC)),
    ("authserver POST metadata::TOKEN", Walked),
    ("authserver POST metadata::REVOKE", Walked),
    ("authserver POST metadata::REGISTER", Open("makes a client that belongs to nobody, and takes no id")),
    ("authserver GET path", Open(PUBLIC)),
    ("identity GET /account", Walked),
    ("identity POST /account/grants/revoke", Walked),
    ("identity POST /account/agents/create", Open("takes no id: the agent is of whoever is signed in")),
    ("identity POST /account/agents/suspend", Walked),
    ("identity POST /account/agents/end", Walked),
    ("identity POST /account/agents/delete", Walked),
    ("identity POST /account/consents/withdraw", Walked),
    ("identity POST /account/passkeys/remove", Walked),
    ("identity POST /account/passkeys/start", Open("takes no id: the challenge is for whoever is signed in")),
    ("identity POST /account/passkeys/finish", Walked),
    ("identity POST /signout", Open("ends the session of its own cookie, and takes no id")),
    ("identity GET /signin", Open("the same form for anybody who asks")),
    ("identity POST /signin", Open("whoever proves the password is that person; logins are the deployment's")),
    ("identity POST /signin/sso", Open("leads anybody to a provider; who comes back is decided at the callback")),
    ("identity GET /signin/sso/{connection}", Open("leads anybody to a provider; the callback decides")),
    ("identity POST /signin/passkey/start", Open("knows nobody before an authenticator has answered")),
    ("identity POST /signin/passkey/finish", Open("whoever has the authenticator is that person")),
    ("identity GET /signin/oidc/{connection}/callback", Walked),
    ("identity POST /signin/oidc/{connection}/logout", Walked),
    ("identity GET /signin/oidc/{connection}/frontchannel-logout", Walked),
    ("identity GET /signin/oidc/{connection}/jwks", Open(PUBLIC)),
    ("identity GET /signin/saml/{connection}/metadata", Open(PUBLIC)),
    ("identity POST /signin/saml/{connection}/acs", Open("looks at nothing: it has the browser post once more")),
    ("identity POST /signin/saml/{connection}/acs/continue", Walked),
    ("identity POST /signin/saml/{connection}/acs/confirm", Walked),
    ("identity GET /signin/saml/{connection}/slo", Walked),
    ("identity POST /signin/saml/{connection}/slo", Walked),
    ("identity POST /signin/saml/{connection}/slo/continue", Walked),
    ("identity ANY BASE", Walked),
    ("identity ANY /scim/v2/{*path}", Walked),
    ("identity POST /signals/{stream}/events", Walked),
    ("identity POST /signals/{stream}/revoke", Walked),
    ("web GET self.path", Open("style sheets and scripts, the same for everybody")),
    ("app GET /account/linked", Open(OWN)),
    ("app GET /account/linked/{upstream}", Open(OWN)),
    ("app POST /account/linked/{upstream}", Open(OWN)),
    ("app POST /account/linked/{upstream}/end", Open(OWN)),
    // The demo's servers take nobody's own account; whose a `state` is stands with the linking itself.
    ("app GET /account/linked/{upstream}/callback", Open("its `state` belongs to tenant, person and session")),
    ("app GET /account/linked/{upstream}/client.json", Open(PUBLIC)),
    ("app GET /healthz", Open("on the private listener; knows no tenant")),
    ("app GET /readyz", Open("on the private listener; knows no tenant")),
    ("app GET /metrics", Open("on the private listener; knows no tenant")),
];

/// Crates without a route of the deployment, and the one that has a walk of its own.
const ELSEWHERE: [&str; 6] = ["admin", "assess", "demo", "outbound", "scim", "testkit"];
const VERBS: [&str; 8] = ["any", "get", "post", "put", "patch", "delete", "head", "options"];

/// Every route of the source.
pub(super) fn found() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut routes = BTreeSet::new();
    for entry in fs::read_dir(crates).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if !ELSEWHERE.contains(&name.as_str()) {
            walk(&folder.join("src"), &name, &mut routes);
        }
    }
    routes
}

fn walk(folder: &Path, krate: &str, routes: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            walk(&path, krate, routes);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "testing.rs" {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            for other in [".route_service(", ".nest(", ".nest_service(", ".fallback(", ".method_not_allowed_fallback("]
            {
                assert!(!code.contains(other), "{path:?} has `{other}…)`, which this test does not read");
            }
            routes.extend(of(code).into_iter().map(|route| format!("{krate} {route}")));
        }
    }
}

/// `VERB path` of each `.route(path, verbs)`.
fn of(code: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (at, found) in code.match_indices(".route(") {
        let (path, handlers) = match arguments(&code[at + found.len()..]).as_slice() {
            [path, handlers] => (path.clone(), handlers.clone()),
            // A method of that name of something else.
            _ => continue,
        };
        let path = path.trim().trim_start_matches('&').trim_matches('"');
        let before = |verb: &str, handlers: &str| {
            handlers
                .match_indices(&format!("{verb}("))
                .any(|(at, _)| !handlers[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
        };
        // Inside a closure there could be anything.
        let handlers = handlers.split("async").next().unwrap_or_default();
        let verbs: Vec<&str> = VERBS.into_iter().filter(|verb| before(verb, handlers)).collect();
        assert!(!verbs.is_empty(), "no verb in `{handlers}`");
        all.extend(verbs.into_iter().map(|verb| format!("{} {path}", verb.to_uppercase())));
    }
    all
}

/// The arguments of a call, from behind its opening bracket.
fn arguments(rest: &str) -> Vec<String> {
    let (mut depth, mut text, mut all) = (0, false, vec![String::new()]);
    for c in rest.chars() {
        match c {
            '"' => text = !text,
            _ if text => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        all.last_mut().unwrap().push(c);
    }
    all.retain(|argument| !argument.trim().is_empty());
    all
}

#[test]
fn routes_are_read_whatever_their_form() {
    let code = "r.route(\"/a/{b}\", get(x::get).post(x::post))\n.route(\n  P, axum::routing::any(move || async { get(1) }),\n)\
                .route(&path, delete(remove)); self.route(message); budget(1)";
    assert_eq!(of(code), ["GET /a/{b}", "POST /a/{b}", "ANY P", "DELETE path"]);
}
