//! Single logout (saml-core-2.0-os, section 3.7; saml-profiles-2.0-os, section 4.4): asked for by either side.
//!
//! Every message must be signed: whoever could forge one could sign people out.

use std::time::Duration;

use sallyport_model::{Rng, Timestamp};

use crate::{
    IdpMetadata, NameId, Outgoing, SamlFault, SentRequest, ServiceProvider,
    bindings::{Kind, Unsent, address, read_query, send},
    encoding,
    fault::shown,
    message::{self, Clocks, OLDEST, Status, begin, check_header, fresh_id, name_id},
    metadata::{Binding, Endpoint},
    names::{DS, PARTIAL_LOGOUT, REQUESTER, RESPONDER, SAML, SAMLP, SUCCESS, UNKNOWN_PRINCIPAL},
    signature::{signature_of, verify},
    time::{time_of, written},
    xml::{Document, Limits, read},
};

/// How a logout message came.
#[derive(Debug, Clone, Copy)]
pub enum Carried<'a> {
    /// By redirect: the query as it was sent, not decoded, since the signature covers it so.
    Redirect {
        /// Without the `?`.
        raw_query: &'a str,
    },
    /// By a form.
    Post {
        /// The field `SAMLRequest` or `SAMLResponse`.
        message: &'a str,
        /// The field `RelayState`.
        relay_state: Option<&'a str>,
    },
}

/// An identity provider's wish to end sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutRequest {
    /// Its id, for the replay store and for our answer.
    pub id: String,
    /// When it was issued, by the identity provider's clock.
    pub issued: Timestamp,
    /// The person.
    pub name_id: NameId,
    /// The sessions; empty means all of the person's.
    pub session_indexes: Vec<String>,
    /// To be handed back with our answer, as it is. It is no address to go to.
    pub relay_state: Option<String>,
    /// After this it would be refused as too old.
    pub usable_until: Timestamp,
    /// Fingerprint of the certificate that signed it.
    pub certificate: String,
    /// How it came, and so how to answer.
    pub binding: Binding,
}

/// What we answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoutOutcome {
    /// The sessions are over (also when there were none left).
    Done,
    /// Only some of them.
    Partial,
    /// Nobody of that name is known.
    UnknownPrincipal,
    /// The request was not acceptable.
    Refused,
    /// We could not do it.
    Failed,
}

/// Reads a `LogoutRequest`.
pub fn read_logout_request(
    sp: &ServiceProvider,
    idp: &IdpMetadata,
    carried: &Carried<'_>,
    now: Timestamp,
    skew: Duration,
) -> Result<LogoutRequest, SamlFault> {
    let clocks = Clocks::new(now, skew);
    let opened = Opened::of(sp, idp, carried, Kind::Request, "LogoutRequest", &clocks)?;
    let root = opened.document.root();
    let mut until = opened.issued.plus(OLDEST);
    if let Some(end) = time_of(root, "NotOnOrAfter")? {
        clocks.not_over("logout request", end)?;
        until = until.min(end);
    }
    if root.at_most_one(SAML, "EncryptedID")?.is_some() {
        return Err(SamlFault::EncryptedPart { what: "NameID" });
    }
    let person = root.at_most_one(SAML, "NameID")?.ok_or(SamlFault::MissingNameId)?;
    Ok(LogoutRequest {
        id: message::id(root)?,
        issued: opened.issued,
        name_id: name_id(person)?,
        session_indexes: root.named(SAMLP, "SessionIndex").map(|e| e.text()).collect::<Result<_, _>>()?,
        relay_state: opened.relay_state,
        usable_until: until.plus(clocks.skew),
        certificate: opened.certificate,
        binding: opened.binding,
    })
}

/// Writes and signs a `LogoutResponse` to `request`.
pub fn logout_response(
    sp: &ServiceProvider,
    idp: &IdpMetadata,
    request: &LogoutRequest,
    outcome: LogoutOutcome,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<Outgoing, SamlFault> {
    let endpoint = idp.slo(Some(request.binding))?;
    let more = [("InResponseTo", Some(request.id.as_str()))];
    let destination = address(endpoint, Kind::Response);
    let (mut writer, signature_at) = begin("samlp:LogoutResponse", &fresh_id(rng), sp, destination, now, &more);
    let (first, second) = match outcome {
        LogoutOutcome::Done => (SUCCESS, None),
        LogoutOutcome::Partial => (SUCCESS, Some(PARTIAL_LOGOUT)),
        LogoutOutcome::UnknownPrincipal => (REQUESTER, Some(UNKNOWN_PRINCIPAL)),
        LogoutOutcome::Refused => (REQUESTER, None),
        LogoutOutcome::Failed => (RESPONDER, None),
    };
    writer.open("samlp:Status", &[]).open("samlp:StatusCode", &[("Value", Some(first))]);
    if let Some(second) = second {
        writer.empty("samlp:StatusCode", &[("Value", Some(second))]);
    }
    let xml = writer.finish();
    // A RelayState that is longer than allowed is theirs to miss: the answer matters more.
    let relay_state = request.relay_state.as_deref().filter(|state| state.len() <= crate::MOST_RELAY_STATE);
    send(endpoint, &Unsent { kind: Kind::Response, xml: &xml, signature_at, relay_state }, &sp.keys.signing)
}

/// Whose session is to end, for a request of ours.
#[derive(Debug, Clone, Copy)]
pub struct Leaving<'a> {
    /// The person, as the assertion named them.
    pub name_id: &'a NameId,
    /// The session, as the assertion named it.
    pub session_index: Option<&'a str>,
    /// A token that comes back with the response.
    pub relay_state: Option<&'a str>,
}

