//! Which scopes agents really use, for the inventory: noted in memory as calls are allowed, stored every few seconds
//! off the path of any of them.
//!
//! It decides nothing and delays nothing. What cannot be stored is kept for the next time; a crash loses the last
//! seconds.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sallyport_model::{Actor, AgentId, Principal, Scope, Timestamp};
use sallyport_storage::{ScopeUse, Store};

/// How often they are stored.
const EVERY: Duration = Duration::from_secs(5);
/// Pairs of agent and scope that are kept while the store is away; further ones are not noted.
const MOST: usize = 100_000;

/// When each agent last used each scope, of what is not stored yet.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    by_agent: HashMap<AgentId, HashMap<Scope, Timestamp>>,
    pairs: usize,
    stored: Option<Instant>,
}

impl Noted {
    fn add(&mut self, agent: &AgentId, scope: &Scope, at: Timestamp) {
        if let Some(last) = self.by_agent.get_mut(agent).and_then(|scopes| scopes.get_mut(scope)) {
            *last = (*last).max(at);
        } else if self.pairs < MOST {
            self.by_agent.entry(agent.clone()).or_default().insert(scope.clone(), at);
            self.pairs += 1;
        }
    }
}

impl Uses {
    /// Notes that an allowed call of `principal` needed `scope`. Every agent of the chain has used it: one that
    /// was narrowed to less could not have it done.
    pub(crate) fn note(&self, principal: &Principal, scope: &Scope, at: Timestamp) {
        let subject = match &principal.subject {
            Actor::Agent(agent) => Some(agent),
            Actor::Human(_) => None,
        };
        if subject.is_none() && principal.actors.is_empty() {
            return;
        }
        let mut noted = self.noted();
        for agent in principal.actors.iter().chain(subject) {
            noted.add(agent, scope, at);
        }
    }

    /// Whether it is time to store them again; if so, whoever asked is to do it.
    pub(crate) fn due(&self) -> bool {
        let mut noted = self.noted();
        let due = noted.pairs > 0 && noted.stored.is_none_or(|stored| stored.elapsed() >= EVERY);
        if due {
            noted.stored = Some(Instant::now());
        }
        due
    }

    /// Stores what was noted.
    pub(crate) async fn store(&self, store: &dyn Store) {
        let taken = {
            let mut noted = self.noted();
            noted.pairs = 0;
            std::mem::take(&mut noted.by_agent)
        };
        for (agent, scopes) in taken {
            let uses: Vec<ScopeUse> =
                scopes.iter().map(|(scope, at)| ScopeUse { scope: scope.to_string(), last_used_at: *at }).collect();
            if let Err(error) = store.note_scope_uses(&agent, &uses).await {
                tracing::warn!(%error, %agent, "what the agent used could not be stored; it is tried again");
                let mut noted = self.noted();
                scopes.iter().for_each(|(scope, at)| noted.add(&agent, scope, *at));
            }
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::principal;

    #[test]
    fn every_agent_of_a_chain_used_it_and_no_person_did() {
        let uses = Uses::default();
        let scope = Scope::new("files:write".to_owned()).unwrap();
        uses.note(&principal(), &scope, Timestamp::from_secs(5));
        assert!(uses.noted().by_agent.is_empty() && !uses.due(), "a person by herself");
        let (robot, sub) = (AgentId::new("a-robot").unwrap(), AgentId::new("a-sub").unwrap());
        let chain = Principal { subject: Actor::Agent(robot.clone()), actors: vec![sub.clone()], ..principal() };
        uses.note(&chain, &scope, Timestamp::from_secs(7));
        uses.note(&chain, &scope, Timestamp::from_secs(6));
        let noted = uses.noted();
        assert_eq!((noted.pairs, noted.by_agent.len()), (2, 2));
        for agent in [robot, sub] {
            assert_eq!(noted.by_agent[&agent][&scope], Timestamp::from_secs(7), "the latest");
        }
        drop(noted);
        assert!(uses.due() && !uses.due(), "once in a while");
    }
}
