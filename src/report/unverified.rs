//! Ranges of the tap that ended without a verdict: what the verified watermark passed over.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::summary::Unverified;
use super::wire;
use crate::model::Wall;

/// A range of one partition in which keys ended without a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnverifiedRange {
    /// Pipeline.
    pub pipeline: String,
    /// Where, and why.
    #[serde(flatten)]
    pub range: Unverified,
    /// When a part of it was given up for the first time.
    #[serde(with = "wire")]
    pub first_seen: Wall,
    /// When a part of it was given up for the last time.
    #[serde(with = "wire")]
    pub last_seen: Wall,
}

/// How ranges are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeFormat {
    /// A line each, for people.
    Lines,
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// Prints ranges.
///
/// # Errors
/// Those of `out`.
pub fn print(format: RangeFormat, ranges: &[UnverifiedRange], out: &mut dyn Write) -> io::Result<()> {
    match format {
        RangeFormat::Lines if ranges.is_empty() => writeln!(out, "every change that was passed has its verdict"),
        RangeFormat::Lines => ranges.iter().try_for_each(|range| {
            let (pipeline, since) = (&range.pipeline, range.first_seen.rfc3339());
            writeln!(out, "{pipeline}: {} (since {since})", range.range.sentence())
        }),
        RangeFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, ranges)?;
            writeln!(out)
        }
        RangeFormat::Ndjson => ranges.iter().try_for_each(|range| {
            serde_json::to_writer(&mut *out, range)?;
            writeln!(out)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: RangeFormat, ranges: &[UnverifiedRange]) -> String {
        let mut out = Vec::new();
        print(format, ranges, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ranges_are_lines_or_json() {
        let range = UnverifiedRange {
            pipeline: "orders".to_owned(),
            range: Unverified {
                topic: "orders".to_owned(),
                partition: 3,
                from: 10,
                to: 20,
                reason: "gone from the log".to_owned(),
            },
            first_seen: Wall(1_795_341_600_000),
            last_seen: Wall(1_795_341_601_000),
        };
        let ranges = [range];
        insta::assert_snapshot!(printed(RangeFormat::Lines, &ranges), @"orders: orders/3 from 10 to 20: gone from the log (since 2026-11-22T10:00:00.000Z)");
        insta::assert_snapshot!(printed(RangeFormat::Ndjson, &ranges), @r#"{"pipeline":"orders","topic":"orders","partition":3,"from":10,"to":20,"reason":"gone from the log","first_seen":"2026-11-22T10:00:00.000Z","last_seen":"2026-11-22T10:00:01.000Z"}"#);
        let read: Vec<UnverifiedRange> = serde_json::from_str(&printed(RangeFormat::Json, &ranges)).unwrap();
        assert_eq!(read, ranges);
        assert_eq!(printed(RangeFormat::Lines, &[]), "every change that was passed has its verdict\n");
    }
}
