//! YAML in the form of Ruby's Psych with lines of 150 characters, which GitLab's generator uses: its choice of quotes, and
//! libyaml's places to break a line. Only what definitions hold: mappings, lists, one-line texts, numbers, booleans, null.

use std::fmt::Write as _;

use serde_yaml_ng::{Mapping, Value};

/// Lines are broken at the first blank behind this column.
const WIDTH: usize = 150;

/// How a text is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    Plain,
    Single,
    Double,
    Folded,
}

/// A document of one mapping.
pub(super) fn emit(document: &Mapping) -> String {
    let mut out = "---\n".to_owned();
    mapping(&mut out, document, 0);
    out
}

/// A block mapping whose first key stands where `out` ends, further ones after `indent` blanks.
fn mapping(out: &mut String, entries: &Mapping, indent: usize) {
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        scalar(out, key, indent);
        out.push(':');
        match value {
            Value::Mapping(nested) if !nested.is_empty() => {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent + 2));
                mapping(out, nested, indent + 2);
            }
            Value::Sequence(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, indent);
            }
            Value::Null => out.push('\n'),
            other => {
                out.push(' ');
                scalar(out, other, indent);
                out.push('\n');
            }
        }
    }
}

/// A block list, its dashes after `indent` blanks.
fn sequence(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        out.extend(std::iter::repeat_n(' ', indent));
        out.push_str("- ");
        match item {
            Value::Mapping(nested) if !nested.is_empty() => mapping(out, nested, indent + 2),
            other => {
                scalar(out, other, indent);
                out.push('\n');
            }
        }
    }
}

/// Anything of one line.
fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) => self::text(out, text, indent + 2),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Sequence(_) => out.push_str("[]"),
        Value::Mapping(_) => out.push_str("{}"),
        Value::Null | Value::Tagged(_) => {}
    }
}

fn text(out: &mut String, text: &str, indent: usize) {
    match style(text) {
        Style::Plain => broken(out, text, indent, String::push),
        Style::Single => {
            out.push('\'');
            broken(out, text, indent, |out, character| match character {
                '\'' => out.push_str("''"),
                other => out.push(other),
            });
            out.push('\'');
        }
        Style::Double => {
            out.push('"');
            broken(out, text, indent, escaped);
            out.push('"');
        }
        Style::Folded => {
            out.push_str(">-\n");
            out.extend(std::iter::repeat_n(' ', indent));
            broken(out, text, indent, String::push);
        }
    }
}

/// Writes the text, with a line break in place of the first blank behind the width that has none beside it.
fn broken(out: &mut String, text: &str, indent: usize, mut write: impl FnMut(&mut String, char)) {
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_single_blank = character == ' '
            && before.is_some_and(|before| before != ' ')
            && characters.peek().is_some_and(|next| *next != ' ');
        if is_single_blank && column(out) > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
        } else {
            write(out, character);
        }
        before = Some(character);
    }
}

/// Characters since the last line break.
fn column(out: &str) -> usize {
    out.rsplit('\n').next().map_or(0, |line| line.chars().count())
}

/// A character between double quotes. libyaml knows no character beyond the basic plane as printable.
fn escaped(out: &mut String, character: char) {
    match character {
        '"' | '\\' => out.extend(['\\', character]),
        '\u{10000}'.. => {
            // A text takes whatever is written into it.
            let _ = write!(out, "\\U{:08X}", u32::from(character));
        }
        other => out.push(other),
    }
}

/// Psych's choice, corrected by libyaml where a plain text would not be read back.
fn style(text: &str) -> Style {
    let first_is_word = text.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '_');
    let quotes_inside = text.chars().skip(1).any(|character| character == '"');
    if matches!(text, "y" | "Y" | "n" | "N") || text.chars().any(|character| character >= '\u{10000}') {
        Style::Double
    } else if text.chars().count() > WIDTH {
        Style::Folded
    } else if !text.is_empty() && !first_is_word && !quotes_inside {
        Style::Double
    } else if is_ambiguous(text) || !may_be_plain(text) {
        Style::Single
    } else {
        Style::Plain
    }
}

/// Whether the text, unquoted, would be something else: to Ruby, which reads YAML 1.1, or to Tally's own reader.
fn is_ambiguous(text: &str) -> bool {
    const WORDS: [&str; 9] = ["", "~", "null", "yes", "no", "true", "false", "on", "off"];
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    is_word || is_number(text) || is_date(text) || !is_read_as_itself(text)
}

/// Numbers of YAML 1.1 as Psych knows them: `1_000`, `1,000`, `0x1f`, `0b1`, `1.5e+3`, and `12:30` to the base of 60. Those
/// with a sign are quoted in any case.
fn is_number(text: &str) -> bool {
    let all_of = |text: &str, allowed: &str| text.chars().all(|character| allowed.contains(character));
    let is_prefixed = |prefix: &str, digits: &str| {
        text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && all_of(rest, digits))
    };
    let is_in_exponent_form = text.split_once(['e', 'E']).is_some_and(|(number, exponent)| {
        is_decimal(number) && exponent.starts_with(['+', '-']) && all_of(&exponent[1..], "0123456789")
    });
    let is_to_base_60 = text.contains(':') && all_of(text, "0123456789_:.") && !text.ends_with(':');
    let starts_with_digit = text.starts_with(|first: char| first.is_ascii_digit());
    starts_with_digit
        && (is_decimal(text)
            || is_prefixed("0x", "0123456789abcdefABCDEF_,")
            || is_prefixed("0b", "01_,")
            || is_in_exponent_form
            || is_to_base_60)
}

