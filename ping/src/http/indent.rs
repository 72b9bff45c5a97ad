//! JSON for people: the same text with line breaks and indentation. Numbers, names and texts stay as they are written, because
//! a preview must show what is sent, not what a parser makes of it.

/// Blanks a level is indented by.
const INDENTATION: &str = "  ";

/// The JSON text with each member on a line of its own. Empty objects and arrays stay on one line.
pub(super) fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth: usize = 0;
    let mut tokens = json.chars().peekable();
    while let Some(token) = tokens.next() {
        match token {
            '"' => {
                text.push(token);
                copy_string(&mut tokens, &mut text);
            }
            '{' | '[' => {
                text.push(token);
                while tokens.next_if(|next| is_blank(*next)).is_some() {}
                if let Some(end) = tokens.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(end);
                } else {
                    depth += 1;
                    begin_line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                begin_line(&mut text, depth);
                text.push(token);
            }
            ',' => {
                text.push(token);
                begin_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            blank if is_blank(blank) => {}
            other => text.push(other),
        }
    }
    text
}

/// Copies what is left of a string, up to its closing quote.
fn copy_string(tokens: &mut impl Iterator<Item = char>, text: &mut String) {
    while let Some(character) = tokens.next() {
        text.push(character);
        match character {
            '\\' => text.extend(tokens.next()),
            '"' => return,
            _ => {}
        }
    }
}

fn begin_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n(INDENTATION, depth));
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_on_lines_of_their_own() {
        let rows = [
            ("{}", "{}"),
            ("{ }", "{}"),
            ("[]", "[]"),
            ("7", "7"),
            (r#"{"a":1,"b":[1,2]}"#, "{\n  \"a\": 1,\n  \"b\": [\n    1,\n    2\n  ]\n}"),
            (r#"{"a" : {"b":{}} }"#, "{\n  \"a\": {\n    \"b\": {}\n  }\n}"),
        ];
        for (json, expected) in rows {
            assert_eq!(indented(json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_written_stays_as_it_is_written() {
        let rows = [
            (r#"{"a":1.50,"b":1e400}"#, ["1.50", "1e400"]),
            (r#"{"a":"{,:[ ]}","b":"\"\\"}"#, [r#""{,:[ ]}""#, r#""\"\\""#]),
            (r#"{"a":123456789012345678901,"b":"\u00e9"}"#, ["123456789012345678901", r#""\u00e9""#]),
        ];
        for (json, kept) in rows {
            for token in kept {
                assert!(indented(json).contains(token), "{json}: {token}");
            }
            assert_eq!(indented(&indented(json)), indented(json), "{json}");
        }
    }
}
