//! What becomes of a stored finding when the same fact is stated again. Pure, and the same for every database.

use std::collections::BTreeMap;

use super::Failure;
use super::query::Stored;
use crate::model::Wall;
use crate::model::finding::{Act, Cause, Proof, State};
use crate::report::document::{Document, Expected, Place};
use crate::report::life::{Event, IgnoreRule, Ignored};

/// What recording did to one finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not known.
    New {
        /// Its state.
        state: State,
    },
    /// It is in another state now.
    StateChanged {
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// It was known in this state; something else about it is new.
    Updated,
    /// Nothing about it is new.
    Unchanged,
}

impl Outcome {
    /// Whether the finding became open by this: people hear of it now. Suspected ones never do.
    #[must_use]
    pub fn opened(self) -> bool {
        match self {
            Outcome::New { state } | Outcome::StateChanged { to: state, .. } => state == State::Open,
            Outcome::Updated | Outcome::Unchanged => false,
        }
    }

    /// Whether the finding is new, or in another state than before.
    #[must_use]
    pub fn turned(self) -> bool {
        match self {
            Outcome::New { .. } | Outcome::StateChanged { .. } => true,
            Outcome::Updated | Outcome::Unchanged => false,
        }
    }

    /// The same, ending in another state.
    fn to(self, state: State) -> Outcome {
        match self {
            Outcome::New { .. } => Outcome::New { state },
            Outcome::StateChanged { from, .. } => Outcome::StateChanged { from, to: state },
            Outcome::Updated | Outcome::Unchanged => self,
        }
    }

    /// Whether a finding that people had heard of is over for them by this.
    #[must_use]
    pub fn closed(self) -> bool {
        match self {
            Outcome::StateChanged { from, to } => {
                matches!(from, State::Open | State::Acknowledged)
                    && matches!(to, State::Healed | State::Retracted | State::Ignored)
            }
            Outcome::New { .. } | Outcome::Updated | Outcome::Unchanged => false,
        }
    }
}

/// One recorded finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its id.
    pub id: String,
    /// What recording did.
    pub outcome: Outcome,
}

/// What became of a batch.
pub(super) struct Applied {
    /// Of each finding.
    pub(super) recorded: Vec<Recorded>,
    /// The ids that must be written.
    pub(super) changed: Vec<String>,
    /// What histories tell of it.
    pub(super) events: Vec<(String, Event)>,
}

/// Applies `incoming`, in order, to what is stored, under the rules by which findings are set aside. Leaves in `stored` every
/// finding as it now is.
pub(super) fn apply(stored: &mut BTreeMap<String, Document>, incoming: &[Document], rules: &[IgnoreRule]) -> Applied {
    let mut applied = Applied { recorded: Vec::new(), changed: Vec::new(), events: Vec::new() };
    for document in incoming {
        let beyond = stored.get(&document.id).and_then(|known| beyond(known, document));
        let beyond = beyond.map(|beyond| match stored.get(&beyond.id) {
            Some(known) => extending(known, beyond),
            None => beyond,
        });
        if let Some(beyond) = &beyond {
            state_one(stored, beyond, rules, &mut applied);
            if let Some(ignored) = stored.get_mut(&document.id).and_then(|known| known.ignored.as_mut())
                && ignored.next.as_ref() != Some(&beyond.id)
            {
                ignored.next = Some(beyond.id.clone());
                applied.changed.push(document.id.clone());
            }
        }
        state_one(stored, document, rules, &mut applied);
    }
    applied.changed.sort_unstable();
    applied.changed.dedup();
    applied
}

/// The findings that must be written, as the table has them.
pub(super) fn rows(stored: &BTreeMap<String, Document>, changed: &[String]) -> Result<Vec<Stored>, Failure> {
    let changed = changed.iter().filter_map(|id| stored.get(id));
    changed.map(|document| Stored::of(document).map_err(|source| Failure::damaged(&document.id, source))).collect()
}

/// The finding of what was lost after this one was set aside.
pub(super) fn followed_by(known: &Document) -> Option<String> {
    known.ignored.as_ref().and_then(|ignored| ignored.next.clone())
}

