//! How to assess the demo: its test people, its agent, and hooks made of its own public commands.

use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::demo::{AGENT, Running};

/// The file of hooks, in the data directory.
const HOOKS: &str = "assess-hooks.toml";
/// The file of arguments for `xargs sallyport assess URL`, in the data directory.
pub(super) const ARGUMENTS: &str = "assess-arguments";

impl Running {
    /// What to add to `sallyport assess URL`.
    pub(super) fn assess_arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let people = self.accounts.iter().zip([("--user", "--password"), ("--second-user", "--second-password")]);
        for (account, (user, password)) in people {
            let given = [user, account.username, password, account.password.expose()];
            arguments.extend(given.map(str::to_owned));
        }
        let hooks = self.data.join(HOOKS);
        let given = [
            "--client-id",
            AGENT,
            "--client-secret",
            self.agent_secret.expose(),
            "--read-tool",
            "list_tickets",
            "--canary",
            "search_customers.text",
            "--acting-tool",
            "send_mail",
            "--acting-arguments",
            r#"{"to": "nobody@demo.example", "subject": "A test", "body": "Nothing."}"#,
            "--hooks",
        ];
        arguments.extend(given.map(str::to_owned));
        arguments.push(hooks.display().to_string());
        arguments.extend(["--foreign-resource".to_owned(), self.second_endpoint()]);
        arguments
    }

    /// Writes them to a file of their own, which nobody but its owner reads: they hold passwords.
    pub(super) fn write_assess_arguments(&self) -> Result<()> {
        let lines: Vec<String> = self.assess_arguments().iter().map(|word| format!("{}\n", quoted(word))).collect();
        let path = self.data.join(ARGUMENTS);
        // Left over from the start before, with passwords of then.
        let _ = std::fs::remove_file(&path);
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = written.and_then(|mut file| file.write_all(lines.concat().as_bytes()));
        written.context("the arguments for an assessment could not be written")
    }
}

/// A word as `xargs` and shells take it; none of ours holds an apostrophe.
fn quoted(word: &str) -> String {
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b));
    if plain { word.to_owned() } else { format!("'{word}'") }
}

/// Writes the hooks: what the demo can be asked for today by its own commands, and nothing that only looks so.
pub(super) fn write_hooks(data: &Path, log: &Path) -> Result<()> {
    let program = std::env::current_exe().context("the path of this program is not known")?;
    let (program, data_text, log) =
        (program.display().to_string(), data.display().to_string(), log.display().to_string());
    let own = |arguments: &[&str]| {
        let words = std::iter::once(program.as_str()).chain(arguments.iter().copied());
        Value::Array(words.map(|word| Value::String(word.to_owned())).collect())
    };
    let shell = |script: &str, arguments: &[&str]| {
        let words = ["sh", "-c", script, "sh"].into_iter().chain(arguments.iter().copied());
        Value::Array(words.map(|word| Value::String(word.to_owned())).collect())
    };
    // In every bundle of entries one byte becomes another.
    let spoil = r#"cp -R "$1" "$SALLYPORT_OUT/log" && find "$SALLYPORT_OUT/log/tile/entries" -type f | while read -r file; do
        at=$(($(wc -c < "$file") / 2)) && byte=$(od -An -tu1 -j "$at" -N 1 "$file" | tr -d ' ') &&
        printf "\\$(printf '%03o' $(((byte + 1) % 256)))" | dd of="$file" bs=1 seek="$at" conv=notrunc 2>/dev/null
        done"#;
    let hooks = [
        ("audit_export", own(&["audit", "export", "--data", &data_text, "--format", "jsonl"])),
        ("audit_verify", own(&["audit", "verify", "--data", &data_text])),
        ("audit_tamper", shell(spoil, &[&log])),
        ("audit_verify_copy", shell(r#""$1" audit verify --log "$SALLYPORT_OUT/log""#, &[&program])),
    ];
    let hook = |command: Value| Value::Table(Table::from_iter([("command".to_owned(), command)]));
    let file: Table = hooks.into_iter().map(|(name, command)| (name.to_owned(), hook(command))).collect();
    std::fs::write(data.join(HOOKS), file.to_string()).context("the hooks for an assessment could not be written")
}
