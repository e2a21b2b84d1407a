//! The TLS client certificate of whoever sent a request.

use std::sync::Arc;

/// A client certificate whose key the TLS handshake proved, as a request extension (`http::Extensions`). Put there
/// by whoever terminates TLS, and never from a header of a stranger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The end entity's certificate, DER, as sent in the handshake.
    pub der: Arc<[u8]>,
    /// `x5t#S256` (RFC 8705 section 3.1): its SHA-256 in unpadded base64url.
    pub x5t_s256: Arc<str>,
    /// Whether its chain ends at an authority that the operator named for clients. Where it does not, the certificate
    /// proves its key and nothing that is written in it.
    pub trusted: bool,
}
