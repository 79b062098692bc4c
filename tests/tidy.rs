//! The rules that no lint knows: which module may use which, what the pure core must not contain, how long functions and
//! files may be, and which names and words are not used at all. Each message names the place and the rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Which top-level modules each one may use, beside itself. Adapters know neither one another nor the engine; decisions
/// are made in the core; only the runtime knows everybody. What nothing uses is not allowed either.
const MATRIX: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("decode", &["model"]),
    ("canon", &["model"]),
    ("engine", &["model", "canon"]),
    ("tap", &["model"]),
    ("registry", &["model"]),
    ("target", &["model"]),
    ("store", &["model"]),
    ("dms", &["model"]),
    ("report", &["model", "config"]),
    ("telemetry", &["model"]),
    ("config", &["model"]),
    (
        "runtime",
        &[
            "model",
            "decode",
            "canon",
            "engine",
            "tap",
            "registry",
            "target",
            "store",
            "dms",
            "report",
            "telemetry",
            "config",
        ],
    ),
    ("web", &["model", "telemetry", "config"]),
    ("cli", &["model", "telemetry", "config", "runtime"]),
    ("demo", &["model", "telemetry", "config", "report", "runtime"]),
];

/// Files (or folders) that use a module which their own may not, and why each of them does.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/store", "report", "a finding is kept as it is published, so the store takes the published document"),
    (
        "src/runtime/status",
        "web",
        "the runtime fills the pictures that the port shows, and takes the port before it starts",
    ),
    ("src/runtime/alerting.rs", "web", "the runtime fills the pictures that the port shows"),
    ("src/runtime/scheduler.rs", "web", "the runtime fills the pictures that the port shows"),
    ("src/runtime/run.rs", "web", "its test looks at those pictures"),
    ("src/web/mod.rs", "store", "requests read findings; a layer between would only repeat the store's questions"),
    ("src/web/api.rs", "store", "requests read findings; a layer between would only repeat the store's questions"),
    ("src/web/events.rs", "store", "whoever listens hears of what the store was given"),
    ("src/web/tests.rs", "store", "what other processes kept is put there"),
    ("src/web/acts.rs", "store", "what people do to findings is done in the store"),
    ("src/web/api.rs", "report", "a page of findings is one of published documents"),
    ("src/web/pages", "store", "pages read findings as the API does"),
    ("src/web/pages", "report", "a page tells a finding in the words of every other report"),
    ("src/web/tests.rs", "report", "findings to be served are made as documents"),
    ("src/cli/commands.rs", "demo", "the demo is a command of its own"),
    ("src/cli/decode_output.rs", "decode", "`decode` prints what the decoder understood, as it is"),
    ("src/cli/decode_output.rs", "report", "`decode` prints rows as findings do"),
    ("src/demo/sidecar.rs", "store", "the demo reads what `run` found from outside, as a user's script would"),
];

/// What only the core decides, and the runtime must not even name: verdicts, causes, floors.
const DECISIONS: &[&str] = &["Verdict", "Cause", "Floor", "Horizon", "classify", "Passage"];

/// Files that own a clock, a pace, threads or blocking calls: they alone may opt out of the lints that ban them.
const OWNERS: &[&str] = &[
    "src/demo/applier/kafka.rs",
    "src/demo/broker.rs",
    "src/demo/stage.rs",
    "src/runtime/audit.rs",
    "src/runtime/clock.rs",
    "src/runtime/columns.rs",
    "src/runtime/dead_letters.rs",
    "src/runtime/doctor/mod.rs",
    "src/runtime/driver.rs",
    "src/runtime/evidence.rs",
    "src/runtime/look.rs",
    "src/runtime/mapping.rs",
    "src/runtime/ordered.rs",
    "src/runtime/pipeline.rs",
    "src/runtime/recall.rs",
    "src/runtime/record.rs",
    "src/runtime/replay.rs",
    "src/runtime/run.rs",
    "src/runtime/schemas.rs",
    "src/runtime/tables.rs",
    "src/tap/archive/mod.rs",
    "src/tap/file/mod.rs",
    "src/tap/kafka/consume.rs",
    "src/tap/kafka/mod.rs",
    "src/tap/kafka/range.rs",
    "src/tap/kafka/tests.rs",
    "src/tap/outlet.rs",
];

