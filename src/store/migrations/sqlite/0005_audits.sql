-- Audits that were not judged to their end, and the keys of each that have their verdict, as the runtime writes them.
CREATE TABLE afterimage_audit (
    id      TEXT    NOT NULL PRIMARY KEY,
    input   TEXT    NOT NULL,
    started INTEGER NOT NULL
);
CREATE TABLE afterimage_audit_judged (
    audit  TEXT    NOT NULL,
    number INTEGER NOT NULL,
    keys   BLOB    NOT NULL,
    PRIMARY KEY (audit, number)
);
