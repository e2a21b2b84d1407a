//! The hooks file: TOML, a table a hook.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use sallyport_model::Secret;
use serde::Deserialize;

use super::{Action, FileError, Hook, HookName, strict};

const DEFAULT_TIMEOUT: u64 = 30;
const LONGEST_TIMEOUT: u64 = 600;
/// What may stand in a URL and a body, as `${SUBJECT}`.
pub(super) const PLACEHOLDERS: [&str; 4] = ["SUBJECT", "AGENT", "TOOL", "SINCE"];

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    deprovision: Option<Table>,
    reprovision: Option<Table>,
    revoke_agent: Option<Table>,
    restore_agent: Option<Table>,
    restrict: Option<Table>,
    unrestrict: Option<Table>,
    audit_export: Option<Table>,
    audit_verify: Option<Table>,
    audit_tamper: Option<Table>,
    audit_verify_copy: Option<Table>,
    contain: Option<Table>,
    release: Option<Table>,
    bundle: Option<Table>,
    bundle_verify: Option<Table>,
    upstream_requests: Option<Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    command: Option<Vec<String>>,
    env: Option<Vec<String>>,
    url: Option<String>,
    method: Option<String>,
    bearer_env: Option<String>,
    body: Option<String>,
    timeout_seconds: Option<u64>,
}

impl Tables {
    fn named(self) -> [(HookName, Option<Table>); 15] {
        [
            (HookName::Deprovision, self.deprovision),
            (HookName::Reprovision, self.reprovision),
            (HookName::RevokeAgent, self.revoke_agent),
            (HookName::RestoreAgent, self.restore_agent),
            (HookName::Restrict, self.restrict),
            (HookName::Unrestrict, self.unrestrict),
            (HookName::AuditExport, self.audit_export),
            (HookName::AuditVerify, self.audit_verify),
            (HookName::AuditTamper, self.audit_tamper),
            (HookName::AuditVerifyCopy, self.audit_verify_copy),
            (HookName::Contain, self.contain),
            (HookName::Release, self.release),
            (HookName::Bundle, self.bundle),
            (HookName::BundleVerify, self.bundle_verify),
            (HookName::UpstreamRequests, self.upstream_requests),
        ]
    }
}

pub(super) fn read(text: &str, file: &str, variable: Variable<'_>) -> Result<BTreeMap<HookName, Hook>, FileError> {
    let tables: Tables = strict::parse(text, file)?;
    let mut hooks = BTreeMap::new();
    for (name, table) in tables.named() {
        if let Some(table) = table {
            hooks.insert(name, Place { file, table: name.as_str() }.hook(table, variable)?);
        }
    }
    for name in hooks.keys() {
        if let Some(other) = name.belongs_to().filter(|other| !hooks.contains_key(other)) {
            let (name, other) = (name.as_str(), other.as_str());
            let what = format!("has no use without `[{other}]`");
            return Err(FileError::field(file, name, what, format!("add `[{other}]`, or remove `[{name}]`")));
        }
    }
    Ok(hooks)
}

/// Where in which file, for errors.
struct Place<'a> {
    file: &'a str,
    table: &'a str,
}

