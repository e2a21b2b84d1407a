//! `sallyport user`: people of the local directory.

use std::{collections::BTreeSet, io::Read as _};

use anyhow::{Context, Result};
use sallyport_admin::tenancy::people;
use sallyport_identity::{NewPerson, agents::Left};
use sallyport_model::{Clock as _, Rng, Secret, SystemClock, SystemRng, TenantId, UserId};
use sallyport_storage::{Person, Role, Store};
use serde_json::json;

use crate::{
    End,
    cli::User,
    commands::{
        config::load,
        serve::settings,
        tenant::opened::{Opened, event, refused, shown, told},
    },
    config::Config,
    deployment::Vault,
    secrets::MasterKey,
};

/// Runs it.
pub async fn run(command: User) -> Result<End> {
    match command {
        User::Add { configured, login, tenant, name, email, administrator, password_stdin } => {
            let config = load(&configured)?;
            let tenant = TenantId::new(tenant)?;
            let (password, made) =
                if password_stdin { (read_password()?, false) } else { (make_password(&SystemRng), true) };
            let new = NewPerson {
                tenant,
                display_name: name.unwrap_or_else(|| login.clone()),
                login,
                email,
                role: if administrator { Role::Administrator } else { Role::User },
                password: Some(password.clone()),
            };
            let person = add(&config, new).await?;
            anstream::eprintln!("added {} ({})", person.login, person.id);
            if made {
                anstream::eprintln!("her password, shown this once:");
                println!("{}", password.expose());
            }
        }
        User::Disable { configured, who } => {
            let opened = Opened::open(&configured).await?;
            for line in disable(&opened, &who).await? {
                println!("{line}");
            }
        }
        User::Enable { configured, who } => {
            let opened = Opened::open(&configured).await?;
            let person = somebody(&opened, &who).await?;
            people::enable(opened.tenancy(), &person).await.map_err(told)?;
            println!("{}: she may sign in again", shown(&person.login));
        }
        User::List { configured, tenant, json } => {
            let config = load(&configured)?;
            let master_key = MasterKey::load(&config.data.master_key(), &SystemRng)?;
            let vault = Vault::open(&config.data.database(), &master_key).await?;
            for person in vault.store.people(&TenantId::new(tenant)?).await? {
                if json {
                    println!(
                        "{}",
                        json!({"id": person.id, "login": person.login, "role": person.role, "disabled": person.disabled})
                    );
                } else {
                    println!("{}\t{}\t{:?}", person.login, person.id, person.role);
                }
            }
        }
    }
    Ok(End::Done)
}

/// Somebody by login or id.
async fn somebody(opened: &Opened, who: &str) -> Result<Person> {
    let by_id = match UserId::new(who) {
        Ok(id) => opened.store().person(&id).await?,
        Err(_) => None,
    };
    let found = match by_id {
        Some(person) => Some(person),
        None => opened.store().person_by_login(who).await?,
    };
    found.ok_or_else(|| refused("WHO", &format!("there is nobody `{}`: name her login or id", shown(who))))
}

/// Switches somebody off; what became of her and of her agents.
async fn disable(opened: &Opened, who: &str) -> Result<Vec<String>> {
    let person = somebody(opened, who).await?;
    let (_, settled) = people::disable(opened.tenancy(), &person).await.map_err(told)?;
    let mut lines = vec![format!("{}: switched off; all that she had has ended", shown(&person.login))];
    let of = |left: &Left| format!("  agent {}: {}", shown(left.agent.id.as_str()), left.outcome.word());
    lines.extend(settled.iter().map(of));
    Ok(lines)
}

async fn add(config: &Config, new: NewPerson) -> Result<Person> {
    let settings = settings(config)?;
    let vault = Vault::open(&settings.database, &settings.master_key).await?;
    add_noticed(config, vault.store.as_ref(), new).await
}

/// Adds to the store alone, and leaves a notice for the audit log, which is the running gate's.
async fn add_noticed(config: &Config, store: &dyn Store, new: NewPerson) -> Result<Person> {
    let known = store.tenants().await?;
    let configured = config.tenants.iter().map(|tenant| &tenant.id);
    let known: BTreeSet<_> = configured.chain(known.iter().map(|tenant| &tenant.id)).collect();
    let names = known.iter().map(|tenant| tenant.as_str()).collect::<Vec<_>>().join(", ");
    anyhow::ensure!(known.contains(&new.tenant), "there is no tenant `{}`; there are: {names}", new.tenant);
    let facts = json!({ "login": shown(&new.login), "role": new.role });
    let event = event("user.add", Some(&new.tenant), facts, &SystemRng, SystemClock.now());
    store.add_notice(&serde_json::to_string(&event)?).await?;
    let added = new.add_to(store, &SystemRng, SystemClock.now()).await;
    added.context("the person could not be added")
}

fn read_password() -> Result<Secret> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// A password of 100 random bits that can be read aloud.
pub fn make_password(rng: &dyn Rng) -> Secret {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0u8; 20];
    rng.fill(&mut bytes);
    let letters: Vec<char> = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    let groups: Vec<String> = letters.chunks(5).map(|group| group.iter().collect()).collect();
    Secret::new(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use sallyport_model::AuditEvent;
    use sallyport_storage::{Notices as _, SqliteStore, Tenant, Tenants as _};

    #[tokio::test]
    async fn who_is_added_is_put_on_record_and_only_in_a_tenant_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("private/store.db"), zeroize::Zeroizing::new([7; 32])).unwrap();
        let text = "[server]\nlisten = \"127.0.0.1:8080\"\npublic_url = \"https://gate.example\"\n[data]\n\
                    directory = \"/tmp/x\"\n[[tenants]]\nid = \"acme\"\nname = \"Acme\"\n[[upstreams]]\nname = \"up\"\n\
                    url = \"https://up.example/mcp\"\n";
        let config = Config::parse(text, std::path::Path::new("sallyport.toml"), &[]).unwrap();
        let new = |tenant: &str| NewPerson {
            tenant: TenantId::new(tenant).unwrap(),
            login: "ann".into(),
            email: None,
            display_name: "Ann".into(),
            role: Role::Administrator,
            password: Some(Secret::new("correct horse battery")),
        };
        let error = add_noticed(&config, &store, new("beta")).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no tenant `beta`; there are: acme");
        assert!(store.notices(10).await.unwrap().is_empty());
        let beta = TenantId::new("beta").unwrap();
        store.put_tenant(&Tenant::new(beta.clone(), "Beta", SystemClock.now())).await.unwrap();
        add_noticed(&config, &store, new("beta")).await.unwrap();
        let notices = store.notices(10).await.unwrap();
        let event: AuditEvent = serde_json::from_str(&notices[0].1).unwrap();
        assert_eq!((event.tenant, event.facts["action"].as_str()), (Some(beta), Some("user.add")));
        assert_eq!(event.facts["login"], "ann");
        assert!(!notices[0].1.contains("horse"));
    }
}
