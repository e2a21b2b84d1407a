//! What can go wrong towards an upstream: whose fault, and whether it may have acted.

use std::time::Duration;

use sallyport_mcp::RpcError;

use super::tokens::TokenFault;

/// Who has to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request cannot be carried as it is.
    Client,
    /// The upstream is down, slow or breaks the protocol.
    Upstream,
    /// Our configuration, credential or a limit of ours.
    Gate,
}

/// A failure towards an upstream. None of these texts quotes what the upstream sent.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection, or no process.
    #[error("the upstream cannot be reached: {0}")]
    Unreachable(#[source] Box<sallyport_outbound::Error>),
    /// The exchange broke off.
    #[error("the upstream broke off: {what}")]
    Broken {
        /// Where.
        what: String,
        /// Whether the upstream may have acted.
        sent: bool,
    },
    /// Too slow.
    #[error("the upstream did not answer within {after:?} ({what})")]
    TimedOut {
        /// Which limit.
        what: &'static str,
        /// The limit.
        after: Duration,
        /// Whether the upstream may have acted.
        sent: bool,
    },
    /// An HTTP status without a JSON-RPC message.
    #[error("the upstream answered with HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
        /// `Retry-After`, seconds.
        retry_after: Option<u64>,
    },
    /// The upstream refuses the gate's own credential. Nothing that the client could mend.
    #[error("the upstream refuses the gate's credential with HTTP status {status}; check the upstream's credential")]
    CredentialRefused {
        /// 401 or 403.
        status: u16,
    },
    /// There is nothing to show the upstream.
    #[error("the gate has no credential for the upstream: {0}")]
    NoToken(#[from] TokenFault),
    /// The person has to link her account at the upstream first.
    #[error("connect your account at this server first: open {url}, then try again")]
    LinkRequired {
        /// The gate's page for it.
        url: String,
    },
    /// The upstream does not keep to MCP.
    #[error("the upstream does not keep to MCP: {0}")]
    Protocol(String),
    /// A message is larger than the limit.
    #[error("the upstream sent a message of more than {limit} bytes; raise `max_message_bytes` if that is right")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
    /// The upstream forgot the session, or the process is gone. Open another session.
    #[error("the upstream ended the session")]
    SessionEnded,
    /// There is no such thing at this upstream, or in its era.
    #[error("the upstream does not offer {0}")]
    NotOffered(&'static str),
    /// An answer to a request that this session was never given, or twice.
    #[error("no request of the upstream waits for this answer")]
    UnknownRequest,
    /// No version in common.
    #[error("the upstream speaks no protocol version that the gate knows; it offers {offered:?}")]
    NoCommonVersion {
        /// At most eight, each clipped.
        offered: Vec<String>,
    },
    /// The upstream refuses the handshake.
    #[error("the upstream refuses the handshake with error {}", .0.code)]
    HandshakeRefused(Box<RpcError>),
    /// The request cannot be written for this upstream.
    #[error("the request cannot be carried: {0}")]
    Unsendable(#[source] Box<sallyport_mcp::Error>),
    /// The process ended while the call was in flight.
    #[error("the upstream's process ended{}", .code.map(|c| format!(" with exit code {c}")).unwrap_or_default())]
    Exited {
        /// Its exit code; `None` for a signal.
        code: Option<i32>,
    },
    /// The process crashed and is not started again yet.
    #[error("the upstream's process crashed; it is started again in {retry_after:?}")]
    BackingOff {
        /// How long.
        retry_after: Duration,
    },
    /// A limit of the gate's.
    #[error("the limit {what} of {limit} is reached")]
    Busy {
        /// Which.
        what: &'static str,
        /// How many.
        limit: usize,
    },
    /// The caller does not read what the upstream sends.
    #[error("the client reads too slowly; the call was given up")]
    SlowClient,
    /// The configuration of the upstream does not work.
    #[error("the upstream's configuration does not work: {0}")]
    Configuration(String),
}

impl UpstreamError {
    /// Whether the upstream may have acted on the request.
    pub fn sent(&self) -> bool {
        match self {
            Self::Broken { sent, .. } | Self::TimedOut { sent, .. } => *sent,
            Self::Unreachable(error) => error.may_have_been_sent(),
            // A gateway's 502 or 504 says nothing about what is behind it; a 4xx or 503 is a refusal.
            Self::Status { status, .. } => *status < 400 || (*status >= 500 && *status != 503),
            Self::Protocol(_) | Self::TooLarge { .. } | Self::Exited { .. } | Self::SlowClient => true,
            Self::CredentialRefused { .. }
            | Self::NoToken(_)
            | Self::LinkRequired { .. }
            | Self::SessionEnded
            | Self::NotOffered(_)
            | Self::UnknownRequest
            | Self::NoCommonVersion { .. }
            | Self::HandshakeRefused(_)
            | Self::Unsendable(_)
            | Self::BackingOff { .. }
            | Self::Busy { .. }
            | Self::Configuration(_) => false,
        }
    }

    /// Who has to change something.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unsendable(_)
            | Self::UnknownRequest
            | Self::NotOffered(_)
            | Self::LinkRequired { .. }
            | Self::SlowClient => Fault::Client,
            Self::CredentialRefused { .. } | Self::NoToken(_) | Self::Busy { .. } | Self::Configuration(_) => {
                Fault::Gate
            }
            _ => Fault::Upstream,
        }
    }

    /// A stable code for the audit log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "upstream_unreachable",
            Self::Broken { .. } => "upstream_broke_off",
            Self::TimedOut { .. } => "upstream_timed_out",
            Self::Status { .. } => "upstream_status",
            Self::CredentialRefused { .. } => "upstream_credential_refused",
            Self::NoToken(fault) => fault.code(),
            Self::LinkRequired { .. } => "link_required",
            Self::Protocol(_) => "upstream_protocol",
            Self::TooLarge { .. } => "upstream_message_too_large",
            Self::SessionEnded => "upstream_session_ended",
            Self::NotOffered(_) => "upstream_not_offered",
            Self::UnknownRequest => "unknown_request",
            Self::NoCommonVersion { .. } => "upstream_no_common_version",
            Self::HandshakeRefused(_) => "upstream_handshake_refused",
            Self::Unsendable(_) => "unsendable",
            Self::Exited { .. } => "upstream_exited",
            Self::BackingOff { .. } => "upstream_backing_off",
            Self::Busy { .. } => "upstream_busy",
            Self::SlowClient => "slow_client",
            Self::Configuration(_) => "upstream_configuration",
        }
    }
}

impl From<sallyport_mcp::Error> for UpstreamError {
    fn from(error: sallyport_mcp::Error) -> Self {
        Self::Unsendable(Box::new(error))
    }
}

/// An exchange over HTTP that failed before its answer's head.
impl From<sallyport_outbound::Error> for UpstreamError {
    fn from(error: sallyport_outbound::Error) -> Self {
        use sallyport_outbound::Error as Out;
        match error {
            Out::Upstream { sent: true, source, .. } => Self::Broken { what: source.to_string(), sent: true },
            Out::LineTooLong { limit } => Self::TooLarge { limit },
            Out::Pipe(source) => Self::Broken { what: source.to_string(), sent: true },
            Out::ForeignHost { .. } | Out::BadUrl { .. } | Out::Tls(_) => Self::Configuration(error.to_string()),
            other => Self::Unreachable(Box::new(other)),
        }
    }
}
