//! What is asked of the store, and the SQL that both databases understand.

use std::collections::BTreeSet;

use super::unverified::merged;
use crate::model::Wall;
use crate::model::finding::{Kind, Severity, State};
use crate::report::document::Document;
use crate::report::summary::Unverified;
use crate::report::unverified::UnverifiedRange;

/// Which findings to list. Everything left at its default lets all pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Of this pipeline only.
    pub pipeline: Option<String>,
    /// Of this table (its name on the tap) only.
    pub table: Option<String>,
    /// Of these kinds only; empty: of all.
    pub kinds: Vec<Kind>,
    /// In these states only; empty: in all.
    pub states: Vec<State>,
    /// At or above this severity.
    pub severity: Severity,
    /// Whose key holds this text, in any case, or these parts of `COLUMN=VALUE,…`.
    pub key: Option<String>,
    /// Last seen at or after this moment.
    pub since: Option<Wall>,
    /// At most so many.
    pub limit: u32,
    /// Only those after the last one of the page before.
    pub after: Option<Cursor>,
    /// In which order.
    pub sort: Sort,
}

/// The order of a list, by `first_seen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
}

impl Sort {
    /// The order of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Sort> {
        match word {
            "newest" => Some(Sort::Newest),
            "oldest" => Some(Sort::Oldest),
            _ => None,
        }
    }
}

/// How many findings a page holds unless asked otherwise: about a screenful of scrolling, and a few MB at most.
pub const PAGE: u32 = 500;

impl Default for Filter {
    fn default() -> Filter {
        Filter {
            pipeline: None,
            table: None,
            kinds: vec![],
            states: vec![],
            severity: Severity::Info,
            key: None,
            since: None,
            limit: PAGE,
            after: None,
            sort: Sort::Newest,
        }
    }
}

/// Where a page ended. Lists are ordered by `first_seen`: findings that are stated again while somebody
/// pages do not move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(super) first_seen: i64,
    pub(super) id: String,
}

impl Cursor {
    /// Behind this finding.
    #[must_use]
    pub fn behind(document: &Document) -> Cursor {
        Cursor { first_seen: document.first_seen.0, id: document.id.clone() }
    }
}

/// How many findings there are of one sort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Pipeline.
    pub pipeline: String,
    /// Table on the tap, where one is concerned.
    pub table: Option<String>,
    /// Kind.
    pub kind: Kind,
    /// Severity.
    pub severity: Severity,
    /// State.
    pub state: State,
    /// How many.
    pub count: u64,
    /// When the oldest of them was seen first.
    pub since: Wall,
}

/// How far a partition was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// Topic, stream or file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The lowest offset without a verdict.
    pub verified: u64,
    /// The offset up to which the applier provably applied the tap.
    pub applied: Option<u64>,
    /// When that was so. An older statement never replaces a newer one.
    pub at: Wall,
}

/// A finding as its table has it: the document, and the columns that queries need.
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) pipeline: String,
    pub(super) table: Option<String>,
    pub(super) kind: &'static str,
    pub(super) severity: i64,
    pub(super) state: &'static str,
    pub(super) about_row: i64,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) document: String,
    pub(super) extra: Vec<u8>,
    pub(super) key_text: Option<String>,
    pub(super) ignored_until: Option<i64>,
    pub(super) ignored_rule: Option<String>,
}

impl Stored {
    pub(super) fn of(document: &Document) -> Result<Stored, serde_json::Error> {
        // Its history has a table of its own.
        let document = &Document { history: Vec::new(), ..document.clone() };
        let ignored = document.ignored.as_ref();
        Ok(Stored {
            id: document.id.clone(),
            pipeline: plain(&document.pipeline),
            table: document.table.as_deref().map(plain),
            kind: document.kind.word(),
            severity: rank(document.severity),
            state: document.state.word(),
            about_row: i64::from(document.is_about_row()),
            first_seen: document.first_seen.0,
            last_seen: document.last_seen.0,
            document: serde_json::to_string(document)?,
            extra: document.extra.clone(),
            key_text: key_text(document),
            ignored_until: ignored.and_then(|ignored| ignored.until).map(|until| until.0),
            ignored_rule: ignored.and_then(|ignored| ignored.rule.clone()),
        })
    }
}

