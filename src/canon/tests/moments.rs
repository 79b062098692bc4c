//! Times, with and without a zone.

use super::*;

#[test]
fn a_time_without_its_zone_in_plain_json_may_be_of_any() {
    let noon = 1_709_210_096;
    check(
        Dialect::Mysql,
        "timestamp",
        Typing::Bare,
        &[
            (Cell::text("2024-02-29 12:34:56"), Cell::Instant(noon, 0), Alike),
            (Cell::text("2024-02-29 05:34:56"), Cell::Instant(noon, 0), Open),
            (Cell::text("2024-02-29 12:34:57"), Cell::Instant(noon, 0), Apart),
            (Cell::text("2024-02-29T05:34:56Z"), Cell::Instant(noon, 0), Apart),
        ],
    );
}

#[test]
fn times_compare_as_instants_or_on_the_wall() {
    let noon = 1_709_210_096;
    check(
        Dialect::Postgres,
        "timestamp(3) without time zone",
        Typing::Declared,
        &[
            (Cell::Local(noon, 789_012_000), Cell::Local(noon, 789_000_000), Alike),
            (Cell::Local(noon, 789_500_000), Cell::Local(noon, 790_000_000), Alike),
            (Cell::Local(noon, 789_500_000), Cell::Local(noon, 789_000_000), Near),
            (Cell::Local(noon, 999_999_999), Cell::Local(noon + 1, 0), Alike),
            (Cell::Instant(noon, 0), Cell::Local(noon, 0), Alike),
            (Cell::Instant(noon, 0), Cell::Local(noon + 7_200, 0), Open),
            (Cell::Instant(noon, 0), Cell::Local(noon + 7_201, 0), Apart),
            (Cell::Local(noon, 0), Cell::Local(noon + 7_200, 0), Apart),
            (Cell::Infinity(1), Cell::Infinity(1), Alike),
            (Cell::Infinity(1), Cell::Infinity(-1), Apart),
        ],
    );
    check(
        Dialect::Postgres,
        "timestamp with time zone",
        Typing::Dms,
        &[
            (Cell::text("2024-02-29T12:34:56Z"), Cell::Instant(noon, 0), Alike),
            (Cell::text("2024-02-29 13:34:56+01"), Cell::Instant(noon, 0), Alike),
            (Cell::text("infinity"), Cell::Infinity(1), Alike),
            (Cell::text("2024-02-29T12:34:57Z"), Cell::Instant(noon, 0), Apart),
        ],
    );
    check(
        Dialect::Mysql,
        "datetime",
        Typing::Dms,
        &[
            (Cell::text("2024-02-29T12:34:56Z"), Cell::Local(noon, 0), Alike),
            (Cell::text("2024-02-29T12:34:56.5Z"), Cell::Local(noon + 1, 0), Alike),
            (Cell::text("2024-02-29T12:34:56.5Z"), Cell::Local(noon, 0), Near),
        ],
    );
    check(
        Dialect::Postgres,
        "time with time zone",
        Typing::Declared,
        &[
            (Cell::text("01:04:56+02"), Cell::text("23:04:56Z"), Alike),
            (Cell::Time(86_400_000_000_000), Cell::Time(86_400_000_000_000), Alike),
            (zoned_time("\"23:04:56Z\""), Cell::Time(83_096_000_000_000), Alike),
            (zoned_time("23:04:57Z"), Cell::Time(83_096_000_000_000), Apart),
        ],
    );
    check(
        Dialect::Sqlite,
        "datetime",
        Typing::Declared,
        &[
            (Cell::Local(noon, 0), Cell::text("2024-02-29 12:34:56"), Alike),
            (Cell::Local(noon, 0), Cell::Int(noon), Open),
        ],
    );
}
