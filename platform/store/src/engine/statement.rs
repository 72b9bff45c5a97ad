//! Reads just enough SQL to route a statement: whether it is an insert with data behind it, and which `FORMAT` it
//! names. The engine's own parser decides everything else.

/// A piece of SQL that matters for routing. Whitespace and comments are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    kind: TokenKind,
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Word,
    /// A quoted string or identifier.
    Quoted,
    Symbol(u8),
}

struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Moves past whitespace and comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            match rest {
                [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, ..] => self.at += 1,
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => self.at += line_length(rest),
                [b'/', b'*', ..] => self.at += block_comment_length(rest),
                // A byte order mark.
                [0xef, 0xbb, 0xbf, ..] => self.at += 3,
                _ => return,
            }
        }
    }
}

fn line_length(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1)
}

/// ClickHouse nests block comments.
fn block_comment_length(text: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < text.len() && depth > 0 {
        match &text[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

/// The length of a string that opens with its quote; backslash escapes, and a doubled quote stands for itself.
fn quoted_length(text: &[u8]) -> usize {
    let quote = text[0];
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            byte if byte == quote => {
                if text.get(at + 1) != Some(&quote) {
                    return at + 1;
                }
                at += 2;
            }
            _ => at += 1,
        }
    }
    text.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let start = self.at;
        let first = *self.text.get(start)?;
        let (kind, length) = match first {
            b'\'' | b'"' | b'`' => (TokenKind::Quoted, quoted_length(&self.text[start..])),
            byte if is_word(byte) => {
                let rest = &self.text[start..];
                (TokenKind::Word, rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len()))
            }
            symbol => (TokenKind::Symbol(symbol), 1),
        };
        self.at = (start + length).min(self.text.len());
        Some(Token { kind, start, end: self.at })
    }
}

fn is_keyword(text: &[u8], token: Token, keyword: &str) -> bool {
    token.kind == TokenKind::Word && text[token.start..token.end].eq_ignore_ascii_case(keyword.as_bytes())
}

/// How the beginning of a request reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// An insert whose data follow at `data`: `sql` is the statement without `FORMAT` and data.
    InsertData { sql: String, format: String, data: usize },
    /// Any other statement; all of the request is SQL (an `INSERT … SELECT FROM input()` with its data included).
    Statement,
    /// An insert that ends before its data or its `SELECT`: more of the request has to be read.
    Incomplete,
}

/// Routes a request by what has arrived of it so far; `complete` says that nothing more will.
pub fn head(text: &[u8], complete: bool) -> Head {
    let mut tokens = Tokens::new(text);
    let Some(first) = tokens.next() else {
        return if complete { Head::Statement } else { Head::Incomplete };
    };
    // The word may have been cut by the end of what has arrived.
    if first.end == text.len() && !complete {
        return Head::Incomplete;
    }
    if !is_keyword(text, first, "INSERT") {
        return Head::Statement;
    }
    let mut depth = 0_usize;
    while let Some(token) = tokens.next() {
        match token.kind {
            TokenKind::Symbol(b'(') => depth += 1,
            TokenKind::Symbol(b')') => depth = depth.saturating_sub(1),
            TokenKind::Word if depth == 0 => {
                if token.end == text.len() && !complete {
                    return Head::Incomplete;
                }
                if ["SELECT", "WITH", "WATCH", "INFILE"]
                    .iter()
                    .any(|keyword| is_keyword(text, token, keyword))
                {
                    return Head::Statement;
                }
                if is_keyword(text, token, "VALUES") {
                    return insert(text, token, "Values", token.end);
                }
                if is_keyword(text, token, "FORMAT") {
                    return format_of_insert(text, token, &mut tokens, complete);
                }
            }
            _ => {}
        }
    }
    if complete { Head::Statement } else { Head::Incomplete }
}

fn format_of_insert(text: &[u8], format: Token, tokens: &mut Tokens<'_>, complete: bool) -> Head {
    match tokens.next() {
        Some(name) if name.kind == TokenKind::Word => {
            // The byte behind the name decides where the data start.
            if name.end + 2 > text.len() && !complete {
                return Head::Incomplete;
            }
            let data = data_start(text, name.end);
            insert(text, format, &String::from_utf8_lossy(&text[name.start..name.end]), data)
        }
        None if !complete => Head::Incomplete,
        _ => Head::Statement,
    }
}

/// ClickHouse's rule: data start after the first line break, or after the blanks if there is none.
fn data_start(text: &[u8], from: usize) -> usize {
    let blank = text[from..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | 0x0c)).count();
    let mut at = from + blank;
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

fn insert(text: &[u8], clause: Token, format: &str, data: usize) -> Head {
    Head::InsertData {
        sql: String::from_utf8_lossy(&text[..clause.start]).into_owned(),
        format: format.to_owned(),
        data,
    }
}

/// What a statement begins with, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatementKind {
    /// A query whose result can be fetched block by block.
    Select,
    /// What follows its SQL may be data.
    Insert,
    /// `SET` and `USE`: they change the session.
    Session,
    /// `SYSTEM FLUSH LOGS` among them.
    System,
    #[default]
    Other,
}

