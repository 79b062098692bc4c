-- Ranges of the tap that end without a verdict: offsets from_offset up to, and without, to_offset.
CREATE TABLE afterimage_unverified (
    pipeline    TEXT   NOT NULL,
    topic       TEXT   NOT NULL,
    partition   BIGINT NOT NULL,
    reason      TEXT   NOT NULL,
    from_offset BIGINT NOT NULL,
    to_offset   BIGINT NOT NULL,
    first_seen  BIGINT NOT NULL,
    last_seen   BIGINT NOT NULL,
    PRIMARY KEY (pipeline, topic, partition, reason, from_offset)
);
