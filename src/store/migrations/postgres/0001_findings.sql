CREATE TABLE afterimage_finding (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    pipeline   TEXT             NOT NULL,
    table_name TEXT,
    kind       TEXT             NOT NULL,
    severity   BIGINT           NOT NULL, -- 0 info, 1 warning, 2 critical
    state      TEXT             NOT NULL,
    about_row  BIGINT           NOT NULL, -- 1: about one key, 0: about a record, a table or a scope
    first_seen BIGINT           NOT NULL, -- milliseconds since the Unix epoch, as are all times here
    last_seen  BIGINT           NOT NULL,
    -- The finding, as schemas/finding.json describes it. Text and not json: json refuses the escape of NUL.
    document   TEXT             NOT NULL,
    extra      BYTEA            NOT NULL
);

CREATE INDEX afterimage_finding_by_age ON afterimage_finding (first_seen, id);
CREATE INDEX afterimage_finding_by_state ON afterimage_finding (pipeline, state, id);

CREATE TABLE afterimage_watermark (
    pipeline  TEXT   NOT NULL,
    topic     TEXT   NOT NULL,
    partition BIGINT NOT NULL,
    verified  BIGINT NOT NULL, -- the lowest offset without a verdict
    applied   BIGINT,          -- the offset up to which the applier provably applied
    at        BIGINT NOT NULL,
    PRIMARY KEY (pipeline, topic, partition)
);
