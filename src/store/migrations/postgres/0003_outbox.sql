-- What channels of alerts have not told yet, by group. Written with the findings, in one transaction.
CREATE TABLE afterimage_outbox (
    channel      TEXT    NOT NULL,
    pipeline     TEXT    NOT NULL,
    table_name   TEXT    NOT NULL, -- empty: no table is concerned
    kind         TEXT    NOT NULL, -- empty: what lies past the bound on groups
    opened       BIGINT  NOT NULL, -- findings opened and not told of
    closed       BIGINT  NOT NULL, -- findings over and not told of
    worst        BIGINT  NOT NULL, -- severity of what is not told; -1: there is none
    peak         BIGINT  NOT NULL, -- severity since the group was resolved last
    samples      TEXT    NOT NULL, -- ids of findings, between commas
    since        BIGINT,
    told         BIGINT  NOT NULL, -- messages that were taken
    firing       BIGINT  NOT NULL, -- 1: the last of them said that something is wrong
    told_at      BIGINT  NOT NULL,
    leased_until BIGINT  NOT NULL, -- somebody sends a message until then
    PRIMARY KEY (channel, pipeline, table_name, kind)
);
