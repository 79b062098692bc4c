//! What people do to findings, and what time does to those that were set aside for a while.

use std::sync::Arc;

use crate::model::Wall;
use crate::model::finding::{Act, State};
use crate::report::document::{Document, Place};
use crate::report::group::Route;
use crate::report::life::{Event, IgnoreRule, Ignored};

use super::error::Doing;
use super::history::RULES_MAX;
use super::merge::{Outcome, Recorded};
use super::query::Filter;
use super::{BATCH, Backend, Cursor, Store, StoreError, bounded, on};

/// Letters of a remark at most: a page of text.
const NOTE_MAX: usize = 4_000;

/// Letters of a name at most.
const NAME_MAX: usize = 200;

/// What is done to a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What.
    pub act: Act,
    /// Who does it.
    pub by: String,
    /// When.
    pub at: Wall,
    /// What they say of it.
    pub note: Option<String>,
    /// Until when it is set aside; `None`: for good.
    pub until: Option<Wall>,
    /// The rule by which it is.
    pub rule: Option<String>,
}

/// Why something was not done to a finding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such finding.
    #[error("no finding's id begins so")]
    Unknown,
    /// Its state does not allow it.
    #[error("finding `{id}` is {state}: {right}")]
    State {
        /// Its id.
        id: String,
        /// Its state.
        state: State,
        /// What would be right.
        right: &'static str,
    },
    /// What was said does not make sense.
    #[error("{0}")]
    Said(String),
}

/// The store, and the channels that hear of what people do in it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    store: Store,
    routes: Arc<Vec<Route>>,
}

impl Desk {
    /// Of a store, with what each channel hears of.
    #[must_use]
    pub fn new(store: Store, routes: Vec<Route>) -> Desk {
        Desk { store, routes: Arc::new(routes) }
    }

    /// As [`Store::act`].
    ///
    /// # Errors
    /// As there.
    pub async fn act(&self, prefix: &str, deed: &Deed) -> Result<Result<Document, Refusal>, StoreError> {
        self.store.act(prefix, deed, &self.routes).await
    }
}

impl Deed {
    /// A deed of a person's, whose words make sense.
    ///
    /// # Errors
    /// A sentence about what would be right.
    pub fn of(act: Act, by: &str, at: Wall, (note, until): (Option<String>, Option<Wall>)) -> Result<Deed, Refusal> {
        let (by, note) = (by.trim(), note.filter(|note| !note.trim().is_empty()));
        let wrong = |sentence: String| Err(Refusal::Said(sentence));
        if by.is_empty() || by.chars().count() > NAME_MAX {
            return wrong(format!("who does it must be named, in at most {NAME_MAX} letters"));
        }
        if note.as_ref().is_some_and(|note| note.chars().count() > NOTE_MAX) {
            return wrong(format!("the note is too long: expected at most {NOTE_MAX} letters"));
        }
        if act == Act::Noted && note.is_none() {
            return wrong("there is no note: expected some text".to_owned());
        }
        if until.is_some() && act != Act::Ignored {
            return wrong("`until` says how long a finding is ignored: expected it with `ignore` alone".to_owned());
        }
        if until.is_some_and(|until| until <= at) {
            return wrong("`until` is in the past: expected a moment to come".to_owned());
        }
        Ok(Deed { act, by: by.to_owned(), at, note, until, rule: None })
    }

    /// As the history tells it.
    pub(super) fn event(&self) -> Event {
        let Deed { act, by, at, note, until, rule } = self.clone();
        Event { by, note, until, rule, ..Event::ours(act, at, None) }
    }
}

/// The finding after the deed.
pub(super) fn acted(known: &Document, deed: &Deed) -> Result<Document, Refusal> {
    let state = next(known, deed)?;
    let mut done = known.clone();
    done.state = state;
    done.note = deed.note.clone().or(done.note);
    done.ignored = match (state == State::Ignored, deed.act == Act::Ignored) {
        (true, true) => {
            let (upto, next) = (newest(known), next_id(known));
            Some(Ignored { until: deed.until, rule: deed.rule.clone(), upto, next })
        }
        (true, false) => known.ignored.clone(),
        (false, _) => None,
    };
    if !matches!(state, State::Ignored | State::Healed) {
        done.healed_at = None;
    }
    Ok(done)
}

