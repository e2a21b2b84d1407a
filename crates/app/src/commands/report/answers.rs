//! This deployment's answers to the ten questions: what its configuration says, what was seen, and what is missing.
//!
//! A control that the product does not have is named as missing. Nothing here is a promise.

use sallyport_model::{
    Clock as _, SystemClock,
    assessment::{Assessment, CheckResult, Source, TITLES},
};
use sallyport_report::sheet::{AnswerSheet, EvidenceState, Figure, FigureOrigin, SHEET_VERSION, SheetAnswer};

use super::Report;
use crate::config::{Config, Tls};

/// What one question is answered with, before evidence.
struct Answer {
    text: Vec<String>,
    figures: Vec<(&'static str, String, &'static str)>,
    limits: Vec<&'static str>,
    references: Vec<&'static str>,
    there: bool,
}

/// The sheet.
pub fn sheet(config: &Config, command: &Report, measured: Option<&Assessment>) -> AnswerSheet {
    let public = config.server.public_url.as_str().trim_end_matches('/');
    let answers = (1..).zip(TITLES).map(|(number, title)| {
        let answer = answer(number, config);
        let state = match (answer.there, measured.and_then(|result| observed(result, number))) {
            (false, _) => EvidenceState::Missing,
            (true, Some(state)) => state,
            (true, None) => EvidenceState::Configured,
        };
        SheetAnswer {
            number,
            title: title.to_owned(),
            text: answer.text,
            figures: answer.figures.into_iter().map(figure).collect(),
            state,
            limits: answer.limits.into_iter().map(str::to_owned).collect(),
            references: answer.references.into_iter().map(str::to_owned).collect(),
        }
    });
    AnswerSheet {
        schema_version: SHEET_VERSION,
        vendor: command.vendor.clone(),
        product: command.product.clone(),
        endpoints: config.upstreams.iter().map(|upstream| format!("{public}/mcp/{}", upstream.name)).collect(),
        contact: command.contact.clone(),
        prepared_at: SystemClock.now().to_string(),
        prepared_by: concat!("sallyport ", env!("CARGO_PKG_VERSION")).to_owned(),
        answers: answers.collect(),
    }
}

fn figure((name, value, setting): (&'static str, String, &'static str)) -> Figure {
    Figure { name: name.to_owned(), value, origin: FigureOrigin::Configured { setting: setting.to_owned() } }
}

/// The checks of a question that an assessment saw pass.
fn observed(result: &Assessment, number: u8) -> Option<EvidenceState> {
    let question = result.questions.iter().find(|question| question.number == number)?;
    let seen = question.evidence.iter().filter(|e| e.result == CheckResult::Pass && e.source == Source::Observed);
    let checks: Vec<String> = seen.map(|evidence| evidence.check.clone()).collect();
    (!checks.is_empty()).then(|| EvidenceState::Observed { at: result.assessed_at.clone(), checks })
}

fn answer(number: u8, config: &Config) -> Answer {
    match number {
        1 => authorization(config),
        2 => people(config),
        3 => agents(config),
        4 => scopes(),
        5 => injection(),
        6 => lifetimes(config),
        7 => trail(),
        8 => audience(),
        9 => confirmation(),
        _ => containment(),
    }
}

fn on(switch: bool) -> &'static str {
    if switch { "on" } else { "off" }
}

fn authorization(config: &Config) -> Answer {
    let tls = match &config.server.tls {
        Some(Tls::Own { .. }) => "TLS is ended by the gate itself.",
        Some(Tls::Terminated { .. }) => "TLS is ended by a named proxy in front of the gate.",
        None => "The gate listens on loopback only, without TLS.",
    };
    let oauth = &config.oauth;
    Answer {
        text: vec![
            "OAuth 2.1 with the authorization code flow and PKCE S256; no other method, no implicit and no password grant. \
             Protected resource metadata (RFC 9728), authorization server metadata (RFC 8414, OpenID Connect Discovery), \
             pushed requests (RFC 9126), and the issuer in every response (RFC 9207)."
                .to_owned(),
            format!(
                "Clients are known beforehand ({}), by Client ID Metadata Document ({}), or by dynamic registration ({}).",
                oauth.clients.len(),
                on(oauth.client_documents),
                on(oauth.dynamic_registration)
            ),
            tls.to_owned(),
            "Servers behind the gate that run as processes get their credentials from the environment.".to_owned(),
        ],
        figures: vec![("registrations per hour and address", oauth.registrations_per_hour.to_string(), "oauth.registrations_per_hour")],
        limits: vec![],
        references: vec!["RFC 9728", "RFC 8414", "RFC 7636", "RFC 9207", "RFC 9126"],
        there: true,
    }
}

fn people(config: &Config) -> Answer {
    Answer {
        text: vec![
            "Each tenant can connect its own identity providers, by OpenID Connect or SAML 2.0; its people are led there by \
             e-mail domains that it has proved. It can provision by SCIM 2.0 and send security events (Shared Signals, \
             Global Token Revocation): who is deactivated, deleted or signed out there has lost access here when the event \
             is acknowledged. Where a provider gives refresh tokens, it is asked about the person before every refresh."
                .to_owned(),
            format!(
                "People sign in at a local directory of this deployment ({}), with a password or a passkey; a session lives \
                 for {} hours at most.",
                on(config.identity.local_directory),
                config.identity.session_hours
            ),
        ],
        figures: vec![],
        limits: vec![
            "Whether a tenant has connected one is not in the configuration: `sallyport tenant connections` says so, and how \
             long access can outlive the provider's word.",
        ],
        references: vec!["OpenID Connect Core", "SAML 2.0", "RFC 7643", "RFC 7644", "OpenID SSF 1.0"],
        there: true,
    }
}

