//! `sallyport tenant` and `contain` as they are typed: what they take, what they refuse and with which remedy, what
//! they leave in the store, and the notice that comes before each change.

mod connecting;
mod containing;
mod customers;
mod domains;
mod mappings;
mod people;
mod tokens;
mod typing;

use std::sync::Arc;

use clap::Parser as _;
use sallyport_model::{
    Actor, AuditEvent, ClientId, EventKind, GrantId, ManualClock, ScopeSet, SeededRng, SessionId, TenantId, Timestamp,
    UserId,
};
use sallyport_storage::{
    BrowserSession, BrowserSessions as _, Connections as _, Directory as _, Grant, Grants as _, Link, Notices as _,
    Person, PersonOrigin, ProviderSession, Role, SqliteStore, Tenant, Tenants as _,
};
use serde_json::Value;

use super::{answer::Answer, opened::Opened};
use crate::{
    cli::{Cli, Command},
    commands::contain::contain,
    config::Config,
};

/// 2026-09-21T14:13:20Z
const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
const SECRET: &str = "the secret of the provider";

struct Bench {
    dir: tempfile::TempDir,
    store: Arc<SqliteStore>,
    opened: Opened,
}

fn id(tenant: &str) -> TenantId {
    TenantId::new(tenant).unwrap()
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

impl Bench {
    /// `acme` is in the configuration; `beta` and `gamma` were made by command.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private/store.db");
        let store = Arc::new(SqliteStore::open(path, zeroize::Zeroizing::new([7; 32])).unwrap());
        for (tenant, name) in [("acme", "Acme"), ("beta", "Beta Ltd"), ("gamma", "Gamma")] {
            store.put_tenant(&Tenant::new(id(tenant), name, NOW)).await.unwrap();
        }
        let text = "[server]\nlisten = \"127.0.0.1:8080\"\npublic_url = \"https://gate.example\"\n[data]\n\
                    directory = \"/tmp/x\"\n[[tenants]]\nid = \"acme\"\nname = \"Acme\"\n[[upstreams]]\nname = \"up\"\n\
                    url = \"https://up.example/mcp\"\n";
        let config = Config::parse(text, std::path::Path::new("sallyport.toml"), &[]).unwrap();
        let opened = Opened::of(config, store.clone(), Arc::new(SeededRng::new(7)), Arc::new(ManualClock::at(NOW)));
        Self { dir, store, opened }
    }

    /// Runs what is typed after `sallyport`, split at spaces; `+` in a word stands for a space.
    async fn run(&self, typed: &str) -> anyhow::Result<Answer> {
        let words = typed.split_whitespace().map(|word| word.replace('+', " "));
        let cli = Cli::try_parse_from(std::iter::once("sallyport".to_owned()).chain(words))?;
        let environment = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
        match cli.command {
            Command::Tenant(tenant) => super::answered(&self.opened, &tenant.verb, &environment).await,
            Command::Contain(whom) => contain(&self.opened, &whom.whom).await,
            other => panic!("{other:?} is not tested here"),
        }
    }

    async fn done(&self, typed: &str) -> Answer {
        let answer = self.run(typed).await.unwrap_or_else(|error| panic!("{typed}: {error:#}"));
        assert_eq!(answer.end, crate::End::Done, "{typed}");
        answer
    }

    async fn json(&self, typed: &str) -> Value {
        self.done(typed).await.json
    }

    /// Refused as usage, with this in the sentence; nothing is changed and nothing is put on record.
    async fn refused(&self, typed: &str, sentence: &str) {
        let before = self.everything().await;
        let error = self.run(typed).await.expect_err(typed);
        assert!(error.is::<crate::config::ConfigError>(), "exit code 2: {typed}: {error:#}");
        assert!(error.to_string().contains(sentence), "{typed}: {error:#}");
        assert_eq!(self.everything().await, before, "{typed}");
    }

    /// Everything that a command could change, roughly.
    async fn everything(&self) -> String {
        let mut all = format!("{:?}", self.store.notices(1000).await.unwrap());
        for tenant in self.store.tenants().await.unwrap() {
            let connections = self.store.connections(&tenant.id).await.unwrap();
            let settings: Vec<_> = connections.iter().map(|one| (&one.name, one.enabled, &one.settings)).collect();
            let domains = self.store.domains(&tenant.id).await.unwrap();
            let sessions = self.store.browser_sessions(&tenant.id, None, NOW).await.unwrap();
            all.push_str(&format!("{tenant:?}{settings:?}{domains:?}{sessions:?}"));
        }
        all
    }

    /// The last notice.
    async fn noticed(&self) -> AuditEvent {
        let notices = self.store.notices(1000).await.unwrap();
        let event: AuditEvent = serde_json::from_str(&notices.last().unwrap().1).unwrap();
        assert_eq!((event.kind, event.time), (EventKind::Administered, NOW));
        assert!(event.facts["by"].as_str().is_some_and(|by| by.contains("uid ")), "{:?}", event.facts["by"]);
        event
    }

    /// What the last notice says was done, and to whom.
    async fn action(&self) -> (String, Option<String>) {
        let event = self.noticed().await;
        (event.facts["action"].as_str().unwrap().to_owned(), event.tenant.map(String::from))
    }

    async fn person(&self, tenant: &str, name: &str, origin: PersonOrigin) -> UserId {
        let person = Person {
            id: user(name),
            tenant: id(tenant),
            origin,
            login: name.to_owned(),
            email: Some(format!("{name}@{tenant}.example")),
            display_name: name.to_uppercase(),
            role: Role::User,
            groups: vec!["staff".into()],
            password_hash: None,
            disabled: false,
            created_at: NOW,
        };
        self.store.add_person(&person).await.unwrap();
        person.id
    }

    /// Somebody signed in, by a connection where one is named, with one grant that stands on it.
    async fn signed_in(&self, tenant: &str, name: &str, session: &str, by: Option<&str>) {
        let before = NOW.minus(std::time::Duration::from_secs(60));
        let later = NOW.plus(std::time::Duration::from_secs(3600));
        let connections = self.store.connections(&id(tenant)).await.unwrap();
        let provider = by.map(|by| ProviderSession {
            connection: connections.iter().find(|known| known.name == by).unwrap().id.clone(),
            subject: format!("iss {name}"),
            session: None,
            not_after: None,
        });
        let mut cookie = [0; 32];
        cookie[..session.len()].copy_from_slice(session.as_bytes());
        let begun = BrowserSession {
            id: SessionId::new(session).unwrap(),
            cookie,
            user: user(name),
            tenant: id(tenant),
            methods: vec!["pwd".into()],
            authenticated_at: before,
            expires_at: later,
            provider,
        };
        self.store.add_browser_session(&begun).await.unwrap();
        self.grant(tenant, Actor::Human(user(name)), session, "cli").await;
    }

    async fn grant(&self, tenant: &str, subject: Actor, session: &str, client: &str) {
        let before = NOW.minus(std::time::Duration::from_secs(30));
        let grant = Grant {
            id: GrantId::new(format!("g-{session}-{client}")).unwrap(),
            tenant: id(tenant),
            subject,
            client: ClientId::new(client).unwrap(),
            resource: "https://gate.example/mcp/up".into(),
            scopes: ScopeSet::default(),
            session: SessionId::new(session).unwrap(),
            authenticated_at: before,
            created_at: before,
            expires_at: NOW.plus(std::time::Duration::from_secs(3600)),
            revoked_at: None,
            actors: Vec::new(),
            ancestors: Vec::new(),
            bound_to: None,
        };
        self.store.add_grant(&grant).await.unwrap();
    }

    async fn linked(&self, tenant: &str, name: &str, connection: &str, asserted: &Value, at: Timestamp) {
        let connections = self.store.connections(&id(tenant)).await.unwrap();
        let link = Link {
            tenant: id(tenant),
            connection: connections.iter().find(|known| known.name == connection).unwrap().id.clone(),
            subject: format!("iss {name}"),
            user: user(name),
            linked_at: at,
            last_seen_at: at,
            asserted: asserted.to_string(),
        };
        self.store.put_link(&link).await.unwrap();
    }

    /// Makes a connection of that name by which people sign in.
    async fn connected(&self, tenant: &str, name: &str) {
        let typed = format!(
            "tenant connect-oidc {tenant} {name} --preset standard --issuer https://idp.{tenant}.example --client-id x \
             --client-secret-env SECRET"
        );
        self.done(&typed).await;
    }
}