fn next_id(known: &Document) -> Option<String> {
    known.ignored.as_ref().and_then(|ignored| ignored.next.clone())
}

/// The newest version that a finding says is lost.
pub(super) fn newest(document: &Document) -> Option<Place> {
    let expected = document.expected.as_ref()?;
    let at = &expected.at;
    let own = Place { topic: at.topic.clone(), partition: at.partition, offset: at.offset };
    Some(expected.latest.clone().unwrap_or(own))
}

fn next(known: &Document, deed: &Deed) -> Result<State, Refusal> {
    let refused = |right| Err(Refusal::State { id: known.id.clone(), state: known.state, right });
    let over = "it is over; `afterimage revalidate --id` looks at the row once more";
    match (deed.act, known.state) {
        (Act::Noted, state) => Ok(state),
        (Act::Acknowledged, State::Open) => Ok(State::Acknowledged),
        (Act::Acknowledged, State::Acknowledged) => refused("somebody has seen it already"),
        (Act::Acknowledged, State::Ignored) => refused("reopen it first"),
        (Act::Ignored, State::Open | State::Acknowledged | State::Ignored) => Ok(State::Ignored),
        (Act::Acknowledged | Act::Ignored | Act::Reopened, State::Suspected) => {
            refused("nothing is proven of it yet, and nobody is told of it; an ignore rule covers what opens later")
        }
        (Act::Reopened, State::Acknowledged | State::Ignored) => Ok(State::Open),
        (Act::Reopened, State::Open) => refused("there is nothing to reopen"),
        (Act::RanOut, State::Ignored) => match known.healed_at {
            Some(_) => Ok(State::Healed),
            None => Ok(State::Open),
        },
        (Act::RanOut, _) => refused("it is not ignored"),
        (Act::Acknowledged | Act::Ignored | Act::Reopened, State::Healed | State::Retracted) => refused(over),
        (Act::Opened | Act::Healed | Act::Superseded | Act::Retracted | Act::StillTrue | Act::Unmapped, _) => {
            refused("that is not a person's to say")
        }
    }
}

pub(super) fn recorded(known: &Document, done: &Document) -> Recorded {
    let outcome = match (known.state, done.state) {
        (from, to) if from == to => Outcome::Updated,
        (from, to) => Outcome::StateChanged { from, to },
    };
    Recorded { id: done.id.clone(), outcome }
}

impl Store {
    /// Does something to the finding of an id, or of the beginning of one, and tells these channels what they hear of.
    ///
    /// # Errors
    /// When the store did not take it, or more than one id begins so. What the finding's state forbids is no error of the store's.
    pub async fn act(
        &self,
        prefix: &str,
        deed: &Deed,
        routes: &[Route],
    ) -> Result<Result<Document, Refusal>, StoreError> {
        let Some(known) = self.get(prefix).await? else { return Ok(Err(Refusal::Unknown)) };
        let done = self.act_on(&[known.id], deed, routes).await?.pop();
        match done {
            Some(Ok(document)) => Ok(self.get(&document.id).await?.ok_or(Refusal::Unknown)),
            Some(Err(refusal)) => Ok(Err(refusal)),
            None => Ok(Err(Refusal::Unknown)),
        }
    }

    async fn act_on(
        &self,
        ids: &[String],
        deed: &Deed,
        routes: &[Route],
    ) -> Result<Vec<Result<Document, Refusal>>, StoreError> {
        let done = on!(self, backend => backend.act(ids, deed, routes));
        let done = done.map_err(|failure| failure.at(Doing::Write, &self.place))?;
        done.iter().flatten().for_each(|document| self.tell(&document.id));
        Ok(done)
    }

    /// Opens again, once, what was set aside until now or before. Returns how many findings that were.
    ///
    /// # Errors
    /// When the store did not take it.
    pub async fn run_out(&self, now: Wall, routes: &[Route]) -> Result<u64, StoreError> {
        let deed = Deed { note: None, ..ours(now) };
        let mut all = 0;
        loop {
            let due = on!(self, backend => backend.due(now.0, BATCH as i64));
            let due = due.map_err(|failure| failure.at(Doing::Read, &self.place))?;
            if due.is_empty() {
                return Ok(all);
            }
            self.act_on(&due, &deed, routes).await?;
            all += due.len() as u64;
        }
    }

