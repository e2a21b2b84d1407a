//! Asks an identity provider to sign somebody in (saml-core-2.0-os, section 3.4).

use sallyport_model::{Rng, Timestamp};

use crate::{
    IdpMetadata, Outgoing, SamlFault, ServiceProvider,
    bindings::{Kind, Unsent, address, send},
    message::{begin, fresh_id},
    metadata::Binding,
};

/// What to ask for.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuthnRequest<'a> {
    /// Ask the person again, even where a session exists.
    pub force_authn: bool,
    /// Do not show anything to the person.
    pub is_passive: bool,
    /// The format of `NameID`; none leaves it to the identity provider.
    pub name_id_format: Option<&'a str>,
    /// Authentication contexts, any of which will do, exactly; empty asks for none.
    pub authn_contexts: &'a [&'a str],
    /// How to send it; none takes redirect where there is one.
    pub binding: Option<Binding>,
    /// A token that comes back with the response: at most 80 bytes, random, never an address.
    pub relay_state: Option<&'a str>,
}

/// A request on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
    /// Its id: the response must name it. To be kept with the browser's pending login.
    pub id: String,
    /// What the browser is to do.
    pub outgoing: Outgoing,
}

/// Writes and signs an `AuthnRequest`. Always signed, always for the POST binding of our one consumer service.
pub fn authn_request(
    sp: &ServiceProvider,
    idp: &IdpMetadata,
    ask: &AuthnRequest<'_>,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<SentRequest, SamlFault> {
    let endpoint = idp.sso(ask.binding)?;
    let id = fresh_id(rng);
    let more = [
        ("AssertionConsumerServiceURL", Some(sp.acs_url.as_str())),
        ("ProtocolBinding", Some(Binding::Post.uri())),
        ("ForceAuthn", ask.force_authn.then_some("true")),
        ("IsPassive", ask.is_passive.then_some("true")),
    ];
    let destination = address(endpoint, Kind::Request);
    let (mut writer, signature_at) = begin("samlp:AuthnRequest", &id, sp, destination, now, &more);
    writer.empty("samlp:NameIDPolicy", &[("Format", ask.name_id_format), ("AllowCreate", Some("true"))]);
    if !ask.authn_contexts.is_empty() {
        writer.open("samlp:RequestedAuthnContext", &[("Comparison", Some("exact"))]);
        for class in ask.authn_contexts {
            writer.leaf("saml:AuthnContextClassRef", &[], class);
        }
        writer.close();
    }
    let xml = writer.finish();
    let message = Unsent { kind: Kind::Request, xml: &xml, signature_at, relay_state: ask.relay_state };
    Ok(SentRequest { outgoing: send(endpoint, &message, &sp.keys.signing)?, id })
}
