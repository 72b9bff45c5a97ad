//! The words of dates: months, weekdays, units, numbers.

use super::super::relative::Unit;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [(&str, &[&str]); 7] = [
    ("sunday", &["sun"]),
    ("monday", &["mon"]),
    ("tuesday", &["tue"]),
    ("wednesday", &["wed"]),
    ("thursday", &["thurs", "thur", "thu"]),
    ("friday", &["fri"]),
    ("saturday", &["sat"]),
];

const NUMBERS: [&str; 12] =
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

const ORDINALS: [&str; 20] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
];

/// A month's number, and whether the word is its whole name.
pub(in super::super) fn month(word: &str) -> Option<(i32, bool)> {
    let number = (1..).zip(MONTHS).find(|(_, name)| *name == word || short_month(name, word));
    number.map(|(number, name)| (number, name == word))
}

fn short_month(name: &str, word: &str) -> bool {
    word == &name[..3] || (word == "sept" && name == "september")
}

/// Days since Sunday.
pub(in super::super) fn weekday(word: &str) -> Option<i32> {
    (0..).zip(WEEKDAYS).find(|(_, (name, short))| *name == word || short.contains(&word)).map(|(day, _)| day)
}

/// A unit of a distance; unlike Cube's own forms, also by its short names.
pub(in super::super) fn unit(word: &str) -> Option<Unit> {
    Some(match word {
        "s" | "sec" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mo" | "mon" | "mos" | "month" | "months" => Unit::Month,
        "qtr" | "quarter" | "quarters" => Unit::Quarter,
        "y" | "yr" | "year" | "years" => Unit::Year,
        _ => return None,
    })
}

/// A number in words, one to twelve.
pub(in super::super) fn number(word: &str) -> Option<f64> {
    (1..).zip(NUMBERS).find(|(_, name)| *name == word).map(|(number, _)| f64::from(number))
}

/// An ordinal in one word.
pub(in super::super) fn ordinal(word: &str) -> Option<i32> {
    match word {
        "thirtieth" => Some(30),
        _ => (1..).zip(ORDINALS).find(|(_, name)| *name == word).map(|(number, _)| number),
    }
}

/// The tens of an ordinal in two words.
pub(in super::super) fn tens(word: &str) -> Option<i32> {
    match word {
        "twenty" => Some(20),
        "thirty" => Some(30),
        _ => None,
    }
}
