//! Decrypts an `EncryptedAssertion` (XML Encryption 1.1): key transport by RSA-OAEP, content by AES-GCM.
//!
//! Encryption proves nothing about the sender: everybody has our public key. So what comes out is as untrusted as
//! what went in, unless a signature covers the one or the other.
//!
//! | algorithm | |
//! |---|---|
//! | RSA-OAEP, digest and MGF1 both SHA-1, SHA-256, SHA-384 or SHA-512 | taken; OAEP does not need a digest without collisions |
//! | RSA PKCS#1 v1.5 | refused (Bleichenbacher) |
//! | AES-GCM | taken |
//! | AES-CBC | taken only inside a response whose signature was verified before: whoever can change the ciphertext and watch the answers can read it (Jager and Somorovsky 2011), and there nobody can |
//! | 3DES, key wrap | refused |

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey},
    iv::FixedLength,
    rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm},
};
use zeroize::Zeroizing;

use crate::{
    SamlFault, SpKey,
    algorithm::refused,
    encoding,
    names::{DS, SHA256, SHA384, SHA512, XENC, XENC11},
    xml::{Element, Limits},
};

/// Recipients that an assertion may be encrypted for.
const MOST_KEYS: usize = 4;
const SHA1: &str = "http://www.w3.org/2000/09/xmldsig#sha1";

/// The clear text of `encrypted`, an `EncryptedAssertion`. `under_signature` says whether a verified signature
/// covers it.
pub(crate) fn decrypt(
    encrypted: Element<'_>,
    keys: &[SpKey],
    under_signature: bool,
) -> Result<Zeroizing<Vec<u8>>, SamlFault> {
    if keys.is_empty() {
        return Err(SamlFault::NoDecryptionKey);
    }
    let body = encrypted.one(XENC, "EncryptedData")?;
    let method = body.one(XENC, "EncryptionMethod")?.required("Algorithm")?;
    let content = Content::from_uri(method)?;
    if content.is_cbc() && !under_signature {
        return Err(SamlFault::UnauthenticatedEncryption { algorithm: method.to_owned() });
    }
    let ciphertext = cipher_value(body)?;
    // The wrapped key stands inside the data's KeyInfo or beside the data.
    let inside = body.at_most_one(DS, "KeyInfo")?;
    let wrapped: Vec<Element<'_>> = inside
        .iter()
        .flat_map(|info| info.named(XENC, "EncryptedKey"))
        .chain(encrypted.named(XENC, "EncryptedKey"))
        .collect();
    if wrapped.is_empty() {
        return Err(SamlFault::MissingElement { parent: "EncryptedAssertion".to_owned(), element: "EncryptedKey" });
    }
    if wrapped.len() > MOST_KEYS {
        return Err(SamlFault::TooLarge { what: "encrypted keys", limit: MOST_KEYS });
    }
    for one in wrapped {
        let algorithm = key_transport(one.one(XENC, "EncryptionMethod")?)?;
        let bytes = cipher_value(one)?;
        for key in keys {
            let Some(secret) = key.unwrap_key(algorithm, &bytes) else { continue };
            if let Some(clear) = content.open(&secret, &ciphertext) {
                return Ok(clear);
            }
        }
    }
    Err(SamlFault::CannotDecrypt)
}

/// The bytes in `CipherData`; a reference to bytes elsewhere is not followed.
fn cipher_value(of: Element<'_>) -> Result<Vec<u8>, SamlFault> {
    let value = of.one(XENC, "CipherData")?.one(XENC, "CipherValue")?;
    encoding::base64("CipherValue", &value.token()?, Limits::MESSAGE.bytes)
}

