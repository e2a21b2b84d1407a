//! The `act` claim (RFC 8693 section 4.1) of our own tokens: who acts for `sub`, the one that presents the token
//! first.
//!
//! Every actor is an agent: a person never acts for somebody else here. The chain is only ever written and read
//! whole; a link too much, a member that is not known or an agent that stands in it twice makes it none.

use sallyport_model::AgentId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value, json};

/// Longer chains are refused, whatever a tenant allows.
pub const MAX_DEPTH: usize = 8;

/// The chain that `act` holds, outermost first; `None` when it is no chain that we would have written.
pub(crate) fn read(act: &Value) -> Option<Vec<AgentId>> {
    let mut chain: Vec<AgentId> = Vec::new();
    let mut next = Some(act);
    while let Some(act) = next {
        let Value::Object(act) = act else { return None };
        let agent = link(act)?;
        if chain.len() == MAX_DEPTH || chain.contains(&agent) {
            return None;
        }
        chain.push(agent);
        next = act.get("act");
    }
    Some(chain)
}

fn link(act: &Map<String, Value>) -> Option<AgentId> {
    let known = act.keys().all(|name| matches!(name.as_str(), "sub" | "act"));
    let sub = act.get("sub")?.as_str()?;
    AgentId::new(sub).ok().filter(|_| known)
}

/// The chain as the value of `act`; `None` for an empty one.
pub fn write(chain: &[AgentId]) -> Option<Value> {
    chain.iter().rfold(None, |inner, agent| {
        let mut act = json!({ "sub": agent });
        if let Some(inner) = inner {
            act["act"] = inner;
        }
        Some(act)
    })
}

/// For `#[serde(with)]`.
pub(crate) fn serialize<S: Serializer>(chain: &[AgentId], serializer: S) -> Result<S::Ok, S::Error> {
    write(chain).serialize(serializer)
}

/// For `#[serde(with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AgentId>, D::Error> {
    read(&Value::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("`act` is no chain of agents"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn agents(names: &[&str]) -> Vec<AgentId> {
        names.iter().map(|name| AgentId::new(*name).unwrap()).collect()
    }

    #[test]
    fn the_one_that_presents_the_token_stands_outermost() {
        let chain = agents(&["sub", "old"]);
        let act = write(&chain).unwrap();
        assert_eq!(act, json!({"sub": "sub", "act": {"sub": "old"}}));
        assert_eq!(read(&act), Some(chain));
        assert_eq!(write(&[]), None);
    }

    #[test]
    fn what_we_would_not_have_written_is_no_chain() {
        for act in [
            json!(null),
            json!("a"),
            json!([]),
            json!({}),
            json!({"sub": ""}),
            json!({"sub": 1}),
            json!({"sub": "a", "act": null}),
            json!({"sub": "a", "act": {}}),
            json!({"sub": "a", "iss": "https://other"}),
            json!({"sub": "a", "act": {"sub": "a"}}),
            json!({"sub": "a", "act": {"sub": "b", "act": {"sub": "a"}}}),
        ] {
            assert_eq!(read(&act), None, "{act}");
        }
        let names: Vec<String> = (0..=MAX_DEPTH).map(|n| format!("a{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(read(&write(&agents(&names[..MAX_DEPTH])).unwrap()).is_some());
        assert_eq!(read(&write(&agents(&names)).unwrap()), None, "too deep");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(names in proptest::collection::hash_set("[a-z0-9]{1,8}", 1..=MAX_DEPTH)) {
            let chain: Vec<AgentId> = names.into_iter().map(|name| AgentId::new(name).unwrap()).collect();
            prop_assert_eq!(read(&write(&chain).unwrap()), Some(chain));
        }
    }
}
