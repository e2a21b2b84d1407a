//! What a thief of the server's files finds in them.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use sallyport_model::{ConnectionId, DataKeyId, SigningKeyId};

use super::*;
use crate::{
    Authorizations, BrowserSession, BrowserSessions, Connection as ProviderConnection, ConnectionProtocol, Connections,
    DataKey, Directory, Keys, Link, Parked, ParkedKind, Passkey, Person, ProviderToken, Role, SignalDelivery,
    SignalStream, Signals, SigningKeyRecord, Tenant, Tenants,
};

const END: Timestamp = Timestamp::from_secs(1_900_000_000);

/// Whether any of the server's files holds the bytes.
#[expect(clippy::disallowed_methods, reason = "a search through all files of a server, made for that")]
fn holds(directory: &Path, needle: &[u8]) -> bool {
    let mut search = std::process::Command::new("grep");
    search.args(["-rqaF", "-e"]).arg(OsStr::from_bytes(needle)).arg(directory);
    search.env("LC_ALL", "C").status().unwrap().success()
}

async fn fill(store: &PostgresStore) {
    let (user, tenant) = (UserId::new("ann").unwrap(), TenantId::new("acme").unwrap());
    let connection = ConnectionId::new("idp").unwrap();
    let acme = Tenant {
        id: tenant.clone(),
        name: "Acme".into(),
        created_at: NOW,
        suspended: false,
        settings: Default::default(),
    };
    store.put_tenant(&acme).await.unwrap();
    let person = Person {
        id: user.clone(),
        tenant: tenant.clone(),
        origin: Default::default(),
        login: "visible-login@acme.example".into(),
        email: None,
        display_name: "Ann".into(),
        role: Role::User,
        groups: vec![],
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
    let body = "secret-parked-body".into();
    store.park(&Parked { handle: [1; 32], kind: ParkedKind::Pushed, body, expires_at: END }).await.unwrap();
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
    let key = Zeroizing::new(*b"secret-data-key-of-32-bytes-long");
    let data_key = DataKey { id: DataKeyId::new("dek").unwrap(), key };
    store.data_key(Some(&tenant), Some(&user), &data_key).await.unwrap();
    provider(store, &user, &tenant, &connection).await;
}

async fn provider(store: &PostgresStore, user: &UserId, tenant: &TenantId, connection: &ConnectionId) {
    let idp = ProviderConnection {
        id: connection.clone(),
        tenant: tenant.clone(),
        name: "IdP".into(),
        protocol: ConnectionProtocol::Oidc,
        settings: "secret-client-secret".into(),
        enabled: true,
        created_at: NOW,
        changed_at: NOW,
    };
    store.put_connection(&idp).await.unwrap();
    let link = Link {
        tenant: tenant.clone(),
        connection: connection.clone(),
        subject: "sub".into(),
        user: user.clone(),
        linked_at: NOW,
        last_seen_at: NOW,
        asserted: "secret-assertion".into(),
    };
    store.put_link(&link).await.unwrap();
    let session = BrowserSession {
        id: SessionId::new("s1").unwrap(),
        cookie: [1; 32],
        user: user.clone(),
        tenant: tenant.clone(),
        methods: vec![],
        authenticated_at: NOW,
        expires_at: END,
        provider: None,
    };
    store.add_browser_session(&session).await.unwrap();
    let token = ProviderToken { token: "secret-provider-token".into(), asked_at: NOW };
    assert!(store.put_provider_token(&session.id, &token, None).await.unwrap());
    let stream = SignalStream {
        id: "stream".to_owned().try_into().unwrap(),
        tenant: tenant.clone(),
        connection: None,
        delivery: SignalDelivery::Poll,
        settings: "secret-stream-token".into(),
        token: None,
        created_at: NOW,
        verified_at: None,
        last_event_at: None,
        last_fault: None,
    };
    store.put_stream(&stream).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_of_the_servers_files_finds_no_secret() {
    let cluster = Cluster::start(&["wal_compression=off"]);
    let url = cluster.url("postgres");
    let store = connect(&url).await.unwrap();
    fill(&store).await;
    sql(&url, "CHECKPOINT").await.unwrap();
    let data = cluster.directory().join("data");
    assert!(holds(&data, b"visible-login@acme.example"), "the search itself works");
    let secrets: [&[u8]; 9] = [
        b"secret-passkey-credential",
        b"secret-parked-body",
        b"secret-private-key",
        b"secret-data-key-of-32-bytes-long",
        b"secret-client-secret",
        b"secret-assertion",
        b"secret-provider-token",
        b"secret-stream-token",
        &KEY,
    ];
    for secret in secrets {
        assert!(!holds(&data, secret), "{}", String::from_utf8_lossy(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_moved_to_another_row_is_damage() {
    let url = migrated().await;
    let store = connect(&url).await.unwrap();
    fill(&store).await;
    let moved = "INSERT INTO parked (handle, kind, sealed, expires_at)
                 SELECT decode(repeat('00', 32), 'hex'), kind, sealed, expires_at FROM parked";
    sql(&url, moved).await.unwrap();
    let taken = store.unpark(&[0; 32], ParkedKind::Pushed, NOW).await;
    assert!(matches!(taken, Err(StoreError::Damaged { what: "parked", .. })), "{taken:?}");
    let mut operator = operator(&url).await;
    assert_eq!(count(&mut operator, "SELECT count(*) FROM parked").await, 2, "and it was not taken");
}
