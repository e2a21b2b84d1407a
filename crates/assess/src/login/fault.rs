//! Why a sign-in, or a step of one, came to nothing.

use std::time::Duration;

use crate::wire::WireError;

/// Why there is no token. Its text is fit for a finding: what a stranger said is cut and cleaned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Nothing names an authorization server.
    #[error("no authorization server metadata was found, so nobody can sign in")]
    NoServer,
    /// The target names another one than the operator.
    #[error("the target does not name the authorization server {0}, and nobody signs in at another one")]
    OtherServer(String),
    /// Codes, tokens and secrets would go over the network for everybody to read.
    #[error("the `{0}` of the metadata is plain http, by which no code and no secret is sent")]
    Insecure(&'static str),
    /// Its metadata lacks what the step needs.
    #[error("the authorization server's metadata has no usable `{0}`")]
    NoEndpoint(&'static str),
    /// The assessor has no client to sign in with.
    #[error("the assessor has no client at this authorization server: {why}; register one and give --oauth-client-id")]
    NoClient {
        /// What was tried.
        why: String,
        /// What shows it.
        exchanges: Vec<u32>,
    },
    /// It was asked to register a client, and nothing came of it.
    #[error("no client could be registered: {why}")]
    Unregistered {
        /// Why.
        why: String,
        /// What shows it.
        exchanges: Vec<u32>,
    },
    /// The operator gave no identity for this.
    #[error("it needs {0}")]
    NotGiven(String),
    /// The authorization server said no.
    #[error("the authorization server refused: {said}")]
    Refused {
        /// `error` of the answer; empty where it is no OAuth answer.
        error: String,
        /// Status, error and description in a line.
        said: String,
        /// What shows it.
        exchanges: Vec<u32>,
    },
    /// The authorization server could not answer now, which says nothing about what was asked.
    #[error("the authorization server could not answer now: {said}")]
    Busy {
        /// Status, error and description in a line.
        said: String,
        /// What shows it.
        exchanges: Vec<u32>,
    },
    /// The sign-in pages led nowhere.
    #[error("the walk through the sign-in pages ended: {why}")]
    Walk {
        /// Where and why.
        why: String,
        /// What shows it.
        exchanges: Vec<u32>,
    },
    /// The redirect back to the client cannot be trusted or read.
    #[error("the authorization response is not usable: {why}")]
    Response {
        /// What is wrong with it.
        why: String,
        /// What shows it.
        exchanges: Vec<u32>,
    },
    /// What needs a person who is signed in, when she is not.
    #[error("the first sign-in failed: {why}")]
    NotSignedIn {
        /// Why.
        why: String,
        /// What shows it.
        exchanges: Vec<u32>,
    },
    /// `--login`, and nobody came.
    #[error("nobody signed in within {} seconds", .0.as_secs())]
    Nobody(Duration),
    /// The listener for `--login` could not be opened.
    #[error("no port on 127.0.0.1 could be listened on: {0}")]
    Listener(String),
    /// No answer.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl Fault {
    /// The exchanges that show it.
    pub(crate) fn exchanges(&self) -> &[u32] {
        match self {
            Self::NoClient { exchanges, .. }
            | Self::Unregistered { exchanges, .. }
            | Self::Refused { exchanges, .. }
            | Self::Busy { exchanges, .. }
            | Self::Walk { exchanges, .. }
            | Self::NotSignedIn { exchanges, .. }
            | Self::Response { exchanges, .. } => exchanges,
            _ => &[],
        }
    }

    /// `error` of an OAuth refusal.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// A stranger's text for a finding: one line of at most 120 characters, nothing that moves a cursor.
pub(crate) fn quote(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() || is_format(c) { ' ' } else { c });
    let words: Vec<String> = clean.collect::<String>().split_whitespace().map(str::to_owned).collect();
    let line = words.join(" ");
    if line.chars().count() <= 120 { line } else { line.chars().take(119).chain(['…']).collect() }
}

/// Characters that reorder or hide text.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_stays_on_its_line() {
        assert_eq!(quote("a\u{1b}[31m\r\nb\u{202e}c  d"), "a [31m b c d");
        assert_eq!(quote(&"x".repeat(500)).chars().count(), 120);
    }
}
