//! Where a change stands in the log of its connector's source.

use std::fmt;

/// What a change says of the log it was read from. Places of one connector compare with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waymark {
    /// The connector, by a hash of its name.
    pub connector: u64,
    /// Where the change stands; `None` for rows that a snapshot read, which stand nowhere.
    pub place: Option<Place>,
}

/// A place in the order of commits. In one partition it falls where the connector reads its source again, and where the
/// source's log is not the one it was: restored, opened with RESETLOGS, or another server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Comparable within one log.
    pub order: u64,
    /// What the number is.
    pub form: Form,
    /// The server that made the change, where that is said.
    pub server: Server,
}

/// What the number of a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// PostgreSQL: the last LSN committed before the change.
    Lsn,
    /// MySQL, MariaDB: number of the binary log's file, and position in it in the low 40 bits.
    Binlog,
    /// Oracle: system change number of the commit.
    Scn,
    /// SQL Server: the first two parts of the commit's LSN, 32 bits each.
    CommitLsn,
}

/// The server that made a change, by a hash of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Server {
    /// Nothing says which.
    #[default]
    Unsaid,
    /// By its number.
    Numbered(u64),
    /// By the source of its transactions' global ids: a connector that follows those goes on at another server only where
    /// that one executed all it has read.
    Global(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = (self.order >> 32, self.order & u64::from(u32::MAX));
        match self.form {
            Form::Lsn => write!(f, "LSN {high:X}/{low:X}"),
            Form::Binlog => {
                write!(f, "binary log {} position {}", self.order >> 40, self.order & ((1 << 40) - 1))
            }
            Form::Scn => write!(f, "SCN {}", self.order),
            Form::CommitLsn => write!(f, "commit LSN {high:08x}:{low:08x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_their_sources_do() {
        for (form, order, expected) in [
            (Form::Lsn, 0x1A_2B3C_4D58, "LSN 1A/2B3C4D58"),
            (Form::Binlog, 3 << 40 | 484, "binary log 3 position 484"),
            (Form::Scn, 2_868_551, "SCN 2868551"),
            (Form::CommitLsn, 0x27 << 32 | 0x758, "commit LSN 00000027:00000758"),
        ] {
            assert_eq!(Place { order, form, server: Server::Unsaid }.to_string(), expected);
        }
    }
}
