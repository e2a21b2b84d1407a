//! Protocol versions, and which era an HTTP POST speaks (2026-07-28 basic/versioning).
//!
//! One endpoint serves both eras: modern `_meta` means stateless, `initialize` means a legacy session.
//! It does not look up sessions and does not check `Mcp-*` headers beyond the version.

use std::fmt;

use http::HeaderMap;
use serde_json::Value;

use crate::{
    envelope::{Message, Request},
    errors::{Error, Refusal},
    headers::single,
    meta::{self, RequestMeta},
};

/// The two ways to speak MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// 2025-11-25 and before: handshake and session.
    Legacy,
    /// 2026-07-28: each request carries its metadata.
    Modern,
}

/// A published protocol version. Ordered by date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProtocolVersion {
    /// HTTP+SSE and stdio.
    V2024_11_05,
    /// The first Streamable HTTP; the only one with batches.
    V2025_03_26,
    /// `MCP-Protocol-Version`, elicitation.
    V2025_06_18,
    /// URL elicitation, tasks.
    V2025_11_25,
    /// Stateless.
    V2026_07_28,
}

impl ProtocolVersion {
    /// All that this crate knows, newest first.
    pub const ALL: [Self; 5] =
        [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26, Self::V2024_11_05];

    /// The newest legacy version.
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;

    /// The newest version.
    pub const LATEST: Self = Self::V2026_07_28;

    /// What a legacy request without header and session is taken for (2025-11-25 basic/transports).
    pub const ASSUMED: Self = Self::V2025_03_26;

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// `None` for a version that this crate does not know.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Its era.
    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }

    /// Whether a body may hold several messages.
    pub const fn has_batches(self) -> bool {
        matches!(self, Self::V2025_03_26)
    }

    /// What to answer to an `initialize` that asks for `requested`: that version if it is legacy and
    /// supported, else the newest legacy one that is (2025-11-25 basic/lifecycle). `None` if none is.
    pub fn negotiate(requested: &str, supported: &[Self]) -> Option<Self> {
        let mut legacy = supported.iter().copied().filter(|v| v.era() == Era::Legacy);
        let asked = Self::parse(requested).filter(|v| v.era() == Era::Legacy && supported.contains(v));
        asked.or_else(|| legacy.by_ref().max())
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `MCP-Protocol-Version`.
pub const PROTOCOL_VERSION_HEADER: &str = "mcp-protocol-version";

/// How one posted message is to be understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Spoken {
    /// A modern request.
    Modern(Box<RequestMeta>),
    /// A notification under a modern `MCP-Protocol-Version`.
    ModernNotification,
    /// A legacy `initialize`.
    Initialize {
        /// `params.protocolVersion`; see [`ProtocolVersion::negotiate`].
        requested: String,
    },
    /// Any other legacy message. A session's negotiated version wins over the header; without either it
    /// is [`ProtocolVersion::ASSUMED`].
    Legacy {
        /// `MCP-Protocol-Version`, known and supported.
        header: Option<ProtocolVersion>,
    },
}

impl Spoken {
    /// Its era.
    pub fn era(&self) -> Era {
        match self {
            Self::Modern(_) | Self::ModernNotification => Era::Modern,
            Self::Initialize { .. } | Self::Legacy { .. } => Era::Legacy,
        }
    }