/// The pure core: the same inputs give the same outputs.
const CORE: &[&str] = &["model", "decode", "canon", "engine"];

/// What the core must not contain, as whole words or paths of source code.
const IMPURE: &[(&str, &str)] = &[
    ("async", "the core does not wait"),
    ("await", "the core does not wait"),
    ("tokio", "the core does not wait"),
    ("futures", "the core does not wait"),
    ("rdkafka", "clients belong to adapters"),
    ("sqlx", "clients belong to adapters"),
    ("reqwest", "clients belong to adapters"),
    ("std::time::Instant", "time comes in"),
    ("SystemTime", "time comes in"),
    ("Utc::now", "time comes in"),
    ("Local::now", "time comes in"),
    ("rand", "randomness is an input"),
    ("getrandom", "randomness is an input"),
    ("thread_local", "state is passed in"),
    ("static mut", "state is passed in"),
];

/// Modules of the core that decide: there not even a lookup in a hash map is worth the risk that somebody iterates one.
/// Decoders may remember column names in one.
const ORDERED: &[&str] = &["model", "canon", "engine"];

/// What decides must not contain.
const UNORDERED: &[(&str, &str)] = &[
    ("HashMap", "its order is no input: use a BTreeMap, or hashbrown's HashTable without iterating"),
    ("HashSet", "its order is no input: use a BTreeSet"),
];

/// Names of files and folders that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["utils", "util", "common", "helpers", "helper", "manager", "types", "misc", "shared", "lib2"];

/// A function with more lines of code than this does more than one thing. Blank lines, comments and the inside of texts
/// are not counted.
const LONGEST_FUNCTION: usize = 70;

/// A file longer than this is about more than one thing.
const LONGEST_FILE: usize = 600;

/// Words that are nowhere in the repository's code. Written in halves, so that this file does not hold them.
fn banned_words() -> Vec<(String, &'static str)> {
    let word = |halves: [&str; 2]| halves.concat();
    vec![
        (word(["to", "do!"]), "unfinished work is not committed"),
        (word(["unimpl", "emented!"]), "unfinished work is not committed"),
        (word(["#[ig", "nore"]), "a test that does not run proves nothing"),
        (word(["../sha", "red"]), "what is needed is in the repository"),
        (word(["/wo", "rk/"]), "paths of one machine mean nothing on another"),
        (word(["/ro", "ot/"]), "paths of one machine mean nothing on another"),
        (word(["/Use", "rs/"]), "paths of one machine mean nothing on another"),
        (word(["#[al", "low("]), "suppress with #[expect(…, reason = \"…\")], which says when it is no longer needed"),
    ]
}

/// One Rust file.
struct Source {
    path: PathBuf,
    /// As written.
    text: String,
    /// With comments, texts and characters blanked out: the same length, the same lines.
    code: String,
}

impl Source {
    fn top_module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src").ok()?;
        let first = inside.components().next()?.as_os_str().to_str()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// How many modules the file itself is deep: 1 for `src/tap/mod.rs`, 2 for `src/tap/file.rs`.
    fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src").unwrap_or(&self.path);
        inside.components().count() - usize::from(self.path.ends_with("mod.rs"))
    }

    fn line_of(&self, byte: usize) -> usize {
        self.code.as_bytes()[..byte].iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

fn rust_files(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file is text");
        let path = path.strip_prefix(root()).expect("inside the repository").to_owned();
        Source { path, code: blank(&text), text }
    };
    paths.into_iter().map(read).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, into);
        }
        into.push(path);
    }
}

/// Blanks out comments, texts and characters, keeping every line where it is.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = token_end(bytes, at);
        match end {
            Some(end) => {
                code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
                at = end;
            }
            None => at += 1,
        }
    }
    String::from_utf8(code).expect("whole tokens were blanked")
}

