//! Which protocol versions the target agrees to: one handshake for each, over HTTP only.
//!
//! What comes of it is a fact for the document; no check hangs on it.

use sallyport_mcp::{Era, Outcome, era::ProtocolVersion};

use super::{
    ConnectOptions, Credential, EraChoice, McpClient,
    channel::{Channel, Sent, Transport, Waited, Waiting},
    handshake::initialize_params,
};
use crate::{
    bench::{Bench, Target},
    wire::http::EXCHANGE,
};

/// The check that these exchanges stand under.
const CHECK: &str = "version-checked";

/// Asks for every version in turn, with `credential`, and notes those that the server agrees to.
///
/// A process agrees once in its life, and HTTP+SSE has one version: there it adds nothing.
pub(crate) async fn collect(bench: &Bench, credential: Credential<'_>) {
    if bench.url().is_none() || bench.seen.transport.get() != Some(&"streamable-http") {
        return;
    }
    if bench.seen.era.get() == Some(&Era::Legacy) {
        // It may speak the modern era to those who ask; the first question was answered with an error.
        let options = ConnectOptions { era: EraChoice::Modern, ..ConnectOptions::default() };
        if let Ok(client) = McpClient::connect(bench, CHECK, credential, options).await {
            client.close().await;
        }
    }
    for version in ProtocolVersion::ALL.into_iter().filter(|version| version.era() == Era::Legacy) {
        if agrees(bench, credential, version).await {
            bench.seen.agreed(version.as_str());
        }
    }
}

async fn agrees(bench: &Bench, credential: Credential<'_>, version: ProtocolVersion) -> bool {
    let Target::Http(url) = &bench.target else { return false };
    let (wire, transport) = (bench.wire.clone(), Transport::Http(url.clone()));
    let options = ConnectOptions::default();
    let channel = Channel::new(wire, transport, credential, options);
    let mut client = McpClient::unspoken(channel, options);
    let request = client.request("initialize", initialize_params(options, version));
    let response = match client.channel.send(CHECK, &request, None).await {
        Ok(Sent::Answered { response, .. }) => response,
        Ok(Sent::Waiting { source, exchange }) => {
            let waiting = Waiting { exchange, patience: EXCHANGE, declared: false };
            match client.channel.wait(CHECK, source, &request, waiting).await {
                Ok(Waited::Answered(response)) => response,
                _ => return false,
            }
        }
        _ => return false,
    };
    let Outcome::Result(result) = &response.outcome else { return false };
    let agreed = result.get("protocolVersion").is_some_and(|agreed| agreed == version.as_str());
    client.channel.version = version.as_str().to_owned();
    client.close().await;
    agreed
}
