//! Reads the response of a login (saml-profiles-2.0-os, section 4.1.4).
//!
//! The order is the defence: the shape of the document, then its signatures, then, from the bytes that they covered
//! and from nothing else, who it is about.

mod assertion;
mod conditions;

use std::time::Duration;

use sallyport_model::Timestamp;

pub use assertion::{Assertion, Attribute, NameId};

use crate::{
    IdpMetadata, SamlFault, ServiceProvider, encoding, encryption,
    fault::shown,
    message::{self, Clocks, Status},
    names::{DS, SAML, SAMLP},
    signature::{Verified, signature_of, verify},
    xml::{Document, Element, Limits, read},
};

/// Which request a response must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers<'a> {
    /// The request with this id, which this browser began and which is still open.
    Request(&'a str),
    /// None: the identity provider began (only where the tenant's switch allows it). A response that claims to
    /// answer a request is refused then.
    Nothing,
}

/// What a response is held against. Recipient, audience and keys are the [`ServiceProvider`]'s, issuer and
/// certificates the [`IdpMetadata`]'s.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Our clock.
    pub now: Timestamp,
    /// How far the identity provider's clock may be off; at most [`MOST_SKEW`](crate::MOST_SKEW).
    pub skew: Duration,
    /// The open request.
    pub answers: Answers<'a>,
}

/// A login that holds. The caller still has to refuse it when [`response_id`](Self::response_id) or the assertion's
/// id was seen before, on whichever node, until [`Assertion::usable_until`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The id of the response: a replay is known by it, whatever assertion it holds. Only as trustworthy as
    /// `response_signed` says; the assertion's own id always is.
    pub response_id: String,
    /// Whether the response was signed.
    pub response_signed: bool,
    /// Whether the assertion was signed by itself.
    pub assertion_signed: bool,
    /// Whether the assertion was encrypted.
    pub encrypted: bool,
    /// SHA-256 fingerprint of the certificate whose key signed what identity was read from.
    pub certificate: String,
    /// Who it is about.
    pub assertion: Assertion,
}

/// Reads `encoded`, the form field `SAMLResponse` of the POST binding.
///
/// # Errors
/// Every way in which the response is not this identity provider's answer, for us, to this request, now.
pub fn read_response(
    sp: &ServiceProvider,
    idp: &IdpMetadata,
    encoded: &str,
    expected: &Expected<'_>,
) -> Result<Login, SamlFault> {
    let clocks = Clocks::new(expected.now, expected.skew);
    message::usable(idp, &clocks)?;
    let limits = Limits::MESSAGE;
    let document = read(&encoding::base64("SAMLResponse", encoded, limits.bytes)?, &limits)?;
    let root = document.root();
    message::expect_root(root, "Response")?;
    check_shape(&document)?;
    let status = Status::of(root)?;
    if !status.is_success() {
        return Err(status.into_fault());
    }
    let response = signed_part(root, idp, &limits)?;
    // The response as it was signed, or, if only the assertion is, as it stands.
    let outer = response.as_ref().map_or(root, |signed| signed.document.root());
    if response.is_none() && outer.at_most_one(SAMLP, "Extensions")?.is_some() {
        return Err(SamlFault::UnsignedExtensions);
    }
    let response_id = check_response(outer, sp, idp, response.is_some(), expected, &clocks)?;
    let found = Found::of(root, outer, response.as_ref(), sp, idp, &limits)?;
    let assertion = assertion::read_assertion(found.root(), sp, idp, expected, &clocks)?;
    if assertion.id == response_id {
        return Err(SamlFault::DuplicateId { id: shown(&response_id) });
    }
    Ok(Login {
        response_id,
        response_signed: response.is_some(),
        assertion_signed: found.signed,
        encrypted: found.encrypted,
        certificate: found.certificate,
        assertion,
    })
}

/// The assertion, out of signed bytes.
struct Found {
    document: Document,
    /// Where in `document` the assertion is: the root, or the root's one child of that name.
    inside_response: bool,
    signed: bool,
    encrypted: bool,
    certificate: String,
}

impl Found {
    /// `root` is the response as it came, `outer` as it was signed.
    fn of(
        root: Element<'_>,
        outer: Element<'_>,
        response: Option<&Verified>,
        sp: &ServiceProvider,
        idp: &IdpMetadata,
        limits: &Limits,
    ) -> Result<Self, SamlFault> {
        let unsigned = SamlFault::Unsigned { what: "assertion" };
        if let Some(sealed) = outer.at_most_one(SAML, "EncryptedAssertion")? {
            // The ciphertext is taken from the signed bytes, if there are any.
            let clear = encryption::decrypt(sealed, &sp.keys.decryption, response.is_some())?;
            let document = read(&clear, limits)?;
            check_clear(&document)?;
            let inner = signed_part(document.root(), idp, limits)?;
            let (document, certificate, signed) = match (inner, response) {
                (Some(inner), _) => (inner.document, inner.certificate, true),
                (None, Some(outer)) => (document, outer.certificate.clone(), false),
                (None, None) => return Err(unsigned),
            };
            return Ok(Self { document, inside_response: false, signed, encrypted: true, certificate });
        }
        // Verified where it stands: its own signature may lean on namespaces of the response around it.
        let inner = signed_part(root.one(SAML, "Assertion")?, idp, limits)?;
        let (document, certificate, signed) = match (inner, response) {
            (Some(inner), _) => (inner.document, inner.certificate, true),
            (None, Some(outer)) => (outer.document.clone(), outer.certificate.clone(), false),
            (None, None) => return Err(unsigned),
        };
        Ok(Self { document, inside_response: !signed, signed, encrypted: false, certificate })
    }

