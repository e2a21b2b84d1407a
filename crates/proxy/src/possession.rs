//! Whether whoever sends a token also holds the key that it is bound to: DPoP (RFC 9449) and certificates of the
//! TLS peer (RFC 8705 section 3).
//!
//! A token's binding and the way in which it was presented must fit each other exactly; nothing is taken for less
//! than it is. The address in a proof is held against the configured public URL, never against `Host`.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use sallyport_model::{Clock, KeyBinding, Principal, Rng, Timestamp};
use sallyport_oauth::{
    ErrorCode,
    dpop::{self, ExpectProof, NonceKey, Nonces, ProofFault},
    jws::Malformed,
    thumbprint,
};
use sallyport_storage::{Digest, Store};

use crate::{
    gate::Gate,
    presented::{Presented, Proof, Scheme},
    proof_ids::{GatheredProofIds, MemoryProofIds, NoProofIds, ProofIds, StoredProofIds, UsedProof},
    receive::Arrived,
    refusal::Refusal,
};

/// A nonce is handed out for this long. It is taken in its own window, in the one after, and in the one before,
/// for a node whose clock is ahead has handed it out.
const ROTATION: Duration = Duration::from_secs(60);
/// A used proof is remembered for longer than it could be accepted, so that nodes' clocks may differ this much.
const MARGIN: Duration = Duration::from_secs(30);

/// What proofs of possession are held against.
#[derive(Clone)]
pub struct Possession {
    ids: Arc<dyn ProofIds>,
    nonces: NonceKey,
}

impl Possession {
    /// For one process: proofs are remembered in its memory, and the nonces that they need die with it, so that a
    /// restart forgets nothing that could be shown again. A proof that one node took is refused by another, which
    /// knows none of its nonces.
    pub fn of_this_process(rng: &dyn Rng) -> Self {
        let mut secret = [0; 32];
        rng.fill(&mut secret);
        Self::with(Arc::new(MemoryProofIds::default()), &secret)
    }

    /// For all nodes over one store. `secret` is the same on all of them and nobody else's.
    pub fn shared(store: Arc<dyn Store>, secret: &[u8; 32]) -> Self {
        let stored = Arc::new(StoredProofIds::new(store));
        Self::with(Arc::new(GatheredProofIds::new(stored)), secret)
    }

    /// With ids and a secret of the caller's. Ids that a restart forgets need a secret that dies with them.
    pub fn with(ids: Arc<dyn ProofIds>, secret: &[u8; 32]) -> Self {
        let nonces = NonceKey::new(secret, ROTATION).expect("32 bytes are enough for a nonce key");
        Self { ids, nonces }
    }

    /// The value of `DPoP-Nonce`.
    pub(crate) fn nonce(&self, now: Timestamp) -> String {
        self.nonces.current(now)
    }

    /// Until when a proof that was found good at `now` is remembered.
    ///
    /// A proof with the nonce of window `w` is good in the windows `w - 1`, `w` and `w + 1` alone, so nowhere at or
    /// after `end = start(w - 1) + 3 * ROTATION`, by the clock of whoever looks. It was good at `now`, hence `now >=
    /// start(w - 1)`, and `now + 3 * ROTATION + MARGIN >= end + MARGIN`: a node forgets it only after `end + MARGIN`
    /// by its own clock, when no clock that is less than `MARGIN` behind shows a time before `end`. The same goes for
    /// `remember_until`, which no time at which `iat` is good comes after. A proof has to pass both, so the earlier is
    /// enough. Above all it bounds what a key can make the gate remember: `iat` may lie in the future.
    fn remember_until(proof: &dpop::Proof, now: Timestamp) -> Timestamp {
        proof.remember_until.min(now.plus(ROTATION * 3)).plus(MARGIN)
    }

