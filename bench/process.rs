//! What a process has used so far, as the kernel counts it; and the broker's administration.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

/// User and system time of a process that runs, in seconds.
pub(crate) fn cpu(process: u32) -> f64 {
    cpu_of(process).expect("the process runs")
}

/// User and system time of a process that may be gone, in seconds.
pub(crate) fn cpu_of(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|index| fields.get(*index)?.parse::<f64>().ok()).sum();
    Some(ticks / 100.0)
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).unwrap_or_default() * 1024
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an admin client starts")
}

/// Makes a topic.
pub(crate) async fn make_topic(brokers: &str, name: &str, partitions: i32) {
    let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    admin(brokers).create_topics([&new], &AdminOptions::new()).await.expect("the topic can be made");
}

/// Removes a topic. One that stays is no reason to lose the figures.
pub(crate) async fn remove_topic(brokers: &str, name: &str) {
    let _ = admin(brokers).delete_topics(&[name], &AdminOptions::new()).await;
}
