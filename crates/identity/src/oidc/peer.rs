//! A connection made ready for use.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use sallyport_model::{Secret, SigningKeyId};
use sallyport_oauth::{
    SigningKey,
    oidc::{
        Client, ClientAuthentication, ClientKey, Exchange, IssuerRule, Moment, OidcFault, Preset, PresetId,
        ProviderMetadata, Transport,
    },
    thumbprint,
};
use sallyport_storage::Connection;
use serde_json::{Value, json};

use super::trouble::Trouble;
use crate::{Identity, IdentityError, settings::OidcSettings};

/// How far a provider's clock and ours may differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);

/// A provider as one connection knows it, and we as it knows us.
pub(super) struct Peer<'a> {
    pub(super) identity: &'a Identity,
    pub(super) connection: &'a Connection,
    pub(super) settings: &'a OidcSettings,
    pub(super) preset: &'static Preset,
    pub(super) rule: IssuerRule,
    pub(super) transport: Transport,
    pub(super) client: Client,
}

impl<'a> Peer<'a> {
    pub(super) fn new(
        identity: &'a Identity,
        connection: &'a Connection,
        settings: &'a OidcSettings,
    ) -> Result<Self, Trouble> {
        let Some(preset) = PresetId::named(&settings.preset) else {
            let why = format!("there is no preset `{}`", settings.preset);
            return Err(IdentityError::Settings(connection.id.to_string(), why).into());
        };
        let preset = preset.preset();
        // The addresses of a provider behind TLS lead nowhere else; which plain ones are reached at all is the
        // operator's choice and is held at the socket.
        let plain = settings.issuer.starts_with("http://");
        let transport = if plain { Transport::HttpsOrLoopback } else { Transport::Https };
        let directories: Vec<String> = match preset.id {
            PresetId::Entra => settings.organisation.iter().map(|id| id.to_ascii_lowercase()).collect(),
            _ => Vec::new(),
        };
        let rule = preset.issuer_rule(&settings.issuer, &directories, transport)?;
        let client = Client { id: settings.client_id.clone(), authentication: authentication(connection, settings)? };
        Ok(Self { identity, connection, settings, preset, rule, transport, client })
    }

    /// Where the provider sends browsers back to.
    pub(super) fn redirect_uri(&self) -> String {
        format!("{}/signin/oidc/{}/callback", self.identity.shell().origin(), self.connection.id)
    }

    pub(super) fn exchange<'e>(&'e self, metadata: &'e ProviderMetadata) -> Exchange<'e> {
        let (now, rng) = (self.identity.now(), self.identity.rng());
        Exchange { client: &self.client, metadata, preset: self.preset, now, rng }
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { now: self.identity.now(), leeway: LEEWAY }
    }

    /// Google Workspace's domains that may sign in; nothing elsewhere.
    pub(super) fn hosted_domains(&self) -> Vec<String> {
        match self.preset.id {
            PresetId::Google => self.settings.organisation.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Who somebody is at this provider, as links and sessions keep it: `issuer person`.
    pub(super) fn subject(&self, issuer: &str, person: &str) -> String {
        // Google's issuer has two spellings for one and the same.
        let issuer = if self.preset.id == PresetId::Google { self.rule.configured() } else { issuer };
        format!("{issuer} {person}")
    }
}

fn authentication(connection: &Connection, settings: &OidcSettings) -> Result<ClientAuthentication, Trouble> {
    if let Some(key) = &settings.private_key {
        let pkcs8 = pkcs8(key)?;
        let kid = kid(&public_jwk(&pkcs8)?);
        let mut key = ClientKey::from_pkcs8(&kid, &pkcs8)?;
        if let Some(certificate) = &settings.certificate {
            key = key.with_certificate(&der(certificate)?);
        }
        return Ok(ClientAuthentication::PrivateKey { key: Arc::new(key), audience: None });
    }
    match &settings.client_secret {
        Some(secret) => Ok(ClientAuthentication::Secret(Secret::new(secret))),
        None => {
            let why = "they hold neither a client secret nor a private key".to_owned();
            Err(IdentityError::Settings(connection.id.to_string(), why).into())
        }
    }
}

fn pkcs8(text: &str) -> Result<Vec<u8>, OidcFault> {
    STANDARD.decode(text.trim()).map_err(|_| OidcFault::ClientKey)
}

/// PEM, or base64 alone.
fn der(text: &str) -> Result<Vec<u8>, OidcFault> {
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let joined: String = lines.flat_map(|line| line.split_whitespace()).collect();
    STANDARD.decode(joined).map_err(|_| OidcFault::ClientKey)
}

/// The public half of the connection's private key as a JWK set; nothing where it has none.
pub(super) fn public_keys(settings: &OidcSettings) -> Result<Option<Value>, OidcFault> {
    let Some(key) = &settings.private_key else { return Ok(None) };
    let mut jwk = public_jwk(&pkcs8(key)?)?;
    jwk["kid"] = json!(kid(&jwk));
    jwk["use"] = json!("sig");
    Ok(Some(json!({ "keys": [jwk] })))
}

/// The members that make up a key.
fn public_jwk(pkcs8: &[u8]) -> Result<Value, OidcFault> {
    let id = SigningKeyId::new("client").map_err(|_| OidcFault::ClientKey)?;
    if let Ok(key) = SigningKey::from_pkcs8(id.clone(), pkcs8) {
        let jwk = key.verifying_key().map_err(|_| OidcFault::ClientKey)?.to_jwk(&id);
        return Ok(json!({ "crv": jwk.crv, "kty": jwk.kty, "x": jwk.x, "y": jwk.y }));
    }
    let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| OidcFault::ClientKey)?;
    let public = pair.public_key();
    let encoded = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
    let (e, n) = (public.exponent(), public.modulus());
    Ok(json!({
        "e": encoded(e.big_endian_without_leading_zero()), "kty": "RSA",
        "n": encoded(n.big_endian_without_leading_zero()),
    }))
}

/// The key's thumbprint (RFC 7638).
fn kid(jwk: &Value) -> String {
    jwk.as_object().and_then(thumbprint::of_jwk).expect("an EC or RSA key with its members has a thumbprint")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keys_id_is_the_thumbprint_of_rfc_7638() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE\
                 CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q\
                 vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6\
                 WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let jwk = json!({ "e": "AQAB", "kty": "RSA", "n": n });
        assert_eq!(kid(&jwk), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
