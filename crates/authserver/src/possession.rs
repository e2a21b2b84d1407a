//! Which key whoever sends a request holds: a DPoP proof (RFC 9449 section 5) or the certificate that it
//! authenticated with (RFC 8705 section 3). And where a bearer token will not do.
//!
//! A proof is checked before its client is, so that a client that is sent back for a nonce has spent nothing else; it
//! is spent once something else has proved to be good, so that a stranger fills no store with them.

use http::{HeaderValue, header::HeaderName};
use sallyport_model::KeyBinding;
use sallyport_oauth::{
    ErrorCode,
    dpop::{self, ExpectProof, Nonces, Proof, ProofFault},
    thumbprint,
};
use sallyport_storage::{Grant, TenantSettings};
use sallyport_web::Caller;

use crate::{
    agents::Chain,
    bearer,
    error::{Ended, Refusal},
    record::{Known, Standing},
    server::Server,
};

/// How long a nonce is handed out; it is taken for as long again.
pub(crate) const NONCE_ROTATION: std::time::Duration = std::time::Duration::from_secs(120);

/// What proofs are remembered as, at every endpoint and on every node.
const PURPOSE: &str = "dpop";

/// A proof is remembered so much longer than it is taken: `iat` has whole seconds, and nodes' clocks differ.
pub(crate) const MARGIN: std::time::Duration = std::time::Duration::from_secs(30);

const NONCE_HEADER: HeaderName = HeaderName::from_static(dpop::NONCE_HEADER);

const KEY_DIFFERS: Refusal = Refusal::grant(
    "this is bound to a key: prove the same key as before, with a DPoP proof or by the client's certificate",
    "bound_to_another_key",
);

/// A good proof that may have been seen before, or none; and the certificate by which the client authenticated.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Shown {
    proof: Option<Proof>,
    certificate: Option<String>,
}

/// The keys that whoever sends a request has proved, with a proof that counts no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held {
    jkt: Option<String>,
    /// Of the certificate by which the client authenticated; a certificate that proved nothing binds nothing.
    certificate: Option<String>,
}

/// The DPoP proof of a POST to our endpoint at `path`, if there is one.
pub(crate) fn shown(server: &Server, caller: &Caller, path: &str, known: &mut Known) -> Result<Shown, Refusal> {
    let mut proofs = caller.headers.get_all(dpop::HEADER).iter();
    let Some(proof) = proofs.next() else { return Ok(Shown::default()) };
    let malformed = |reason| Refusal::new(ErrorCode::InvalidDpopProof, "send one DPoP header with one proof", reason);
    if proofs.next().is_some() {
        return Err(malformed("dpop_several"));
    }
    let proof = proof.to_str().map_err(|_| malformed("dpop_malformed"))?;
    let url = server.url(path);
    let nonces = match server.config.dpop_nonces {
        true => Nonces::Demanded(&server.nonces),
        false => Nonces::Offered(&server.nonces),
    };
    let expect =
        ExpectProof { method: "POST", url: &url, access_token: None, nonces, now: server.now(), window: dpop::WINDOW };
    let proof = dpop::verify(proof, &expect).map_err(|fault| refused(&fault, known))?;
    Ok(Shown { proof: Some(proof), certificate: None })
}

fn refused(fault: &ProofFault, known: &mut Known) -> Refusal {
    if *fault == ProofFault::Nonce {
        known.standing = Standing::Expected;
        let again = "make the DPoP proof again with the nonce of this answer's DPoP-Nonce header";
        return Refusal::new(ErrorCode::UseDpopNonce, again, fault.code());
    }
    tracing::info!(%fault, "a DPoP proof is refused");
    let what = "the DPoP proof is no good: check its key, method, address, time and signature";
    Refusal::new(fault.outside(), what, fault.code())
}

impl Shown {
    /// The same, and the thumbprint of the certificate by which the client authenticated, if it did.
    pub(crate) fn and(self, certificate: Option<String>) -> Self {
        Self { certificate, ..self }
    }

    /// Spends the proof, for every node: shown once more, it is a replay. To be called once something else in the
    /// request has proved to be good, and before anything is given for it.
    pub(crate) async fn spend(self, server: &Server) -> Result<Held, Ended> {
        let Self { proof, certificate } = self;
        let Some(proof) = proof else { return Ok(Held { jkt: None, certificate }) };
        let id = bearer::sha256(proof.replay_id().as_bytes());
        if !server.store.use_once(PURPOSE, &id, server.now(), proof.remember_until.plus(MARGIN)).await? {
            let again = "the DPoP proof was used before: make a new one for each request";
            return Err(Refusal::new(ErrorCode::InvalidDpopProof, again, "dpop_replayed").into());
        }
        Ok(Held { jkt: Some(proof.jkt), certificate })
    }
}

impl Held {
    /// The proved DPoP key.
    pub(crate) fn jkt(&self) -> Option<&str> {
        self.jkt.as_deref()
    }

    /// Everything that was proved.
    pub(crate) fn proved(&self) -> Vec<KeyBinding> {
        let certificate = self.certificate.clone().map(KeyBinding::Certificate);
        self.jkt.clone().map(KeyBinding::Dpop).into_iter().chain(certificate).collect()
    }

    /// What a token becomes that is bound to what was proved.
    pub(crate) fn binding(&self) -> Option<KeyBinding> {
        let certificate = || self.certificate.clone().map(KeyBinding::Certificate);
        self.jkt.clone().map(KeyBinding::Dpop).or_else(certificate)
    }

    /// What a token under `grant` is bound to; refused where the grant is bound to another key. An agent that
    /// authenticates by a certificate may take the next one, for it is another credential of the same agent.
    pub(crate) fn under(&self, grant: &Grant) -> Result<Option<KeyBinding>, Refusal> {
        match &grant.bound_to {
            None => Ok(self.binding()),
            Some(bound @ KeyBinding::Dpop(jkt)) => match self.is(jkt) {
                true => Ok(Some(bound.clone())),
                false => Err(KEY_DIFFERS),
            },
            Some(KeyBinding::Certificate(_)) => match &self.certificate {
                Some(certificate) => Ok(Some(KeyBinding::Certificate(certificate.clone()))),
                None => Err(KEY_DIFFERS),
            },
        }
    }

    /// Whether the key with this thumbprint was proved.
    pub(crate) fn is(&self, jkt: &str) -> bool {
        self.jkt.as_deref().is_some_and(|proved| thumbprint::same(proved, jkt))
    }
}

/// Refuses a bearer token where the tenant or an agent may have bound ones only.
pub(crate) fn demand(settings: &TenantSettings, chain: &Chain, binding: Option<&KeyBinding>) -> Result<(), Refusal> {
    if binding.is_some() || !(settings.sender_bound || chain.sender_bound()) {
        return Ok(());
    }
    Err(UNBOUND)
}

/// A bearer token will not do.
pub(crate) const UNBOUND: Refusal = Refusal::new(
    ErrorCode::InvalidDpopProof,
    "tokens must be bound to a key here: send a DPoP proof, or authenticate with a client certificate",
    "sender_binding_demanded",
);

impl Server {
    /// Puts the nonce for the next proof on an answer.
    pub(crate) fn offer_nonce(&self, mut response: axum::response::Response) -> axum::response::Response {
        if let Ok(nonce) = HeaderValue::from_str(&self.nonces.current(self.now())) {
            response.headers_mut().insert(NONCE_HEADER, nonce);
        }
        response
    }
}