/// What a statement says of versions that were lost after the known finding was set aside: a finding of its own.
fn beyond(known: &Document, stated: &Document) -> Option<Document> {
    let ignored = known.ignored.as_ref().filter(|_| known.state == State::Ignored)?;
    if let (Some(next), State::Healed | State::Retracted) = (&ignored.next, stated.state) {
        return Some(Document { id: next.clone(), ..stated.clone() });
    }
    let latest = stated.expected.as_ref()?.latest.as_ref()?;
    if stated.state != State::Open || ignored.upto.as_ref().is_none_or(|upto| !is_before(upto, latest)) {
        return None;
    }
    let own = stated.at_latest()?;
    Some(Document { id: ignored.next.clone().unwrap_or_else(|| own.id.clone()), ..own })
}

/// The statement as one of a finding that is known: it keeps its position, and extends to the statement's.
fn extending(known: &Document, mut beyond: Document) -> Document {
    let latest = super::life::newest(&beyond);
    if let (Some(expected), Some(known)) = (&mut beyond.expected, &known.expected) {
        expected.at.clone_from(&known.at);
        expected.latest = latest.filter(|latest| latest.offset != known.at.offset);
    }
    beyond
}

fn state_one(
    stored: &mut BTreeMap<String, Document>,
    document: &Document,
    rules: &[IgnoreRule],
    applied: &mut Applied,
) {
    let id = &document.id;
    let (mut merged, mut outcome) = match stored.get(id) {
        None => (document.clone(), Outcome::New { state: document.state }),
        Some(known) => merge(known, document),
    };
    merged.history.clear();
    let rule = rules.iter().find(|rule| outcome.opened() && rule.covers(&merged));
    if let Some(rule) = rule {
        merged.state = State::Ignored;
        let upto = super::life::newest(&merged);
        merged.ignored = Some(Ignored { until: rule.until, rule: Some(rule.id.clone()), upto, next: None });
        outcome = outcome.to(State::Ignored);
    }
    applied.events.extend(document.history.iter().map(|event| (id.clone(), event.clone())));
    applied.events.extend(event(&merged, document, (outcome, rule)).map(|event| (id.clone(), event)));
    if outcome != Outcome::Unchanged {
        applied.changed.push(id.clone());
        stored.insert(id.clone(), merged);
    }
    applied.recorded.push(Recorded { id: id.clone(), outcome });
}

/// What the history tells of it. That a finding opened it says itself.
fn event(merged: &Document, stated: &Document, (outcome, rule): (Outcome, Option<&IgnoreRule>)) -> Option<Event> {
    let ours = |act, note| Event::ours(act, merged.last_seen, note);
    if let Some(rule) = rule {
        let note = format!("opened under the rule of {} ({})", rule.by, rule.asks());
        return Some(Event { until: rule.until, rule: Some(rule.id.clone()), ..ours(Act::Ignored, Some(note)) });
    }
    let Outcome::StateChanged { from, to } = outcome else { return None };
    match (from, to) {
        (State::Open | State::Acknowledged, State::Healed) => {
            stated.history.is_empty().then(|| ours(Act::Healed, Some("the row was read as it must be".to_owned())))
        }
        (_, State::Retracted) => Some(ours(Act::Retracted, None)),
        (State::Healed | State::Retracted, State::Open) => Some(ours(Act::Opened, Some("seen wrong again".to_owned()))),
        (
            State::Suspected | State::Open | State::Acknowledged | State::Ignored | State::Healed | State::Retracted,
            State::Suspected | State::Open | State::Acknowledged | State::Ignored | State::Healed,
        ) => None,
    }
}

