//! SQL text of a model: comments go, references are found, and what could not stand inside of a larger statement is
//! refused.
//!
//! A reference is a name or two in braces, as in Cube. A literal brace is written `\{` or `\}`, as in Cube, and may only
//! stand inside of quotes, because anywhere else ClickHouse would take it for a parameter.

use std::iter::Peekable;
use std::str::CharIndices;

use super::names::{Kind, Names};
use super::{Piece, Sql};

/// Where SQL stands, which decides what it may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A cube's rows.
    Source,
    /// The argument of an aggregate.
    Argument,
    /// A measure that is an expression of its own.
    Calculation,
    /// What decides which rows a measure counts, or what a segment is.
    Condition,
    Dimension,
    Join,
}

/// Aggregates whose call in the SQL of a row is a mistake that the engine would show only when somebody asks.
const AGGREGATES: [&str; 24] = [
    "any",
    "anylast",
    "argmax",
    "argmin",
    "avg",
    "avgif",
    "count",
    "countif",
    "grouparray",
    "groupuniqarray",
    "max",
    "maxif",
    "median",
    "min",
    "minif",
    "quantile",
    "sum",
    "sumif",
    "uniq",
    "uniqcombined",
    "uniqcombined64",
    "uniqexact",
    "uniqhll12",
    "uniqif",
];

/// Reads the SQL of a member of `cube` and resolves its references.
pub(super) fn read(text: &str, role: Role, cube: &str, names: &Names) -> Result<Sql, String> {
    let mut pieces = Vec::new();
    let lexed = Lexer::new(text).lex()?;
    if !matches!(role, Role::Source | Role::Calculation)
        && let Some(aggregate) = aggregate_called(&lexed.code)
    {
        return Err(format!("calls the aggregate {aggregate}() where rows are not aggregated yet"));
    }
    for token in lexed.tokens {
        pieces.push(match token {
            Token::Text(text) => Piece::Text(text),
            Token::Reference(reference) => resolve(&reference, role, cube, names)?,
        });
    }
    let is_prefixed = matches!(role, Role::Argument | Role::Dimension);
    if let [Piece::Text(column)] = pieces.as_slice()
        && is_prefixed
        && is_identifier(column)
    {
        // As Cube does it: a bare column stays that of its cube when cubes are joined.
        let column = Piece::Text(format!(".{column}"));
        return Ok(Sql(vec![Piece::Cube(cube.to_owned()), column]));
    }
    if pieces.is_empty() {
        return Err("`sql` is empty".to_owned());
    }
    Ok(Sql(pieces))
}

/// The id of a member that a list names: `member`, `CUBE.member` or `Cube.member`, perhaps in braces.
pub(super) fn member_id(reference: &str, cube: &str, names: &Names) -> Result<(String, Kind), String> {
    let trimmed = reference.trim();
    let bare = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(trimmed);
    let (owner, member) = match bare.split('.').collect::<Vec<_>>().as_slice() {
        [member] | ["CUBE", member] => (cube, *member),
        [owner, member] => (*owner, *member),
        _ => return Err(format!("{reference:?} names no member")),
    };
    let kind = names.kind(owner, member).ok_or_else(|| unknown_member(owner, member, names))?;
    Ok((format!("{owner}.{member}"), kind))
}

/// Whether a text is a name in Cube's sense.
pub(super) fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Whether a text names a table: a name, or a database's and a name.
pub(super) fn is_table(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() <= 2 && parts.into_iter().all(is_identifier)
}

