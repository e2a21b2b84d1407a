//! Question 1: the authorization model.

use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use super::super::{
    Tour,
    answer::Answer,
    client::{Instead, REDIRECT, parameters, text, well_known, words},
    in_time,
};

/// Puts it.
pub async fn ask(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    discovery(tour, answer).await?;
    offers(&tour.client.metadata, answer);
    good(tour, answer).await?;
    bad_requests(tour, answer).await?;
    bad_verifiers(tour, answer).await?;
    other_ways(tour, answer).await
}

async fn discovery(tour: &Tour<'_>, answer: &mut Answer) -> Result<()> {
    let client = &tour.client;
    let status = client.unauthorized.status;
    let asked = client.first_scope();
    answer.core(
        "a call without a token is challenged (RFC 9728)",
        status == 401 && !asked.is_empty(),
        format!("{status}, metadata named, scope `{asked}`"),
    );
    let resource = client.resource();
    answer.saw("the metadata is this resource's own", resource == tour.mcp.endpoint(), resource);
    let issuer = client.issuer();
    let named = text(&client.resource_metadata["authorization_servers"], "0");
    let openid = tour.web.get(&well_known(&issuer, "openid-configuration")?).await?;
    let same = openid.json() == client.metadata;
    answer.saw(
        "RFC 8414 and OpenID discovery agree on the issuer",
        named == issuer && same && !issuer.is_empty(),
        format!("{issuer}, {}", if same { "one document" } else { "two different documents" }),
    );
    Ok(())
}

fn offers(metadata: &Value, answer: &mut Answer) {
    let list = |name: &str| words(&metadata[name]).join(" ");
    let methods = list("code_challenge_methods_supported");
    answer.core("PKCE is offered by S256 only", methods == "S256", methods.clone());
    let (responses, grants) = (list("response_types_supported"), list("grant_types_supported"));
    answer.saw(
        "neither the implicit nor the password grant is offered",
        responses == "code" && !grants.contains("implicit") && !grants.contains("password"),
        format!("response types: {responses}; grants: {grants}"),
    );
}

async fn good(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let (client, browser) = (&tour.client, &mut tour.browser);
    let ann = tour.running.accounts.first().ok_or(anyhow::anyhow!("the demo has no people"))?;
    let (back, verifier) = client.authorize(browser, ann, &client.first_scope(), &[]).await?;
    let iss = text(&back, "iss");
    answer.saw("the response names its issuer (RFC 9207)", iss == client.issuer(), format!("iss={iss}"));
    let first = client.redeem(&back, &verifier, &[]).await?;
    let scope = text(&first.json(), "scope");
    answer.core(
        "sign-in, consent, code and verifier give a token",
        first.status == 200,
        format!("{}, scope `{scope}`", first.outcome()),
    );
    let token = text(&first.json(), "access_token");
    let status = tour.mcp.status(&token).await?;
    answer.saw("the token opens the MCP endpoint", status == 200, status.to_string());
    let since = Instant::now();
    let again = client.redeem(&back, &verifier, &[]).await?;
    let (quick, figure) = in_time(tour.refused_after(&token, since).await?);
    answer.saw(
        "a code presented twice is refused, and what it gave ends",
        again.status == 400 && quick,
        format!("{}; the token refused {figure}", again.outcome()),
    );
    Ok(())
}

async fn bad_requests(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let cases: [(&str, &str, &Instead<'_>); 3] = [
        (
            "a request without a challenge is refused",
            "invalid_request",
            &[("code_challenge", None), ("code_challenge_method", None)],
        ),
        ("the `plain` method is refused", "invalid_request", &[("code_challenge_method", Some("plain"))]),
        ("the implicit flow is refused", "unsupported_response_type", &[("response_type", Some("token"))]),
    ];
    for (check, expected, instead) in cases {
        let (url, _) = tour.client.request(&tour.client.first_scope(), instead)?;
        let page = tour.browser.open(url).await?;
        let location = page.reply.header("location").to_owned();
        let back = location.parse().map(|url| parameters(&url)).unwrap_or_default();
        let (error, iss) = (text(&back, "error"), text(&back, "iss"));
        let passed = location.starts_with(REDIRECT) && error == expected && iss == tour.client.issuer();
        let observed = if error.is_empty() { "no error came back".to_owned() } else { error };
        answer.saw(check, passed, format!("{} {observed}, iss {}", page.reply.status, present(&iss)));
    }
    let (url, _) =
        tour.client.request(&tour.client.first_scope(), &[("redirect_uri", Some("https://attacker.example/"))])?;
    let page = tour.browser.open(url).await?;
    let status = page.reply.status;
    answer.saw(
        "an unregistered redirect address gets no redirect",
        (400..500).contains(&status) && page.reply.header("location").is_empty(),
        format!("{status}, a page"),
    );
    Ok(())
}

fn present(value: &str) -> &'static str {
    if value.is_empty() { "missing" } else { "there" }
}

async fn bad_verifiers(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let ann = tour.running.accounts.first().ok_or(anyhow::anyhow!("the demo has no people"))?;
    let wrong = "w".repeat(43);
    let cases: [(&str, Option<&str>); 2] =
        [("a wrong verifier is refused", Some(&wrong)), ("a missing verifier is refused", None)];
    for (check, verifier) in cases {
        let (client, browser) = (&tour.client, &mut tour.browser);
        let (back, good) = client.authorize(browser, ann, &client.first_scope(), &[]).await?;
        let reply = client.redeem(&back, &good, &[("code_verifier", verifier)]).await?;
        answer.core(check, reply.status == 400 && reply.json().get("access_token").is_none(), reply.outcome());
    }
    Ok(())
}

async fn other_ways(tour: &Tour<'_>, answer: &mut Answer) -> Result<()> {
    let ann = tour.account("ann")?;
    let form = [("grant_type", "password"), ("username", ann.username), ("password", ann.password.expose())];
    let reply = tour.client.token(&form, &[]).await?;
    let passed = reply.status == 400 && text(&reply.json(), "error") == "unsupported_grant_type";
    answer.saw("the password grant is refused, with the right password", passed, reply.outcome());
    let (url, _) = tour.client.request(&tour.client.first_scope(), &[])?;
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let pushed: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let at = tour.client.endpoint("pushed_authorization_request_endpoint");
    let reply = tour.web.post_form(&at, &pushed, &[]).await?;
    let got = !text(&reply.json(), "request_uri").is_empty();
    answer.saw("a pushed request is taken (RFC 9126)", reply.status == 201 && got, reply.outcome());
    Ok(())
}
