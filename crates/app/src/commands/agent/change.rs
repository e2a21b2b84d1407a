//! Agents made, changed and ended.

use anyhow::Result;
use sallyport_identity::agents::{AgentEdit, NewAgent};
use sallyport_model::{Actor, ScopeSet};
use sallyport_storage::AgentBounds;
use serde_json::json;

use super::{
    Desk,
    arguments::{Create, Set},
    credential, options, said, show,
};
use crate::commands::tenant::{
    answer::Answer,
    opened::{refused, shown},
};

/// `sallyport agent create`
pub(super) async fn create(desk: &Desk<'_>, given: &Create) -> Result<Answer> {
    desk.opened.tenant(&given.tenant).await?;
    let asked = &given.options;
    let source = options::source(&given.credential)?;
    let bounds = desk.bounds(&given.tenant, &AgentBounds::default(), asked).await?;
    let new = NewAgent {
        tenant: given.tenant.clone(),
        client: given.client_id.clone(),
        name: given.name.clone(),
        owner: desk.person("--owner", &given.tenant, asked.owner.as_ref()).await?.flatten(),
        purpose: asked.purpose.clone().ok_or_else(|| refused("--purpose", "say what the agent is for"))?,
        scopes: options::scopes(&asked.scopes)?.unwrap_or_else(ScopeSet::empty),
        resources: desk.servers(&asked.servers)?.unwrap_or_default(),
        bounds: bounds.unwrap_or_default(),
    };
    let change = desk.rules().create(new).await.map_err(said)?;
    let agent = change.agent.clone();
    // Both are checked before either is made.
    let made = match source {
        Some(source) => {
            let key = credential::key_file(&given.credential)?;
            Some((credential::prepared(desk, &agent, source, given.credential_days).await?, key))
        }
        None => None,
    };
    desk.make(change).await?;
    let (credential, line) = match made {
        Some((made, key)) => {
            let (json, lines) = credential::hand_over(desk, made, key).await?;
            (json, lines)
        }
        None => (json!(null), Vec::new()),
    };
    let shown_agent = show::show(desk, agent.id.as_str()).await?;
    let mut json = shown_agent.json;
    json["credential"] = credential;
    let head = format!("{} ({}): made", shown(&agent.name), agent.id);
    let answer = Answer::done(json, std::iter::once(head).chain(line));
    let remark =
        agent.owner.is_none().then(|| "Nobody answers for it: `sallyport agent set ID --owner PERSON`.".to_owned());
    Ok(answer.remarks(remark))
}

/// `sallyport agent set`
pub(super) async fn set(desk: &Desk<'_>, given: &Set) -> Result<Answer> {
    let agent = desk.agent(&given.id).await?;
    let asked = &given.options;
    let edit = AgentEdit {
        name: given.name.clone(),
        owner: desk.person("--owner", &agent.tenant, asked.owner.as_ref()).await?,
        purpose: asked.purpose.clone(),
        scopes: options::scopes(&asked.scopes)?,
        resources: desk.servers(&asked.servers)?,
        bounds: desk.bounds(&agent.tenant, &agent.bounds, asked).await?,
    };
    let change = desk.rules().edit(&agent, edit).await.map_err(said)?;
    if change.agent == agent {
        return Ok(Answer::done(show::show(desk, &given.id).await?.json, [format!("{}: nothing changes", agent.id)]));
    }
    desk.make(change).await?;
    let answer = show::show(desk, agent.id.as_str()).await?;
    Ok(answer.remark("Tokens that it has keep what they allow until they end; `sallyport agent revoke` ends them now."))
}