fn resolve(reference: &str, role: Role, cube: &str, names: &Names) -> Result<Piece, String> {
    if reference == "TENANT" {
        return match role {
            Role::Source => Ok(Piece::Tenant),
            _ => Err("{TENANT} may stand in a cube's own `sql` only".to_owned()),
        };
    }
    if role == Role::Source {
        return Err(format!("a cube's `sql` may refer to {{TENANT}} only, not to {{{reference}}}"));
    }
    let parts: Vec<&str> = reference.split('.').collect();
    if !parts.iter().all(|part| is_identifier(part)) {
        return Err(format!("{{{reference}}} is no reference; a brace is written \\{{"));
    }
    match parts.as_slice() {
        ["CUBE"] => Ok(Piece::Cube(cube.to_owned())),
        [name] if names.kind(cube, name).is_some() => member(cube, name, role, names),
        [name] if names.has_cube(name) => Ok(Piece::Cube((*name).to_owned())),
        [name] => Err(format!("{{{name}}} is neither a member of {cube} nor a cube")),
        ["CUBE", name] => member(cube, name, role, names),
        [owner, name] => member(owner, name, role, names),
        _ => Err(format!("{{{reference}}} has more parts than a cube and a member")),
    }
}

fn member(owner: &str, name: &str, role: Role, names: &Names) -> Result<Piece, String> {
    let kind = names.kind(owner, name).ok_or_else(|| unknown_member(owner, name, names))?;
    if kind == Kind::Measure && role != Role::Calculation {
        return Err(match role {
            Role::Argument => {
                format!(
                    "aggregates the measure {{{owner}.{name}}}; only the types number, string, time and boolean refer to measures"
                )
            }
            _ => format!("refers to the measure {{{owner}.{name}}} where rows are not aggregated yet"),
        });
    }
    Ok(Piece::Member(format!("{owner}.{name}")))
}

fn unknown_member(owner: &str, name: &str, names: &Names) -> String {
    if names.has_cube(owner) {
        format!("{owner} has no member {name}; a column is written {{CUBE}}.{name}")
    } else {
        format!("there is no cube {owner}")
    }
}

/// The aggregate that SQL calls for a row, which it can't. Subqueries and windows may call them.
fn aggregate_called(code: &str) -> Option<&str> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut words = code.split(|letter| !is_name(letter));
    if words.any(|word| ["select", "over"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword))) {
        return None;
    }
    let calls = code
        .match_indices('(')
        .filter_map(|(at, _)| code[..at].trim_end().rsplit(|letter| !is_name(letter)).next());
    calls.into_iter().find(|name| AGGREGATES.iter().any(|aggregate| name.eq_ignore_ascii_case(aggregate)))
}

/// What is found in SQL.
struct Lexed {
    tokens: Vec<Token>,
    /// The text without what is in quotes, in braces or a comment.
    code: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    Reference(String),
}

/// Splits SQL into text and references.
struct Lexer<'t> {
    letters: Peekable<CharIndices<'t>>,
    text: &'t str,
    tokens: Vec<Token>,
    pending: String,
    code: String,
    open_brackets: Vec<char>,
}

impl<'t> Lexer<'t> {
    fn new(text: &'t str) -> Self {
        let text = text.trim();
        Self {
            letters: text.char_indices().peekable(),
            text,
            tokens: Vec::new(),
            pending: String::new(),
            code: String::new(),
            open_brackets: Vec::new(),
        }
    }