    /// Whether `proof`, which is good, was never used.
    async fn first_use(&self, proof: &dpop::Proof, clock: &dyn Clock) -> Result<bool, Refusal> {
        let (id, key) = digest(&proof.replay_id()).zip(digest(&proof.jkt)).ok_or(Refusal::Store)?;
        let now = clock.now();
        let used = UsedProof { id, key, until: Self::remember_until(proof, now) };
        let first = self.ids.use_once(used, now).await.map_err(unknown)?;
        // While this was written an earlier use may have been forgotten, if that took until it was allowed to be.
        let now = clock.now();
        let good = proof.nonce.as_ref().is_some_and(|nonce| self.nonces.accepts(nonce, now));
        match first && !(good && now <= proof.remember_until) {
            true => Err(Unproved::Proof(ProofFault::Nonce).into()),
            false => Ok(first),
        }
    }
}

/// 32 bytes in base64url.
fn digest(text: &str) -> Option<Digest> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Nobody can tell whether a proof is a first use.
fn unknown(error: NoProofIds) -> Refusal {
    match error {
        // Its own doing, and counted with the refusals; one line for each would fill the operator's log.
        NoProofIds::KeyFull => Refusal::Http { status: StatusCode::TOO_MANY_REQUESTS, what: error.to_string() },
        NoProofIds::Full | NoProofIds::Store(_) => {
            tracing::error!(%error, "a proof of possession is refused");
            Refusal::Store
        }
    }
}

/// Why a verified token counts for nothing in the hands of whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unproved {
    /// A bound token as a bearer token (RFC 9449 section 7.2).
    #[error("this access token is bound to a DPoP key: send it as DPoP, with a proof")]
    Downgraded,
    /// A token without a DPoP key under DPoP.
    #[error("this access token is bound to no DPoP key: send it as Bearer")]
    NotBound,
    /// No proof, or several.
    #[error("send exactly one DPoP proof, in the DPoP header")]
    NoProof,
    /// A proof that a bearer token has no use for.
    #[error("a DPoP proof goes with a token that is sent as DPoP, not as Bearer")]
    Needless,
    /// A proof that is no good.
    #[error("{}", fault_text(.0))]
    Proof(ProofFault),
    /// A good proof of somebody else's key.
    #[error("the DPoP proof is of another key than the access token")]
    OtherKey,
    /// A proof that was used before, here or on another node.
    #[error("the DPoP proof was used before: make a new one for each request")]
    Replayed,
    /// A bearer token of a tenant that takes none.
    #[error("your organisation takes access tokens only that are bound to a key: ask for one with a DPoP proof")]
    Unbound,
    /// Bound to a certificate that the TLS peer did not show.
    #[error("this access token is bound to a client certificate: connect with that certificate")]
    Certificate,
}

/// What a proof says of itself stays out of headers and answers.
fn fault_text(fault: &ProofFault) -> String {
    match fault {
        ProofFault::Malformed(Malformed::TooLarge) => "the DPoP proof is too large".to_owned(),
        ProofFault::Malformed(_) => "the DPoP proof is malformed".to_owned(),
        other => other.to_string().replace(['`', '"', '\\'], ""),
    }
}

impl Unproved {
    /// The stable code for the audit log.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Downgraded => "dpop_downgraded",
            Self::NotBound => "dpop_not_bound",
            Self::NoProof => "dpop_missing",
            Self::Needless => "dpop_needless",
            Self::Proof(fault) => fault.code(),
            Self::OtherKey => "dpop_other_key",
            Self::Replayed => "dpop_replayed",
            Self::Unbound => "token_unbound",
            Self::Certificate => "token_certificate",
        }
    }

    /// What the client is told (RFC 9449 sections 7.1 and 9, RFC 8705 section 3).
    pub(crate) fn error(&self) -> &'static str {
        match self {
            Self::Downgraded | Self::NotBound | Self::Needless | Self::Unbound | Self::Certificate => {
                ErrorCode::InvalidToken.as_str()
            }
            Self::NoProof | Self::OtherKey | Self::Replayed => ErrorCode::InvalidDpopProof.as_str(),
            Self::Proof(fault) => fault.outside().as_str(),
        }
    }
}

