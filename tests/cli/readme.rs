//! The README's own words, tried: each configuration in it is one that `run` takes.

use std::fs;
use std::path::Path;

use crate::{afterimage, folder};

/// The blocks of one language, each with the line it begins in.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let (fence, mut found, mut open) = (format!("```{language}"), Vec::new(), None);
    for (number, line) in (1..).zip(text.lines()) {
        match &mut open {
            None if line == fence => open = Some((number, String::new())),
            None => {}
            Some(_) if line == "```" => found.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a block without an end");
    found
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README")
}

#[test]
fn every_configuration_is_one_that_run_takes() {
    let configs = blocks(&readme(), "toml");
    assert!(configs.len() >= 2, "Debezium and DMS have theirs");
    for (line, config) in configs {
        let folder = folder(&config);
        let target = if config.contains("type = \"mysql\"") { "mysql://u@db/shop" } else { "postgres://u@db/shop" };
        let environment = [
            ("TARGET_URL", target),
            ("SOURCE_URL", "mysql://u@source/shop"),
            ("SLACK_URL", "https://hooks.slack.com/services/T0/B0/x"),
            ("PAGERDUTY_KEY", "0123456789abcdef0123456789abcdef"),
            ("ALERT_SECRET", "s3cret"),
        ];
        let ended = afterimage(folder.path(), &["config", "check", "-c", "a.toml"], &environment);
        assert_eq!(ended.code, Some(0), "README.md:{line}: {}", ended.err);
    }
}

/// Each command and its flags, without carrying it out: `--help` comes before anything is done, and behind a mistake.
#[test]
fn every_command_is_one_there_is() {
    let mut tried = 0;
    for (line, script) in blocks(&readme(), "sh") {
        for command in script.lines().filter_map(|line| line.strip_prefix("afterimage ")) {
            // What stands between quotes is one argument.
            let split = command.split('\'').enumerate().flat_map(|(index, part)| match index % 2 {
                0 => part.split(' ').collect(),
                _ => vec![part],
            });
            let folder = folder("");
            let words: Vec<&str> = split.filter(|word| !word.is_empty()).chain(["--help"]).collect();
            let ended = afterimage(folder.path(), &words, &[]);
            assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "README.md:{line}: {command}");
            tried += 1;
        }
    }
    assert!(tried >= 5, "{tried}");
}
