//! The Markdown table of recorded regimes.

use std::fmt::Write as _;

use serde_json::Value;

/// The table of all records of this bench among the lines.
pub(crate) fn markdown(lines: &str) -> String {
    let records: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let records: Vec<&Value> = records.iter().filter(|record| record["bench"] == "judge").collect();
    let mut text = String::new();
    text.push_str(
        "| lag | rule | alarms | precision | lost, found | recall | second writer, found | time to detect p50 / p99 / max \
         | reads per change |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for record in &records {
        let own = &record["afterimage"];
        row(&mut text, record, "**afterimage**", own, &own["opened"], &record["sidecar"]["reads_per_change"]);
        for rule in record["rules"].as_array().into_iter().flatten() {
            let name = match &rule["share_of_keys_per_cent"] {
                share if *share == 100 => plain(&rule["rule"]),
                share => format!("{} ({share} % of keys)", plain(&rule["rule"])),
            };
            row(&mut text, record, &name, rule, &rule["alarms"], &rule["reads_per_change"]);
        }
    }
    text.push('\n');
    text.push_str(
        "| lag | changes | earliest possible | p50 over it | early / settled / committed precision | healed, found \
         | wrong kind / cause / offset | target CPU: sidecar / applier | sidecar CPU |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    records.iter().for_each(|record| details(&mut text, record));
    text.push('\n');
    kinds(&mut text, &records);
    text
}

fn row(text: &mut String, record: &Value, name: &str, of: &Value, alarms: &Value, reads: &Value) {
    let (lost, planted, ttd) = (&of["lost"], &of["planted"], &of["lost"]["ttd_s"]);
    writeln!(
        text,
        "| {} s | {name} | {} | {} | {} of {} | {} | {} of {} | {} / {} / {} s | {} |",
        plain(&record["lag_s"]),
        plain(alarms),
        share(&of["precision"]),
        plain(&lost["found"]),
        plain(&lost["all"]),
        share(&lost["recall"]),
        plain(&planted["found"]),
        plain(&planted["all"]),
        plain(&ttd["p50"]),
        plain(&ttd["p99"]),
        plain(&ttd["max"]),
        plain(reads),
    )
    .expect("a string takes all");
}

fn details(text: &mut String, record: &Value) {
    let own = &record["afterimage"];
    let of_proof = |proof: &str| share(&own["by_proof"][proof]["precision"]);
    writeln!(
        text,
        "| {} s | {} | {} s | {} × | {} / {} / {} | {} of {} | {} / {} / {} | {} / {} s | {} s |",
        plain(&record["lag_s"]),
        plain(&record["changes_with_the_rest"]),
        plain(&record["earliest_s"]),
        plain(&own["lost"]["p50_over_earliest"]),
        of_proof("early"),
        of_proof("settled"),
        of_proof("committed"),
        plain(&own["healed"]["found"]),
        plain(&own["healed"]["all"]),
        plain(&own["wrong_kind"]),
        plain(&own["wrong_cause"]),
        plain(&own["wrong_offset"]),
        plain(&record["target_cpu_s"]["afterimage"]),
        plain(&record["target_cpu_s"]["applier"]),
        plain(&record["sidecar"]["cpu_s"]),
    )
    .expect("a string takes all");
}

/// Rows that stay wrong, by kind: found of all, over all regimes.
fn kinds(text: &mut String, records: &[&Value]) {
    let mut sums = std::collections::BTreeMap::<&str, (u64, u64)>::new();
    for record in records {
        for (kind, counts) in record["afterimage"]["by_kind"].as_object().into_iter().flatten() {
            let sum = sums.entry(kind).or_default();
            sum.0 += counts["all"].as_u64().unwrap_or_default();
            sum.1 += counts["found"].as_u64().unwrap_or_default();
        }
    }
    text.push_str("| what stays wrong | rows | found |\n|---|---|---|\n");
    for (kind, (all, found)) in sums {
        writeln!(text, "| {kind} | {all} | {found} |").expect("a string takes all");
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn share(value: &Value) -> String {
    value.as_f64().map_or("–".into(), |share| format!("{share:.3}"))
}
