//! Tokens that nobody should accept: unsigned, signed by a key of our own, or altered.
//!
//! Every one holds claims that would be right, so that only the signature, or the issuer, speaks against it.
//! The keys are made for the run and kept nowhere.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value, json};

/// Claims of an access token (RFC 9068 section 2.2).
pub(super) type Claims = Map<String, Value>;

/// Unpadded base64url.
fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn signing_input(header: &Value, claims: &Claims) -> String {
    format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(Value::Object(claims.clone()).to_string().as_bytes())
    )
}

/// A token of that header and these claims with an empty signature.
pub(super) fn unsigned(header: &Value, claims: &Claims) -> String {
    format!("{}.", signing_input(header, claims))
}

/// A P-256 key of our own.
pub(super) struct EcKey {
    pair: EcdsaKeyPair,
}

impl EcKey {
    /// A new one; `None` where the machine cannot make it.
    pub(super) fn generate() -> Option<Self> {
        Some(Self { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()? })
    }

    /// The public half as a JWK (RFC 7518 section 6.2).
    pub(super) fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        // An uncompressed point: 0x04, then both coordinates (SEC 1 section 2.3.3).
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len().saturating_sub(1) / 2);
        json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
    }

    /// A token signed ES256, whatever `alg` the header states.
    pub(super) fn sign(&self, header: &Value, claims: &Claims) -> Option<String> {
        let input = signing_input(header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).ok()?;
        Some(format!("{input}.{}", encode(signature.as_ref())))
    }
}

/// An RSA key of our own.
pub(super) struct RsaKey {
    pair: RsaKeyPair,
}

impl RsaKey {
    /// A new one of 2,048 bits.
    pub(super) fn generate() -> Option<Self> {
        Some(Self { pair: RsaKeyPair::generate(KeySize::Rsa2048).ok()? })
    }

    /// A token signed RS256.
    pub(super) fn sign(&self, header: &Value, claims: &Claims) -> Option<String> {
        let input = signing_input(header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).ok()?;
        Some(format!("{input}.{}", encode(&signature)))
    }
}

/// A token signed HS256 with `secret`.
pub(super) fn hmac_signed(secret: &[u8], header: &Value, claims: &Claims) -> String {
    let input = signing_input(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", encode(tag.as_ref()))
}

/// The public texts that a verifier which confuses algorithms would take as an HMAC secret: the key as PEM.
/// `None` for keys of other kinds than RSA and P-256.
pub(super) fn pem(jwk: &Value) -> Option<String> {
    let der = spki(jwk)?;
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
}

/// SubjectPublicKeyInfo (RFC 5280 section 4.1; RFC 8017 appendix A.1.1; RFC 5480 section 2).
fn spki(jwk: &Value) -> Option<Vec<u8>> {
    let member = |name: &str| -> Option<Vec<u8>> {
        let text = jwk.get(name)?.as_str().filter(|text| text.len() <= 4096)?;
        URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
    };
    match jwk.get("kty")?.as_str()? {
        "RSA" => {
            // rsaEncryption with NULL parameters.
            const ALGORITHM: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
            let key = tagged(0x30, &[integer(&member("n")?), integer(&member("e")?)].concat());
            let bits = tagged(0x03, &[&[0][..], &key].concat());
            Some(tagged(0x30, &[ALGORITHM, &bits].concat()))
        }
        "EC" if jwk.get("crv")?.as_str()? == "P-256" => {
            // id-ecPublicKey with prime256v1.
            const ALGORITHM: &[u8] =
                b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
            let bits = tagged(0x03, &[&[0, 4][..], &member("x")?, &member("y")?].concat());
            Some(tagged(0x30, &[ALGORITHM, &bits].concat()))
        }
        _ => None,
    }
}

/// A DER INTEGER that is not negative (X.690 section 8.3).
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let mut content = bytes[start..].to_vec();
    if content.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    tagged(0x02, &content)
}

/// X.690 section 8.1.3.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut der = vec![tag];
    if content.len() >= 0x80 {
        // Never more than eight bytes.
        der.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
    }
    der.extend_from_slice(significant);
    der.extend_from_slice(content);
    der
}