fn agents(config: &Config) -> Answer {
    Answer {
        text: vec![
            "An agent is a principal of its own, with owner, purpose, scopes, servers, networks, hours and an end. It proves \
             itself by a key, a certificate or its platform's token, by a secret only where its tenant allows that; credentials \
             end, and rotate with an overlap. It is suspended, revoked and deleted without touching a person's session, and \
             stops, or passes to a named successor, when its owner leaves."
                .to_owned(),
            "A person lets an agent act for her by consent; a sub-agent acts by token exchange (RFC 8693), never wider. Token, \
             introspection and every event say human, agent, or agent for a human, with the whole chain."
                .to_owned(),
        ],
        figures: vec![
            ("agent's access token", format!("{} s", config.oauth.agent_token_seconds), "oauth.agent_token_seconds"),
            ("an agent's access for a person", format!("{} min", config.oauth.delegation_minutes), "oauth.delegation_minutes"),
        ],
        limits: vec!["Agents are made and rotated by `sallyport agent`; no console shows them yet."],
        references: vec!["RFC 6749 section 4.4", "RFC 7523", "RFC 8705", "RFC 8693"],
        there: true,
    }
}

fn scopes() -> Answer {
    Answer {
        text: vec![
            "Each tool has a scope of its own, made from the pinned catalogue, and groups for reading and acting. A client is \
             granted the initial scopes and asks for more by a 403 challenge that names what is missing; lists show what the \
             principal may use, and nothing else. Tokens are bound to one resource (RFC 8707)."
                .to_owned(),
        ],
        figures: vec![],
        limits: vec!["A customer's administrator cannot yet narrow scopes, tools or arguments."],
        references: vec!["RFC 8707", "RFC 6750 section 3.1"],
        there: true,
    }
}

fn injection() -> Answer {
    Answer {
        text: vec!["The definitions of every tool are hashed and stored when they are first seen.".to_owned()],
        figures: vec![],
        limits: vec!["Results of tools are relayed as they come: they are neither inspected nor labelled yet."],
        references: vec![],
        there: false,
    }
}

fn lifetimes(config: &Config) -> Answer {
    let oauth = &config.oauth;
    Answer {
        text: vec![
            "Access tokens live for minutes. A refresh token works once; used a second time it ends its whole family. Revocation \
             (RFC 7009) takes effect on the next request and ends open streams."
                .to_owned(),
            "Clients may bind their tokens to a key by DPoP or a certificate; then every request needs the key. A tenant or an \
             agent may demand it."
                .to_owned(),
        ],
        figures: vec![
            ("access token", format!("{} s", oauth.access_token_seconds), "oauth.access_token_seconds"),
            ("unused refresh token", format!("{} min", oauth.refresh_idle_minutes), "oauth.refresh_idle_minutes"),
            ("grant, however often refreshed", format!("{} min", oauth.grant_minutes), "oauth.grant_minutes"),
        ],
        limits: vec!["Clients that prove no key get bearer tokens, where the tenant does not demand bound ones."],
        references: vec!["RFC 9700", "RFC 7009", "RFC 9449", "RFC 8705"],
        there: true,
    }
}

fn trail() -> Answer {
    Answer {
        text: vec![
            "Every call, allowed or refused, is an entry of an append-only, signed transparency log before its response leaves: \
             who, human or agent, client, tenant, server, tool, sanitised parameters, decision and why, status, latency, time. \
             `sallyport audit verify` and foreign verifiers check it; `sallyport audit export` writes JSON lines or OCSF."
                .to_owned(),
        ],
        figures: vec![],
        limits: vec!["Entries are kept until the operator removes them; no sink for a SIEM is built in yet."],
        references: vec!["C2SP tlog-tiles", "OCSF 1.8 API Activity"],
        there: true,
    }
}

fn audience() -> Answer {
    Answer {
        text: vec![
            "The audience of a token is compared with the one resource on every request, exactly, with signature, issuer, type, \
             expiry and revocation. The client's token never reaches the server behind: that one gets a credential of its own."
                .to_owned(),
            "That credential is static, obtained by client credentials, exchanged for a fresh assertion of the gate's own, by a \
             cross-app grant, or of an account that the person has linked; it ends with her access."
                .to_owned(),
        ],
        figures: vec![],
        limits: vec!["Which kind of credential a server gets is in the configuration; a static one is the same for everybody."],
        references: vec!["RFC 8707", "RFC 9068", "RFC 8693"],
        there: true,
    }
}

fn confirmation() -> Answer {
    Answer {
        text: vec!["The four hints of every tool are relayed to clients as the server behind states them.".to_owned()],
        figures: vec![],
        limits: vec!["Calls that act are not yet held for a person's confirmation by the gate."],
        references: vec![],
        there: false,
    }
}

fn containment() -> Answer {
    Answer {
        text: vec![
            "A person ends all of her grants on her account page; a revoked grant is refused on the next request and its open \
             streams end. The log of what an identity did can be exported and verified offline."
                .to_owned(),
        ],
        figures: vec![],
        limits: vec!["There is no single action that contains an identity, and no signed bundle for one identity yet."],
        references: vec![],
        there: true,
    }
}