/// Where the comment, text or character that begins here ends; `None` if none begins here.
fn token_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let until = |needle: &[u8]| rest.windows(needle.len()).position(|window| window == needle);
    match rest {
        [b'/', b'/', ..] => Some(until(b"\n").map_or(bytes.len(), |end| at + end)),
        [b'/', b'*', ..] => Some(until(b"*/").map_or(bytes.len(), |end| at + end + 2)),
        [b'"', ..] => Some(text_end(bytes, at + 1)),
        [b'r', ..] if at == 0 || !is_word(bytes[at - 1]) || (bytes[at - 1] == b'b') => raw_end(bytes, at),
        [b'\'', b'\\', ..] => rest[3..].iter().position(|byte| *byte == b'\'').map(|end| at + 3 + end + 1),
        [b'\'', ..] => {
            // A lifetime has no quote behind its first character; a character has.
            let width = std::str::from_utf8(&rest[1..rest.len().min(5)])
                .map_or(1, |text| text.chars().next().map_or(1, char::len_utf8));
            (rest.get(1 + width) == Some(&b'\'')).then_some(at + width + 2)
        }
        _ => None,
    }
}

fn text_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = [b'"'].into_iter().chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = at + 2 + hashes;
    let end = bytes[body..].windows(close.len()).position(|window| window == close)?;
    Some(body + end + close.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands by itself in code.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = *at == 0 || !is_word(bytes[at - 1]);
        let after = bytes.get(at + word.len()).is_none_or(|byte| !is_word(*byte));
        before && after
    })
}

/// The names that follow `crate::` at `at`, one or a group in braces.
fn named(code: &str) -> Vec<String> {
    let ident = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = code.strip_prefix('{') else { return vec![ident(code)] };
    let mut depth = 1;
    let mut names = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(String::new()),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if let Some(name) = names.last_mut().filter(|_| depth == 1) {
            name.push(c);
        }
    }
    names.iter().map(|name| ident(name.trim_start_matches([',', ' ', '\n']))).filter(|name| !name.is_empty()).collect()
}

fn report(problems: &[String]) {
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "{problem}");
    }
    assert!(problems.is_empty(), "{} breaches:\n{text}", problems.len());
}

#[test]
fn modules_use_only_what_they_may() {
    let matrix: BTreeMap<&str, &[&str]> = MATRIX.iter().copied().collect();
    let (mut problems, mut needed) = (Vec::new(), BTreeSet::new());
    for file in rust_files("src") {
        let Some(module) = file.top_module().filter(|module| !matches!(*module, "lib" | "main")) else { continue };
        let Some(allowed) = matrix.get(module) else {
            problems.push(format!("{}: the module `{module}` is not in the import matrix", file.path.display()));
            continue;
        };
        for (at, used) in
            modules_used(&file.code).filter(|(_, used)| matrix.contains_key(used.as_str()) && used != module)
        {
            let excepted = EXCEPTIONS.iter().find(|(path, of, _)| file.path.starts_with(path) && *of == used);
            match (allowed.contains(&used.as_str()), excepted) {
                (true, _) => needed.insert((module.to_owned(), used)),
                (false, Some((path, of, _))) => needed.insert(((*path).to_owned(), (*of).to_owned())),
                (false, None) => {
                    let line = file.line_of(at);
                    problems.push(format!("{}:{line}: `{module}` may not use `{used}`", file.path.display()));
                    false
                }
            };
        }
        problems.extend(climbs(&file));
    }
    let allowances = MATRIX.iter().flat_map(|(module, allowed)| allowed.iter().map(move |used| (*module, *used)));
    let exceptions = EXCEPTIONS.iter().map(|(path, used, _)| (*path, *used));
    let idle =
        allowances.chain(exceptions).filter(|(of, used)| !needed.contains(&((*of).to_owned(), (*used).to_owned())));
    problems.extend(idle.map(|(of, used)| format!("{of}: nothing uses `{used}` any more: take it from the list")));
    report(&problems);
}

/// The modules that paths from the root name, and where.
fn modules_used(code: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    words(code, "crate").flat_map(move |at| {
        let path = code[at..].strip_prefix("crate::");
        path.map(named).unwrap_or_default().into_iter().map(move |used| (at, used))
    })
}

#[test]
fn the_runtime_decides_nothing() {
    let mut problems = Vec::new();
    for file in rust_files("src/runtime") {
        for word in DECISIONS {
            let places = words(&file.code, word).map(|at| file.line_of(at));
            problems.extend(places.map(|line| format!("{}:{line}: `{word}` belongs to the core", file.path.display())));
        }
    }
    report(&problems);
}

