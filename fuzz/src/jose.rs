//! Tokens as they arrive.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sallyport_oauth::jws::{Compact, MAX_BYTES, encode};
use serde_json::Value;

/// A token that is taken apart has exactly one spelling: its signature, encoded, is what was written, and header and
/// claims are what another parser reads, with no name twice.
pub fn jws_compact(bytes: &[u8]) {
    let Ok(token) = std::str::from_utf8(bytes) else { return };
    let Ok(compact) = Compact::parse_foreign(token, MAX_BYTES) else {
        assert!(Compact::parse(token).is_err(), "our own tokens are read more strictly, not less");
        return;
    };
    assert_eq!(token, format!("{}.{}", compact.signing_input, encode(&compact.signature)), "a second spelling");
    let parts: Vec<Vec<u8>> = compact
        .signing_input
        .split('.')
        .map(|part| {
            let bytes = URL_SAFE_NO_PAD.decode(part).expect("accepted what is not base64url");
            assert_eq!(part, encode(&bytes), "a second spelling");
            bytes
        })
        .collect();
    let [header, payload] = parts.as_slice() else { panic!("not three parts") };
    let header = crate::json::unambiguous(header).expect("another parser refuses the header");
    let claims = crate::json::unambiguous(payload).expect("another parser refuses the claims");
    assert_eq!(Value::Object(compact.claims), claims);
    assert_eq!(header.get("alg").and_then(Value::as_str), Some(compact.alg.as_str()));
    assert_eq!(header.get("typ").and_then(Value::as_str), compact.typ.as_deref());
    assert_eq!(header.get("kid").and_then(Value::as_str), compact.kid.as_deref());
    for name in ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"] {
        assert!(header.get(name).is_none(), "`{name}` in the header of an accepted token");
    }
}
