//! Opening of connections: how safely the server is spoken to, and how each of them is set.

use std::{str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{PATIENCE, error::Failure, rows::damaged};
use crate::StoreError;

/// What the server itself bounds, in milliseconds; for when this end is gone and its locks must go too.
pub(super) struct Bounds {
    /// A statement, commits included. Longer than a step has: a commit that the server is told to wait for no
    /// longer is reported as done, though its standby may not have it.
    pub(super) statement: u128,
    /// Waiting for a lock. Shorter than a step has, so that the server's own words are heard.
    pub(super) lock: u128,
    /// Silence in a transaction.
    pub(super) silence: u128,
}

impl Bounds {
    /// Of a step that may take so long.
    pub(super) const fn of(patience: Duration) -> Self {
        let millis = patience.as_millis();
        Self { statement: millis + 300, lock: millis - 200, silence: 1_000 }
    }
}

/// Of migrations.
const PATIENT: Bounds = Bounds { statement: 600_000, lock: 60_000, silence: 60_000 };

/// Statements that a connection keeps prepared; more than there are in this backend.
const STATEMENTS: usize = 256;

/// Reads the URL.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let bad = |why: String| StoreError::Unavailable(format!("the URL of the database: {why}"));
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return Err(bad("write postgres://user:password@host/database".into()));
    }
    let mut options = PgConnectOptions::from_str(url).map_err(|error| bad(error.to_string()))?;
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let says_how = query.split('&').any(|pair| pair.starts_with("sslmode=") || pair.starts_with("ssl-mode="));
    if !says_how && !is_local(&options) {
        // The library's own choice would go on in the clear where somebody in between says so.
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    if options.get_application_name().is_none() {
        options = options.application_name("sallyport");
    }
    Ok(options.statement_cache_capacity(STATEMENTS).disable_statement_logging())
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
}

/// Opens a connection for steps.
pub(super) async fn open(options: &PgConnectOptions) -> Result<PgConnection, Failure> {
    let mut connection = PgConnection::connect_with(options).await?;
    set(&mut connection, &Bounds::of(PATIENCE)).await?;
    Ok(connection)
}

/// Opens a connection whose statements may take long: for migrations.
pub(super) async fn open_patiently(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let connecting = async {
        let mut connection = PgConnection::connect_with(options).await?;
        set(&mut connection, &PATIENT).await?;
        Ok::<_, Failure>(connection)
    };
    let late = |_| StoreError::Unavailable("the database did not answer within 5 s".into());
    Ok(tokio::time::timeout(Duration::from_secs(5), connecting).await.map_err(late)??)
}

/// Sets a connection, and refuses a server that could not keep what this backend promises: a standby lags
/// behind the revocations of its primary.
async fn set(connection: &mut PgConnection, bounds: &Bounds) -> Result<(), Failure> {
    let sql = "SELECT pg_is_in_recovery() AS standby, current_setting('server_encoding') AS encoding,
                      set_config('statement_timeout', $1, false),
                      set_config('lock_timeout', $2, false),
                      set_config('idle_in_transaction_session_timeout', $3, false),
                      set_config('jit', 'off', false),
                      set_config('synchronous_commit',
                          CASE current_setting('synchronous_commit')
                              WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)";
    let [statement, lock, silence] = [bounds.statement, bounds.lock, bounds.silence].map(|millis| millis.to_string());
    let asked = sqlx::query(sql).bind(statement).bind(lock).bind(silence).persistent(false);
    let row = asked.fetch_one(&mut *connection).await?;
    if row.try_get::<bool, _>("standby")? {
        let why = "the database is a standby, which lags behind: name the primary";
        return Err(StoreError::Unavailable(why.into()).into());
    }
    let encoding: String = row.try_get("encoding")?;
    if encoding != "UTF8" {
        let why = format!("its encoding is {encoding}: create it with ENCODING 'UTF8' TEMPLATE template0");
        return Err(damaged("database", why).into());
    }
    Ok(())
}

/// Says good-bye, so that the server has no reason to log.
pub(super) async fn close(connection: PgConnection) {
    let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> PgSslMode {
        options(url).unwrap().get_ssl_mode()
    }

    #[test]
    fn a_server_elsewhere_is_verified_unless_the_url_says_otherwise() {
        for url in ["postgres://u:p@db.example/s", "postgresql://u@192.0.2.1:5433/s?application_name=x"] {
            assert!(matches!(mode(url), PgSslMode::VerifyFull), "{url}");
        }
        assert!(matches!(mode("postgres://u:p@db.example/s?sslmode=require"), PgSslMode::Require));
        assert!(matches!(mode("postgres://u:p@db.example/s?a=b&ssl-mode=disable"), PgSslMode::Disable));
        for url in ["postgres://u@127.0.0.1/s", "postgres://u@[::1]/s", "postgres://u@%2Frun%2Fpg/s"] {
            assert!(matches!(mode(url), PgSslMode::Prefer), "{url}");
        }
    }

    #[test]
    fn another_url_is_refused_and_its_password_is_not_told() {
        for url in ["mysql://u:secret@h/s", "postgres://u:secret@h/s?sslmode=maybe", "postgres://u:secret@h:99999/s"] {
            let Err(StoreError::Unavailable(why)) = options(url) else { panic!("{url}") };
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
