//! What is shown while the demo runs: a view that is redrawn on a terminal, a line every ten seconds elsewhere.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::View;
use super::applier::kafka::Progress;
use super::score::{Line, Score};

/// Between two lines where nothing can be redrawn.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Everything that is shown.
pub(super) struct Picture<'a> {
    pub(super) elapsed: Duration,
    pub(super) about: Duration,
    pub(super) phase: &'static str,
    pub(super) changes: u64,
    pub(super) applier: &'a Progress,
    pub(super) verified: u64,
    pub(super) suspected: usize,
    pub(super) score: &'a Score,
    pub(super) last: Option<&'a str>,
}

/// The view.
pub(super) enum Live {
    Redrawn(ProgressBar),
    Lines { next: Duration },
}

impl Live {
    pub(super) fn new(view: View) -> Live {
        match view {
            View::Live => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                if let Ok(style) = ProgressStyle::with_template("{msg}") {
                    bar.set_style(style);
                }
                Live::Redrawn(bar)
            }
            View::Lines => Live::Lines { next: Duration::ZERO },
        }
    }

    pub(super) fn show(&mut self, picture: &Picture<'_>) {
        match self {
            Live::Redrawn(bar) => {
                bar.set_message(picture.block());
                bar.tick();
            }
            Live::Lines { next } if picture.elapsed >= *next => {
                *next = picture.elapsed + LINE_EVERY;
                // A closed standard error must not end the demo.
                let _ = writeln!(std::io::stderr(), "{}", picture.line());
            }
            Live::Lines { .. } => {}
        }
    }

    /// Takes the view away, so that the report stands alone.
    pub(super) fn end(&self) {
        match self {
            Live::Redrawn(bar) => bar.finish_and_clear(),
            Live::Lines { .. } => {}
        }
    }
}

impl Picture<'_> {
    fn block(&self) -> String {
        let Line { planted, healed, found, waiting, wrong } = self.score.total();
        let counts = self.applier.counts;
        let mut lines = vec![
            format!("afterimage demo   {} of about {}   {}", clock(self.elapsed), clock(self.about), self.phase),
            format!("  source    {} changes of 5 tables", self.changes),
            format!(
                "  applier   {} changes in {} windows, {} restarts in the middle, lag {:.1} s",
                counts.changes,
                counts.windows,
                counts.restarts,
                self.applier.lag_p50.as_secs_f64(),
            ),
            format!("  losses    {planted} planted, {healed} healed before proof"),
            format!("  sidecar   {found} found, {waiting} to be proven, {} suspected, {wrong} false", self.suspected),
            format!("            {} records verified for good", self.verified),
        ];
        lines.extend(self.last.map(|last| format!("  last      {last}")));
        lines.join("\n")
    }

    fn line(&self) -> String {
        let Line { planted, healed, found, waiting, wrong } = self.score.total();
        format!(
            "demo {}: {}: {} changes, {} applied, {} restarts; losses: {planted} planted, {healed} healed, {found} found, \
             {waiting} to be proven, {wrong} false",
            clock(self.elapsed),
            self.phase,
            self.changes,
            self.applier.counts.changes,
            self.applier.counts.restarts,
        )
    }
}

fn clock(time: Duration) -> String {
    format!("{:02}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}
