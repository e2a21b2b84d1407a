//! What becomes of a person's agents when she leaves: each passes to its successor, or stops.
//!
//! Her own access ends in the store's one step; the agents follow at once, by whoever made her leave. A crash between
//! the two loses nothing: the authorization server gives nothing to an agent whose owner is gone, and
//! [`crate::Identity::keep_settling_agents`] finishes what was left. Coming back revives nothing.

use sallyport_model::{Timestamp, UserId};
use sallyport_storage::{Agent, RevocationSubject, Store};

use crate::IdentityError;

/// What became of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The agent, as it is now.
    pub agent: Agent,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an agent whose owner left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is suspended and its tokens have ended, with the epoch of that.
    Stopped(u64),
    /// Its successor answers for it from now on; its tokens go on.
    Passed(UserId),
}

impl Outcome {
    /// A stable word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stopped(_) => "stopped",
            Self::Passed(_) => "passed",
        }
    }
}

/// Settles `agents`, whose owner `gone` has left: those that were hers when she was asked for. Safe to repeat.
///
/// # Errors
/// When the store fails; agents after the failing one are not settled yet.
pub async fn owner_left(
    store: &dyn Store,
    gone: &UserId,
    agents: Vec<Agent>,
    at: Timestamp,
) -> Result<Vec<Left>, IdentityError> {
    let mut settled = Vec::new();
    for agent in agents {
        settled.push(settle(store, gone, agent, at).await?);
    }
    Ok(settled)
}

async fn settle(store: &dyn Store, gone: &UserId, agent: Agent, at: Timestamp) -> Result<Left, IdentityError> {
    if let Some(successor) = successor(store, gone, &agent).await? {
        let mut next = agent;
        next.owner = Some(successor.clone());
        next.bounds.successor = None;
        store.put_agent(&next).await?;
        return Ok(Left { agent: next, outcome: Outcome::Passed(successor) });
    }
    let next = Agent { suspended: true, ..agent };
    // Shut first, so that nothing begins between the two.
    store.put_agent(&next).await?;
    let epoch = store.revoke(&RevocationSubject::Agent(next.id.clone()), at).await?;
    Ok(Left { agent: next, outcome: Outcome::Stopped(epoch) })
}

/// The named successor, if she is a living person of the same tenant; nobody takes over what was stopped before.
async fn successor(store: &dyn Store, gone: &UserId, agent: &Agent) -> Result<Option<UserId>, IdentityError> {
    let Some(named) = agent.bounds.successor.as_ref().filter(|named| *named != gone && !agent.suspended) else {
        return Ok(None);
    };
    let person = store.person(named).await?;
    Ok(person.filter(|person| person.tenant == agent.tenant && !person.disabled).map(|person| person.id))
}