fn merge(known: &Document, stated: &Document) -> (Document, Outcome) {
    let state = next_state(known, stated);
    let reopened = known.state == State::Healed && state != State::Healed;
    let mut merged = if says_more(known, stated) { content(known, stated) } else { known.clone() };
    merged.state = state;
    merged.proof = if reopened { stated.proof } else { stronger(known.proof, stated.proof) };
    merged.first_seen = known.first_seen.min(stated.first_seen);
    merged.last_seen = known.last_seen.max(stated.last_seen);
    merged.observations = known.observations.max(stated.observations);
    merged.healed_at = healed_at(known, stated, state);
    merged.ignored.clone_from(&known.ignored);
    merged.audit.clone_from(&known.audit);
    merged.history.clear();
    if let (State::Ignored, Some(expected), Some(upto)) =
        (state, &mut merged.expected, known.ignored.as_ref().and_then(|ignored| ignored.upto.as_ref()))
    {
        expected.latest.take_if(|latest| is_before(upto, latest));
    }
    merged.note = stated.note.clone().or_else(|| known.note.clone());
    merged.extra.clone_from(if stated.extra.is_empty() { &known.extra } else { &stated.extra });
    let outcome = if state != known.state {
        Outcome::StateChanged { from: known.state, to: state }
    } else if merged != *known {
        Outcome::Updated
    } else {
        Outcome::Unchanged
    };
    (merged, outcome)
}

/// A finding that is set aside remembers that its row is right, for when it is not set aside any more.
fn healed_at(known: &Document, stated: &Document, state: State) -> Option<Wall> {
    match (state, stated.state) {
        (State::Healed, _) | (State::Ignored, State::Healed) => known.healed_at.or(stated.healed_at),
        (State::Ignored, _) => known.healed_at.filter(|at| stated.last_seen <= *at),
        (State::Suspected | State::Open | State::Acknowledged | State::Retracted, _) => None,
    }
}

/// The states a finding may go to. What a person set aside stays so; what healed opens again only by a proof newer than
/// its healing, so that a statement that arrives twice changes nothing.
fn next_state(known: &Document, stated: &Document) -> State {
    match (known.state, stated.state) {
        (State::Ignored, _) => State::Ignored,
        (State::Suspected, to) => to,
        (from @ (State::Open | State::Acknowledged), State::Suspected) => from,
        (State::Acknowledged, State::Open) => State::Acknowledged,
        (State::Open | State::Acknowledged, to) => to,
        (from @ (State::Healed | State::Retracted), State::Open) => {
            if stated.last_seen > known.healed_at.unwrap_or(known.last_seen) { State::Open } else { from }
        }
        (State::Healed, State::Retracted) => State::Retracted,
        (
            from @ (State::Healed | State::Retracted),
            State::Suspected | State::Acknowledged | State::Ignored | State::Healed | State::Retracted,
        ) => from,
    }
}

/// Whether the statement's account of what is wrong replaces the known one: not a mere suspicion of what is proven, not an
/// older one, and not a healing, after which the account of what was wrong is what people look for.
fn says_more(known: &Document, stated: &Document) -> bool {
    match stated.state {
        State::Healed | State::Retracted => false,
        State::Suspected => known.state == State::Suspected && stated.last_seen >= known.last_seen,
        State::Open | State::Acknowledged | State::Ignored => {
            known.state == State::Suspected || stated.last_seen >= known.last_seen
        }
    }
}

