-- What happened to findings, by whom and when. Rows are added and never changed.
CREATE TABLE afterimage_history (
    number  INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    finding TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    event   TEXT    NOT NULL -- as schemas/finding.json describes it
);

CREATE INDEX afterimage_history_by_finding ON afterimage_history (finding, number);

CREATE TRIGGER afterimage_history_stays BEFORE UPDATE ON afterimage_history
BEGIN SELECT RAISE(ABORT, 'history is only added to'); END;

-- Rules by which findings are set aside as they open.
CREATE TABLE afterimage_ignore_rule (
    id         TEXT    NOT NULL PRIMARY KEY,
    pipeline   TEXT    NOT NULL,
    until      INTEGER,            -- null: until it is removed
    removed_at INTEGER,
    removed_by TEXT,
    rule       TEXT    NOT NULL
);

ALTER TABLE afterimage_finding ADD COLUMN key_text TEXT;         -- the key as JSON, where it is about one
ALTER TABLE afterimage_finding ADD COLUMN ignored_until INTEGER; -- null: for good, or not at all
ALTER TABLE afterimage_finding ADD COLUMN ignored_rule TEXT;

CREATE INDEX afterimage_finding_ignored ON afterimage_finding (key_text) WHERE state = 'ignored';
