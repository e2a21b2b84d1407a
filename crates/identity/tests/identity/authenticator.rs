//! An authenticator in software: ES256, attestation `none`, user verification on.

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

pub(crate) struct Authenticator {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    user_handle: String,
    pub(crate) counter: u32,
    pub(crate) origin: String,
    pub(crate) verifies: bool,
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

impl Authenticator {
    pub(crate) fn new(origin: &str, id: u8) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self {
            key,
            id: vec![id; 32],
            user_handle: String::new(),
            counter: 1,
            origin: origin.to_owned(),
            verifies: true,
        }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = &options["publicKey"]["challenge"];
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false})
            .to_string()
            .into_bytes()
    }

    fn head(&self, rp_id: &str, flags: u8) -> Vec<u8> {
        let verified = if self.verifies { VERIFIED } else { 0 };
        [sha256(rp_id.as_bytes()), vec![flags | verified], self.counter.to_be_bytes().to_vec()].concat()
    }

    /// `navigator.credentials.create`.
    pub(crate) fn create(&mut self, options: &Value) -> Value {
        assert_eq!(options["mode"], "create");
        let public = &options["publicKey"];
        self.user_handle = public["user"]["id"].as_str().unwrap().to_owned();
        let point = self.key.public_key().as_ref().to_vec();
        // COSE_Key (RFC 9053): kty 2, alg -7, crv 1, x, y.
        let cose =
            [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], &point[1..33], &[0x22, 0x58, 32], &point[33..]].concat();
        let data = [
            self.head(public["rp"]["id"].as_str().unwrap(), PRESENT | ATTESTED),
            vec![0; 16],
            (self.id.len() as u16).to_be_bytes().to_vec(),
            self.id.clone(),
            cose,
        ]
        .concat();
        let length = u8::try_from(data.len()).expect("fits one length byte");
        let object = [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".as_slice(), &[length], &data].concat();
        let client_data = self.client_data("webauthn.create", options);
        json!({
            "id": b64(&self.id), "rawId": b64(&self.id), "type": "public-key", "extensions": {},
            "response": {"attestationObject": b64(&object), "clientDataJSON": b64(&client_data)},
        })
    }

    /// `navigator.credentials.get`.
    pub(crate) fn get(&mut self, options: &Value) -> Value {
        assert_eq!(options["mode"], "get");
        self.counter += 1;
        let data = self.head(options["publicKey"]["rpId"].as_str().unwrap(), PRESENT);
        let client_data = self.client_data("webauthn.get", options);
        let signed = [data.clone(), sha256(&client_data)].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": b64(&self.id), "rawId": b64(&self.id), "type": "public-key", "extensions": {},
            "response": {
                "authenticatorData": b64(&data), "clientDataJSON": b64(&client_data),
                "signature": b64(signature.as_ref()), "userHandle": self.user_handle,
            },
        })
    }
}
