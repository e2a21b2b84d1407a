//! `sallyport tenant`: the customers of a deployment, their domains, identity providers, people and tokens.
//!
//! It works on the store alone, beside a running gate, which obeys from the next request on and puts what was
//! changed into the audit log. It never prints a stored secret, and only `signals` reaches an identity provider.

pub mod answer;
pub mod arguments;
mod connect;
mod connections;
mod customers;
mod domains;
mod ending;
mod mapping;
pub mod opened;
pub mod people;
pub mod signals;
mod token;

use anyhow::Result;

pub use ending::count_json;

use crate::End;
use answer::Answer;
use arguments::{Tenant, Verb};
use connect::Environment;
use opened::Opened;

/// Runs it.
pub async fn run(command: Tenant) -> Result<End> {
    let opened = Opened::open(&command.manner.configured()).await?;
    let environment = |name: &str| std::env::var(name).ok();
    Ok(answered(&opened, &command.verb, &environment).await?.print(command.manner.json))
}

async fn answered(opened: &Opened, verb: &Verb, environment: Environment<'_>) -> Result<Answer> {
    match verb {
        Verb::List => customers::list(opened).await,
        Verb::Show { id } => customers::show(opened, id).await,
        Verb::Create { id, name } => customers::create(opened, id, name).await,
        Verb::Set(set) => customers::set(opened, set).await,
        Verb::Suspend { id } => ending::suspend(opened, id).await,
        Verb::Resume { id } => ending::resume(opened, id).await,
        Verb::Delete { id, yes } => ending::delete(opened, id, *yes).await,
        Verb::Domain(verb) => domains::run(opened, verb).await,
        Verb::ConnectOidc(asked) => connect::oidc(opened, asked, environment).await,
        Verb::ConnectSaml(asked) => connect::saml(opened, asked).await,
        Verb::Connections { id } => connections::list(opened, id).await,
        Verb::Connection(verb) => connections::run(opened, verb).await,
        Verb::SetMapping { id, name, reset, mapping } => mapping::set(opened, id, name, *reset, mapping).await,
        Verb::Preview { id, name, user, asserted } => {
            mapping::preview_of(opened, id, name, user.as_deref(), asserted.as_deref()).await
        }
        Verb::ScimToken(verb) => token::run(opened, verb).await,
        Verb::Signals(verb) => signals::run(opened, verb, environment).await,
        Verb::Sessions { id, user } => people::sessions(opened, id, user.as_deref()).await,
        Verb::EndSession { id, session } => people::end_session(opened, id, session).await,
        Verb::People { id } => people::people(opened, id).await,
    }
}

#[cfg(test)]
mod tests;
