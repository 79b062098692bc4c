//! The counters of this process, as Prometheus reads them.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::name;

/// Queries and writes of a healthy database take a millisecond; past ten seconds only "too long" matters.
const QUERY_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Verdicts wait for proof: seconds with frequent commits, minutes with rare ones, hours behind a stalled applier.
const DELAY_BUCKETS: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// Lookups hold at most some hundreds of keys.
const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// Counters that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("the metrics recorder cannot be installed")]
pub struct MetricsError(#[from] BuildError);

/// A handle on the counters of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

impl Metrics {
    /// Installs the recorder of this process.
    ///
    /// # Errors
    /// There is one already.
    pub fn install() -> Result<Metrics, MetricsError> {
        let handle = builder()?.install_recorder()?;
        let process = metrics_process::Collector::default();
        process.describe();
        describe();
        Ok(Metrics { handle, process })
    }

    /// A handle on a recorder that is not installed, for one that is used only within a scope.
    ///
    /// # Errors
    /// Never with the buckets above.
    pub fn local() -> Result<(PrometheusRecorder, Metrics), MetricsError> {
        let recorder = builder()?.build_recorder();
        let metrics = Metrics { handle: recorder.handle(), process: metrics_process::Collector::default() };
        metrics::with_local_recorder(&recorder, describe);
        Ok((recorder, metrics))
    }

    /// The page that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }

    /// Folds what histograms have gathered. To be called every few seconds: without it they grow.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let full = |name: &str| Matcher::Full(name.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(full(name::TARGET_QUERY_DURATION), QUERY_BUCKETS)?
        .set_buckets_for_metric(full(name::STORE_WRITE_DURATION), QUERY_BUCKETS)?
        .set_buckets_for_metric(full(name::CHECK_DELAY), DELAY_BUCKETS)?
        .set_buckets_for_metric(full(name::TARGET_BATCH_KEYS), BATCH_BUCKETS)
}

fn describe() {
    name::describe_all();
    metrics::gauge!(name::BUILD_INFO, name::VERSION => env!("CARGO_PKG_VERSION")).set(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_have_buckets_and_everything_has_its_prefix() {
        let (recorder, metrics) = Metrics::local().unwrap();
        metrics::with_local_recorder(&recorder, || {
            for (name, kind) in name::ALL {
                assert!(name.starts_with("afterimage_"), "{name}");
                match *kind {
                    "counter" => metrics::counter!(*name).increment(1),
                    "gauge" => metrics::gauge!(*name).set(1.0),
                    _ => metrics::histogram!(*name).record(0.002),
                }
            }
        });
        let page = metrics.handle.render();
        for (name, kind) in name::ALL {
            assert!(page.contains(&format!("# TYPE {name} {kind}\n")), "{name} {kind}: {page}");
            assert!(page.contains(&format!("# HELP {name} ")), "{name}: {page}");
        }
        assert!(page.contains("afterimage_check_delay_seconds_bucket{le=\"0.5\"} 1"), "{page}");
    }
}
