//! Whether the target takes a token: the same harmless request, whoever asks.

use sallyport_mcp::{Era, Object, errors::METHOD_NOT_FOUND};
use serde_json::{Value, json};
use url::Url;

use super::quote;
use crate::{
    bench::Bench,
    wire::{Answer, Ask, ConnectOptions, Credential, EraChoice, Heard, McpClient, McpFault},
};

/// What the target did with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presented {
    /// It served the caller.
    Accepted {
        /// What was asked, and what came.
        what: String,
        /// What shows it.
        exchanges: Vec<u32>,
    },
    /// It did not.
    Refused {
        /// How it said so.
        what: String,
        /// What shows it.
        exchanges: Vec<u32>,
    },
    /// Nobody can tell.
    Unclear(String),
}

impl Presented {
    /// Whether the caller was served; `None` where nobody can tell.
    pub(crate) fn accepted(&self) -> Option<bool> {
        match self {
            Self::Accepted { .. } => Some(true),
            Self::Refused { .. } => Some(false),
            Self::Unclear(_) => None,
        }
    }

    /// In words, and what shows it.
    pub(crate) fn seen(&self) -> (&str, &[u32]) {
        match self {
            Self::Accepted { what, exchanges } | Self::Refused { what, exchanges } => (what, exchanges),
            Self::Unclear(why) => (why, &[]),
        }
    }

    fn refused(heard: &Heard) -> Self {
        Self::Refused { what: format!("refused with {}", heard.status), exchanges: vec![heard.exchange] }
    }

    fn from_fault(fault: McpFault) -> Self {
        match fault {
            McpFault::Refused(heard) => Self::refused(&heard),
            McpFault::Rpc(error, exchange) => {
                let what = format!("refused with error {}: {}", error.code, quote(&error.message));
                Self::Refused { what, exchanges: vec![exchange] }
            }
            fault => Self::Unclear(quote(&fault.to_string())),
        }
    }
}

/// Connects with `token` and lists the tools, as an ordinary client does: with no word of the assessor.
pub(crate) async fn token(bench: &Bench, check: &'static str, token: &str) -> Presented {
    in_era(bench, check, token, EraChoice::Auto).await
}

/// Presents a token that must not work in either era: one may skip what the other checks.
pub(crate) async fn anywhere(bench: &Bench, check: &'static str, token: &str) -> Presented {
    let legacy = in_era(bench, check, token, EraChoice::Legacy).await;
    if legacy.accepted() == Some(true) {
        return legacy;
    }
    match in_era(bench, check, token, EraChoice::Modern).await {
        Presented::Unclear(_) => legacy,
        modern if modern.accepted() == Some(true) || legacy.accepted().is_none() => modern,
        _ => legacy,
    }
}

async fn in_era(bench: &Bench, check: &'static str, token: &str, era: EraChoice) -> Presented {
    let options = ConnectOptions { era, plain: true, ..ConnectOptions::default() };
    let connected = McpClient::connect(bench, check, Credential::Bearer(token), options).await;
    let mut client = match connected {
        Ok(client) => client,
        Err(fault) => return Presented::from_fault(fault),
    };
    let presented = match client.call(check, "tools/list", Object::new()).await {
        Ok(Answer::Refused(heard)) => Presented::refused(&heard),
        // A server without tools has let the caller in all the same.
        Ok(Answer::Error(error, exchange)) if error.code != METHOD_NOT_FOUND => {
            Presented::from_fault(McpFault::Rpc(error, exchange))
        }
        Ok(Answer::Result(_, exchange) | Answer::Error(_, exchange)) => {
            Presented::Accepted { what: "tools/list was answered".to_owned(), exchanges: vec![exchange] }
        }
        Ok(_) => Presented::Unclear("tools/list was answered with a question".to_owned()),
        Err(fault) => Presented::from_fault(fault),
    };
    client.close().await;
    presented
}

/// The first message of a conversation, to be sent to `url` as it stands.
pub(crate) fn first_message(url: Url, era: Era) -> Ask {
    let about = json!({ "name": "mcp-client", "version": "1.0.0" });
    if era == Era::Legacy {
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about });
        return Ask::post_mcp(url, &json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }))
            .plain();
    }
    modern(url, "tools/list", about)
}

/// `tools/list` within a session of the legacy era, by whoever `ask` will name.
pub(crate) fn in_session(url: Url, session: &str, version: &str) -> Ask {
    Ask::post_mcp(url, &json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {} }))
        .header("mcp-session-id", session)
        .header("mcp-protocol-version", version)
        .plain()
}

fn modern(url: Url, method: &str, about: Value) -> Ask {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": about,
    });
    Ask::post_mcp(url, &json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "_meta": meta } }))
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method)
        .plain()
}

/// Whether `heard` holds the result of a JSON-RPC request.
pub(crate) fn is_result(heard: &Heard) -> bool {
    heard.status.is_success() && heard.rpc().is_some_and(|answer| answer.get("result").is_some())
}
