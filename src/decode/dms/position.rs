//! `stream-position`: one text per source engine, its grammar undocumented, so only what was seen is read.

use crate::decode::debezium::binlog_order;

/// The position as one number that grows with the source's log, for the two forms that are known: PostgreSQL's
/// `00000002/7C007328.2.00000002/7C007328` (the first LSN) and MySQL's `mysql-bin.002171:36912271:…` (file and position).
pub(super) fn order(position: &str) -> Option<u64> {
    postgres(position).or_else(|| mysql(position))
}

fn postgres(position: &str) -> Option<u64> {
    let (lsn, _) = position.split_once('.')?;
    let (high, low) = lsn.split_once('/')?;
    let half = |hex: &str| u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() <= 8);
    Some(u64::from(half(high)?) << 32 | u64::from(half(low)?))
}

fn mysql(position: &str) -> Option<u64> {
    let mut parts = position.split(':');
    binlog_order(parts.next()?, parts.next()?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_forms() {
        for (position, expected) in [
            ("00000002/7C007328.2.00000002/7C007328", Some(0x2_7C00_7328)),
            (
                "mysql-bin-changelog.002171:36912271:0:36912333:9324410911751:mysql-bin-changelog.002171:36912209",
                Some(2171 << 40 | 36_912_271),
            ),
            ("0000000000000000000000000000000000000001", None),
            ("", None),
            ("/.", None),
            ("é/é.é", None),
        ] {
            assert_eq!(order(position), expected, "{position}");
        }
    }
}
