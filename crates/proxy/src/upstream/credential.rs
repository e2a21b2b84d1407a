//! What the gate shows an upstream, as the administrator configured it.
//!
//! There is no kind that hands on what a client sent: nothing in here can hold a client's token.

use std::sync::Arc;

use ::http::HeaderName;
use sallyport_model::{Secret, TenantId, UserId};
use sallyport_outbound::command::CommandSpec;
use url::Url;

/// The gate's own credential at an upstream.
#[derive(Debug, Clone, Default)]
pub enum UpstreamCredential {
    /// The upstream wants none.
    #[default]
    None,
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// A header of the upstream's own, such as an API key.
    Header {
        /// The header.
        name: HeaderName,
        /// Its value.
        value: Secret,
    },
    /// A secret that a program of the operator's prints.
    Command {
        /// The program. It is run when the secret is needed first, and again after the upstream refused it.
        command: CommandSpec,
        /// The header; absent: `Authorization: Bearer …`.
        header: Option<HeaderName>,
    },
    /// RFC 6749 section 4.4.
    ClientCredentials(Arc<Issued>),
    /// RFC 8693, with a subject token that the gate makes afresh.
    TokenExchange(Arc<Exchanged>),
    /// An ID-JAG that the gate makes, exchanged at the upstream's authorization server (Cross App Access).
    IdJag(Arc<Exchanged>),
    /// Each person's own account at the upstream, linked on a page of the gate.
    LinkedAccount(Arc<Linked>),
}

/// What kind of credential it is, for whoever shows or judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// None.
    None,
    /// One secret for everybody, that does not end by itself. Question 8 gives it no full marks.
    Static,
    /// A token of the gate's own that ends, the same for everybody.
    ClientCredentials,
    /// A token for each principal, from an assertion of the gate's.
    TokenExchange,
    /// The same by way of an ID-JAG.
    IdJag,
    /// A token of each person's own.
    LinkedAccount,
}

impl CredentialKind {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Static => "static",
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "token_exchange",
            Self::IdJag => "id_jag",
            Self::LinkedAccount => "linked_account",
        }
    }

    /// Whether it is a secret that stands in the configuration and does not end.
    pub fn is_static(self) -> bool {
        self == Self::Static
    }

    /// Whether two principals show the upstream two credentials.
    pub fn is_per_principal(self) -> bool {
        matches!(self, Self::TokenExchange | Self::IdJag | Self::LinkedAccount)
    }
}

impl UpstreamCredential {
    /// Its kind.
    pub fn kind(&self) -> CredentialKind {
        match self {
            Self::None => CredentialKind::None,
            Self::Bearer(_) | Self::Header { .. } | Self::Command { .. } => CredentialKind::Static,
            Self::ClientCredentials(_) => CredentialKind::ClientCredentials,
            Self::TokenExchange(_) => CredentialKind::TokenExchange,
            Self::IdJag(_) => CredentialKind::IdJag,
            Self::LinkedAccount(_) => CredentialKind::LinkedAccount,
        }
    }
}

/// A token that an authorization server gives the gate.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Which.
    pub server: TokenServer,
    /// Who the gate is there.
    pub client: OwnClient,
    /// What is asked for; absent: nothing is named.
    pub scope: Option<String>,
    /// The RFC 8707 resource; absent: as the upstream's metadata say, else its URL.
    pub resource: Option<String>,
    /// Whether tokens are bound to a key of the gate's (RFC 9449).
    pub dpop: bool,
}

/// Which authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenServer {
    /// This endpoint; nothing is discovered.
    Endpoint {
        /// Its token endpoint.
        token_endpoint: Url,
        /// Its issuer, for whom assertions are made; absent: the endpoint's URL.
        issuer: Option<String>,
    },
    /// This issuer, by its metadata (RFC 8414).
    Issuer(Url),
    /// The one that the upstream itself names (RFC 9728).
    Discovered,
}

/// The gate as a client at that authorization server.
#[derive(Debug, Clone)]
pub struct OwnClient {
    /// `client_id`; absent: the address of the gate's client metadata document.
    pub id: Option<String>,
    /// How it proves to be that client.
    pub proof: ClientProof,
}

/// How the gate proves to be its client.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// It does not: a public client.
    Public,
    /// In the `Authorization` header (RFC 6749 section 2.3.1).
    SecretBasic(SecretSource),
    /// In the form.
    SecretPost(SecretSource),
    /// `private_key_jwt` (RFC 7523), signed by the key that signs the gate's tokens: the server reads it at the
    /// gate's `jwks_uri`.
    PrivateKeyJwt,
}

/// Where a secret is.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// Read already.
    Value(Secret),
    /// What a program prints.
    Command(CommandSpec),
}

/// A token for a principal, by an assertion of the gate's about her.
#[derive(Debug, Clone)]
pub struct Exchanged {
    /// Where it comes from.
    pub issued: Issued,
    /// RFC 8693's `audience`, where the server wants one.
    pub audience: Option<String>,
    /// Whether the assertion tells a person's e-mail address, by which servers know her that never heard of her id.
    pub send_email: bool,
}

/// Accounts that people link.
#[derive(Debug, Clone)]
pub struct Linked {
    /// Where their tokens come from.
    pub issued: Issued,
    /// How the gate itself reads the catalogue.
    pub catalogue: CatalogueAccess,
}

/// What the gate shows for itself where each person has an account of her own.
#[derive(Debug, Clone)]
pub enum CatalogueAccess {
    /// Nothing.
    Open,
    /// This token.
    Secret(Secret),
    /// The account that this person has linked. She has been told so.
    Account {
        /// Her tenant.
        tenant: TenantId,
        /// She.
        user: UserId,
    },
}