/// `sallyport agent narrow`
pub(super) async fn narrow(desk: &Desk<'_>, id: &str, yes: bool) -> Result<Answer> {
    let agent = desk.agent(id).await?;
    let change = desk.rules().narrow(&agent).await.map_err(said)?;
    let (before, after) = (agent.scopes.clone(), change.agent.scopes.clone());
    let json = |narrowed: bool| json!({ "id": agent.id, "before": before, "after": after, "narrowed": narrowed });
    let lines = [format!("{}: {before}", agent.id), format!("becomes: {after}")];
    if before == after {
        return Ok(Answer::done(json(false), [format!("{}: it uses all that it has", agent.id)]));
    }
    if !yes {
        return Ok(Answer::done(json(false), lines).no().remark("Nothing was changed. --yes does it."));
    }
    let done = json(true);
    desk.make(change).await?;
    Ok(Answer::done(done, lines).remark("Its next token has the new scopes."))
}

/// `sallyport agent suspend`
pub(super) async fn suspend(desk: &Desk<'_>, id: &str) -> Result<Answer> {
    let agent = desk.agent(id).await?;
    let epoch = desk.make(desk.rules().suspend(&agent)).await?;
    let json = json!({ "id": agent.id, "suspended": true, "was_suspended": agent.suspended, "epoch": epoch });
    Ok(Answer::done(json, [format!("{}: suspended; its tokens have ended", agent.id)]))
}

/// `sallyport agent resume`
pub(super) async fn resume(desk: &Desk<'_>, id: &str) -> Result<Answer> {
    let agent = desk.agent(id).await?;
    let json = json!({ "id": agent.id, "suspended": false, "was_suspended": agent.suspended });
    if !agent.suspended {
        return Ok(Answer::done(json, [format!("{}: it was not suspended", agent.id)]));
    }
    desk.make(desk.rules().resume(&agent).await.map_err(said)?).await?;
    Ok(Answer::done(json, [format!("{}: it may ask for tokens; none of the old ones works again", agent.id)]))
}

/// `sallyport agent revoke`
pub(super) async fn revoke(desk: &Desk<'_>, id: &str) -> Result<Answer> {
    let agent = desk.agent(id).await?;
    let (own, acted) = living(desk, &agent).await?;
    let epoch = desk.make(desk.rules().revoke(&agent)).await?;
    let json = json!({ "id": agent.id, "epoch": epoch, "ended": { "grants": own, "delegations": acted } });
    let line = format!("{}: ended, with {own} grants of its own and {acted} under which it acted for others", agent.id);
    let remark = "With its credentials it can ask for new tokens; `sallyport agent suspend` keeps it from that.";
    Ok(Answer::done(json, [line]).remark(remark))
}

/// `sallyport agent delete`
pub(super) async fn delete(desk: &Desk<'_>, id: &str, yes: bool) -> Result<Answer> {
    let agent = desk.agent(id).await?;
    let (own, acted) = living(desk, &agent).await?;
    let credentials = desk.opened.store().credentials(&agent.id).await?.len();
    let owned = json!({ "credentials": credentials, "grants": own, "delegations": acted });
    let line = |word: &str| {
        let name = shown(&agent.name);
        format!("{name} ({}) {word}, with {credentials} credentials, {own} grants and {acted} delegations", agent.id)
    };
    if !yes {
        let answer = Answer::done(json!({ "id": agent.id, "deleted": false, "owned": owned }), [line("would go")]);
        return Ok(answer.no().remark("Nothing was changed. --yes does it; there is no way back."));
    }
    desk.make(desk.rules().remove(&agent)).await?;
    let answer = Answer::done(json!({ "id": agent.id, "deleted": true, "owned": owned }), [line("is gone")]);
    Ok(answer.remark("What it did stays in the audit log."))
}

/// Living grants of its own, and those under which it acts for somebody.
async fn living(desk: &Desk<'_>, agent: &sallyport_storage::Agent) -> Result<(usize, usize)> {
    let own = desk.opened.grants_of(&agent.tenant, &Actor::Agent(agent.id.clone())).await?.len();
    let acted = desk.opened.store().grants_acted(&agent.tenant, &agent.id, desk.now).await?.len();
    Ok((own, acted))
}
