-- Whether somebody was revoked is asked whenever a session or a grant is stored.
CREATE INDEX revocations_by_subject ON revocations (kind, id);
