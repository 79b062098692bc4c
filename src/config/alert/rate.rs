//! How many messages a channel may send.

use std::time::Duration;

use crate::config::unit::{Scalar, Span, field};

/// At most so many messages in any stretch of so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Messages.
    pub messages: u32,
    /// In this time.
    pub per: Duration,
}

/// A [`Rate`], or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateWord(pub Option<Rate>);

impl Default for RateWord {
    /// A person can follow thirty messages a minute, and no common chat service refuses them.
    fn default() -> RateWord {
        RateWord(Some(Rate { messages: 30, per: Duration::from_secs(60) }))
    }
}

impl Scalar for RateWord {
    fn expected() -> String {
        "`off`, or messages in a time, such as \"30/1m\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(RateWord(None));
        }
        let rate = text.split_once('/').and_then(|(messages, per)| {
            let messages = messages.trim().parse().ok().filter(|messages| *messages > 0)?;
            let per = Span::parse(per.trim()).ok()?.0;
            Some(Rate { messages, per }).filter(|rate| !rate.per.is_zero() && rate.messages <= MOST)
        });
        rate.map(|rate| RateWord(Some(rate)))
            .ok_or_else(|| format!("`{text}` is not valid: expected {}", Self::expected()))
    }

    fn written(&self) -> serde_json::Value {
        match self.0 {
            None => "off".into(),
            Some(Rate { messages, per }) => {
                let per = Span(per).written();
                format!("{messages}/{}", per.as_str().unwrap_or_default()).into()
            }
        }
    }
}

/// The moments of so many messages are remembered.
const MOST: u32 = 10_000;

field!(RateWord);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_and_written() {
        for (text, rate) in [("30/1m", Some((30, 60))), ("1/2h 30m", Some((1, 9_000))), ("off", None)] {
            let word = RateWord::parse(text).unwrap();
            assert_eq!(word.0.map(|rate| (rate.messages, rate.per.as_secs())), rate);
            assert_eq!(word.written(), text);
        }
        for text in ["", "30", "0/1m", "30/0s", "30/", "x/1m", "99999/1m"] {
            assert!(RateWord::parse(text).unwrap_err().contains("such as \"30/1m\""), "{text}");
        }
    }
}
