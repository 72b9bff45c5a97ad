//! Names as people read them, and as SQL does: `derivedTstamp` has the title "Derived Tstamp" and the alias
//! `derived_tstamp`. What Cube 1.7 makes of a name with the packages camelcase and inflection.

/// Words that stay in lower case unless they come first: inflection's list.
const SMALL_WORDS: [&str; 22] = [
    "and", "or", "nor", "a", "an", "the", "so", "but", "to", "of", "at", "by", "from", "into", "on", "onto",
    "off", "out", "in", "over", "with", "for",
];

/// A name in snake case, an underscore before each capital: `sessionID` is `session_i_d`.
pub fn underscore(name: &str) -> String {
    let mut alias = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !alias.is_empty() {
            alias.push('_');
        }
        alias.push(letter.to_ascii_lowercase());
    }
    alias
}

/// The words of a name, each with a capital: `sessionID` is "Session ID", `startAt` "Start at".
pub(super) fn titleize(name: &str) -> String {
    let snake = underscore(&pascal_case(name));
    let words = snake.split('_').enumerate().map(|(place, word)| match word {
        "id" => "ID".to_owned(),
        "ids" => "IDs".to_owned(),
        small if place > 0 && SMALL_WORDS.contains(&small) => small.to_owned(),
        _ => capitalized(word),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `pageURLPath` and `page_url_path` are both `PageUrlPath`. A letter after a digit begins a word, too.
fn pascal_case(name: &str) -> String {
    let separated = separate_words(name);
    let mut result = String::new();
    let mut begins_word = true;
    for letter in separated.chars() {
        if letter == '_' || letter == '-' {
            begins_word = true;
            continue;
        }
        let letter = letter.to_ascii_lowercase();
        result.push(if begins_word { letter.to_ascii_uppercase() } else { letter });
        begins_word = letter.is_ascii_digit();
    }
    result
}

/// A dash between `derived` and `Tstamp`, and between `URL` and `Path`.
fn separate_words(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut result = String::with_capacity(name.len() + 4);
    for (place, letter) in letters.iter().enumerate() {
        let is_upper = |place: usize| letters.get(place).is_some_and(char::is_ascii_uppercase);
        let is_lower = |place: usize| letters.get(place).is_some_and(char::is_ascii_lowercase);
        let starts_word = place > 0 && letter.is_ascii_uppercase() && is_lower(place - 1);
        let ends_capitals = place > 0 && is_upper(place) && is_upper(place - 1) && is_lower(place + 1);
        if starts_word || ends_capitals {
            result.push('-');
        }
        result.push(*letter);
    }
    result
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_words() {
        for (name, title) in [
            ("TrackedEvents", "Tracked Events"),
            ("count", "Count"),
            ("derivedTstamp", "Derived Tstamp"),
            ("pageUrlhosts", "Page Urlhosts"),
            ("event_name", "Event Name"),
            ("sessionID", "Session ID"),
            ("eventId", "Event ID"),
            ("userIds", "User IDs"),
            ("id", "ID"),
            ("lastSeenAt", "Last Seen at"),
            ("at_first", "At First"),
            ("pageURLPath", "Page Url Path"),
            ("p95_load", "P95 Load"),
            ("top10items", "Top10 Items"),
        ] {
            assert_eq!(titleize(name), title, "{name}");
        }
    }

    #[test]
    fn aliases_have_an_underscore_before_each_capital() {
        for (name, alias) in
            [("TrackedEvents", "tracked_events"), ("sessionID", "session_i_d"), ("p95_load", "p95_load")]
        {
            assert_eq!(underscore(name), alias);
        }
    }
}
