//! Signs our own messages.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    SamlFault, SpKey,
    names::{DS, ENVELOPED, EXCLUSIVE, RSA_SHA256, SHA256},
    xml::{Limits, Writer, canonical, read},
};

/// Puts an enveloped signature by `key` into `xml` at byte `at`, right after the start tag or its `Issuer`.
///
/// The root must have an `ID`.
pub(crate) fn finish_signed(xml: &str, at: usize, key: &SpKey) -> Result<String, SamlFault> {
    let limits = Limits::METADATA;
    let document = read(xml.as_bytes(), &limits)?;
    let root = document.root();
    let uri = format!("#{}", root.required("ID")?);
    let hash = digest::digest(&digest::SHA256, &canonical(root, None, &[], limits.bytes)?);
    let unsigned = signature(&uri, hash.as_ref(), "", key);
    let parsed = read(unsigned.as_bytes(), &limits)?;
    let info = parsed.root().one(DS, "SignedInfo")?;
    let value = STANDARD.encode(key.sign(&canonical(info, None, &[], limits.bytes)?)?);
    let mut whole = xml.to_owned();
    whole.insert_str(at, &signature(&uri, hash.as_ref(), &value, key));
    Ok(whole)
}

fn signature(uri: &str, hash: &[u8], value: &str, key: &SpKey) -> String {
    let algorithm = |uri| [("Algorithm", Some(uri))];
    let mut writer = Writer::new();
    writer.open("ds:Signature", &[("xmlns:ds", Some(DS))]);
    writer.open("ds:SignedInfo", &[]);
    writer.empty("ds:CanonicalizationMethod", &algorithm(EXCLUSIVE));
    writer.empty("ds:SignatureMethod", &algorithm(RSA_SHA256));
    writer.open("ds:Reference", &[("URI", Some(uri))]);
    writer.open("ds:Transforms", &[]);
    writer.empty("ds:Transform", &algorithm(ENVELOPED));
    writer.empty("ds:Transform", &algorithm(EXCLUSIVE));
    writer.close();
    writer.empty("ds:DigestMethod", &algorithm(SHA256));
    writer.leaf("ds:DigestValue", &[], &STANDARD.encode(hash));
    writer.close().close();
    writer.leaf("ds:SignatureValue", &[], value);
    writer.open("ds:KeyInfo", &[]).open("ds:X509Data", &[]);
    writer.leaf("ds:X509Certificate", &[], &key.certificate().base64());
    writer.finish()
}