/// Digits with at most one point.
fn is_decimal(text: &str) -> bool {
    text.chars().all(|character| character.is_ascii_digit() || "_,.".contains(character))
        && text.matches('.').count() <= 1
}

/// A date, with or without a time behind it.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let is_short = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let day = rest.split([' ', 'T', 't']).next().unwrap_or_default();
    year.len() == 4 && is_short(year, 4) && is_short(month, 2) && is_short(day, 2)
}

fn is_read_as_itself(text: &str) -> bool {
    serde_yaml_ng::from_str::<Value>(text).is_ok_and(|read| read.as_str() == Some(text))
}

/// Whether libyaml writes the text without quotes.
fn may_be_plain(text: &str) -> bool {
    let opens = text.starts_with(|first: char| "#,[]{}&*!|>'\"%@`".contains(first));
    let dashes = ["- ", "? ", ": ", "---", "..."].iter().any(|start| text.starts_with(start));
    let is_indicator = matches!(text, "-" | "?" | ":");
    let inner = text.contains(": ") || text.ends_with(':') || text.contains(" #");
    let blanks = text.starts_with(' ') || text.ends_with(' ');
    !(opens || dashes || is_indicator || inner || blanks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(text: &str) -> String {
        emit(&Mapping::from_iter([("description".into(), text.into())])).replace("---\ndescription: ", "")
    }

    /// Psych's own output, read off Ruby's rules and GitLab's files.
    #[test]
    fn texts_are_quoted_as_psych_quotes_them() {
        for (text, written) in [
            ("Count of issues", "Count of issues"),
            ("16.6", "'16.6'"),
            ("60", "'60'"),
            ("1_000", "'1_000'"),
            ("1,000", "'1,000'"),
            ("0x1f", "'0x1f'"),
            ("12:30", "'12:30'"),
            ("2026-11-21", "'2026-11-21'"),
            ("true", "'true'"),
            ("No", "'No'"),
            ("null", "'null'"),
            ("y", "\"y\""),
            ("", "''"),
            ("<13.9", "\"<13.9\""),
            ("-1", "\"-1\""),
            ("`tally` is used", "\"`tally` is used\""),
            ("(old) way\\new", "\"(old) way\\\\new\""),
            ("\"Quoted\" at the start", "'\"Quoted\" at the start'"),
            ("It says \"no\"", "It says \"no\""),
            ("Reason: it's so", "'Reason: it''s so'"),
            ("ends with:", "'ends with:'"),
            ("a #comment", "'a #comment'"),
            ("c# and a:b", "c# and a:b"),
            ("https://example.com/1", "https://example.com/1"),
            ("Füße", "Füße"),
            ("Smile \u{1F600}", "\"Smile \\U0001F600\""),
            ("2nd factor", "2nd factor"),
            ("28d", "28d"),
            ("1.2.3", "1.2.3"),
            ("1.5e+3", "'1.5e+3'"),
            ("2026-11-21 10:00:00", "'2026-11-21 10:00:00'"),
            ("2026-11 was a month", "2026-11 was a month"),
        ] {
            assert_eq!(line(text), format!("{written}\n"), "{text}");
        }
    }

    #[test]
    fn long_texts_are_folded_at_the_first_blank_behind_150_columns() {
        let words = |count: usize| vec!["aaaaaaaaa"; count].join(" ");
        // `description: ` takes 13 columns, so that 14 words end in column 152.
        let plain = words(15);
        assert_eq!(line(&plain), format!("{}\n  {}\n", words(14), words(1)));
        let folded = words(20);
        assert_eq!(line(&folded), format!(">-\n  {}\n  {}\n", words(15), words(5)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            key in "[a-z_]{1,8}",
            text in "[ -~äß€\u{1F600}]{0,200}",
            items in prop::collection::vec("[ -~]{0,30}", 0..4),
            number in any::<i32>(),
        ) {
            let text = text.trim();
            let nested = Mapping::from_iter([
                (Value::from(key.as_str()), Value::from(text)),
                ("n".into(), number.into()),
            ]);
            let items: Value = items.iter().map(|item| Value::from(item.trim())).collect();
            let document = Mapping::from_iter([
                ("text".into(), text.into()),
                ("nested".into(), Value::Mapping(nested.clone())),
                ("items".into(), items),
                ("rules".into(), Value::Sequence(vec![Value::Mapping(nested)])),
                ("whether".into(), true.into()),
                ("nothing".into(), Value::Null),
            ]);
            let written = emit(&document);
            let read: Value = serde_yaml_ng::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
            prop_assert_eq!(read, Value::Mapping(document), "{}", written);
        }
    }
}
