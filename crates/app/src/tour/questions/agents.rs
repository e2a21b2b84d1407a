//! Question 3: agents and people.

use anyhow::Result;
use serde_json::json;

use super::super::{
    Tour,
    answer::Answer,
    client::Tokens,
    client::{text, words},
    mcp::result_status,
};

/// Puts it.
pub async fn ask(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let agent = tour.agent().await?;
    let ann = tour.ann(&tour.client.first_scope()).await?;
    identity(answer, &agent, &ann);
    powers(tour, answer, &agent).await?;
    apart(tour, answer, &agent, &ann).await?;
    let methods = words(&tour.client.metadata["token_endpoint_auth_methods_supported"]).join(" ");
    let keyed = methods.contains("private_key_jwt");
    answer.saw("an agent may prove itself by a key instead of a secret", keyed, methods);
    answer.lacks("acting on behalf of a person (`act` in the token, token exchange)");
    answer.lacks("rotation of an agent's credential with overlap, and its 90-day end");
    answer.lacks("identity from a platform's own tokens (workload federation)");
    let verb = if has_verb() { "the `agent` verb is not played yet" } else { "there is no `sallyport agent` verb" };
    answer.lacks(format!("creating, suspending and revoking agents from outside: {verb}"));
    Ok(())
}

fn has_verb() -> bool {
    super::super::has_verb("agent")
}

fn identity(answer: &mut Answer, agent: &Tokens, ann: &Tokens) {
    let lifetime = &agent.answer["expires_in"];
    answer.core(
        "an agent gets a token by client credentials, without a person",
        !agent.access.is_empty() && agent.refresh.is_none(),
        format!("200, {lifetime} s, scope `{}`, no refresh token", text(&agent.answer, "scope")),
    );
    let kinds = (agent.claim("principal_type"), ann.claim("principal_type"));
    answer.core(
        "tokens say which kind of principal holds them",
        kinds == ("agent".to_owned(), "human".to_owned()) && agent.claim("sub") != ann.claim("sub"),
        format!("{} `{}`; {} `{:.8}…`", kinds.0, agent.claim("sub"), kinds.1, ann.claim("sub")),
    );
}

async fn powers(tour: &Tour<'_>, answer: &mut Answer, agent: &Tokens) -> Result<()> {
    let read = tour.mcp.tool(agent, "list_tickets", json!({})).await?;
    answer.saw("the agent reads", read.status == 200, format!("list_tickets: {}", result_status(&read)));
    let before = tour.running.desk.desk().outbox.len();
    let mail = json!({"to": "a@customer.example", "subject": "tour", "body": "tour"});
    let sent = tour.mcp.tool(agent, "send_mail", mail).await?;
    let after = tour.running.desk.desk().outbox.len();
    answer.core(
        "the agent does not write",
        sent.status == 403 && before == after,
        format!("send_mail: {}, needs `{}`", sent.status, sent.challenge("scope").unwrap_or_default()),
    );
    let (id, secret) = tour.agent_credential();
    let wide = tour.client.agent_token(&id, &secret, Some("desk:write")).await?;
    answer.saw("nor may it ask for more than it was given", wide.status == 400, wide.outcome());
    let wrong = tour.client.agent_token(&id, "0000", None).await?;
    answer.saw("a wrong secret is refused", wrong.status == 401, wrong.outcome());
    Ok(())
}

async fn apart(tour: &Tour<'_>, answer: &mut Answer, agent: &Tokens, ann: &Tokens) -> Result<()> {
    let (id, secret) = tour.agent_credential();
    let form = [("token", agent.access.as_str()), ("client_id", &*id), ("client_secret", &*secret)];
    let since = std::time::Instant::now();
    let reply = tour.web.post_form(&tour.client.endpoint("revocation_endpoint"), &form, &[]).await?;
    let after = tour.refused_after(&agent.access, since).await?;
    let (quick, observed) = super::super::in_time(after);
    let person = tour.mcp.status(&ann.access).await?;
    answer.saw(
        "an agent's token is revoked and no person's with it",
        reply.status == 200 && quick && person == 200,
        format!("the agent's refused {observed}; ann's still {person}"),
    );
    Ok(())
}
