//! Which servers together let untrusted content reach what is secret and a way out, and which one to cut.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::fleet::Labels;

/// One tool that takes part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Part {
    /// The server's name in the file.
    pub server: String,
    /// The tool or resource.
    pub tool: String,
}

/// What the combination allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Combination {
    /// What brings in text of strangers.
    pub untrusted: Vec<Part>,
    /// What reads something that is not public.
    pub sensitive: Vec<Part>,
    /// What can carry something out.
    pub ways_out: Vec<Part>,
    /// Whether all three are there.
    pub complete: bool,
    /// The fewest servers without which one of the three is missing; empty when nothing needs cutting. Where there
    /// is a choice, those that take the fewest tools away.
    pub cut: Vec<String>,
}

/// Judges `tools`: server, tool and labels of each.
pub fn combine(tools: &[(String, String, Labels)]) -> Combination {
    let parts = |wanted: fn(&Labels) -> bool| -> Vec<Part> {
        let chosen = tools.iter().filter(|(_, _, labels)| wanted(labels));
        chosen.map(|(server, tool, _)| Part { server: server.clone(), tool: tool.clone() }).collect()
    };
    let legs = [parts(|l| l.untrusted), parts(|l| l.sensitive), parts(|l| l.outbound)];
    let complete = legs.iter().all(|leg| !leg.is_empty());
    let cut = if complete { cheapest_cut(&legs, tools) } else { Vec::new() };
    let [untrusted, sensitive, ways_out] = legs;
    Combination { untrusted, sensitive, ways_out, complete, cut }
}

/// One leg has to lose all its servers, so the cheapest cut is one leg's servers.
fn cheapest_cut(legs: &[Vec<Part>; 3], tools: &[(String, String, Labels)]) -> Vec<String> {
    let servers = |leg: &Vec<Part>| leg.iter().map(|part| part.server.clone()).collect::<BTreeSet<_>>();
    let cost = |cut: &BTreeSet<String>| (cut.len(), tools.iter().filter(|(server, _, _)| cut.contains(server)).count());
    let cut = legs.iter().map(servers).min_by_key(cost);
    cut.map(|cut| cut.into_iter().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Labels = Labels { untrusted: false, sensitive: false, outbound: false };

    fn tool(server: &str, name: &str, labels: Labels) -> (String, String, Labels) {
        (server.to_owned(), name.to_owned(), labels)
    }

    #[test]
    fn three_harmless_servers_are_not_harmless_together() {
        let web = tool("web", "search", Labels { untrusted: true, ..NOTHING });
        let files = tool("files", "read", Labels { sensitive: true, ..NOTHING });
        let more = tool("files", "list", Labels { sensitive: true, ..NOTHING });
        let mail = tool("mail", "send", Labels { outbound: true, ..NOTHING });
        let all = combine(&[web.clone(), files.clone(), more.clone(), mail.clone()]);
        assert!(all.complete && all.cut.len() == 1 && all.cut != ["files"], "{all:?}");
        assert!(!combine(&[web, files, more]).complete);
    }

    #[test]
    fn a_server_that_is_all_three_by_itself_is_the_one_to_cut() {
        let everything = Labels { untrusted: true, sensitive: true, outbound: true };
        let found =
            combine(&[tool("one", "mail", everything), tool("two", "read", Labels { sensitive: true, ..NOTHING })]);
        assert_eq!(found.cut, ["one"]);
        assert!(combine(&[tool("two", "add", NOTHING)]).cut.is_empty());
    }
}
