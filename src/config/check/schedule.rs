//! Runs by the clock.

use std::collections::BTreeSet;

use super::Checker;
use crate::config::raw::{RawPipeline, RawSchedule};
use crate::config::schedule::{ScheduledRun, Timetable};
use crate::config::tree::Path;
use crate::config::word::{Schedule, TapType};

impl Checker<'_> {
    pub(super) fn schedules(&mut self, path: &Path, raw: &RawPipeline) -> Vec<ScheduledRun> {
        let mut names = BTreeSet::new();
        let mut schedules = Vec::new();
        for (index, one) in raw.schedules.iter().enumerate() {
            let path = path.index(index);
            let Some(schedule) = self.schedule(&path, one, raw) else { continue };
            if !names.insert(schedule.name.clone()) {
                let message =
                    format!("`{}` is another schedule's name already: give each a `name` of its own", schedule.name);
                self.wrong(&path.key("name"), message);
            }
            schedules.push(schedule);
        }
        schedules
    }

    fn schedule(&mut self, path: &Path, raw: &RawSchedule, pipeline: &RawPipeline) -> Option<ScheduledRun> {
        let timetable = Timetable::parse(&raw.cron, raw.zone);
        let timetable = timetable.map_err(|wrong| self.wrong(&path.key("cron"), wrong)).ok();
        let Some(run) = raw.run else {
            self.wrong(&path.key("run"), "missing: expected `revalidate`, `audit` or `import`");
            return None;
        };
        match run {
            Schedule::Reconcile => {
                let wrong = "`reconcile` is not supported by this version: expected `revalidate`, `audit` or `import`";
                self.wrong(&path.key("run"), wrong);
            }
            Schedule::Audit
                if pipeline.tap.kind == Some(TapType::File) && pipeline.tap.path.as_deref() == Some("-") =>
            {
                self.wrong(&path.key("run"), "standard input cannot be read twice: expected a tap that can");
            }
            Schedule::Audit | Schedule::Revalidate | Schedule::Import => {}
        }
        let url = raw.dms_failures.expose();
        let is_url = ["postgres://", "postgresql://", "mysql://", "mariadb://", "sqlite:"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        if !url.is_empty() && run != Schedule::Import {
            self.wrong(&path.key("dms_failures"), "is read by `import` alone: remove the key, or set run = \"import\"");
        } else if !url.is_empty() && !is_url {
            self.wrong(&path.key("dms_failures"), "no database: expected postgres://…, mysql://… or sqlite:PATH");
        }
        Some(ScheduledRun {
            name: raw.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| run.word().to_owned()),
            run,
            timetable: timetable?,
            offset: raw.offset.map(|span| span.0).unwrap_or_default(),
            failures: (!url.is_empty()).then(|| raw.dms_failures.0.clone()),
        })
    }
}
