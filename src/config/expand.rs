//! `${VAR}`, `${VAR:-default}` and `${file:/path}` inside text values. It works on values after parsing, so what it puts
//! in can never become syntax. `$${` stands for a plain `${`.

use std::collections::BTreeMap;

use super::problem::Problems;
use super::tree::{Node, Path};

/// The world outside the configuration: environment variables, and how a secret's file is read.
pub struct Surroundings {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// Reads a whole file as text.
    pub read_file: fn(&str) -> std::io::Result<String>,
}

impl Surroundings {
    /// Those of this process. Variables that are not Unicode are left out.
    #[must_use]
    pub fn of_process() -> Surroundings {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Surroundings { variables: variables.collect(), read_file: |path| std::fs::read_to_string(path) }
    }
}

/// Expands every text of a tree. What cannot be expanded becomes a problem and stays as it is; its paths are returned.
pub(super) fn expand_all(tree: &mut Node, around: &Surroundings, problems: &mut Problems) -> Vec<Path> {
    let mut failed = Vec::new();
    tree.each_text(&Path::default(), &mut |path, origin, text| match expand(text, around) {
        Ok(expanded) => *text = expanded,
        Err(message) => {
            problems.at(path, Some(origin.clone()), message);
            failed.push(path.clone());
        }
    });
    failed
}

/// Expands one text.
///
/// # Errors
/// What is wrong with it.
pub fn expand(text: &str, around: &Surroundings) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start - 1]);
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(&rest[..start]);
        let inside = &rest[start + 2..];
        let end = inside.find('}').ok_or("`${` is not closed: write `${NAME}`, or `$${` for a plain `${`")?;
        out.push_str(&lookup(&inside[..end], around)?);
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn lookup(inside: &str, around: &Surroundings) -> Result<String, String> {
    if let Some(path) = inside.strip_prefix("file:") {
        let content = (around.read_file)(path).map_err(|error| format!("cannot read the file `{path}`: {error}"))?;
        return Ok(content.trim_end_matches(['\r', '\n']).to_owned());
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!(
            "`${{{inside}}}` names no variable: expected ${{NAME}}, ${{NAME:-default}} or ${{file:/path}}"
        ));
    }
    match (around.variables.get(name).filter(|value| default.is_none() || !value.is_empty()), default) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("the environment variable `{name}` is not set: set it, or write ${{{name}:-default}}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Surroundings {
        Surroundings {
            variables: [("HOST", "db"), ("EMPTY", "")].map(|(name, value)| (name.into(), value.into())).into(),
            read_file: |path| match path {
                "/run/secrets/pw" => Ok("s3cret\n".into()),
                _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
            },
        }
    }

    #[test]
    fn texts_are_expanded() {
        for (text, expected) in [
            ("plain $5 and {braces}", "plain $5 and {braces}"),
            ("postgres://app:${file:/run/secrets/pw}@${HOST}/crm", "postgres://app:s3cret@db/crm"),
            ("${NONE:-}", ""),
            ("${NONE:-a:b}", "a:b"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("$${HOST}", "${HOST}"),
        ] {
            assert_eq!(expand(text, &around()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_says_why() {
        for (text, expected) in [
            ("${NONE}", "the environment variable `NONE` is not set: set it, or write ${NONE:-default}"),
            ("${HOST", "`${` is not closed: write `${NAME}`, or `$${` for a plain `${`"),
            ("${a b}", "`${a b}` names no variable: expected ${NAME}, ${NAME:-default} or ${file:/path}"),
            ("${file:/none}", "cannot read the file `/none`: entity not found"),
        ] {
            assert_eq!(expand(text, &around()).unwrap_err(), expected, "{text}");
        }
    }
}