/// Writes and signs a `LogoutRequest`. It is good for five minutes.
pub fn logout_request(
    sp: &ServiceProvider,
    idp: &IdpMetadata,
    leaving: &Leaving<'_>,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<SentRequest, SamlFault> {
    let endpoint: &Endpoint = idp.slo(None)?;
    let id = fresh_id(rng);
    let end = written(now.plus(Duration::from_secs(300)));
    let more = [("NotOnOrAfter", Some(end.as_str()))];
    let destination = address(endpoint, Kind::Request);
    let (mut writer, signature_at) = begin("samlp:LogoutRequest", &id, sp, destination, now, &more);
    let person = leaving.name_id;
    let named = [
        ("Format", person.format.as_deref()),
        ("NameQualifier", person.name_qualifier.as_deref()),
        ("SPNameQualifier", person.sp_name_qualifier.as_deref()),
    ];
    writer.leaf("saml:NameID", &named, &person.value);
    if let Some(index) = leaving.session_index {
        writer.leaf("samlp:SessionIndex", &[], index);
    }
    let xml = writer.finish();
    let message = Unsent { kind: Kind::Request, xml: &xml, signature_at, relay_state: leaving.relay_state };
    Ok(SentRequest { outgoing: send(endpoint, &message, &sp.keys.signing)?, id })
}

/// Reads the answer to our request `in_response_to`: [`LogoutOutcome::Done`] or [`LogoutOutcome::Partial`].
///
/// # Errors
/// [`SamlFault::Status`] where the identity provider refused.
pub fn read_logout_response(
    sp: &ServiceProvider,
    idp: &IdpMetadata,
    carried: &Carried<'_>,
    in_response_to: &str,
    now: Timestamp,
    skew: Duration,
) -> Result<LogoutOutcome, SamlFault> {
    let clocks = Clocks::new(now, skew);
    let opened = Opened::of(sp, idp, carried, Kind::Response, "LogoutResponse", &clocks)?;
    let root = opened.document.root();
    let found = root.attribute("InResponseTo");
    if found != Some(in_response_to) || in_response_to.is_empty() {
        return Err(SamlFault::WrongInResponseTo {
            what: "logout response",
            expected: in_response_to.to_owned(),
            found: found.map(shown),
        });
    }
    let status = Status::of(root)?;
    match (status.is_success(), status.second.as_deref()) {
        (true, Some(PARTIAL_LOGOUT)) => Ok(LogoutOutcome::Partial),
        (true, _) => Ok(LogoutOutcome::Done),
        (false, _) => Err(status.into_fault()),
    }
}

/// A logout message whose signature, sender, address and time are good.
struct Opened {
    /// Parsed from the signed bytes.
    document: Document,
    issued: Timestamp,
    relay_state: Option<String>,
    certificate: String,
    binding: Binding,
}

impl Opened {
    fn of(
        sp: &ServiceProvider,
        idp: &IdpMetadata,
        carried: &Carried<'_>,
        kind: Kind,
        root: &'static str,
        clocks: &Clocks,
    ) -> Result<Self, SamlFault> {
        message::usable(idp, clocks)?;
        let limits = Limits::MESSAGE;
        let (document, relay_state, certificate, binding) = match carried {
            Carried::Redirect { raw_query } => {
                let query = read_query(raw_query, kind, &idp.signing)?;
                let document = read(&query.xml, &limits)?;
                if document.elements().any(|e| e.is(DS, "Signature")) {
                    return Err(SamlFault::MisplacedSignature { parent: document.root().shown() });
                }
                (document, query.relay_state, query.certificate, Binding::Redirect)
            }
            Carried::Post { message, relay_state } => {
                let document = read(&encoding::base64("message", message, limits.bytes)?, &limits)?;
                message::expect_root(document.root(), root)?;
                let Some(signature) = signature_of(document.root())? else {
                    return Err(SamlFault::Unsigned { what: "logout message" });
                };
                let verified = verify(document.root(), signature, &idp.signing, &limits)?;
                (verified.document, relay_state.map(ToOwned::to_owned), verified.certificate, Binding::Post)
            }
        };
        message::expect_root(document.root(), root)?;
        let here = sp.slo_url.as_deref().ok_or(SamlFault::NoEndpoint { what: "single logout" })?;
        let issued = check_header(document.root(), "logout message", idp, here, true, clocks)?;
        Ok(Self { document, issued, relay_state, certificate, binding })
    }
}
