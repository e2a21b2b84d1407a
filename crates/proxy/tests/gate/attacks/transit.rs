//! A client's token in transit (MCP: a server "MUST NOT accept or transit any other tokens"; the confused deputy):
//! no byte of it arrives behind the gate, whatever the gate itself shows there.

use std::sync::{Arc, atomic::Ordering};

use sallyport_mcp::Era;
use sallyport_model::Secret;
use sallyport_outbound::command::CommandSpec;
use sallyport_proxy::upstream::{UpstreamCredential, credential::CatalogueAccess};
use serde_json::json;

use crate::{
    credentials::{exchanged, issued, link, linked, offered, rig},
    rig::{
        Rig, able, claims,
        client::Client,
        issuer::{Issuer, Seen},
    },
};

const KINDS: [&str; 8] =
    ["none", "bearer", "header", "command", "client_credentials", "token_exchange", "id_jag", "linked_account"];

fn credential(kind: &str, token: &str) -> UpstreamCredential {
    match kind {
        "none" => UpstreamCredential::None,
        "bearer" => UpstreamCredential::Bearer(Secret::new(token)),
        "header" => UpstreamCredential::Header { name: "x-api-key".parse().unwrap(), value: Secret::new(token) },
        "command" => {
            let args = vec!["%s".to_owned(), token.to_owned()];
            let command = CommandSpec::from_operator("printf", args, Default::default(), None);
            UpstreamCredential::Command { command, header: None }
        }
        "client_credentials" => UpstreamCredential::ClientCredentials(Arc::new(issued())),
        "token_exchange" => UpstreamCredential::TokenExchange(exchanged()),
        "id_jag" => UpstreamCredential::IdJag(exchanged()),
        _ => linked(CatalogueAccess::Open),
    }
}

/// Everything that a client of either era does that reaches the upstream.
async fn talk(rig: &Rig, token: &str, version: &str) {
    let client = Client::connect_as(rig, "up", version, token.to_owned(), able()).await;
    client.request("tools/list", json!({})).await;
    client.call("echo", json!({"a": 1})).await;
    client.request("resources/read", json!({"uri": "mem://a"})).await;
    client.request("prompts/get", json!({"name": "greet"})).await;
    let refused = client.request("resources/read", json!({"uri": "mem://none"})).await;
    assert!(refused.response.get("error").is_some());
    let answer = |_: &str, _: &serde_json::Value| json!({"action": "accept", "content": {}});
    client.converse("tools/call", json!({"name": "ask_form", "arguments": {}}), &answer).await;
    if client.era == Era::Legacy {
        client.notify("notifications/roots/list_changed", json!({})).await;
        client.verb("DELETE", &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_clients_token_arrives_behind_the_gate() {
    for server in [Era::Legacy, Era::Modern] {
        for kind in KINDS {
            for identity_header in [false, true] {
                arrives_clean(server, kind, identity_header).await;
            }
        }
    }
}

async fn arrives_clean(server: Era, kind: &str, identity_header: bool) {
    let (issuer, url) = Issuer::start(server).await;
    // Where there is no token of the issuer's to show, it lets everybody in.
    let guarded = !matches!(kind, "none" | "header");
    issuer.open_all.store(!guarded, Ordering::SeqCst);
    issuer.open_lists.store(kind == "linked_account", Ordering::SeqCst);
    let mut offered = offered(&url, credential(kind, &issuer.grant()));
    let mut spec = (*offered.spec).clone();
    spec.identity_header = identity_header;
    offered.spec = Arc::new(spec);
    let rig = rig(&issuer, offered).await;
    assert!(rig.gate.read_catalogues().await.is_empty(), "{kind}");
    issuer.open_lists.store(false, Ordering::SeqCst);
    if kind == "linked_account" {
        link(&rig, &issuer, "ann").await;
    }
    let mut tokens = Vec::new();
    for version in ["2025-11-25", "2026-07-28"] {
        let token = rig.sign(&claims("ann", "up"));
        talk(&rig, &token, version).await;
        tokens.push(token);
    }
    let seen = issuer.seen();
    assert!(seen.iter().filter(|seen| seen.uri == "/mcp").count() > 10, "{kind}: the upstream was talked to");
    assert_eq!(seen.iter().any(|seen| seen.headers.contains_key("sallyport-identity")), identity_header);
    let seen: Vec<String> = seen.iter().map(Seen::text).collect();
    let shown = match kind {
        "none" => "echo",
        _ => "upstream-token-",
    };
    assert!(seen.iter().any(|seen| seen.contains(shown)), "{kind}: what was shown is what was captured");
    for seen in seen {
        for token in &tokens {
            // The header of a token is the same as that of any other with the same key: its parts are the
            // claims and the signature, and all that says whose token it is.
            let parts: Vec<&str> = token.split('.').collect();
            for part in [token.as_str(), parts[0], parts[1], parts[2]] {
                assert!(!seen.contains(part), "{kind}, {server:?}: {part} in\n{seen}");
            }
        }
    }
}
