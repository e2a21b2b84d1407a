//! Whether the target serves somebody: connects with a credential, or none, and asks for what there is.
//!
//! A JSON-RPC *result* to `tools/list` (or to another request, where there are no tools) means served. That
//! `initialize` alone was answered does not.

use sallyport_mcp::{Object, RpcError};

use super::{
    challenge::{self, Challenges},
    shown,
};
use crate::{
    bench::Bench,
    wire::{Answer, ConnectOptions, Credential, EraChoice, Heard, McpClient, McpFault, WireError},
};

/// How it went.
#[derive(Debug)]
pub(crate) enum Served {
    /// A request was answered.
    Yes {
        /// Which, as a clause: `tools/list was answered: 3 tools`.
        how: String,
        /// The exchanges that show it.
        exchanges: Vec<u32>,
    },
    /// Every request was refused.
    No(Refusal),
    /// Nobody can tell.
    Unclear {
        /// Why.
        why: String,
        /// What was exchanged.
        exchanges: Vec<u32>,
        /// Whether no answer of any kind came.
        unreachable: bool,
    },
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct Refusal {
    by: By,
    /// Whether `initialize` or `server/discover` was answered before.
    started: bool,
}

#[derive(Debug)]
enum By {
    Status(Box<Heard>),
    Rpc(RpcError, u32),
}

impl Refusal {
    /// The HTTP status; `None` where it was a JSON-RPC error alone.
    pub(crate) fn status(&self) -> Option<u16> {
        match &self.by {
            By::Status(heard) => Some(heard.status.as_u16()),
            By::Rpc(..) => None,
        }
    }

    /// The challenges that came with it.
    pub(crate) fn challenges(&self) -> Challenges {
        match &self.by {
            By::Status(heard) => challenge::of(&heard.headers, heard.exchange),
            By::Rpc(..) => Challenges::default(),
        }
    }

    /// The exchange of it.
    pub(crate) fn exchanges(&self) -> Vec<u32> {
        match &self.by {
            By::Status(heard) => vec![heard.exchange],
            By::Rpc(_, exchange) => vec![*exchange],
        }
    }

