//! What can go wrong on the way out, and whose fault it is.

use std::{io, net::IpAddr, time::Duration};

use crate::RefusedAddress;

/// A failure on the way out. Hosts are named, paths and queries are not: they may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's URL: not one that may be fetched.
    #[error("the URL of `{host}` is refused: {why}")]
    BadUrl {
        /// Its host; empty where it has none.
        host: String,
        /// What to change.
        why: &'static str,
    },
    /// The URL's name points to where nothing of a stranger may be fetched from.
    #[error("`{host}` resolves to {address}, which is {why}; only public addresses and allowed networks are reached")]
    AddressRefused {
        /// The name in the URL.
        host: String,
        /// The address.
        address: IpAddr,
        /// What kind of address that is.
        why: RefusedAddress,
    },
    /// The name does not resolve.
    #[error("cannot resolve `{host}`: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// No connection, or no TLS over it. Nothing of the request was sent.
    #[error("cannot connect to `{host}`: {source}")]
    Connect {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The peer does not speak HTTP properly, or broke off.
    #[error("`{host}` broke off or answered no valid HTTP: {source}")]
    Exchange {
        /// The host.
        host: String,
        /// Why.
        source: hyper::Error,
    },
    /// A redirect; none is followed.
    #[error("`{host}` redirects to `{location}`; redirects are not followed, so name the final URL")]
    Redirect {
        /// Who redirects.
        host: String,
        /// The host that it names; empty where it names none.
        location: String,
    },
    /// The body is larger than allowed.
    #[error("the answer of `{host}` is larger than {limit} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// The limit, bytes.
        limit: usize,
    },
    /// Everything together took too long.
    #[error("`{host}` did not answer within {after:?}")]
    Timeout {
        /// The host.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// The media type, or its encoding, is not what was asked for.
    #[error("`{host}` answers with `{found}`, which was not asked for")]
    ContentType {
        /// The host.
        host: String,
        /// `Content-Type` or `Content-Encoding`; empty where absent.
        found: String,
    },
    /// A request for another host than the client was made for: the caller's mistake.
    #[error("this client reaches `{configured}` only, not `{asked}`")]
    ForeignHost {
        /// The configured origin.
        configured: String,
        /// The origin of the request.
        asked: String,
    },
    /// An exchange with a configured upstream failed.
    #[error("the exchange with `{host}` failed: {source}")]
    Upstream {
        /// The host.
        host: String,
        /// False when not a byte of the request can have been processed.
        sent: bool,
        /// Why.
        source: hyper_util::client::legacy::Error,
    },
    /// A certificate, key or TLS setting of the configuration does not work.
    #[error("the TLS configuration does not work: {0}")]
    Tls(String),
    /// The command does not start.
    #[error("cannot start `{command}`: {source}; check that it is installed and on PATH")]
    Spawn {
        /// The command, without arguments.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// A process wrote a longer line than allowed.
    #[error("the process wrote a line longer than {limit} bytes")]
    LineTooLong {
        /// The limit, bytes.
        limit: usize,
    },
    /// A pipe to a process failed.
    #[error("the pipe to the process failed: {0}")]
    Pipe(io::Error),
    /// No port of this machine can be listened on.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(io::Error),
    /// The gate is stopping and starts nothing any more.
    #[error("no process is started any more: the gate is stopping")]
    Stopping,
}

impl Error {
    /// Whether the peer may have acted on the request.
    pub fn may_have_been_sent(&self) -> bool {
        match self {
            Self::Upstream { sent, .. } => *sent,
            Self::Exchange { .. } | Self::Timeout { .. } | Self::TooLarge { .. } | Self::ContentType { .. } => true,
            Self::Redirect { .. } | Self::LineTooLong { .. } | Self::Pipe(_) => true,
            _ => false,
        }
    }
}