impl Place<'_> {
    fn wrong(&self, key: &str, what: impl Into<String>, remedy: impl Into<String>) -> FileError {
        FileError::field(self.file, &format!("{}.{key}", self.table), what, remedy)
    }

    fn hook(&self, table: Table, variable: Variable<'_>) -> Result<Hook, FileError> {
        let seconds = table.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT);
        if !(1..=LONGEST_TIMEOUT).contains(&seconds) {
            let remedy = format!("write 1 to {LONGEST_TIMEOUT}");
            return Err(self.wrong("timeout_seconds", format!("{seconds} is out of range"), remedy));
        }
        let action = match (&table.command, &table.url) {
            (Some(_), None) => self.command(table, variable)?,
            (None, Some(_)) => self.url(table, variable)?,
            (Some(_), Some(_)) => return Err(self.wrong("command", "stands beside `url`", "keep one of the two")),
            (None, None) => {
                let remedy = "add `command = [\"program\", \"argument\"]` or `url = \"https://…\"`";
                return Err(self.wrong("command", "is missing, and so is `url`", remedy));
            }
        };
        Ok(Hook { action, timeout: Duration::from_secs(seconds) })
    }

    fn command(&self, table: Table, variable: Variable<'_>) -> Result<Action, FileError> {
        for (key, there) in [
            ("method", table.method.is_some()),
            ("bearer_env", table.bearer_env.is_some()),
            ("body", table.body.is_some()),
        ] {
            if there {
                return Err(self.wrong(key, "is for a `url`, and this is a `command`", format!("remove `{key}`")));
            }
        }
        let argv = table.command.unwrap_or_default();
        if argv.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(self.wrong("command", "names no program", "write `[\"program\", \"argument\"]`"));
        }
        if argv.iter().any(|part| part.contains('\0')) {
            return Err(self.wrong("command", "holds a null character", "remove it"));
        }
        let mut env = BTreeMap::new();
        for name in table.env.unwrap_or_default() {
            if !is_variable(&name) || name == "PATH" || name.starts_with("SALLYPORT_") {
                let remedy = "name variables of your own in capital letters; PATH and SALLYPORT_… are set anyway";
                return Err(self.wrong("env", format!("`{name}` cannot be passed on"), remedy));
            }
            let value = self.variable("env", &name, variable)?;
            env.insert(name, value);
        }
        Ok(Action::Command { argv, env })
    }

    fn url(&self, table: Table, variable: Variable<'_>) -> Result<Action, FileError> {
        if table.env.is_some() {
            return Err(self.wrong("env", "is for a `command`, and this is a `url`", "remove `env`"));
        }
        let url = table.url.unwrap_or_default();
        self.placeholders("url", &url)?;
        // The placeholders stand in no part that decides where it goes: the host is as written.
        let sample = PLACEHOLDERS.iter().fold(url.clone(), |url, name| url.replace(&format!("${{{name}}}"), "x"));
        let parsed = url::Url::parse(&sample).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let host_fixed = url.split('/').nth(2).is_some_and(|authority| !authority.contains("${"));
        if parsed.is_none_or(|url| url.host().is_none() || !url.username().is_empty() || url.password().is_some())
            || !host_fixed
        {
            let remedy = "write https://host/path; credentials go into `bearer_env`, placeholders after the host";
            return Err(self.wrong("url", "is no http(s) URL with a host", remedy));
        }
        let method = table.method.unwrap_or_else(|| "POST".to_owned());
        let method = ["GET", "POST", "PUT", "PATCH", "DELETE"]
            .into_iter()
            .find(|known| *known == method)
            .and_then(|known| Method::from_bytes(known.as_bytes()).ok())
            .ok_or_else(|| {
                self.wrong("method", format!("`{method}` is not used"), "write GET, POST, PUT, PATCH or DELETE")
            })?;
        let body = table.body.unwrap_or_default();
        self.placeholders("body", &body)?;
        if !body.is_empty() && serde_json::from_str::<serde::de::IgnoredAny>(&body).is_err() {
            let remedy = "write JSON, with placeholders inside strings: '{\"user\": \"${SUBJECT}\"}'";
            return Err(self.wrong("body", "is no JSON", remedy));
        }
        let bearer = table.bearer_env.map(|name| self.variable("bearer_env", &name, variable)).transpose()?;
        Ok(Action::Url { url, method, bearer, body })
    }

    fn variable(&self, key: &str, name: &str, variable: Variable<'_>) -> Result<Secret, FileError> {
        let value = variable(name).filter(|value| !value.is_empty() && !value.contains('\0'));
        value.map(Secret::new).ok_or_else(|| {
            self.wrong(key, format!("the variable `{name}` is not set"), format!("set it: `export {name}=…`"))
        })
    }

    fn placeholders(&self, key: &str, text: &str) -> Result<(), FileError> {
        for rest in text.split("${").skip(1) {
            let name = rest.split('}').next().unwrap_or_default();
            if !PLACEHOLDERS.contains(&name) {
                let nearest = strict::nearest(name, PLACEHOLDERS.into_iter()).unwrap_or_default();
                let known = PLACEHOLDERS.map(|name| format!("${{{name}}}")).join(", ");
                let remedy = format!("did you mean `${{{nearest}}}`? there are {known}");
                return Err(self.wrong(key, format!("holds an unknown placeholder `${{{name}}}`"), remedy));
            }
        }
        Ok(())
    }
}

