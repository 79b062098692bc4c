//! The outbox: what channels of alerts have not told yet. It is written with the findings, in one transaction, so that what
//! is recorded is told however the process ends; a group that is being told is leased, so that of several sidecars one
//! tells it.

use super::merge::Recorded;
use super::query;
use crate::model::finding::Kind;
use crate::model::{Wall, finding::Severity};
use crate::report::document::Document;
use crate::report::group::{GroupKey, News, Turn};

/// Channel, pipeline, table, kind, opened, closed, worst, peak, samples, since, told, firing, told_at.
pub(super) type NewsRow = (String, String, String, String, i64, i64, i64, i64, String, Option<i64>, i64, i64, i64);

/// The columns of [`NewsRow`].
macro_rules! columns {
    () => {
        "channel, pipeline, table_name, kind, opened, closed, worst, peak, samples, since, told, firing, told_at"
    };
}

/// Channel, or null for all, and now: what somebody else is telling is left out.
pub(super) const NEWS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM afterimage_outbox
    WHERE ($1 IS NULL OR channel = $1) AND (opened + closed > 0 OR firing = 1)
      AND leased_until <= $2
    ORDER BY channel, pipeline, table_name, kind"
);

/// Channel, pipeline, table, kind.
pub(super) const GROUP: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM afterimage_outbox WHERE channel = $1 AND pipeline = $2 AND table_name = $3 AND kind = $4"
);

/// Channel.
pub(super) const SIZE: &str = "SELECT COUNT(*) FROM afterimage_outbox WHERE channel = $1";

/// The columns, in order.
pub(super) const SAVE: &str = concat!(
    "INSERT INTO afterimage_outbox (",
    columns!(),
    ", leased_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0)
    ON CONFLICT (channel, pipeline, table_name, kind) DO UPDATE
    SET opened = excluded.opened, closed = excluded.closed, worst = excluded.worst, peak = excluded.peak,
        samples = excluded.samples, since = excluded.since, told = excluded.told, firing = excluded.firing,
        told_at = excluded.told_at"
);

/// Channel, pipeline, table, kind, now, until when.
pub(super) const LEASE: &str = concat!(
    "UPDATE afterimage_outbox SET leased_until = $6
    WHERE channel = $1 AND pipeline = $2 AND table_name = $3 AND kind = $4 AND leased_until <= $5
    RETURNING ",
    columns!()
);

/// Channel, pipeline, table, kind.
pub(super) const RELEASE: &str = "
    UPDATE afterimage_outbox SET leased_until = 0
    WHERE channel = $1 AND pipeline = $2 AND table_name = $3 AND kind = $4";

/// Whatever a process leased that is gone.
pub(super) const RELEASE_ALL: &str = "UPDATE afterimage_outbox SET leased_until = 0 WHERE leased_until > 0";

/// Channel, when the last message must have gone out before.
pub(super) const FORGET: &str = "
    DELETE FROM afterimage_outbox WHERE channel = $1 AND opened + closed = 0 AND firing = 0 AND told_at < $2";

/// Pipeline, least severity, kind, table, whether those that somebody has seen count (1); without a kind, whatever the table.
pub(super) const STANDING: &str = "
    SELECT COUNT(*) FROM afterimage_finding
    WHERE pipeline = $1 AND (state = 'open' OR (state = 'acknowledged' AND $5 = 1)) AND severity >= $2
      AND ($3 = '' OR (kind = $3 AND COALESCE(table_name, '') = $4))";

/// Adds news to the outbox in a transaction of either database: both bind the same statements. Gives how many groups were
/// past the bound.
macro_rules! add_news {
    ($transaction:expr, $deltas:expr) => {{
        let mut merged = 0_u64;
        for ((channel, group), delta) in $deltas {
            let mut known = outbox::find!($transaction, channel, group);
            let mut group = group.clone();
            if known.is_none() {
                let groups: i64 = sqlx::query_scalar(outbox::SIZE).bind(channel).fetch_one(&mut *$transaction).await?;
                if usize::try_from(groups).unwrap_or(usize::MAX) >= crate::report::group::GROUPS {
                    group = group.common();
                    known = outbox::find!($transaction, channel, &group);
                    merged += 1;
                }
            }
            let mut news = known.unwrap_or_else(|| crate::report::group::News::none(channel, group));
            news.add(delta);
            outbox::save!($transaction, &news);
        }
        merged
    }};
}

