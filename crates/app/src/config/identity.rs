//! `[identity]`: how people sign in.

use schemars::JsonSchema;
use serde::Deserialize;

/// How people sign in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// Whether people sign in at this deployment's own directory. Default: true.
    pub local_directory: bool,
    /// The longest browser session, hours. Default: 12.
    pub session_hours: u32,
    /// Whether administrators must have a passkey. Default: false; needs a host name in `public_url`.
    pub require_passkey_for_administrators: bool,
}

impl Default for Identity {
    fn default() -> Self {
        Self { local_directory: true, session_hours: 12, require_passkey_for_administrators: false }
    }
}
