//! The words of a schema file.

use crate::decode::frame::{LONGEST_NAME, NAME_TOO_LONG};

/// A word, as far as a reader of types needs it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'t> {
    /// A name, a keyword or a number.
    Word(&'t str),
    /// The content of a text, without its quotes.
    Text(String),
    /// Any other character.
    Mark(char),
}

/// The words of a file, without comments.
pub(super) struct Tokens<'t> {
    text: &'t str,
    at: usize,
    next: Option<Token<'t>>,
}

impl<'t> Tokens<'t> {
    pub(super) fn of(text: &'t str) -> Result<Tokens<'t>, String> {
        let mut tokens = Tokens { text, at: 0, next: None };
        tokens.next = tokens.read()?;
        Ok(tokens)
    }

    /// The next word, which stays.
    pub(super) fn peek(&self) -> Option<&Token<'t>> {
        self.next.as_ref()
    }

    /// The next word.
    pub(super) fn take(&mut self) -> Result<Option<Token<'t>>, String> {
        let next = self.read()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// What is wrong here.
    pub(super) fn wrong(&self, what: &str) -> String {
        let line = self.text[..self.at].bytes().filter(|byte| *byte == b'\n').count() + 1;
        format!("{what}, at line {line}")
    }

    /// Takes a mark if it is next.
    pub(super) fn took(&mut self, mark: char) -> Result<bool, String> {
        let is_next = self.peek() == Some(&Token::Mark(mark));
        if is_next {
            self.take()?;
        }
        Ok(is_next)
    }

    /// Takes a mark that must be next.
    pub(super) fn expect(&mut self, mark: char) -> Result<(), String> {
        if self.took(mark)? { Ok(()) } else { Err(self.wrong(&format!("`{mark}` is missing"))) }
    }

    /// Takes a word that must be next.
    pub(super) fn word(&mut self) -> Result<&'t str, String> {
        match self.take()? {
            Some(Token::Word(word)) if word.len() > LONGEST_NAME => Err(self.wrong(NAME_TOO_LONG)),
            Some(Token::Word(word)) => Ok(word),
            Some(Token::Text(_) | Token::Mark(_)) | None => Err(self.wrong("a name is missing")),
        }
    }

    /// Takes a text that must be next; texts side by side are one.
    pub(super) fn string(&mut self) -> Result<String, String> {
        let Some(Token::Text(mut text)) = self.take()? else { return Err(self.wrong("a text is missing")) };
        while let Some(Token::Text(more)) = self.peek() {
            text.push_str(more);
            self.take()?;
        }
        if text.len() > LONGEST_NAME {
            return Err(self.wrong(NAME_TOO_LONG));
        }
        Ok(text)
    }

    /// Takes everything up to a mark, brackets and their content whole.
    pub(super) fn skip_to(&mut self, end: char) -> Result<(), String> {
        let mut open = 0usize;
        while let Some(token) = self.take()? {
            match token {
                Token::Mark(mark) if open == 0 && mark == end => return Ok(()),
                Token::Mark('{' | '[' | '(' | '<') => open += 1,
                Token::Mark('}' | ']' | ')' | '>') => {
                    open = open.checked_sub(1).ok_or_else(|| self.wrong("a bracket that nothing opened"))?;
                    // A block ends what has no semicolon.
                    if open == 0 && end == '}' {
                        return Ok(());
                    }
                }
                Token::Mark(_) | Token::Word(_) | Token::Text(_) => {}
            }
        }
        Err(self.wrong("it ends early"))
    }

    fn read(&mut self) -> Result<Option<Token<'t>>, String> {
        self.pass_space()?;
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return Ok(None) };
        if matches!(first, '"' | '\'') {
            return self.read_text(first).map(Some);
        }
        let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let length = rest.bytes().take_while(|byte| is_of_word(*byte)).count();
        let (token, length) = match length {
            0 => (Token::Mark(first), first.len_utf8()),
            length => (Token::Word(&rest[..length]), length),
        };
        self.at += length;
        Ok(Some(token))
    }

    fn pass_space(&mut self) -> Result<(), String> {
        loop {
            let rest = &self.text[self.at..];
            let space =
                rest.len() - rest.trim_start_matches(|char: char| char.is_whitespace() || char == '\u{feff}').len();
            let rest = &rest[space..];
            self.at += space;
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let Some(end) = rest.find("*/") else { return Err(self.wrong("a comment without end")) };
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    /// Escapes are taken as they stand but for the character behind them: no name that matters has any.
    fn read_text(&mut self, quote: char) -> Result<Token<'t>, String> {
        let mut text = String::new();
        let mut chars = self.text[self.at + 1..].char_indices();
        while let Some((index, char)) = chars.next() {
            match char {
                '\\' => text.extend(chars.next().map(|(_, char)| char)),
                '\n' => break,
                char if char == quote => {
                    self.at += index + 2;
                    return Ok(Token::Text(text));
                }
                char => text.push(char),
            }
        }
        Err(self.wrong("a text without end"))
    }
}
