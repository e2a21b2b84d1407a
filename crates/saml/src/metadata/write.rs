//! Our metadata, for the identity provider's administrator.

use sallyport_model::{Rng, Timestamp};

use super::Binding;
use crate::{
    Certificate, SamlFault, ServiceProvider,
    message::fresh_id,
    names::{DS, MD, SAMLP, XENC11, name_id_format},
    signature::finish_signed,
    time::written,
    xml::Writer,
};

/// What else the document says.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpMetadata<'a> {
    /// The format of `NameID` that is wanted first.
    pub name_id_format: Option<&'a str>,
    /// Until when it may be used.
    pub valid_until: Option<Timestamp>,
    /// Whether to sign it. Some identity providers refuse a signature by a key that they do not know yet.
    pub sign: bool,
}

/// Writes the `EntityDescriptor` of `sp`.
pub fn sp_metadata(sp: &ServiceProvider, options: &SpMetadata<'_>, rng: &dyn Rng) -> Result<String, SamlFault> {
    let id = fresh_id(rng);
    let valid_until = options.valid_until.map(written);
    let mut writer = Writer::new();
    let root = [
        ("xmlns:md", Some(MD)),
        ("xmlns:ds", Some(DS)),
        ("ID", Some(id.as_str())),
        ("entityID", Some(sp.entity_id.as_str())),
        ("validUntil", valid_until.as_deref()),
    ];
    writer.open("md:EntityDescriptor", &root);
    let at = writer.len();
    let role = [
        ("AuthnRequestsSigned", Some("true")),
        ("WantAssertionsSigned", Some("true")),
        ("protocolSupportEnumeration", Some(SAMLP)),
    ];
    writer.open("md:SPSSODescriptor", &role);
    key(&mut writer, "signing", sp.keys.signing.certificate());
    for certificate in &sp.keys.announced {
        key(&mut writer, "signing", certificate);
    }
    for decryption in &sp.keys.decryption {
        key(&mut writer, "encryption", decryption.certificate());
    }
    if let Some(slo) = &sp.slo_url {
        for binding in Binding::ALL {
            let service = [("Binding", Some(binding.uri())), ("Location", Some(slo.as_str()))];
            writer.empty("md:SingleLogoutService", &service);
        }
    }
    let first = options.name_id_format.unwrap_or(name_id_format::PERSISTENT);
    let others = [name_id_format::PERSISTENT, name_id_format::EMAIL, name_id_format::UNSPECIFIED];
    writer.leaf("md:NameIDFormat", &[], first);
    for format in others.into_iter().filter(|other| *other != first) {
        writer.leaf("md:NameIDFormat", &[], format);
    }
    let consumer = [
        ("Binding", Some(Binding::Post.uri())),
        ("Location", Some(sp.acs_url.as_str())),
        ("index", Some("0")),
        ("isDefault", Some("true")),
    ];
    writer.empty("md:AssertionConsumerService", &consumer);
    let xml = writer.finish();
    if options.sign { finish_signed(&xml, at, &sp.keys.signing) } else { Ok(xml) }
}

fn key(writer: &mut Writer, purpose: &str, certificate: &Certificate) {
    writer.open("md:KeyDescriptor", &[("use", Some(purpose))]);
    writer.open("ds:KeyInfo", &[]).open("ds:X509Data", &[]);
    writer.leaf("ds:X509Certificate", &[], &certificate.base64());
    writer.close().close();
    if purpose == "encryption" {
        for content in ["aes256-gcm", "aes128-gcm"] {
            writer.empty("md:EncryptionMethod", &[("Algorithm", Some(&format!("{XENC11}{content}")))]);
        }
        for transport in ["http://www.w3.org/2009/xmlenc11#rsa-oaep", "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"]
        {
            writer.empty("md:EncryptionMethod", &[("Algorithm", Some(transport))]);
        }
    }
    writer.close();
}
