//! What a client is told whose person has to link her account at the upstream first.
//!
//! | client | answer |
//! |---|---|
//! | modern, declared URL elicitation | `input_required` with the page's URL; the retry is sent anew |
//! | legacy, declared it | error -32042 with the page's URL |
//! | any other that calls a tool | a tool error that names the page |
//! | everything else | an error that names the page |
//!
//! The URL holds no secret and says nothing of who is to link: whoever opens it signs in there, and links an
//! account of her own and of nobody else.

use sallyport_mcp::{
    ClientCapabilities, Era, Object, Request, Response, RpcError, errors,
    meta::{CLIENT_CAPABILITIES, meta_of},
    translate::input::{InputKind, InputRequest, InputRequired, to_url_elicitation_error},
};
use sallyport_model::{Rng, event::OutcomeStatus, hex};
use serde_json::{Value, json};

use crate::{
    pending::Pending,
    state::{Continues, Owner},
    upstream::CredentialKind,
};

/// The key of the question in `inputRequests`.
const KEY: &str = "link";

/// Of a call at an upstream that is used with people's own accounts: what its client can be told.
pub(crate) struct Linkable {
    capabilities: ClientCapabilities,
    params: Option<Object>,
}

impl Linkable {
    /// Of `request`, where its upstream is one. A legacy client's capabilities are its session's.
    pub(crate) fn of(kind: CredentialKind, request: &Request, session: Option<&Object>) -> Option<Box<Self>> {
        if kind != CredentialKind::LinkedAccount {
            return None;
        }
        let own = || meta_of(request.params.as_ref()).and_then(|meta| meta.get(CLIENT_CAPABILITIES)?.as_object());
        let capabilities = session.or_else(own).cloned().unwrap_or_default();
        Some(Box::new(Self { capabilities: ClientCapabilities(capabilities), params: request.params.clone() }))
    }
}

/// The answer to a call whose person has to open `url` first, and how the record says that it ended.
pub(crate) fn answer(pending: &Pending, url: &str) -> (Response, OutcomeStatus) {
    let method = pending.open.method();
    let message = format!("Connect your account at {} to go on.", pending.served.offered().title);
    if let Some(linkable) = pending.link.as_deref().filter(|linkable| linkable.capabilities.elicitation_url()) {
        let required = question(&message, url, pending.gate.rng());
        match pending.era {
            Era::Modern if can_ask(method) => {
                let state = seal(pending, method, linkable);
                let result = InputRequired { request_state: Some(state), ..required }.to_result();
                return (Response::result(pending.id.clone(), result), OutcomeStatus::InputRequired);
            }
            Era::Legacy => {
                if let Some(error) = to_url_elicitation_error(&required) {
                    return (error.response(Some(pending.id.clone())), OutcomeStatus::Refused);
                }
            }
            Era::Modern => {}
        }
    }
    let text = format!("{message} Open {url} in a browser, then try again.");
    let response = if method == "tools/call" {
        let mut result = json!({ "content": [{ "type": "text", "text": text }], "isError": true });
        if pending.era == Era::Modern {
            result["resultType"] = "complete".into();
        }
        Response::result(pending.id.clone(), as_object(result))
    } else {
        let error = RpcError::new(errors::INTERNAL_ERROR, text);
        error.with_data(json!({ "reason": "link_required", "url": url })).response(Some(pending.id.clone()))
    };
    (response, OutcomeStatus::Refused)
}

/// The requests that a modern server may answer with questions (2026-07-28 basic/patterns/mrtr).
fn can_ask(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

fn question(message: &str, url: &str, rng: &dyn Rng) -> InputRequired {
    let mut id = [0; 16];
    rng.fill(&mut id);
    let params = as_object(json!({ "mode": "url", "url": url, "message": message }));
    let request = InputRequest { kind: InputKind::ElicitUrl, params, elicitation_id: Some(hex(&id)) };
    InputRequired { requests: vec![(KEY.to_owned(), request)], request_state: None }
}

fn seal(pending: &Pending, method: &str, linkable: &Linkable) -> String {
    let binding = pending.principal.binding();
    let owner = Owner { binding: &binding, upstream: pending.served.name(), method, params: linkable.params.as_ref() };
    pending.gate.states().seal(&owner, Continues::Afresh)
}

fn as_object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
