//! What people do to findings from the command line.

use std::io::Write;

use sha2::{Digest, Sha256};

use crate::model::Wall;
use crate::model::finding::Act;
use crate::report::Document;
use crate::report::group::Route;
use crate::report::life::IgnoreRule;
use crate::store::{Deed, Refusal, Store};

use super::entry::{Failure, FindingsQuery, Said, Until};
use super::findings::{store_failure, unknown, writing};

fn refused(refusal: Refusal) -> Failure {
    Failure::new(refusal.to_string())
}

fn moment(until: Until, now: Wall) -> Wall {
    match until {
        Until::At(at) => at,
        Until::In(time) => Wall(now.0.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))),
    }
}

/// Does it to each finding, in order, until one refuses.
pub(super) async fn act(
    store: &Store,
    (ids, act, said): (&[String], Act, &Said),
    (now, routes): (Wall, &[Route]),
) -> Result<Vec<Document>, Failure> {
    let until = said.until.map(|until| moment(until, now));
    let deed = Deed::of(act, &said.by, now, (said.note.clone(), until)).map_err(refused)?;
    let mut done = Vec::with_capacity(ids.len());
    for id in ids {
        let acted = store.act(id, &deed, routes).await.map_err(store_failure)?;
        done.push(acted.map_err(|refusal| match refusal {
            Refusal::Unknown => unknown(id),
            Refusal::State { .. } | Refusal::Said(_) => refused(refusal),
        })?);
    }
    Ok(done)
}

/// Makes, lists or removes rules.
pub(super) async fn rule(
    store: &Store,
    query: FindingsQuery,
    (now, routes): (Wall, &[Route]),
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    match query {
        FindingsQuery::Rule { pipeline, table, key, column, kind, said } => {
            let until = said.until.map(|until| moment(until, now));
            let Deed { by, note, until, .. } =
                Deed::of(Act::Ignored, &said.by, now, (said.note, until)).map_err(refused)?;
            let id = String::new();
            let rule = IgnoreRule { id, pipeline, table, key, column, kind, until, by, at: now, note };
            let rule = IgnoreRule { id: name(&rule), ..rule };
            let covered = store.add_rule(&rule, routes).await.map_err(store_failure)?.map_err(refused)?;
            line(&rule, out)?;
            writeln!(out, "it set {covered} open findings aside").map_err(writing)
        }
        FindingsQuery::Rules { pipeline } => {
            let rules = store.rules(pipeline.as_deref()).await.map_err(store_failure)?;
            rules.iter().try_for_each(|rule| line(rule, out))
        }
        FindingsQuery::Remove { rule, by } => {
            let opened = store.remove_rule(&rule, (&by, now), routes).await.map_err(store_failure)?;
            let hint = "`afterimage findings ignore --list` shows the rules there are";
            let none =
                || Failure { hint: Some(hint.into()), ..Failure::new(format!("there is no ignore rule `{rule}`")) };
            let opened = opened.ok_or_else(none)?;
            writeln!(out, "removed {rule}: {opened} findings that it had set aside are open again").map_err(writing)
        }
        FindingsQuery::List { .. }
        | FindingsQuery::Unverified { .. }
        | FindingsQuery::Act { .. }
        | FindingsQuery::Show { .. } => Ok(()),
    }
}

fn line(rule: &IgnoreRule, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let until =
        rule.until.map_or_else(|| "until it is removed".to_owned(), |until| format!("until {}", until.rfc3339()));
    let note = rule.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    writeln!(
        out,
        "{}  {}, {}  {until}, by {} at {}{note}",
        rule.id,
        rule.pipeline,
        rule.asks(),
        rule.by,
        rule.at.rfc3339()
    )
    .map_err(writing)
}

/// The first 48 bits of SHA-256 over what the rule says.
fn name(rule: &IgnoreRule) -> String {
    let hash = Sha256::digest(format!("{rule:?}").as_bytes());
    hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}
