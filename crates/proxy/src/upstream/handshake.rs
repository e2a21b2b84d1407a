//! Finding the era that client and upstream can both live with.
//!
//! The client's own era is tried first. A legacy client's `initialize` that is refused leads to
//! `server/discover`; a modern client's `server/discover` that fails with anything but a recognised modern
//! error leads to `initialize` (2026-07-28 basic/transports, both pages, Backward Compatibility). The
//! transport is behind [`Asker`], so both legs share the rules.

use async_trait::async_trait;
use sallyport_mcp::{
    ClientCapabilities, Era, Object, Outcome, ProtocolVersion, Request, RequestMeta, Response, RpcError,
    errors::UNSUPPORTED_PROTOCOL_VERSION, meta, translate::handshake as translate,
};
use serde_json::Value;

use super::{ClientFacts, ServerFacts, UpstreamError, eras::Known};

/// What came of a question.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Asked {
    /// A JSON-RPC answer.
    Answer(Response),
    /// An HTTP refusal (400, 404, 405, …) without a JSON-RPC message.
    Refused(UpstreamError),
    /// Nothing came in time.
    Silence(UpstreamError),
}

/// A line on which questions can be asked before the era is known.
#[async_trait]
pub(super) trait Asker: Send + Sync {
    /// Asks in `version`. `probing`: silence is an answer.
    async fn ask(&self, request: Request, version: ProtocolVersion, probing: bool) -> Result<Asked, UpstreamError>;
    /// Says `notifications/initialized` in `version`.
    async fn initialized(&self, version: ProtocolVersion) -> Result<(), UpstreamError>;
}

/// What was agreed on.
#[derive(Debug, Clone)]
pub(super) struct Agreed {
    pub facts: ServerFacts,
    pub version: ProtocolVersion,
    /// What was learned about the upstream on the way.
    pub known: Known,
}

/// An attempt at one era.
enum Attempt {
    Agreed(ServerFacts, ProtocolVersion),
    /// It does not serve that era.
    Refused(UpstreamError),
    /// The upstream is modern and names legacy versions only.
    LegacyOnly(UpstreamError),
    /// It has not answered, yet.
    Silent(UpstreamError),
}

/// Agrees with the upstream.
pub(super) async fn agree(asker: &dyn Asker, client: &ClientFacts, known: Known) -> Result<Agreed, UpstreamError> {
    match known.first(client.era) {
        Era::Legacy => match initialize(asker, client).await? {
            Attempt::Agreed(facts, version) => Ok(Agreed { facts, version, known }),
            Attempt::Refused(refusal) | Attempt::LegacyOnly(refusal) | Attempt::Silent(refusal) => {
                match discover(asker, client).await? {
                    Attempt::Agreed(facts, version) => Ok(modern_only(facts, version)),
                    // The first refusal tells more: it is about the era that the client speaks.
                    _ => Err(refusal),
                }
            }
        },
        Era::Modern => {
            let (refusal, silent) = match discover(asker, client).await? {
                Attempt::Agreed(facts, version) => return Ok(Agreed { facts, version, known }),
                Attempt::Refused(refusal) | Attempt::LegacyOnly(refusal) => (refusal, false),
                Attempt::Silent(refusal) => (refusal, true),
            };
            match initialize(asker, client).await? {
                Attempt::Agreed(facts, version) => {
                    return Ok(Agreed { facts, version, known: Known { no_legacy: false, no_modern: true } });
                }
                // It was not silent but slow to start; now that it answers, it can answer that too.
                _ if silent => {}
                _ => return Err(refusal),
            }
            match discover(asker, client).await? {
                Attempt::Agreed(facts, version) => Ok(modern_only(facts, version)),
                _ => Err(refusal),
            }
        }
    }
}

fn modern_only(facts: ServerFacts, version: ProtocolVersion) -> Agreed {
    Agreed { facts, version, known: Known { no_legacy: true, no_modern: false } }
}

async fn initialize(asker: &dyn Asker, client: &ClientFacts) -> Result<Attempt, UpstreamError> {
    let (params, version) = initialize_params(client);
    let asked = asker.ask(Request::new(HANDSHAKE_ID, "initialize", Some(params)), version, false).await?;
    let result = match asked {
        Asked::Silence(error) => return Err(error),
        Asked::Refused(error) => return Ok(Attempt::Refused(error)),
        Asked::Answer(Response { outcome: Outcome::Error(error), .. }) => {
            return Ok(Attempt::Refused(UpstreamError::HandshakeRefused(Box::new(error))));
        }
        Asked::Answer(Response { outcome: Outcome::Result(result), .. }) => result,
    };
    let offered = result.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    let Some(version) = ProtocolVersion::parse(offered).filter(|v| v.era() == Era::Legacy) else {
        return Err(no_common([offered]));
    };
    if !result.get("capabilities").is_some_and(Value::is_object) {
        return Err(UpstreamError::Protocol("its InitializeResult has no object `capabilities`".to_owned()));
    }
    asker.initialized(version).await?;
    let facts = ServerFacts { era: Era::Legacy, protocol_version: version.to_string(), about: result };
    Ok(Attempt::Agreed(facts, version))
}