/// The news of a group.
macro_rules! find {
    ($transaction:expr, $channel:expr, $group:expr) => {{
        let (pipeline, table, kind) = outbox::key($group);
        let row = sqlx::query_as(outbox::GROUP).bind($channel).bind(pipeline).bind(table).bind(kind);
        let row: Option<outbox::NewsRow> = row.fetch_optional(&mut *$transaction).await?;
        row.map(outbox::news)
    }};
}

/// Keeps the news of a group.
macro_rules! save {
    ($transaction:expr, $news:expr) => {{
        let row = outbox::row($news);
        let save = sqlx::query(outbox::SAVE).bind(row.0).bind(row.1).bind(row.2).bind(row.3).bind(row.4);
        let save = save.bind(row.5).bind(row.6).bind(row.7).bind(row.8).bind(row.9).bind(row.10);
        save.bind(row.11).bind(row.12).execute(&mut *$transaction).await?;
    }};
}

/// Notes that a message was taken, once: of two that told it, the second changes nothing.
macro_rules! tell_news {
    ($transaction:expr, $message:expr, $status:expr, $now:expr) => {{
        let kept = outbox::find!($transaction, &$message.channel, &$message.group);
        if let Some(mut kept) = kept.filter(|kept| kept.told == $message.told) {
            kept.tell($message, $status, $now);
            outbox::save!($transaction, &kept);
        }
        let (pipeline, table, kind) = outbox::key(&$message.group);
        let release = sqlx::query(outbox::RELEASE).bind(&$message.channel).bind(pipeline).bind(table).bind(kind);
        release.execute(&mut *$transaction).await?;
        let window = i64::try_from(crate::report::group::WINDOW.as_millis()).unwrap_or(i64::MAX);
        let forget = sqlx::query(outbox::FORGET).bind(&$message.channel).bind($now.0.saturating_sub(window));
        forget.execute(&mut *$transaction).await?;
    }};
}

pub(super) use {add_news, find, save, tell_news};

/// The columns that name a group.
pub(super) fn key(group: &GroupKey) -> (String, String, &'static str) {
    let table = group.table.as_deref().map(query::plain).unwrap_or_default();
    (query::plain(&group.pipeline), table, group.kind.map_or("", Kind::word))
}

pub(super) fn row(news: &News) -> NewsRow {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let (pipeline, table, kind) = key(&news.group);
    (
        news.channel.clone(),
        pipeline,
        table,
        kind.to_owned(),
        count(news.opened),
        count(news.closed),
        news.worst.map_or(-1, query::rank),
        query::rank(news.peak),
        news.samples.join(","),
        news.since.map(|since| since.0),
        count(news.told),
        i64::from(news.firing),
        news.told_at.0,
    )
}

pub(super) fn news(row: NewsRow) -> News {
    let (channel, pipeline, table, kind, opened, closed, worst, peak, samples, since, told, firing, told_at) = row;
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    let table = Some(table).filter(|table| !table.is_empty());
    News {
        channel,
        group: GroupKey { pipeline, table, kind: Kind::parse(&kind) },
        opened: count(opened),
        closed: count(closed),
        worst: query::severity(worst),
        peak: query::severity(peak).unwrap_or(Severity::Info),
        samples: samples.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        since: since.map(Wall),
        told: count(told),
        firing: firing == 1,
        told_at: Wall(told_at),
    }
}

/// What people hear of among what was recorded.
pub(super) fn turns<'a>(
    recorded: &'a [Recorded],
    stored: &'a std::collections::BTreeMap<String, Document>,
) -> impl Iterator<Item = (&'a Document, Turn)> {
    recorded.iter().filter_map(|one| {
        let turn = match (one.outcome.opened(), one.outcome.closed()) {
            (true, _) => Turn::Opened,
            (false, true) => Turn::Closed,
            (false, false) => return None,
        };
        Some((stored.get(&one.id)?, turn))
    })
}
