//! What tools, resources and prompts say to a model: read once for all probes, inspected, and read again.
//!
//! Lists are read with the person's token where there is one, else as a stranger. Nothing is called but the
//! lists, and a harmless tool where the operator named one.

mod judge;

use std::collections::BTreeMap;

use sallyport_mcp::{catalogue::Definition, methods::ListKind};
use serde_json::{Value, json};

use super::discovery::shown;
use crate::{
    bench::{Bench, Target},
    wire::{ConnectOptions, Credential, McpClient, McpFault},
};

const KINDS: [ListKind; 4] = [ListKind::Tools, ListKind::Resources, ListKind::ResourceTemplates, ListKind::Prompts];
const STABLE: &str = "definitions-stable";
const CHECKS: [&str; 4] = ["definitions-clean", "definitions-secrets", "definitions-distinct", STABLE];
/// How often the harmless tool is called before the lists are read again.
const CALLS: usize = 3;

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    if matches!(bench.target, Target::Answers(_)) {
        return;
    }
    let first = match read(bench, "definitions-clean", false, 0).await {
        Ok(first) => first,
        Err(why) => {
            for check in CHECKS {
                bench.findings.unseen(check, why.as_str(), &[]);
            }
            return;
        }
    };
    judge::content(bench, &first);
    stable(bench, &first).await;
    // Nobody else sets it.
    drop(bench.seen.catalogue.set(first.definitions));
}

/// The token that probes of this session use.
pub(crate) fn credential(bench: &Bench) -> Credential<'_> {
    match bench.seen.person.get() {
        Some(grant) => Credential::Bearer(grant.access_token.expose()),
        None => Credential::None,
    }
}

/// The exchanges in which `check` read the lists, the first few of them.
pub(crate) fn read_in(bench: &Bench, check: &str) -> Vec<u32> {
    const MOST: usize = 12;
    let exchanges = bench.wire.exchanges().into_iter().filter(|one| one.check == check);
    exchanges.map(|one| one.number).take(MOST).collect()
}

/// One reading of all lists.
#[derive(Debug, Default)]
struct Lists {
    definitions: Vec<Definition>,
    /// Items that are no definitions, one line each.
    rejected: Vec<String>,
}

impl Lists {
    /// Hashes by kind and key; an item twice is two.
    fn hashes(&self) -> BTreeMap<(&'static str, &str), Vec<[u8; 32]>> {
        let mut hashes: BTreeMap<_, Vec<[u8; 32]>> = BTreeMap::new();
        for definition in &self.definitions {
            hashes.entry((definition.kind.member(), definition.key.as_str())).or_default().push(definition.hash());
        }
        hashes
    }

    /// What is not the same in `other`, in words; empty when all is.
    fn differences(&self, other: &Self) -> Vec<String> {
        let (before, after) = (self.hashes(), other.hashes());
        let name = |(kind, key): &(&str, &str)| format!("{} {}", kind, shown(key));
        let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| format!("{} went", name(key)));
        let come = after.keys().filter(|key| !before.contains_key(*key)).map(|key| format!("{} came", name(key)));
        let changed = before
            .iter()
            .filter(|(key, hashes)| after.get(*key).is_some_and(|others| others != *hashes))
            .map(|(key, _)| format!("{} changed", name(key)));
        changed.chain(gone).chain(come).collect()
    }
}

/// Reads every list in a connection of its own, after `calls` calls of the operator's read tool.
async fn read(bench: &Bench, check: &'static str, plain: bool, calls: usize) -> Result<Lists, String> {
    let options = ConnectOptions { plain, ..ConnectOptions::default() };
    let mut client = McpClient::connect(bench, check, credential(bench), options).await.map_err(|fault| why(&fault))?;
    if let Some(tool) = &bench.access.read {
        for _ in 0..calls {
            let params = json!({"name": tool.tool, "arguments": tool.arguments});
            let params = params.as_object().cloned().unwrap_or_default();
            // Its answer is of no interest here.
            drop(client.call(check, "tools/call", params).await);
        }
    }
    let mut lists = Lists::default();
    for kind in KINDS {
        match client.list(check, kind).await {
            Ok(items) => take(&mut lists, kind, items),
            // A server without resources or prompts says so by an error.
            Err(McpFault::Rpc(..)) => {}
            Err(McpFault::Refused(heard)) if matches!(heard.status.as_u16(), 400 | 404 | 405) => {}
            Err(fault) if kind == ListKind::Tools => return Err(why(&fault)),
            Err(fault) => lists.rejected.push(format!("{}: {}", kind.method(), why(&fault))),
        }
    }
    client.close().await;
    Ok(lists)
}

fn why(fault: &McpFault) -> String {
    match fault {
        McpFault::Refused(heard) if matches!(heard.status.as_u16(), 401 | 403) => {
            "the lists need a token; give one with --token, --user or --login".to_owned()
        }
        fault => format!("the lists could not be read: {}", shown(&fault.to_string())),
    }
}

fn take(lists: &mut Lists, kind: ListKind, items: Vec<Value>) {
    for item in items {
        match Definition::read(kind, item) {
            Ok(definition) => lists.definitions.push(definition),
            Err(error) => lists.rejected.push(shown(&error.to_string())),
        }
    }
}

/// `definitions-stable`: again as the same client, then as another one, which has used a tool.
async fn stable(bench: &Bench, first: &Lists) {
    for (plain, calls, when) in [(false, 0, "on a second look"), (true, CALLS, "for a client of another name")] {
        match read(bench, STABLE, plain, calls).await {
            Ok(again) => {
                let differences = first.differences(&again);
                if let Some(difference) = differences.first() {
                    let observed = format!("{when} {difference} ({} differences)", differences.len());
                    return bench.findings.fail(STABLE, observed, &read_in(bench, STABLE));
                }
            }
            Err(why) => return bench.findings.unseen(STABLE, format!("{when}: {why}"), &read_in(bench, STABLE)),
        }
    }
    let observed =
        format!("{} definitions were the same three times, for clients of two names", first.definitions.len());
    bench.findings.pass(STABLE, observed, &read_in(bench, STABLE));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(items: &[Value]) -> Lists {
        let mut lists = Lists::default();
        take(&mut lists, ListKind::Tools, items.to_vec());
        lists
    }

    fn tool(name: &str, description: &str) -> Value {
        json!({"name": name, "description": description, "inputSchema": {"type": "object"}})
    }

    #[test]
    fn a_change_a_loss_and_a_newcomer_are_told() {
        let first = lists(&[tool("a", "x"), tool("b", "x")]);
        assert!(first.differences(&lists(&[tool("b", "x"), tool("a", "x")])).is_empty(), "order means nothing");
        assert_eq!(
            first.differences(&lists(&[tool("a", "y"), tool("c", "x")])),
            ["tools a changed", "tools b went", "tools c came"]
        );
        assert_eq!(first.differences(&lists(&[tool("a", "x"), tool("a", "x"), tool("b", "x")])), ["tools a changed"]);
    }

    #[test]
    fn what_is_no_definition_is_kept_apart() {
        let lists = lists(&[json!(7), json!({"name": "x"}), tool("a", "")]);
        assert_eq!((lists.definitions.len(), lists.rejected.len()), (1, 2));
    }
}
