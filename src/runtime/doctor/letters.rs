//! The applier's dead-letter topic, as it is now.

use crate::config::{Pipeline, Tap};
use crate::tap::TapError;
use crate::tap::kafka::dead_letters::{DeadLetters, Letters};

use super::super::settings;
use super::super::tell::chain;
use super::report::Report;

/// Reads at most: sixteen thousand records tell enough of a topic.
const READS: usize = 16;

/// Tells what the topic holds, where one is configured. Blocking.
pub(super) fn look(pipeline: &Pipeline, report: &mut Report) {
    let (Some(topic), Tap::Kafka(kafka)) = (&pipeline.dead_letters, &pipeline.tap) else { return };
    match DeadLetters::new(settings::brokers(kafka), topic).and_then(|letters| told(topic, letters)) {
        Ok(words) => report.tap.dead_letters = Some(words),
        Err(error) => report.problems.push(chain(&error)),
    }
}

fn told(topic: &str, mut from: DeadLetters) -> Result<String, TapError> {
    let (mut named, mut unnamed, mut last) = (0, 0, None);
    for _ in 0..READS {
        let Letters { named: more, unnamed: others } = from.read()?;
        let is_last = more.is_empty() && others == 0;
        named += more.len();
        unnamed += others;
        last = more.into_iter().next_back().or(last);
        if is_last {
            break;
        }
    }
    if from.partitions() == 0 {
        return Ok(format!("`{topic}` does not exist yet: the sink makes it with the first record that it rejects"));
    }
    let newest = last.map(|last| format!(", lately {}:{} ({})", last.name, last.offset, last.why)).unwrap_or_default();
    let advice = match unnamed {
        0 => String::new(),
        _ => format!(
            "; {unnamed} do not say which record of the tap they are: set \
             errors.deadletterqueue.context.headers.enable=true at the sink"
        ),
    };
    Ok(format!("`{topic}` names {named} rejected records{newest}{advice}"))
}
