//! A text as words, numbers and signs.

/// What one token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Token<'t> {
    Word(&'t str),
    /// Digits only.
    Number(&'t str),
    Sign(char),
}

/// The tokens of a text, and what is between them.
pub(in super::super) struct Tokens<'t> {
    text: &'t str,
    tokens: Vec<Placed<'t>>,
}

struct Placed<'t> {
    token: Token<'t>,
    start: usize,
    end: usize,
}

impl<'t> Tokens<'t> {
    pub fn of(text: &'t str) -> Self {
        let mut tokens = Vec::new();
        let mut place = 0;
        while let Some(first) = text[place..].chars().next() {
            let kind = kind(first);
            let length = match kind {
                Kind::Word | Kind::Number => run(&text[place..], kind),
                Kind::Space | Kind::Sign => first.len_utf8(),
            };
            let part = &text[place..place + length];
            let token = match kind {
                Kind::Word => Some(Token::Word(part)),
                Kind::Number => Some(Token::Number(part)),
                Kind::Sign => Some(Token::Sign(first)),
                Kind::Space => None,
            };
            tokens.extend(token.map(|token| Placed { token, start: place, end: place + length }));
            place += length;
        }
        Self { text, tokens }
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn get(&self, place: usize) -> Option<Token<'t>> {
        self.tokens.get(place).map(|placed| placed.token)
    }

    pub fn word(&self, place: usize) -> Option<&'t str> {
        match self.get(place)? {
            Token::Word(word) => Some(word),
            Token::Number(_) | Token::Sign(_) => None,
        }
    }

    /// The digits of a number.
    pub fn digits(&self, place: usize) -> Option<&'t str> {
        match self.get(place)? {
            Token::Number(digits) => Some(digits),
            Token::Word(_) | Token::Sign(_) => None,
        }
    }

    pub fn is_sign(&self, place: usize, signs: &[char]) -> bool {
        matches!(self.get(place), Some(Token::Sign(sign)) if signs.contains(&sign))
    }

    pub fn is_word(&self, place: usize, words: &[&str]) -> bool {
        self.word(place).is_some_and(|word| words.contains(&word))
    }

    /// Whether no space is between the token and the one before it.
    pub fn is_glued(&self, place: usize) -> bool {
        match (place.checked_sub(1).and_then(|before| self.tokens.get(before)), self.tokens.get(place)) {
            (Some(before), Some(token)) => before.end == token.start,
            _ => false,
        }
    }

    /// Whether a word could begin at `place` or end before it: no letter or digit touches another there.
    pub fn is_boundary(&self, place: usize) -> bool {
        let is_sign = |place: usize| matches!(self.get(place), Some(Token::Sign(_)) | None);
        !self.is_glued(place) || is_sign(place) || place.checked_sub(1).is_none_or(is_sign)
    }

    /// How many bytes the tokens span.
    pub fn length(&self, from: usize, to: usize) -> usize {
        self.span(from, to).map_or(0, str::len)
    }

    fn span(&self, from: usize, to: usize) -> Option<&'t str> {
        let last = self.tokens.get(to.checked_sub(1)?)?;
        self.text.get(self.tokens.get(from)?.start..last.end)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Word,
    Number,
    Sign,
    Space,
}

/// As regular expressions of JavaScript tell them apart: words are ASCII.
fn kind(letter: char) -> Kind {
    if letter.is_ascii_alphabetic() || letter == '_' {
        Kind::Word
    } else if letter.is_ascii_digit() {
        Kind::Number
    } else if letter.is_whitespace() {
        Kind::Space
    } else {
        Kind::Sign
    }
}

fn run(text: &str, of: Kind) -> usize {
    text.find(|letter| kind(letter) != of).unwrap_or(text.len())
}