fn is_variable(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hooks::Hooks;

    fn hooks(text: &str) -> Result<Hooks, FileError> {
        Hooks::parse(text, "hooks.toml", &|name| (name == "ADMIN_TOKEN").then(|| "s3cret-value".to_owned()))
    }

    fn error(text: &str) -> String {
        hooks(text).unwrap_err().to_string()
    }

    #[test]
    fn both_kinds_are_read_and_secrets_are_not_shown() {
        let read = hooks(
            r#"
            [deprovision]
            command = ["./end.sh", "--now"]
            env = ["ADMIN_TOKEN"]
            timeout_seconds = 5
            [reprovision]
            url = "https://admin.example/users/${SUBJECT}"
            method = "PATCH"
            bearer_env = "ADMIN_TOKEN"
            body = '{"active": true, "who": "${SUBJECT}"}'
            "#,
        )
        .unwrap();
        assert_eq!(read.names(), ["deprovision", "reprovision"]);
        assert_eq!(read.hook(HookName::Deprovision).unwrap().timeout, Duration::from_secs(5));
        assert_eq!(read.secrets().count(), 2);
        let shown = format!("{read:?}");
        assert!(shown.contains("./end.sh") && !shown.contains("s3cret-value"), "{shown}");
    }

    #[test]
    fn an_error_names_file_field_and_remedy() {
        assert!(error("[deprovison]\ncommand = [\"x\"]").contains("did you mean `deprovision`?"));
        assert!(error("[contain]\ncomand = [\"x\"]").contains("did you mean `command`?"));
        assert!(error("[contain]").starts_with("hooks.toml: contain.command: is missing"));
        assert!(error("[contain]\ncommand = []").contains("names no program"));
        assert!(error("[contain]\ncommand = [\"x\"]\nurl = \"https://x.example\"").contains("keep one of the two"));
        assert!(error("[contain]\ncommand = [\"x\"]\nbody = \"{}\"").contains("remove `body`"));
        assert!(error("[contain]\ncommand = [\"x\"]\nenv = [\"OTHER\"]").contains("export OTHER"));
        assert!(error("[contain]\ncommand = [\"x\"]\nenv = [\"PATH\"]").contains("cannot be passed on"));
        assert!(error("[contain]\ncommand = [\"x\"]\ntimeout_seconds = 0").contains("1 to 600"));
        assert!(error("[contain]\nurl = \"https://x.example\"\nbearer_env = \"OTHER\"").contains("export OTHER"));
        assert!(error("[contain]\nurl = \"https://x.example\"\nmethod = \"TRACE\"").contains("`TRACE`"));
        assert!(error("[contain]\nurl = \"https://x.example/${USER}\"").contains("unknown placeholder"));
        assert!(error("[contain]\nurl = \"https://x.example\"\nbody = \"user=x\"").contains("is no JSON"));
        for url in ["ftp://x.example", "https://a:b@x.example/", "https://${TOOL}.example/", "x", "https://"] {
            assert!(error(&format!("[contain]\nurl = \"{url}\"")).contains("contain.url"), "{url}");
        }
    }

    #[test]
    fn a_hook_that_undoes_needs_the_one_that_does() {
        assert!(error("[release]\ncommand = [\"x\"]").contains("`[contain]`"));
        assert!(error("[audit_tamper]\ncommand = [\"x\"]").contains("`[audit_verify_copy]`"));
        assert!(
            hooks("[deprovision]\ncommand = [\"x\"]").is_ok(),
            "one that cannot be undone is the operator's choice"
        );
    }

    #[test]
    fn the_example_of_the_page_is_read() {
        let page = include_str!("../../../../docs/assess/hooks.md");
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        let read = Hooks::parse(example, "hooks.toml", &|_| Some("x".to_owned())).unwrap();
        assert_eq!(read.names().len(), 8);
        for hook in HookName::ALL {
            assert!(page.contains(&format!("`{}`", hook.as_str())), "the page tells of {}", hook.as_str());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}", key in "[a-z_]{1,12}") {
            let _ = hooks(&text);
            let _ = hooks(&format!("[contain]\n{key} = \"{}\"", text.replace(['"', '\\'], "")));
        }
    }
}
