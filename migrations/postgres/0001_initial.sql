-- Times are milliseconds since the Unix epoch, UTC. Columns named `sealed` hold a version byte, a
-- nonce and AES-256-GCM ciphertext bound to the table and the row's id. Text is compared byte by byte
-- (COLLATE "C"): no index depends on a locale of the server, and the order is that of the other backend.

CREATE TABLE meta (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE counters (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value)
VALUES ('revocation_epoch', 0), ('register_number', 0), ('register_logged', 0), ('notice_number', 0);

CREATE TABLE tenants (
    id         TEXT COLLATE "C" PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    suspended  BOOLEAN NOT NULL,
    settings   TEXT COLLATE "C" NOT NULL
);

CREATE TABLE people (
    id            TEXT COLLATE "C" PRIMARY KEY,
    tenant        TEXT COLLATE "C" NOT NULL,
    origin        TEXT COLLATE "C" NOT NULL,
    login         TEXT COLLATE "C" NOT NULL UNIQUE,
    email         TEXT COLLATE "C",
    display_name  TEXT COLLATE "C" NOT NULL,
    role          TEXT COLLATE "C" NOT NULL,
    groups        TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C",
    disabled      BOOLEAN NOT NULL,
    created_at    BIGINT NOT NULL
);
CREATE INDEX people_by_tenant ON people (tenant, login);

CREATE TABLE passkeys (
    id           TEXT COLLATE "C" PRIMARY KEY,
    user_id      TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    name         TEXT COLLATE "C" NOT NULL,
    sealed       BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX passkeys_by_user ON passkeys (user_id, created_at);

CREATE TABLE sign_in_failures (
    key       TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    forget_at BIGINT NOT NULL
);
CREATE INDEX sign_in_failures_by_key ON sign_in_failures (key, at);
CREATE INDEX sign_in_failures_by_end ON sign_in_failures (forget_at);

CREATE TABLE sign_in_locks (
    key          TEXT COLLATE "C" PRIMARY KEY,
    locked_until BIGINT NOT NULL
);

CREATE TABLE agents (
    id         TEXT COLLATE "C" PRIMARY KEY,
    tenant     TEXT COLLATE "C" NOT NULL,
    client     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    owner      TEXT COLLATE "C",
    purpose    TEXT COLLATE "C" NOT NULL,
    scopes     TEXT COLLATE "C" NOT NULL,
    resources  TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    suspended  BOOLEAN NOT NULL
);
CREATE INDEX agents_by_tenant ON agents (tenant, id);

CREATE TABLE clients (
    id               TEXT COLLATE "C" PRIMARY KEY,
    source           TEXT COLLATE "C" NOT NULL,
    name             TEXT COLLATE "C" NOT NULL,
    redirect_uris    TEXT COLLATE "C" NOT NULL,
    application_type TEXT COLLATE "C" NOT NULL,
    auth_method      TEXT COLLATE "C" NOT NULL,
    secret_sha256    BYTEA,
    jwks             TEXT COLLATE "C",
    grant_types      TEXT COLLATE "C" NOT NULL,
    uri              TEXT COLLATE "C",
    agent            TEXT COLLATE "C",
    created_at       BIGINT NOT NULL,
    stale_at         BIGINT
);
CREATE INDEX clients_by_age ON clients (created_at, id);
CREATE INDEX clients_by_source ON clients (source);

CREATE TABLE browser_sessions (
    id               TEXT COLLATE "C" PRIMARY KEY,
    cookie           BYTEA NOT NULL UNIQUE,
    user_id          TEXT COLLATE "C" NOT NULL,
    tenant           TEXT COLLATE "C" NOT NULL,
    methods          TEXT COLLATE "C" NOT NULL,
    authenticated_at BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    ended_at         BIGINT,
    connection       TEXT COLLATE "C",
    provider_subject TEXT COLLATE "C",
    provider_session TEXT COLLATE "C",
    provider_until   BIGINT
);
CREATE INDEX browser_sessions_by_user ON browser_sessions (user_id);
CREATE INDEX browser_sessions_by_tenant ON browser_sessions (tenant, authenticated_at DESC, id);
CREATE INDEX browser_sessions_by_end ON browser_sessions (expires_at);
CREATE INDEX browser_sessions_by_provider ON browser_sessions (connection, provider_subject)
    WHERE connection IS NOT NULL;

CREATE TABLE consents (
    user_id      TEXT COLLATE "C" NOT NULL,
    client       TEXT COLLATE "C" NOT NULL,
    resource     TEXT COLLATE "C" NOT NULL,
    scopes       TEXT COLLATE "C" NOT NULL,
    redirect_uri TEXT COLLATE "C" NOT NULL,
    given_at     BIGINT NOT NULL,
    PRIMARY KEY (user_id, client, resource)
);

CREATE TABLE parked (
    handle     BYTEA PRIMARY KEY,
    kind       TEXT COLLATE "C" NOT NULL,
    sealed     BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX parked_by_end ON parked (expires_at);

CREATE TABLE codes (
    code             BYTEA PRIMARY KEY,
    grant_id         TEXT COLLATE "C" NOT NULL,
    tenant           TEXT COLLATE "C" NOT NULL,
    user_id          TEXT COLLATE "C" NOT NULL,
    client           TEXT COLLATE "C" NOT NULL,
    redirect_uri     TEXT COLLATE "C" NOT NULL,
    code_challenge   TEXT COLLATE "C" NOT NULL,
    resource         TEXT COLLATE "C" NOT NULL,
    scopes           TEXT COLLATE "C" NOT NULL,
    session_id       TEXT COLLATE "C" NOT NULL,
    nonce            TEXT COLLATE "C",
    authenticated_at BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    consumed_at      BIGINT,
    replayed_at      BIGINT
);
CREATE INDEX codes_by_grant ON codes (grant_id);
CREATE INDEX codes_by_end ON codes (expires_at);
-- A revocation looks only for codes that still wait, which are few at any time.
CREATE INDEX codes_waiting_by_user ON codes (user_id) WHERE consumed_at IS NULL;
CREATE INDEX codes_waiting_by_session ON codes (session_id) WHERE consumed_at IS NULL;
CREATE INDEX codes_waiting_by_client ON codes (client) WHERE consumed_at IS NULL;
CREATE INDEX codes_waiting_by_tenant ON codes (tenant) WHERE consumed_at IS NULL;

CREATE TABLE grants (
    id               TEXT COLLATE "C" PRIMARY KEY,
    tenant           TEXT COLLATE "C" NOT NULL,
    subject_kind     TEXT COLLATE "C" NOT NULL,
    subject_id       TEXT COLLATE "C" NOT NULL,
    client           TEXT COLLATE "C" NOT NULL,
    resource         TEXT COLLATE "C" NOT NULL,
    scopes           TEXT COLLATE "C" NOT NULL,
    session_id       TEXT COLLATE "C" NOT NULL,
    authenticated_at BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    revoked_at       BIGINT
);
CREATE INDEX grants_by_subject ON grants (subject_kind, subject_id, tenant);
CREATE INDEX grants_by_session ON grants (session_id);
CREATE INDEX grants_by_client ON grants (client, created_at);
CREATE INDEX grants_by_tenant ON grants (tenant, authenticated_at);
CREATE INDEX grants_by_end ON grants (expires_at);

CREATE TABLE refresh_tokens (
    token           BYTEA PRIMARY KEY,
    grant_id        TEXT COLLATE "C" NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    idle_expires_at BIGINT NOT NULL,
    spent_at        BIGINT,
    successor       BYTEA
);
CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (grant_id);
-- A family has at most one living token, whatever the code above this does.
CREATE UNIQUE INDEX refresh_tokens_alive ON refresh_tokens (grant_id) WHERE spent_at IS NULL;

CREATE TABLE revocations (
    epoch BIGINT PRIMARY KEY,
    kind  TEXT COLLATE "C" NOT NULL,
    id    TEXT COLLATE "C" NOT NULL,
    at    BIGINT NOT NULL
);
CREATE INDEX revocations_by_time ON revocations (at);

-- Whether somebody was revoked is asked whenever a session or a grant is stored or read.
CREATE INDEX revocations_by_subject ON revocations (kind, id, at);

-- A grant and the revocations that cover it may be stored at the same moment by two nodes, neither of
-- which sees what the other has not committed; and a revocation of very many marks only some at once. So a
-- grant is read through this view only: what the log covers is dead, whether its own row says so yet or not. It lists its columns: make it anew when the
-- table gets another.
CREATE VIEW standing_grants AS
SELECT g.id, g.tenant, g.subject_kind, g.subject_id, g.client, g.resource, g.scopes, g.session_id,
       g.authenticated_at, g.created_at, g.expires_at,
       coalesce(g.revoked_at,
           (SELECT min(r.at) FROM revocations r
            WHERE r.kind = 'grant' AND r.id = g.id AND r.at >= g.authenticated_at
               OR r.kind = 'tenant' AND r.id = g.tenant AND r.at >= g.authenticated_at
               OR r.kind = 'session' AND r.id = g.session_id AND r.at >= g.authenticated_at
               OR r.kind = 'user' AND g.subject_kind = 'human' AND r.id = g.subject_id
                  AND r.at >= g.authenticated_at
               OR r.kind = 'agent' AND g.subject_kind = 'agent' AND r.id = g.subject_id
                  AND r.at >= g.created_at
               OR r.kind = 'client' AND r.id = g.client AND r.at >= g.created_at)) AS revoked_at
FROM grants g;

-- The same for browser sessions.
CREATE VIEW standing_sessions AS
SELECT s.id, s.cookie, s.user_id, s.tenant, s.methods, s.authenticated_at, s.expires_at,
       s.connection, s.provider_subject, s.provider_session, s.provider_until,
       coalesce(s.ended_at,
           (SELECT min(r.at) FROM revocations r
            WHERE r.at >= s.authenticated_at
              AND (r.kind = 'session' AND r.id = s.id
                   OR r.kind = 'user' AND r.id = s.user_id
                   OR r.kind = 'tenant' AND r.id = s.tenant))) AS ended_at
FROM browser_sessions s;

CREATE TABLE signing_keys (
    id              TEXT COLLATE "C" PRIMARY KEY,
    algorithm       TEXT COLLATE "C" NOT NULL,
    sealed          BYTEA NOT NULL,
    created_at      BIGINT NOT NULL,
    signs_from      BIGINT NOT NULL,
    signs_until     BIGINT NOT NULL,
    published_until BIGINT NOT NULL
);

-- '' stands for an absent tenant or person: NULLs would never be equal, and two keys could exist.
CREATE TABLE data_keys (
    id     TEXT COLLATE "C" PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    UNIQUE (tenant, person)
);

-- A name may be a URI of any length, longer than an index bears; its digest stands for it there.
CREATE TABLE definitions (
    upstream      TEXT COLLATE "C" NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL,
    name_sha256   BYTEA NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    sha256        BYTEA NOT NULL,
    raw           TEXT COLLATE "C" NOT NULL,
    first_seen_at BIGINT NOT NULL,
    pinned_at     BIGINT NOT NULL,
    PRIMARY KEY (upstream, kind, name_sha256)
);
-- Whoever pins a listing waits at its row here for whoever pins the same one.
CREATE TABLE pin_turns (
    upstream TEXT COLLATE "C" NOT NULL,
    kind     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (upstream, kind)
);

-- The register of assessed upstreams. One numbering for both tables, so that the history has one order.
-- Nothing in it changes or goes: the triggers hold that against everybody who writes SQL.
CREATE TABLE assessments (
    number         BIGINT PRIMARY KEY,
    upstream       TEXT COLLATE "C" NOT NULL,
    assessed_at    BIGINT NOT NULL,
    recorded_at    BIGINT NOT NULL,
    origin         TEXT COLLATE "C" NOT NULL,
    target         TEXT COLLATE "C" NOT NULL,
    target_differs TEXT COLLATE "C",
    total          BIGINT,
    low            BIGINT NOT NULL,
    high           BIGINT NOT NULL,
    band           TEXT COLLATE "C",
    definitions    BYTEA,
    counts         BOOLEAN NOT NULL,
    document       TEXT COLLATE "C" NOT NULL
);
CREATE INDEX assessments_by_upstream ON assessments (upstream, number);

CREATE TABLE admissions (
    number      BIGINT PRIMARY KEY,
    upstream    TEXT COLLATE "C" NOT NULL,
    decided     TEXT COLLATE "C" NOT NULL,
    decided_by  TEXT COLLATE "C" NOT NULL,
    reason      TEXT COLLATE "C" NOT NULL,
    owner       TEXT COLLATE "C",
    until       BIGINT,
    at          BIGINT NOT NULL,
    definitions BYTEA NOT NULL
);
CREATE INDEX admissions_by_upstream ON admissions (upstream, number);

CREATE FUNCTION register_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the register only grows';
END
$$;
CREATE TRIGGER assessments_stand BEFORE UPDATE OR DELETE OR TRUNCATE ON assessments
    FOR EACH STATEMENT EXECUTE FUNCTION register_only_grows();
CREATE TRIGGER admissions_stand BEFORE UPDATE OR DELETE OR TRUNCATE ON admissions
    FOR EACH STATEMENT EXECUTE FUNCTION register_only_grows();

-- Tenants' identity providers, who is whom there, and what their provisioning systems write.
CREATE TABLE provider_tokens (
    session_id TEXT COLLATE "C" PRIMARY KEY REFERENCES browser_sessions (id) ON DELETE CASCADE,
    sealed     BYTEA NOT NULL,
    sha256     BYTEA NOT NULL,
    asked_at   BIGINT NOT NULL
);

CREATE TABLE connections (
    id         TEXT COLLATE "C" PRIMARY KEY,
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
    name       TEXT COLLATE "C" NOT NULL,
    protocol   TEXT COLLATE "C" NOT NULL,
    sealed     BYTEA NOT NULL,
    enabled    BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE (tenant, name)
);

CREATE TABLE fetched (
    connection TEXT COLLATE "C" NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    name       TEXT COLLATE "C" NOT NULL,
    document   TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (connection, name)
);

CREATE TABLE domains (
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
    name       TEXT COLLATE "C" NOT NULL,
    challenge  TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" REFERENCES connections (id) ON DELETE SET NULL,
    claimed_at BIGINT NOT NULL,
    proof      TEXT COLLATE "C",
    proved_at  BIGINT,
    PRIMARY KEY (tenant, name)
);
-- Many may claim a domain, one has proved it.
CREATE UNIQUE INDEX domains_proved ON domains (name) WHERE proved_at IS NOT NULL;

CREATE TABLE links (
    connection   TEXT COLLATE "C" NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    subject      TEXT COLLATE "C" NOT NULL,
    tenant       TEXT COLLATE "C" NOT NULL,
    user_id      TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    linked_at    BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    sealed       BYTEA NOT NULL,
    PRIMARY KEY (connection, subject)
);
CREATE INDEX links_by_user ON links (user_id);

CREATE TABLE used (
    purpose   TEXT COLLATE "C" NOT NULL,
    id        BYTEA NOT NULL,
    forget_at BIGINT NOT NULL,
    PRIMARY KEY (purpose, id)
);
CREATE INDEX used_by_end ON used (forget_at);

CREATE TABLE scim_clients (
    id         TEXT COLLATE "C" PRIMARY KEY,
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
    name       TEXT COLLATE "C" NOT NULL,
    token      BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX scim_clients_by_tenant ON scim_clients (tenant, created_at);

-- `folded` is the name as it is compared.
CREATE TABLE scim_resources (
    id          TEXT COLLATE "C" PRIMARY KEY,
    tenant      TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
    kind        TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    folded      TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C",
    document    TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    UNIQUE (tenant, kind, folded)
);
CREATE INDEX scim_resources_in_order ON scim_resources (tenant, kind, id);
-- Hashed, since it may be of any length.
CREATE INDEX scim_resources_by_external_id ON scim_resources USING hash (external_id);

CREATE TABLE scim_members (
    group_id TEXT COLLATE "C" NOT NULL REFERENCES scim_resources (id) ON DELETE CASCADE,
    user_id  TEXT COLLATE "C" NOT NULL REFERENCES scim_resources (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX scim_members_by_user ON scim_members (user_id);

CREATE TABLE streams (
    id            TEXT COLLATE "C" PRIMARY KEY,
    tenant        TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
    connection    TEXT COLLATE "C" REFERENCES connections (id) ON DELETE CASCADE,
    delivery      TEXT COLLATE "C" NOT NULL,
    sealed        BYTEA NOT NULL,
    token         BYTEA,
    created_at    BIGINT NOT NULL,
    verified_at   BIGINT,
    last_event_at BIGINT,
    last_fault    TEXT COLLATE "C"
);
CREATE INDEX streams_by_tenant ON streams (tenant, created_at);

-- Numbered by a counter, in the order of commits: what is read up to a number has none before it to come.
CREATE TABLE notices (
    number BIGINT PRIMARY KEY,
    event  TEXT COLLATE "C" NOT NULL
);
