//! Question 6: lifetimes and rotation.

use std::time::Instant;

use anyhow::Result;

use super::super::{
    Tour,
    answer::Answer,
    client::{Tokens, claims},
    in_time,
};

/// The longest that an access token may live, seconds.
const LONGEST: u64 = 300;

/// Puts it.
pub async fn ask(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let scope = tour.client.first_scope();
    let first = tour.ann(&scope).await?;
    lives(answer, &first);
    rotation(tour, answer, first).await?;
    let one = tour.ann(&scope).await?;
    revocation(tour, answer, &one).await?;
    let proof = tour.client.metadata.get("dpop_signing_alg_values_supported").is_some();
    let word = if proof { "is offered and not played yet" } else { "is not in the metadata" };
    answer.lacks(format!("tokens bound to their sender: DPoP {word}; nor mTLS"));
    answer.lacks("lifetimes set by a tenant within the vendor's limits");
    answer.lacks("one action that ends all tokens of a person or agent");
    Ok(())
}

fn lives(answer: &mut Answer, tokens: &Tokens) {
    let said = tokens.answer["expires_in"].as_u64();
    let inside = claims(&tokens.access);
    let span = inside["exp"].as_u64().zip(inside["iat"].as_u64()).and_then(|(end, start)| end.checked_sub(start));
    let (said, span) = (said.unwrap_or(0), span.unwrap_or(0));
    answer.core(
        "an access token is short-lived",
        (1..=LONGEST).contains(&said) && span == said,
        format!("{said} s, and {span} s inside the token"),
    );
    let session = tokens.claim("sid");
    answer.saw("a token names the sign-in it belongs to", !session.is_empty(), format!("sid {session:.8}…"));
}

async fn rotation(tour: &Tour<'_>, answer: &mut Answer, first: Tokens) -> Result<()> {
    let second = Tokens::of(&tour.client.refresh(first.refresh()?).await?)?;
    answer.core(
        "each refresh gives a new refresh token",
        second.refresh()? != first.refresh()?,
        format!("200, another one; the session is {}", same(&first, &second)),
    );
    let race = tour.client.refresh(first.refresh()?).await?;
    let third = tour.client.refresh(second.refresh()?).await?;
    answer.saw(
        "the one just spent is refused, and a client's own race costs nothing",
        race.status == 400 && third.status == 200,
        format!("{}; its successor {}", race.outcome(), third.status),
    );
    let third = Tokens::of(&third)?;
    let since = Instant::now();
    let replay = tour.client.refresh(first.refresh()?).await?;
    let after = tour.refused_after(&third.access, since).await?;
    let (quick, figure) = in_time(after);
    let family = tour.client.refresh(third.refresh()?).await?;
    answer.core(
        "an old refresh token presented again ends the whole family",
        replay.status == 400 && quick && family.status == 400,
        format!(
            "{}; the access token refused {figure}; the newest refresh token {}",
            replay.outcome(),
            family.outcome()
        ),
    );
    Ok(())
}

fn same(first: &Tokens, second: &Tokens) -> &'static str {
    if first.claim("sid") == second.claim("sid") { "the same" } else { "another" }
}

async fn revocation(tour: &Tour<'_>, answer: &mut Answer, tokens: &Tokens) -> Result<()> {
    let before = tour.mcp.status(&tokens.access).await?;
    let form = [("token", tokens.refresh()?), ("client_id", &tour.client.client_id)];
    let since = Instant::now();
    let reply = tour.web.post_form(&tour.client.endpoint("revocation_endpoint"), &form, &[]).await?;
    let (quick, figure) = in_time(tour.refused_after(&tokens.access, since).await?);
    answer.saw(
        "revoking a refresh token ends the access token too (RFC 7009)",
        before == 200 && reply.status == 200 && quick,
        format!("{before} before; refused {figure}"),
    );
    Ok(())
}