/// The demo, as everything else, is made of what anybody could make it of: what one module shows another, it shows everybody.
#[test]
fn nothing_is_public_to_the_crate_alone() {
    let samples =
        |file: &Source| file.path.starts_with("src/report/mod.rs") || file.path.starts_with("src/report/sample.rs");
    let mut problems = Vec::new();
    for file in rust_files("src").iter().filter(|file| !samples(file)) {
        let places = file.code.match_indices("pub(crate)").map(|(at, _)| file.line_of(at));
        problems.extend(places.map(|line| format!("{}:{line}: make it `pub`, or keep it inside", file.path.display())));
    }
    report(&problems);
}

#[test]
fn only_owners_opt_out_of_banned_methods() {
    let opting_out: BTreeSet<String> = rust_files("src")
        .iter()
        .filter(|file| file.code.contains("clippy::disallowed_"))
        .map(|file| file.path.display().to_string())
        .collect();
    assert_eq!(opting_out, OWNERS.iter().map(|path| (*path).to_owned()).collect());
}

/// Paths that climb out of their top-level module with `super::`, where the matrix would not see them.
fn climbs(file: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    let mut at = 0;
    while let Some(found) = file.code[at..].find("super::") {
        let start = at + found;
        let steps = file.code[start..].split("super::").take_while(|between| between.is_empty()).count();
        if steps >= file.depth() + inline_modules(&file.code[..start]) {
            let line = file.line_of(start);
            problems.push(format!("{}:{line}: write `crate::` where a path leaves its module", file.path.display()));
        }
        at = start + "super::".len() * steps;
    }
    problems
}

/// How many inline modules are open at the end of this code.
fn inline_modules(code: &str) -> usize {
    let mut open = Vec::new();
    let mut statement = String::new();
    for c in code.chars() {
        match c {
            '{' => {
                open.push(words(&statement, "mod").next().is_some());
                statement.clear();
            }
            '}' => {
                open.pop();
                statement.clear();
            }
            ';' => statement.clear(),
            c => statement.push(c),
        }
    }
    open.into_iter().filter(|module| *module).count()
}

#[test]
fn the_core_is_pure() {
    let mut problems = Vec::new();
    for file in rust_files("src") {
        let Some(module) = file.top_module().filter(|module| CORE.contains(module)) else { continue };
        let unordered = UNORDERED.iter().filter(|_| ORDERED.contains(&module));
        for (word, why) in IMPURE.iter().chain(unordered) {
            for at in words(&file.code, word) {
                problems.push(format!("{}:{}: `{word}`: {why}", file.path.display(), file.line_of(at)));
            }
        }
    }
    report(&problems);
}

#[test]
fn functions_and_files_are_short() {
    let mut problems = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")).chain(rust_files("bench")) {
        let lines = file.text.lines().count();
        if lines > LONGEST_FILE {
            let path = file.path.display();
            problems.push(format!("{path}: {lines} lines, more than {LONGEST_FILE}: split it by concern"));
        }
        for (at, lines) in functions(&file.code).into_iter().filter(|(_, lines)| *lines > LONGEST_FUNCTION) {
            let place = format!("{}:{}", file.path.display(), file.line_of(at));
            problems.push(format!("{place}: a function of {lines} lines, more than {LONGEST_FUNCTION}"));
        }
    }
    report(&problems);
}

/// Where each function begins, and its lines from its signature to its closing brace.
fn functions(code: &str) -> Vec<(usize, usize)> {
    let body = |at: usize| {
        let open = at + code[at..].find(['{', ';'])?;
        if code.as_bytes()[open] == b';' {
            return None;
        }
        let mut depth = 0;
        let close = code[open..].char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        })?;
        let lines = code[at..=open + close.0].lines().filter(|line| !line.trim().is_empty());
        Some((at, lines.count()))
    };
    words(code, "fn")
        .filter(|at| code[at + 2..].trim_start().starts_with(|c: char| c.is_alphabetic() || c == '_'))
        .filter_map(body)
        .collect()
}

