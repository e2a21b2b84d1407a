//! The configuration files of MCP clients: Claude Desktop, Cursor, Windsurf, VS Code, plain `mcp.json`.
//!
//! | client | where the servers are |
//! |---|---|
//! | Claude Desktop, Claude Code, Cursor, plain | `mcpServers` |
//! | Windsurf | `mcpServers`, with `serverUrl` |
//! | VS Code `mcp.json` | `servers` |
//! | VS Code `settings.json` | `mcp.servers` |

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

/// One server of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name that the file gives it.
    pub name: String,
    /// How the client reaches it.
    pub connection: Connection,
    /// Whether the client would use it.
    pub enabled: bool,
}

/// How a client reaches a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// Over HTTP.
    Http {
        /// The endpoint.
        url: Url,
        /// Headers that the client adds; may hold credentials.
        headers: BTreeMap<String, String>,
    },
    /// A process of its own.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// Variables that it gets; may hold credentials.
        environment: BTreeMap<String, String>,
    },
}

/// Why a file cannot be used. Each says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationFault {
    /// No JSON, even without comments.
    #[error("it is not JSON: {0}")]
    Json(String),
    /// No member that holds servers.
    #[error("it has none of `mcpServers`, `servers` and `mcp.servers`; give the client's own configuration file")]
    NoServers,
    /// An entry that says neither how to start nor where to reach the server.
    #[error("server {name:?}: {what}")]
    Entry {
        /// Which.
        name: String,
        /// What to change.
        what: String,
    },
}

/// Reads the text of a client's configuration file. The order of the file is kept.
///
/// # Errors
/// [`ConfigurationFault`], at the first entry that cannot be used: a server that is left out in silence would be
/// missing from the judgement on the whole.
pub fn read(text: &str) -> Result<Vec<Entry>, ConfigurationFault> {
    let value: Value =
        serde_json::from_str(&without_comments(text)).map_err(|e| ConfigurationFault::Json(e.to_string()))?;
    let servers =
        [value.get("mcpServers"), value.get("servers"), value.pointer("/mcp/servers"), value.get("mcp.servers")]
            .into_iter()
            .flatten()
            .find_map(Value::as_object)
            .ok_or(ConfigurationFault::NoServers)?;
    servers.iter().map(|(name, entry)| one(name, entry)).collect()
}

fn one(name: &str, entry: &Value) -> Result<Entry, ConfigurationFault> {
    let fault = |what: String| ConfigurationFault::Entry { name: name.to_owned(), what };
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let connection = if let Some(url) = text("url").or_else(|| text("serverUrl")).or_else(|| text("httpUrl")) {
        let url = Url::parse(url).map_err(|error| fault(format!("`url` is no URL: {error}")))?;
        Connection::Http { url, headers: strings(entry.get("headers")) }
    } else if let Some(command) = text("command") {
        let arguments = entry.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let arguments: Option<Vec<String>> = arguments.iter().map(|a| a.as_str().map(str::to_owned)).collect();
        let arguments = arguments.ok_or_else(|| fault("`args` holds something that is no string".to_owned()))?;
        Connection::Stdio { command: command.to_owned(), arguments, environment: strings(entry.get("env")) }
    } else {
        return Err(fault("it has neither `url` nor `command`".to_owned()));
    };
    let disabled = entry.get("disabled").and_then(Value::as_bool).unwrap_or(false);
    Ok(Entry { name: name.to_owned(), connection, enabled: !disabled })
}

fn strings(value: Option<&Value>) -> BTreeMap<String, String> {
    let members = value.and_then(Value::as_object);
    members.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// VS Code's files may hold comments and trailing commas. What is inside a string stays.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                quoted = !quoted;
                out.push(c);
            }
            '\\' if quoted => {
                out.push(c);
                out.extend(rest.next());
            }
            '/' if !quoted && rest.peek() == Some(&'/') => while rest.next_if(|c| *c != '\n').is_some() {},
            '/' if !quoted && rest.peek() == Some(&'*') => {
                let mut before = ' ';
                rest.next();
                for c in rest.by_ref() {
                    if before == '*' && c == '/' {
                        break;
                    }
                    before = c;
                }
            }
            ']' | '}' if !quoted => {
                let kept = out.trim_end().strip_suffix(',').map(str::len);
                kept.into_iter().for_each(|kept| out.truncate(kept));
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_clients_file_is_read() {
        let claude =
            r#"{"mcpServers": {"files": {"command": "npx", "args": ["-y", "server", "/tmp"], "env": {"K": "v"}}}}"#;
        let vscode = "{ // servers\n \"servers\": {\"a\": {\"type\": \"http\", \"url\": \"https://a.example/mcp\", \"headers\": {\"X\": \"1\"},},}, /* end */ }";
        let windsurf = r#"{"mcpServers": {"w": {"serverUrl": "https://w.example/sse", "disabled": true}}}"#;
        let settings = r#"{"mcp": {"servers": {"s": {"command": "s"}}}}"#;
        let [files] = &read(claude).unwrap()[..] else { panic!() };
        let Connection::Stdio { command, arguments, environment } = &files.connection else { panic!() };
        assert_eq!((command.as_str(), arguments.len(), environment["K"].as_str()), ("npx", 3, "v"));
        let Connection::Http { url, headers } = &read(vscode).unwrap()[0].connection else { panic!() };
        assert_eq!((url.as_str(), headers["X"].as_str()), ("https://a.example/mcp", "1"));
        assert!(!read(windsurf).unwrap()[0].enabled);
        assert_eq!(read(settings).unwrap()[0].name, "s");
    }

    #[test]
    fn what_cannot_be_used_says_what_to_change() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        assert!(error("{").contains("not JSON"));
        assert!(error("{}").contains("mcpServers"));
        assert!(error(r#"{"servers": {"a": {}}}"#).contains("neither `url` nor `command`"));
        assert!(error(r#"{"servers": {"a": {"command": "x", "args": [1]}}}"#).contains("no string"));
        assert!(error(r#"{"servers": {"a": {"url": "nowhere"}}}"#).contains("no URL"));
    }

    proptest! {
        #[test]
        fn strings_survive_the_removal_of_comments(text in "[a/*\\\\\"{},\\]]{0,24}") {
            let json = serde_json::json!({"mcpServers": {"x": {"command": text}}}).to_string();
            let Connection::Stdio { command, .. } = &read(&json).unwrap()[0].connection else { panic!() };
            prop_assert_eq!(command, &text);
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,60}|[{}\\[\\]\",:/* \\\\n]{0,60}") {
            let _ = read(&text);
        }
    }
}
