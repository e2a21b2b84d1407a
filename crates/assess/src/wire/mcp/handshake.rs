//! Finding out which era and transport the target speaks, and shaking hands in it.
//!
//! Modern first: `server/discover`. A server that does not know it is asked to `initialize`; one that does not
//! take that POST either, for the stream of 2024-11-05 (2025-11-25 basic/transports, Backwards Compatibility).

use std::time::Duration;

use http::StatusCode;
use sallyport_mcp::{
    ClientCapabilities, Era, Notification, Object, Outcome, Request, RequestMeta, era::ProtocolVersion,
    errors::UNSUPPORTED_PROTOCOL_VERSION, meta,
};
use sallyport_model::assessment::ServerAbout;
use serde_json::{Value, json};

use super::{
    ConnectOptions, EraChoice, McpClient, McpFault,
    channel::{Sent, Transport, Waited, Waiting},
};
use crate::{
    bench::{Bench, Target},
    wire::{Heard, http::EXCHANGE, legacy_sse::LegacySse, stdio::Process},
};

/// How a name of the target is cut, so that no record grows by it.
const MAX_NAME: usize = 200;
/// How long a process may be silent when asked for a method that it may not know; some start slowly.
const UNKNOWN_METHOD: Duration = Duration::from_secs(4);

/// Connects a client that has not spoken yet.
pub(super) async fn shake(client: &mut McpClient, bench: &Bench, check: &'static str) -> Result<(), McpFault> {
    let known = bench.seen.era.get().copied();
    let choice = match (client.options.era, known) {
        (EraChoice::Auto, Some(Era::Legacy)) => EraChoice::Legacy,
        (EraChoice::Auto, Some(Era::Modern)) => EraChoice::Modern,
        (choice, _) => choice,
    };
    let discovered = match choice {
        EraChoice::Legacy => false,
        EraChoice::Modern => match discover(client, bench, check).await? {
            Discovered::Yes => true,
            Discovered::Refused(heard) => return Err(McpFault::Refused(heard)),
            Discovered::No(why) => return Err(McpFault::NotMcp(why)),
        },
        EraChoice::Auto => match discover(client, bench, check).await? {
            Discovered::Yes => true,
            // Nobody is let in before saying who they are: the era stays unknown.
            Discovered::Refused(heard) if is_refusal(heard.status) => return Err(McpFault::Refused(heard)),
            Discovered::Refused(_) | Discovered::No(_) => false,
        },
    };
    if !discovered {
        restart(client, bench)?;
        initialize(client, bench, check).await?;
    }
    let _ = bench.seen.era.set(client.channel.era);
    let _ = bench.seen.transport.set(match client.channel.transport {
        Transport::Http(_) => "streamable-http",
        Transport::Sse(_) => "sse",
        Transport::Stdio(_) => "stdio",
    });
    Ok(())
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// A process that was asked for a method which it does not know may have ended.
#[expect(clippy::result_large_err, reason = "once a connection, and it ends it")]
fn restart(client: &mut McpClient, bench: &Bench) -> Result<(), McpFault> {
    client.channel.era = Era::Legacy;
    if let (Transport::Stdio(process), Target::Stdio(spec)) = (&client.channel.transport, &bench.target)
        && process.has_ended()
    {
        client.channel.transport = Transport::Stdio(Process::start(&bench.wire, spec)?);
    }
    Ok(())
}

enum Discovered {
    Yes,
    Refused(Box<Heard>),
    No(String),
}

async fn discover(client: &mut McpClient, bench: &Bench, check: &'static str) -> Result<Discovered, McpFault> {
    client.channel.era = Era::Modern;
    client.channel.version = ProtocolVersion::LATEST.as_str().to_owned();
    let mut params = Object::new();
    modern_meta(client.options).insert(&mut params);
    let request = client.request("server/discover", params);
    let outcome = match ask(client, check, &request).await {
        Ok(Asked::Answered(outcome)) => outcome,
        Ok(Asked::Refused(heard)) => return Ok(Discovered::Refused(heard)),
        Err(McpFault::NotMcp(why) | McpFault::Ended(why)) => return Ok(Discovered::No(why)),
        Err(fault) => return Err(fault),
    };
    match outcome {
        Outcome::Result(result) => {
            let Some(Value::Array(versions)) = result.get("supportedVersions") else {
                return Ok(Discovered::No("the answer to server/discover names no `supportedVersions`".to_owned()));
            };
            let supported = versions.iter().filter_map(Value::as_str).take(20);
            supported.for_each(|version| bench.seen.agreed(&short(version)));
            if !versions.iter().any(|version| version == ProtocolVersion::LATEST.as_str()) {
                return Ok(Discovered::No("the server supports no modern version that is known".to_owned()));
            }
            let info = meta::meta_of(Some(&result)).and_then(|meta| meta.get(meta::SERVER_INFO));
            about(bench, info.or_else(|| result.get("serverInfo")));
            client.capabilities = result.get("capabilities").and_then(Value::as_object).cloned().unwrap_or_default();
            Ok(Discovered::Yes)
        }
        Outcome::Error(error) if error.code == UNSUPPORTED_PROTOCOL_VERSION => {
            Ok(Discovered::No("the server does not support the modern version".to_owned()))
        }
        Outcome::Error(error) => Ok(Discovered::No(format!("server/discover failed: {}", short(&error.message)))),
    }
}

async fn initialize(client: &mut McpClient, bench: &Bench, check: &'static str) -> Result<(), McpFault> {
    client.channel.era = Era::Legacy;
    client.channel.version.clear();
    if bench.seen.transport.get() == Some(&"sse") {
        open_sse(client, check).await?.map_err(McpFault::Refused)?;
    }
    let request = client.request("initialize", initialize_params(client.options, ProtocolVersion::LATEST_LEGACY));
    let outcome = match ask(client, check, &request).await? {
        Asked::Answered(outcome) => outcome,
        Asked::Refused(heard) if is_refusal(heard.status) => return Err(McpFault::Refused(heard)),
        Asked::Refused(heard) => {
            // The first refusal says more than the second one, unless the GET is where a token is asked for.
            match open_sse(client, check).await {
                Ok(Ok(())) => {}
                Ok(Err(second)) if is_refusal(second.status) => return Err(McpFault::Refused(second)),
                Ok(Err(_)) | Err(McpFault::NotMcp(_)) => return Err(McpFault::Refused(heard)),
                Err(fault) => return Err(fault),
            }
            match ask(client, check, &request).await? {
                Asked::Answered(outcome) => outcome,
                Asked::Refused(heard) => return Err(McpFault::Refused(heard)),
            }
        }
    };
    let result = match outcome {
        Outcome::Result(result) => result,
        Outcome::Error(error) => return Err(McpFault::Rpc(error, client.last_exchange)),
    };
    let Some(version) = result.get("protocolVersion").and_then(Value::as_str) else {
        return Err(McpFault::NotMcp("the answer to initialize names no `protocolVersion`".to_owned()));
    };
    client.channel.version = short(version);
    bench.seen.agreed(&client.channel.version);
    about(bench, result.get("serverInfo"));
    client.capabilities = result.get("capabilities").and_then(Value::as_object).cloned().unwrap_or_default();
    let initialized = Notification::new("notifications/initialized", None).into();
    match client.channel.tell(check, &initialized).await {
        // What is refused here is refused again at the first call, where it says more.
        Ok(()) | Err(McpFault::Refused(_)) => Ok(()),
        Err(fault) => Err(fault),
    }
}

async fn open_sse(client: &mut McpClient, check: &'static str) -> Result<Result<(), Box<Heard>>, McpFault> {
    let Transport::Http(url) = &client.channel.transport else { return Ok(Ok(())) };
    let ask = client.channel.listen_ask(url.clone());
    match LegacySse::open(&client.channel.wire, check, ask).await? {
        Ok(sse) => {
            client.channel.transport = Transport::Sse(sse);
            Ok(Ok(()))
        }
        Err(stream) => Ok(Err(Box::new(stream.rest().await))),
    }
}

enum Asked {
    Answered(Outcome),
    Refused(Box<Heard>),
}

/// One request of the handshake: questions of the server are not for it.
async fn ask(client: &mut McpClient, check: &'static str, request: &Request) -> Result<Asked, McpFault> {
    let channel = &mut client.channel;
    let patience = match (&channel.transport, channel.era) {
        (Transport::Stdio(_), Era::Modern) => UNKNOWN_METHOD,
        _ => EXCHANGE,
    };
    let (response, exchange) = match channel.send(check, request, None).await? {
        Sent::Answered { response, exchange } => (response, exchange),
        Sent::Refused(heard) => return Ok(Asked::Refused(heard)),
        Sent::Waiting { source, exchange } => {
            match channel.wait(check, source, request, Waiting { exchange, patience, declared: false }).await? {
                Waited::Answered(response) => (response, exchange),
                Waited::Asked(..) => return Err(McpFault::NotMcp("the server asks during the handshake".to_owned())),
            }
        }
    };
    client.last_exchange = exchange;
    Ok(Asked::Answered(response.outcome))
}

/// What every modern request says of this client.
pub(super) fn modern_meta(options: ConnectOptions) -> RequestMeta {
    RequestMeta {
        protocol_version: ProtocolVersion::LATEST,
        client_info: Some(client_info(options)),
        client_capabilities: ClientCapabilities(capabilities(options)),
        log_level: None,
        progress_token: None,
    }
}

/// `params` of a legacy `initialize`.
pub(super) fn initialize_params(options: ConnectOptions, version: ProtocolVersion) -> Object {
    Object::from_iter([
        ("protocolVersion".to_owned(), version.as_str().into()),
        ("capabilities".to_owned(), Value::Object(capabilities(options))),
        ("clientInfo".to_owned(), Value::Object(client_info(options))),
    ])
}

fn client_info(options: ConnectOptions) -> Object {
    let (name, version) =
        if options.plain { ("mcp-client", "1.0.0") } else { ("sallyport-assess", env!("CARGO_PKG_VERSION")) };
    Object::from_iter([("name".to_owned(), name.into()), ("version".to_owned(), version.into())])
}

fn capabilities(options: ConnectOptions) -> Object {
    let mut capabilities = Object::new();
    if options.elicitation {
        capabilities.insert("elicitation".to_owned(), json!({ "form": {}, "url": {} }));
    }
    capabilities
}

fn about(bench: &Bench, info: Option<&Value>) {
    let text = |key: &str| info.and_then(|info| info.get(key)).and_then(Value::as_str).map(short);
    if let Some(name) = text("name") {
        let _ = bench.seen.server.set(ServerAbout { name, version: text("version").unwrap_or_default() });
    }
}

fn short(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_NAME)].to_owned()
}
