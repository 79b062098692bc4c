//! The corpora of the fuzz targets, replayed by any toolchain: every input that was kept, inputs that are too large to keep, and
//! for each target as many that are a few slips away from kept ones as a few seconds allow.

mod surface;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::surface::TARGETS;

/// No input takes longer, in a build that is not optimised, on a machine that does other things too.
const LONGEST: Duration = Duration::from_secs(10);

/// No replay takes more memory at any time: the bound of the fuzzers, and what a small container has.
const MOST_MEMORY_KIB: u64 = 2 << 20;

/// Mutants of each target. All targets together take less than half a minute.
const MUTANTS: usize = 1_500;

/// An input is slips away from a kept one by at most so many.
const MOST_SLIPS: u64 = 4;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("a readable file");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// Hands an input over, and holds it to its time.
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is asked")]
fn timed(name: &str, input: &str, bytes: &[u8]) {
    let began = Instant::now();
    let handed = std::panic::catch_unwind(|| surface::run(name, bytes));
    let took = began.elapsed();
    if handed.is_err() {
        let kept = std::env::temp_dir().join(format!("afterimage-fuzz-{name}"));
        fs::write(&kept, bytes).expect("a temporary file can be written");
        panic!("{name}: {input} fails; the input is in {}", kept.display());
    }
    assert!(took <= LONGEST, "{name}: {input} took {took:?}");
}

/// Replays what is kept of a target, and its mutants.
fn replay(name: &str) {
    let corpus = corpus(name);
    assert!(corpus.len() >= 5, "{name}: only {} inputs are kept", corpus.len());
    for (path, bytes) in &corpus {
        timed(name, &path.display().to_string(), bytes);
    }
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for number in 0..MUTANTS {
        let (path, bytes) = &corpus[chance.below(corpus.len())];
        let (_, other) = &corpus[chance.below(corpus.len())];
        let mutant = mutant(bytes, other, &mut chance);
        timed(name, &format!("mutant {number} of {}", path.display()), &mutant);
    }
    let peak = peak_memory_kib();
    assert!(peak <= MOST_MEMORY_KIB, "{name}: {peak} KiB of memory");
}

/// The most memory this process ever had; 0 where the system does not tell.
fn peak_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Numbers that look like chance and are the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }
}

fn mutant(bytes: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    /// Bytes that mean something in one of the languages.
    const TELLING: &[u8] = b"{}[]\",:\\0-.eEn\n=?@/&\0\x01\x7f\xff";
    let mut mutant = bytes.to_vec();
    for _ in 0..=chance.next() % MOST_SLIPS {
        let at = chance.below(mutant.len() + 1);
        let end = (at + 1 + chance.below(24)).min(mutant.len());
        match chance.next() % 6 {
            0 => mutant.truncate(at),
            1 => mutant.splice(at..end, []).for_each(drop),
            2 => mutant.insert(at, TELLING[chance.below(TELLING.len())]),
            3 if at < mutant.len() => mutant[at] = chance.next() as u8,
            4 => {
                let again = mutant[at.min(end)..end].repeat(1 + chance.below(8));
                mutant.splice(at..at, again).for_each(drop);
            }
            _ => {
                let from = chance.below(other.len() + 1);
                let part = other[from..(from + chance.below(64)).min(other.len())].to_vec();
                mutant.splice(at..end, part).for_each(drop);
            }
        }
    }
    mutant
}

/// A test for each target, so that each tells for itself.
macro_rules! replayed {
    ($($target:ident,)+) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )+

        #[test]
        fn every_target_is_replayed_and_can_be_fuzzed() {
            let replayed = [$(stringify!($target)),+];
            assert_eq!(replayed.to_vec(), TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
            let package = include_str!("Cargo.toml");
            for name in replayed {
                assert!(package.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is no target of the package");
            }
        }
    };
}

replayed! {
    auto,
    debezium,
    flattened,
    dms,
    maxwell,
    canal,
    avro,
    protobuf,
    json_schema,
    config,
    position,
    url,
    finding,
}

/// What is too large to keep, made here: each is refused or taken in good time and with little memory.
#[test]
fn inputs_that_are_too_large_to_keep() {
    let row = |columns: String| {
        format!(r#"{{"op":"c","after":{{{columns}}},"source":{{"connector":"mysql","db":"d","table":"t"}}}}"#)
    };
    let columns = |count: usize, value: &str| {
        (0..count).map(|index| format!(r#""c{index}":{value}"#)).collect::<Vec<_>>().join(",")
    };
    let canal_row = r#"{"id":1e140000},"#;
    let canal = |rows: usize| {
        let rows = canal_row.repeat(rows);
        format!(
            r#"{{"data":[{}],"database":"d","table":"t","isDdl":false,"es":1,"type":"INSERT"}}"#,
            rows.trim_end_matches(',')
        )
    };
    for (target, input) in [
        ("auto", "[".repeat(3_000_000)),
        ("auto", r#"{"a":"#.repeat(500_000)),
        ("debezium", row(format!(r#""v":"{}""#, "é".repeat(1_000_000)))),
        ("debezium", row(format!(r#""v":{}"#, "[".repeat(1_500_000)))),
        ("debezium", row(format!(r#""v":{}{}"#, "[".repeat(100), "]".repeat(100)))),
        ("debezium", row(columns(16_000, "1e147455"))),
        ("debezium", row(columns(20_000, "1"))),
        ("debezium", format!(r#"{{"schema":{}"#, r#"{"fields":["#.repeat(150_000))),
        ("canal", canal(60_000)),
        (
            "maxwell",
            format!(
                r#"{{"database":"d","table":"t","type":"insert","ts":1,"data":{{{}}}}}"#,
                columns(16_000, "1e-99999")
            ),
        ),
        ("config", format!("a = {}", "[".repeat(200_000))),
        ("config", format!("a{} = 1", ".a".repeat(100_000))),
        ("position", "9".repeat(1_000_000)),
        ("url", format!("kafka://{}/t", "h:1,".repeat(100_000))),
        ("finding", "[".repeat(1_000_000)),
    ] {
        timed(target, &format!("{}… ({} bytes)", &input[..40], input.len()), input.as_bytes());
    }
}
