//! A finding as the store holds it: another version, or somebody else, may have written it.

use afterimage::model::position::PartitionName;
use afterimage::model::{PartitionId, TableId, Tick, Wall};
use afterimage::report::document::Document;
use afterimage::report::output::{Format, Ink, Look, print_with};
use afterimage::report::revive::Directory;

/// A finding's JSON. What reads is written as what reads the same, can be printed in every format, and comes to life or not.
pub(crate) fn finding(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Document>(bytes) else { return };
    let text = serde_json::to_string(&document).expect("a finding can be written");
    let again: Document = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(serde_json::to_string(&again).expect("it can be written"), text);
    let look = Look { width: Some(100), ink: Ink::Plain };
    for format in Format::ALL {
        let mut out = Vec::new();
        print_with(look, format, std::slice::from_ref(&document), None, &mut out).expect("memory takes all");
        assert!(String::from_utf8(out).is_ok_and(|text| !text.is_empty()), "as {}", format.word());
    }
    let _ = document.position();
    if let Some(finding) = document.revive(&Everything) {
        assert_eq!(finding.observations, document.observations);
    }
}

/// Knows every name.
struct Everything;

impl Directory for Everything {
    fn table(&self, _: &str) -> Option<TableId> {
        Some(TableId(1))
    }

    fn partition(&self, name: &PartitionName) -> Option<PartitionId> {
        u16::try_from(name.partition).ok().map(PartitionId)
    }

    fn tick(&self, at: Wall) -> Tick {
        Tick(u64::try_from(at.0).unwrap_or_default())
    }
}
