use super::*;
use crate::tap::{Behind, TapEvent};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

const LINES: &str = r#"{"topic":"orders","partition":0,"offset":7,"tstype":"create","ts":1000,"broker":1,"headers":["h","v","n",null],"key":"k\n1","payload":"{\"a\":1}"}
{"topic":"orders","partition":1,"offset":0,"tstype":"create","ts":1500,"broker":1,"key":null,"payload":null}

{"topic":"orders","partition":0,"offset":9,"tstype":"create","ts":2000,"broker":1,"key":"","payload":""}
{"topic":"orders","partition":0,"offset":12,"tstype":"create","ts":3000,"broker":1,"key":"k","payload":"z"}
"#;

struct Told {
    control: Arc<dyn Control>,
    partitions: Partitions,
    events: Vec<TapEvent>,
}

impl Told {
    /// One line an event, records as `topic/partition@offset`.
    fn story(&self) -> Vec<String> {
        let name = |id: &PartitionId| self.partitions.name(*id);
        let one = |event: &TapEvent| match event {
            TapEvent::Records(batch) => {
                batch.records().map(|record| format!("{}@{}", name(&record.partition), record.offset)).collect()
            }
            TapEvent::Reached { partition, next } => vec![format!("reached {} {next}", name(partition))],
            TapEvent::Assigned { partition, next } => vec![format!("assigned {} {next}", name(partition))],
            TapEvent::RangeEnds { partition, at } => vec![format!("range ends {} {at}", name(partition))],
            TapEvent::Ended => vec!["ended".to_owned()],
            TapEvent::Failed(error) => vec![format!("failed({}) {}", error.fatal, error.what)],
            other @ (TapEvent::Revoked { .. } | TapEvent::Gap { .. } | TapEvent::Replaced { .. }) => {
                panic!("a file tells no {other:?}")
            }
        };
        self.events.iter().flat_map(one).collect()
    }
}

fn places(texts: &[&str], default: Place) -> Places {
    Places::parse(texts.iter().copied(), default, Wall(0)).unwrap()
}

fn options(path: &Path, from: &[&str], to: &[&str]) -> FileOptions {
    let path = path.to_str().unwrap().to_owned();
    FileOptions { path, from: places(from, Place::Beginning), to: places(to, Place::End), behind: Behind::Left }
}

