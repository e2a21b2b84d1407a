-- Tokens of the admin API. An operator's is of no tenant, and says so by its role and not by an absence alone.
CREATE TABLE api_tokens (
    id         TEXT COLLATE "C" PRIMARY KEY,
    role       TEXT COLLATE "C" NOT NULL,
    tenant     TEXT COLLATE "C" REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT COLLATE "C" NOT NULL,
    token      BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    CHECK ((role = 'operator' AND tenant IS NULL) OR (role = 'administrator' AND tenant IS NOT NULL))
);
CREATE INDEX api_tokens_by_tenant ON api_tokens (tenant, created_at);
