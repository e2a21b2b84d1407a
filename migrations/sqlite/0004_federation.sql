-- Tenants' own choices, their identity providers, who is whom there, and what their provisioning systems write.
ALTER TABLE tenants ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';

ALTER TABLE people ADD COLUMN origin TEXT NOT NULL DEFAULT 'local';
ALTER TABLE people ADD COLUMN groups TEXT NOT NULL DEFAULT '[]';

ALTER TABLE browser_sessions ADD COLUMN connection TEXT;
ALTER TABLE browser_sessions ADD COLUMN provider_subject TEXT;
ALTER TABLE browser_sessions ADD COLUMN provider_session TEXT;
ALTER TABLE browser_sessions ADD COLUMN provider_until INTEGER;
CREATE INDEX browser_sessions_by_provider ON browser_sessions (connection, provider_subject)
    WHERE connection IS NOT NULL;

CREATE TABLE provider_tokens (
    session_id TEXT PRIMARY KEY NOT NULL REFERENCES browser_sessions (id) ON DELETE CASCADE,
    sealed     BLOB NOT NULL,
    sha256     BLOB NOT NULL,
    asked_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE connections (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL REFERENCES tenants (id),
    name       TEXT NOT NULL,
    protocol   TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    enabled    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    UNIQUE (tenant, name)
) STRICT;

CREATE TABLE fetched (
    connection TEXT NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    document   TEXT NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (connection, name)
) STRICT;

CREATE TABLE domains (
    tenant     TEXT NOT NULL REFERENCES tenants (id),
    name       TEXT NOT NULL,
    challenge  TEXT NOT NULL,
    connection TEXT REFERENCES connections (id) ON DELETE SET NULL,
    claimed_at INTEGER NOT NULL,
    proof      TEXT,
    proved_at  INTEGER,
    PRIMARY KEY (tenant, name)
) STRICT;
-- Many may claim a domain, one has proved it.
CREATE UNIQUE INDEX domains_proved ON domains (name) WHERE proved_at IS NOT NULL;

CREATE TABLE links (
    connection   TEXT NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    subject      TEXT NOT NULL,
    tenant       TEXT NOT NULL,
    user_id      TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    linked_at    INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    sealed       BLOB NOT NULL,
    PRIMARY KEY (connection, subject)
) STRICT;
CREATE INDEX links_by_user ON links (user_id);

CREATE TABLE used (
    purpose   TEXT NOT NULL,
    id        BLOB NOT NULL,
    forget_at INTEGER NOT NULL,
    PRIMARY KEY (purpose, id)
) STRICT;
CREATE INDEX used_by_end ON used (forget_at);

CREATE TABLE scim_clients (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL REFERENCES tenants (id),
    name       TEXT NOT NULL,
    token      BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE INDEX scim_clients_by_tenant ON scim_clients (tenant, created_at);

-- `folded` is the name as it is compared.
CREATE TABLE scim_resources (
    id          TEXT PRIMARY KEY NOT NULL,
    tenant      TEXT NOT NULL REFERENCES tenants (id),
    kind        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    name        TEXT NOT NULL,
    folded      TEXT NOT NULL,
    external_id TEXT,
    document    TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    UNIQUE (tenant, kind, folded)
) STRICT;
CREATE INDEX scim_resources_in_order ON scim_resources (tenant, kind, id);
CREATE INDEX scim_resources_by_external_id ON scim_resources (tenant, kind, external_id);

CREATE TABLE scim_members (
    group_id TEXT NOT NULL REFERENCES scim_resources (id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL REFERENCES scim_resources (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
) STRICT;
CREATE INDEX scim_members_by_user ON scim_members (user_id);

CREATE TABLE streams (
    id            TEXT PRIMARY KEY NOT NULL,
    tenant        TEXT NOT NULL REFERENCES tenants (id),
    connection    TEXT REFERENCES connections (id) ON DELETE CASCADE,
    delivery      TEXT NOT NULL,
    sealed        BLOB NOT NULL,
    token         BLOB,
    created_at    INTEGER NOT NULL,
    verified_at   INTEGER,
    last_event_at INTEGER,
    last_fault    TEXT
) STRICT;
CREATE INDEX streams_by_tenant ON streams (tenant, created_at);

CREATE TABLE notices (
    number INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    event  TEXT NOT NULL
) STRICT;
