//! The consent page: who asks, for whom, for what, and where the answer goes.
//!
//! Everything on it that a stranger chose is said to be a stranger's word.

use axum::response::Response;
use maud::{Markup, html};
use sallyport_model::{ScopeSet, Timestamp};
use sallyport_oauth::{ErrorCode, client_document, redirect};
use sallyport_storage::{ClientRecord, ClientSource};
use sallyport_web::{Caller, Notice, csrf_field, notice};
use url::Url;

use super::{
    CONSENT,
    delegation::Delegation,
    request::{is_unmistakable, of_resource},
    waiting::Open,
};
use crate::{
    ResourceInfo, ScopeInfo, SignedIn,
    error::{Ended, Refusal},
    server::Server,
};

/// The purpose of the form's token: this request, answered by this session.
pub(crate) fn purpose(handle: &str, person: &SignedIn) -> String {
    format!("consent {handle} {}", person.session.id)
}

/// Renders the page.
pub(crate) async fn consent(
    server: &Server,
    caller: &Caller,
    open: &Open,
    client: &ClientRecord,
    person: &SignedIn,
    delegation: Option<&Delegation>,
) -> Result<Response, Ended> {
    let request = &open.waiting.request;
    let gone = Refusal::new(ErrorCode::InvalidTarget, "the resource is no longer here", "resource_gone");
    let resource = server.resources.resource(&request.resource).ok_or(gone)?;
    let earlier = server.store.consent(&person.person.id, &client.id, &request.resource).await?;
    let had = earlier.map(|consent| resource.closure(&consent.scopes)).unwrap_or_default();
    let form = server.shell.form_token(&caller.headers, &purpose(&open.handle, person), server.rng.as_ref());
    let body = html! {
        @match delegation {
            None => {
                h1 { "Allow " (client.name) "?" }
                p.lead { "It asks to use " strong { (resource.title) } " as " strong { (person.person.display_name) } "." }
            }
            Some(delegation) => (asks_to_act(delegation, &resource, person)),
        }
        (warnings(client, &request.redirect_uri))
        (scope_list(&resource, &of_resource(&request.scopes), &had))
        (facts(server, client, person, &resource, &request.redirect_uri, delegation))
        form.actions method="post" action=(CONSENT) {
            (csrf_field(&form.token))
            input type="hidden" name="handle" value=(open.handle);
            button type="submit" name="decision" value="allow" { "Allow" }
            button.quiet type="submit" name="decision" value="deny" { "Deny" }
        }
        p.fine { "You can withdraw this on your account page at any time." }
    };
    let title = match delegation {
        None => format!("Allow {}?", client.name),
        Some(delegation) => format!("Let {} act for you?", delegation.agent.name),
    };
    let mut page = server.shell.page(title).in_popup().set_cookie(form.set_cookie);
    if let Ok(target) = Url::parse(&request.redirect_uri) {
        page = page.form_may_lead_to(&target);
    }
    Ok(page.respond(body))
}

fn asks_to_act(delegation: &Delegation, resource: &ResourceInfo, person: &SignedIn) -> Markup {
    html! {
        h1 { "Let " (delegation.agent.name) " act for you?" }
        p.lead {
            "It is an agent: a machine, not a person. It asks to use " strong { (resource.title) } " on behalf of "
            strong { (person.person.display_name) } " until " strong { (shown_time(delegation.until)) } "."
        }
        p { "Whatever it does is recorded as done by it, for you." }
    }
}

/// To the minute, in UTC.
fn shown_time(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| at.to_string(), |time| time.strftime("%-d %B %Y, %H:%M UTC").to_string())
}

fn warnings(client: &ClientRecord, redirect_uri: &str) -> Markup {
    let vouched = client.source == ClientSource::Preregistered;
    html! {
        @if !vouched {
            (notice(Notice::Info, "The application chose its name itself and nobody has checked it. Allow it only if you have just started this yourself."))
        }
        @if !is_unmistakable(client, redirect_uri) {
            (notice(Notice::Failed, "The answer goes to a program on your own computer. Any program there could pose as this application: deny if you are not connecting one right now."))
        }
    }
}

fn scope_list(resource: &ResourceInfo, asked: &ScopeSet, had: &ScopeSet) -> Markup {
    let step_up = !had.is_empty();
    let (old, new): (Vec<_>, Vec<_>) =
        resource.scopes.iter().filter(|info| asked.contains(&info.scope)).partition(|info| had.contains(&info.scope));
    html! {
        @if asked.is_empty() { p.notice { "It asks for no permission; it learns only that you signed in." } }
        @if !new.is_empty() {
            @if step_up { h2 { "New" } }
            (items(&new))
        }
        @if !old.is_empty() {
            h2 { "Allowed before" }
            (items(&old))
        }
    }
}

fn items(scopes: &[&ScopeInfo]) -> Markup {
    html! {
        ul.items {
            @for info in scopes {
                li.row {
                    div.item-main {
                        strong { (info.title) }
                        @if !info.description.is_empty() { p.soft { (info.description) } }
                        ul.chips {
                            li { code { (info.scope) } }
                            @if info.risky { li { strong { "Can change or send things" } } }
                        }
                    }
                }
            }
        }
    }
}

fn facts(
    server: &Server,
    client: &ClientRecord,
    person: &SignedIn,
    resource: &ResourceInfo,
    redirect_uri: &str,
    delegation: Option<&Delegation>,
) -> Markup {
    let document_host = client_document::url(client.id.as_str()).ok().and_then(|url| url.host_str().map(str::to_owned));
    html! {
        dl.facts {
            @match delegation {
                Some(delegation) => (agent_facts(server, delegation)),
                None => {
                    dt { "Application" }
                    dd {
                        (client.name)
                        @match client.source {
                            ClientSource::Preregistered => { " · set up by " (server.shell.branding().product) },
                            ClientSource::Dynamic => { " · registered itself" },
                            ClientSource::MetadataDocument => {
                                " · described by " strong { (document_host.as_deref().unwrap_or("an unknown host")) }
                            },
                        }
                    }
                }
            }
            dt { "Signed in as" }
            dd { (person.person.display_name) " (" (person.person.login) ")" }
            dt { "Access to" }
            dd { (resource.title) " · " code { (resource.uri) } }
            dt { "Answer goes to" }
            dd { strong { (redirect::shown_host(redirect_uri)) } " · " code { (redirect_uri) } }
        }
    }
}

fn agent_facts(server: &Server, delegation: &Delegation) -> Markup {
    html! {
        dt { "Agent" }
        dd { (delegation.agent.name) " · " code { (delegation.agent.id) } }
        dt { "Purpose" }
        dd { (delegation.agent.purpose) }
        dt { "Who answers for it" }
        dd { (delegation.owner.as_deref().unwrap_or(&server.shell.branding().product)) }
        dt { "Until" }
        dd { (shown_time(delegation.until)) }
    }
}
