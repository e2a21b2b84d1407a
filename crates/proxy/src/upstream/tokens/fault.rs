//! Why there is nothing to show an upstream.

/// Why the gate has no token for an upstream. None of these texts quotes what a server answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// The authorization server cannot be reached, or not where it may be.
    #[error("{what} cannot be reached: {why}")]
    Unreachable {
        /// What was asked.
        what: &'static str,
        /// Why, in the words of the network or the guard.
        why: String,
    },
    /// It says no.
    #[error("the authorization server refuses the gate a token ({0}); check the upstream's `credential`")]
    Refused(&'static str),
    /// Its answer is none.
    #[error("the authorization server's answer cannot be used: {0}")]
    Answer(String),
    /// It cannot be found, or not one that is good enough.
    #[error("the upstream's authorization server cannot be found: {0}; name it with `issuer` or `token_endpoint`")]
    Discovery(String),
    /// Nothing could be signed.
    #[error("the gate could not sign an assertion")]
    Unsigned,
    /// The program that prints the secret did not.
    #[error("the program that gives the secret failed: {0}")]
    Command(String),
    /// The store failed.
    #[error("the gate cannot reach its store")]
    Store,
    /// An agent that acts for nobody has no account.
    #[error("this server is used with a person's own account, and an agent that acts for nobody has none")]
    NoPerson,
    /// Nobody linked the account that the gate reads the catalogue with.
    #[error("nobody has linked the account that reads the catalogue; open the gate's page for it")]
    NoCatalogueAccount,
    /// The gate was started without what this kind needs.
    #[error("this kind of credential is not wired")]
    NotWired,
}

impl TokenFault {
    /// A stable code for the audit log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "upstream_token_unreachable",
            Self::Refused(_) => "upstream_token_refused",
            Self::Answer(_) => "upstream_token_answer",
            Self::Discovery(_) => "upstream_token_discovery",
            Self::Unsigned => "upstream_token_unsigned",
            Self::Command(_) => "upstream_secret_command",
            Self::Store => "upstream_token_store",
            Self::NoPerson => "link_needs_a_person",
            Self::NoCatalogueAccount => "no_catalogue_account",
            Self::NotWired => "upstream_configuration",
        }
    }
}