    /// Decides what a posted message speaks. `supported` is what is served here, newest first.
    ///
    /// | body | header | outcome |
    /// |---|---|---|
    /// | modern `_meta` | missing or different | -32020 |
    /// | modern `_meta`, version not served | same | -32022 |
    /// | modern `_meta` incomplete or malformed | any | -32602 |
    /// | modern `_meta` | same | modern |
    /// | no modern `_meta` | a modern version | -32602 for requests |
    /// | a response | a modern version | -32600: modern clients send none |
    /// | `initialize` | absent or legacy | legacy handshake |
    /// | anything | unknown or not served | -32022 |
    /// | `server/discover`, `subscriptions/listen` | absent | -32602: they exist in the modern era only |
    /// | anything else | absent or legacy | legacy |
    ///
    /// # Errors
    /// As in the table; each is HTTP 400.
    pub fn decide(message: &Message, headers: &HeaderMap, supported: &[ProtocolVersion]) -> Result<Self, Error> {
        let header = single(headers, PROTOCOL_VERSION_HEADER)?;
        if let Message::Request(request) = message
            && meta::is_modern(request.params.as_ref())
        {
            return modern(request, header, supported);
        }
        let version = header.map(|text| served(text, supported)).transpose()?;
        let modern_header = version.is_some_and(|v| v.era() == Era::Modern);
        match message {
            Message::Request(request) if modern_header => modern(request, header, supported),
            Message::Notification(_) if modern_header => Ok(Self::ModernNotification),
            Message::Response(_) if modern_header => Err(Error::InvalidRequest(
                "a modern client sends no responses; retry the request with `inputResponses`",
            )),
            Message::Request(request) if request.method == "initialize" => initialize(request),
            Message::Request(request)
                if version.is_none() && matches!(&*request.method, "server/discover" | "subscriptions/listen") =>
            {
                modern(request, header, supported)
            }
            _ => Ok(Self::Legacy { header: version }),
        }
    }
}

/// Checks what a batch may not hold (2025-03-26 basic/lifecycle): `initialize`, and requests of the modern
/// era, which has no batches. Everything else is decided for each message by itself.
///
/// # Errors
/// [`Error::InvalidRequest`] with the id of the request at fault; the whole batch is refused.
pub fn check_batch(messages: &[Message]) -> Result<(), Refusal> {
    for message in messages {
        if let Message::Request(request) = message {
            let misplaced = if request.method == "initialize" {
                "initialize must not be part of a batch; send it by itself"
            } else if meta::is_modern(request.params.as_ref()) {
                "a request with modern `_meta` must not be part of a batch; send it by itself"
            } else {
                continue;
            };
            return Err(Error::InvalidRequest(misplaced).refuse(Some(request.id.clone())));
        }
    }
    Ok(())
}

fn served(text: &str, supported: &[ProtocolVersion]) -> Result<ProtocolVersion, Error> {
    ProtocolVersion::parse(text)
        .filter(|version| supported.contains(version))
        .ok_or_else(|| Error::UnsupportedVersion { requested: text.to_owned(), supported: supported.to_vec() })
}

fn modern(request: &Request, header: Option<&str>, supported: &[ProtocolVersion]) -> Result<Spoken, Error> {
    let declared = meta::declared_version(request.params.as_ref())?;
    match header {
        None => {
            return Err(Error::HeaderMismatch("MCP-Protocol-Version is missing; send the version of `_meta`".into()));
        }
        Some(header) if header != declared => {
            return Err(Error::HeaderMismatch(
                "MCP-Protocol-Version differs from io.modelcontextprotocol/protocolVersion in `_meta`".into(),
            ));
        }
        Some(_) => {}
    }
    let version = served(declared, supported)?;
    if version.era() == Era::Legacy {
        // A legacy version needs the handshake: per-request metadata has no meaning in it.
        let supported = supported.iter().copied().filter(|v| v.era() == Era::Modern).collect();
        return Err(Error::UnsupportedVersion { requested: declared.to_owned(), supported });
    }
    RequestMeta::read(version, request.params.as_ref()).map(|meta| Spoken::Modern(Box::new(meta)))
}

fn initialize(request: &Request) -> Result<Spoken, Error> {
    match request.param("protocolVersion") {
        Some(Value::String(requested)) => Ok(Spoken::Initialize { requested: requested.clone() }),
        _ => Err(Error::InvalidParams("`params.protocolVersion` of initialize must be a string".into())),
    }
}

#[cfg(test)]
#[path = "era_tests.rs"]
mod tests;