/// What a statement's text says about its output and its session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tail {
    /// The `FORMAT` clause's name.
    pub format: Option<String>,
    /// Whether a totals row may follow the rows.
    pub totals: bool,
    /// Whether a temporary table is named: it lives as long as its session.
    pub temporary: bool,
    /// Whether it reads or writes files at the client's side, which a server doesn't do.
    pub outfile: bool,
    pub kind: StatementKind,
    /// Where the statement ends: before a final `;`, blanks and comments.
    pub end: usize,
}

fn kind(text: &[u8], first: Token) -> StatementKind {
    let is = |keywords: &[&str]| keywords.iter().any(|keyword| is_keyword(text, first, keyword));
    if is(&["SELECT", "WITH"]) || first.kind == TokenKind::Symbol(b'(') {
        StatementKind::Select
    } else if is(&["INSERT"]) {
        StatementKind::Insert
    } else if is(&["SET", "USE"]) {
        StatementKind::Session
    } else if is(&["SYSTEM"]) {
        StatementKind::System
    } else {
        StatementKind::Other
    }
}

/// Reads a whole statement that is not an insert with data.
pub fn tail(text: &[u8]) -> Tail {
    let mut tail = Tail::default();
    let mut format_next = false;
    let mut first = true;
    for token in Tokens::new(text) {
        let is = |keyword| is_keyword(text, token, keyword);
        if std::mem::take(&mut first) {
            tail.kind = kind(text, token);
        }
        if token.kind != TokenKind::Symbol(b';') {
            tail.end = token.end;
        }
        if format_next && token.kind == TokenKind::Word {
            tail.format = Some(String::from_utf8_lossy(&text[token.start..token.end]).into_owned());
            // What follows are data.
            if tail.kind == StatementKind::Insert {
                return Tail { end: text.len(), ..tail };
            }
        }
        format_next = is("FORMAT");
        tail.totals |= is("TOTALS");
        tail.temporary |= is("TEMPORARY");
        tail.outfile |= is("OUTFILE") || is("INFILE");
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert_of(text: &str) -> (String, String, String) {
        match head(text.as_bytes(), true) {
            Head::InsertData { sql, format, data } => (sql, format, text[data..].to_owned()),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn an_insert_is_split_into_statement_format_and_data() {
        let cases = [
            ("INSERT INTO t FORMAT RowBinary\n\nab", "INSERT INTO t ", "RowBinary", "\nab"),
            (
                "insert into t (a, `format`) format JSONEachRow {}",
                "insert into t (a, `format`) ",
                "JSONEachRow",
                "{}",
            ),
            ("INSERT INTO t VALUES (1)", "INSERT INTO t ", "Values", " (1)"),
            (
                "/* x */ INSERT INTO t SETTINGS a = 'FORMAT CSV' FORMAT TSV\r\n1",
                "/* x */ INSERT INTO t SETTINGS a = 'FORMAT CSV' ",
                "TSV",
                "1",
            ),
            (
                "-- FORMAT Null\nINSERT INTO FUNCTION file('x') FORMAT CSV",
                "-- FORMAT Null\nINSERT INTO FUNCTION file('x') ",
                "CSV",
                "",
            ),
        ];
        for (text, sql, format, data) in cases {
            assert_eq!(insert_of(text), (sql.to_owned(), format.to_owned(), data.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_statements_stay_whole() {
        for text in [
            "SELECT 1 FORMAT JSON",
            "INSERT INTO t SELECT 1",
            "INSERT INTO t WITH 1 AS x SELECT x",
            "INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV\n1",
            "INSERT INTO t",
            "",
        ] {
            assert_eq!(head(text.as_bytes(), true), Head::Statement, "{text}");
        }
    }

    #[test]
    fn an_insert_that_is_cut_anywhere_asks_for_more() {
        let text = b"INSERT INTO t (a) FORMAT RowBinary\nx";
        for length in 0..text.len() - 1 {
            assert_eq!(head(&text[..length], false), Head::Incomplete, "{length}");
        }
        assert!(matches!(head(text, false), Head::InsertData { data: 35, .. }));
    }

    #[test]
    fn the_last_format_clause_counts_and_quotes_and_comments_do_not() {
        let cases = [
            ("SELECT 1", None),
            ("SELECT 1 FORMAT JSON", Some("JSON")),
            ("SELECT 'FORMAT CSV' FORMAT JSON SETTINGS max_threads = 1 ;", Some("JSON")),
            ("SELECT 1 /* FORMAT CSV */ -- FORMAT TSV", None),
            ("SELECT format('{}', 1)", None),
        ];
        for (text, format) in cases {
            assert_eq!(tail(text.as_bytes()).format.as_deref(), format, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_statement_leaves_the_semicolon_and_comments_out() {
        for text in ["SELECT 1 ; -- x", "SELECT 1;\n", "SELECT 1 /* a /* b */ ; */"] {
            assert_eq!(&text[..tail(text.as_bytes()).end], "SELECT 1", "{text}");
        }
    }
}
