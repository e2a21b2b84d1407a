//! The modern half: stateless clients (2026-07-28).

use std::sync::Arc;

use http::StatusCode;
use sallyport_mcp::{
    Era, Message, Object, Outcome, Request, RequestMeta, Response as RpcResponse, headers,
    methods::{Kind, rule},
    translate::{handshake, input::Retry},
};
use sallyport_model::event::OutcomeStatus;

use crate::{
    conduct,
    frames::{Frame, Inlet, Outlet, pipe},
    gate::{Gate, Rejected},
    listen,
    pending::{Pending, bad_result},
    post::{Posted, VERSIONS, about},
    record,
    refusal::Refusal,
    relay::{self, modern_to_modern::Continued},
    respond::Reply,
    slots::What,
    state::{Continues, Owner},
    upstream::UpstreamSession,
};

/// How long a client may keep what `server/discover` said.
const DISCOVER_TTL_MS: u64 = 60_000;
/// Answers in one retry; each has an entry in the log.
const MOST_ANSWERS: usize = 32;

/// Handles a request.
pub(crate) async fn request(gate: &Gate, posted: Posted, request: Request, meta: RequestMeta) -> Reply {
    let id = request.id.clone();
    let entry = about(&request, meta.protocol_version.as_str(), None);
    let served = Arc::clone(&posted.caller.arrived.served);
    match started(gate, &posted, request, meta).await {
        Ok(inlet) => Reply::Coming { inlet, served, era: Era::Modern },
        Err(refusal) => {
            let rejected = Rejected { about: entry, bytes: posted.bytes, id: Some(id), era: Era::Modern };
            gate.refuse(&posted.caller, rejected, refusal).await.into()
        }
    }
}

/// Checks, authorizes and starts a request. An error means that nothing was started.
async fn started(gate: &Gate, posted: &Posted, request: Request, meta: RequestMeta) -> Result<Inlet, Refusal> {
    let caller = &posted.caller;
    let served = &caller.arrived.served;
    let about_error = |error: sallyport_mcp::Error| Refusal::Malformed(error.refuse(Some(request.id.clone())));
    headers::check(&request, &caller.arrived.headers, None).map_err(about_error)?;
    let permitted = conduct::permit(gate, caller, Era::Modern, request.clone()).await?;
    let schema = permitted.tool().and_then(|tool| tool.input_schema.clone());
    headers::check(&request, &caller.arrived.headers, schema.as_deref()).map_err(about_error)?;
    if rule(&request.method).kind == Kind::Listen {
        return listen::subscribe(gate, posted, request, meta).await;
    }
    let retry = retry_of(gate, posted, &request)?;
    let (outlet, inlet) = pipe();
    if let Retried::Parked(handle, retry) = retry {
        let gone = Refusal::State("the call that it continues has ended");
        let mut parked = gate.parked().take(&handle).ok_or(gone)?;
        // The same call goes on, in the place that it holds; its answer goes to the new request, and
        // what matters from now on is the token that this one brought.
        parked.pending.id = request.id.clone();
        parked.pending.principal = Arc::clone(caller.principal());
        let answers = parked.questions.iter().filter_map(|question| question.recorded(&retry)).collect();
        let (subject, call) = (caller.subject(posted.bytes), parked.pending.open.call());
        if let Err(error) = gate.records().answered(&subject, call, answers).await {
            gate.work().run(relay::modern_to_legacy::abandon(parked, Refusal::NoRecord(error), outlet));
            return Ok(inlet);
        }
        gate.work().run(relay::modern_to_legacy::resume(parked, retry, outlet));
        return Ok(inlet);
    }
    let slot = gate.slots().take(What::Calls, caller.binding(), gate.config().limits.calls)?;
    let leg = match gate.leg(served, caller.principal(), &meta).await {
        // Nothing of the upstream is known yet; the call is answered on its own record all the same.
        Err(refusal) if !matches!(refusal, Refusal::LinkRequired { .. }) => return Err(refusal),
        leg => leg,
    };
    let version = meta.protocol_version.as_str();
    let pending = conduct::open(gate, posted, Era::Modern, version, &permitted, slot, None).await?;
    let leg = match leg {
        Ok(leg) => leg,
        Err(refusal) => {
            gate.work().run(async move { pending.fail(&outlet, refusal, OutcomeStatus::Refused).await });
            return Ok(inlet);
        }
    };
    if request.method == "server/discover" {
        gate.work().run(discover(pending, leg, outlet));
        return Ok(inlet);
    }
    if leg.facts().era == Era::Modern {
        let continued = match retry {
            Retried::Upstream(continued) => Some(continued),
            Retried::Not | Retried::Parked(..) => None,
        };
        if let Some(continued) = &continued {
            let answers = answers(&request.method, continued);
            let subject = caller.subject(posted.bytes);
            if let Err(error) = gate.records().answered(&subject, pending.open.call(), answers).await {
                gate.work().run(async move {
                    pending.fail(&outlet, Refusal::NoRecord(error), OutcomeStatus::Refused).await;
                });
                return Ok(inlet);
            }
        }
        gate.work().run(relay::modern_to_modern::run(pending, leg, permitted, meta, continued, outlet));
    } else if rule(&request.method).kind == Kind::Task {
        let responses = match retry {
            Retried::Upstream(continued) => continued.responses,
            Retried::Not | Retried::Parked(..) => Object::new(),
        };
        let about = relay::extension_tasks::About { subject: caller.subject(posted.bytes), meta, responses };
        gate.work().run(relay::extension_tasks::run(pending, leg, permitted, about, outlet));
    } else {
        gate.work().run(relay::modern_to_legacy::run(pending, leg, permitted, meta, outlet));
    }
    Ok(inlet)
}

