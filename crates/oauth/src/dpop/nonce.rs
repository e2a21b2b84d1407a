//! Server nonces without state (RFC 9449 sections 8 and 9): a keyed digest of the window of time.
//!
//! Every node that has the key makes and takes the same ones. A nonce ages a proof; it does not make it
//! single: that is `jti`'s work.

use std::{fmt, time::Duration};

use aws_lc_rs::hmac;
use sallyport_model::Timestamp;
use subtle::ConstantTimeEq;

use crate::jws;

/// How many bytes of the digest are shown.
const LENGTH: usize = 18;

/// Makes and recognises nonces.
#[derive(Clone)]
pub struct NonceKey {
    key: hmac::Key,
    rotation: Duration,
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonceKey").field("rotation", &self.rotation).finish_non_exhaustive()
    }
}

impl NonceKey {
    /// From at least 32 secret bytes that all nodes share; `None` for fewer. There is a new nonce every
    /// `rotation` (at least a second), and the one before is still taken.
    pub fn new(secret: &[u8], rotation: Duration) -> Option<Self> {
        // A key of its own, so that a secret with another use gives nothing away here.
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&root, b"sallyport DPoP-Nonce v1");
        let key = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        (secret.len() >= 32).then(|| Self { key, rotation: rotation.max(Duration::from_secs(1)) })
    }

    /// The nonce to hand out at `now`: the value of `DPoP-Nonce`.
    pub fn current(&self, now: Timestamp) -> String {
        self.of(self.window(now))
    }

    /// Whether `nonce` is one of ours that is still good: of this window, of the one before, or of the next,
    /// which a node whose clock is ahead has handed out.
    pub fn accepts(&self, nonce: &str, now: Timestamp) -> bool {
        let window = self.window(now);
        let known = [Some(window), window.checked_sub(1), window.checked_add(1)];
        known
            .into_iter()
            .flatten()
            .fold(false, |found, window| found | bool::from(self.of(window).as_bytes().ct_eq(nonce.as_bytes())))
    }

    fn window(&self, now: Timestamp) -> u64 {
        now.as_secs() / self.rotation.as_secs()
    }

    fn of(&self, window: u64) -> String {
        jws::encode(&hmac::sign(&self.key, &window.to_be_bytes()).as_ref()[..LENGTH])
    }
}