    /// It in words.
    pub(crate) fn observed(&self) -> String {
        let how = match &self.by {
            By::Status(heard) => format!("{} answered", heard.status.as_u16()),
            By::Rpc(error, _) => format!("JSON-RPC error {}: {}", error.code, shown(&error.message)),
        };
        if self.started { format!("{how} to tools/list, though the start of the session was answered") } else { how }
    }
}

/// Asks with `credential` in `era`. `plain`: without a word of the assessor, since a server might refuse that
/// alone.
pub(crate) async fn ask(
    bench: &Bench,
    check: &'static str,
    credential: Credential<'_>,
    era: EraChoice,
    plain: bool,
) -> Served {
    let options = ConnectOptions { era, plain, ..ConnectOptions::default() };
    let has_token = matches!(credential, Credential::Bearer(_));
    let mut client = match McpClient::connect(bench, check, credential, options).await {
        Ok(client) => client,
        Err(fault) => return from_fault(fault, false, has_token),
    };
    let mut last = None;
    for method in ["tools/list", "resources/list", "prompts/list", "ping"] {
        match client.call(check, method, Object::new()).await {
            Err(fault) => {
                last = Some(from_fault(fault, true, has_token));
                break;
            }
            Ok(answer) => match from_answer(method, answer, has_token) {
                Some(served) => {
                    last = Some(served);
                    break;
                }
                None => continue,
            },
        }
    }
    client.close().await;
    let nothing = || Served::Unclear {
        why: "it connects, and knows none of tools/list, resources/list, prompts/list, ping".to_owned(),
        exchanges: Vec::new(),
        unreachable: false,
    };
    last.unwrap_or_else(nothing)
}

/// `None` when the method is not known there, which says nothing of who may call.
fn from_answer(method: &str, answer: Answer, has_token: bool) -> Option<Served> {
    const METHOD_NOT_FOUND: i64 = -32601;
    Some(match answer {
        Answer::Result(result, exchange) => Served::Yes { how: served(method, &result), exchanges: vec![exchange] },
        Answer::InputRequired(_, exchange) | Answer::Task(_, exchange) | Answer::Asked { exchange, .. } => {
            Served::Yes { how: format!("{method} was taken up"), exchanges: vec![exchange] }
        }
        Answer::Error(error, _) if error.code == METHOD_NOT_FOUND => return None,
        Answer::Error(error, exchange) => from_rpc(error, exchange, true),
        Answer::Refused(heard) if heard.status.as_u16() == 404 && is_method_not_found(&heard) => return None,
        Answer::Refused(heard) => from_status(heard, true, has_token),
    })
}

fn served(method: &str, result: &Object) -> String {
    let list = result.values().find_map(serde_json::Value::as_array);
    match (method, list) {
        ("tools/list", Some(tools)) => format!("tools/list was answered with {} tools", tools.len()),
        (method, _) => format!("{method} was answered"),
    }
}

/// 2026-07-28 answers 404 to a method that does not exist.
fn is_method_not_found(heard: &Heard) -> bool {
    heard.rpc().is_some_and(|message| message["error"]["code"] == -32601)
}

fn from_fault(fault: McpFault, started: bool, has_token: bool) -> Served {
    match fault {
        McpFault::Refused(heard) => from_status(heard, started, has_token),
        McpFault::Rpc(error, exchange) => from_rpc(error, exchange, started),
        McpFault::Wire(error) => Served::Unclear {
            why: format!("no answer: {error}"),
            exchanges: error.exchange().into_iter().collect(),
            unreachable: matches!(error, WireError::Failed { .. } | WireError::TimedOut { .. }),
        },
        fault @ (McpFault::NotMcp(_) | McpFault::Ended(_)) => {
            Served::Unclear { why: shown(&fault.to_string()), exchanges: Vec::new(), unreachable: false }
        }
    }
}

/// 401 and 403 refuse; so does 400 to a token (RFC 6750 section 3.1). Anything else may have other reasons.
fn from_status(heard: Box<Heard>, started: bool, has_token: bool) -> Served {
    match heard.status.as_u16() {
        401 | 403 => Served::No(Refusal { by: By::Status(heard), started }),
        400 if has_token && !started => Served::No(Refusal { by: By::Status(heard), started }),
        status => Served::Unclear {
            why: format!("HTTP {status}, which says nothing of who may call"),
            exchanges: vec![heard.exchange],
            unreachable: false,
        },
    }
}

/// An error that speaks of authorization is a refusal; any other may have other reasons.
fn from_rpc(error: RpcError, exchange: u32, started: bool) -> Served {
    const WORDS: [&str; 8] =
        ["unauthor", "unauthenticated", "authoriz", "authentic", "forbidden", "token", "credential", "log in"];
    let text = error.message.to_ascii_lowercase();
    if WORDS.iter().any(|word| text.contains(word)) {
        return Served::No(Refusal { by: By::Rpc(error, exchange), started });
    }
    Served::Unclear {
        why: format!("JSON-RPC error {}: {}, which says nothing of who may call", error.code, shown(&error.message)),
        exchanges: vec![exchange],
        unreachable: false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use serde_json::json;

    use super::*;

    fn heard(status: u16, body: &str) -> Box<Heard> {
        Box::new(Heard {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_owned()),
            truncated: false,
            exchange: 3,
            elapsed: std::time::Duration::ZERO,
            tls: None,
        })
    }

    fn error(code: i64, message: &str) -> RpcError {
        RpcError::new(code, message)
    }

    #[test]
    fn a_result_is_service_and_a_status_of_authorization_is_not() {
        let result = json!({"tools": [{}, {}]}).as_object().unwrap().clone();
        let yes = from_answer("tools/list", Answer::Result(result, 1), false);
        assert!(matches!(yes, Some(Served::Yes { how, .. }) if how == "tools/list was answered with 2 tools"));
        for status in [401, 403] {
            let no = from_answer("tools/list", Answer::Refused(heard(status, "")), false);
            let Some(Served::No(refusal)) = no else { panic!("{status}") };
            assert_eq!(refusal.status(), Some(status));
            assert!(refusal.observed().contains("start of the session was answered"));
        }
    }

    #[test]
    fn what_may_have_other_reasons_decides_nothing() {
        for status in [302, 404, 405, 429, 500] {
            let served = from_fault(McpFault::Refused(heard(status, "")), false, true);
            assert!(matches!(served, Served::Unclear { unreachable: false, .. }), "{status}");
        }
        let bad = |has_token| from_fault(McpFault::Refused(heard(400, "")), false, has_token);
        assert!(matches!(bad(false), Served::Unclear { .. }));
        assert!(matches!(bad(true), Served::No(_)), "RFC 6750: a malformed token");
    }

    #[test]
    fn a_method_that_does_not_exist_leads_to_the_next() {
        assert!(from_answer("tools/list", Answer::Error(error(-32601, "no"), 1), false).is_none());
        let body = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#;
        assert!(from_answer("tools/list", Answer::Refused(heard(404, body)), false).is_none());
        assert!(from_answer("tools/list", Answer::Refused(heard(404, "")), false).is_some());
    }

    #[test]
    fn a_refusal_in_disguise_is_one() {
        let served = from_answer("tools/list", Answer::Error(error(-32001, "Unauthorized"), 1), false);
        let Some(Served::No(refusal)) = served else { panic!() };
        assert_eq!((refusal.status(), refusal.exchanges()), (None, vec![1]));
        let served = from_answer("tools/list", Answer::Error(error(-32602, "bad cursor"), 1), false);
        assert!(matches!(served, Some(Served::Unclear { .. })));
    }
}
