-- Agents' bounds and credentials, what they use, and who acts for whom.
ALTER TABLE agents ADD COLUMN bounds TEXT NOT NULL DEFAULT '{}';
ALTER TABLE agents ADD COLUMN last_used_at INTEGER;
CREATE UNIQUE INDEX agents_by_client ON agents (client);
CREATE INDEX agents_by_owner ON agents (owner) WHERE owner IS NOT NULL;

CREATE INDEX clients_by_agent ON clients (agent) WHERE agent IS NOT NULL;
CREATE INDEX consents_by_client ON consents (client);

-- `proof` is JSON: what proves, or the digest of it.
CREATE TABLE agent_credentials (
    id           TEXT PRIMARY KEY NOT NULL,
    agent        TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    tenant       TEXT NOT NULL,
    method       TEXT NOT NULL,
    proof        TEXT NOT NULL,
    issuer       TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX agent_credentials_by_agent ON agent_credentials (agent, created_at, id);
CREATE INDEX agent_credentials_by_issuer ON agent_credentials (issuer, id)
    WHERE issuer IS NOT NULL AND method = 'workload' AND revoked_at IS NULL;

CREATE TABLE agent_scope_uses (
    agent        TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    scope        TEXT NOT NULL,
    last_used_at INTEGER NOT NULL,
    PRIMARY KEY (agent, scope)
) STRICT, WITHOUT ROWID;

-- The lists in their order; the tables below are the same again, to be searched.
ALTER TABLE grants ADD COLUMN actors TEXT NOT NULL DEFAULT '[]';
ALTER TABLE grants ADD COLUMN ancestors TEXT NOT NULL DEFAULT '[]';
ALTER TABLE grants ADD COLUMN bound_to TEXT;
ALTER TABLE codes ADD COLUMN dpop_jkt TEXT;

CREATE TABLE grant_actors (
    agent    TEXT NOT NULL,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    PRIMARY KEY (agent, grant_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_actors_by_grant ON grant_actors (grant_id);

CREATE TABLE grant_ancestors (
    ancestor TEXT NOT NULL,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    PRIMARY KEY (ancestor, grant_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_ancestors_by_grant ON grant_ancestors (grant_id);
