//! Who holds a DPoP key.

use std::sync::Mutex;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sallyport_model::{KeyBinding, SigningKeyId, SystemRng, Timestamp};
use sallyport_oauth::{
    SigningKey,
    dpop::{Target, prove},
    thumbprint,
};
use serde_json::Value;

use super::{NOW, PUBLIC, client::Reply};

/// A key, and the last nonce that its holder was given.
pub struct Holder {
    key: SigningKey,
    pkcs8: Vec<u8>,
    nonce: Mutex<Option<String>>,
}

/// What a proof says.
pub struct Says<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub token: Option<&'a str>,
    pub nonce: Option<&'a str>,
    pub at: u64,
}

impl Holder {
    pub fn new() -> Self {
        Self::of(SigningKey::generate().unwrap().to_vec())
    }

    /// The same key once more.
    pub fn new_with(other: &Self) -> Self {
        Self::of(other.pkcs8.clone())
    }

    fn of(pkcs8: Vec<u8>) -> Self {
        let key = SigningKey::from_pkcs8(SigningKeyId::new("holder").unwrap(), &pkcs8).unwrap();
        Self { key, pkcs8, nonce: Mutex::default() }
    }

    /// The `cnf` of a token of this key.
    pub fn cnf(&self) -> KeyBinding {
        let proof = self.prove(&Says { method: "GET", url: PUBLIC, token: None, nonce: None, at: NOW });
        let header = URL_SAFE_NO_PAD.decode(proof.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        KeyBinding::Dpop(thumbprint::of_jwk(header["jwk"].as_object().unwrap()).unwrap())
    }

    /// Remembers the nonce of an answer.
    pub fn hear(&self, reply: &Reply) -> String {
        let nonce = reply.header("dpop-nonce").to_owned();
        assert!(!nonce.is_empty(), "an answer to one who speaks DPoP has a nonce");
        *self.nonce.lock().unwrap() = Some(nonce.clone());
        nonce
    }

    /// A good proof for a request at an upstream.
    pub fn proof(&self, method: &str, upstream: &str, token: &str) -> String {
        let url = format!("{PUBLIC}/mcp/{upstream}");
        let nonce = self.nonce.lock().unwrap().clone();
        self.prove(&Says { method, url: &url, token: Some(token), nonce: nonce.as_deref(), at: NOW })
    }

    pub fn prove(&self, says: &Says<'_>) -> String {
        let url = says.url.parse().unwrap();
        let target = Target { method: says.method, url: &url, nonce: says.nonce, access_token: says.token };
        prove(&target, &self.key, Timestamp::from_secs(says.at), &SystemRng).unwrap()
    }
}
