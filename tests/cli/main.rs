//! The binary as a user meets it: what it says, where it says it, and its exit code.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

mod alerts;
mod archive;
mod asked;
mod audit;
mod broken;
mod carried;
mod coerced;
mod counted;
mod decode;
mod demo;
mod dms;
mod explain;
mod help;
mod killed;
mod life;
mod range;
mod readme;
mod recall;
mod revalidate;
mod scheduled;
mod shop;
mod show;
mod tape;

/// How a command ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the binary in a folder, with nothing in its environment but what is given.
fn afterimage(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.args(arguments).current_dir(folder).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    Ended::of(command.output().expect("the binary runs"))
}

/// The same with these bytes on its standard input, through a pipe.
#[expect(clippy::disallowed_methods, reason = "a thread writes what the binary reads")]
fn afterimage_reading(folder: &Path, arguments: &[&str], input: &[u8]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.args(arguments).current_dir(folder).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut pipe = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || pipe.write_all(input).expect("it reads all of its input"));
        child.wait_with_output().expect("it ends")
    });
    Ended::of(output)
}

impl Ended {
    fn of(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).expect("output is text");
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.toml"), config).expect("a file");
    folder
}

/// A pipeline with nothing wrong in it, and one thing more.
fn orders(more: &str) -> String {
    format!(
        "[pipelines.orders]\n\
         tap = {{ type = \"kafka\", brokers = \"127.0.0.1:9092\", topics = [\"orders\"] }}\n\
         target = {{ url = \"sqlite:t.db\" }}\n{more}\n"
    )
}

#[test]
fn usage_errors_exit_2() {
    for arguments in [&["frobnicate"][..], &["run", "--frob"], &["audit", "-o", "yaml"], &[], &["decode", "-n", "few"]]
    {
        let folder = folder("");
        let ended = afterimage(folder.path(), arguments, &[]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.err.contains("--help"), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn completions_and_manual_are_printed() {
    for (arguments, part) in [
        (&["completions", "bash"][..], "complete -F _afterimage"),
        (&["completions", "zsh"], "#compdef afterimage"),
        (&["completions", "fish"], "complete -c afterimage"),
        (&["man"], ".TH afterimage 1"),
        (&["man"], ".TH afterimage-findings-list 1"),
    ] {
        let ended = afterimage(&std::env::temp_dir(), arguments, &[]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(ended.out.contains(part), "{arguments:?}: {part}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.arg("man").stdout(writer).stderr(Stdio::piped()).output().expect("the binary runs");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
