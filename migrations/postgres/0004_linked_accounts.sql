-- People's own accounts at upstreams, linked on the gate's page. `sealed` holds their tokens.
CREATE TABLE linked_accounts (
    tenant        TEXT COLLATE "C" NOT NULL,
    user_id       TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    upstream      TEXT COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    sealed        BYTEA NOT NULL,
    linked_at     BIGINT NOT NULL,
    renewed_at    BIGINT NOT NULL,
    refresh_until BIGINT NOT NULL,
    PRIMARY KEY (user_id, upstream)
);
CREATE INDEX linked_accounts_by_tenant ON linked_accounts (tenant);
