//! The logs that one connector published one after the other, found in a tap that is read from front to back: where each begins
//! in each partition. What the judge notices while it goes on, for those who ask for one log alone.

use std::collections::BTreeMap;

use super::course::{Course, Mark, Step};
use crate::model::{PartitionId, Position, SourceTime, Waymark};

/// Where a log that follows another begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// When its first change was committed.
    pub began: SourceTime,
    /// The offset of its first change, for each partition in which that is sure.
    pub begins: BTreeMap<PartitionId, u64>,
}

/// Follows the connectors of a tap. Bounded by the partitions and the connectors that they name.
#[derive(Debug, Default)]
pub struct Logs {
    courses: BTreeMap<(u64, PartitionId), Course>,
    /// The logs behind the first, by connector.
    later: BTreeMap<u64, Vec<Log>>,
}

impl Logs {
    /// Takes the next change of a partition.
    pub fn follow(&mut self, at: Position, waymark: Option<Waymark>, committed_at: Option<SourceTime>) {
        let Some((waymark, committed_at)) = waymark.zip(committed_at) else { return };
        let Some(place) = waymark.place else { return };
        let (connector, partition) = (waymark.connector, at.partition);
        let course = self.courses.entry((connector, partition)).or_insert_with(|| Course::of(connector));
        match course.step(Mark { place, offset: at.offset, committed_at }) {
            Step::Left(left) if !left.is_renumbered() => self.begins(connector, partition, left.new),
            Step::On | Step::Doubtful | Step::Left(_) => {}
        }
    }

    /// The first log of a partition that does not hold it yet is the same that others hold.
    fn begins(&mut self, connector: u64, partition: PartitionId, first: Mark) {
        let known = self.later.entry(connector).or_default();
        let missing = known.iter().position(|log| !log.begins.contains_key(&partition));
        let index = missing.unwrap_or_else(|| {
            known.push(Log { began: first.committed_at, begins: BTreeMap::new() });
            known.len() - 1
        });
        let log = &mut known[index];
        log.began = log.began.min(first.committed_at);
        log.begins.insert(partition, first.offset);
    }

    /// The logs behind the first one; `None` where several connectors were rewound, whose logs are in no common order.
    #[must_use]
    pub fn later(mut self) -> Option<Vec<Log>> {
        let doubtful: Vec<(u64, PartitionId, Mark)> = self
            .courses
            .iter_mut()
            .filter_map(|((connector, partition), course)| Some((*connector, *partition, course.give_in()?)))
            .collect();
        // A doubt alone is no log; where another partition proved one, it is this.
        for (connector, partition, first) in doubtful {
            if self
                .later
                .get(&connector)
                .is_some_and(|known| known.iter().any(|log| !log.begins.contains_key(&partition)))
            {
                self.begins(connector, partition, first);
            }
        }
        let mut rewound = self.later.into_values();
        let later = rewound.next().unwrap_or_default();
        rewound.next().is_none().then_some(later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::waymark::{Form, Place, Server};

    /// When a log began, and the offset of its first change by partition.
    type Plain = (i64, Vec<(u16, u64)>);

    fn logs(changes: &[(u16, u64, u64, i64)], connectors: u64) -> Option<Vec<Plain>> {
        let mut logs = Logs::default();
        for (partition, offset, order, committed) in changes {
            for connector in 0..connectors {
                let place = Place { order: *order, form: Form::Lsn, server: Server::Unsaid };
                let at = Position { partition: PartitionId(*partition), offset: *offset };
                logs.follow(at, Some(Waymark { connector, place: Some(place) }), Some(SourceTime(*committed)));
            }
        }
        let plain = |log: Log| (log.began.0, log.begins.into_iter().map(|(id, offset)| (id.0, offset)).collect());
        Some(logs.later()?.into_iter().map(plain).collect())
    }

    #[test]
    fn a_log_begins_where_it_is_proven_and_where_others_only_doubt() {
        let old = [(0, 0, 10, 100), (0, 1, 20, 200), (0, 2, 30, 300), (1, 0, 25, 250)];
        assert_eq!(logs(&old, 1), Some(vec![]));
        let new = [(0, 3, 15, 400), (0, 4, 16, 401), (0, 5, 17, 402), (1, 1, 18, 403)];
        let both = [&old[..], &new].concat();
        assert_eq!(logs(&both, 1), Some(vec![(400, vec![(0, 3), (1, 1)])]));
        assert_eq!(logs(&both, 2), None);
        let third = [(0, 6, 11, 500), (0, 7, 12, 501), (0, 8, 13, 502)];
        let all = [&both[..], &third].concat();
        assert_eq!(logs(&all, 1), Some(vec![(400, vec![(0, 3), (1, 1)]), (500, vec![(0, 6)])]));
    }
}