#[test]
fn names_say_what_is_inside() {
    let mut paths = Vec::new();
    for folder in ["src", "tests", "bench", "docker", "schemas"] {
        collect(&root().join(folder), &mut paths);
    }
    let empty = |path: &PathBuf| {
        path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| EMPTY_NAMES.contains(&stem))
    };
    let problems: Vec<String> = paths
        .iter()
        .filter(|path| empty(path))
        .map(|path| format!("{}: the name says nothing about what is inside", path.display()))
        .collect();
    report(&problems);
}

#[test]
fn banned_words_are_nowhere() {
    let mut problems = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")).chain(rust_files("bench")) {
        for (word, why) in banned_words() {
            for (at, _) in file.text.match_indices(&word) {
                let line = file.text[..at].lines().count().max(1);
                problems.push(format!("{}:{line}: `{word}`: {why}", file.path.display()));
            }
        }
    }
    report(&problems);
}

#[test]
fn every_file_says_what_it_is_for() {
    let tests_beside = |path: &Path| path.file_stem().is_some_and(|stem| stem == "tests");
    let problems: Vec<String> = rust_files("src")
        .iter()
        .filter(|file| !file.text.starts_with("//! ") && !tests_beside(&file.path))
        .map(|file| format!("{}:1: begin with a module doc (`//! …`)", file.path.display()))
        .collect();
    report(&problems);
}

/// A metric that nothing moves says that all is well.
#[test]
fn every_metric_is_moved() {
    let files = rust_files("src");
    let (telemetry, others): (Vec<_>, Vec<_>) =
        files.iter().partition(|file| file.path.starts_with("src/telemetry/event"));
    let mentions = |files: &[&Source], word: &str| files.iter().any(|file| words(&file.code, word).next().is_some());
    let mut problems = Vec::new();
    for file in &telemetry {
        for name in following(&file.code, "struct").filter(|name| !mentions(&others, name)) {
            problems.push(format!("{}: nothing emits `{name}`", file.path.display()));
        }
    }
    let named = |path: &str| files.iter().find(|file| file.path.ends_with(path)).expect("the file of the names");
    let names = named("telemetry/name.rs");
    let users: Vec<&Source> = files.iter().filter(|file| file.path != names.path).collect();
    let kinds = ["counter", "gauge", "histogram"];
    let all: Vec<&str> =
        kinds.iter().flat_map(|kind| following(&names.code, kind)).filter(|name| is_constant(name)).collect();
    assert!(all.len() > 20, "{all:?}");
    let idle = all.into_iter().filter(|name| !mentions(&users, name));
    problems.extend(idle.map(|name| format!("{}: nothing moves `{name}`", names.path.display())));
    report(&problems);
}

/// The words that stand behind a word.
fn following<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> + 'a {
    words(code, word).map(move |at| {
        let rest = code[at + word.len()..].trim_start();
        &rest[..rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len())]
    })
}

fn is_constant(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

#[test]
fn the_rules_would_notice() {
    let code =
        blank("fn a() { let s = \"crate::tap }\"; } // async\nlet c = '\"'; let l: &'static str = r#\"fn b() {\"#;");
    assert!(words(&code, "async").next().is_none() && !code.contains("tap") && code.contains("&'static str"));
    assert_eq!(functions("fn a() {\n {\n }\n}\nfn b();\ntype F = fn(u8);").len(), 1);
    assert_eq!(functions("fn a() {\n {\n }\n}")[0].1, 4);
    assert_eq!(named("{model::{Key, Row}, tap, target::Ask};"), ["model", "tap", "target"]);
    assert_eq!(named("engine::event::Note;"), ["engine"]);
    assert_eq!(inline_modules("mod tests { fn a() { if b {"), 1);
    let climbing =
        |path: &str, text: &str| climbs(&Source { path: path.into(), code: text.into(), text: text.into() }).len();
    assert_eq!(climbing("src/tap/mod.rs", "use super::engine;"), 1);
    assert_eq!(climbing("src/tap/mod.rs", "mod tests { use super::*; }"), 0);
    assert_eq!(climbing("src/tap/file.rs", "use super::super::engine;"), 1);
    assert_eq!(climbing("src/tap/file.rs", "use super::Tap;"), 0);
}
