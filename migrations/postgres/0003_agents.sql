-- Agents' bounds and credentials, what they use, and who acts for whom.
ALTER TABLE agents ADD COLUMN bounds TEXT COLLATE "C" NOT NULL DEFAULT '{}';
ALTER TABLE agents ADD COLUMN last_used_at BIGINT;
CREATE UNIQUE INDEX agents_by_client ON agents (client);
CREATE INDEX agents_by_owner ON agents (owner) WHERE owner IS NOT NULL;

CREATE INDEX clients_by_agent ON clients (agent) WHERE agent IS NOT NULL;
CREATE INDEX consents_by_client ON consents (client);

-- `proof` is JSON: what proves, or the digest of it.
CREATE TABLE agent_credentials (
    id           TEXT COLLATE "C" PRIMARY KEY,
    agent        TEXT COLLATE "C" NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    tenant       TEXT COLLATE "C" NOT NULL,
    method       TEXT COLLATE "C" NOT NULL,
    proof        TEXT COLLATE "C" NOT NULL,
    issuer       TEXT COLLATE "C",
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    revoked_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX agent_credentials_by_agent ON agent_credentials (agent, created_at, id);
-- Hashed, since it may be of any length.
CREATE INDEX agent_credentials_by_issuer ON agent_credentials USING hash (issuer)
    WHERE issuer IS NOT NULL AND method = 'workload' AND revoked_at IS NULL;

CREATE TABLE agent_scope_uses (
    agent        TEXT COLLATE "C" NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    scope        TEXT COLLATE "C" NOT NULL,
    last_used_at BIGINT NOT NULL,
    PRIMARY KEY (agent, scope)
);

ALTER TABLE codes ADD COLUMN dpop_jkt TEXT COLLATE "C";
ALTER TABLE grants ADD COLUMN actors TEXT[] COLLATE "C" NOT NULL DEFAULT '{}';
ALTER TABLE grants ADD COLUMN ancestors TEXT[] COLLATE "C" NOT NULL DEFAULT '{}';
ALTER TABLE grants ADD COLUMN bound_to TEXT COLLATE "C";
-- Few grants are acted under by agents, and only those stand in these. Nothing waits in a list of its own to
-- be sorted in: a revocation would have to read it through.
CREATE INDEX grants_by_actor ON grants USING gin (actors) WITH (fastupdate = off) WHERE actors <> '{}';
CREATE INDEX grants_by_ancestor ON grants USING gin (ancestors) WITH (fastupdate = off) WHERE ancestors <> '{}';

-- Like the one that it takes the place of. An agent of the chain ends a grant as its subject does; an ancestor
-- ends it by itself, and by its client, which need not be this grant's (subject, session and tenant are).
CREATE OR REPLACE VIEW standing_grants AS
SELECT g.id, g.tenant, g.subject_kind, g.subject_id, g.client, g.resource, g.scopes, g.session_id,
       g.authenticated_at, g.created_at, g.expires_at,
       coalesce(g.revoked_at,
           (SELECT min(r.at) FROM revocations r
            WHERE r.kind = 'grant' AND r.id = g.id AND r.at >= g.authenticated_at
               OR r.kind = 'grant' AND r.id = ANY (g.ancestors)
               OR r.kind = 'tenant' AND r.id = g.tenant AND r.at >= g.authenticated_at
               OR r.kind = 'session' AND r.id = g.session_id AND r.at >= g.authenticated_at
               OR r.kind = 'user' AND g.subject_kind = 'human' AND r.id = g.subject_id
                  AND r.at >= g.authenticated_at
               OR r.kind = 'agent' AND g.subject_kind = 'agent' AND r.id = g.subject_id
                  AND r.at >= g.created_at
               OR r.kind = 'agent' AND r.id = ANY (g.actors) AND r.at >= g.created_at
               OR r.kind = 'client' AND r.id = g.client AND r.at >= g.created_at),
           CASE WHEN g.ancestors <> '{}' THEN
               (SELECT min(p.revoked_at) FROM grants p WHERE p.id = ANY (g.ancestors)) END,
           CASE WHEN g.ancestors <> '{}' THEN
               (SELECT min(r.at) FROM grants p JOIN revocations r ON r.kind = 'client' AND r.id = p.client
                WHERE p.id = ANY (g.ancestors) AND r.at >= p.created_at) END) AS revoked_at,
       g.actors, g.ancestors, g.bound_to
FROM grants g;
