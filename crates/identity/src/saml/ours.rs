//! `GET /signin/saml/{connection}/metadata`: what the provider's administrator is given. Signed; the address is our
//! entity id.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::header;
use sallyport_saml::{SpMetadata, sp_metadata};
use sallyport_web::Caller;

use super::Party;
use crate::{Identity, IdentityError, answer::Failure};

/// Serves them. Without an end of validity: many providers read them once.
pub(super) async fn serve(State(identity): State<Identity>, caller: Caller, Path(id): Path<String>) -> Response {
    let result = written(&identity, &caller, &id).await;
    identity.answer(result)
}

async fn written(identity: &Identity, caller: &Caller, id: &str) -> Result<Response, Failure> {
    let party = Party::at(identity, caller, id).await?;
    let options = SpMetadata { sign: true, ..SpMetadata::default() };
    let xml = sp_metadata(&party.sp, &options, identity.rng()).map_err(IdentityError::SamlKeys)?;
    let headers = [
        (header::CONTENT_TYPE, "application/samlmetadata+xml"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, xml).into_response())
}