/// PostgreSQL has no text with NUL in it; names of tables come from records and may hold anything.
pub(super) fn plain(name: &str) -> String {
    name.replace('\0', "\u{fffd}")
}

/// The column `key_text`: keys are written the same each time they are told.
pub(super) fn key_text(document: &Document) -> Option<String> {
    let key = document.key.as_ref()?;
    serde_json::to_string(key).ok().map(|text| plain(&text))
}

/// The column `severity`.
pub(super) fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Critical => 2,
    }
}

/// The severity of a rank.
pub(super) fn severity(rank: i64) -> Option<Severity> {
    Severity::ALL.iter().copied().find(|severity| self::rank(*severity) == rank)
}

/// A row of a list, [`FIND`], [`OPEN_ROWS`] and the load of a batch: id, document, extra.
pub(super) type Row = (String, String, Vec<u8>);

/// Pipeline, table, kinds, states, least severity, since, cursor's first_seen, cursor's id, pattern of the key, limit. Words
/// are joined by commas; an empty list or pattern lets all pass.
macro_rules! list {
    ($behind:literal, $way:literal) => {
        concat!(
            "SELECT id, document, extra FROM afterimage_finding
            WHERE ($1 IS NULL OR pipeline = $1)
              AND ($2 IS NULL OR table_name = $2)
              AND ($3 = '' OR ',' || $3 || ',' LIKE '%,' || kind || ',%')
              AND ($4 = '' OR ',' || $4 || ',' LIKE '%,' || state || ',%')
              AND severity >= $5
              AND last_seen >= $6
              AND (first_seen ",
            $behind,
            " $7 OR (first_seen = $7 AND id ",
            $behind,
            " $8))
              AND ($9 = '' OR LOWER(key_text) LIKE LOWER($9) ESCAPE '!')
            ORDER BY first_seen ",
            $way,
            ", id ",
            $way,
            " LIMIT $10"
        )
    };
}

/// What is asked for a list, and its arguments in order.
pub(super) struct ListArguments {
    pub(super) statement: &'static str,
    pub(super) pipeline: Option<String>,
    pub(super) table: Option<String>,
    pub(super) kinds: String,
    pub(super) states: String,
    pub(super) severity: i64,
    pub(super) since: i64,
    pub(super) before: i64,
    pub(super) before_id: String,
    pub(super) key: String,
    pub(super) limit: i64,
}

impl ListArguments {
    pub(super) fn of(filter: &Filter) -> ListArguments {
        let kinds: Vec<&str> = filter.kinds.iter().map(|kind| kind.word()).collect();
        let states: Vec<&str> = filter.states.iter().map(|state| state.word()).collect();
        let (statement, start) = match filter.sort {
            Sort::Newest => (list!("<", "DESC"), i64::MAX),
            Sort::Oldest => (list!(">", "ASC"), i64::MIN),
        };
        let (before, before_id) =
            filter.after.as_ref().map_or((start, ""), |cursor| (cursor.first_seen, cursor.id.as_str()));
        ListArguments {
            statement,
            pipeline: filter.pipeline.as_deref().map(plain),
            table: filter.table.as_deref().map(plain),
            kinds: kinds.join(","),
            states: states.join(","),
            severity: rank(filter.severity),
            since: filter.since.map_or(i64::MIN, |since| since.0),
            before,
            before_id: before_id.to_owned(),
            key: filter.key.as_deref().map(key_pattern).unwrap_or_default(),
            limit: i64::from(filter.limit),
        }
    }
}

/// What `key_text` must look like to hold what was asked for; empty for nothing.
fn key_pattern(asked: &str) -> String {
    // As it stands inside a JSON text, and with nothing in it that a pattern would understand.
    let plainly = |text: &str| {
        let json = serde_json::Value::from(plain(text)).to_string();
        let inside = json.trim().get(1..json.len() - 1).unwrap_or_default();
        inside.replace('!', "!!").replace('%', "!%").replace('_', "!_")
    };
    let part = |part: &str| match part.trim().split_once('=') {
        Some((column, value)) => format!("%\"{}\":%{}", plainly(column), plainly(value)),
        None => format!("%{}", plainly(part.trim())),
    };
    match asked.trim() {
        "" => String::new(),
        asked if asked.contains('=') => asked.split(',').map(part).chain(["%".to_owned()]).collect(),
        asked => format!("%{}%", plainly(asked)),
    }
}

/// From id, to id (excluded). Two rows are enough to know that a beginning is ambiguous.
pub(super) const FIND: &str =
    "SELECT id, document, extra FROM afterimage_finding WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2";

/// Which open findings are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Those about one row.
    Rows,
    /// Those about more than a row, or none.
    More,
}