/// The statement's account, completed by what only the known one still has: images that are no longer cached, a cause
/// that is no longer visible, the newest version known to be lost.
fn content(known: &Document, stated: &Document) -> Document {
    let mut merged = stated.clone();
    if stated.cause == Cause::Unknown {
        merged.cause = known.cause;
    }
    let same_row = match (&known.observed, &stated.observed) {
        (Some(known), Some(stated)) => known.row == stated.row,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if stated.columns.is_empty() && same_row {
        merged.columns.clone_from(&known.columns);
    }
    if let (Some(merged), Some(known)) = (&mut merged.expected, &known.expected) {
        complete(merged, known);
    }
    if known.state != State::Healed {
        merged.versions_behind = known.versions_behind.max(stated.versions_behind);
    }
    merged.count = known.count.max(stated.count);
    merged
}

fn complete(merged: &mut Expected, known: &Expected) {
    if merged.row.is_none() {
        merged.row.clone_from(&known.row);
    }
    if merged.at.source.is_none() {
        merged.at.source.clone_from(&known.at.source);
    }
    if merged.at.committed_at.is_none() {
        merged.at.committed_at.clone_from(&known.at.committed_at);
    }
    if let Some(place) = &known.latest
        && merged.latest.as_ref().is_none_or(|latest| is_before(latest, place))
    {
        merged.latest = Some(place.clone());
    }
}

fn is_before(one: &Place, other: &Place) -> bool {
    (&one.topic, one.partition) == (&other.topic, other.partition) && one.offset < other.offset
}

fn stronger(known: Option<Proof>, stated: Option<Proof>) -> Option<Proof> {
    if weight(stated) > weight(known) { stated } else { known }
}

/// How much a proof proves: a user's word less than the applier's own offsets, those less than a re-application survived.
fn weight(proof: Option<Proof>) -> u8 {
    match proof {
        None => 0,
        Some(Proof::Early) => 1,
        Some(Proof::Assumed) => 2,
        Some(Proof::Committed) => 3,
        Some(Proof::Settled) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::{finding, wall};
    use super::*;
    use State::{Acknowledged, Healed, Ignored as Ignored_, Open, Retracted, Suspected};

    fn merged(known: &Document, stated: &Document) -> Document {
        merge(known, stated).0
    }

    #[test]
    fn states_only_go_where_the_contract_lets_them() {
        let rows = [
            (Suspected, Suspected, Suspected),
            (Suspected, Open, Open),
            (Suspected, Healed, Healed),
            (Open, Suspected, Open),
            (Open, Acknowledged, Acknowledged),
            (Open, Ignored_, Ignored_),
            (Open, Healed, Healed),
            (Open, Retracted, Retracted),
            (Acknowledged, Suspected, Acknowledged),
            (Acknowledged, Open, Acknowledged),
            (Acknowledged, Healed, Healed),
            (Ignored_, Open, Ignored_),
            (Ignored_, Healed, Ignored_),
            (Healed, Suspected, Healed),
            (Healed, Open, Open),
            (Healed, Acknowledged, Healed),
            (Retracted, Open, Open),
            (Retracted, Healed, Retracted),
        ];
        for (from, stated, to) in rows {
            assert_eq!(merged(&finding(1, from, 10), &finding(1, stated, 20)).state, to, "{from} then {stated}");
        }
    }

    #[test]
    fn a_healed_finding_opens_again_only_by_what_was_seen_after_its_healing() {
        let healed = finding(1, Healed, 10);
        assert_eq!(merge(&healed, &finding(1, Open, 10)).1, Outcome::Unchanged);
        let (again, outcome) = merge(&healed, &finding(1, Open, 11));
        assert_eq!(outcome, Outcome::StateChanged { from: Healed, to: Open });
        assert_eq!((again.healed_at, again.first_seen), (None, wall(10)));
    }

    #[test]
    fn healing_keeps_the_account_of_what_was_wrong() {
        let open = finding(1, Open, 10);
        let right = Document { observed: None, evidence: "the row is right".to_owned(), ..finding(1, Healed, 20) };
        let healed = merged(&open, &right);
        assert_eq!((&healed.observed, &healed.evidence), (&open.observed, &open.evidence));
        assert_eq!((healed.healed_at, healed.last_seen), (Some(wall(20)), wall(20)));
    }

    #[test]
    fn proof_grows_until_the_finding_opens_anew() {
        let with = |state, at, proof| Document { proof, ..finding(1, state, at) };
        let settled = with(Open, 10, Some(Proof::Settled));
        assert_eq!(merged(&settled, &with(Open, 20, Some(Proof::Early))).proof, Some(Proof::Settled));
        assert_eq!(merged(&with(Open, 10, Some(Proof::Early)), &settled).proof, Some(Proof::Settled));
        assert_eq!(merged(&with(Open, 10, Some(Proof::Assumed)), &with(Open, 20, None)).proof, Some(Proof::Assumed));
        let healed = with(Healed, 10, Some(Proof::Settled));
        assert_eq!(merged(&healed, &with(Open, 20, Some(Proof::Early))).proof, Some(Proof::Early));
    }

    #[test]
    fn a_later_statement_does_not_forget_what_only_the_earlier_one_knew() {
        let known =
            Document { versions_behind: 3, note: Some("ours".to_owned()), extra: vec![1], ..finding(1, Open, 10) };
        let mut stated =
            Document { cause: Cause::Unknown, versions_behind: 1, columns: vec![], ..finding(1, Open, 20) };
        let expected = stated.expected.as_mut().unwrap();
        (expected.row, expected.latest) = (None, None);
        let merged = merged(&known, &stated);
        assert_eq!(merged, Document { last_seen: wall(20), observations: 20, ..known });
    }

    #[test]
    fn columns_of_another_observed_row_are_not_kept() {
        let known = finding(1, Open, 10);
        let mut stated = Document { columns: vec![], ..finding(1, Open, 20) };
        stated.observed.as_mut().unwrap().row = None;
        assert_eq!(merged(&known, &stated).columns, []);
    }

    #[test]
    fn an_older_statement_adds_times_and_nothing_else() {
        let known = finding(1, Open, 20);
        let late = Document { evidence: "older".to_owned(), ..finding(1, Open, 10) };
        assert_eq!(merged(&known, &late), Document { first_seen: wall(10), ..known.clone() });
        assert_eq!(merge(&known, &known).1, Outcome::Unchanged);
    }

    #[test]
    fn what_is_lost_after_a_finding_was_set_aside_is_a_finding_of_its_own() {
        let stated = crate::report::sample::documents().remove(1);
        let upto = crate::store::life::newest(&stated);
        let ignored = Some(Ignored { upto, ..Ignored::default() });
        let known = Document { state: Ignored_, ignored, ..stated.clone() };
        let mut stored = BTreeMap::from([(known.id.clone(), known.clone())]);
        assert_eq!(apply(&mut stored, std::slice::from_ref(&stated), &[]).recorded[0].outcome, Outcome::Unchanged);
        let further = |offset, state| {
            let mut further = Document { state, last_seen: Wall(stated.last_seen.0 + 1), ..stated.clone() };
            further.expected.as_mut().unwrap().latest.as_mut().unwrap().offset = offset;
            further
        };
        apply(&mut stored, &[further(9_000, Open), further(9_001, Open)], &[]);
        let next = followed_by(&stored[&known.id]).expect("a finding of its own");
        assert_eq!((stored.len(), stored[&known.id].state, stored[&next].state), (2, Ignored_, Open));
        assert_eq!(stored[&next].expected.as_ref().unwrap().at.offset, 9_000);
        apply(&mut stored, &[further(9_001, Healed)], &[]);
        assert_eq!((stored[&known.id].state, stored[&next].state), (Ignored_, Healed));
    }

    #[test]
    fn one_batch_may_tell_a_whole_life() {
        let mut stored = BTreeMap::new();
        let life = [finding(1, Suspected, 1), finding(1, Open, 2), finding(2, Open, 2), finding(1, Healed, 3)];
        let Applied { recorded, changed, .. } = apply(&mut stored, &life, &[]);
        let outcomes: Vec<Outcome> = recorded.iter().map(|one| one.outcome).collect();
        assert_eq!(
            outcomes,
            [
                Outcome::New { state: Suspected },
                Outcome::StateChanged { from: Suspected, to: Open },
                Outcome::New { state: Open },
                Outcome::StateChanged { from: Open, to: Healed },
            ]
        );
        assert_eq!(changed.len(), 2);
        let opened: Vec<bool> = outcomes.iter().map(|outcome| outcome.opened()).collect();
        assert_eq!((opened, outcomes[3].closed()), (vec![false, true, true, false], true));
        assert_eq!(stored[&life[0].id].state, Healed);
    }

    #[test]
    fn nobody_is_told_of_the_end_of_what_nobody_heard_of() {
        assert!(!merge(&finding(1, Suspected, 1), &finding(1, Healed, 2)).1.closed());
        assert!(merge(&finding(1, Acknowledged, 1), &finding(1, Healed, 2)).1.closed());
    }
}
