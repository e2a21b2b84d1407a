//! Question 1 with a sign-in: PKCE, redirect URIs, codes, and what the authorization server must not offer;
//! question 2: where people sign in.
//!
//! Each attempt that a server may punish uses a code of its own. Nothing is tried twice.

use http::StatusCode;
use sallyport_mcp::Era;
use url::Url;

use crate::{
    bench::{Bench, Target},
    login::{
        self, Desk, Fault, Who,
        flow::{self, Bent, Request},
        present,
        server::Server,
        token,
        walk::{End, Walked},
    },
};

/// What these probes decide of question 1.
const CHECKS: [&str; 9] = [
    "pkce-required",
    "pkce-verified",
    "redirect-exact",
    "redirect-bound",
    "code-single-use",
    "no-implicit",
    "no-password-grant",
    "issuer-in-response",
    "token-not-in-query",
];

/// Runs them.
pub(crate) async fn run(bench: &Bench) {
    match &bench.target {
        Target::Http(_) => {}
        Target::Stdio(_) => {
            let why = "a local server has no sign-in over HTTP";
            return CHECKS.iter().for_each(|check| bench.findings.not_applicable(check, why));
        }
        Target::Answers(_) => return,
    }
    token_not_in_query(bench).await;
    let desk = match login::desk(bench) {
        Ok(desk) => desk,
        Err(fault) => {
            let rest = CHECKS.iter().filter(|check| **check != "token-not-in-query");
            rest.chain(["sso-federated"].iter()).for_each(|check| unseen(bench, check, &fault));
            return;
        }
    };
    let refusal = no_implicit(bench, desk).await;
    no_password_grant(bench, desk).await;
    issuer_in_response(bench, desk, refusal.as_ref());
    sso_federated(bench, desk).await;
    pkce_required(bench, desk).await;
    redirect_exact(bench, desk).await;
    pkce_verified(bench).await;
    redirect_bound(bench).await;
    code_single_use(bench).await;
}

pub(super) fn unseen(bench: &Bench, check: &'static str, fault: &Fault) {
    bench.findings.unseen(check, fault.to_string(), fault.exchanges());
}

/// Who tries what may be refused before anybody signs in: the person where her pages can be walked.
fn trier(bench: &Bench, desk: &Desk) -> Who<'static> {
    if bench.access.user.is_some() && desk.first().is_some() { Who::Person } else { Who::Nobody }
}

/// `response_type=token` (OAuth 2.1 section 10.1). Gives back how an attempt was refused.
async fn no_implicit(bench: &Bench, desk: &Desk) -> Option<Walked> {
    let check = "no-implicit";
    let server = &desk.server;
    let types = server.list("response_types_supported").unwrap_or_default();
    let listed = types.iter().find(|kind| kind.split(' ').any(|word| word == "token"));
    if let Some(listed) = listed {
        let observed = format!("the metadata lists the response type `{}`", login::quote(listed));
        bench.findings.fail(check, observed, &[server.exchange]);
    } else if server.lists("grant_types_supported", "implicit") {
        bench.findings.fail(check, "the metadata lists the implicit grant", &[server.exchange]);
    }
    let mut request = Request::new(bench, desk);
    request.response_type = "token";
    let walked = match flow::walk(bench, check, desk, trier(bench, desk), &request).await {
        Ok(walked) => walked,
        Err(Fault::NoClient { .. } | Fault::Unregistered { .. }) => {
            let observed =
                "the metadata offers no token from the authorization endpoint; without a client it was not tried";
            bench.findings.pass(check, observed, &[server.exchange]);
            return None;
        }
        Err(fault) => {
            unseen(bench, check, &fault);
            return None;
        }
    };
    let seen = walked.exchanges.as_slice();
    match &walked.end {
        End::Returned(url) if holds_token(url) => {
            bench.findings.fail(check, "response_type=token brought an access token", seen);
        }
        End::Returned(url) => {
            bench.findings.pass(check, format!("response_type=token is refused{}", error_of(url)), seen)
        }
        End::Refused { status, .. } => {
            bench.findings.pass(check, format!("response_type=token is refused with a page ({status})"), seen);
        }
        End::AsksForPerson => {
            let observed = "the metadata offers no token from the authorization endpoint; beyond the sign-in page it was not tried";
            bench.findings.pass(check, observed, seen);
        }
        End::Lost(why) => bench.findings.unseen(check, why.clone(), seen),
    }
    Some(walked)
}

fn holds_token(url: &Url) -> bool {
    let part = |text: Option<&str>| {
        let pairs = url::form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        pairs.into_iter().any(|(name, value)| name == "access_token" && !value.is_empty())
    };
    part(url.fragment()) || part(url.query())
}

