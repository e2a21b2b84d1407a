//! What an operator may choose about signing in.

use std::time::Duration;

use sallyport_storage::LockPolicy;

/// The choices, each with a safe default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityConfig {
    /// Whether people sign in here at all, with passwords and passkeys kept by this deployment.
    pub local_directory: bool,
    /// How long a browser session lasts at most. Default: 12 h.
    pub session_lifetime: Duration,
    /// How recently a person must have signed in to add or remove a passkey. Default: 15 min.
    pub fresh_for: Duration,
    /// When failures with one login lock that login. Default: 5 in 15 min, for 15 min.
    pub login_lock: LockPolicy,
    /// When failures from one address lock that address. Default: 50 in 15 min, for 15 min.
    pub address_lock: LockPolicy,
    /// Whether an administrator must have a passkey; who has none enrols one while signing in.
    pub require_passkey_for_administrators: bool,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        let quarter = Duration::from_secs(15 * 60);
        let lock = |limit| LockPolicy { limit, window: quarter, lock: quarter };
        Self {
            local_directory: true,
            session_lifetime: Duration::from_secs(12 * 60 * 60),
            fresh_for: quarter,
            login_lock: lock(5),
            address_lock: lock(50),
            require_passkey_for_administrators: false,
        }
    }
}