/// Pipeline, whether about a row (1) or not (0), id behind which to go on, limit.
pub(super) const OPEN: &str = "
    SELECT id, document, extra FROM afterimage_finding
    WHERE pipeline = $1 AND state IN ('suspected', 'open', 'acknowledged') AND about_row = $2 AND id > $3
    ORDER BY id LIMIT $4";

impl About {
    /// As it stands in the table.
    pub(super) fn number(self) -> i32 {
        match self {
            About::Rows => 1,
            About::More => 0,
        }
    }
}

/// Pipeline, or null for all.
pub(super) const COUNTS: &str = "
    SELECT pipeline, table_name, kind, severity, state, COUNT(*), MIN(first_seen) FROM afterimage_finding
    WHERE ($1 IS NULL OR pipeline = $1)
    GROUP BY pipeline, table_name, kind, severity, state
    ORDER BY pipeline, table_name, kind, severity, state";

/// A row of [`COUNTS`].
pub(super) type CountRow = (String, Option<String>, String, i64, String, i64, i64);

/// Pipeline, topic, partition, verified, applied, at.
pub(super) const SAVE_WATERMARK: &str = "
    INSERT INTO afterimage_watermark (pipeline, topic, partition, verified, applied, at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (pipeline, topic, partition) DO UPDATE
    SET verified = excluded.verified, applied = excluded.applied, at = excluded.at
    WHERE excluded.at >= afterimage_watermark.at";

/// Pipeline.
pub(super) const WATERMARKS: &str = "
    SELECT topic, partition, verified, applied, at FROM afterimage_watermark
    WHERE pipeline = $1 ORDER BY topic, partition";

/// A row of [`WATERMARKS`].
pub(super) type WatermarkRow = (String, i64, i64, Option<i64>, i64);

/// Pipeline, topic, partition, each of them null for all.
pub(super) const UNVERIFIED: &str = "
    SELECT pipeline, topic, partition, reason, from_offset, to_offset, first_seen, last_seen FROM afterimage_unverified
    WHERE ($1 IS NULL OR pipeline = $1) AND ($2 IS NULL OR topic = $2) AND ($3 IS NULL OR partition = $3)
    ORDER BY pipeline, topic, partition, from_offset, reason";

/// The columns of [`SAVE_UNVERIFIED`], in order.
pub(super) type UnverifiedRow = (String, String, i64, String, i64, i64, i64, i64);

/// As [`UnverifiedRow`].
pub(super) const SAVE_UNVERIFIED: &str = "
    INSERT INTO afterimage_unverified (pipeline, topic, partition, reason, from_offset, to_offset, first_seen, last_seen)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// Pipeline, topic, partition, reason, first offset.
pub(super) const DROP_UNVERIFIED: &str = "
    DELETE FROM afterimage_unverified
    WHERE pipeline = $1 AND topic = $2 AND partition = $3 AND reason = $4 AND from_offset = $5";

/// Offsets of every tap fit 63 bits.
fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// Merges ranges without a verdict into those kept, in a transaction of either database: both bind the same statements.
macro_rules! merge_unverified {
    ($transaction:expr, $groups:expr) => {
        for ((pipeline, topic, partition), more) in $groups {
            let known = sqlx::query_as(query::UNVERIFIED)
                .bind(query::plain(pipeline))
                .bind(query::plain(topic))
                .bind(i64::from(*partition))
                .fetch_all(&mut *$transaction)
                .await?;
            let (gone, new) = query::replaced_unverified(known, more);
            for (pipeline, topic, partition, reason, from, ..) in gone {
                let drop = sqlx::query(query::DROP_UNVERIFIED).bind(pipeline).bind(topic).bind(partition);
                drop.bind(reason).bind(from).execute(&mut *$transaction).await?;
            }
            for (pipeline, topic, partition, reason, from, to, first_seen, last_seen) in new {
                let save = sqlx::query(query::SAVE_UNVERIFIED).bind(pipeline).bind(topic).bind(partition);
                let save = save.bind(reason).bind(from).bind(to).bind(first_seen).bind(last_seen);
                save.execute(&mut *$transaction).await?;
            }
        }
    };
}
pub(super) use merge_unverified;

/// What must be dropped and what must be saved, so that the ranges of a partition become those with `more`.
pub(super) fn replaced_unverified(
    known: Vec<UnverifiedRow>,
    more: &[UnverifiedRange],
) -> (Vec<UnverifiedRow>, Vec<UnverifiedRow>) {
    let before: BTreeSet<UnverifiedRow> = known.into_iter().collect();
    let all = before.iter().cloned().map(unverified).chain(more.iter().cloned());
    let after: BTreeSet<UnverifiedRow> = merged(all).iter().map(unverified_row).collect();
    (before.difference(&after).cloned().collect(), after.difference(&before).cloned().collect())
}

fn unverified_row(one: &UnverifiedRange) -> UnverifiedRow {
    let Unverified { topic, partition, from, to, reason } = &one.range;
    let seen = (one.first_seen.0, one.last_seen.0);
    (
        plain(&one.pipeline),
        plain(topic),
        i64::from(*partition),
        plain(reason),
        signed(*from),
        signed(*to),
        seen.0,
        seen.1,
    )
}

/// A range as it is published.
pub(super) fn unverified(
    (pipeline, topic, partition, reason, from, to, first_seen, last_seen): UnverifiedRow,
) -> UnverifiedRange {
    let offset = |offset: i64| u64::try_from(offset).unwrap_or_default();
    let partition = i32::try_from(partition).unwrap_or(-1);
    let range = Unverified { topic, partition, from: offset(from), to: offset(to), reason };
    UnverifiedRange { pipeline, range, first_seen: Wall(first_seen), last_seen: Wall(last_seen) }
}

impl Watermark {
    /// The numeric arguments of [`SAVE_WATERMARK`]. Offsets of every tap fit 63 bits; one that did not would be kept at
    /// the bound, which only ever repeats work.
    pub(super) fn arguments(&self) -> (i64, i64, Option<i64>, i64) {
        (i64::from(self.partition), signed(self.verified), self.applied.map(signed), self.at.0)
    }

    pub(super) fn of((topic, partition, verified, applied, at): WatermarkRow) -> Watermark {
        let offset = |offset: i64| u64::try_from(offset).unwrap_or_default();
        Watermark {
            topic,
            partition: i32::try_from(partition).unwrap_or(-1),
            verified: offset(verified),
            applied: applied.map(offset),
            at: Wall(at),
        }
    }
}
