//! Other settings of the judge than those a seed draws, over the same worlds: what each default is worth.

use std::time::Duration;

use afterimage::engine::limit::Margin;

use crate::option;
use crate::plan::Plan;

/// What is set otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    settle: Option<Duration>,
    zombie_after: Option<Duration>,
    confirmations: Option<u32>,
    confirm_after: Option<Duration>,
}

impl Settings {
    /// From words like `--settle 10`: seconds; `--confirm-after` takes milliseconds.
    pub(crate) fn read(words: &[&str]) -> Settings {
        Settings {
            settle: option(words, "--settle").map(Duration::from_secs),
            zombie_after: option(words, "--zombie-after").map(Duration::from_secs),
            confirmations: option(words, "--confirmations").and_then(|count| u32::try_from(count).ok()),
            confirm_after: option(words, "--confirm-after").map(Duration::from_millis),
        }
    }

    /// Whether the judge is as the seed draws it.
    pub(crate) fn are_default(self) -> bool {
        self == Settings::default()
    }

    /// The same world under these settings.
    pub(crate) fn apply(self, mut plan: Plan) -> Plan {
        let options = &mut plan.options;
        options.settle = self.settle.map_or(options.settle, Margin::Stated);
        options.zombie_after = self.zombie_after.unwrap_or(options.zombie_after);
        options.confirmations = self.confirmations.or(options.confirmations);
        options.confirm_after = self.confirm_after.unwrap_or(options.confirm_after);
        plan
    }
}
