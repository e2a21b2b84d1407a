//! Question 8: audience, and what reaches the server behind the gate.

use anyhow::{Context, Result};
use http::Method;
use sallyport_oauth::{AccessClaims, SigningKey, jws, token::issue};
use serde_json::json;

use super::super::{
    Tour,
    answer::Answer,
    client::{Tokens, claims, text, words},
    mcp::modern,
};

/// Puts it.
pub async fn ask(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let ann = tour.ann(&format!("openid {}", tour.client.first_scope())).await?;
    let audience = ann.claim("aud");
    let good = tour.mcp.status(&ann.access).await?;
    answer.core(
        "a token names this server as its audience, and works here",
        audience == tour.client.resource() && good == 200,
        format!("aud {audience}: {good}"),
    );
    signed(tour, answer, &ann).await?;
    altered(tour, answer, &ann).await?;
    misplaced(tour, answer, &ann).await?;
    asked_elsewhere(tour, answer).await?;
    behind(tour, answer).await?;
    let grants = words(&tour.client.metadata["grant_types_supported"]).join(" ");
    let has = |name: &str| if grants.contains(name) { "is offered and not played yet" } else { "is not offered" };
    answer.lacks(format!("cross-app access: an ID-JAG as a grant {}", has("jwt-bearer")));
    answer.lacks(format!(
        "upstream tokens by token exchange or by a person's linked account (a configured credential is there): exchange {}",
        has("token-exchange")
    ));
    Ok(())
}

/// Tokens signed with the gate's own key, so that nothing but the claim can be what is refused.
async fn signed(tour: &Tour<'_>, answer: &mut Answer, ann: &Tokens) -> Result<()> {
    let deployment = &tour.running.deployment;
    let keys = deployment.store.signing_keys(deployment.clock.now()).await?;
    let record = keys.first().context("the gate has no signing key")?;
    let key = SigningKey::from_pkcs8(record.id.clone(), &record.private_key)?;
    let claims: AccessClaims = serde_json::from_value(claims(&ann.access))?;
    let same = issue(&claims, &key)?;
    let control = tour.mcp.status(&same).await?;
    answer.saw("(control: the same claims signed anew are taken)", control == 200, control.to_string());
    let (resource, issuer) = (tour.client.resource(), tour.client.issuer());
    let cases = [
        ("a token for another server is refused", AccessClaims { aud: format!("{resource}2"), ..claims.clone() }),
        ("a token for the authorization server is refused", AccessClaims { aud: issuer.clone(), ..claims.clone() }),
        ("a token of another issuer is refused", AccessClaims { iss: format!("{issuer}/x"), ..claims.clone() }),
        (
            "an expired token is refused",
            AccessClaims { iat: claims.iat - 900, exp: claims.iat - 600, ..claims.clone() },
        ),
    ];
    for (check, claims) in cases {
        let status = tour.mcp.status(&issue(&claims, &key)?).await?;
        answer.core(check, status == 401, format!("signed with the gate's own key: {status}"));
    }
    Ok(())
}

async fn altered(tour: &Tour<'_>, answer: &mut Answer, ann: &Tokens) -> Result<()> {
    let parts: Vec<&str> = ann.access.split('.').collect();
    let [header, payload, signature] = parts[..] else { anyhow::bail!("the access token is no JWT") };
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    let tampered = format!("{header}.{payload}.{flipped}{}", signature.get(1..).unwrap_or_default());
    let mut wider = claims(&ann.access);
    wider["scope"] = "desk:write".into();
    let wider = format!("{header}.{}.{signature}", jws::encode(wider.to_string().as_bytes()));
    let none = format!("{}.{payload}.", jws::encode(br#"{"alg":"none","typ":"at+jwt"}"#));
    let cases = [
        ("a token with a changed signature is refused", tampered),
        ("a token with a wider scope written in is refused", wider),
        ("a token without a signature is refused", none),
    ];
    for (check, token) in cases {
        let status = tour.mcp.status(&token).await?;
        answer.core(check, status == 401, status.to_string());
    }
    Ok(())
}

async fn misplaced(tour: &Tour<'_>, answer: &mut Answer, ann: &Tokens) -> Result<()> {
    let identity = text(&ann.answer, "id_token");
    let status = tour.mcp.status(&identity).await?;
    answer.core("an ID token is no access token", !identity.is_empty() && status == 401, status.to_string());
    let status = tour.mcp.status(ann.refresh()?).await?;
    answer.core("nor is a refresh token", status == 401, status.to_string());
    let (headers, body) = modern(None, "tools/list", json!({}));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let url = format!("{}?access_token={}", tour.mcp.endpoint(), ann.access);
    let reply = tour.web.send(Method::POST, &url, &headers, body).await?;
    answer.core("a token in the address is refused", matches!(reply.status, 400 | 401), reply.status.to_string());
    Ok(())
}

async fn asked_elsewhere(tour: &Tour<'_>, answer: &mut Answer) -> Result<()> {
    let (id, secret) = tour.agent_credential();
    let other = format!("{}2", tour.client.resource());
    let form = [("grant_type", "client_credentials"), ("client_secret", secret.as_str())];
    let reply = tour.client.token(&form, &[("client_id", Some(&id)), ("resource", Some(&other))]).await?;
    let refused = text(&reply.json(), "error") == "invalid_target";
    answer.saw("no token is issued for a server that is not here", refused, reply.outcome());
    Ok(())
}

async fn behind(tour: &Tour<'_>, answer: &mut Answer) -> Result<()> {
    let seen = tour.running.desk.seen();
    let presented = tour.mcp.presented();
    let leaked = presented.iter().filter(|token| seen.saw_authorization(&format!("Bearer {token}"))).count();
    answer.core(
        "the server behind the gate has seen the gate's credential and no client's",
        seen.admitted() > 0 && seen.refused() == 0 && leaked == 0,
        format!(
            "{} requests with the gate's own, {} with another; {leaked} of {} client tokens of this tour",
            seen.admitted(),
            seen.refused(),
            presented.len()
        ),
    );
    let cookies = seen.with_cookie();
    answer.saw("nor any cookie", cookies == 0, format!("{cookies} requests with one"));
    Ok(())
}
