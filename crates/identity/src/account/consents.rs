//! `POST /account/consents/withdraw`: an application must ask again.

use axum::{Form, extract::State, response::Response};
use sallyport_model::{ClientId, EventKind};
use sallyport_web::Caller;
use serde::Deserialize;

use super::{back, unknown};
use crate::{Identity, answer::Failure};

#[derive(Deserialize)]
pub(crate) struct Withdraw {
    #[serde(default)]
    csrf: String,
    client: ClientId,
    resource: String,
}

/// Withdraws the consent and ends every grant that rests on it.
pub(crate) async fn withdraw(State(identity): State<Identity>, caller: Caller, Form(form): Form<Withdraw>) -> Response {
    let result = act(&identity, &caller, form).await;
    identity.answer(result)
}

async fn act(identity: &Identity, caller: &Caller, form: Withdraw) -> Result<Response, Failure> {
    let me = identity.authorize(&caller.headers, &form.csrf).await?;
    if !identity.store().remove_consent(&me.person.id, &form.client, &form.resource).await? {
        return Err(unknown("permission").into());
    }
    for grant in identity.grants(&me).await? {
        if grant.client == form.client && grant.resource == form.resource {
            identity.end_grant(caller, &me, &grant).await?;
        }
    }
    let facts = [("consent", "withdrawn"), ("client", form.client.as_str()), ("resource", form.resource.as_str())];
    identity.record_done(EventKind::Revoked, caller.source(), &me.person, Some(&me.session), &facts).await?;
    Ok(back("withdrawn"))
}
