-- Audits that were not judged to their end, and the keys of each that have their verdict, as the runtime writes them.
CREATE TABLE afterimage_audit (
    id      TEXT    NOT NULL PRIMARY KEY,
    input   TEXT    NOT NULL,
    started BIGINT NOT NULL
);
CREATE TABLE afterimage_audit_judged (
    audit  TEXT    NOT NULL,
    number BIGINT NOT NULL,
    keys   BYTEA   NOT NULL,
    PRIMARY KEY (audit, number)
);
