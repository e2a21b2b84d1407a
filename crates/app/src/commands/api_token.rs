//! `sallyport api-token`: tokens of the admin API, made, listed and revoked. There is no other way to make one.
//!
//! It works on the store alone, beside a running gate, which takes a new token and refuses a revoked one from the next
//! request on.

use anyhow::Result;
use clap::{ArgGroup, Args, Subcommand};
use sallyport_admin::tenancy::api_tokens::{self, api_token_json};
use sallyport_model::TenantId;
use sallyport_storage::{ApiRole, ApiToken as Kept};
use serde_json::{Value, json};

use super::tenant::{
    answer::{Answer, table},
    arguments::Manner,
    opened::{Opened, shown, told},
};
use crate::End;

/// `sallyport api-token …`
#[derive(Debug, Args)]
pub struct ApiToken {
    /// Where the deployment is, and how the answer is printed.
    #[command(flatten)]
    pub manner: Manner,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do about tokens.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a token; it is printed once.
    #[command(group = ArgGroup::new("role").required(true))]
    Create {
        /// Whether it may do everything, in every tenant.
        #[arg(long, group = "role")]
        operator: bool,
        /// The tenant that it administers, and no other.
        #[arg(long, value_name = "T", group = "role")]
        tenant: Option<TenantId>,
        /// When it ends; without it, when it is revoked.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires: Option<u32>,
        /// What you call whoever uses it.
        #[arg(long, value_name = "N")]
        name: String,
    },
    /// All tokens, or a tenant's; none is shown.
    List {
        /// Only of this tenant.
        #[arg(long, value_name = "T")]
        tenant: Option<TenantId>,
    },
    /// Revoke a token; the next request with it is refused.
    Revoke {
        /// Its id, as `list` shows it.
        id: String,
    },
}

/// Runs it.
pub async fn run(command: ApiToken) -> Result<End> {
    let opened = Opened::open(&command.manner.configured()).await?;
    Ok(answered(&opened, command.verb).await?.print(command.manner.json))
}

async fn answered(opened: &Opened, verb: Verb) -> Result<Answer> {
    match verb {
        Verb::Create { tenant, expires, name, .. } => {
            // The command line demands one of the two.
            let role = tenant.map_or(ApiRole::Operator, ApiRole::Administrator);
            create(opened, role, &name, expires).await
        }
        Verb::List { tenant } => list(opened, tenant.as_ref()).await,
        Verb::Revoke { id } => revoke(opened, &id).await,
    }
}

async fn create(opened: &Opened, role: ApiRole, name: &str, days: Option<u32>) -> Result<Answer> {
    let (kept, token) = api_tokens::create(opened.tenancy(), role, name, days).await.map_err(told)?;
    let mut json = api_token_json(opened.tenancy(), &kept);
    json["token"] = json!(token.expose());
    let end = kept.expires_at.map_or_else(|| "It does not end by itself.".to_owned(), |at| format!("It ends at {at}."));
    let may = may(&kept);
    let remark = format!("The token is shown this once; it {may}. {end} Its id is {}.", kept.id);
    Ok(Answer::done(json, [token.expose().to_owned()]).remark(remark))
}

fn may(token: &Kept) -> String {
    match &token.role {
        ApiRole::Operator => "may do everything, in every tenant".to_owned(),
        ApiRole::Administrator(tenant) => format!("administers {tenant} and nothing else"),
    }
}

async fn list(opened: &Opened, tenant: Option<&TenantId>) -> Result<Answer> {
    if let Some(tenant) = tenant {
        opened.tenant(tenant).await?;
    }
    let tokens = opened.store().api_tokens(tenant).await?;
    let row = |token: &Kept| {
        let end = match token.expires_at {
            None => "never".to_owned(),
            Some(at) if at <= opened.now() => format!("ended {at}"),
            Some(at) => at.to_string(),
        };
        let whose = token.role.tenant().map_or_else(|| "operator".to_owned(), |tenant| format!("of {tenant}"));
        vec![token.id.to_string(), shown(&token.name), whose, token.created_at.to_string(), end]
    };
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    let values = tokens.iter().map(|token| api_token_json(opened.tenancy(), token)).collect();
    Ok(Answer::done(Value::Array(values), table(&["id", "name", "whose", "since", "ends"], &rows)))
}

