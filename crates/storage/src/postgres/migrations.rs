//! The schema's history, embedded. Each migration is one transaction that also counts the version up, so
//! a crash leaves the schema at one version or the next. Nodes that start together wait for one another at
//! the row that holds the version.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};

use super::{
    connection,
    error::{Failure, state},
    rows::{change, damaged, number, one, params, plain},
};
use crate::{StoreError, seal::Sealer};

/// In order; the version is the position, counted from one. It is not that of the embedded backend.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_initial.sql", include_str!("../../../../migrations/postgres/0001_initial.sql")),
    ("0002_api_tokens.sql", include_str!("../../../../migrations/postgres/0002_api_tokens.sql")),
    ("0003_agents.sql", include_str!("../../../../migrations/postgres/0003_agents.sql")),
    ("0004_linked_accounts.sql", include_str!("../../../../migrations/postgres/0004_linked_accounts.sql")),
];

const CHECK_ROW: &str = "seal_check";
const CHECK_TEXT: &[u8] = b"sallyport";

/// Two nodes that meet an empty database at once get in one another's way no more often.
const ATTEMPTS: usize = 5;

/// Brings the schema up to date, after making sure that the database is ours and that `sealer` fits.
pub(super) async fn migrate(options: &PgConnectOptions, sealer: &Sealer) -> Result<(), StoreError> {
    let mut c = connection::open_patiently(options).await?;
    warn_of_a_careless_disk(&mut c).await?;
    begin_history(&mut c).await?;
    for (version, (name, sql)) in (1i64..).zip(MIGRATIONS) {
        let mut step = c.begin().await?;
        let found = identify(&mut step, sealer).await?;
        if found < version {
            let failed = |error| StoreError::Unavailable(format!("migration {name}: {error}"));
            sqlx::raw_sql(AssertSqlSafe(*sql)).execute(&mut *step).await.map_err(failed)?;
            change(&mut step, "UPDATE sallyport_schema SET version = $1", params![version]).await?;
            if version == 1 {
                let sealed = sealer.seal("meta", CHECK_ROW.as_bytes(), CHECK_TEXT)?;
                let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)";
                change(&mut step, sql, params![CHECK_ROW, sealed]).await?;
            }
        }
        step.commit().await?;
    }
    connection::close(c).await;
    Ok(())
}

/// Makes the table that marks a database as ours, if the database is empty.
async fn begin_history(c: &mut PgConnection) -> Result<(), StoreError> {
    for _ in 0..ATTEMPTS {
        match try_to_begin(c).await {
            // Another node has just made it: unique_violation in the catalogue, duplicate_table, or (of the table's
            // own type) duplicate_object.
            Err(Failure::Database(error)) if matches!(state(&error).as_deref(), Some("23505" | "42P07" | "42710")) => {}
            done => return Ok(done?),
        }
    }
    Err(StoreError::Unavailable("other nodes keep beginning the schema: start again".into()))
}

async fn try_to_begin(c: &mut PgConnection) -> Result<(), Failure> {
    let sql = "SELECT relname::text AS name FROM pg_class
               WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
               ORDER BY relname LIMIT 1";
    let theirs: Option<String> = one(c, sql, params![], |row| plain(row, "name")).await?;
    // Asked after the tables were looked for: another node's may have come meanwhile.
    let ours = "SELECT count(*) FROM pg_class WHERE oid = to_regclass('sallyport_schema')";
    if number(c, ours, params![]).await? > 0 {
        return Ok(());
    }
    if let Some(table) = theirs {
        return Err(foreign(&format!("it has the table `{table}` and is another program's")).into());
    }
    let mut step = c.begin().await?;
    let sql = "CREATE TABLE sallyport_schema (version BIGINT NOT NULL); INSERT INTO sallyport_schema VALUES (0)";
    sqlx::raw_sql(sql).execute(&mut *step).await?;
    step.commit().await?;
    Ok(())
}

fn foreign(why: &str) -> StoreError {
    damaged("database", why)
}

/// The schema version of a database that is ours, known and sealed under our key. Its row stays locked until
/// the transaction ends.
async fn identify(c: &mut PgConnection, sealer: &Sealer) -> Result<i64, StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let sql = "SELECT version FROM sallyport_schema FOR UPDATE";
    let found: Option<i64> = one(c, sql, params![], |row| plain(row, "version")).await?;
    let found = found.ok_or_else(|| foreign("the row that tells the version is gone"))?;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    if found == 0 {
        return Ok(0);
    }
    let sql = "SELECT value FROM meta WHERE name = $1";
    let check: Option<Vec<u8>> = one(c, sql, params![CHECK_ROW], |row| plain(row, "value")).await?;
    let check = check.ok_or_else(|| foreign("the row that tells the master key is gone"))?;
    match sealer.open("meta", CHECK_ROW.as_bytes(), &check) {
        Ok(text) if text.as_slice() == CHECK_TEXT => Ok(found),
        _ => Err(StoreError::WrongMasterKey),
    }
}

/// `Ok` means durable here only if it does there.
async fn warn_of_a_careless_disk(c: &mut PgConnection) -> Result<(), StoreError> {
    let careless = "SELECT count(*) FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'";
    if number(c, careless, params![]).await? > 0 {
        tracing::warn!("the database runs with fsync or full_page_writes off: a power cut can take back revocations");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded_in_order() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/postgres");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, MIGRATIONS.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>());
        for (version, name) in (1..).zip(files) {
            assert!(name.starts_with(&format!("{version:04}_")), "{name}");
        }
    }
}
