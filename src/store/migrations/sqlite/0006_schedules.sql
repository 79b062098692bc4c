-- Runs by the clock: the time whose run is done, up to which time runs did what they are for, who does the one that is due and
-- until when that is believed, and how the last one ended. Times are milliseconds since the epoch.
CREATE TABLE afterimage_schedule (
    pipeline   TEXT NOT NULL,
    name       TEXT NOT NULL,
    done       INTEGER NOT NULL,
    covered    INTEGER NOT NULL,
    holder     TEXT,
    held_until INTEGER,
    outcome    TEXT,
    detail     TEXT,
    ended      INTEGER,
    PRIMARY KEY (pipeline, name)
);
