use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::frame::{Frame, Framed, Frames, put_gap, put_record};
use super::segment::Segment;
use super::*;
use crate::model::position::PartitionName;
use crate::model::{Stamp, Wall};

const SECOND: i64 = 1000;

fn name(topic: &str, partition: i32) -> PartitionName {
    PartitionName { topic: topic.into(), partition }
}

/// A record's parts, without its position.
type Parts = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>, Option<i64>, bool);

fn pushed(batch: &mut Batch, offset: u64, (key, value, headers, at, appended): &Parts) {
    let headers = headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
    batch.push((PartitionId(0), offset, *at), key.as_deref(), value.as_deref(), headers);
    if *appended {
        batch.stamp(Stamp::Appended);
    }
}

fn parts(framed: &Framed<'_>) -> Parts {
    let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers = framed.headers.iter().map(|(name, value)| (name.to_vec(), own(*value))).collect();
    (own(framed.key), own(framed.value), headers, framed.timestamp_ms, framed.stamp == Stamp::Appended)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

fn any_parts() -> impl Strategy<Value = Parts> {
    let optional = || proptest::option::of(bytes());
    let headers = vec((bytes(), optional()), 0..4);
    (optional(), optional(), headers, proptest::option::of(any::<i64>()), any::<bool>())
        .prop_map(|(key, value, headers, at, appended)| (key, value, headers, at, appended && at.is_some()))
}

proptest! {
    #[test]
    fn frames_give_back_what_was_put_in(all in vec((any::<u64>(), any_parts()), 0..20), gap in any::<(u64, u64)>()) {
        let mut batch = Batch::default();
        all.iter().for_each(|(offset, parts)| pushed(&mut batch, *offset, parts));
        let mut payload = Vec::new();
        batch.records().for_each(|record| put_record(&mut payload, 1, &record));
        put_gap(&mut payload, 0, gap);
        let mut frames = Frames::new(&payload, 2);
        for (offset, expected) in &all {
            let Ok(Some(Frame::Record(framed))) = frames.next() else { panic!("a record") };
            prop_assert_eq!((framed.span, framed.offset, parts(&framed)), (1, *offset, expected.clone()));
        }
        prop_assert_eq!(frames.next(), Ok(Some(Frame::Gap { span: 0, from: gap.0, to: gap.1 })));
        prop_assert_eq!(frames.next(), Ok(None));
    }

    #[test]
    fn bytes_that_are_no_frames_are_an_error_and_never_a_panic(payload in vec(any::<u8>(), 0..200)) {
        let mut frames = Frames::new(&payload, 3);
        for _ in 0..=payload.len() {
            if !matches!(frames.next(), Ok(Some(_))) {
                break;
            }
        }
    }

    #[test]
    fn bytes_that_are_no_segment_are_damage(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(Segment::read(&bytes).is_err());
    }
}

/// An archive in a folder of its own.
struct Tape {
    folder: tempfile::TempDir,
}

impl Tape {
    fn new() -> Tape {
        Tape { folder: tempfile::tempdir().unwrap() }
    }

    fn location(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn writer(&self) -> ArchiveWriter {
        ArchiveWriter::open(&self.location(), Keep::default()).unwrap()
    }

    /// Records these offsets of one partition, a second apart, and closes the segment.
    fn segment(&self, writer: &mut ArchiveWriter, of: &PartitionName, offsets: impl IntoIterator<Item = u64>) {
        put(writer, of, offsets);
        writer.close(Wall(0)).unwrap().unwrap();
    }

    fn segments(&self) -> Vec<PathBuf> {
        let mut all: Vec<_> = fs::read_dir(self.path("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    }

    fn story(&self, from: &[&str], to: &[&str]) -> Vec<String> {
        self.told(from, to, Behind::Left).0
    }

    fn told(&self, from: &[&str], to: &[&str], behind: Behind) -> (Vec<String>, Arc<dyn Control>, Partitions) {
        let places = |texts: &[&str], default| Places::parse(texts.iter().copied(), default, Wall(0)).unwrap();
        let (from, to) = (places(from, Place::Beginning), places(to, Place::End));
        let partitions = Partitions::default();
        let options = ArchiveOptions { location: self.location(), from, to, behind };
        let (events, control) = start(options, partitions.clone()).unwrap();
        let mut story = Vec::new();
        loop {
            match events.recv_timeout(Duration::from_secs(20)) {
                Ok(event) => tell(&event, &partitions, &mut story),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return (story, control, partitions),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("no event in time after {story:?}"),
            }
        }
    }
}

fn put(writer: &mut ArchiveWriter, of: &PartitionName, offsets: impl IntoIterator<Item = u64>) {
    let mut batch = Batch::default();
    for offset in offsets {
        let value = format!("v{offset}");
        batch.push((PartitionId(0), offset, Some(offset as i64 * SECOND)), Some(b"k"), Some(value.as_bytes()), []);
    }
    for record in batch.records() {
        writer.record(of, &record).unwrap();
    }
}

fn tell(event: &TapEvent, partitions: &Partitions, story: &mut Vec<String>) {
    let name = |id: &PartitionId| partitions.name(*id);
    match event {
        TapEvent::Records(batch) => {
            story.extend(batch.records().map(|record| format!("{}@{}", name(&record.partition), record.offset)));
        }
        TapEvent::Reached { partition, next } => story.push(format!("reached {} {next}", name(partition))),
        TapEvent::Assigned { partition, next } => story.push(format!("assigned {} {next}", name(partition))),
        TapEvent::RangeEnds { partition, at } => story.push(format!("range ends {} {at}", name(partition))),
        TapEvent::Gap { partition, from, to, why } => {
            story.push(format!("gap {} {from}..{to}: {}", name(partition), why.as_deref().unwrap_or("?")));
        }
        TapEvent::Ended => story.push("ended".to_owned()),
        TapEvent::Failed(error) => story.push(format!("failed({}) {}", error.fatal, error.what)),
        other @ (TapEvent::Revoked { .. } | TapEvent::Replaced { .. }) => panic!("an archive tells no {other:?}"),
    }
}

/// Three segments of `orders/0`, the middle one with `orders/1` too.
fn three() -> Tape {
    let tape = Tape::new();
    let mut writer = tape.writer();
    writer.begins(&name("orders", 0), 10).unwrap();
    tape.segment(&mut writer, &name("orders", 0), [10, 11]);
    put(&mut writer, &name("orders", 1), [0]);
    tape.segment(&mut writer, &name("orders", 0), [12, 14]);
    tape.segment(&mut writer, &name("orders", 0), [15]);
    tape
}

const WHOLE: [&str; 9] = [
    "assigned orders/0 10",
    "assigned orders/1 0",
    "orders/0@10",
    "orders/0@11",
    "orders/1@0",
    "orders/0@12",
    "orders/0@14",
    "orders/0@15",
    "ended",
];

#[test]
fn what_was_recorded_is_read_in_order() {
    assert_eq!(three().story(&[], &[]), WHOLE);
}

#[test]
fn offsets_that_the_log_passed_over_are_no_gap() {
    let tape = Tape::new();
    let mut writer = tape.writer();
    writer.begins(&name("t", 0), 0).unwrap();
    put(&mut writer, &name("t", 0), [3]);
    writer.reached(&name("t", 0), 7).unwrap();
    writer.close(Wall(0)).unwrap();
    tape.segment(&mut writer, &name("t", 0), [9]);
    assert_eq!(tape.story(&[], &[]), ["assigned t/0 0", "t/0@3", "reached t/0 7", "t/0@9", "ended"]);
}

#[test]
fn an_empty_partition_is_known_from_where_it_was_met() {
    let tape = Tape::new();
    let mut writer = tape.writer();
    writer.begins(&name("t", 0), 5).unwrap();
    writer.close(Wall(0)).unwrap();
    assert_eq!(tape.writer().next()[&name("t", 0)], 5, "what goes before the next run is a gap then");
    assert_eq!(tape.story(&[], &[]), ["assigned t/0 5", "ended"]);
}

#[test]
fn a_gap_at_recording_is_one_at_reading() {
    let tape = Tape::new();
    let mut writer = tape.writer();
    writer.begins(&name("t", 0), 2).unwrap();
    assert!(writer.gap(&name("t", 0), (2, 5)).unwrap());
    assert!(!writer.gap(&name("t", 0), (2, 5)).unwrap(), "it is recorded once");
    tape.segment(&mut writer, &name("t", 0), [5, 6]);
    let why = format!("they were gone from the log before they were recorded into archive `{}`", tape.location());
    let gap = |range: &str| format!("gap t/0 {range}: {why}");
    assert_eq!(tape.story(&[], &[]), ["assigned t/0 2", &gap("2..5"), "t/0@5", "t/0@6", "ended"]);
    assert_eq!(
        tape.story(&["4"], &["6"]),
        ["assigned t/0 4", &gap("4..5"), "t/0@5", "ended"],
        "as far as it was asked"
    );
}

#[test]
fn positions_are_found_by_the_index_and_the_rest_is_not_read() {
    let tape = three();
    // Only the middle segment is left: whatever else was read would be a gap.
    for index in [0, 2] {
        fs::remove_file(&tape.segments()[if index == 0 { 0 } else { 1 }]).unwrap();
    }
    let only = |from: &[&str], to: &[&str]| tape.story(&[from, &["1:end"]].concat(), to);
    let middle = ["assigned orders/0 12", "assigned orders/1 1", "orders/0@12", "orders/0@14", "ended"];
    assert_eq!(only(&["12"], &["15"]), middle);
    assert_eq!(only(&["s@12000"], &["s@14001"])[..4], middle[..4]);
    assert_eq!(only(&["s@11500"], &["-1"]), middle);
    assert_eq!(only(&["14"], &["15"])[2..], ["orders/0@14", "ended"]);
    assert_eq!(only(&["end"], &["end"]), ["assigned orders/0 16", "assigned orders/1 1", "ended"]);
}

#[test]
fn what_lies_before_the_archive_is_a_gap_and_behind_the_range_is_told() {
    let tape = three();
    let told = tape.told(&["7", "1:end"], &["11"], Behind::Read).0;
    let begins = format!("gap orders/0 7..10: archive `{}` begins at orders/0:10", tape.location());
    let expected =
        ["assigned orders/0 7", "range ends orders/0 11", &begins, "assigned orders/1 1", "range ends orders/1 1"];
    assert_eq!(told[..5], expected.map(str::to_owned)[..]);
    assert_eq!(told.len(), 5 + 5 + 1, "{told:?}");
}

#[test]
fn a_missing_segment_is_a_gap_that_names_it() {
    let tape = three();
    fs::remove_file(&tape.segments()[1]).unwrap();
    let story = tape.story(&[], &[]);
    let lost = |partition: &str, range: &str, held: &str| {
        format!(
            "gap {partition} {range}: segment `segments/000000000001.segment` of archive `{}` cannot be used: it is missing; it \
             held {held}; put it back from a copy of the archive, or record that range again into another one",
            tape.location()
        )
    };
    let expected = [
        "assigned orders/0 10".to_owned(),
        "assigned orders/1 0".to_owned(),
        "orders/0@10".to_owned(),
        "orders/0@11".to_owned(),
        lost("orders/1", "0..1", "orders/1:0 to 1"),
        lost("orders/0", "12..15", "orders/0:12 to 15"),
        "orders/0@15".to_owned(),
        "ended".to_owned(),
    ];
    assert_eq!(story, expected);
}

#[test]
fn damage_at_any_byte_of_a_segment_is_noticed() {
    let tape = three();
    let path = &tape.segments()[1];
    let whole = fs::read(path).unwrap();
    let cuts = (0..whole.len()).map(|length| whole[..length].to_vec());
    let flips = (0..whole.len()).flat_map(|at| [1u8, 0x80].map(|bit| (at, bit))).map(|(at, bit)| {
        let mut bytes = whole.clone();
        bytes[at] ^= bit;
        bytes
    });
    let longer = [[&whole[..], b"x"].concat()];
    for bytes in cuts.chain(flips).chain(longer) {
        assert!(Segment::read(&bytes).is_err());
        fs::write(path, &bytes).unwrap();
        let story = tape.story(&["12", "1:end"], &["15"]);
        assert!(story.iter().any(|line| line.starts_with("gap orders/0 12..15: segment")), "{story:?}");
        assert_eq!(story.last().unwrap(), "ended");
    }
}

#[test]
fn a_segment_in_the_place_of_another_is_noticed() {
    let tape = three();
    let segments = tape.segments();
    fs::copy(&segments[0], &segments[1]).unwrap();
    let story = tape.story(&[], &[]);
    assert!(story.iter().any(|line| line.contains("it is not the one that the index names")), "{story:?}");
}

#[test]
fn damage_at_any_byte_of_the_index_costs_nothing_and_of_the_root_is_an_error() {
    let tape = three();
    let page = tape.path("index/000000000000.jsonl");
    let whole = fs::read(&page).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&page, &bytes).unwrap();
        let story = tape.story(&[], &[]);
        assert!(
            story[0].starts_with("failed(false) the index page `index/000000000000.jsonl` is damaged"),
            "{story:?}"
        );
        assert_eq!(story[1..], WHOLE.map(str::to_owned)[..]);
    }
    fs::remove_file(&page).unwrap();
    assert_eq!(tape.story(&[], &[]), WHOLE, "segments name themselves");
    drop(tape.writer());
    assert_eq!(fs::read(&page).unwrap(), whole, "the next recorder writes it anew");
    let root = tape.path("archive.json");
    let whole = fs::read(&root).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&root, &bytes).unwrap();
        let story = tape.story(&[], &[]);
        assert!(story[0].starts_with("failed(true) `archive.json` of the archive cannot be used"), "{story:?}");
    }
    fs::remove_file(&root).unwrap();
    assert!(
        tape.story(&[], &[])[0].starts_with("failed(true) `archive.json` of the archive cannot be used: it is missing")
    );
}

#[test]
fn a_segment_that_is_lost_with_its_index_never_looks_whole() {
    for (lost, expected) in [
        (0, "failed(true) nothing says which records segment `segments/000000000000.segment` held"),
        (1, "failed(true) nothing says which records segment `segments/000000000001.segment` held"),
    ] {
        let tape = three();
        fs::remove_file(tape.path("index/000000000000.jsonl")).unwrap();
        fs::remove_file(&tape.segments()[lost]).unwrap();
        let story = tape.story(&[], &[]);
        assert!(story.last().unwrap().starts_with(expected), "{story:?}");
    }
    let tape = three();
    fs::remove_file(tape.path("index/000000000000.jsonl")).unwrap();
    fs::write(&tape.segments()[2], b"AFTIMG").unwrap();
    let story = tape.story(&[], &[]);
    assert!(story.last().unwrap().starts_with("failed(true) nothing says which records segment"), "{story:?}");
    let mut writer = tape.writer();
    assert_eq!(writer.next()[&name("orders", 0)], 15, "what it held is recorded again");
    tape.segment(&mut writer, &name("orders", 0), [15]);
    assert_eq!(tape.story(&[], &[]), WHOLE);
    assert!(tape.path("damaged/000000000002.segment").exists());
}

#[test]
fn a_killed_recorder_leaves_nothing_that_a_reader_or_the_next_one_minds() {
    let tape = three();
    // Killed while a file was written, and between a segment and its page.
    fs::write(tape.path("segments/.open-x1"), b"half").unwrap();
    let page = tape.path("index/000000000000.jsonl");
    let before = fs::read(&page).unwrap();
    let mut writer = tape.writer();
    assert!(!tape.path("segments/.open-x1").exists());
    tape.segment(&mut writer, &name("orders", 0), [16]);
    fs::write(&page, before).unwrap();
    let more = ["orders/0@16", "ended"];
    assert_eq!(tape.story(&["16", "1:end"], &[])[2..], more);
    let mut writer = tape.writer();
    assert_eq!(writer.next()[&name("orders", 0)], 17);
    tape.segment(&mut writer, &name("orders", 0), [16, 17]);
    assert_eq!(tape.story(&["16", "1:end"], &[])[2..], ["orders/0@16", "orders/0@17", "ended"], "nothing twice");
}

#[test]
fn two_recorders_do_not_mix() {
    let tape = three();
    let (mut one, mut other) = (tape.writer(), tape.writer());
    tape.segment(&mut one, &name("orders", 0), [16]);
    put(&mut other, &name("orders", 0), [16]);
    let refused = other.close(Wall(0)).unwrap_err().to_string();
    assert!(refused.contains("another `record` writes to this archive"), "{refused}");
}

#[test]
fn retention_takes_the_oldest_and_the_next_run_knows_where_to_go_on() {
    let of = |segments: &[u64], keep: Keep| {
        let tape = Tape::new();
        let mut writer = ArchiveWriter::open(&tape.location(), keep).unwrap();
        put(&mut writer, &name("quiet", 0), [4]);
        for segment in segments {
            put(&mut writer, &name("t", 0), [*segment]);
            writer.close(Wall(100 * SECOND)).unwrap();
        }
        tape
    };
    let by_age = of(&[10, 60, 70, 99], Keep { for_ms: Some(40 * SECOND), bytes: None });
    let by_size = of(&[10, 60, 70, 99], Keep { for_ms: None, bytes: Some(1000) });
    let all = of(&[10, 60, 70, 99], Keep { for_ms: Some(0), bytes: None });
    for (tape, expected) in [
        (by_age, &["assigned quiet/0 5", "assigned t/0 11", "t/0@60", "t/0@70", "t/0@99", "ended"][..]),
        (all, &["assigned quiet/0 5", "assigned t/0 71", "t/0@99", "ended"]),
    ] {
        assert_eq!(tape.story(&[], &[]), expected);
        let next = BTreeMap::from([(name("quiet", 0), 5), (name("t", 0), 100)]);
        assert_eq!(*tape.writer().next(), next);
        assert_eq!(tape.segments().len(), expected.iter().filter(|line| line.contains("t/0@")).count());
    }
    let bytes: u64 = by_size.segments().iter().map(|path| size(path)).sum();
    assert!(bytes <= 1000 && !by_size.segments().is_empty(), "{bytes}");
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn pages_of_the_index_are_bounded() {
    let tape = Tape::new();
    let mut writer = ArchiveWriter::open(&tape.location(), Keep::default()).unwrap();
    (0..130).for_each(|offset| tape.segment(&mut writer, &name("t", 0), [offset]));
    assert_eq!(fs::read_dir(tape.path("index")).unwrap().count(), 2);
    assert_eq!(tape.story(&["127"], &["129"]), ["assigned t/0 127", "t/0@127", "t/0@128", "ended"]);
    let mut writer = ArchiveWriter::open(&tape.location(), Keep { for_ms: None, bytes: Some(0) }).unwrap();
    tape.segment(&mut writer, &name("t", 0), [130]);
    assert_eq!(fs::read_dir(tape.path("index")).unwrap().count(), 1);
    assert_eq!(tape.story(&[], &[]), ["assigned t/0 130", "t/0@130", "ended"]);
}

#[test]
fn records_are_found_again() {
    let tape = three();
    let (_, control, partitions) = tape.told(&[], &[], Behind::Left);
    let id = |partition| partitions.id(&name("orders", partition)).unwrap();
    let wanted = [(0, 14), (1, 0), (0, 13), (0, 10)];
    let wanted = wanted.map(|(partition, offset)| Position { partition: id(partition), offset });
    let mut story = Vec::new();
    control.read_again(&wanted, &mut |batch| tell(&TapEvent::Records(batch), &partitions, &mut story)).unwrap();
    assert_eq!(story, ["orders/0@10", "orders/1@0", "orders/0@14"]);
    assert_eq!(control.ends(&[id(0), id(1)]).unwrap(), [(id(0), 16), (id(1), 1)]);
}

#[test]
fn what_an_archive_cannot_do_is_said() {
    let tape = Tape::new();
    assert!(tape.story(&[], &[])[0].starts_with("failed(true) there is no archive"));
    let stored = Places::all(Place::Stored);
    let options =
        ArchiveOptions { location: tape.location(), from: stored, to: Places::all(Place::End), behind: Behind::Left };
    let refused = start(options, Partitions::default()).map(drop).unwrap_err().to_string();
    assert!(refused.contains("keeps no committed offsets"), "{refused}");
}
