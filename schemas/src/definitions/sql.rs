//! What SQL of a definition's own (`options.sql`) may be: one SELECT that reads tables and keeps the limits it is run with.
//! ClickHouse's `readonly` mode refuses the rest, but a SETTINGS clause in a subquery lifts that mode, and some functions
//! read files in spite of it.

/// What is expected of the text.
pub(super) const EXPECTED: &str =
    "one SELECT without comments, SETTINGS, FORMAT or INTO that reads tables only";

/// Words that name no column or table of Tally's and that change limits, or reach files, models or servers although
/// ClickHouse is asked to read only. A function needs no parenthesis behind its name (`APPLY file`), so that the name alone
/// is refused, quoted or not.
const REFUSED: [&str; 7] =
    ["settings", "into", "outfile", "file", "eval", "catboostevaluate", "generateserialid"];

/// ClickHouse's functions that ask language models begin so.
const MODELS: [&str; 5] = ["aiclassify", "aiembed", "aiextract", "aigenerate", "aitranslate"];

/// Refuses the text with the part of it that is refused, or that it lacks.
pub(super) fn check(text: &str) -> Result<(), String> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let mut rest = text;
    let mut depth = 0_usize;
    let mut is_first = true;
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_ascii_alphabetic() || first == '_';
        if is_first && !(is_word && ["select", "with"].contains(&word(rest).to_ascii_lowercase().as_str())) {
            break;
        }
        is_first = false;
        let length = match first {
            '\'' => quoted(rest)?,
            '"' | '`' => {
                let length = quoted(rest)?;
                let name = &rest[1..length - 1];
                // An escape may spell any name.
                if name.contains('\\') {
                    return Err(rest[..length].to_owned());
                }
                refuse(name)?;
                length
            }
            _ if is_word => {
                let word = word(rest);
                refuse(word)?;
                let is_called = rest[word.len()..].trim_start().starts_with('(');
                if word.eq_ignore_ascii_case("format") && !is_called {
                    return Err(word.to_owned());
                }
                word.len()
            }
            // A number's letters, as in `1e3` or `0xff`, are no word.
            '0'..='9' => word(rest).len(),
            '(' => {
                depth += 1;
                1
            }
            // What closes a parenthesis before it is opened would end Tally's own around the text.
            ')' => {
                depth = depth.checked_sub(1).ok_or("an unopened )")?;
                1
            }
            _ if rest.starts_with("--") || rest.starts_with("/*") => return Err(rest[..2].to_owned()),
            // The first separates statements, the second opens a comment, the third a text in ClickHouse's own quotes.
            ';' | '#' | '$' => return Err(first.to_string()),
            // ClickHouse takes typographic quotes for quotes.
            _ if !first.is_ascii() || first.is_ascii_control() && !first.is_ascii_whitespace() => {
                return Err(format!("{first:?}"));
            }
            _ => 1,
        };
        rest = &rest[length..];
    }
    match (is_first, depth) {
        (true, _) => Err("no SELECT at its beginning".to_owned()),
        (_, 1..) => Err("an unclosed (".to_owned()),
        _ => Ok(()),
    }
}

/// The letters, digits and underscores that the text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    &text[..end.unwrap_or(text.len())]
}

/// How long the quoted part is that the text begins with. A doubled quote is read as the end of one part and the beginning
/// of another, which comes to the same.
fn quoted(text: &str) -> Result<usize, String> {
    let quote = text.as_bytes()[0];
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'\\' => _ = bytes.next(),
            0 => return Err("a zero byte".to_owned()),
            byte if byte == quote => return Ok(index + 1),
            _ => {}
        }
    }
    Err(format!("an unclosed {}", char::from(quote)))
}

fn refuse(name: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if REFUSED.contains(&lower.as_str()) || MODELS.contains(&lower.as_str()) {
        return Err(name.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_select_may_be_anything_that_reads_tables() {
        for sql in [
            "SELECT 1",
            "  select count() FROM contributions WHERE t BETWEEN {from:DateTime64(3, 'UTC')} AND {to:DateTime64(3, 'UTC')};\n",
            "WITH (SELECT 1) AS x SELECT x + 1e3 - 0xff",
            "SELECT count() FROM users WHERE name IN ('it''s', 'SETTINGS', '-- ; # $ ) file', 'Füße \\' (')",
            "SELECT format('{} of {}', \"a b\", `c`) FROM t",
            "SELECT profile, file_count FROM t",
            "SELECT 5 - -3, 4 / 2 * 1",
            "SELECT 1 UNION ALL (SELECT 2)",
        ] {
            assert_eq!(check(sql), Ok(()), "{sql}");
        }
    }

    #[test]
    fn what_could_do_more_is_refused() {
        for (sql, got) in [
            ("", "no SELECT at its beginning"),
            ("INSERT INTO t SELECT 1", "no SELECT at its beginning"),
            ("(SELECT 1)", "no SELECT at its beginning"),
            ("SELECTED", "no SELECT at its beginning"),
            ("SELECT 1 SETTINGS max_rows_to_read = 0", "SETTINGS"),
            ("SELECT x FROM (SELECT 1 AS x\nsettings\treadonly = 0)", "settings"),
            ("SELECT 1 FORMAT JSON", "FORMAT"),
            ("SELECT 1 INTO OUTFILE 'x'", "INTO"),
            ("SELECT 1; SELECT 2", ";"),
            ("SELECT 1)) SELECT ((2", "an unopened )"),
            ("SELECT (1", "an unclosed ("),
            ("SELECT file('/etc/passwd')", "file"),
            ("SELECT \"file\"('/etc/passwd')", "file"),
            ("SELECT `fi\\x6ce`('/etc/passwd')", "`fi\\x6ce`"),
            ("SELECT arrayMap(file, ['/etc/passwd'])", "file"),
            ("SELECT x APPLY file FROM t", "file"),
            ("SELECT catboostEvaluate('/m', 1)", "catboostEvaluate"),
            ("SELECT count() FROM eval('SELECT 1 SETTINGS readonly = 0')", "eval"),
            ("SELECT AIGenerate('x')", "AIGenerate"),
            ("SELECT generateSerialID('x')", "generateSerialID"),
            ("SELECT 1 -- and", "--"),
            ("SELECT 1 /* and */", "/*"),
            ("SELECT 1 # and", "#"),
            ("SELECT $a$x$a$", "$"),
            ("SELECT “file”('/etc/passwd')", "'“'"),
            ("SELECT 1\0", "'\\0'"),
            ("SELECT 'a\0'", "a zero byte"),
            ("SELECT 'a", "an unclosed '"),
            ("SELECT 'a\\'", "an unclosed '"),
        ] {
            assert_eq!(check(sql), Err(got.to_owned()), "{sql}");
        }
    }
}
