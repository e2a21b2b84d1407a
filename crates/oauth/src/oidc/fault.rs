//! Why a sign-in at a provider, or a word of its, is refused.
//!
//! The sentences hold the values that disagree, cut to length and without control characters; they are
//! for the log and for an administrator. No secret, code or token stands in one.

use sallyport_model::Timestamp;

use super::JwtFault;
use crate::strict::NotAnObject;

/// Why something of a provider's is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcFault {
    /// A token fails what every token must pass.
    #[error(transparent)]
    Jwt(#[from] JwtFault),

    /// A document is not one unambiguous JSON object.
    #[error("the {what} cannot be read: {why}")]
    Document {
        /// Which document.
        what: &'static str,
        /// What is wrong with it.
        why: NotAnObject,
    },
    /// A document is larger than is read.
    #[error("the {what} is larger than is read")]
    DocumentTooLarge {
        /// Which document.
        what: &'static str,
    },
    /// The metadata lack a member.
    #[error("the provider's metadata have no `{name}`")]
    Missing {
        /// The member.
        name: &'static str,
    },
    /// A member of the metadata has the wrong type.
    #[error("`{name}` in the provider's metadata is of the wrong type or too long")]
    WrongType {
        /// The member.
        name: &'static str,
    },
    /// A URL that nothing would be sent to.
    #[error("`{name}` is `{value}`, which {why}")]
    Url {
        /// The member or setting.
        name: &'static str,
        /// The URL.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The metadata are of another issuer.
    #[error("the metadata are of the issuer `{found}`; this connection is configured for `{expected}`")]
    MetadataIssuer {
        /// Theirs.
        found: String,
        /// Ours.
        expected: String,
    },
    /// The provider offers no signature that we take.
    #[error("the provider signs ID tokens with {advertised} only")]
    NoAlgorithm {
        /// What it offers.
        advertised: String,
    },
    /// The provider lists PKCE methods without S256.
    #[error("the provider offers PKCE without S256")]
    NoPkce,
    /// The provider has no code flow.
    #[error("the provider does not offer the response type `code`")]
    NoCodeFlow,
    /// The provider offers no authentication of clients that we can do.
    #[error("the provider takes clients' authentication by {advertised} only")]
    NoAuthentication {
        /// What it offers.
        advertised: String,
    },
    /// The connection is set to another authentication than the provider offers.
    #[error("the provider does not take {method}")]
    AuthenticationNotOffered {
        /// What the connection is set to.
        method: &'static str,
    },
    /// The issuer does not look like one of the preset's.
    #[error("`{found}` is no issuer of {title}; one looks like `{example}`")]
    IssuerForm {
        /// The preset.
        title: &'static str,
        /// The issuer.
        found: String,
        /// One that is.
        example: &'static str,
    },
    /// A shared Entra issuer without the directories that may sign in.
    #[error("the issuer is shared by all of Entra's customers, and no directory ids are set")]
    DirectoriesMissing,

    /// The key set holds nothing that verifies a signature.
    #[error("the provider's key set holds no key that we verify with ({skipped} others)")]
    NoKeys {
        /// How many members it has.
        skipped: usize,
    },
    /// The key set holds too many keys.
    #[error("the provider's key set holds {found} keys; at most 64 are read")]
    TooManyKeys {
        /// How many.
        found: usize,
    },
    /// The key set holds a private or shared key.
    #[error("the provider's key set publishes the private part of the key `{kid}`")]
    PublishedSecret {
        /// Which.
        kid: String,
    },
    /// All that could verify is an RSA key below 2048 bits.
    #[error("the provider's RSA key `{kid}` has {bits} bits; 2048 are needed")]
    WeakKey {
        /// Which.
        kid: String,
        /// Its length.
        bits: usize,
    },
    /// Our own client key cannot be used.
    #[error("our client key is no P-256 key and no RSA key of 2048 bits in PKCS #8, or it failed to sign")]
    ClientKey,

    /// The answer's form.
    #[error("the provider's answer {why}")]
    ResponseForm {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The answer has no `state`.
    #[error("the provider's answer has no `state`")]
    StateMissing,
    /// The answer has another `state` than this browser was sent with.
    #[error("the answer's `state` is not the one that this browser was sent with")]
    State,
    /// RFC 9207 is advertised, and `iss` is missing.
    #[error("the answer does not say who sent it (`iss`), though the provider promises that its answers do")]
    ResponseIssuerMissing,
    /// The answer is of another issuer.
    #[error("the answer is of `{found}`; `{expected}` was asked")]
    ResponseIssuer {
        /// Theirs.
        found: String,
        /// Who was asked.
        expected: String,
    },
    /// The provider refused the sign-in.
    #[error("the provider refused: {error}{}", description.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    ProviderRefused {
        /// `error`.
        error: String,
        /// `error_description`.
        description: Option<String>,
    },
    /// The token endpoint refused.
    #[error("the token endpoint answered {status} {error}{}", description.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    TokenEndpoint {
        /// The HTTP status.
        status: u16,
        /// `error`; empty when there was none.
        error: String,
        /// `error_description`.
        description: Option<String>,
    },
    /// The token endpoint wants its nonce in the DPoP proof: send the request again with it.
    #[error("the token endpoint wants its nonce in the DPoP proof")]
    DpopNonce,
    /// The token endpoint's answer makes no sense.
    #[error("the token endpoint's answer {why}")]
    TokenResponse {
        /// What is wrong with it.
        why: &'static str,
    },

    /// Another `nonce`, or none.
    #[error("the ID token's `nonce` is not the one of this sign-in")]
    Nonce,
    /// Issued to another client.
    #[error("the ID token was issued to `{found}` (`azp`); we are `{expected}`")]
    AuthorizedParty {
        /// `azp`.
        found: String,
        /// We.
        expected: String,
    },
    /// The ID token belongs to another access token or code.
    #[error("the ID token's `{claim}` does not belong to what came with it")]
    TokenHash {
        /// `at_hash` or `c_hash`.
        claim: &'static str,
    },
    /// A refresh brought another person.
    #[error("the refreshed ID token is about somebody else")]
    OtherSubject,
    /// UserInfo is about another person.
    #[error("the UserInfo answer is about somebody else than the ID token")]
    UserInfoSubject,
    /// Recency is demanded, and the token does not say when the person was asked.
    #[error("the ID token does not say when the person was asked for proof (`auth_time`), and recency is demanded")]
    AuthTimeMissing,
    /// The proof is too old.
    #[error("the sign-in at the provider is of {at}; at {now}, at most {max_age} seconds are allowed")]
    Stale {
        /// `auth_time`.
        at: Timestamp,
        /// Our time.
        now: Timestamp,
        /// Seconds.
        max_age: u64,
    },
    /// Another class of proof than is demanded.
    #[error("the sign-in was of the class `{found}`; demanded is {demanded}")]
    Acr {
        /// `acr`.
        found: String,
        /// What would do.
        demanded: String,
    },
    /// Several factors are demanded, and the token does not show them.
    #[error("the ID token does not show that several factors were used (`amr`: {amr})")]
    Mfa {
        /// `amr`, joined.
        amr: String,
        /// The preset's advice.
        remedy: &'static str,
    },
    /// Google: of another Workspace, or of none.
    #[error("the account belongs to {found}; this connection is for {expected}")]
    HostedDomain {
        /// `hd`.
        found: String,
        /// The connection's.
        expected: String,
    },
    /// Entra: `tid` is not the issuer's directory.
    #[error("the ID token is of the directory `{found}`, which is not its issuer's")]
    Directory {
        /// `tid`.
        found: String,
    },
    /// The groups claim.
    #[error("the claim `{claim}` {why}")]
    Groups {
        /// The claim.
        claim: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Groups decide, and the token leaves them out because there are too many.
    #[error("the person is in more groups than fit into the ID token, so it holds none")]
    GroupsOverage,

    /// No log-out event.
    #[error("the token holds no log-out event")]
    LogoutEvent,
    /// A log-out token with a nonce may be an ID token.
    #[error("the log-out token holds a `nonce`")]
    LogoutNonce,
    /// Neither a person nor a session.
    #[error("the log-out token names neither a person (`sub`) nor a session (`sid`)")]
    LogoutSubject,
}

impl OidcFault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Jwt(fault) => fault.code(),
            Self::Document { .. } => "oidc_document",
            Self::DocumentTooLarge { .. } => "oidc_document_too_large",
            Self::Missing { .. } => "oidc_metadata_missing",
            Self::WrongType { .. } => "oidc_metadata_type",
            Self::Url { .. } => "oidc_url",
            Self::MetadataIssuer { .. } => "oidc_metadata_issuer",
            Self::NoAlgorithm { .. } => "oidc_no_algorithm",
            Self::NoPkce => "oidc_no_pkce",
            Self::NoCodeFlow => "oidc_no_code_flow",
            Self::NoAuthentication { .. } => "oidc_no_authentication",
            Self::AuthenticationNotOffered { .. } => "oidc_authentication_not_offered",
            Self::IssuerForm { .. } => "oidc_issuer_form",
            Self::DirectoriesMissing => "oidc_directories_missing",
            Self::NoKeys { .. } => "oidc_no_keys",
            Self::TooManyKeys { .. } => "oidc_too_many_keys",
            Self::PublishedSecret { .. } => "oidc_published_secret",
            Self::WeakKey { .. } => "oidc_weak_key",
            Self::ClientKey => "oidc_client_key",
            Self::ResponseForm { .. } => "oidc_response_form",
            Self::StateMissing => "oidc_state_missing",
            Self::State => "oidc_state",
            Self::ResponseIssuerMissing => "oidc_response_issuer_missing",
            Self::ResponseIssuer { .. } => "oidc_response_issuer",
            Self::ProviderRefused { .. } => "oidc_provider_refused",
            Self::TokenEndpoint { .. } => "oidc_token_endpoint",
            Self::DpopNonce => "oidc_dpop_nonce",
            Self::TokenResponse { .. } => "oidc_token_response",
            Self::Nonce => "oidc_nonce",
            Self::AuthorizedParty { .. } => "oidc_authorized_party",
            Self::TokenHash { .. } => "oidc_token_hash",
            Self::OtherSubject => "oidc_other_subject",
            Self::UserInfoSubject => "oidc_user_info_subject",
            Self::AuthTimeMissing => "oidc_auth_time_missing",
            Self::Stale { .. } => "oidc_stale",
            Self::Acr { .. } => "oidc_acr",
            Self::Mfa { .. } => "oidc_mfa",
            Self::HostedDomain { .. } => "oidc_hosted_domain",
            Self::Directory { .. } => "oidc_directory",
            Self::Groups { .. } => "oidc_groups",
            Self::GroupsOverage => "oidc_groups_overage",
            Self::LogoutEvent => "oidc_logout_event",
            Self::LogoutNonce => "oidc_logout_nonce",
            Self::LogoutSubject => "oidc_logout_subject",
        }
    }

    /// What an administrator can do.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Jwt(fault) => return fault.remedy(),
            Self::Missing { .. } | Self::WrongType { .. } | Self::Document { .. } => {
                "open the issuer's /.well-known/openid-configuration in a browser and check that it is your provider's"
            }
            Self::Url { .. } => "use an https URL without user name and fragment",
            Self::MetadataIssuer { .. } => {
                "copy the issuer of the sentence's first half into the connection, to the letter, if it is your \
                 provider's; a slash at the end counts"
            }
            Self::NoAlgorithm { .. } => {
                "set the application's ID token signature to RS256, PS256, ES256, ES384 or EdDSA"
            }
            Self::NoPkce => "switch PKCE with S256 on at the provider",
            Self::NoCodeFlow => "allow the authorization code flow at the provider",
            Self::NoAuthentication { .. } | Self::AuthenticationNotOffered { .. } => {
                "set client_secret_basic, client_secret_post or private_key_jwt at the provider and in the connection"
            }
            Self::IssuerForm { .. } => "copy the issuer from the provider's console, in the form of the example",
            Self::DirectoriesMissing => {
                "use the issuer of your own directory (https://login.microsoftonline.com/DIRECTORY-ID/v2.0), or list \
                 the directory ids that may sign in"
            }
            Self::NoKeys { .. } => "have the provider publish an RSA (2048 bits or more), P-256, P-384 or Ed25519 key",
            Self::PublishedSecret { .. } => {
                "tell the provider's operator at once: whoever read that key can sign in as anybody"
            }
            Self::WeakKey { .. } => "have the provider make a new key of at least 2048 bits",
            Self::ClientKey => "make a new client key and register its public half at the provider",
            Self::StateMissing | Self::State | Self::Nonce => {
                "start the sign-in again, in one browser window, with cookies allowed"
            }
            Self::ResponseIssuerMissing | Self::ResponseIssuer { .. } => {
                "start the sign-in again; if it comes back, check that nothing between browser and provider rewrites \
                 addresses"
            }
            Self::ProviderRefused { error, .. } if error == "unmet_authentication_requirements" => {
                "the person has no factor that meets the demand: enrol one at the provider, or change the demand"
            }
            Self::ProviderRefused { .. } => "look the error up in the provider's own sign-in log",
            Self::TokenEndpoint { error, .. } if error == "invalid_client" => {
                "check the client id and secret, or the registered key, and whether the secret has expired"
            }
            Self::TokenEndpoint { error, .. } if error == "invalid_grant" => {
                "start the sign-in again; check that the redirect URI is registered to the letter"
            }
            Self::AuthTimeMissing => {
                "have the provider write `auth_time` into the ID token (at Entra ID an optional claim), or do not demand \
                 recency of this connection"
            }
            Self::AuthorizedParty { .. } => "check the connection's client id",
            Self::Stale { .. } => "sign in again at the provider",
            Self::Acr { .. } => {
                "have the provider's policy ask for the demanded class, or change the connection's demand"
            }
            Self::Mfa { remedy, .. } => return Some(remedy),
            Self::HostedDomain { .. } => "choose the account of your organisation, or add the domain to the connection",
            Self::Groups { .. } => "have the provider write groups as a list of strings",
            Self::GroupsOverage => {
                "at Entra ID, send only groups that are assigned to the application, or use app roles (the claim \
                 `roles`), or provision groups by SCIM"
            }
            _ => return None,
        })
    }

    /// Whether a refused refresh means that the person's grant at the provider is over, rather than that
    /// something is broken for now (RFC 6749 section 5.2, OpenID Connect Core section 3.1.2.6). `invalid_request`
    /// counts too: the request is well formed, and Canaille means by it that there is no such person any more.
    pub fn ends_the_grant(&self) -> bool {
        const OVER: [&str; 6] = [
            "invalid_grant",
            "invalid_request",
            "interaction_required",
            "login_required",
            "consent_required",
            "access_denied",
        ];
        match self {
            Self::TokenEndpoint { status: 400..=499, error, .. } => OVER.contains(&error.as_str()),
            Self::OtherSubject => true,
            _ => false,
        }
    }

    /// Whether the provider asks that the person prove more, which starts another sign-in with `prompt` and
    /// the demands, rather than a fault.
    pub fn needs_step_up(&self) -> bool {
        matches!(self, Self::Stale { .. } | Self::Acr { .. } | Self::Mfa { .. })
    }
}
