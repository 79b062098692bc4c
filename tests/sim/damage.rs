//! Rows that were verified and forgotten, and are damaged later: which are chosen, and which of them the patrol must find.

use afterimage::model::finding::{Finding, Kind};

use crate::applier::Applier;
use crate::check::{Check, Property, told};
use crate::guarantee::has_witnesses;
use crate::model::{Label, Loss, removes, was_ever};
use crate::plan::{Mode, Plan, SECOND, Workers, millis};
use crate::rng::Rng;
use crate::source::{Cells, KeyId, Source, TABLES};

/// Milliseconds in which a key is looked at once at most.
const STRETCH: u64 = 10 * SECOND;

/// Keys tried for one damage.
const TRIES: usize = 20;

/// A key whose last change was applied, verified and committed by us, and another row for it.
pub(crate) fn choose(
    source: &Source,
    applier: &Applier,
    check: &Check,
    stored: &[u64],
    (now, rng): (u64, &mut Rng),
) -> Option<(KeyId, Option<Cells>)> {
    (0..TRIES).find_map(|_| {
        let key = rng.below(u64::from(source.keys)) as KeyId;
        let last = last_change(source, key, now)?;
        let change = &source.changes[last];
        // An applier that reads the source's log may be past what the tap brought.
        let is_on_tap = |index: &usize| source.changes[*index].append <= now || source.changes[*index].commit > now;
        // What the old log left verified is looked at no more.
        let is_old = source.fork.as_ref().is_some_and(|fork| fork.at <= now && last < fork.to);
        let verified = applier.truth.is_done(last)
            && !is_old
            && stored[usize::from(change.partition)] > change.offset
            && !check.is_listed(change)
            && !check.is_open(key)
            && applier.truth.standing(key).is_none()
            && !change.is_truncate()
            && !source.is_left_out(last)
            && source.by_key[key as usize].iter().all(is_on_tap);
        let row = applier.truth.row(source, key);
        let damaged = another(source, key, row, rng);
        (verified && applier.row_at(key, now) == row && damaged != row).then_some((key, damaged))
    })
}

fn last_change(source: &Source, key: KeyId, now: u64) -> Option<usize> {
    source.by_key[key as usize].iter().copied().filter(|index| source.changes[*index].append <= now).max()
}

/// No row, a row of an earlier change, or one that no change ever wrote.
fn another(source: &Source, key: KeyId, row: Option<Cells>, rng: &mut Rng) -> Option<Cells> {
    let earlier: Vec<Cells> =
        source.by_key[key as usize].iter().filter_map(|index| source.changes[*index].before).collect();
    match rng.below(4) {
        0 if row.is_some() => None,
        1 | 2 if !earlier.is_empty() => Some(*rng.pick(&earlier)),
        _ => Some(std::array::from_fn(|_| Some(rng.next() as u32))),
    }
}

/// Damage to rows that had been verified.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Damage {
    pub(crate) planted: usize,
    /// Where there was a patrol.
    pub(crate) patrolled: usize,
    /// What the patrol had to find of it.
    pub(crate) guaranteed: usize,
    /// What was found where there was a patrol.
    pub(crate) found: usize,
}

impl Damage {
    pub(crate) fn add(&mut self, other: Damage) {
        self.planted += other.planted;
        self.patrolled += other.patrolled;
        self.guaranteed += other.guaranteed;
        self.found += other.found;
    }
}

impl Check {
    pub(crate) fn count_damage(&mut self, plan: &Plan, source: &Source, applier: &Applier, loss: &Loss) {
        if loss.label != Label::Damaged {
            return;
        }
        let within = self.must_patrol(plan, source, applier, loss);
        let patrolled = plan.options.patrol_reads_per_second > 0;
        self.outcome.damage.add(Damage {
            planted: 1,
            patrolled: usize::from(patrolled),
            guaranteed: usize::from(within.is_some()),
            found: usize::from(patrolled && loss.found.is_some()),
        });
        if let Some(within) = within.filter(|within| loss.found.is_none_or(|found| found > loss.start + within)) {
            self.broke(Property::NothingMissed, format!("to be found on patrol within {within} ms: {loss:?}"));
        }
    }

