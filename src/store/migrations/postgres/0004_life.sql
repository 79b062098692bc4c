-- What happened to findings, by whom and when. Rows are added and never changed.
CREATE TABLE afterimage_history (
    number  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    finding TEXT COLLATE "C" NOT NULL,
    at      BIGINT           NOT NULL,
    event   TEXT             NOT NULL -- as schemas/finding.json describes it
);

CREATE INDEX afterimage_history_by_finding ON afterimage_history (finding, number);

-- Rules by which findings are set aside as they open.
CREATE TABLE afterimage_ignore_rule (
    id         TEXT   NOT NULL PRIMARY KEY,
    pipeline   TEXT   NOT NULL,
    until      BIGINT,            -- null: until it is removed
    removed_at BIGINT,
    removed_by TEXT,
    rule       TEXT   NOT NULL
);

ALTER TABLE afterimage_finding ADD COLUMN key_text TEXT;        -- the key as JSON, where it is about one
ALTER TABLE afterimage_finding ADD COLUMN ignored_until BIGINT; -- null: for good, or not at all
ALTER TABLE afterimage_finding ADD COLUMN ignored_rule TEXT;

CREATE INDEX afterimage_finding_ignored ON afterimage_finding USING hash (key_text)
    WHERE state = 'ignored';
