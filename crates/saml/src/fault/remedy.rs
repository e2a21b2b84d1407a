//! The stable names of faults, and what an administrator can do about them.

use super::SamlFault;

impl SamlFault {
    /// A stable name in snake_case, for logs and pages.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "saml_too_large",
            Self::NotUtf8 => "saml_not_utf8",
            Self::MalformedXml { .. } => "saml_malformed_xml",
            Self::XmlDeclaration { .. } => "saml_xml_declaration",
            Self::Comment => "saml_comment",
            Self::CdataSection => "saml_cdata_section",
            Self::DocumentType => "saml_document_type",
            Self::EntityReference { .. } => "saml_entity_reference",
            Self::ProcessingInstruction => "saml_processing_instruction",
            Self::RelativeNamespace { .. } => "saml_relative_namespace",
            Self::UnboundPrefix { .. } => "saml_unbound_prefix",
            Self::DuplicateId { .. } => "saml_duplicate_id",
            Self::MissingAttribute { .. } => "saml_missing_attribute",
            Self::MissingElement { .. } => "saml_missing_element",
            Self::Repeated { .. } => "saml_repeated_element",
            Self::Unexpected { .. } => "saml_unexpected_element",
            Self::NotBase64 { .. } => "saml_not_base64",
            Self::NotDeflate => "saml_not_deflate",
            Self::BadQuery { .. } => "saml_bad_query",
            Self::WrongMessage { .. } => "saml_wrong_message",
            Self::WrongVersion { .. } => "saml_wrong_version",
            Self::BadTime { .. } => "saml_bad_time",
            Self::Unsigned { .. } => "saml_unsigned",
            Self::SignatureForm { .. } => "saml_signature_form",
            Self::MisplacedSignature { .. } => "saml_misplaced_signature",
            Self::AlgorithmRefused { .. } => "saml_algorithm_refused",
            Self::WrongCertificate { .. } => "saml_wrong_certificate",
            Self::SignatureInvalid { .. } => "saml_signature_invalid",
            Self::DigestMismatch => "saml_digest_mismatch",
            Self::ReferenceElsewhere { .. } => "saml_reference_elsewhere",
            Self::EmptyCanonicalForm => "saml_empty_canonical_form",
            Self::AssertionCount { .. } => "saml_assertion_count",
            Self::MisplacedAssertion { .. } => "saml_misplaced_assertion",
            Self::UnsignedExtensions => "saml_unsigned_extensions",
            Self::NoDecryptionKey => "saml_no_decryption_key",
            Self::CannotDecrypt => "saml_cannot_decrypt",
            Self::UnauthenticatedEncryption { .. } => "saml_unauthenticated_encryption",
            Self::EncryptedPart { .. } => "saml_encrypted_part",
            Self::Status { .. } => "saml_status",
            Self::WrongIssuer { .. } => "saml_wrong_issuer",
            Self::WrongDestination { .. } => "saml_wrong_destination",
            Self::WrongRecipient { .. } => "saml_wrong_recipient",
            Self::WrongAudience { .. } => "saml_wrong_audience",
            Self::NoAudience { .. } => "saml_no_audience",
            Self::WrongInResponseTo { .. } => "saml_wrong_in_response_to",
            Self::UnknownRequest { .. } => "saml_unknown_request",
            Self::NotYetValid { .. } => "saml_not_yet_valid",
            Self::Expired { .. } => "saml_expired",
            Self::FromTheFuture { .. } => "saml_from_the_future",
            Self::TooOld { .. } => "saml_too_old",
            Self::NoBearerConfirmation => "saml_no_bearer_confirmation",
            Self::MissingNameId => "saml_missing_name_id",
            Self::BadNameId { .. } => "saml_bad_name_id",
            Self::UnknownCondition { .. } => "saml_unknown_condition",
            Self::NoSuchEntity { .. } => "saml_no_such_entity",
            Self::SeveralEntities { .. } => "saml_several_entities",
            Self::NoIdpRole { .. } => "saml_no_idp_role",
            Self::MetadataExpired { .. } => "saml_metadata_expired",
            Self::NoCertificate { .. } => "saml_no_certificate",
            Self::BadCertificate { .. } => "saml_bad_certificate",
            Self::NoEndpoint { .. } => "saml_no_endpoint",
            Self::BadLocation { .. } => "saml_bad_location",
            Self::BadKey { .. } => "saml_bad_key",
            Self::RelayStateTooLong { .. } => "saml_relay_state_too_long",
        }
    }

    /// What an administrator can do about it; `None` where the message is simply not acceptable.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::WrongCertificate { .. } => {
                "Read the identity provider's metadata again, or add its new signing certificate to this connection; \
                 compare the fingerprint with the one that the identity provider shows."
            }
            Self::SignatureInvalid { .. } | Self::DigestMismatch => {
                "Look for something that rewrites the message between the identity provider and here; if there is \
                 nothing, treat it as an attempt to forge a login."
            }
            Self::AlgorithmRefused { .. } => {
                "Set the identity provider to sign with RSA-SHA256 (or stronger) and SHA-256 digests, to use exclusive \
                 canonicalisation, and to encrypt with RSA-OAEP and AES-GCM."
            }
            Self::Unsigned { .. } => "Turn on signing of assertions (or of responses) at the identity provider.",
            Self::UnsignedExtensions => "Turn on signing of responses at the identity provider.",
            Self::UnauthenticatedEncryption { .. } => {
                "Turn on signing of responses at the identity provider, or let it encrypt with AES-GCM."
            }
            Self::NoDecryptionKey | Self::CannotDecrypt => {
                "Give the identity provider this connection's current metadata: it holds the encryption certificate."
            }
            Self::EncryptedPart { .. } => {
                "Let the identity provider encrypt the whole assertion, not single names or attributes."
            }
            Self::NotYetValid { .. } | Self::Expired { .. } | Self::FromTheFuture { .. } | Self::TooOld { .. } => {
                "Compare the clocks of the identity provider and of this server, and set them by NTP; if they agree, \
                 the person took too long and should sign in again."
            }
            Self::WrongAudience { .. } | Self::NoAudience { .. } => {
                "Set the audience (entity id, identifier) of this application at the identity provider to this service \
                 provider's entity id, exactly."
            }
            Self::WrongRecipient { .. } | Self::WrongDestination { .. } => {
                "Set the reply address (ACS URL, single sign-on URL) of this application at the identity provider to \
                 the address that this service provider's metadata names, exactly."
            }
            Self::WrongIssuer { .. } => {
                "Set the connection's entity id to the one that the identity provider sends, if it is the right one."
            }
            Self::WrongInResponseTo { .. } => "Sign in again, in one window.",
            Self::UnknownRequest { .. } => "Sign in again: the request is too old, was used, or began elsewhere.",
            Self::MissingNameId => "Let the identity provider send a NameID (a persistent one, if it can).",
            Self::BadNameId { .. } => "Correct the attribute from which the identity provider makes the NameID.",
            Self::NoBearerConfirmation => "Set the application at the identity provider to browser single sign-on.",
            Self::UnknownCondition { .. } => "Remove that condition at the identity provider.",
            Self::Status { .. } => "Look into the identity provider's own log: it refused the login.",
            Self::MetadataExpired { .. } => "Fetch the metadata again, or ask the identity provider for a fresh one.",
            Self::NoSuchEntity { .. } | Self::SeveralEntities { .. } => {
                "Name the identity provider's entity id, as the metadata writes it."
            }
            Self::NoIdpRole { .. } => "Take the identity provider's metadata, not a service provider's.",
            Self::NoCertificate { .. } | Self::BadCertificate { .. } => {
                "Give the identity provider's signing certificate: X.509, RSA of at least 2048 bits or ECDSA on P-256, \
                 P-384 or P-521."
            }
            Self::NoEndpoint { .. } => "Turn on the HTTP-Redirect or HTTP-POST binding at the identity provider.",
            Self::BadLocation { .. } => "Let the identity provider use https addresses.",
            Self::BadKey { .. } => "Make a new key for this connection.",
            _ => return None,
        })
    }
}
