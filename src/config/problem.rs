//! What is wrong with a configuration: every mistake at once, each with the full path of its key.

use std::fmt;

use super::tree::{Origin, Path};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, in full: `pipelines.orders.tap.topics[1]`; or the flag: `--from`.
    pub path: String,
    /// Where it was written, where it was written at all.
    pub origin: Option<Origin>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) if self.path.is_empty() => write!(f, "{origin}: {}", self.message),
            Some(origin) => write!(f, "{} ({origin}): {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

/// Every mistake that was found, in the order of their paths. As an error it is a usage error: exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a mistake at a key.
    pub fn at(&mut self, path: &Path, origin: Option<Origin>, message: impl Into<String>) {
        self.push(Problem { path: path.to_string(), origin, message: message.into() });
    }

    /// Adds a mistake in a flag.
    pub fn flag(&mut self, flag: &str, message: impl Into<String>) {
        self.push(Problem { path: flag.to_owned(), origin: None, message: message.into() });
    }

    /// Adds a mistake, once.
    pub fn push(&mut self, problem: Problem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Adds all of another's.
    pub fn extend(&mut self, other: Problems) {
        other.0.into_iter().for_each(|problem| self.push(problem));
    }

    /// The value of a result, or its mistake noted under a flag.
    pub fn take<T>(&mut self, flag: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.flag(flag, message)).ok()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mistakes.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.0
    }

    /// `Ok` if there is none.
    ///
    /// # Errors
    /// The mistakes themselves.
    pub fn into_result(mut self) -> Result<(), Problems> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by(|a, b| (&a.path, &a.origin).cmp(&(&b.path, &b.origin)));
        Err(self)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "{one}"),
            many => {
                write!(f, "{} mistakes:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}

/// Below this likeness (Jaro-Winkler, 0 to 1) a suggestion confuses more than it helps: `settel` and `settle` have 0.97,
/// two unrelated keys of this configuration at most 0.76.
const LIKENESS: f64 = 0.8;

/// The candidate that `word` was probably meant to be.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key_and_nonsense_finds_none() {
        let keys = ["settle", "stall_after", "confirm_after", "confirmations", "order", "applied", "applier"];
        assert_eq!(closest("settel", keys), Some("settle"));
        assert_eq!(closest("stallafter", keys), Some("stall_after"));
        assert_eq!(closest("Order", keys), Some("order"));
        assert_eq!(closest("colour", keys), None);
    }
}
