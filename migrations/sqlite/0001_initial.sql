-- Times are milliseconds since the Unix epoch, UTC. Columns named `sealed` hold a version byte, a
-- nonce and AES-256-GCM ciphertext bound to the table and the row's id.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE counters (
    name  TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO counters (name, value) VALUES ('revocation_epoch', 0);

CREATE TABLE tenants (
    id         TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    suspended  INTEGER NOT NULL
) STRICT;

CREATE TABLE people (
    id            TEXT PRIMARY KEY NOT NULL,
    tenant        TEXT NOT NULL,
    login         TEXT NOT NULL UNIQUE,
    email         TEXT,
    display_name  TEXT NOT NULL,
    role          TEXT NOT NULL,
    password_hash TEXT,
    disabled      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX people_by_tenant ON people (tenant, login);

CREATE TABLE passkeys (
    id           TEXT PRIMARY KEY NOT NULL,
    user_id      TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    sealed       BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
CREATE INDEX passkeys_by_user ON passkeys (user_id, created_at);

CREATE TABLE sign_in_failures (
    key       TEXT NOT NULL,
    at        INTEGER NOT NULL,
    forget_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sign_in_failures_by_key ON sign_in_failures (key, at);
CREATE INDEX sign_in_failures_by_end ON sign_in_failures (forget_at);

CREATE TABLE sign_in_locks (
    key          TEXT PRIMARY KEY NOT NULL,
    locked_until INTEGER NOT NULL
) STRICT;

CREATE TABLE agents (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL,
    client     TEXT NOT NULL,
    name       TEXT NOT NULL,
    owner      TEXT,
    purpose    TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    resources  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    suspended  INTEGER NOT NULL
) STRICT;
CREATE INDEX agents_by_tenant ON agents (tenant, id);

CREATE TABLE clients (
    id               TEXT PRIMARY KEY NOT NULL,
    source           TEXT NOT NULL,
    name             TEXT NOT NULL,
    redirect_uris    TEXT NOT NULL,
    application_type TEXT NOT NULL,
    auth_method      TEXT NOT NULL,
    secret_sha256    BLOB,
    jwks             TEXT,
    grant_types      TEXT NOT NULL,
    uri              TEXT,
    agent            TEXT,
    created_at       INTEGER NOT NULL,
    stale_at         INTEGER
) STRICT;
CREATE INDEX clients_by_age ON clients (created_at, id);
CREATE INDEX clients_by_source ON clients (source);

CREATE TABLE browser_sessions (
    id               TEXT PRIMARY KEY NOT NULL,
    cookie           BLOB NOT NULL UNIQUE,
    user_id          TEXT NOT NULL,
    tenant           TEXT NOT NULL,
    methods          TEXT NOT NULL,
    authenticated_at INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    ended_at         INTEGER
) STRICT;
CREATE INDEX browser_sessions_by_user ON browser_sessions (user_id);
CREATE INDEX browser_sessions_by_tenant ON browser_sessions (tenant);
CREATE INDEX browser_sessions_by_end ON browser_sessions (expires_at);

CREATE TABLE consents (
    user_id      TEXT NOT NULL,
    client       TEXT NOT NULL,
    resource     TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    given_at     INTEGER NOT NULL,
    PRIMARY KEY (user_id, client, resource)
) STRICT;

CREATE TABLE parked (
    handle     BLOB PRIMARY KEY NOT NULL,
    kind       TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX parked_by_end ON parked (expires_at);

CREATE TABLE codes (
    code             BLOB PRIMARY KEY NOT NULL,
    grant_id         TEXT NOT NULL,
    tenant           TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    client           TEXT NOT NULL,
    redirect_uri     TEXT NOT NULL,
    code_challenge   TEXT NOT NULL,
    resource         TEXT NOT NULL,
    scopes           TEXT NOT NULL,
    session_id       TEXT NOT NULL,
    nonce            TEXT,
    authenticated_at INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    consumed_at      INTEGER,
    replayed_at      INTEGER
) STRICT;
CREATE INDEX codes_by_grant ON codes (grant_id);
CREATE INDEX codes_by_end ON codes (expires_at);
-- A revocation looks only for codes that still wait, which are few at any time.
CREATE INDEX codes_waiting_by_user ON codes (user_id) WHERE consumed_at IS NULL;
CREATE INDEX codes_waiting_by_session ON codes (session_id) WHERE consumed_at IS NULL;
CREATE INDEX codes_waiting_by_client ON codes (client) WHERE consumed_at IS NULL;
CREATE INDEX codes_waiting_by_tenant ON codes (tenant) WHERE consumed_at IS NULL;

CREATE TABLE grants (
    id               TEXT PRIMARY KEY NOT NULL,
    tenant           TEXT NOT NULL,
    subject_kind     TEXT NOT NULL,
    subject_id       TEXT NOT NULL,
    client           TEXT NOT NULL,
    resource         TEXT NOT NULL,
    scopes           TEXT NOT NULL,
    session_id       TEXT NOT NULL,
    authenticated_at INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    revoked_at       INTEGER
) STRICT;
CREATE INDEX grants_by_subject ON grants (subject_kind, subject_id, tenant);
CREATE INDEX grants_by_session ON grants (session_id);
CREATE INDEX grants_by_client ON grants (client);
CREATE INDEX grants_by_tenant ON grants (tenant);
CREATE INDEX grants_by_end ON grants (expires_at);

CREATE TABLE refresh_tokens (
    token           BLOB PRIMARY KEY NOT NULL,
    grant_id        TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    idle_expires_at INTEGER NOT NULL,
    spent_at        INTEGER,
    successor       BLOB
) STRICT;
CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (grant_id);
-- A family has at most one living token, whatever the code above this does.
CREATE UNIQUE INDEX refresh_tokens_alive ON refresh_tokens (grant_id) WHERE spent_at IS NULL;

CREATE TABLE revocations (
    epoch INTEGER PRIMARY KEY NOT NULL,
    kind  TEXT NOT NULL,
    id    TEXT NOT NULL,
    at    INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_by_time ON revocations (at);

CREATE TABLE signing_keys (
    id              TEXT PRIMARY KEY NOT NULL,
    algorithm       TEXT NOT NULL,
    sealed          BLOB NOT NULL,
    created_at      INTEGER NOT NULL,
    signs_from      INTEGER NOT NULL,
    signs_until     INTEGER NOT NULL,
    published_until INTEGER NOT NULL
) STRICT;

-- '' stands for an absent tenant or person: NULLs would never be equal, and two keys could exist.
CREATE TABLE data_keys (
    id     TEXT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    person TEXT NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (tenant, person)
) STRICT;

CREATE TABLE definitions (
    upstream      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    name          TEXT NOT NULL,
    sha256        BLOB NOT NULL,
    raw           TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    pinned_at     INTEGER NOT NULL,
    PRIMARY KEY (upstream, kind, name)
) STRICT;
