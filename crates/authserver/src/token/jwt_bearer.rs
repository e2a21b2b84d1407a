//! `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523 section 2.1): somebody whom a tenant trusts says
//! who asks. Its `typ` says which of two: an identity provider about a person and a client ([`super::id_jag`]), or a
//! platform about a workload ([`super::workload`]). Any other assertion is worth nothing.

use sallyport_oauth::{ErrorCode, id_jag, jws::Compact};
use sallyport_storage::{ClientAuthMethod, ClientRecord, ClientSource};
use sallyport_web::Caller;

use super::{Request, TokenResponse};
use crate::{
    client_auth::{self, Authenticated},
    error::{Ended, Refusal},
    parameters::Parameters,
    possession::Shown,
    record::Known,
    server::Server,
};

/// Longer assertions are refused unread.
const MAX_BYTES: usize = 16 * 1024;

/// Gives a token for an assertion.
pub(super) async fn redeem(
    server: &Server,
    caller: &Caller,
    parameters: &Parameters,
    shown: Shown,
    known: &mut Known,
) -> Result<TokenResponse, Ended> {
    let assertion = parameters.require("assertion", "assertion is missing")?;
    let unverified = Compact::parse_foreign(assertion, MAX_BYTES).map_err(|fault| {
        tracing::info!(%fault, "an assertion is refused");
        Refusal::grant("the assertion is no JWT", "assertion_malformed")
    })?;
    // Whose words these are is found out by looking at every tenant's issuers, and neither kind needs a client's proof.
    server.limits.authorization(caller)?;
    if !unverified.has_type(id_jag::TYPE) {
        return super::workload::redeem(server, caller, parameters, assertion, &unverified, shown, known).await;
    }
    // A client known by its document may come here first, before anything was fetched.
    if let Some(id) = parameters.get("client_id") {
        server.client_now(id, caller).await?;
    }
    let Authenticated { client, certificate } = client_auth::authenticate(server, caller, parameters, known).await?;
    vouched_for(&client)?;
    let request = Request { server, caller, client: &client, parameters, shown: shown.and(certificate) };
    super::id_jag::redeem(request, assertion, &unverified, known).await
}

/// A public client proves nothing. One known by its document has at least an address of its own, which the identity
/// provider named; of one that registered itself nobody knows anything.
fn vouched_for(client: &ClientRecord) -> Result<(), Refusal> {
    if client.auth != ClientAuthMethod::None || client.source == ClientSource::MetadataDocument {
        return Ok(());
    }
    let public = "the client must authenticate, or be known by its metadata document";
    Err(Refusal::new(ErrorCode::UnauthorizedClient, public, "client_is_public"))
}
