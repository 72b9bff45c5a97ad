//! Titles out of member names, as Cube 1.7 makes them: `derivedTstamp` is "Derived Tstamp", `startAt` "Start at".

/// Words that stay in lower case unless they come first: the inflection package's list, which Cube uses.
const SMALL_WORDS: [&str; 22] = [
    "and", "or", "nor", "a", "an", "the", "so", "but", "to", "of", "at", "by", "from", "into", "on", "onto",
    "off", "out", "in", "over", "with", "for",
];

/// `name` split at capitals and underscores, each word capitalised.
pub(super) fn titleize(name: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut after_capital = true;
    for letter in name.chars() {
        let is_break = letter == '_' || (letter.is_uppercase() && !after_capital);
        if is_break || words.is_empty() {
            words.push(String::new());
        }
        if letter != '_' {
            words.last_mut().expect("a word was begun").push(letter);
        }
        after_capital = letter.is_uppercase() || letter == '_';
    }
    words.retain(|word| !word.is_empty());
    words.iter().enumerate().map(|(place, word)| titled(word, place == 0)).collect::<Vec<_>>().join(" ")
}

fn titled(word: &str, is_first: bool) -> String {
    let lower = word.to_lowercase();
    if lower == "id" {
        return "ID".to_owned();
    }
    if !is_first && SMALL_WORDS.contains(&lower.as_str()) {
        return lower;
    }
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
            ("lastSeenAt", "Last Seen at"),
        ] {
            assert_eq!(titleize(name), title, "{name}");
        }
    }
}