/// One parameter of an answer, in the query or the fragment.
fn parameter(url: &Url, name: &str) -> Option<String> {
    let find = |text: &str| {
        let mut pairs = url::form_urlencoded::parse(text.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    find(url.query().unwrap_or_default()).or_else(|| find(url.fragment().unwrap_or_default()))
}

fn error_of(url: &Url) -> String {
    parameter(url, "error").map(|error| format!(" with {}", login::quote(&error))).unwrap_or_default()
}

/// `grant_type=password` (OAuth 2.1 section 10.1). The test user's own password is tried only where the
/// authorization server has seen it anyway.
async fn no_password_grant(bench: &Bench, desk: &Desk) {
    let check = "no-password-grant";
    let server = &desk.server;
    if server.lists("grant_types_supported", "password") {
        bench.findings.fail(check, "the metadata lists the password grant", &[server.exchange]);
    }
    let client = match desk.client(bench).await {
        Ok(client) => client.clone(),
        // The grant is refused to strangers too; a client that does not exist is one.
        Err(_) => crate::bench::Client { id: "mcp-client".to_owned(), ..Default::default() },
    };
    let known = bench.access.user.as_ref().filter(|_| {
        let origin = server.endpoint("token_endpoint").map(|url| url.origin().ascii_serialization());
        let walked = desk.first().and_then(|first| first.walked.as_ref());
        origin.is_some() && walked.is_some_and(|walked| walked.password_to == origin)
    });
    let made_up = (bench.nonce(8), bench.nonce(16));
    let (name, password) =
        known.map_or((made_up.0.as_str(), made_up.1.as_str()), |user| (&user.name, user.password.expose()));
    let whose = if known.is_some() { "the test user's password" } else { "made-up credentials" };
    let form = [("grant_type", "password"), ("username", name), ("password", password)];
    match token::request(bench, check, (server, &client), &form).await {
        Ok(issued) => bench.findings.fail(check, format!("{whose} brought an access token"), &[issued.exchange]),
        Err(fault @ Fault::Refused { .. }) => {
            bench.findings.pass(check, format!("grant_type=password with {whose}: {fault}"), fault.exchanges());
        }
        Err(fault) => unseen(bench, check, &fault),
    }
}

/// RFC 9207: said in the metadata and sent in the answer, an error too.
fn issuer_in_response(bench: &Bench, desk: &Desk, refusal: Option<&Walked>) {
    let check = "issuer-in-response";
    let server = &desk.server;
    if !server.flag("authorization_response_iss_parameter_supported") {
        let observed = "the metadata does not say that authorization responses carry the issuer";
        return bench.findings.fail(check, observed, &[server.exchange]);
    }
    let error = refusal.and_then(|walked| match &walked.end {
        End::Returned(url) => Some((parameter(url, "iss"), walked.exchanges.clone())),
        _ => None,
    });
    let Some((iss, exchanges)) = desk.first().map(|first| (first.iss.clone(), first.exchanges.clone())).or(error)
    else {
        return bench.findings.unseen(
            check,
            "it is advertised, but no authorization response was seen",
            &[server.exchange],
        );
    };
    match iss {
        Some(iss) if Some(iss.as_str()) == server.text("issuer") => {
            bench.findings.pass(check, "advertised, and the response carries it", &exchanges);
        }
        Some(iss) => {
            let observed = format!("the response names another issuer, `{}`", login::quote(&iss));
            bench.findings.fail(check, observed, &exchanges);
        }
        None => bench.findings.fail(check, "advertised, but the response does not carry it", &exchanges),
    }
}

/// Where people sign in: at the authorization server itself, or at a provider outside it.
async fn sso_federated(bench: &Bench, desk: &Desk) {
    let check = "sso-federated";
    let home = origins(&desk.server);
    let outside = |walked: &Walked| walked.foreign.iter().find(|origin| !home.contains(origin)).cloned();
    let first = match login::signed_in(bench) {
        Ok(desk) => desk.first(),
        Err(fault) => return unseen(bench, check, &fault),
    };
    let Some(walked) = first.and_then(|first| first.walked.as_ref()) else {
        // The operator signed in; where to is seen as far as nobody has to be named.
        let request = Request::new(bench, desk);
        return match flow::walk(bench, check, desk, Who::Nobody, &request).await {
            Ok(walked) => match outside(&walked) {
                Some(origin) => bench.findings.pass(check, format!("sign-in leads to {origin}"), &walked.exchanges),
                None => {
                    let why = "the sign-in was made in a browser, and its first page is the authorization server's own";
                    bench.findings.unseen(check, why, &walked.exchanges);
                }
            },
            Err(fault) => unseen(bench, check, &fault),
        };
    };
    let seen = walked.exchanges.as_slice();
    match (&walked.password_to, outside(walked)) {
        (Some(origin), _) if !home.contains(origin) => {
            bench.findings.pass(check, format!("the password was asked for by {origin}"), seen);
        }
        (Some(_), _) => {
            bench.findings.fail(
                check,
                "the password of the test user was asked for by the authorization server itself",
                seen,
            );
        }
        (None, Some(origin)) => bench.findings.pass(check, format!("sign-in led to {origin} and back"), seen),
        (None, None) => {
            bench.findings.fail(
                check,
                "the authorization server gave a code without asking anybody who they are",
                seen,
            );
        }
    }
}

/// The origins that are the authorization server's own.
fn origins(server: &Server) -> Vec<String> {
    let named = ["issuer", "authorization_endpoint", "token_endpoint"];
    named.iter().filter_map(|name| Some(server.endpoint(name)?.origin().ascii_serialization())).collect()
}

async fn pkce_required(bench: &Bench, desk: &Desk) {
    let check = "pkce-required";
    let who = trier(bench, desk);
    let alone = matches!(who, Who::Nobody);
    let mut request = Request::new(bench, desk);
    request.pkce = false;
    let code = match flow::authorize(bench, check, desk, who, request).await {
        Ok(code) => code,
        Err(fault @ Fault::Refused { .. }) => {
            let text = fault.to_string().to_lowercase();
            let says = text.contains("pkce") || text.contains("code_challenge") || text.contains("code challenge");
            // Without a sign-in that worked, a refusal may have another reason.
            if !alone || says {
                return bench.findings.pass(check, format!("without a code challenge {fault}"), fault.exchanges());
            }
            return unseen(bench, check, &fault);
        }
        Err(_) if alone && login::signed_in(bench).is_err() => {
            let fault = login::signed_in(bench).err().unwrap_or(Fault::NoServer);
            return unseen(bench, check, &fault);
        }
        Err(fault) => return unseen(bench, check, &fault),
    };
    let mut seen = code.exchanges.clone();
    match flow::redeem(bench, check, desk, &code, Bent::default()).await {
        Ok(issued) => {
            seen.push(issued.exchange);
            bench.findings.fail(
                check,
                "without a code challenge a code was issued, and redeemed without a verifier",
                &seen,
            );
        }
        Err(fault @ Fault::Refused { .. }) => {
            seen.extend(fault.exchanges());
            let observed = format!("without a code challenge a code was issued that nobody can redeem: {fault}");
            bench.findings.pass(check, observed, &seen);
        }
        Err(fault) => unseen(bench, check, &fault),
    }
}

/// Redirect URIs that nobody registered: another host, the own host as a prefix, another path. What a client that the
/// operator named has registered is not known, so there another path on one's own machine says nothing.
fn unregistered(own: &Url, named: bool) -> Vec<String> {
    let port = own.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = own.host_str().unwrap_or_default();
    let mut uris = vec![
        "https://client.sallyport.invalid/callback".to_owned(),
        format!("{}://{host}.sallyport.invalid{port}{}", own.scheme(), own.path()),
    ];
    if !named {
        uris.push(format!("{own}/elsewhere"));
    }
    uris
}

async fn redirect_exact(bench: &Bench, desk: &Desk) {
    let check = "redirect-exact";
    let mut seen = Vec::new();
    let uris = unregistered(&desk.redirect_uri, bench.access.oauth_client.is_some());
    for uri in &uris {
        let mut request = Request::new(bench, desk);
        request.redirect_uri.clone_from(uri);
        let walked = match flow::walk(bench, check, desk, trier(bench, desk), &request).await {
            Ok(walked) => walked,
            Err(fault) => return unseen(bench, check, &fault),
        };
        seen.extend(&walked.exchanges);
        match &walked.end {
            End::Returned(url)
                if Url::parse(uri).is_ok_and(|tried| tried.path() == url.path() && tried.host() == url.host()) =>
            {
                return bench.findings.fail(
                    check,
                    format!("the answer went to {uri}, which nobody registered"),
                    &walked.exchanges,
                );
            }
            // Before anybody signed in, a page without a form may be one that a script makes.
            End::Refused { status, .. } if status.is_success() && desk.first().is_none() => {
                return bench.findings.unseen(check, "the page cannot be read without running its scripts", &seen);
            }
            End::Returned(_) | End::Refused { .. } => {}
            End::AsksForPerson => {
                let fault = login::signed_in(bench).err().map(|fault| fault.to_string());
                let why = fault
                    .unwrap_or_else(|| "it is judged after the sign-in page only, which a browser went".to_owned());
                return bench.findings.unseen(check, why, &seen);
            }
            End::Lost(why) => return bench.findings.unseen(check, why.clone(), &seen),
        }
    }
    bench.findings.pass(
        check,
        format!("{} redirect URIs that nobody registered were refused without a redirect there", uris.len()),
        &seen,
    );
}

/// A code for an attempt at the token endpoint; says why there is none.
pub(super) async fn fresh_code<'a>(bench: &'a Bench, check: &'static str) -> Option<(&'a Desk, flow::Code)> {
    let code = async {
        let desk = login::signed_in(bench)?;
        let code = flow::authorize(bench, check, desk, Who::Person, Request::new(bench, desk)).await?;
        Ok::<_, Fault>((desk, code))
    };
    code.await.map_err(|fault| unseen(bench, check, &fault)).ok()
}

async fn pkce_verified(bench: &Bench) {
    let check = "pkce-verified";
    let wrong = bench.nonce(32);
    // In a browser the second sign-in is spared the operator.
    let attempts: &[_] = match bench.access.user {
        Some(_) => &[("with a wrong verifier", Some(wrong.as_str())), ("without a verifier", None)],
        None => &[("with a wrong verifier", Some(wrong.as_str()))],
    };
    let mut seen = Vec::new();
    let mut said = String::new();
    for (how, verifier) in attempts {
        let Some((desk, code)) = fresh_code(bench, check).await else { return };
        let bent = Bent { verifier: Some(*verifier), ..Bent::default() };
        match flow::redeem(bench, check, desk, &code, bent).await {
            Ok(issued) => return bench.findings.fail(check, format!("a code was redeemed {how}"), &[issued.exchange]),
            Err(fault @ Fault::Refused { .. }) => {
                seen.extend(fault.exchanges());
                said = fault.to_string();
            }
            Err(fault) => return unseen(bench, check, &fault),
        }
    }
    bench.findings.pass(check, format!("a wrong or missing verifier: {said}"), &seen);
}

async fn redirect_bound(bench: &Bench) {
    let check = "redirect-bound";
    let Some((desk, code)) = fresh_code(bench, check).await else { return };
    let other = format!("{}/elsewhere", code.request.redirect_uri);
    let bent = Bent { redirect_uri: Some(&other), ..Bent::default() };
    match flow::redeem(bench, check, desk, &code, bent).await {
        Ok(issued) => bench.findings.fail(check, "a code was redeemed with another redirect URI", &[issued.exchange]),
        Err(fault @ Fault::Refused { .. }) => {
            bench.findings.pass(check, format!("with another redirect URI {fault}"), fault.exchanges());
        }
        Err(fault) => unseen(bench, check, &fault),
    }
}

async fn code_single_use(bench: &Bench) {
    let check = "code-single-use";
    let Some((desk, code)) = fresh_code(bench, check).await else { return };
    if let Err(fault) = flow::redeem(bench, check, desk, &code, Bent::default()).await {
        return unseen(bench, check, &fault);
    }
    match flow::redeem(bench, check, desk, &code, Bent::default()).await {
        Ok(issued) => bench.findings.fail(check, "the same code was redeemed twice", &[issued.exchange]),
        Err(fault @ Fault::Refused { .. }) => {
            bench.findings.pass(check, format!("the second time {fault}"), fault.exchanges());
        }
        Err(fault) => unseen(bench, check, &fault),
    }
}

/// RFC 6750 section 2.3: a URL ends up in logs.
async fn token_not_in_query(bench: &Bench) {
    let check = "token-not-in-query";
    let Some(target) = bench.url() else { return };
    if bench.access.in_use {
        let why = "the token is in use, and a URL ends up in logs: assess it with a test identity";
        return bench.findings.unseen(check, why, &[]);
    }
    let grant = match login::person_grant(bench) {
        Ok(grant) => grant,
        Err(fault) => return unseen(bench, check, &fault),
    };
    let baseline = present::token(bench, check, grant.access_token.expose()).await;
    if baseline.accepted() != Some(true) {
        let (what, seen) = baseline.seen();
        return bench.findings.unseen(check, format!("the token is of no use in the header either: {what}"), seen);
    }
    let mut url = target.clone();
    url.query_pairs_mut().append_pair("access_token", grant.access_token.expose());
    let (mut seen, mut refusal) = (Vec::new(), None);
    for era in [Era::Legacy, Era::Modern] {
        match bench.wire.send(check, present::first_message(url.clone(), era)).await {
            Ok(heard) if present::is_result(&heard) => {
                return bench.findings.fail(check, "a token in the query opened the server", &[heard.exchange]);
            }
            Ok(heard) => {
                seen.push(heard.exchange);
                // Another status may be about the message.
                let about_caller = matches!(heard.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
                refusal = refusal.or(about_caller.then_some(heard.status));
            }
            Err(error) => return bench.findings.unseen(check, error.to_string(), error.exchange().as_slice()),
        }
    }
    match refusal {
        Some(status) => bench.findings.pass(check, format!("a token in the query is refused with {status}"), &seen),
        None => {
            bench.findings.unseen(check, "a token in the query is neither served nor refused for want of one", &seen)
        }
    }
}
