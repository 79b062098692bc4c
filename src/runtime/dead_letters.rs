//! Reads the applier's dead-letter topic beside the tap, and tells the judge which records it names.
#![expect(clippy::disallowed_methods, reason = "the topic is read at a bounded pace, by calls that block")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::model::Position;
use crate::tap::Partitions;
use crate::tap::kafka::dead_letters::{DeadLetter, DeadLetters, Letters};

use super::driver::Reply;
use super::tell;

/// Letters about partitions that the tap has not been given yet; past it the oldest goes: the topic serves other taps too.
const WAITING: usize = 4_096;

/// The reader.
pub(super) struct Postbox {
    pub(super) letters: DeadLetters,
    pub(super) every: Duration,
    pub(super) partitions: Partitions,
    pub(super) replies: mpsc::Sender<Reply>,
    pub(super) pipeline: Arc<str>,
}

impl Postbox {
    /// Runs until nobody listens any more. What cannot be read now is read at the next turn.
    pub(super) async fn run(mut self) {
        let mut pace = tokio::time::interval(self.every.max(Duration::from_millis(20)));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut waiting, mut is_silent, mut is_unnamed) = (VecDeque::new(), false, false);
        while !self.replies.is_closed() {
            pace.tick().await;
            let mut letters = self.letters;
            let Ok((back, read)) = tokio::task::spawn_blocking(move || {
                let read = letters.read();
                (letters, read)
            })
            .await
            else {
                return;
            };
            self.letters = back;
            match read {
                Ok(Letters { named, unnamed }) => {
                    is_silent = false;
                    if unnamed > 0 && !is_unnamed {
                        is_unnamed = true;
                        tell::letters_without_names(&self.pipeline);
                    }
                    waiting.extend(named);
                    waiting.drain(..waiting.len().saturating_sub(WAITING));
                }
                Err(error) if !is_silent => {
                    is_silent = true;
                    tell::tap_failed(&self.pipeline, &error);
                }
                Err(_) => {}
            }
            self.hand_on(&mut waiting).await;
        }
    }

    /// Tells the judge of those whose partitions are known, and keeps the others.
    async fn hand_on(&self, waiting: &mut VecDeque<DeadLetter>) {
        if waiting.is_empty() {
            return;
        }
        let known = self.partitions.all();
        let mut named = Vec::new();
        waiting.retain(|letter| {
            let found = known.iter().find(|(_, name)| *name == letter.name);
            let at = found.map(|(partition, _)| Position { partition: *partition, offset: letter.offset });
            named.extend(at.map(|at| (at, letter.why.as_str().into())));
            at.is_none()
        });
        if !named.is_empty() {
            let _ = self.replies.send(Reply::DeadLetters(named)).await;
        }
    }
}
