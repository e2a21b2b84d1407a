-- Tokens of the admin API. An operator's is of no tenant, and says so by its role and not by an absence alone.
CREATE TABLE api_tokens (
    id         TEXT PRIMARY KEY NOT NULL,
    role       TEXT NOT NULL,
    tenant     TEXT REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    token      BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    CHECK ((role = 'operator' AND tenant IS NULL) OR (role = 'administrator' AND tenant IS NOT NULL))
) STRICT;
CREATE INDEX api_tokens_by_tenant ON api_tokens (tenant, created_at);
