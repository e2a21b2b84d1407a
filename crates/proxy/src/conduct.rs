//! From a request to a call in progress: authorized, opened in the log, ready to be forwarded.

use sallyport_mcp::{
    Era, Request,
    methods::{Kind, Target, rule},
};
use sallyport_model::Reason;
use std::sync::Arc;

use crate::{
    authenticate::Authenticated,
    authorize::{Permitted, authorize},
    gate::Gate,
    pending::Pending,
    post::{Posted, about},
    refusal::Refusal,
    slots::Slot,
};

/// Authorizes `request`. A name that is not pinned is looked up once more in a catalogue read anew,
/// since the upstream may have gained it.
pub(crate) async fn permit(
    gate: &Gate,
    caller: &Authenticated,
    era: Era,
    request: Request,
) -> Result<Permitted, Refusal> {
    let served = &caller.arrived.served;
    let principal = caller.principal();
    if let Ok(Target::Task(task)) = Target::of(&request)
        && !gate.tasks().owned(served.name(), task, &caller.binding())
    {
        let error = sallyport_mcp::Error::InvalidParams("there is no such task".to_owned());
        return Err(Refusal::Malformed(error.refuse(Some(request.id.clone()))));
    }
    let first = authorize(served, &served.live(), principal, era, request.clone());
    match first {
        Err(Refusal::Denied(Reason::NotInCatalogue { .. })) if gate.read_catalogue(served).await => {
            authorize(served, &served.live(), principal, era, request)
        }
        decided => decided,
    }
}

/// Opens the call in the log; durable on return if it acts.
pub(crate) async fn open(
    gate: &Gate,
    posted: &Posted,
    era: Era,
    version: &str,
    permitted: &Permitted,
    slot: Slot,
) -> Result<Pending, Refusal> {
    let request = permitted.request();
    let entry = about(request, version, permitted.tool().map(|tool| &tool.sha256));
    let open = gate.records().open_call(&posted.caller.subject(posted.bytes), entry, permitted.acts()).await?;
    let list = match rule(&request.method).kind {
        Kind::List(list) => Some(list),
        _ => None,
    };
    Ok(Pending {
        gate: gate.clone(),
        served: Arc::clone(&posted.caller.arrived.served),
        principal: Arc::clone(posted.caller.principal()),
        era,
        id: request.id.clone(),
        list,
        open,
        slot,
    })
}
