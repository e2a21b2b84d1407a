//! Question 10: containing a compromise.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::super::{Tour, answer::Answer, browser::Browser, client::Tokens, form::forms, in_time, web::milliseconds};

/// How long a stream must stay open before anything is revoked.
const STILL_OPEN: Duration = Duration::from_millis(300);

/// Puts it.
pub async fn ask(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    disconnecting(tour, answer).await?;
    let issuer = tour.client.issuer();
    let contact = tour.web.get(&format!("{issuer}/.well-known/security.txt")).await?;
    let there = contact.status == 200 && contact.text().contains("Contact:");
    answer.saw("whom to call is published (security.txt)", there, format!("it answers {}", contact.status));
    let verb = |name| if super::super::has_verb(name) { "the verb is not played yet" } else { "there is no such verb" };
    answer.lacks(format!("one action that ends all tokens, sessions and streams of a person, agent, client or tenant: `sallyport contain`, {}", verb("contain")));
    answer.lacks("freezing an agent, cancelling what waits for approval");
    answer.lacks("a signed evidence bundle of one identity");
    answer.lacks("an incident with its timeline and notification clock (48/72 h), by webhook and mail; honeytools");
    answer.lacks(format!("a drill: `sallyport drill`, {}", verb("drill")));
    Ok(())
}

/// A person disconnects an application on the account page while it holds a token and an open stream.
async fn disconnecting(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let victim = tour.ann(&tour.client.first_scope()).await?;
    let agent = tour.agent().await?;
    let bob = tour.account("bob")?;
    let mut bobs = Browser::new(tour.web.clone());
    let other = tour.client.sign_in(&mut bobs, bob, &tour.client.first_scope()).await?;
    let session = tour.mcp.session(&victim).await?;
    let mut stream = tour.mcp.stream(&session, &victim).await?;
    let before = opened_for(&mut stream).await;
    let observed = before.map_or("it ended by itself".to_owned(), |bytes| format!("{bytes} bytes in {STILL_OPEN:?}"));
    answer.saw("(control: a stream is open and stays so)", before.is_some(), observed);
    let ending = tokio::spawn(async move {
        while next(&mut stream).await.is_some() {}
        Instant::now()
    });
    let since = Instant::now();
    let page = disconnect(tour, &victim).await?;
    let (quick, figure) = in_time(tour.refused_after(&victim.access, since).await?);
    answer.core(
        "disconnecting an application on the account page ends its access token",
        quick,
        format!("the page answers {page}; the token refused {figure}"),
    );
    let ended = tokio::time::timeout(Duration::from_secs(5), ending).await.ok().and_then(Result::ok);
    let (cut, figure) = in_time(ended.map(|at| milliseconds(since) - milliseconds(at)));
    answer.core("its open stream is cut", cut, figure);
    let refreshed = tour.client.refresh(victim.refresh()?).await?;
    answer.core("its refresh token is dead", refreshed.status == 400, refreshed.outcome());
    let (bob, agent) = (tour.mcp.status(&other.access).await?, tour.mcp.status(&agent.access).await?);
    answer.saw("nobody else is cut off", bob == 200 && agent == 200, format!("bob {bob}, the agent {agent}"));
    Ok(())
}

/// The bytes that came while the stream was watched; `None` if it ended.
async fn opened_for(stream: &mut Incoming) -> Option<usize> {
    let until = tokio::time::Instant::now() + STILL_OPEN;
    let mut bytes = 0;
    loop {
        match tokio::time::timeout_at(until, next(stream)).await {
            Ok(frame) => bytes += frame?,
            Err(_) => return Some(bytes),
        }
    }
}

/// Bytes of the stream's next frame; `None` at its end.
async fn next(stream: &mut Incoming) -> Option<usize> {
    let frame = stream.frame().await?.ok()?;
    Some(frame.data_ref().map_or(0, |data| data.len()))
}

async fn disconnect(tour: &mut Tour<'_>, victim: &Tokens) -> Result<u16> {
    let console: url::Url = format!("{}/account", tour.client.issuer()).parse()?;
    let page = tour.browser.open(console).await?;
    let grant = victim.claim("grant");
    let forms = forms(&page.reply.text());
    let form = forms.iter().find(|form| form.hidden("grant") == Some(&*grant));
    let form = form.context("the account page does not show the application")?;
    let values = form.filled("", "");
    Ok(tour.browser.submit(&page.url, form, &values).await?.reply.status)
}
