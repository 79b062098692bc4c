//! `demo`, whole: what it plants it finds, and nothing else.

use serde_json::Value;

use super::{afterimage, folder};

#[test]
fn the_demo_finds_what_it_plants_and_nothing_else() {
    let folder = folder("");
    let ended = afterimage(folder.path(), &["demo", "--seed", "7", "-o", "json"], &[]);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    let said: Value = serde_json::from_str(&ended.out).expect("one JSON object");
    assert_eq!(said["planted"], said["found"], "{said}");
    assert!(said["planted"].as_object().is_some_and(|causes| causes.len() >= 2), "{said}");
}