    fn lex(mut self) -> Result<Lexed, String> {
        while let Some((at, letter)) = self.letters.next() {
            let rest = &self.text[at..];
            self.code.push(if matches!(letter, '\'' | '"' | '`' | '{') { ' ' } else { letter });
            match letter {
                '\'' | '"' | '`' => self.quoted(letter)?,
                '{' => self.reference()?,
                '}' => return Err("a closing brace without an opening one".to_owned()),
                '\\' => return Err("a backslash outside of quotes".to_owned()),
                ';' => return Err("a semicolon".to_owned()),
                '$' if rest.starts_with("${") => {
                    return Err("in YAML a reference is written {name}, not ${name}".to_owned());
                }
                '$' => return Err("a dollar sign outside of quotes".to_owned()),
                '-' if rest.starts_with("--") => self.skip_line(),
                '#' if rest.starts_with("# ") || rest.starts_with("#!") => self.skip_line(),
                '/' if rest.starts_with("/*") => self.skip_comment()?,
                '(' | '[' => {
                    self.open_brackets.push(letter);
                    self.pending.push(letter);
                }
                ')' | ']' => self.close_bracket(letter)?,
                _ => self.pending.push(letter),
            }
        }
        if !self.open_brackets.is_empty() {
            return Err("a bracket that is not closed".to_owned());
        }
        let kept = self.pending.trim_end().len();
        self.pending.truncate(kept);
        self.flush();
        Ok(Lexed { tokens: self.tokens, code: self.code })
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.tokens.push(Token::Text(std::mem::take(&mut self.pending)));
        }
    }

    /// Up to the quote that closes. A quote in the text is doubled or has a backslash before it.
    fn quoted(&mut self, quote: char) -> Result<(), String> {
        self.pending.push(quote);
        while let Some((_, letter)) = self.letters.next() {
            match letter {
                '\\' => match self.letters.next() {
                    Some((_, brace @ ('{' | '}'))) => self.pending.push(brace),
                    Some((_, escaped)) => self.pending.extend(['\\', escaped]),
                    None => break,
                },
                '{' | '}' => return Err("a brace inside of quotes is written \\{ or \\}".to_owned()),
                _ => self.pending.push(letter),
            }
            if letter == quote {
                return Ok(());
            }
        }
        Err(format!("a {quote} that is not closed"))
    }

    fn reference(&mut self) -> Result<(), String> {
        self.flush();
        let mut name = String::new();
        for (_, letter) in self.letters.by_ref() {
            if letter == '}' {
                self.tokens.push(Token::Reference(name.trim().to_owned()));
                return Ok(());
            }
            name.push(letter);
        }
        Err("a brace that is not closed".to_owned())
    }

    fn close_bracket(&mut self, letter: char) -> Result<(), String> {
        let opening = if letter == ')' { '(' } else { '[' };
        if self.open_brackets.pop() != Some(opening) {
            return Err(format!("a {letter} that closes nothing"));
        }
        self.pending.push(letter);
        Ok(())
    }

    fn skip_line(&mut self) {
        self.letters.find(|(_, letter)| *letter == '\n');
        self.pending.push('\n');
    }

    /// ClickHouse's comments nest.
    fn skip_comment(&mut self) -> Result<(), String> {
        let mut depth = 1;
        self.letters.next();
        while let Some((at, _)) = self.letters.next() {
            let rest = &self.text[at..];
            if rest.starts_with("/*") {
                depth += 1;
                self.letters.next();
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.letters.next();
            }
            if depth == 0 {
                self.pending.push(' ');
                return Ok(());
            }
        }
        Err("a comment that is not closed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        for (cube, member, kind) in [
            ("T", "count", Kind::Measure),
            ("T", "name", Kind::Dimension),
            ("T", "known", Kind::Segment),
            ("Other", "id", Kind::Dimension),
        ] {
            names.add_member(cube, member, kind);
        }
        names
    }

    fn pieces(text: &str, role: Role) -> Result<Vec<Piece>, String> {
        read(text, role, "T", &names()).map(|sql| sql.0)
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn member(id: &str) -> Piece {
        Piece::Member(id.to_owned())
    }

    fn cube(name: &str) -> Piece {
        Piece::Cube(name.to_owned())
    }

    #[test]
    fn references_are_found() {
        for (sql, role, expected) in [
            ("{CUBE}.a = 1", Role::Condition, vec![cube("T"), text(".a = 1")]),
            ("{T}.a", Role::Condition, vec![cube("T"), text(".a")]),
            ("{ name }", Role::Dimension, vec![member("T.name")]),
            (
                "{CUBE.name} || {Other.id}",
                Role::Dimension,
                vec![member("T.name"), text(" || "), member("Other.id")],
            ),
            ("{count} / 2", Role::Calculation, vec![member("T.count"), text(" / 2")]),
            (
                "{known} AND {Other}.x",
                Role::Condition,
                vec![member("T.known"), text(" AND "), cube("Other"), text(".x")],
            ),
            ("SELECT 1 WHERE p = {TENANT}", Role::Source, vec![text("SELECT 1 WHERE p = "), Piece::Tenant]),
        ] {
            assert_eq!(pieces(sql, role).unwrap(), expected, "{sql}");
        }
    }

    #[test]
    fn a_bare_column_belongs_to_its_cube() {
        for role in [Role::Argument, Role::Dimension] {
            assert_eq!(pieces(" user_id ", role).unwrap(), [cube("T"), text(".user_id")]);
        }
        assert_eq!(pieces("user_id", Role::Condition).unwrap(), [text("user_id")]);
        assert_eq!(pieces("a + b", Role::Argument).unwrap(), [text("a + b")]);
    }

    #[test]
    fn comments_go_and_quotes_stay() {
        for (sql, expected) in [
            ("a -- it's {nothing}\n+ b", "a \n+ b"),
            ("a /* x /* y */ ; */ + b", "a   + b"),
            ("a # rest", "a"),
            ("a || '-- /* ; ('", "a || '-- /* ; ('"),
            (
                r"match(a, '^\{3\}$') AND b = 'it\'s' AND c = 'it''s'",
                r"match(a, '^{3}$') AND b = 'it\'s' AND c = 'it''s'",
            ),
        ] {
            assert_eq!(pieces(sql, Role::Condition).unwrap(), [text(expected)], "{sql}");
        }
    }

    #[test]
    fn aggregates_are_called_where_there_are_groups() {
        for (sql, role) in [
            ("SUM(a) / count()", Role::Calculation),
            ("SELECT max(a) FROM t", Role::Source),
            ("arraySum(a) + least(b, 1)", Role::Dimension),
            ("(SELECT max(a) FROM t) = b", Role::Condition),
            ("a = 'sum(b)' AND c IN (1, 2) -- max(c)", Role::Condition),
        ] {
            assert!(pieces(sql, role).is_ok(), "{sql}");
        }
    }

    #[test]
    fn what_would_break_a_statement_is_refused() {
        for (sql, role, reason) in [
            ("", Role::Condition, "is empty"),
            ("-- nothing", Role::Condition, "is empty"),
            ("{nope} = 1", Role::Condition, "{nope} is neither a member of T nor a cube"),
            ("{CUBE.nope}", Role::Dimension, "T has no member nope; a column is written {CUBE}.nope"),
            ("{Nope.id}", Role::Dimension, "there is no cube Nope"),
            ("{T.name.day}", Role::Dimension, "more parts"),
            ("{a + b}", Role::Dimension, "is no reference"),
            ("{count} > 1", Role::Condition, "where rows are not aggregated yet"),
            ("{count}", Role::Dimension, "where rows are not aggregated yet"),
            ("{count}", Role::Argument, "aggregates the measure {T.count}"),
            ("SUM(a) / 2", Role::Argument, "calls the aggregate SUM()"),
            ("max (a)", Role::Dimension, "calls the aggregate max()"),
            ("{TENANT}", Role::Dimension, "{TENANT} may stand"),
            ("SELECT {CUBE}.a", Role::Source, "{TENANT} only, not to {CUBE}"),
            ("'a", Role::Condition, "a ' that is not closed"),
            ("f(a", Role::Condition, "a bracket that is not closed"),
            ("a) OR (1", Role::Condition, "a ) that closes nothing"),
            ("f(a]", Role::Condition, "a ] that closes nothing"),
            ("a; DROP TABLE t", Role::Condition, "a semicolon"),
            ("${CUBE}.a", Role::Condition, "not ${name}"),
            ("$x$ ' $x$", Role::Condition, "a dollar sign"),
            (r"\{p0:Int64\}", Role::Condition, "a backslash"),
            ("a = '{CUBE}'", Role::Condition, "a brace inside of quotes"),
            ("a /* b", Role::Condition, "a comment that is not closed"),
            ("{CUBE", Role::Condition, "a brace that is not closed"),
            ("CUBE}", Role::Condition, "a closing brace"),
        ] {
            let error = pieces(sql, role).unwrap_err();
            assert!(error.contains(reason), "{sql}: {error}");
        }
    }
}
