//! Digests that name a key or a certificate: RFC 7638 and RFC 8705 section 3.1.
//!
//! A thumbprint is a name and no secret; whoever shows one has proved nothing yet.

use aws_lc_rs::digest;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use crate::jws;

/// The length of every thumbprint here: SHA-256 in unpadded base64url.
pub const LENGTH: usize = 43;

/// The thumbprint of a public JWK (RFC 7638 section 3): over the members that make up the key, and those only.
/// `None` for a kind of key that is not known here.
pub fn of_jwk(jwk: &Map<String, Value>) -> Option<String> {
    // In the order of RFC 7638 section 3.3; RFC 8037 section 2 for OKP.
    let members: &[&str] = match jwk.get("kty").and_then(Value::as_str)? {
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let mut canonical = String::from("{");
    for (at, name) in members.iter().enumerate() {
        let value = jwk.get(*name)?.as_str()?;
        canonical.push_str(if at == 0 { "" } else { "," });
        canonical.push_str(&format!("{}:{}", Value::from(*name), Value::from(value)));
    }
    canonical.push('}');
    Some(sha256(canonical.as_bytes()))
}

/// The `x5t#S256` of a certificate (RFC 8705 section 3.1); `der` is the certificate as sent in the handshake.
pub fn of_certificate(der: &[u8]) -> String {
    sha256(der)
}

/// Whether `text` has the form of a thumbprint: 43 characters of canonical base64url.
pub fn is_one(text: &str) -> bool {
    text.len() == LENGTH && jws::decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

/// Whether two thumbprints, or other digests in text, are the same, in a time that tells nothing.
pub fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// SHA-256 in unpadded base64url.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    jws::encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn thumbprint(jwk: &Value) -> Option<String> {
        of_jwk(jwk.as_object().unwrap())
    }

    #[test]
    fn the_examples_of_rfc_7638_and_rfc_9449_come_out() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE\
                 CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q\
                 vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6\
                 WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let rsa = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        assert_eq!(thumbprint(&rsa).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let ec = json!({"kty": "EC", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA", "crv": "P-256"});
        assert_eq!(thumbprint(&ec).unwrap(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        // RFC 8037 appendix A.3.
        let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(thumbprint(&okp).unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(thumbprint(&json!({"kty": "oct", "k": "AA"})), None);
        assert_eq!(thumbprint(&json!({"kty": "EC", "crv": "P-256", "x": 1, "y": "a"})), None);
    }

    #[test]
    fn only_a_digest_has_the_form_of_one() {
        let one = of_certificate(b"der");
        assert!(is_one(&one) && same(&one, &one) && !same(&one, &of_certificate(b"other")));
        for bad in ["", "abc", &one[..42], &format!("{one}A"), &format!("{}=", &one[..42]), &format!("{}!", &one[..42])]
        {
            assert!(!is_one(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn only_the_members_of_the_key_count(x in "\\PC{0,12}", y in "\\PC{0,12}", kid in "\\PC{0,12}") {
            let key = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
            let mut more = key.clone();
            more["kid"] = json!(kid);
            let one = thumbprint(&key).unwrap();
            prop_assert!(is_one(&one));
            prop_assert_eq!(thumbprint(&more), Some(one.clone()));
            let other = json!({"kty": "EC", "crv": "P-256", "x": format!("{x}a"), "y": y});
            prop_assert_ne!(thumbprint(&other), Some(one));
        }
    }
}
