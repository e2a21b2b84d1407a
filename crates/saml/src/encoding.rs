//! Base64 and DEFLATE of strangers, bounded before they are undone.

use std::io::{Read as _, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use crate::SamlFault;

/// Undoes base64 (RFC 4648, section 4); white space between is allowed, as XML and forms make it.
pub(crate) fn base64(what: &'static str, text: &str, limit: usize) -> Result<Vec<u8>, SamlFault> {
    // Line ends of 64 columns add less than a tenth.
    if text.len() > limit.saturating_mul(2) {
        return Err(SamlFault::TooLarge { what: "bytes", limit });
    }
    let packed: Vec<u8> = text.bytes().filter(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')).collect();
    let bytes = STANDARD.decode(packed).map_err(|_| SamlFault::NotBase64 { what })?;
    if bytes.len() > limit { Err(SamlFault::TooLarge { what: "bytes", limit }) } else { Ok(bytes) }
}

/// Undoes raw DEFLATE (RFC 1951), never to more than `limit` bytes.
pub(crate) fn inflate(packed: &[u8], limit: usize) -> Result<Vec<u8>, SamlFault> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    DeflateDecoder::new(packed).take(most).read_to_end(&mut bytes).map_err(|_| SamlFault::NotDeflate)?;
    if bytes.len() > limit { Err(SamlFault::TooLarge { what: "bytes", limit }) } else { Ok(bytes) }
}

/// Raw DEFLATE.
pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // Into memory: there is nothing that could fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_refused_at_the_bound() {
        let bomb = deflate(&vec![b'a'; 10 << 20]);
        assert!(bomb.len() < 20_000);
        assert_eq!(inflate(&bomb, 1000), Err(SamlFault::TooLarge { what: "bytes", limit: 1000 }));
        assert_eq!(inflate(&deflate(b"<a/>"), 1000).unwrap(), b"<a/>");
        assert_eq!(inflate(b"\xff\xff\xff", 1000), Err(SamlFault::NotDeflate));
    }
}
