//! A provider for tests: keys of every kind, and tokens with any header and any claim.

mod flow;
mod id_token;
mod jwks;
mod logout;
mod presets;
mod provider;

use std::time::Duration;

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use sallyport_model::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::jws;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const CLIENT: &str = "gate";

pub(crate) fn moment() -> Moment {
    Moment { now: NOW, leeway: Duration::from_secs(60) }
}

pub(crate) fn rule() -> IssuerRule {
    IssuerRule::exact(ISSUER, Transport::Https).unwrap()
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A private key of a provider.
pub(crate) struct TestKey {
    pub(crate) kid: &'static str,
    pub(crate) algorithm: Algorithm,
    pair: Pair,
    pub(crate) pkcs8: Vec<u8>,
}

impl TestKey {
    pub(crate) fn new(kid: &'static str, algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let ec = |curve| {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap().as_ref().to_vec();
            (Pair::Ec(EcdsaKeyPair::from_pkcs8(curve, &pkcs8).unwrap()), pkcs8)
        };
        let (pair, pkcs8) = match algorithm {
            Algorithm::Es256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDsa => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref().to_vec();
                (Pair::Ed(Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap()), pkcs8)
            }
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
                let pkcs8 = pkcs8.as_ref().to_vec();
                (Pair::Rsa(pair), pkcs8)
            }
        };
        Self { kid, algorithm, pair, pkcs8 }
    }

    /// The raw public key: what a verifier that confuses algorithms would take for an HMAC secret.
    pub(crate) fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref()[1..].to_vec();
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": jws::encode(x), "y": jws::encode(y)})
            }
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                json!({"kty": "RSA", "n": jws::encode(public.modulus().big_endian_without_leading_zero()),
                    "e": jws::encode(public.exponent().big_endian_without_leading_zero())})
            }
            Pair::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": jws::encode(pair.public_key().as_ref())}),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding =
                    if self.algorithm == Algorithm::Ps256 { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// Any header and any payload, signed by this key.
    pub(crate) fn forge(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", jws::encode(header.as_bytes()), jws::encode(claims.as_bytes()));
        format!("{input}.{}", jws::encode(&self.signature(input.as_bytes())))
    }

    pub(crate) fn header(&self, typ: Option<&str>) -> Value {
        let mut header = json!({"alg": self.algorithm.as_str(), "kid": self.kid});
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        header
    }

    pub(crate) fn sign(&self, typ: Option<&str>, claims: &Value) -> String {
        self.forge(&self.header(typ).to_string(), &claims.to_string())
    }
}

pub(crate) fn key_set(keys: &[&TestKey]) -> Jwks {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    Jwks::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// `claims` with some of them changed; `null` takes one away.
pub(crate) fn with(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().shift_remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// Metadata of a good provider.
pub(crate) fn metadata_document() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://idp.example/authorize",
        "token_endpoint": "https://idp.example/token",
        "jwks_uri": "https://idp.example/jwks",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
    })
}

pub(crate) fn metadata() -> ProviderMetadata {
    parse_metadata(&metadata_document()).unwrap()
}

pub(crate) fn parse_metadata(document: &Value) -> Result<ProviderMetadata, OidcFault> {
    ProviderMetadata::parse(document.to_string().as_bytes(), &rule(), Transport::Https)
}