async fn discover(asker: &dyn Asker, client: &ClientFacts) -> Result<Attempt, UpstreamError> {
    let mut version = ProtocolVersion::LATEST;
    // A second turn only for a version that the first one's error named.
    for _ in 0..2 {
        let mut params = Object::new();
        RequestMeta { protocol_version: version, ..request_meta(client)? }.insert(&mut params);
        let request = Request::new(HANDSHAKE_ID, "server/discover", Some(params));
        let result = match asker.ask(request, version, true).await? {
            Asked::Refused(error) => return Ok(Attempt::Refused(error)),
            Asked::Silence(error) => return Ok(Attempt::Silent(error)),
            Asked::Answer(Response { outcome: Outcome::Result(result), .. }) => result,
            Asked::Answer(Response { outcome: Outcome::Error(error), .. }) => match modern_refusal(error) {
                Refusal::Retry(other) if other != version => {
                    version = other;
                    continue;
                }
                Refusal::Retry(_) => return Err(no_common([version.as_str()])),
                Refusal::Final(attempt) => return Ok(attempt),
                Refusal::Modern(error) => return Err(error),
            },
        };
        return Ok(read_discovered(result));
    }
    Err(no_common([version.as_str()]))
}

/// What an error in answer to `server/discover` means.
enum Refusal {
    Retry(ProtocolVersion),
    Final(Attempt),
    /// A modern upstream that will not have us: never fall back.
    Modern(UpstreamError),
}

fn modern_refusal(error: RpcError) -> Refusal {
    if !error.is_modern() {
        return Refusal::Final(Attempt::Refused(UpstreamError::HandshakeRefused(Box::new(error))));
    }
    let supported = error.data.as_ref().and_then(|data| data.get("supported")).and_then(Value::as_array);
    let (UNSUPPORTED_PROTOCOL_VERSION, Some(supported)) = (error.code, supported) else {
        return Refusal::Modern(UpstreamError::HandshakeRefused(Box::new(error)));
    };
    match best(supported) {
        Some(version) if version.era() == Era::Modern => Refusal::Retry(version),
        Some(_) => Refusal::Final(Attempt::LegacyOnly(UpstreamError::HandshakeRefused(Box::new(error)))),
        None => Refusal::Modern(no_common(supported.iter().filter_map(Value::as_str))),
    }
}

/// The best version of a list that we know: modern before legacy, newest first.
fn best(supported: &[Value]) -> Option<ProtocolVersion> {
    supported.iter().filter_map(Value::as_str).filter_map(ProtocolVersion::parse).max()
}

fn read_discovered(result: Object) -> Attempt {
    let not_modern = |what: &str| Attempt::Refused(UpstreamError::Protocol(what.to_owned()));
    let Some(supported) = result.get("supportedVersions").and_then(Value::as_array) else {
        return not_modern("its answer to server/discover has no `supportedVersions`");
    };
    if !result.get("capabilities").is_some_and(Value::is_object) {
        return not_modern("its DiscoverResult has no object `capabilities`");
    }
    match best(supported) {
        Some(version) if version.era() == Era::Modern => {
            let facts = ServerFacts { era: Era::Modern, protocol_version: version.to_string(), about: result };
            Attempt::Agreed(facts, version)
        }
        Some(version) => Attempt::LegacyOnly(no_common([version.as_str()])),
        None => Attempt::Refused(no_common(supported.iter().filter_map(Value::as_str))),
    }
}

fn no_common<'a>(offered: impl IntoIterator<Item = &'a str>) -> UpstreamError {
    let clip = |text: &str| text.chars().take(32).collect();
    UpstreamError::NoCommonVersion { offered: offered.into_iter().take(8).map(clip).collect() }
}

const HANDSHAKE_ID: &str = "handshake";

fn initialize_params(client: &ClientFacts) -> (Object, ProtocolVersion) {
    let own = ProtocolVersion::parse(&client.protocol_version).filter(|v| v.era() == Era::Legacy);
    let version = own.unwrap_or(ProtocolVersion::LATEST_LEGACY);
    if client.era == Era::Modern {
        return (translate::initialize_from_meta(&bare_meta(client), version), version);
    }
    let mut params = Object::new();
    params.insert("protocolVersion".to_owned(), version.as_str().into());
    params.insert("capabilities".to_owned(), Value::Object(client.capabilities.clone()));
    params.insert("clientInfo".to_owned(), Value::Object(client.info.clone().unwrap_or_else(unnamed)));
    (params, version)
}

/// The metadata that the session's requests carry to a modern upstream.
pub(super) fn request_meta(client: &ClientFacts) -> Result<RequestMeta, UpstreamError> {
    match client.era {
        Era::Modern => Ok(bare_meta(client)),
        Era::Legacy => {
            let (params, _) = initialize_params(client);
            Ok(translate::meta_from_initialize(&params, None)?)
        }
    }
}

fn bare_meta(client: &ClientFacts) -> RequestMeta {
    RequestMeta {
        protocol_version: ProtocolVersion::LATEST,
        client_info: client.info.clone(),
        client_capabilities: ClientCapabilities(client.capabilities.clone()),
        log_level: None,
        progress_token: None,
    }
}

fn unnamed() -> Object {
    let mut info = Object::new();
    info.insert("name".to_owned(), "unnamed".into());
    info.insert("version".to_owned(), "0".into());
    info
}

/// Completes a request's `_meta` for a modern upstream: the agreed version always, since header and body
/// must agree, the session's client metadata where the request has none.
pub(super) fn complete_meta(request: &mut Request, session: &RequestMeta, version: ProtocolVersion) {
    let params = request.params.get_or_insert_default();
    let members = meta::meta_mut(params);
    members.insert(meta::PROTOCOL_VERSION.to_owned(), version.as_str().into());
    if !members.contains_key(meta::CLIENT_CAPABILITIES) {
        let capabilities = session.client_capabilities.0.clone();
        members.insert(meta::CLIENT_CAPABILITIES.to_owned(), Value::Object(capabilities));
    }
    if let (Some(info), false) = (&session.client_info, members.contains_key(meta::CLIENT_INFO)) {
        members.insert(meta::CLIENT_INFO.to_owned(), Value::Object(info.clone()));
    }
}