    fn root(&self) -> Result<Element<'_>, SamlFault> {
        let root = self.document.root();
        let assertion = if self.inside_response { root.one(SAML, "Assertion")? } else { root };
        if assertion.is(SAML, "Assertion") {
            Ok(assertion)
        } else {
            Err(SamlFault::WrongMessage { expected: "Assertion", found: assertion.shown() })
        }
    }
}

/// What the signature in `element` covered, if there is one; one that is there must be good.
fn signed_part(element: Element<'_>, idp: &IdpMetadata, limits: &Limits) -> Result<Option<Verified>, SamlFault> {
    signature_of(element)?.map(|signature| verify(element, signature, &idp.signing, limits)).transpose()
}

/// SAML's own elements stand in the assertion, and not in a signature: what a digest does not cover (the key's
/// description, a status's detail) holds nothing that a careless reader could take for a person.
fn check_place(element: Element<'_>, root: Element<'_>) -> Result<(), SamlFault> {
    let parent = element.parent().unwrap_or(root);
    if &*element.name().namespace != SAML || parent == root {
        return Ok(());
    }
    let mut at = Some(parent);
    let mut in_assertion = false;
    while let Some(around) = at {
        if &*around.name().namespace == DS {
            return Err(SamlFault::Unexpected { parent: parent.shown(), element: element.shown() });
        }
        in_assertion |= around.is(SAML, "Assertion");
        at = around.parent();
    }
    if in_assertion { Ok(()) } else { Err(SamlFault::Unexpected { parent: parent.shown(), element: element.shown() }) }
}

/// One assertion, right in the response; signatures only in these two; nothing else beside them.
fn check_shape(document: &Document) -> Result<(), SamlFault> {
    let root = document.root();
    for child in root.children() {
        let known = child.is(SAML, "Issuer")
            || child.is(DS, "Signature")
            || child.is(SAMLP, "Extensions")
            || child.is(SAMLP, "Status")
            || child.is(SAML, "Assertion")
            || child.is(SAML, "EncryptedAssertion");
        if !known {
            return Err(SamlFault::Unexpected { parent: root.shown(), element: child.shown() });
        }
    }
    let mut assertions = 0;
    for element in document.elements().skip(1) {
        let parent = element.parent().unwrap_or(root);
        match element.name().local.as_str() {
            "Assertion" | "EncryptedAssertion" if parent == root => assertions += 1,
            "Assertion" | "EncryptedAssertion" | "Response" => {
                return Err(SamlFault::MisplacedAssertion { parent: parent.shown() });
            }
            "Signature" => {
                let in_assertion = parent.is(SAML, "Assertion") && parent.parent() == Some(root);
                if parent != root && !in_assertion {
                    return Err(SamlFault::MisplacedSignature { parent: parent.shown() });
                }
            }
            _ => check_place(element, root)?,
        }
    }
    // A refusal has no assertion, and its status is the better thing to say.
    let refused = root.at_most_one(SAMLP, "Status")?.is_some() && !Status::of(root)?.is_success();
    if assertions == 1 || (assertions == 0 && refused) {
        Ok(())
    } else {
        Err(SamlFault::AssertionCount { found: assertions })
    }
}

/// The same for what was encrypted: one assertion and no other, one signature at most.
fn check_clear(document: &Document) -> Result<(), SamlFault> {
    let root = document.root();
    if !root.is(SAML, "Assertion") {
        return Err(SamlFault::WrongMessage { expected: "Assertion", found: root.shown() });
    }
    for element in document.elements().skip(1) {
        let parent = element.parent().unwrap_or(root);
        match element.name().local.as_str() {
            "Assertion" | "EncryptedAssertion" | "Response" => {
                return Err(SamlFault::MisplacedAssertion { parent: parent.shown() });
            }
            "Signature" if parent != root => return Err(SamlFault::MisplacedSignature { parent: parent.shown() }),
            _ => check_place(element, root)?,
        }
    }
    Ok(())
}

/// Issuer, address, time and request of the response; returns its id.
fn check_response(
    outer: Element<'_>,
    sp: &ServiceProvider,
    idp: &IdpMetadata,
    signed: bool,
    expected: &Expected<'_>,
    clocks: &Clocks,
) -> Result<String, SamlFault> {
    message::check_header(outer, "response", idp, &sp.acs_url, signed, clocks)?;
    conditions::check_request("response", outer.attribute("InResponseTo"), expected.answers)?;
    message::id(outer)
}
