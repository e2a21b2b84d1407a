//! What only the shared backend promises: several nodes on one database, a server that stops, freezes or
//! is killed, and what its operator finds in it.

mod cluster;
mod faults;
mod nodes;
mod rate;
mod secrets;
mod server;
mod tls;

use std::sync::{Arc, OnceLock};

use sallyport_model::{Actor, ClientId, GrantId, SessionId, TenantId, Timestamp, TokenId, UserId};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use zeroize::Zeroizing;

use self::cluster::{Cluster, ELSEWHERE};
use super::{PostgresStore, connection};
use crate::{Grant, RevocationSubject, Store, StoreError};

const KEY: [u8; 32] = [7; 32];
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const TEMPLATE: &str = "sallyport_template";

/// The server that tests share which do not stop it.
enum Shared {
    Ours(Cluster),
    Elsewhere { url: String, next: std::sync::atomic::AtomicUsize },
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| match std::env::var(ELSEWHERE) {
        Ok(url) => Shared::Elsewhere { url, next: 0.into() },
        Err(_) => Shared::Ours(Cluster::start(&[])),
    })
}

impl Shared {
    fn url(&self, database: &str) -> String {
        match self {
            Self::Ours(cluster) => cluster.url(database),
            Self::Elsewhere { url, .. } => {
                let (url, query) = url.split_once('?').map_or((url.as_str(), ""), |(url, query)| (url, query));
                let (server, _) = url.rsplit_once('/').expect("postgres://…/postgres");
                format!("{server}/{database}?{query}")
            }
        }
    }

    fn next(&self) -> String {
        match self {
            Self::Ours(cluster) => cluster.next(),
            Self::Elsewhere { next, .. } => {
                let n = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                format!("sallyport_test_{}_{n}", std::process::id())
            }
        }
    }
}

/// Drops what tests that have ended left on a server that is not theirs.
async fn sweep() {
    static SWEPT: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let sweeping = async {
        let Shared::Elsewhere { .. } = shared() else { return };
        let mut c = operator(&shared().url("postgres")).await;
        let sql = "SELECT datname::text AS name FROM pg_database WHERE datname ~ '^sallyport_(test|template)_[0-9]+'";
        let names = super::rows::all(&mut c, sql, vec![], |row| super::rows::plain::<String>(row, "name"));
        for name in names.await.unwrap() {
            let process = name.split('_').nth(2).unwrap_or_default();
            if !std::path::Path::new("/proc").join(process).exists() {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut c).await.unwrap();
            }
        }
    };
    SWEPT.get_or_init(|| sweeping).await;
}

/// Runs statements as an operator would.
async fn sql(url: &str, statements: &str) -> Result<(), sqlx::Error> {
    let mut c = connection::options(url).unwrap().connect().await?;
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut c).await?;
    c.close().await
}

async fn connect(url: &str) -> Result<PostgresStore, StoreError> {
    PostgresStore::connect(url, Zeroizing::new(KEY)).await
}

/// The URL of an empty database on the shared server.
async fn empty() -> String {
    sweep().await;
    let name = shared().next();
    sql(&shared().url("postgres"), &format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
    shared().url(&name)
}

/// The URL of a database with the schema in it, copied from one that was migrated once.
async fn migrated() -> String {
    static TEMPLATE_MADE: tokio::sync::Mutex<bool> = tokio::sync::Mutex::const_new(false);
    sweep().await;
    let mut made = TEMPLATE_MADE.lock().await;
    let operator = shared().url("postgres");
    let template = match shared() {
        Shared::Ours(_) => TEMPLATE.to_owned(),
        Shared::Elsewhere { .. } => format!("{TEMPLATE}_{}", std::process::id()),
    };
    if !*made {
        sql(&operator, &format!("CREATE DATABASE {template} TEMPLATE template0")).await.unwrap();
        drop(connect(&shared().url(&template)).await.unwrap());
        *made = true;
    }
    let name = shared().next();
    loop {
        match sql(&operator, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await {
            Ok(()) => return shared().url(&name),
            // The server has not noticed yet that the connection to the template is closed.
            Err(error) if super::error::state(&error).as_deref() == Some("55006") => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// An open connection, as an operator has one.
async fn operator(url: &str) -> PgConnection {
    connection::options(url).unwrap().connect().await.unwrap()
}

async fn count(c: &mut PgConnection, query: &str) -> i64 {
    super::rows::number(c, query, vec![]).await.unwrap()
}

fn token(n: usize) -> RevocationSubject {
    RevocationSubject::Token(TokenId::new(format!("token-{n}")).unwrap())
}

fn digest(kind: u8, n: u64) -> [u8; 32] {
    let mut digest = [kind; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    digest
}

/// A grant of `user` that lives for years.
fn grant(id: &str, user: &str) -> Grant {
    Grant {
        id: GrantId::new(id).unwrap(),
        tenant: TenantId::new("acme").unwrap(),
        subject: Actor::Human(UserId::new(user).unwrap()),
        actors: Vec::new(),
        ancestors: Vec::new(),
        client: ClientId::new("editor").unwrap(),
        resource: "https://gate.example/mcp/files".into(),
        scopes: "files.read".parse().unwrap(),
        session: SessionId::new("s1").unwrap(),
        authenticated_at: NOW,
        created_at: NOW,
        expires_at: Timestamp::from_secs(1_900_000_000),
        revoked_at: None,
        bound_to: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    crate::conformance::run(async || Arc::new(connect(&migrated().await).await.unwrap()) as Arc<dyn Store>).await;
}
