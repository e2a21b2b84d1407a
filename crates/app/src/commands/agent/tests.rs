//! `sallyport agent` as it is typed: what it leaves in the store, the notice before each change, and what it shows.

use std::{path::PathBuf, sync::Arc};

use clap::Parser as _;
use sallyport_model::{AuditEvent, ManualClock, SeededRng, TenantId, Timestamp, UserId};
use sallyport_storage::{
    Agents as _, CredentialKind, Directory as _, Notices as _, Person, PersonOrigin, Role, ScopeUse, SqliteStore,
    Tenant, Tenants as _,
};
use serde_json::Value;

use crate::{
    cli::{Cli, Command},
    commands::tenant::{answer::Answer, opened::Opened},
    config::Config,
};

/// 2026-09-21T14:13:20Z
const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

struct Bench {
    dir: tempfile::TempDir,
    store: Arc<SqliteStore>,
    opened: Opened,
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private/store.db");
        let store = Arc::new(SqliteStore::open(path, zeroize::Zeroizing::new([7; 32])).unwrap());
        store.put_tenant(&Tenant::new(acme(), "Acme", NOW)).await.unwrap();
        for name in ["ann", "bob"] {
            let person = Person {
                id: UserId::new(name).unwrap(),
                tenant: acme(),
                origin: PersonOrigin::Local,
                login: name.to_owned(),
                email: Some(format!("{name}@acme.example")),
                display_name: name.to_uppercase(),
                role: Role::User,
                groups: Vec::new(),
                password_hash: None,
                disabled: false,
                created_at: NOW,
            };
            store.add_person(&person).await.unwrap();
        }
        let text = "[server]\nlisten = \"127.0.0.1:8080\"\npublic_url = \"https://gate.example\"\n[data]\n\
                    directory = \"/tmp/x\"\n[[tenants]]\nid = \"acme\"\nname = \"Acme\"\n[[upstreams]]\nname = \"up\"\n\
                    url = \"https://up.example/mcp\"\n";
        let config = Config::parse(text, std::path::Path::new("sallyport.toml"), &[]).unwrap();
        let opened = Opened::of(config, store.clone(), Arc::new(SeededRng::new(7)), Arc::new(ManualClock::at(NOW)));
        Self { dir, store, opened }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs what is typed after `sallyport agent`, split at spaces; `+` in a word stands for a space.
    async fn run(&self, typed: &str) -> anyhow::Result<Answer> {
        let words = typed.split_whitespace().map(|word| word.replace('+', " "));
        let cli = Cli::try_parse_from(["sallyport".to_owned(), "agent".to_owned()].into_iter().chain(words))?;
        match cli.command {
            Command::Agent(agent) => super::answered(&self.opened, &agent.verb).await,
            other => panic!("{other:?} is not tested here"),
        }
    }

    async fn json(&self, typed: &str) -> Value {
        let answer = self.run(typed).await.unwrap_or_else(|error| panic!("{typed}: {error:#}"));
        assert_eq!(answer.end, crate::End::Done, "{typed}");
        answer.json
    }

    async fn refused(&self, typed: &str, sentence: &str) {
        let before = self.store.notices(1000).await.unwrap().len();
        let error = self.run(typed).await.expect_err(typed);
        assert!(error.is::<crate::config::ConfigError>(), "exit code 2: {typed}: {error:#}");
        assert!(error.to_string().contains(sentence), "{typed}: {error:#}");
        assert_eq!(self.store.notices(1000).await.unwrap().len(), before, "{typed}");
    }

    async fn actions(&self) -> Vec<String> {
        let notices = self.store.notices(1000).await.unwrap();
        let action = |text: &String| {
            let event: AuditEvent = serde_json::from_str(text).unwrap();
            event.facts["action"].as_str().unwrap().to_owned()
        };
        notices.iter().map(|(_, text)| action(text)).collect()
    }
}

const CREATE: &str = "create acme Nightly+report --client-id nightly --owner ann --purpose Reads --scope up:read";