/// Refuses a token that is not in the hands of whoever it is bound to. `principal` is what it was verified to say.
pub(crate) async fn prove(
    gate: &Gate,
    arrived: &Arrived,
    presented: &Presented<'_>,
    principal: &Principal,
) -> Result<(), Refusal> {
    match (&principal.bound_to, presented.scheme, presented.proof) {
        (Some(KeyBinding::Dpop(_)), Scheme::Bearer, _) => Err(Unproved::Downgraded.into()),
        (Some(KeyBinding::Dpop(jkt)), Scheme::Dpop, Proof::One(proof)) => {
            let proof = checked(gate, arrived, presented.token, proof)?;
            if !thumbprint::same(&proof.jkt, jkt) {
                return Err(Unproved::OtherKey.into());
            }
            // Last, so that nobody but the key's holder uses an id up.
            match gate.possession().first_use(&proof, gate.clock()).await? {
                true => Ok(()),
                false => Err(Unproved::Replayed.into()),
            }
        }
        (Some(KeyBinding::Dpop(_)), Scheme::Dpop, Proof::None | Proof::Unclear) => Err(Unproved::NoProof.into()),
        (None | Some(KeyBinding::Certificate(_)), Scheme::Dpop, _) => Err(Unproved::NotBound.into()),
        (None | Some(KeyBinding::Certificate(_)), Scheme::Bearer, Proof::One(_) | Proof::Unclear) => {
            Err(Unproved::Needless.into())
        }
        (Some(KeyBinding::Certificate(digest)), Scheme::Bearer, Proof::None) => {
            let shown = arrived.certificate.as_ref().is_some_and(|peer| thumbprint::same(&peer.x5t_s256, digest));
            if shown { Ok(()) } else { Err(Unproved::Certificate.into()) }
        }
        (None, Scheme::Bearer, Proof::None) => match gate.demands().sender_bound(&principal.tenant) {
            Some(false) => Ok(()),
            Some(true) => Err(Unproved::Unbound.into()),
            None => Err(Refusal::Store),
        },
    }
}

