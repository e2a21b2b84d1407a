//! The file: who may reach it, whose it is, and what a thief finds in it.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path};

use sallyport_model::{DataKeyId, SigningKeyId, TenantId, Timestamp, UserId};
use zeroize::Zeroizing;

use super::{KEY, open, tenant};
use crate::{
    Authorizations, DataKey, Directory, Keys, Parked, ParkedKind, Passkey, Person, PersonOrigin, Role,
    SigningKeyRecord, SqliteStore, StoreError, Tenants,
};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Every byte of the database and the files beside it.
fn dump(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    bytes
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn only_the_owner_may_read_any_of_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("made/for/it");
    let path = inner.join("s.db");
    let store = open(&path).unwrap();
    store.put_tenant(&tenant(1, "a")).await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(&inner).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        seen += 1;
    }
    assert_eq!(seen, 3, "the database, its log and its index");
    assert_eq!(inner.metadata().unwrap().permissions().mode() & 0o777, 0o700);

    drop(store);
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let _store = open(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "tightened again");
}

#[test]
fn a_directory_that_everybody_may_write_to_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [0o777, 0o1777, 0o702] {
        std::fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
        let refused = open(&directory.path().join("s.db"));
        assert!(matches!(refused, Err(StoreError::Exposed { .. })), "{mode:o}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.db");
    for n in 1..=3 {
        let store = open(&path).unwrap();
        assert_eq!(store.tenants().await.unwrap().len(), n - 1);
        store.put_tenant(&tenant(n, "kept")).await.unwrap();
    }
    let store = open(&path).unwrap();
    assert_eq!(store.tenants().await.unwrap(), [1, 2, 3].map(|n| tenant(n, "kept")));
}

#[tokio::test]
async fn another_master_key_a_newer_schema_and_a_strangers_file_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.db");
    drop(open(&path).unwrap());
    let before = std::fs::read(&path).unwrap();
    let other = SqliteStore::open(&path, Zeroizing::new([8; 32]));
    assert!(matches!(other, Err(StoreError::WrongMasterKey)), "{other:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 999).unwrap();
    drop(newer);
    assert!(matches!(open(&path), Err(StoreError::TooNew { found: 999, known: 7 })));

    let strange = directory.path().join("strange.db");
    std::fs::write(&strange, "this is not a database, but long enough to be read as one".repeat(40)).unwrap();
    assert!(matches!(open(&strange), Err(StoreError::Damaged { what: "database", .. })));
    let theirs = directory.path().join("theirs.db");
    rusqlite::Connection::open(&theirs).unwrap().execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1").unwrap();
    let before = std::fs::read(&theirs).unwrap();
    assert!(matches!(open(&theirs), Err(StoreError::Damaged { what: "database", .. })));
    assert_eq!(std::fs::read(&theirs).unwrap(), before, "left as it was");
}

/// Stores one of everything that is sealed. The needles are long enough to be found by no accident.
async fn fill(store: &SqliteStore) {
    let user = UserId::new("ann").unwrap();
    let person = Person {
        id: user.clone(),
        tenant: TenantId::new("acme").unwrap(),
        origin: PersonOrigin::Local,
        login: "visible-login@acme.example".into(),
        email: None,
        display_name: "Ann".into(),
        role: Role::User,
        groups: Vec::new(),
        password_hash: None,
        disabled: false,
        created_at: NOW,
    };
    store.add_person(&person).await.unwrap();
    let passkey = Passkey {
        id: "cred".into(),
        user: user.clone(),
        name: "phone".into(),
        credential: "secret-passkey-credential".into(),
        created_at: NOW,
        last_used_at: None,
    };
    store.put_passkey(&passkey).await.unwrap();
    let parked = Parked {
        handle: [1; 32],
        kind: ParkedKind::Pushed,
        body: "secret-parked-body".into(),
        expires_at: Timestamp::from_secs(1_800_000_000),
    };
    store.park(&parked).await.unwrap();
    store.repark(&[1; 32], ParkedKind::Pushed, "secret-reparked-body", NOW).await.unwrap();
    let key = SigningKeyRecord {
        id: SigningKeyId::new("kid").unwrap(),
        algorithm: "ES256".into(),
        private_key: Zeroizing::new(b"secret-private-key".to_vec()),
        created_at: NOW,
        signs_from: NOW,
        signs_until: NOW,
        published_until: NOW,
    };
    store.put_signing_key(&key).await.unwrap();
    store.data_key(Some(&person.tenant), Some(&user), &data_key()).await.unwrap();
}

fn data_key() -> DataKey {
    let key = *b"secret-data-key-of-32-bytes-long";
    DataKey { id: DataKeyId::new("dek").unwrap(), key: Zeroizing::new(key) }
}

#[tokio::test]
async fn a_thief_of_the_files_finds_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("s.db")).unwrap();
    fill(&store).await;
    let secrets: [&[u8]; 6] = [
        b"secret-passkey-credential",
        b"secret-parked-body",
        b"secret-reparked-body",
        b"secret-private-key",
        b"secret-data-key-of-32-bytes-long",
        &KEY,
    ];
    let search = |moment: &str| {
        let bytes = dump(directory.path());
        assert!(holds(&bytes, b"visible-login@acme.example"), "{moment}: the search itself works");
        for secret in secrets {
            assert!(!holds(&bytes, secret), "{moment}: {}", String::from_utf8_lossy(secret));
        }
    };
    search("open");
    drop(store);
    search("closed");
}

#[tokio::test]
async fn a_shredded_key_leaves_no_sealed_copy_either() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("s.db")).unwrap();
    fill(&store).await;
    let sealed: Vec<u8> = store
        .read(|c| Ok(c.query_row("SELECT sealed FROM data_keys WHERE id = 'dek'", [], |row| row.get(0))?))
        .await
        .unwrap();
    assert!(holds(&dump(directory.path()), &sealed));
    let (tenant, user) = (TenantId::new("acme").unwrap(), UserId::new("ann").unwrap());
    assert!(store.shred_person(&tenant, &user).await.unwrap());
    assert!(!holds(&dump(directory.path()), &sealed), "neither in the file nor in its write-ahead log");
}

#[tokio::test]
async fn a_seal_moved_to_another_row_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("s.db")).unwrap();
    fill(&store).await;
    let moved = "INSERT INTO parked (handle, kind, sealed, expires_at)
                 SELECT zeroblob(32), kind, sealed, expires_at FROM parked";
    store.write(move |c| Ok(c.execute(moved, [])?)).await.unwrap();
    let taken = store.unpark(&[0; 32], ParkedKind::Pushed, NOW).await;
    assert!(matches!(taken, Err(StoreError::Damaged { what: "parked", .. })), "{taken:?}");
    let still: i64 =
        store.read(|c| Ok(c.query_row("SELECT count(*) FROM parked", [], |row| row.get(0))?)).await.unwrap();
    assert_eq!(still, 2, "and it was not taken");
}
