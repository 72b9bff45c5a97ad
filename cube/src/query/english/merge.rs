//! Phrases that belong together: of two that overlap the longer stays, a date and a time beside it are one, and so are the two
//! ends of a range.

use jiff::ToSpan;

use super::Phrase;
use super::moment::Moment;
use super::token::Tokens;

type Join = fn(&Tokens<'_>, &Phrase, &Phrase) -> Option<Phrase>;

pub(super) fn merge(tokens: &Tokens<'_>, phrases: Vec<Phrase>) -> Vec<Phrase> {
    let steps: [Join; 4] = [weekday_and_date, distance_and_date, date_and_time, range];
    let phrases =
        steps.into_iter().fold(longest(tokens, phrases), |phrases, join| joined(tokens, phrases, join));
    longest(tokens, phrases)
}

/// Of phrases that overlap, the longest one, or the first.
fn longest(tokens: &Tokens<'_>, mut phrases: Vec<Phrase>) -> Vec<Phrase> {
    phrases.sort_by_key(|phrase| phrase.from);
    let mut kept: Vec<Phrase> = Vec::new();
    for phrase in phrases {
        match kept.last_mut() {
            Some(last) if phrase.from < last.to => {
                if tokens.length(phrase.from, phrase.to) > tokens.length(last.from, last.to) {
                    *last = phrase;
                }
            }
            _ => kept.push(phrase),
        }
    }
    kept
}

/// Joins neighbours, from the left.
fn joined(tokens: &Tokens<'_>, phrases: Vec<Phrase>, join: Join) -> Vec<Phrase> {
    let mut kept: Vec<Phrase> = Vec::new();
    for phrase in phrases {
        match kept.last_mut() {
            Some(last) => match join(tokens, last, &phrase) {
                Some(whole) => *last = whole,
                None => kept.push(phrase),
            },
            None => kept.push(phrase),
        }
    }
    kept
}

/// `monday, nov 16`: the date counts.
fn weekday_and_date(tokens: &Tokens<'_>, left: &Phrase, right: &Phrase) -> Option<Phrase> {
    let is_comma = left.to + 1 == right.from && tokens.is_sign(left.to, &[',']);
    let fits = left.start.is_only_weekday() && !left.start.hour.known && right.start.day.known;
    if !fits || !(left.to == right.from || is_comma) {
        return None;
    }
    let mut whole = Phrase { from: left.from, ..*right };
    whole.start.weekday = true;
    Some(whole)
}

/// `3 days before nov 5`.
fn distance_and_date(_: &Tokens<'_>, left: &Phrase, right: &Phrase) -> Option<Phrase> {
    let distance = left.leads_to.filter(|_| left.to == right.from)?;
    let start = Moment::moved(right.start.local()?, &distance.amounts, distance.sign)?;
    Some(Phrase { from: left.from, to: right.to, start, end: None, leads_to: None })
}

/// `nov 5 at 10:00`, in either order.
fn date_and_time(tokens: &Tokens<'_>, left: &Phrase, right: &Phrase) -> Option<Phrase> {
    const BETWEEN: [&str; 6] = ["t", "at", "after", "before", "on", "of"];
    let is_joint = tokens.is_word(left.to, &BETWEEN) || tokens.is_sign(left.to, &[',', '-']);
    if !(left.to == right.from || (left.to + 1 == right.from && is_joint)) {
        return None;
    }
    let (date, time) = if left.start.is_only_date() && right.start.is_only_time() {
        (left, right)
    } else if right.start.is_only_date() && left.start.is_only_time() {
        if left.start.is_only_date() { (left, right) } else { (right, left) }
    } else {
        return None;
    };
    let end = (date.end.is_some() || time.end.is_some())
        .then(|| date.end.unwrap_or(date.start).with_time_of(&time.end.unwrap_or(time.start)));
    let start = date.start.with_time_of(&time.start);
    Some(Phrase { from: left.from, to: right.to, start, end, leads_to: None })
}

/// `nov 1 - nov 5`: each end takes over what only the other says, and the earlier one comes first.
fn range(tokens: &Tokens<'_>, left: &Phrase, right: &Phrase) -> Option<Phrase> {
    let is_joint =
        tokens.is_sign(left.to, &['-', '–']) || tokens.is_word(left.to, &["to", "until", "through", "till"]);
    if left.end.is_some() || right.end.is_some() || left.to + 1 != right.from || !is_joint {
        return None;
    }
    let (mut from, mut to) = (left.start, right.start);
    if !from.is_only_weekday() && !to.is_only_weekday() {
        from.fill_from(&to);
        to.fill_from(&from);
    }
    let (first, last) = (from.local()?, to.local()?);
    if first > last {
        let week = 7.days();
        match (first.checked_sub(week), last.checked_add(week)) {
            (Ok(earlier), _) if from.is_only_weekday() && earlier < last => from.imply_date(earlier.date()),
            (_, Ok(later)) if to.is_only_weekday() && later > first => to.imply_date(later.date()),
            _ => (from, to) = (to, from),
        }
    }
    Some(Phrase { from: left.from, to: right.to, start: from, end: Some(to), leads_to: None })
}