    /// Keeps a rule, and sets aside what is open and covered by it. Returns how many findings that were.
    ///
    /// # Errors
    /// When the store did not take it. That there are too many rules is no error of the store's.
    pub async fn add_rule(&self, rule: &IgnoreRule, routes: &[Route]) -> Result<Result<u64, Refusal>, StoreError> {
        if self.rules(None).await?.len() >= RULES_MAX {
            return Ok(Err(Refusal::Said(format!("there are {RULES_MAX} ignore rules: remove one first"))));
        }
        let added = on!(self, backend => backend.add_rule(rule));
        added.map_err(|failure| failure.at(Doing::Write, &self.place))?;
        let deed = Deed {
            act: Act::Ignored,
            by: rule.by.clone(),
            at: rule.at,
            note: rule.note.clone(),
            until: rule.until,
            rule: Some(rule.id.clone()),
        };
        let mut filter = Filter {
            pipeline: Some(rule.pipeline.clone()),
            table: rule.table.clone(),
            kinds: rule.kind.into_iter().collect(),
            states: vec![State::Open, State::Acknowledged],
            ..Filter::default()
        };
        let mut all = 0;
        loop {
            let page = self.list(&filter).await?;
            let Some(last) = page.last() else { return Ok(Ok(all)) };
            filter.after = Some(Cursor::behind(last));
            let covered: Vec<String> =
                page.iter().filter(|document| rule.covers(document)).map(|document| document.id.clone()).collect();
            let done = self.act_on(&covered, &deed, routes).await?;
            all += done.iter().filter(|done| done.is_ok()).count() as u64;
        }
    }

    /// The rules in force, of one pipeline or of all.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn rules(&self, pipeline: Option<&str>) -> Result<Vec<IgnoreRule>, StoreError> {
        let rules = on!(self, backend => backend.rules(pipeline));
        rules.map_err(|failure| failure.at(Doing::Read, &self.place))
    }

    /// Removes a rule; what it had set aside opens again. Returns how many findings that were, or `None` where there is no such
    /// rule.
    ///
    /// # Errors
    /// When the store did not take it.
    pub async fn remove_rule(
        &self,
        id: &str,
        (by, now): (&str, Wall),
        routes: &[Route],
    ) -> Result<Option<u64>, StoreError> {
        let removed = on!(self, backend => backend.remove_rule(id, now.0, by));
        if removed.map_err(|failure| failure.at(Doing::Write, &self.place))? == 0 {
            return Ok(None);
        }
        let deed = Deed { by: by.to_owned(), note: Some("the rule was removed".to_owned()), ..ours(now) };
        let mut all = 0;
        loop {
            let by_rule = on!(self, backend => backend.by_rule(id, BATCH as i64));
            let by_rule = by_rule.map_err(|failure| failure.at(Doing::Read, &self.place))?;
            if by_rule.is_empty() {
                return Ok(Some(all));
            }
            self.act_on(&by_rule, &deed, routes).await?;
            all += by_rule.len() as u64;
        }
    }

    /// Completes findings by their histories: the last hundred events of each.
    pub(super) async fn with_history(&self, mut found: Vec<Document>) -> Result<Vec<Document>, StoreError> {
        if found.is_empty() {
            return Ok(found);
        }
        let ids: Vec<&str> = found.iter().map(|document| document.id.as_str()).collect();
        let ids = ids.join(",");
        let events = on!(self, backend => backend.history(&ids));
        let events = events.map_err(|failure| failure.at(Doing::Read, &self.place))?;
        let mut by_finding: std::collections::BTreeMap<String, Vec<Event>> = std::collections::BTreeMap::new();
        events.into_iter().for_each(|(id, event)| by_finding.entry(id).or_default().push(event));
        for document in &mut found {
            document.history = by_finding.remove(&document.id).unwrap_or_default();
        }
        Ok(found)
    }
}

/// The end of being set aside.
fn ours(at: Wall) -> Deed {
    let by = crate::report::life::OURSELVES.to_owned();
    Deed { act: Act::RanOut, by, at, note: None, until: None, rule: None }
}
