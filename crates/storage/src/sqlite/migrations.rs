//! The schema's history, embedded. Each migration is one transaction that also moves
//! `user_version`, so a crash leaves the schema at one version or the next.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::seal::Sealer;
use crate::StoreError;

/// In order; the version is the position, counted from one.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_initial.sql", include_str!("../../../../migrations/sqlite/0001_initial.sql")),
    ("0002_revocations_by_subject.sql", include_str!("../../../../migrations/sqlite/0002_revocations_by_subject.sql")),
    ("0003_register.sql", include_str!("../../../../migrations/sqlite/0003_register.sql")),
    ("0004_federation.sql", include_str!("../../../../migrations/sqlite/0004_federation.sql")),
    ("0005_api_tokens.sql", include_str!("../../../../migrations/sqlite/0005_api_tokens.sql")),
    ("0006_agents.sql", include_str!("../../../../migrations/sqlite/0006_agents.sql")),
    ("0007_linked_accounts.sql", include_str!("../../../../migrations/sqlite/0007_linked_accounts.sql")),
];

/// Marks the file as ours (`SALY`), so that a stranger's database is not migrated by mistake.
const APPLICATION_ID: i64 = 0x5341_4c59;

const CHECK_ROW: &str = "seal_check";
const CHECK_TEXT: &[u8] = b"sallyport";

/// Brings the schema up to date, after making sure that the file is ours and that `sealer` fits.
pub(super) fn migrate(connection: &mut Connection, sealer: &Sealer) -> Result<(), StoreError> {
    migrate_by(connection, sealer, MIGRATIONS)
}

fn migrate_by(connection: &mut Connection, sealer: &Sealer, by: &[(&str, &str)]) -> Result<(), StoreError> {
    for (version, (name, sql)) in (1i64..).zip(by) {
        // Immediate, and the version read inside: another process may be migrating the same file.
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = identify(&step, sealer)?;
        if found >= version {
            continue;
        }
        step.execute_batch(sql).map_err(|error| StoreError::Unavailable(format!("migration {name}: {error}")))?;
        step.pragma_update(None, "user_version", version)?;
        if version == 1 {
            step.pragma_update(None, "application_id", APPLICATION_ID)?;
            let sealed = sealer.seal("meta", CHECK_ROW.as_bytes(), CHECK_TEXT)?;
            step.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", params![CHECK_ROW, sealed])?;
        }
        step.commit()?;
    }
    Ok(())
}

/// The schema version of a file that is ours, known and sealed under our key.
pub(super) fn identify(connection: &Connection, sealer: &Sealer) -> Result<i64, StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let foreign = |why: &str| StoreError::Damaged { what: "database", why: why.into() };
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = pragma("user_version")?;
    if found == 0 {
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        return if tables == 0 { Ok(0) } else { Err(foreign("the file is another program's database")) };
    }
    if pragma("application_id")? != APPLICATION_ID {
        return Err(foreign("the file is another program's database"));
    }
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    let check: Option<Vec<u8>> =
        connection.query_row("SELECT value FROM meta WHERE name = ?1", [CHECK_ROW], |row| row.get(0)).optional()?;
    let check = check.ok_or_else(|| foreign("the row that tells the master key is gone"))?;
    match sealer.open("meta", CHECK_ROW.as_bytes(), &check) {
        Ok(text) if text.as_slice() == CHECK_TEXT => Ok(found),
        _ => Err(StoreError::WrongMasterKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded_in_order() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
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

    /// What an earlier version stored is read as what it was: nobody acted for anybody.
    #[test]
    fn rows_from_before_agents_acted_for_people_read_back() {
        let sealer = Sealer::new(&[1; 32]).unwrap();
        let mut file = Connection::open_in_memory().unwrap();
        migrate_by(&mut file, &sealer, &MIGRATIONS[..4]).unwrap();
        file.execute_batch(
            "INSERT INTO agents VALUES ('robot', 'acme', 'c', 'Robot', 'ann', '', 'files.read', '[]', 1, 0);
             INSERT INTO grants VALUES ('g', 'acme', 'human', 'ann', 'c', 'r', 'files.read', 's', 1, 1, 9, NULL);
             INSERT INTO codes VALUES (zeroblob(32), 'g', 'acme', 'ann', 'c', 'u', 'x', 'r', 'files.read', 's',
                                       NULL, 1, 9, NULL, NULL)",
        )
        .unwrap();
        migrate(&mut file, &sealer).unwrap();
        let grant = super::super::grants::by_id(&file, &"g".parse().unwrap()).unwrap().unwrap();
        assert_eq!((grant.actors, grant.ancestors, grant.bound_to, grant.revoked_at), (vec![], vec![], None, None));
        let column = |sql: &str| file.query_row(sql, [], |row| row.get::<_, Option<String>>(0)).unwrap();
        assert_eq!(column("SELECT bounds FROM agents WHERE last_used_at IS NULL").as_deref(), Some("{}"));
        assert_eq!(column("SELECT dpop_jkt FROM codes"), None);
    }

    #[test]
    fn a_second_run_changes_nothing_and_a_strangers_database_is_left_alone() {
        let sealer = Sealer::new(&[1; 32]).unwrap();
        let mut ours = Connection::open_in_memory().unwrap();
        migrate(&mut ours, &sealer).unwrap();
        migrate(&mut ours, &sealer).unwrap();

        let mut theirs = Connection::open_in_memory().unwrap();
        theirs.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
        assert!(matches!(migrate(&mut theirs, &sealer), Err(StoreError::Damaged { what: "database", .. })));
    }
}