    /// A damaged row is named as one that was verified, where nothing came for its key since.
    pub(crate) fn name_damage(
        &mut self,
        source: &Source,
        loss: &Loss,
        expected: usize,
        (row, finding): (Option<&Cells>, &Finding),
        now: u64,
    ) {
        let changes = &source.by_key[loss.key as usize];
        let later = changes.iter().any(|later| *later > expected && source.changes[*later].append <= now);
        // What was seen before the damage is not known in another life.
        let forgotten = self.interruptions.iter().any(|at| *at > loss.start && *at <= now);
        if loss.label != Label::Damaged || loss.change != Some(expected) || later || forgotten {
            return;
        }
        let right = match (row, finding.kind) {
            (None, kind) => kind == Kind::VanishedRow,
            (Some(row), kind) if removes(source.changes[expected].op) => {
                // Where its versions are still known, a stranger's row is told from an earlier one.
                let stranger = !was_ever(source, loss.key, Some(row));
                kind == Kind::ResurrectedRow || kind == Kind::DivergedRow && stranger
            }
            (Some(_), kind) => matches!(kind, Kind::RegressedRow | Kind::DivergedRow),
        };
        if !right {
            self.broke(Property::RightName, format!("{now}: a damaged row: {}", told(loss.key, finding)));
        }
    }

    /// How long a damaged row may stand unsaid, if the patrol has to find it: it covers the key, nothing comes in between, and
    /// there is progress to confirm by.
    fn must_patrol(&self, plan: &Plan, source: &Source, applier: &Applier, loss: &Loss) -> Option<u64> {
        let rate = u64::from(plan.options.patrol_reads_per_second);
        let change = &source.changes[loss.change.filter(|_| loss.label == Label::Damaged && rate > 0)?];
        let sweep = u64::from(plan.keys) * SECOND / rate + 2 * STRETCH + u64::from(TABLES) * SECOND;
        let again = if plan.failed_reads > 0.0 { 3 } else { 1 };
        if matches!(plan.workers, Workers::Keys(_)) {
            return None;
        }
        let worker = &applier.workers[plan.workers.of(source, change, applier.workers.len())];
        let after = &worker.lags[worker.lags.partition_point(|(at, _)| *at < loss.start)..];
        let lag = after.iter().map(|(_, lag)| *lag).max()?.max(worker.waits(source, plan.end()));
        let within = again * sweep + confirmation(plan, lag);
        let until = loss.start + within;
        let quiet =
            |index: &usize| source.changes[*index].append <= change.append || source.changes[*index].append > until;
        let unread = |index: &usize| source.changes[*index].unreadable && source.changes[*index].append <= until;
        let outside = until > plan.end()
            || loss.end < until
            || plan.source_log
            || worker.restarts.iter().any(|at| at + plan.reach >= loss.start && *at <= until)
            || plan.truncates > 0.0
            // A truncate may be among what is gone.
            || plan.gaps > 0.0 && plan.partitions > 1
            || plan.options.memory < 1 << 20
            // Few rows are judged where most changes are left out, so the group gate waits for more.
            || plan.leaving.is_some()
            || plan.mode == Mode::Inferred && self.is_unsound()
            || plan.mode == Mode::Inferred
                && !has_witnesses(plan, source, change, (loss.start, until), &self.interruptions)
            || plan.mode == Mode::Inferred && !plan.before_images && self.replanned_since(change.append, until)
            || self.interruptions.iter().any(|at| *at >= change.append && *at <= until)
            || self.replans_of(source, loss.key).any(|at| at >= change.append && at <= until)
            || !source.by_key[loss.key as usize].iter().all(quiet)
            || source.logs[usize::from(change.partition)].iter().any(unread)
            || loss.masked(source, until)
            || self.is_grouped(source, loss, until);
        (!outside).then_some(within)
    }
}

/// The time in which a damage that was read is confirmed: something that was appended after the read has to be seen.
fn confirmation(plan: &Plan, lag: u64) -> u64 {
    let options = &plan.options;
    let consumption = if plan.slow_consumption { 62 * SECOND } else { 2 * SECOND };
    // Without heartbeats, witnesses are ordinary rows, of which a trickle goes on.
    let spacing = match plan.mode {
        Mode::Heartbeat | Mode::UnknownCommitsAndHeartbeat => plan.heartbeat.unwrap_or(0),
        Mode::Committed => 90 * SECOND + plan.checkpoint() + millis(options.zombie_after),
        Mode::Inferred => 180 * SECOND,
        Mode::Assumed => 0,
    } + plan.every * 4
        + plan.replica.map_or(0, |(_, most)| most);
    let slow_batches = plan.window + 8 * plan.group_gap;
    let polls = millis(options.reread) + 6 * millis(options.poll) + 12 * SECOND;
    2 * (lag + spacing + consumption + slow_batches + polls)
}
