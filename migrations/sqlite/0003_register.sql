-- The register of assessed upstreams. One numbering for both tables, so that the history has one order.
-- Nothing in it changes or goes: the triggers hold that against everybody who writes SQL.
INSERT INTO counters (name, value) VALUES ('register_number', 0), ('register_logged', 0);

CREATE TABLE assessments (
    number         INTEGER PRIMARY KEY NOT NULL,
    upstream       TEXT NOT NULL,
    assessed_at    INTEGER NOT NULL,
    recorded_at    INTEGER NOT NULL,
    origin         TEXT NOT NULL,
    target         TEXT NOT NULL,
    target_differs TEXT,
    total          INTEGER,
    low            INTEGER NOT NULL,
    high           INTEGER NOT NULL,
    band           TEXT,
    definitions    BLOB,
    counts         INTEGER NOT NULL,
    document       TEXT NOT NULL
) STRICT;
CREATE INDEX assessments_by_upstream ON assessments (upstream, number);

CREATE TABLE admissions (
    number      INTEGER PRIMARY KEY NOT NULL,
    upstream    TEXT NOT NULL,
    decided     TEXT NOT NULL,
    decided_by  TEXT NOT NULL,
    reason      TEXT NOT NULL,
    owner       TEXT,
    until       INTEGER,
    at          INTEGER NOT NULL,
    definitions BLOB NOT NULL
) STRICT;
CREATE INDEX admissions_by_upstream ON admissions (upstream, number);

CREATE TRIGGER assessments_stand BEFORE UPDATE ON assessments
    BEGIN SELECT RAISE(ABORT, 'the register only grows'); END;
CREATE TRIGGER assessments_stay BEFORE DELETE ON assessments
    BEGIN SELECT RAISE(ABORT, 'the register only grows'); END;
CREATE TRIGGER admissions_stand BEFORE UPDATE ON admissions
    BEGIN SELECT RAISE(ABORT, 'the register only grows'); END;
CREATE TRIGGER admissions_stay BEFORE DELETE ON admissions
    BEGIN SELECT RAISE(ABORT, 'the register only grows'); END;
