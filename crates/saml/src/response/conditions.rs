//! When, for whom and in answer to what an assertion holds (saml-core-2.0-os, sections 2.4 and 2.5;
//! saml-profiles-2.0-os, section 4.1.4.2).

use sallyport_model::Timestamp;

use super::Answers;
use crate::{
    SamlFault, ServiceProvider,
    fault::shown,
    message::Clocks,
    names::{BEARER, SAML},
    time::{time, time_of},
    xml::Element,
};

/// Checks `Conditions`; returns their end, if they have one.
pub(super) fn check_conditions(
    conditions: Element<'_>,
    sp: &ServiceProvider,
    clocks: &Clocks,
) -> Result<Option<Timestamp>, SamlFault> {
    if let Some(from) = time_of(conditions, "NotBefore")? {
        clocks.begun("assertion", from)?;
    }
    let until = time_of(conditions, "NotOnOrAfter")?;
    if let Some(until) = until {
        clocks.not_over("assertion", until)?;
    }
    let mut restricted = false;
    for condition in conditions.children() {
        if condition.is(SAML, "AudienceRestriction") {
            check_audience(condition, sp)?;
            restricted = true;
        } else if !condition.is(SAML, "OneTimeUse") && !condition.is(SAML, "ProxyRestriction") {
            // One-time use is kept by the replay store; no assertion is made of an assertion here.
            return Err(SamlFault::UnknownCondition { name: condition.shown() });
        }
    }
    if restricted { Ok(until) } else { Err(SamlFault::NoAudience { expected: sp.entity_id.clone() }) }
}

/// One audience of each restriction must be us, exactly.
fn check_audience(restriction: Element<'_>, sp: &ServiceProvider) -> Result<(), SamlFault> {
    let all: Result<Vec<String>, SamlFault> =
        restriction.named(SAML, "Audience").map(|audience| audience.token()).collect();
    let all = all?;
    if all.contains(&sp.entity_id) {
        return Ok(());
    }
    let found = all.iter().take(10).map(|one| shown(one)).collect();
    Err(SamlFault::WrongAudience { expected: sp.entity_id.clone(), found })
}

/// How the person was confirmed.
pub(super) struct Confirmed {
    pub(super) until: Timestamp,
    pub(super) in_response_to: Option<String>,
}

/// One bearer confirmation must hold; if none does, the first one's fault is told.
pub(super) fn check_confirmation(
    subject: Element<'_>,
    sp: &ServiceProvider,
    answers: Answers<'_>,
    clocks: &Clocks,
) -> Result<Confirmed, SamlFault> {
    let mut first = None;
    for confirmation in subject.named(SAML, "SubjectConfirmation") {
        if confirmation.attribute("Method") != Some(BEARER) {
            continue;
        }
        match bearer(confirmation, sp, answers, clocks) {
            Ok(confirmed) => return Ok(confirmed),
            Err(fault) => first = first.or(Some(fault)),
        }
    }
    Err(first.unwrap_or(SamlFault::NoBearerConfirmation))
}

fn bearer(
    confirmation: Element<'_>,
    sp: &ServiceProvider,
    answers: Answers<'_>,
    clocks: &Clocks,
) -> Result<Confirmed, SamlFault> {
    let given = confirmation.one(SAML, "SubjectConfirmationData")?;
    let recipient = given.required("Recipient")?;
    if recipient != sp.acs_url {
        return Err(SamlFault::WrongRecipient { expected: sp.acs_url.clone(), found: shown(recipient) });
    }
    if let Some(from) = time_of(given, "NotBefore")? {
        clocks.begun("confirmation", from)?;
    }
    let until = time("NotOnOrAfter", given.required("NotOnOrAfter")?)?;
    clocks.not_over("confirmation", until)?;
    let in_response_to = given.attribute("InResponseTo");
    check_request("assertion", in_response_to, answers)?;
    Ok(Confirmed { until, in_response_to: in_response_to.map(ToOwned::to_owned) })
}

/// The response and the assertion both name the open request, or, where there is none, no request.
pub(super) fn check_request(what: &'static str, found: Option<&str>, answers: Answers<'_>) -> Result<(), SamlFault> {
    match (answers, found) {
        (Answers::Nothing, None) => Ok(()),
        (Answers::Nothing, Some(found)) => Err(SamlFault::UnknownRequest { found: shown(found) }),
        (Answers::Request(expected), Some(found)) if expected == found && !expected.is_empty() => Ok(()),
        (Answers::Request(expected), found) => {
            Err(SamlFault::WrongInResponseTo { what, expected: expected.to_owned(), found: found.map(shown) })
        }
    }
}
