//! Threads that each answer one question after another, so that all answers come in the order of the questions.
#![expect(clippy::disallowed_methods, reason = "it owns the threads that answer")]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Questions that may wait for each thread besides the one it works on.
const WAITING: usize = 1;

/// Threads that are worth having for work that one thread hands out: one for each core, up to four.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(4)
}

/// Threads with one queue each, asked in turn. Dropping it ends them, once they have answered what they were asked.
#[derive(Debug)]
pub struct Ordered<Q, A> {
    lanes: Vec<Lane<Q, A>>,
    asked: usize,
    answered: usize,
}

#[derive(Debug)]
struct Lane<Q, A> {
    questions: SyncSender<Q>,
    answers: Receiver<A>,
    thread: JoinHandle<()>,
}

/// A thread ended before it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a thread ended before it answered")]
pub struct Ended;

impl<Q: Send + 'static, A: Send + 'static> Ordered<Q, A> {
    /// Starts one thread for each worker, of this name and a number.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start<W>(name: &str, workers: impl IntoIterator<Item = W>) -> std::io::Result<Ordered<Q, A>>
    where
        W: FnMut(Q) -> A + Send + 'static,
    {
        let lanes =
            workers.into_iter().enumerate().map(|(index, worker)| Lane::start(format!("{name}-{index}"), worker));
        Ok(Ordered { lanes: lanes.collect::<Result<_, _>>()?, asked: 0, answered: 0 })
    }

    /// Questions that have no answer yet.
    fn waiting(&self) -> usize {
        self.asked - self.answered
    }

    /// Whether a question can be asked without waiting.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting() < self.lanes.len() * (WAITING + 1)
    }

    /// Asks the next thread in turn; waits where there is no room.
    ///
    /// # Errors
    /// When that thread has ended, which only a panic does to it.
    pub fn ask(&mut self, question: Q) -> Result<(), Ended> {
        let lane = &self.lanes[self.asked % self.lanes.len()];
        lane.questions.send(question).map_err(|_| Ended)?;
        self.asked += 1;
        Ok(())
    }

    /// The answer to the oldest question that has none yet; waits for it. `None` where everything was answered.
    ///
    /// # Errors
    /// When that thread has ended, which only a panic does to it.
    pub fn answer(&mut self) -> Option<Result<A, Ended>> {
        if self.waiting() == 0 {
            return None;
        }
        let lane = &self.lanes[self.answered % self.lanes.len()];
        self.answered += 1;
        Some(lane.answers.recv().map_err(|_| Ended))
    }
}

impl<Q: Send + 'static, A: Send + 'static> Lane<Q, A> {
    fn start(name: String, mut worker: impl FnMut(Q) -> A + Send + 'static) -> std::io::Result<Lane<Q, A>> {
        let (questions, asked) = sync_channel(WAITING);
        let (answer, answers) = sync_channel(WAITING + 1);
        let work = move || {
            while let Ok(question) = asked.recv() {
                if answer.send(worker(question)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(work)?;
        Ok(Lane { questions, answers, thread })
    }
}

impl<Q, A> Drop for Ordered<Q, A> {
    fn drop(&mut self) {
        for Lane { questions, answers, thread } in self.lanes.drain(..) {
            drop((questions, answers));
            // Its panic was told when it happened.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_questions() {
        // The first thread answers only once the second one has, so a later answer is there first.
        let (go, wait) = sync_channel::<()>(1);
        type Worker = Box<dyn FnMut(u32) -> u32 + Send>;
        let first: Worker = Box::new(move |question| {
            if question == 0 {
                wait.recv().expect("the second thread answers");
            }
            question * 10
        });
        let second: Worker = Box::new(move |question| {
            let _ = go.try_send(());
            question * 10
        });
        let mut ordered = Ordered::start("test", [first, second]).expect("threads can be started");
        let mut answers = Vec::new();
        for question in 0..9 {
            if !ordered.has_room() {
                answers.push(ordered.answer());
            }
            ordered.ask(question).expect("the threads run");
        }
        answers.extend(std::iter::from_fn(|| ordered.answer().map(Some)));
        assert_eq!(answers, (0..9).map(|question| Some(Ok(question * 10))).collect::<Vec<_>>());
        assert_eq!(ordered.answer(), None);
    }

    #[test]
    fn a_thread_that_is_gone_is_told() {
        let mut ordered = Ordered::start("test", [|question: u32| assert_eq!(question, 0)]).expect("it starts");
        ordered.ask(0).expect("it runs");
        ordered.ask(1).expect("it runs");
        assert_eq!((ordered.answer(), ordered.answer()), (Some(Ok(())), Some(Err(Ended))));
    }
}
