//! Whether whoever sends a token also holds the key that it is bound to: DPoP (RFC 9449) and certificates of the
//! TLS peer (RFC 8705 section 3).
//!
//! A token's binding and the way in which it was presented must fit each other exactly; nothing is taken for less
//! than it is. The address in a proof is held against the configured public URL, never against `Host`.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sallyport_model::{KeyBinding, Principal, Rng, Timestamp};
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
    proof_ids::{GatheredProofIds, MemoryProofIds, ProofIds, StoredProofIds, UsedProof},
    receive::Arrived,
    refusal::Refusal,
};

/// A nonce is handed out for this long, and good until the one after it is over.
const ROTATION: Duration = Duration::from_secs(60);
/// A used proof is remembered for longer than it could be accepted: `iat` has whole seconds, and nodes' clocks
/// differ.
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

    async fn first_use(&self, proof: &dpop::Proof, now: Timestamp) -> Result<bool, Refusal> {
        let decoded = URL_SAFE_NO_PAD.decode(proof.replay_id()).unwrap_or_default();
        let id = Digest::try_from(decoded).map_err(|_| Refusal::Store)?;
        let used = UsedProof { id, until: proof.remember_until.plus(MARGIN) };
        self.ids.use_once(used, now).await.map_err(|error| {
            tracing::error!(%error, "a proof of possession is refused");
            Refusal::Store
        })
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
            match gate.possession().first_use(&proof, gate.clock().now()).await? {
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
        (None, Scheme::Bearer, Proof::None) if gate.demands().sender_bound(&principal.tenant) => {
            Err(Unproved::Unbound.into())
        }
        (None, Scheme::Bearer, Proof::None) => Ok(()),
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
