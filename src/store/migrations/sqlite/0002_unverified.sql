-- Ranges of the tap that end without a verdict: offsets from_offset up to, and without, to_offset.
CREATE TABLE afterimage_unverified (
    pipeline    TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    from_offset INTEGER NOT NULL,
    to_offset   INTEGER NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    PRIMARY KEY (pipeline, topic, partition, reason, from_offset)
);
