//! `sallyport user`: people of the local directory.

use std::io::Read as _;

use anyhow::{Context, Result};
use sallyport_identity::NewPerson;
use sallyport_model::{Clock as _, Rng, Secret, SystemClock, SystemRng, TenantId};
use sallyport_storage::{Person, Role};
use serde_json::json;

use crate::{
    End,
    cli::User,
    commands::{config::load, serve::settings},
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
            anyhow::ensure!(
                config.tenants.iter().any(|known| known.id == tenant),
                "there is no tenant `{tenant}`; the configuration names: {}",
                config.tenants.iter().map(|known| known.id.as_str()).collect::<Vec<_>>().join(", ")
            );
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
        User::List { configured, tenant, json } => {
            let config = load(&configured)?;
            let master_key = MasterKey::load(&config.data.master_key(), &SystemRng)?;
            let vault = Vault::open(&config.data.database(), &master_key)?;
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

/// Adds to the store alone: the audit log is the running gate's, so that this leaves no event.
async fn add(config: &Config, new: NewPerson) -> Result<Person> {
    let settings = settings(config)?;
    let vault = Vault::open(&settings.database, &settings.master_key)?;
    let added = new.add_to(vault.store.as_ref(), &SystemRng, SystemClock.now()).await;
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