fn key_transport(method: Element<'_>) -> Result<&'static OaepAlgorithm, SamlFault> {
    const PURPOSE: &str = "key transport algorithm";
    let algorithm = method.required("Algorithm")?;
    let digest = method.at_most_one(DS, "DigestMethod")?.map(|e| e.required("Algorithm")).transpose()?;
    let mgf = method.at_most_one(XENC11, "MGF")?.map(|e| e.required("Algorithm")).transpose()?;
    if method.at_most_one(XENC, "OAEPparams")?.is_some() {
        return Err(refused(PURPOSE, "RSA-OAEP with OAEPparams"));
    }
    let mgf = match algorithm {
        "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p" => "sha1",
        "http://www.w3.org/2009/xmlenc11#rsa-oaep" => {
            mgf.map_or("sha1", |uri| uri.strip_prefix("http://www.w3.org/2009/xmlenc11#mgf1").unwrap_or("unknown"))
        }
        other => return Err(refused(PURPOSE, other)),
    };
    match (digest.unwrap_or(SHA1), mgf) {
        (SHA1, "sha1") => Ok(&OAEP_SHA1_MGF1SHA1),
        (SHA256, "sha256") => Ok(&OAEP_SHA256_MGF1SHA256),
        (SHA384, "sha384") => Ok(&OAEP_SHA384_MGF1SHA384),
        (SHA512, "sha512") => Ok(&OAEP_SHA512_MGF1SHA512),
        (digest, mgf) => Err(refused(PURPOSE, &format!("{algorithm} with digest {digest} and MGF1 {mgf}"))),
    }
}

/// How the content is encrypted: the mode and the key's bytes.
#[derive(Clone, Copy)]
enum Content {
    Gcm(usize),
    Cbc(usize),
}

impl Content {
    fn from_uri(uri: &str) -> Result<Self, SamlFault> {
        Ok(match uri {
            "http://www.w3.org/2009/xmlenc11#aes128-gcm" => Self::Gcm(16),
            "http://www.w3.org/2009/xmlenc11#aes192-gcm" => Self::Gcm(24),
            "http://www.w3.org/2009/xmlenc11#aes256-gcm" => Self::Gcm(32),
            "http://www.w3.org/2001/04/xmlenc#aes128-cbc" => Self::Cbc(16),
            "http://www.w3.org/2001/04/xmlenc#aes192-cbc" => Self::Cbc(24),
            "http://www.w3.org/2001/04/xmlenc#aes256-cbc" => Self::Cbc(32),
            other => return Err(refused("encryption algorithm", other)),
        })
    }

    fn is_cbc(self) -> bool {
        matches!(self, Self::Cbc(_))
    }

    fn open(self, key: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Gcm(length) if key.len() == length => gcm(key, ciphertext),
            Self::Cbc(length) if key.len() == length => cbc(key, ciphertext),
            _ => None,
        }
    }
}

/// 12 bytes of nonce, the ciphertext, 16 bytes of tag.
fn gcm(key: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let algorithm = match key.len() {
        16 => &AES_128_GCM,
        24 => &AES_192_GCM,
        _ => &AES_256_GCM,
    };
    let (nonce, sealed) = ciphertext.split_at_checked(12)?;
    let opener = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    let mut clear = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let length = opener.open_in_place(nonce, Aad::empty(), &mut clear).ok()?.len();
    clear.truncate(length);
    Some(clear)
}

/// 16 bytes of IV, then whole blocks; the last byte says how many bytes fill them up.
fn cbc(key: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        _ => &AES_256,
    };
    let (iv, blocks) = ciphertext.split_at_checked(16)?;
    if blocks.is_empty() || blocks.len() % 16 != 0 {
        return None;
    }
    let iv: [u8; 16] = iv.try_into().ok()?;
    let mut clear = Zeroizing::new(blocks.to_vec());
    let key = DecryptingKey::cbc(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
    key.decrypt(&mut clear, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?;
    let filled = usize::from(*clear.last()?);
    if filled == 0 || filled > 16 {
        return None;
    }
    let length = clear.len() - filled;
    clear.truncate(length);
    Some(clear)
}
