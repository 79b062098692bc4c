//! The text of a message with fields in it: `{kind} in {table}: {open} open`.

use crate::config::unit::{not_among, words};

words! {
    /// What may stand between braces. What a message does not have is `-`.
    Field {
        /// `firing` or `resolved`.
        Status = "status",
        /// The worst severity since the group began.
        Severity = "severity",
        /// Kind of the findings.
        Kind = "kind",
        /// Name of the pipeline.
        Pipeline = "pipeline",
        /// Table as the tap names it.
        Table = "table",
        /// Findings opened since the last message of the group.
        Opened = "opened",
        /// Findings over since the last message of the group.
        Closed = "closed",
        /// Findings open now.
        Open = "open",
        /// The usual text in one line.
        Text = "text",
        /// When the first finding of the group was opened, RFC 3339.
        Since = "since",
        /// Id of the first finding told of.
        Finding = "finding",
        /// Its key, as JSON.
        Key = "key",
        /// Its cause.
        Cause = "cause",
        /// Its position on the tap.
        Position = "position",
        /// Why it is believed.
        Evidence = "evidence",
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// What the message has there.
    Field(Field),
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

impl Template {
    /// Reads a template. `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.char_indices().peekable();
        while let Some((at, c)) = rest.next() {
            let place = || format!("character {}", text[..at].chars().count() + 1);
            match c {
                '{' | '}' if rest.peek().is_some_and(|(_, next)| *next == c) => {
                    rest.next();
                    plain.push(c);
                }
                '}' => return Err(format!("the brace at {} closes nothing: write `}}}}` for a brace", place())),
                '{' => {
                    let Some(length) = text[at..].find('}') else {
                        return Err(format!("the brace at {} is not closed: write `{{{{` for a brace", place()));
                    };
                    let word = &text[at + 1..at + length];
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Field(field(word).map_err(|wrong| format!("at {}: {wrong}", place()))?));
                    while rest.next_if(|(next, _)| *next <= at + length).is_some() {}
                }
                c => plain.push(c),
            }
        }
        parts.push(Part::Text(plain));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Template(parts))
    }
}

fn field(word: &str) -> Result<Field, String> {
    use crate::config::unit::Scalar;
    Field::parse(word).map_err(|_| not_among(word, Field::WORDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_braces_are_told_apart() {
        let parts = Template::parse("{{{kind}}} in {table}").unwrap().0;
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(parts, [text("{"), Part::Field(Field::Kind), text("} in "), Part::Field(Field::Table)],);
        assert_eq!(Template::parse("é").unwrap().0, [text("é")]);
    }

    #[test]
    fn a_mistake_has_its_place() {
        let wrong = |text: &str| Template::parse(text).unwrap_err();
        assert!(wrong("é {tabel}").starts_with("at character 3: `tabel` is not valid: did you mean `table`?"));
        assert_eq!(wrong("a {kind"), "the brace at character 3 is not closed: write `{{` for a brace");
        assert_eq!(wrong("kind}"), "the brace at character 5 closes nothing: write `}}` for a brace");
        assert!(wrong("{}").contains("expected one of `status`"), "{}", wrong("{}"));
    }
}
