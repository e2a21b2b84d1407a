//! `POST /account/grants/revoke`: disconnect one application.

use axum::{Form, extract::State, response::Response};
use sallyport_model::GrantId;
use sallyport_web::Caller;
use serde::Deserialize;

use super::{back, unknown};
use crate::{Identity, answer::Failure};

#[derive(Deserialize)]
pub(crate) struct Revoke {
    #[serde(default)]
    csrf: String,
    grant: GrantId,
}

/// Ends the grant with all its tokens, and the consent behind it if no other grant rests on it, so
/// that the application has to ask again.
pub(crate) async fn revoke(State(identity): State<Identity>, caller: Caller, Form(form): Form<Revoke>) -> Response {
    let result = act(&identity, &caller, form).await;
    identity.answer(result)
}

async fn act(identity: &Identity, caller: &Caller, form: Revoke) -> Result<Response, Failure> {
    let me = identity.authorize(&caller.headers, &form.csrf).await?;
    let mine = identity.grants(&me).await?;
    let grant = mine.iter().find(|grant| grant.id == form.grant).ok_or_else(|| unknown("connection"))?;
    identity.end_grant(caller, &me, grant).await?;
    let same = |other: &&_| is_sibling(grant, other);
    if mine.iter().find(same).is_none() {
        identity.store().remove_consent(&me.person.id, &grant.client, &grant.resource).await?;
    }
    Ok(back("disconnected"))
}

fn is_sibling(grant: &sallyport_storage::Grant, other: &sallyport_storage::Grant) -> bool {
    other.id != grant.id && other.client == grant.client && other.resource == grant.resource
}
