//! What users write on one line: positions and URLs.

use afterimage::config::load::Flags;
use afterimage::config::secret::mask;
use afterimage::config::tree::Origin;
use afterimage::config::unit::Scalar as _;
use afterimage::config::{Bound, Place, Start, url as grammar};
use afterimage::model::Wall;
use afterimage::model::position::PartitionName;
use afterimage::tap::position::{self, Places};

use super::settings::{Written, check, nowhere};

const NOW: Wall = Wall(1_795_341_600_000);

/// Positions, a line each. What is read is written as what reads the same, and the tap, which has a grammar of its own, takes
/// every position that the configuration takes.
pub(crate) fn position(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut places = Vec::new();
    for line in text.lines() {
        match Place::parse(line) {
            Ok(place) => {
                assert_eq!(Place::parse(&place.to_string()), Ok(place), "`{line}` is written as `{place}`");
                taken(place);
                places.push(place);
            }
            Err(message) => assert!(message.contains("expected"), "`{line}`: {message}"),
        }
        if let Ok(places) = Places::parse([line], position::Place::Stored, NOW) {
            of_tap(line, &places);
        }
    }
    match Bound::of(&places) {
        Ok(bound) => assert_eq!(bound.pinned.len() + usize::from(bound.everywhere.is_some()), places.len()),
        Err(message) => assert!(message.contains("give one"), "{message}"),
    }
    for (one, other) in places.iter().zip(places.iter().skip(1)) {
        let _ = one.start.never_before(other.start);
    }
    let _ = Places::parse(text.lines(), position::Place::Stored, NOW).map_err(|error| error.to_string());
}

fn taken(place: Place) {
    let partition = place.partition.unwrap_or_default();
    let taken = Places::parse([&*place.to_string()], position::Place::Stored, NOW);
    let taken = taken.unwrap_or_else(|error| panic!("the tap refuses `{place}`: {error}"));
    let taken = taken.of(&PartitionName { topic: "t".into(), partition });
    let same = match (place.start, taken) {
        (Start::Beginning, position::Place::Beginning)
        | (Start::End, position::Place::End)
        | (Start::Stored, position::Place::Stored)
        | (Start::Last(_), position::Place::Time(_)) => true,
        (Start::Offset(one), position::Place::Offset(other))
        | (Start::Tail(one), position::Place::BeforeEnd(other)) => one == other,
        (Start::Time(one), position::Place::Time(other)) => one == other.0,
        _ => false,
    };
    assert!(same, "the tap takes `{place}` for {taken:?}");
}

fn of_tap(line: &str, places: &Places) {
    for partition in [0, 1, i32::MAX] {
        let place = places.of(&PartitionName { topic: "t".into(), partition });
        let again = Places::parse([&*place.to_string()], position::Place::Stored, NOW);
        assert_eq!(again, Ok(Places::all(place)), "`{line}` is written as `{place}`");
    }
}

/// The URL of a tap, that of a target and that of a registry, a line each. What they say can be shown and read again, and no
/// password is shown.
pub(crate) fn url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let [tap, target, registry] = [lines.next(), lines.next(), lines.next()];
    for line in text.lines() {
        masked(line);
    }
    if let Some(tap) = tap {
        let origin = Origin::Flag { flag: "--tap" };
        match grammar::tap(tap, &origin) {
            Ok(read) => {
                assert!(!read.name.is_empty() && read.name.chars().count() <= 64, "`{tap}` names `{}`", read.name);
                assert!(read.section.to_json().is_object(), "`{tap}` is no section");
            }
            Err(message) => assert!(!message.trim().is_empty(), "`{tap}` is refused without a reason"),
        }
    }
    let flags = Flags {
        tap: tap.map(str::to_owned),
        target: target.or(Some("sqlite:x.db")).map(str::to_owned),
        registry: registry.map(str::to_owned),
        ..Flags::default()
    };
    check(&Written { file: None, around: nowhere(), flags });
}

/// Whatever a password holds, it is not shown; and nothing more is hidden than was.
fn masked(line: &str) {
    let shown = mask(line);
    assert_eq!(mask(&shown), shown, "`{line}`");
    // Behind a question mark, what could be a port and a parameter cannot be told from a password.
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_untold = |before: &str| before.contains('@') || before.split(['/', ',']).next().is_some_and(is_digits);
    if !line.split_once('?').is_some_and(|(before, _)| is_untold(before)) {
        assert_eq!(mask(&format!("postgres://app:{line}@db/crm")), "postgres://app:***@db/crm");
    }
}