#[tokio::test]
async fn an_agent_is_made_with_a_key_that_is_written_once_and_no_notice_holds_it() {
    let bench = Bench::new().await;
    let key = bench.path("agent.pem");
    let json = bench.json(&format!("{CREATE} --generate-key {}", key.display())).await;
    assert_eq!(
        (json["client_id"].as_str(), json["owner"]["called"].as_str()),
        (Some("nightly"), Some("ann@acme.example"))
    );
    assert_eq!(json["servers"][0], "https://gate.example/mcp/up");
    assert_eq!(json["credential"]["kind"], "private_key_jwt");
    let pem = std::fs::read_to_string(&key).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(bench.actions().await, ["agent.create", "agent.credential.add"]);
    for (_, notice) in bench.store.notices(10).await.unwrap() {
        assert!(!notice.contains("PRIVATE"), "{notice}");
    }
    bench.refused(&format!("credential add nightly --generate-key {}", key.display()), "cannot be made").await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_the_option_that_asked_for_it() {
    let bench = Bench::new().await;
    bench.refused("create acme A --purpose x --scope nothing:read", "--scope: there is no scope nothing:read").await;
    bench
        .refused("create acme A --purpose x --scope up:read --server other", "--server: there is no server `other`")
        .await;
    bench.refused("create acme A --scope up:read", "--purpose: say what").await;
    bench.refused("create acme A --purpose x --scope up:read --owner eve", "--owner: acme has nobody `eve`").await;
    bench.refused("create acme A --purpose x --scope up:read --secret", "--secret: this tenant takes no secrets").await;
    bench.refused("create acme A --purpose x --scope up:read --hours Mo", "--hours: `Mo` is no span").await;
    bench.refused("create acme A --purpose x --scope up:read --ends soon", "--ends: `soon` is no day").await;
    bench.refused("show nobody", "ID: there is no agent `nobody`").await;
    bench.refused("list acme --risk tired", "--risk: `tired` is no risk").await;
    bench.refused("list beta", "there is no tenant `beta`").await;
    assert!(bench.store.agents(&acme()).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_inventory_shows_risks_and_narrowing_is_one_step() {
    let bench = Bench::new().await;
    bench.json("create acme Mine --client-id mine --purpose x --scope up:read --scope up:write").await;
    let json = bench.json("list acme").await;
    let risks = json[0]["risks"].to_string();
    for risk in ["no_owner", "no_credential", "never_used", "unused_scopes"] {
        assert!(risks.contains(risk), "{risk}: {risks}");
    }
    bench.refused("narrow mine", "--scope: it has used none").await;
    let used = ScopeUse { scope: "up:read".into(), last_used_at: NOW };
    let id = sallyport_model::AgentId::new("mine").unwrap();
    bench.store.note_scope_uses(&id, &[used]).await.unwrap();
    let asked = bench.run("narrow mine").await.unwrap();
    assert_eq!((asked.end, asked.json["narrowed"].as_bool()), (crate::End::No, Some(false)));
    let json = bench.json("narrow mine --yes").await;
    assert_eq!((json["after"].as_str(), json["narrowed"].as_bool()), (Some("up:read"), Some(true)));
    assert_eq!(bench.store.agent(&id).await.unwrap().unwrap().scopes.to_string(), "up:read");
}

#[tokio::test]
async fn set_changes_what_it_names_and_none_takes_a_part_away() {
    let bench = Bench::new().await;
    bench.json(&format!("{CREATE} --network 10.1.2.3/8 --successor bob --hours Mo-Fr+08:00-18:00+Europe/Berlin")).await;
    let json = bench.json("show nightly").await;
    assert_eq!(json["bounds"]["networks"][0], "10.0.0.0/8");
    assert_eq!(json["bounds"]["successor"], "bob");
    let json = bench.json("set nightly --hours none --network none --sender-bound --ends 2026-12-31").await;
    assert!(json["bounds"].get("hours").is_none() && json["bounds"].get("networks").is_none());
    assert_eq!(
        (json["bounds"]["sender_bound"].as_bool(), json["bounds"]["successor"].as_str()),
        (Some(true), Some("bob"))
    );
    let json = bench.json("set nightly --owner none --successor none").await;
    assert!(json["owner"].is_null() && json["bounds"].get("successor").is_none());
    let actions = bench.actions().await.len();
    bench.json("set nightly --sender-bound true").await;
    assert_eq!(bench.actions().await.len(), actions, "nothing changes, nothing is noted");
}

#[tokio::test]
async fn credentials_rotate_and_agents_end() {
    let bench = Bench::new().await;
    let mut tenant = bench.store.tenant(&acme()).await.unwrap().unwrap();
    tenant.settings.agent_secrets = true;
    bench.store.put_tenant(&tenant).await.unwrap();
    let json = bench.json(&format!("{CREATE} --secret --credential-days 10")).await;
    let first = json["credential"]["id"].as_str().unwrap().to_owned();
    assert!(json["credential"]["client_secret"].as_str().unwrap().starts_with("spa_"));
    let json = bench.json(&format!("credential rotate nightly {first} --overlap 30m")).await;
    assert_eq!(json["replaces"]["expires_at"], NOW.plus(std::time::Duration::from_secs(1800)).to_string());
    let shown = bench.json("credential list nightly").await;
    assert_eq!(shown.as_array().unwrap().len(), 2);
    assert!(!shown.to_string().contains("spa_"), "a secret is shown once");
    let id = sallyport_model::AgentId::new("nightly").unwrap();
    let kinds = bench.store.credentials(&id).await.unwrap();
    assert!(kinds.iter().all(|one| matches!(one.kind, CredentialKind::Secret { .. })));
    bench.json(&format!("credential revoke nightly {first}")).await;
    bench.json("suspend nightly").await;
    assert!(bench.store.agent(&id).await.unwrap().unwrap().suspended);
    bench.json("resume nightly").await;
    bench.json("revoke nightly").await;
    assert_eq!(bench.run("delete nightly").await.unwrap().end, crate::End::No);
    bench.json("delete nightly --yes").await;
    assert_eq!(bench.store.agent(&id).await.unwrap(), None);
    let actions = bench.actions().await;
    let last: Vec<&str> = actions.iter().map(String::as_str).skip(2).collect();
    let all = [
        "agent.credential.rotate",
        "agent.credential.revoke",
        "agent.suspend",
        "agent.resume",
        "agent.revoke",
        "agent.delete",
    ];
    assert_eq!(last, all);
}