fn checked(gate: &Gate, arrived: &Arrived, token: &str, proof: &str) -> Result<dpop::Proof, Refusal> {
    let expect = ExpectProof {
        method: arrived.verb.as_str(),
        url: arrived.served.resource(),
        access_token: Some(token),
        nonces: Nonces::Demanded(&gate.possession().nonces),
        now: gate.clock().now(),
        window: dpop::WINDOW,
    };
    dpop::verify(proof, &expect).map_err(|fault| Unproved::Proof(fault).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use sallyport_model::SystemRng;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The middle of a window.
    const NOW: u64 = 1_800_000_030;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// A clock that also goes back. In seconds.
    #[derive(Debug)]
    struct SetClock(AtomicU64);

    impl SetClock {
        fn at(now: Timestamp) -> Self {
            Self(now.as_secs().into())
        }

        fn set(&self, now: Timestamp) {
            self.0.store(now.as_secs(), Ordering::Relaxed);
        }
    }

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            at(self.0.load(Ordering::Relaxed))
        }
    }

    fn proof(jkt: u8, jti: &str, issued_at: u64, nonce: String) -> dpop::Proof {
        let issued_at = at(issued_at);
        let remember_until = issued_at.plus(dpop::WINDOW).plus(Duration::from_secs(30));
        let jkt = URL_SAFE_NO_PAD.encode([jkt; 32]);
        dpop::Proof { jkt, jti: jti.to_owned(), issued_at, nonce: Some(nonce), remember_until }
    }

    /// Whether the gate would take it for good, but for its having been used.
    fn is_good(possession: &Possession, proof: &dpop::Proof, now: Timestamp) -> bool {
        let iat = proof.issued_at;
        let timely = (now.minus(dpop::WINDOW).as_secs()..=now.plus(dpop::WINDOW).as_secs()).contains(&iat.as_secs());
        timely && possession.nonces.accepts(proof.nonce.as_ref().unwrap(), now)
    }

    #[tokio::test]
    async fn a_used_proof_is_known_at_every_time_at_which_it_could_pass_again() {
        let (mut shown, mut longest) = (0, 0);
        for (start, window, iat) in (NOW - 30..NOW + 31).step_by(6).flat_map(|start| {
            let windows = [start - 60, start, start + 60].map(|window| (start, window));
            windows.into_iter().flat_map(|(start, window)| [-300, -200, 0, 300].map(|iat| (start, window, iat)))
        }) {
            let possession = Possession::of_this_process(&SystemRng);
            let nonce = possession.nonces.current(at(window));
            let used = proof(1, "j", start.saturating_add_signed(iat), nonce);
            assert!(is_good(&possession, &used, at(start)));
            let clock = SetClock::at(at(start));
            assert!(possession.first_use(&used, &clock).await.unwrap());
            for now in start - 60..start + 700 {
                // Another node, whose clock is ahead, has just made everybody forget what it may.
                let ahead = SetClock::at(at(now + MARGIN.as_secs()));
                let other = proof(2, &now.to_string(), now, possession.nonces.current(ahead.now()));
                assert!(possession.first_use(&other, &ahead).await.unwrap());
                clock.set(at(now));
                if is_good(&possession, &used, at(now)) {
                    assert!(!possession.first_use(&used, &clock).await.unwrap(), "{start} {window} {iat} {now}");
                    (shown, longest) = (shown + 1, longest.max(now.saturating_sub(start)));
                }
            }
        }
        assert!(shown > 1_000 && longest >= 170, "{shown} {longest}");
    }

    #[test]
    fn no_proof_is_remembered_for_long_whatever_it_says() {
        let far = proof(1, "j", NOW + 300, String::new());
        assert_eq!(Possession::remember_until(&far, at(NOW)), at(NOW + 210));
        let old = proof(1, "j", NOW - 299, String::new());
        assert_eq!(Possession::remember_until(&old, at(NOW)), at(NOW + 1 + 60));
    }

    /// A store that takes long.
    struct Long(Arc<SetClock>, Duration);

    #[async_trait]
    impl ProofIds for Long {
        async fn use_each_once(&self, proofs: &[UsedProof], now: Timestamp) -> Result<Vec<bool>, NoProofIds> {
            self.0.set(now.plus(self.1));
            Ok(vec![true; proofs.len()])
        }
    }

    #[tokio::test]
    async fn a_first_use_that_was_found_out_too_late_counts_for_nothing() {
        for (takes, taken) in [(80, true), (90, false), (300, false)] {
            let clock = Arc::new(SetClock::at(at(NOW)));
            let long = Arc::new(Long(Arc::clone(&clock), Duration::from_secs(takes)));
            let possession = Possession::with(long, &[9; 32]);
            let slow = proof(1, "j", NOW, possession.nonce(at(NOW)));
            let answer = possession.first_use(&slow, clock.as_ref()).await;
            assert_eq!(matches!(answer, Ok(true)), taken, "{takes} {answer:?}");
            assert_eq!(matches!(answer, Err(Refusal::Unproved(Unproved::Proof(ProofFault::Nonce)))), !taken);
        }
    }

    #[tokio::test]
    async fn a_key_at_its_cap_is_told_so_and_does_not_refuse_another() {
        let ids = MemoryProofIds::of_at_most(100, 3);
        let possession = Possession::with(Arc::new(ids), &[9; 32]);
        let clock = SetClock::at(at(NOW));
        let shown = |jkt, jti: &str| proof(jkt, jti, NOW, possession.nonce(at(NOW)));
        for jti in ["a", "b", "c"] {
            assert!(possession.first_use(&shown(1, jti), &clock).await.unwrap());
        }
        let full = possession.first_use(&shown(1, "d"), &clock).await;
        assert!(matches!(full, Err(Refusal::Http { status: StatusCode::TOO_MANY_REQUESTS, .. })), "{full:?}");
        assert!(!possession.first_use(&shown(1, "a"), &clock).await.unwrap(), "it is still known");
        assert!(possession.first_use(&shown(2, "d"), &clock).await.unwrap(), "another key");
    }
}
