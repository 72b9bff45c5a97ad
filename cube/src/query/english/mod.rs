//! Dates in English ("2 weeks ago", "nov 1 - nov 5", "next friday"), read as chrono-node reads them, the library that Cube asks:
//! the first phrase in the text that names a date counts, whatever stands around it. What it makes of rarer texts (zones,
//! fiscal dates, eras) isn't copied: they are refused or cut down to the part that is known here.

mod merge;
mod moment;
mod phrases;
pub(super) mod token;
pub(super) mod words;

use jiff::civil::DateTime;

use self::moment::Moment;
use self::token::Tokens;

/// The local times that a text names: one, or the two ends of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    pub start: DateTime,
    pub end: Option<DateTime>,
}

/// The first date in a text of lower case.
pub(super) fn parse(text: &str, reference: DateTime) -> Option<Found> {
    let tokens = Tokens::of(text);
    let phrases = merge::merge(&tokens, phrases::all(&tokens, reference));
    phrases.into_iter().find_map(|phrase| {
        let start = phrase.start.local()?;
        let end = match phrase.end {
            Some(end) => Some(end.local()?),
            None => None,
        };
        Some(Found { start, end })
    })
}

/// Some tokens that name a time, or a range of times.
#[derive(Clone, Copy, Debug)]
struct Phrase {
    /// The place of the first token and that behind the last.
    from: usize,
    to: usize,
    start: Moment,
    end: Option<Moment>,
    /// Whether it is a distance from the date behind it ("2 days before …", "2 days after …"), and in which direction.
    leads_to: Option<Distance>,
}

#[derive(Clone, Copy, Debug)]
struct Distance {
    amounts: moment::Amounts,
    sign: f64,
}
