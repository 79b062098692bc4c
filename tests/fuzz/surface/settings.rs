//! The configuration, from every side: file, environment and flags. What is refused says where and why; what is taken can be
//! shown, and what is shown is the same configuration again.
//!
//! The parts: the file, lines `NAME=VALUE` of the environment, lines `FLAG=VALUE` of the flags.

use std::collections::BTreeMap;
use std::io::Write as _;

use afterimage::config::load::{Flags, Layers, Loaded, Need, load};
use afterimage::config::show::{Origins, json, toml};
use afterimage::config::{Problems, Surroundings};

use super::parts;

pub(crate) fn config(bytes: &[u8]) {
    let parts = parts(bytes);
    let lossy = |index: usize| parts.get(index).map(|part| String::from_utf8_lossy(part)).unwrap_or_default();
    let around = Surroundings {
        variables: pairs(&lossy(1)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        read_file,
    };
    let written = Written { file: Some(parts[0].to_vec()), around, flags: flags(&lossy(2)) };
    check(&written);
}

/// A configuration as a user wrote it.
pub(super) struct Written {
    pub(super) file: Option<Vec<u8>>,
    pub(super) around: Surroundings,
    pub(super) flags: Flags,
}

impl Written {
    fn load(&self) -> Result<Loaded, Problems> {
        let file = self.file.as_ref().map(|bytes| {
            let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
            file.write_all(bytes).expect("it can be written");
            file
        });
        let path = file.as_ref().map(|file| file.path().to_owned());
        load(&Layers { file: path, around: &self.around, flags: self.flags.clone(), need: Need::Pipelines })
    }
}

/// Secrets' files of this world: one that is there, and one that is none.
fn read_file(path: &str) -> std::io::Result<String> {
    match path {
        "/none" => Err(std::io::ErrorKind::NotFound.into()),
        _ => Ok("from-a-file\n".to_owned()),
    }
}

/// Nothing but what a file says.
pub(super) fn nowhere() -> Surroundings {
    Surroundings { variables: BTreeMap::new(), read_file }
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().map(|line| line.split_once('=').unwrap_or((line, "")))
}

fn flags(text: &str) -> Flags {
    let mut flags = Flags::default();
    for (name, value) in pairs(text) {
        let value = value.to_owned();
        match name {
            "tap" => flags.tap = Some(value),
            "target" => flags.target = Some(value),
            "applied" => flags.applied.push(value),
            "registry" => flags.registry = Some(value),
            "pipeline" => flags.pipeline = Some(value),
            _ => {}
        }
    }
    flags
}

/// Everything that holds of a configuration.
pub(super) fn check(written: &Written) {
    let loaded = match written.load() {
        Ok(loaded) => loaded,
        Err(problems) => return understandable(&problems),
    };
    let again = written.load().expect("what was taken is taken again");
    assert_eq!(again.effective, loaded.effective, "the same configuration, read twice");
    let _ = json(&loaded, Origins::Show);
    for origins in [Origins::Hide, Origins::Show] {
        let shown = toml(&loaded, origins);
        let file = Some(shown.clone().into_bytes());
        match (Written { file, around: nowhere(), flags: Flags::default() }).load() {
            Ok(again) => assert_eq!(again.effective, loaded.effective, "shown, and read again:\n{shown}"),
            Err(problems) => panic!("what was shown is refused: {problems}\n{shown}"),
        }
    }
}

fn understandable(problems: &Problems) {
    assert!(!problems.is_empty(), "refused without a reason");
    for problem in problems.list() {
        assert!(!problem.message.trim().is_empty(), "a problem without words at `{}`", problem.path);
    }
    assert!(!problems.to_string().is_empty());
}