/// Copies of a genuine JWT that its signature no longer fits, each with what was done; empty for a token that is
/// none.
pub(super) fn altered(token: &str) -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else { return Vec::new() };
    let object = |part: &str| -> Option<Claims> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let (Some(head), Some(mut claims)) = (object(header), object(payload)) else { return Vec::new() };
    let mut none = head;
    none.insert("alg".to_owned(), json!("none"));
    let mut out = vec![
        ("its signature taken away", format!("{header}.{payload}.")),
        (
            "its signature taken away and alg none",
            format!("{}.{payload}.", encode(Value::Object(none).to_string().as_bytes())),
        ),
    ];
    claims.insert("sallyport_altered".to_owned(), json!(true));
    out.push((
        "a claim added",
        format!("{header}.{}.{signature}", encode(Value::Object(claims).to_string().as_bytes())),
    ));
    if let Some(flipped) = flipped(signature) {
        out.push(("its signature changed", format!("{header}.{payload}.{flipped}")));
    }
    out
}

/// The signature with its first byte changed: the last character may hold bits that mean nothing.
fn flipped(signature: &str) -> Option<String> {
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).ok()?;
    *bytes.get_mut(8)? ^= 0x55;
    Some(encode(&bytes))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use proptest::prelude::*;

    use super::*;

    fn claims() -> Claims {
        json!({"aud": "https://h/mcp", "iss": "https://as"}).as_object().unwrap().clone()
    }

    fn parts(token: &str) -> (String, Vec<u8>) {
        let (input, signature) = token.rsplit_once('.').unwrap();
        (input.to_owned(), URL_SAFE_NO_PAD.decode(signature).unwrap())
    }

    #[test]
    fn our_own_signatures_are_genuine_signatures_of_our_own_keys() {
        let ec = EcKey::generate().unwrap();
        let (input, signature) = parts(&ec.sign(&json!({"alg": "ES256", "jwk": ec.jwk()}), &claims()).unwrap());
        let mut point = vec![4];
        for name in ["x", "y"] {
            point.extend(URL_SAFE_NO_PAD.decode(ec.jwk()[name].as_str().unwrap()).unwrap());
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).verify(input.as_bytes(), &signature).unwrap();

        let rsa = RsaKey::generate().unwrap();
        let (input, signature) = parts(&rsa.sign(&json!({"alg": "RS256"}), &claims()).unwrap());
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa.pair.public_key().as_ref())
            .verify(input.as_bytes(), &signature)
            .unwrap();
    }

    #[test]
    fn a_public_key_becomes_the_pem_that_a_library_would_write() {
        let rsa = RsaKey::generate().unwrap();
        let public = rsa.pair.public_key();
        let (n, e) = (public.modulus(), public.exponent());
        let jwk = json!({
            "kty": "RSA",
            "n": encode(n.big_endian_without_leading_zero()),
            "e": encode(e.big_endian_without_leading_zero()),
        });
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(public).unwrap();
        assert_eq!(spki(&jwk).unwrap(), der.as_ref());

        let ec = EcKey::generate().unwrap();
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(ec.pair.public_key()).unwrap();
        assert_eq!(spki(&ec.jwk()).unwrap(), der.as_ref());
        let pem = pem(&ec.jwk()).unwrap();
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"), "{pem}");
        assert_eq!(super::pem(&json!({"kty": "oct", "k": "x"})), None);
    }

    #[test]
    fn an_altered_token_keeps_its_form_and_no_signature_fits() {
        let ec = EcKey::generate().unwrap();
        let token = ec.sign(&json!({"alg": "ES256", "kid": "1"}), &claims()).unwrap();
        let copies = altered(&token);
        assert_eq!(copies.len(), 4);
        for (what, copy) in &copies {
            assert_ne!(copy, &token, "{what}");
            assert_eq!(copy.split('.').count(), 3);
            let claims: Value =
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(copy.split('.').nth(1).unwrap()).unwrap()).unwrap();
            assert_eq!(claims["aud"], "https://h/mcp", "{what}");
        }
        assert!(altered("op-opaque").is_empty());
        assert!(altered("a.b.c").is_empty());
    }

    proptest! {
        #[test]
        fn no_strangers_key_or_token_panics(n in "[A-Za-z0-9_=-]{0,400}", token in "[A-Za-z0-9_.=-]{0,80}") {
            for jwk in [json!({"kty": "RSA", "n": n, "e": "AQAB"}), json!({"kty": "EC", "crv": "P-256", "x": n, "y": n})] {
                let _ = pem(&jwk);
            }
            let _ = altered(&token);
        }
    }
}