/// What a request's `requestState` and `inputResponses` are about.
enum Retried {
    /// It is no retry, or one that is sent anew.
    Not,
    /// Of a call that is parked here.
    Parked(String, Retry),
    /// Of a modern upstream's exchange.
    Upstream(Continued),
}

fn retry_of(gate: &Gate, posted: &Posted, request: &Request) -> Result<Retried, Refusal> {
    let mut params = request.params.clone().unwrap_or_default();
    let about_error = |error: sallyport_mcp::Error| Refusal::Malformed(error.refuse(Some(request.id.clone())));
    let Some(retry) = Retry::take(&mut params).map_err(about_error)? else { return Ok(Retried::Not) };
    if retry.responses.len() > MOST_ANSWERS {
        let what = format!("`params.inputResponses` holds more than {MOST_ANSWERS} answers; answer what was asked");
        return Err(about_error(sallyport_mcp::Error::InvalidParams(what)));
    }
    let Some(state) = &retry.request_state else {
        return Ok(Retried::Upstream(Continued { responses: retry.responses, state: None }));
    };
    let binding = posted.caller.binding();
    let upstream = posted.caller.arrived.served.name();
    let owner = Owner { binding: &binding, upstream, method: &request.method, params: request.params.as_ref() };
    Ok(match gate.states().open(&owner, state)? {
        Continues::Parked(handle) => Retried::Parked(handle, retry),
        Continues::Upstream(theirs) => Retried::Upstream(Continued { responses: retry.responses, state: Some(theirs) }),
        Continues::Afresh => Retried::Not,
    })
}

/// The answers of a retry for the log. The upstream's state is its own, so that the questions' methods
/// are not known here: the call's stands for them.
fn answers(method: &str, continued: &Continued) -> Vec<record::Answered> {
    let all = continued.responses.iter().filter_map(|(key, response)| {
        let outcome = Outcome::Result(response.as_object()?.clone());
        Some(record::answered(method, key.clone(), &outcome))
    });
    all.collect()
}

/// `server/discover`: what the upstream said at its handshake, under the gate's own versions.
async fn discover(pending: Pending, leg: Arc<dyn UpstreamSession>, outlet: Outlet) {
    let facts = leg.facts();
    let result = match facts.era {
        Era::Legacy => handshake::discover_result(facts.about.clone(), &VERSIONS, DISCOVER_TTL_MS, true),
        Era::Modern => {
            let mut result = facts.about.clone();
            handshake::relay_discover(&mut result, &VERSIONS);
            Ok(result)
        }
    };
    match result {
        Ok(result) => {
            let response = RpcResponse { id: None, outcome: Outcome::Result(result), extra: Object::new() };
            pending.answer(&outlet, response, None).await;
        }
        Err(error) => pending.fail(&outlet, bad_result(error), OutcomeStatus::UpstreamFailed).await,
    }
}

/// The frame of a message without an event id.
pub(crate) fn message(message: Message) -> Frame {
    Frame::Message { message, id: None, retry: None }
}

/// The frame of an answer under 200.
pub(crate) fn ok(response: RpcResponse) -> Frame {
    Frame::Answer { response, status: StatusCode::OK, id: None }
}
