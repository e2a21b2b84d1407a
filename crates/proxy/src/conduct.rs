//! From a request to a call in progress: authorized, opened in the log, ready to be forwarded.

use sallyport_mcp::{
    ClientCapabilities, Era, Object, Request,
    meta::{CLIENT_CAPABILITIES, TASKS_EXTENSION, meta_of},
    methods::{Kind, Target, client_rule, rule},
};
use sallyport_model::Reason;
use std::sync::Arc;

use crate::{
    authenticate::Authenticated,
    authorize::{Permitted, authorize},
    gate::Gate,
    link::Linkable,
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
    check_task(gate, caller, era, &request)?;
    let first = authorize(served, &served.live(), principal, era, request.clone());
    let permitted = match first {
        Err(Refusal::Denied(Reason::NotInCatalogue { .. })) if gate.read_catalogue(served).await => {
            authorize(served, &served.live(), principal, era, request)
        }
        decided => decided,
    }?;
    if let Some(scope) = permitted.used() {
        gate.uses().note(principal, scope, gate.clock().now());
    }
    Ok(permitted)
}

/// A task method needs, in this order: to exist, the client's declaration (modern), and that the task
/// is the caller's own.
fn check_task(gate: &Gate, caller: &Authenticated, era: Era, request: &Request) -> Result<(), Refusal> {
    let wrong = |error: sallyport_mcp::Error| Refusal::Malformed(error.refuse(Some(request.id.clone())));
    if rule(&request.method).kind != Kind::Task {
        return Ok(());
    }
    client_rule(&request.method, era).map_err(wrong)?;
    if era == Era::Modern && !declares_tasks(request) {
        return Err(wrong(tasks_undeclared()));
    }
    match Target::of(request).map_err(wrong)? {
        Target::Task(task) if !gate.tasks().owned(caller.arrived.served.name(), task, &caller.binding()) => {
            Err(wrong(sallyport_mcp::Error::InvalidParams("there is no such task".to_owned())))
        }
        _ => Ok(()),
    }
}

/// What a modern client is told that asks about tasks and did not declare the extension (SEP-2663).
pub(crate) fn tasks_undeclared() -> sallyport_mcp::Error {
    let required = Object::from_iter([("extensions".to_owned(), serde_json::json!({ TASKS_EXTENSION: {} }))]);
    sallyport_mcp::Error::MissingCapability { required }
}

fn declares_tasks(request: &Request) -> bool {
    let capabilities = meta_of(request.params.as_ref()).and_then(|meta| meta.get(CLIENT_CAPABILITIES)?.as_object());
    capabilities.is_some_and(|capabilities| ClientCapabilities(capabilities.clone()).extension(TASKS_EXTENSION))
}

/// Opens the call in the log; durable on return if it acts. `session`: a legacy client's capabilities.
pub(crate) async fn open(
    gate: &Gate,
    posted: &Posted,
    era: Era,
    version: &str,
    permitted: &Permitted,
    slot: Slot,
    session: Option<&Object>,
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
        link: Linkable::of(posted.caller.arrived.served.offered().spec.credential.kind(), request, session),
        _large: posted.large.clone(),
    })
}