async fn revoke(opened: &Opened, id: &str) -> Result<Answer> {
    let token = api_tokens::find(opened.tenancy(), None, id).await.map_err(told)?;
    let revoked = api_tokens::revoke(opened.tenancy(), &token).await.map_err(told)?;
    let line = format!("{}: revoked; the next request with it is refused", shown(&token.name));
    Ok(Answer::done(json!({ "id": token.id, "revoked": revoked }), [line]))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser as _;
    use sallyport_admin::tenancy::sha256;
    use sallyport_model::{AuditEvent, ManualClock, SeededRng, Timestamp};
    use sallyport_storage::{ApiTokens as _, Notices as _, SqliteStore, Tenant, Tenants as _};

    use super::*;
    use crate::{
        cli::{Cli, Command},
        config::Config,
    };

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    async fn ran(opened: &Opened, typed: &str) -> Result<Answer> {
        let cli = Cli::try_parse_from(["sallyport", "api-token"].into_iter().chain(typed.split_whitespace()))?;
        let Command::ApiToken(command) = cli.command else { panic!("{typed}") };
        answered(opened, command.verb).await
    }

    #[tokio::test]
    async fn a_token_is_shown_once_kept_as_a_digest_and_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private/store.db");
        let store = Arc::new(SqliteStore::open(path, zeroize::Zeroizing::new([7; 32])).unwrap());
        let acme = TenantId::new("acme").unwrap();
        store.put_tenant(&Tenant::new(acme.clone(), "Acme", NOW)).await.unwrap();
        let text = "[server]\nlisten = \"127.0.0.1:8080\"\npublic_url = \"https://gate.example\"\n[data]\n\
                    directory = \"/tmp/x\"\n[[tenants]]\nid = \"acme\"\nname = \"Acme\"\n[[upstreams]]\nname = \"up\"\n\
                    url = \"https://up.example/mcp\"\n";
        let config = Config::parse(text, std::path::Path::new("sallyport.toml"), &[]).unwrap();
        let opened = Opened::of(config, store.clone(), Arc::new(SeededRng::new(7)), Arc::new(ManualClock::at(NOW)));
        let made = ran(&opened, "create --tenant acme --name ci --expires 30").await.unwrap();
        let token = made.json["token"].as_str().unwrap().to_owned();
        // 256 bits behind a prefix by which it is recognised.
        assert!(token.starts_with("spadm_") && token.len() == 49, "{token}");
        assert_eq!(made.lines, std::slice::from_ref(&token));
        let kept = store.api_token(&sha256(&token), NOW).await.unwrap().unwrap();
        assert_eq!((kept.role, kept.name.as_str()), (ApiRole::Administrator(acme), "ci"));
        ran(&opened, "create --operator --name ops").await.unwrap();
        for typed in
            ["create --name x", "create --operator --tenant acme --name x", "create --operator --name x --expires 0"]
        {
            assert!(ran(&opened, typed).await.is_err(), "{typed}");
        }
        let unknown = ran(&opened, "create --tenant nobody --name x").await.unwrap_err().to_string();
        assert!(unknown.contains("there is no tenant `nobody`"), "{unknown}");
        let listed = ran(&opened, "list").await.unwrap();
        assert_eq!(listed.json.as_array().unwrap().len(), 2);
        assert!(!format!("{listed:?}").contains("spadm_"));
        assert_eq!(ran(&opened, "list --tenant acme").await.unwrap().json.as_array().unwrap().len(), 1);
        let id = made.json["id"].as_str().unwrap();
        assert_eq!(ran(&opened, &format!("revoke {id}")).await.unwrap().json["revoked"], true);
        assert_eq!(store.api_token(&sha256(&token), NOW).await.unwrap(), None);
        assert!(ran(&opened, &format!("revoke {id}")).await.is_err());
        let notices = store.notices(10).await.unwrap();
        let events: Vec<AuditEvent> = notices.iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
        let actions: Vec<_> = events.iter().map(|event| event.facts["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["api_token.create", "api_token.create", "api_token.revoke"]);
        assert!(!format!("{notices:?}").contains("spadm_"));
    }
}
