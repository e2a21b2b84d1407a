-- People's own accounts at upstreams, linked on the gate's page. `sealed` holds their tokens.
CREATE TABLE linked_accounts (
    tenant         TEXT NOT NULL,
    user_id        TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    upstream       TEXT NOT NULL,
    version        INTEGER NOT NULL,
    sealed         BLOB NOT NULL,
    linked_at      INTEGER NOT NULL,
    renewed_at     INTEGER NOT NULL,
    refresh_until  INTEGER NOT NULL,
    PRIMARY KEY (user_id, upstream)
) STRICT;
CREATE INDEX linked_accounts_by_tenant ON linked_accounts (tenant);
