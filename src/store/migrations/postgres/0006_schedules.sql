-- Runs by the clock: the time whose run is done, up to which time runs did what they are for, who does the one that is due and
-- until when that is believed, and how the last one ended. Times are milliseconds since the epoch.
CREATE TABLE afterimage_schedule (
    pipeline   TEXT NOT NULL,
    name       TEXT NOT NULL,
    done       BIGINT NOT NULL,
    covered    BIGINT NOT NULL,
    holder     TEXT,
    held_until BIGINT,
    outcome    TEXT,
    detail     TEXT,
    ended      BIGINT,
    PRIMARY KEY (pipeline, name)
);
