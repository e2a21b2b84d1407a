//! Why a message was refused, for the log, for the person's page and for the administrator who can mend it.

mod remedy;

use sallyport_model::Timestamp;
use thiserror::Error;

/// Everything that this crate refuses. Values in it are cut and stripped of control characters.
///
/// [`code`](Self::code) is stable. [`remedy`](Self::remedy) says what an administrator can do, where there is something.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SamlFault {
    // --- The document is not one that we read. The sender's fault. ---
    /// More than the bound allows.
    #[error("the document has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("the document is not UTF-8 text")]
    NotUtf8,
    /// Not well-formed.
    #[error("the XML is malformed at byte {at}: {what}")]
    MalformedXml {
        /// Offset in bytes.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// An XML declaration that asks for something else than XML 1.0 in UTF-8.
    #[error("the XML declaration says `{attribute}=\"{value}\"`, which is not XML 1.0 in UTF-8")]
    XmlDeclaration {
        /// The attribute.
        attribute: String,
        /// Its value.
        value: String,
    },
    /// A comment.
    #[error("the message holds an XML comment")]
    Comment,
    /// A CDATA section.
    #[error("the document holds a CDATA section")]
    CdataSection,
    /// `<!DOCTYPE …>` or another declaration.
    #[error("the document declares a document type")]
    DocumentType,
    /// An entity other than the five that XML itself has.
    #[error("the document refers to the entity `{name}`")]
    EntityReference {
        /// The entity.
        name: String,
    },
    /// `<?…?>`.
    #[error("the document holds a processing instruction")]
    ProcessingInstruction,
    /// A namespace that is no absolute URI; canonical XML is not defined for it.
    #[error("the namespace `{uri}` is not an absolute URI")]
    RelativeNamespace {
        /// The namespace.
        uri: String,
    },
    /// A prefix that nothing declares.
    #[error("nothing declares the namespace prefix `{prefix}`")]
    UnboundPrefix {
        /// The prefix.
        prefix: String,
    },
    /// Two elements with one id.
    #[error("the id `{id}` stands twice")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// An attribute that the schema requires.
    #[error("`{element}` has no `{attribute}`")]
    MissingAttribute {
        /// Where.
        element: String,
        /// What.
        attribute: &'static str,
    },
    /// An element that the schema or the profile requires.
    #[error("`{parent}` has no `{element}`")]
    MissingElement {
        /// Where.
        parent: String,
        /// What.
        element: &'static str,
    },
    /// An element that may stand once.
    #[error("`{parent}` has several `{element}`")]
    Repeated {
        /// Where.
        parent: String,
        /// What.
        element: &'static str,
    },
    /// An element where none, or another one, belongs.
    #[error("`{parent}` holds an unexpected `{element}`")]
    Unexpected {
        /// Where.
        parent: String,
        /// What.
        element: String,
    },
    /// Not base64.
    #[error("the {what} is not base64")]
    NotBase64 {
        /// Which part.
        what: &'static str,
    },
    /// Not raw DEFLATE (RFC 1951).
    #[error("the message of the redirect is not DEFLATE-compressed")]
    NotDeflate,
    /// A query that the redirect binding does not make.
    #[error("the query of the redirect is not one of the SAML redirect binding: {what}")]
    BadQuery {
        /// What is wrong.
        what: &'static str,
    },
    /// Another kind of message.
    #[error("the message is a `{found}`, expected a `{expected}`")]
    WrongMessage {
        /// What is read here.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// Not SAML 2.0.
    #[error("the message has version `{found}`, expected `2.0`")]
    WrongVersion {
        /// What came.
        found: String,
    },
    /// Not a time.
    #[error("`{what}` is not a time with an offset: `{value}`")]
    BadTime {
        /// The attribute.
        what: &'static str,
        /// Its value.
        value: String,
    },

    // --- Signature and encryption. ---
    /// Nothing signed covers it.
    #[error("the {what} is not signed")]
    Unsigned {
        /// What.
        what: &'static str,
    },
    /// A signature of another form than the enveloped one that SAML prescribes (saml-core, section 5.4).
    #[error("the signature has a form that SAML does not allow: {what}")]
    SignatureForm {
        /// What is wrong.
        what: &'static str,
    },
    /// A signature where SAML has none: the mark of a wrapping attack.
    #[error("a signature stands inside `{parent}`, where SAML has none")]
    MisplacedSignature {
        /// Where.
        parent: String,
    },
    /// An algorithm that is broken, keyed by a shared secret, or not SAML's.
    #[error("the {purpose} `{algorithm}` is refused")]
    AlgorithmRefused {
        /// What the algorithm is for.
        purpose: &'static str,
        /// Its URI.
        algorithm: String,
    },
    /// Signed, but by nobody whom this connection trusts.
    #[error(
        "the signature is by none of this connection's certificates ({}); {}",
        list(configured),
        match presented { Some(one) => format!("the message names the certificate {one}"),
            None => "the message names no certificate".to_owned() }
    )]
    WrongCertificate {
        /// SHA-256 fingerprint of the certificate in the message, as a hint: it is never trusted.
        presented: Option<String>,
        /// SHA-256 fingerprints of the certificates that were tried.
        configured: Vec<String>,
    },
    /// The message names a certificate of this connection, but the signature does not fit.
    #[error("the signature by the certificate {certificate} does not fit the message: it was changed on its way")]
    SignatureInvalid {
        /// SHA-256 fingerprint.
        certificate: String,
    },
    /// The signature is good, but it covers other content than what stands here.
    #[error("what was signed is not what stands in the message: it was changed on its way")]
    DigestMismatch,
    /// The signature refers to something else than the element around it.
    #[error("the signature in `{id}` refers to `{uri}`")]
    ReferenceElsewhere {
        /// What it refers to.
        uri: String,
        /// The id of the element that holds it.
        id: String,
    },
    /// A canonical form of nothing, whose digest would be everybody's.
    #[error("the signature covers nothing")]
    EmptyCanonicalForm,
    /// Other than one assertion.
    #[error("the response has {found} assertions, expected one")]
    AssertionCount {
        /// How many.
        found: usize,
    },
    /// An assertion somewhere else than right in the response.
    #[error("an assertion stands inside `{parent}`")]
    MisplacedAssertion {
        /// Where.
        parent: String,
    },
    /// `Extensions` in a response whose signature does not cover them.
    #[error("the response has `Extensions`, which nothing signed covers")]
    UnsignedExtensions,
    /// Encrypted, and there is no key.
    #[error("the assertion is encrypted, and this connection has no decryption key")]
    NoDecryptionKey,
    /// Encrypted for somebody else, or damaged. It does not say which: that would be an oracle.
    #[error("the assertion cannot be decrypted with this connection's keys")]
    CannotDecrypt,
    /// CBC without a signature over the ciphertext can be read by asking often (padding oracle).
    #[error("the assertion is encrypted with `{algorithm}`, and the response around it is not signed")]
    UnauthenticatedEncryption {
        /// Its URI.
        algorithm: String,
    },
    /// A part that we read only in clear.
    #[error("`{what}` is encrypted by itself, which is not supported")]
    EncryptedPart {
        /// Which.
        what: &'static str,
    },

    // --- What the message says. ---
    /// The identity provider says no.
    #[error("the identity provider answered {}", status(code, second.as_deref(), message.as_deref()))]
    Status {
        /// First-level code, its last part.
        code: String,
        /// Second-level code, its last part.
        second: Option<String>,
        /// What the identity provider wrote.
        message: Option<String>,
    },
    /// Another identity provider.
    #[error("the {what} is by `{found}`, expected `{expected}`")]
    WrongIssuer {
        /// Response, assertion, request.
        what: &'static str,
        /// This connection's.
        expected: String,
        /// The message's.
        found: String,
    },
    /// Sent to another address.
    #[error("the message is for the address `{found}`, this one is `{expected}`")]
    WrongDestination {
        /// Ours.
        expected: String,
        /// The message's.
        found: String,
    },
    /// Confirmed for another address.
    #[error("the assertion is for the recipient `{found}`, this one is `{expected}`")]
    WrongRecipient {
        /// Ours.
        expected: String,
        /// The assertion's.
        found: String,
    },
    /// Meant for another service provider.
    #[error("the assertion is for the audience {}, this service provider is `{expected}`", list(found))]
    WrongAudience {
        /// Ours.
        expected: String,
        /// The assertion's.
        found: Vec<String>,
    },
    /// No audience at all.
    #[error("the assertion names no audience, this service provider is `{expected}`")]
    NoAudience {
        /// Ours.
        expected: String,
    },
    /// An answer to another request.
    #[error("the {what} answers the request `{}`, expected `{expected}`", found.as_deref().unwrap_or("(none)"))]
    WrongInResponseTo {
        /// Which part.
        what: &'static str,
        /// The request that is open.
        expected: String,
        /// The message's.
        found: Option<String>,
    },
    /// An answer to a request of which nothing is known here.
    #[error("the response answers the request `{found}`, and no such request is open")]
    UnknownRequest {
        /// The message's.
        found: String,
    },
    /// Not yet valid, beyond the allowed skew.
    #[error("the {what} is valid from {from}, and here it is {now}: {} s too early", seconds(*from, *now))]
    NotYetValid {
        /// Which part.
        what: &'static str,
        /// From when.
        from: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// No longer valid, beyond the allowed skew.
    #[error("the {what} was valid until {until}, and here it is {now}: {} s too late", seconds(*now, *until))]
    Expired {
        /// Which part.
        what: &'static str,
        /// Until when.
        until: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// Issued in the future: the two clocks disagree.
    #[error("the {what} is dated {issued}, and here it is {now}: the clocks are {} s apart", seconds(*issued, *now))]
    FromTheFuture {
        /// Which part.
        what: &'static str,
        /// The sender's clock.
        issued: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// Issued too long ago to be an answer to anything.
    #[error("the {what} is dated {issued}, and here it is {now}: {} s old", seconds(*now, *issued))]
    TooOld {
        /// Which part.
        what: &'static str,
        /// The sender's clock.
        issued: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// No `SubjectConfirmation` that a browser can carry.
    #[error("the assertion has no bearer confirmation")]
    NoBearerConfirmation,
    /// Nobody is named.
    #[error("the assertion names nobody: it has no NameID")]
    MissingNameId,
    /// A name that is empty, too long, or has white space or control characters around or in it.
    #[error("the NameID is {what}")]
    BadNameId {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A condition that we do not know and therefore cannot keep (saml-core, section 2.5.1).
    #[error("the assertion sets the condition `{name}`, which is not known here")]
    UnknownCondition {
        /// Its element.
        name: String,
    },

    // --- Metadata and keys. ---
    /// The entity is not in the document.
    #[error("the metadata does not describe `{wanted}`; it describes {}", list(found))]
    NoSuchEntity {
        /// Who was asked for.
        wanted: String,
        /// Who is there; at most ten.
        found: Vec<String>,
    },
    /// Several identity providers and none was asked for.
    #[error("the metadata describes several identity providers: {}", list(found))]
    SeveralEntities {
        /// Who is there; at most ten.
        found: Vec<String>,
    },
    /// No `IDPSSODescriptor` for SAML 2.0.
    #[error("`{entity}` is no SAML 2.0 identity provider in this metadata")]
    NoIdpRole {
        /// The entity.
        entity: String,
    },
    /// `validUntil` is over.
    #[error("the metadata was valid until {until}, and here it is {now}")]
    MetadataExpired {
        /// Until when.
        until: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// No certificate that could verify a signature.
    #[error("there is no usable signing certificate{}", why.map(|w| format!(": {w}")).unwrap_or_default())]
    NoCertificate {
        /// Why the one that is there is of no use.
        why: Option<&'static str>,
    },
    /// Not an X.509 certificate, or one with a key that we do not take.
    #[error("the certificate is of no use: {why}")]
    BadCertificate {
        /// Why.
        why: &'static str,
    },
    /// No endpoint for a binding that we speak.
    #[error("the identity provider has no {what} by redirect or POST")]
    NoEndpoint {
        /// Single sign-on or single logout.
        what: &'static str,
    },
    /// An endpoint where no browser should be sent.
    #[error("the endpoint `{location}` is no https address")]
    BadLocation {
        /// The address.
        location: String,
    },
    /// A private key that we cannot use.
    #[error("the service provider's key is of no use: {why}")]
    BadKey {
        /// Why.
        why: &'static str,
    },
    /// More than 80 bytes (saml-bindings, section 3.4.3).
    #[error("the RelayState has {bytes} bytes, at most 80 may be sent")]
    RelayStateTooLong {
        /// Its length.
        bytes: usize,
    },
}

fn seconds(later: Timestamp, earlier: Timestamp) -> u64 {
    later.since(earlier).as_secs()
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "(none)".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn status(code: &str, second: Option<&str>, message: Option<&str>) -> String {
    let mut text = format!("`{code}`");
    if let Some(second) = second {
        text.push_str(&format!(" / `{second}`"));
    }
    if let Some(message) = message {
        text.push_str(&format!(": {message}"));
    }
    text
}

/// A stranger's value for a sentence: cut at 120 characters, without control and direction characters.
pub(crate) fn shown(value: &str) -> String {
    const MOST: usize = 120;
    let tame = |c: char| {
        !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut text: String = value.chars().take(MOST).map(|c| if tame(c) { c } else { '\u{fffd}' }).collect();
    if value.chars().nth(MOST).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_both_sides_and_the_difference() {
        let fault = SamlFault::Expired {
            what: "assertion",
            until: Timestamp::from_secs(1_700_000_000),
            now: Timestamp::from_secs(1_700_000_600),
        };
        assert_eq!(
            fault.to_string(),
            "the assertion was valid until 2023-11-14T22:13:20.000Z, and here it is 2023-11-14T22:23:20.000Z: 600 s \
             too late"
        );
        assert!(fault.remedy().unwrap().contains("NTP"));
        let fault = SamlFault::WrongAudience { expected: "https://sp".into(), found: vec!["https://other".into()] };
        assert_eq!(
            fault.to_string(),
            "the assertion is for the audience `https://other`, this service provider is `https://sp`"
        );
    }

    #[test]
    fn a_strangers_value_cannot_fill_or_turn_the_page() {
        let text = shown(&format!("a\u{202e}b\n{}", "x".repeat(500)));
        assert!(text.starts_with("a\u{fffd}b\u{fffd}xxx") && text.chars().count() == 121, "{text}");
    }
}
