//! Things that live in one place only: SQL, sockets, processes. Test code is free to use sockets.

use std::collections::BTreeMap;

use super::{Problem, imports, source::Source};
use crate::tree::Tree;

/// A dependency and the crates that may have it.
const HOMES: [(&str, &[&str]); 7] = [
    ("rusqlite", &["storage"]),
    ("sqlx", &["storage"]),
    ("libsqlite3-sys", &["storage"]),
    ("tokio-postgres", &["storage"]),
    ("reqwest", &["outbound", "testkit"]),
    ("hyper-rustls", &["outbound", "testkit"]),
    ("process-wrap", &["outbound"]),
];

const SOCKETS: [&str; 7] =
    ["TcpListener", "TcpStream", "TcpSocket", "UdpSocket", "UnixListener", "UnixStream", "UnixDatagram"];
const SOCKET_HOMES: [&str; 5] = ["app", "outbound", "storage", "testkit", "xtask"];
const PROCESS_HOMES: [&str; 3] = ["outbound", "testkit", "xtask"];

pub(super) fn check(tree: &Tree, sources: &[Source<'_>], problems: &mut Vec<Problem>) {
    for (path, text) in tree.ending("/Cargo.toml") {
        let krate = path.strip_prefix("crates/").unwrap_or(path).split('/').next().unwrap_or_default();
        for dependency in imports::dependencies(text) {
            let home = HOMES.iter().find(|(name, _)| *name == dependency.package);
            if let Some((name, homes)) = home.filter(|(_, homes)| !homes.contains(&krate)) {
                let remedy = format!("go through {}", homes.join(" or "));
                let what = format!("`{krate}` depends on `{name}`, which only {} may", homes.join(", "));
                problems.push(Problem::new(path, dependency.line, what, remedy));
            }
        }
    }
    for source in sources.iter().filter(|source| source.path.starts_with("crates/") && !source.is_test) {
        if !SOCKET_HOMES.contains(&source.krate()) {
            let lines: BTreeMap<usize, &str> = sockets(source).map(|(at, word)| (source.line(at), word)).collect();
            for (line, word) in lines {
                let what = format!("`{word}` outside {}", SOCKET_HOMES.join(", "));
                let remedy = "take the listener or the connection from `app` or `outbound`";
                problems.push(Problem::new(source.path, line, what, remedy));
            }
        }
        if !PROCESS_HOMES.contains(&source.krate()) {
            for at in processes(source) {
                let what = format!("a process is started outside {}", PROCESS_HOMES.join(", "));
                problems.push(Problem::new(source.path, source.line(at), what, "spawn through `outbound`"));
            }
        }
    }
}

fn sockets<'a>(source: &'a Source<'_>) -> impl Iterator<Item = (usize, &'a str)> {
    source
        .identifiers()
        .filter(|(at, word)| SOCKETS.contains(word) && !source.in_tests(*at))
        .chain(source.code.match_indices("tokio::net").filter(|(at, _)| !source.in_tests(*at)))
}

/// `process::Command`, alone or in a braced import; `process::exit` and the like are no processes.
fn processes(source: &Source<'_>) -> Vec<usize> {
    let code = &source.code;
    let named = |rest: &str| {
        let end = if rest.starts_with('{') {
            super::source::closing(rest, 0)
        } else {
            rest.find([';', '(']).unwrap_or(rest.len())
        };
        let mut words = super::source::identifiers(&rest[..end]);
        if rest.starts_with('{') {
            words.any(|(_, word)| word == "Command")
        } else {
            words.next().is_some_and(|(at, word)| at == 0 && word == "Command")
        }
    };
    code.match_indices("process::")
        .filter(|(at, found)| !source.in_tests(*at) && named(&code[at + found.len()..]))
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::of(&[(path, text)]);
        let mut problems = Vec::new();
        check(&tree, &Source::all(&tree), &mut problems);
        problems.into_iter().map(|p| format!("{} {}", p.line, p.what)).collect()
    }

    #[test]
    fn sql_lives_in_storage() {
        let text = "[dependencies]\nrusqlite.workspace = true\n";
        assert_eq!(found("crates/storage/Cargo.toml", text).len(), 0);
        assert_eq!(found("crates/admin/Cargo.toml", text), ["2 `admin` depends on `rusqlite`, which only storage may"]);
        let renamed = "[dev-dependencies]\ndb = { package = \"sqlx\", version = \"1\" }\n";
        assert_eq!(found("crates/app/Cargo.toml", renamed).len(), 1);
    }

    #[test]
    fn sockets_are_opened_at_the_edge() {
        for text in [
            "use tokio::net::TcpListener;\n",
            "use std::{io, net::{TcpStream}};\n",
            "fn f() { std::net::UdpSocket::bind(x); }\n",
            "use tokio::net;\n",
        ] {
            assert!(!found("crates/proxy/src/a.rs", text).is_empty(), "{text}");
            assert!(found("crates/outbound/src/a.rs", text).is_empty(), "{text}");
            assert!(found("crates/proxy/src/tests.rs", text).is_empty(), "{text}");
        }
        for text in
            ["// TcpStream\n", "use std::net::IpAddr;\n", "#[cfg(test)]\nmod tests { use tokio::net::TcpListener; }\n"]
        {
            assert!(found("crates/proxy/src/a.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn processes_start_in_outbound() {
        for text in [
            "use std::process::Command;\n",
            "use tokio::process::{Child, Command};\n",
            "fn f() { process::Command::new(x); }\n",
        ] {
            assert_eq!(found("crates/app/src/a.rs", text).len(), 1, "{text}");
            assert!(found("crates/outbound/src/a.rs", text).is_empty(), "{text}");
        }
        let fine =
            "use std::process::ExitCode;\nuse clap::Command;\nfn f() { std::process::exit(1); Command::new() }\n";
        assert!(found("crates/app/src/a.rs", fine).is_empty());
    }
}
