CREATE TABLE afterimage_finding (
    id         TEXT    NOT NULL PRIMARY KEY,
    pipeline   TEXT    NOT NULL,
    table_name TEXT,
    kind       TEXT    NOT NULL,
    severity   INTEGER NOT NULL, -- 0 info, 1 warning, 2 critical
    state      TEXT    NOT NULL,
    about_row  INTEGER NOT NULL, -- 1: about one key, 0: about a record, a table or a scope
    first_seen INTEGER NOT NULL, -- milliseconds since the Unix epoch, as are all times here
    last_seen  INTEGER NOT NULL,
    document   TEXT    NOT NULL, -- the finding, as schemas/finding.json describes it
    extra      BLOB    NOT NULL
);

CREATE INDEX afterimage_finding_by_age ON afterimage_finding (first_seen, id);
CREATE INDEX afterimage_finding_by_state ON afterimage_finding (pipeline, state, id);

CREATE TABLE afterimage_watermark (
    pipeline  TEXT    NOT NULL,
    topic     TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    verified  INTEGER NOT NULL, -- the lowest offset without a verdict
    applied   INTEGER,          -- the offset up to which the applier provably applied
    at        INTEGER NOT NULL,
    PRIMARY KEY (pipeline, topic, partition)
);