fn read(options: FileOptions) -> Told {
    let partitions = Partitions::default();
    let (receiver, control) = start(options, partitions.clone()).unwrap();
    let mut events = Vec::new();
    loop {
        match receiver.recv_timeout(Duration::from_secs(20)) {
            Ok(event) => events.push(event),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Told { control, partitions, events },
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("no event in time after {events:?}"),
        }
    }
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn story(lines: &str, from: &[&str], to: &[&str]) -> Vec<String> {
    let file = written(lines.as_bytes());
    read(options(file.path(), from, to)).story()
}

#[test]
fn lines_become_records_with_their_headers() {
    let file = written(LINES.as_bytes());
    let told = read(options(file.path(), &[], &[]));
    let whole = [
        "assigned orders/0 7",
        "orders/0@7",
        "assigned orders/1 0",
        "orders/1@0",
        "orders/0@9",
        "orders/0@12",
        "reached orders/0 13",
        "reached orders/1 1",
        "ended",
    ];
    assert_eq!(told.story(), whole);
    let TapEvent::Records(first) = &told.events[1] else { panic!("records first") };
    let first = first.records().next().unwrap();
    assert_eq!((first.key, first.value), (Some(&b"k\n1"[..]), Some(&b"{\"a\":1}"[..])));
    assert_eq!((first.timestamp_ms, first.header("h"), first.header("n")), (Some(1000), Some(&b"v"[..]), None));
    assert_eq!(first.headers().count(), 2);
    let batches = told.events.iter().filter_map(|event| {
        let TapEvent::Records(batch) = event else { return None };
        Some(batch)
    });
    let nothing = batches.flat_map(|batch| batch.records()).skip(1).map(|record| (record.key, record.value));
    let nothing: Vec<_> = nothing.collect();
    assert_eq!(nothing, [(None, None), (Some(&b""[..]), Some(&b""[..])), (Some(&b"k"[..]), Some(&b"z"[..]))]);
    assert_eq!(
        told.control.ends(&[PartitionId(0), PartitionId(1)]).unwrap(),
        [(PartitionId(0), 13), (PartitionId(1), 1)]
    );
}

#[test]
fn what_lies_behind_a_range_comes_after_its_end_was_told() {
    let file = written(LINES.as_bytes());
    let behind = |from: &[&str], to: &[&str]| {
        let told = read(FileOptions { behind: Behind::Read, ..options(file.path(), from, to) });
        told.story().into_iter().filter(|line| !line.starts_with("reached") && line != "ended").collect::<Vec<_>>()
    };
    let records =
        ["assigned orders/0 7", "orders/0@7", "assigned orders/1 0", "orders/1@0", "orders/0@9", "orders/0@12"];
    assert_eq!(behind(&[], &[]), records);
    let with = |index: usize, end: &str| {
        let mut lines: Vec<String> = records.map(str::to_owned).to_vec();
        lines.insert(index, end.to_owned());
        lines
    };
    assert_eq!(behind(&[], &["0:8"]), with(4, "range ends orders/0 9"));
    assert_eq!(behind(&[], &["0:-1"]), with(5, "range ends orders/0 12"));
    assert_eq!(behind(&[], &["1:1970-01-01T00:00:01Z"]), with(2, "range ends orders/1 0"));
    assert_eq!(behind(&["12"], &["9"]), ["range ends orders/0 9", "assigned orders/0 12", "orders/0@12"]);
}

#[test]
fn packed_files_read_alike() {
    let plain = story(LINES, &[], &[]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let (head, tail) = LINES.split_at(300);
    gzip.write_all(head.as_bytes()).unwrap();
    let mut members = gzip.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(tail.as_bytes()).unwrap();
    members.extend(gzip.finish().unwrap());
    for packed in [members, zstd::encode_all(LINES.as_bytes(), 1).unwrap()] {
        assert_eq!(read(options(written(&packed).path(), &[], &[])).story(), plain);
    }
}

#[test]
fn ranges_are_honoured_and_the_end_is_the_files() {
    let only_zero = |from: &str, to: &str| story(LINES, &[from, "1:end"], &[to]);
    assert_eq!(only_zero("8", "12"), ["assigned orders/0 9", "orders/0@9", "reached orders/0 10", "ended"]);
    assert_eq!(
        only_zero("-4", "end"),
        ["assigned orders/0 9", "orders/0@9", "orders/0@12", "reached orders/0 13", "ended"]
    );
    assert_eq!(only_zero("s@1500", "s@3000"), ["assigned orders/0 9", "orders/0@9", "reached orders/0 10", "ended"]);
    assert_eq!(only_zero("beginning", "-6"), ["ended"]);
    let file = written(LINES.as_bytes());
    let told = read(options(file.path(), &["8"], &["10"]));
    assert_eq!(told.control.ends(&[PartitionId(0)]).unwrap(), [(PartitionId(0), 13)], "the whole file, also past `to`");
}

#[test]
fn broken_lines_do_not_vanish() {
    let lines = concat!(
        r#"{"topic":"t","partition":0,"offset":5,"ts":1,"key":null,"payload":"a"}"#,
        "\n",
        "not json\n",
        r#"{"topic":"t","partition":0,"offset":5,"ts":1,"key":null,"payload":"again"}"#,
        "\n",
        r#"{"topic":"t","partition":0,"offset":6,"ts":1,"key":null,"payload":{"not":"text"}}"#,
        "\n",
        r#"{"topic":"t","partition":0,"offset":7,"ts":1,"key":null,"payload":"#,
    );
    let file = written(lines.as_bytes());
    let told = read(options(file.path(), &[], &[]));
    let path = file.path().to_str().unwrap();
    let expected = [
        "assigned t/0 5".to_owned(),
        "t/0@5".to_owned(),
        "failed(false) line 2 is no record of `kcat -J` (syntax error)".to_owned(),
        format!("assigned {path}/-1 2"),
        format!("{path}/-1@2"),
        "failed(false) line 3 has offset 5 of `t/0`, which is not above the one before, 5".to_owned(),
        format!("{path}/-1@3"),
        "failed(false) line 4 is no record of `kcat -J` (field error)".to_owned(),
        format!("{path}/-1@4"),
        "failed(false) line 5 is no record of `kcat -J` (cut-off error)".to_owned(),
        format!("{path}/-1@5"),
        "reached t/0 6".to_owned(),
        format!("reached {path}/-1 6"),
        "ended".to_owned(),
    ];
    assert_eq!(told.story(), expected);
    let TapEvent::Records(batch) = &told.events[4] else { panic!("the raw line") };
    assert_eq!(batch.records().next().unwrap().value, Some(&b"not json"[..]));
}

#[test]
fn a_flood_of_broken_lines_is_counted() {
    let story = story(&"x\n".repeat(50), &[], &[]);
    assert_eq!(story.iter().filter(|line| line.starts_with("failed")).count(), 21);
    assert_eq!(story.iter().filter(|line| line.contains("/-1@")).count(), 50);
    assert!(story.contains(&"failed(false) 30 more lines are no records of `kcat -J`".to_owned()));
}

#[test]
fn a_damaged_archive_ends_in_an_error_and_never_in_the_end() {
    let packed = zstd::encode_all(LINES.as_bytes(), 1).unwrap();
    let story = read(options(written(&packed[..packed.len() - 9]).path(), &[], &[])).story();
    assert!(story.last().unwrap().starts_with("failed(true) reading failed in line"), "{story:?}");
    assert!(!story.contains(&"ended".to_owned()));
}

#[test]
fn what_a_file_cannot_do_is_refused_at_once() {
    let refused = |options: FileOptions| start(options, Partitions::default()).map(drop).unwrap_err().to_string();
    let stored = refused(options(Path::new("x"), &["stored"], &[]));
    assert!(stored.contains("a file keeps no committed offsets on `x`: use `beginning`"), "{stored}");
    let back = refused(options(Path::new("-"), &["-5"], &[]));
    assert!(back.contains("save it to a file first"), "{back}");
    let missing = refused(options(Path::new("/no/such/file"), &[], &[]));
    assert!(missing.contains("cannot be opened on `/no/such/file`"), "{missing}");
}

#[test]
fn stopping_ends_without_an_end() {
    let record = |offset: u64| {
        format!("{{\"topic\":\"t\",\"partition\":0,\"offset\":{offset},\"ts\":1,\"key\":null,\"payload\":\"x\"}}\n")
    };
    let file = written((0..200_000).map(record).collect::<String>().as_bytes());
    let (receiver, control) = start(options(file.path(), &[], &[]), Partitions::default()).unwrap();
    receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(control.ends(&[PartitionId(0)]).is_err(), "not known yet");
    control.stop();
    assert!(receiver.iter().all(|event| !matches!(event, TapEvent::Ended)));
}

#[test]
fn records_are_found_again_in_plain_and_packed_files() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(LINES.as_bytes()).unwrap();
    for bytes in [LINES.as_bytes(), &packed.finish().unwrap(), &zstd::encode_all(LINES.as_bytes(), 1).unwrap()] {
        let file = written(bytes);
        let told = read(options(file.path(), &[], &[]));
        let id = |partition| told.partitions.id(&PartitionName { topic: "orders".into(), partition }).unwrap();
        let wanted = [(0, 12), (0, 7), (1, 0), (0, 8), (1, 5)];
        let wanted = wanted.map(|(partition, offset)| Position { partition: id(partition), offset });
        let mut again =
            Told { control: Arc::clone(&told.control), partitions: told.partitions.clone(), events: Vec::new() };
        told.control.read_again(&wanted, &mut |batch| again.events.push(TapEvent::Records(batch))).unwrap();
        assert_eq!(again.story(), ["orders/0@7", "orders/1@0", "orders/0@12"]);
        let TapEvent::Records(batch) = &again.events[0] else { panic!("records") };
        let first = batch.records().next().unwrap();
        assert_eq!(
            (first.key, first.timestamp_ms, first.header("h")),
            (Some(&b"k\n1"[..]), Some(1000), Some(&b"v"[..]))
        );
    }
}

#[test]
fn what_can_be_read_only_once_is_not_read_again() {
    let told = read(options(written(LINES.as_bytes()).path(), &[], &[]));
    let wanted = [Position { partition: PartitionId(0), offset: 7 }];
    // The file is gone by now, as what came through a pipe is.
    told.control.read_again(&wanted, &mut |_| panic!("there is nothing")).unwrap();
}
