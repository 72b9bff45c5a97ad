//! The phrases that name a date or a time: what each looks like and what it means.

use jiff::ToSpan;
use jiff::civil::DateTime;

use super::super::relative::Unit;
use super::moment::{Amounts, Moment, Part, UNITS, closest_year, known, meant};
use super::token::Tokens;
use super::{Distance, Phrase, words};

/// What a rule found: its meaning, and the place behind it.
type Match = Option<(Meaning, usize)>;

#[derive(Clone, Copy)]
struct Meaning {
    start: Moment,
    end: Option<Moment>,
    leads_to: Option<Distance>,
}

impl From<Moment> for Meaning {
    fn from(start: Moment) -> Self {
        Self { start, end: None, leads_to: None }
    }
}

const RULES: [fn(&Tokens<'_>, usize, DateTime) -> Match; 15] = [
    casual_date,
    casual_time,
    distance,
    within,
    counted_relative,
    relative_unit,
    iso_date,
    slash_date,
    year_first,
    month_and_year,
    day_before_month,
    month_before_day,
    month_alone,
    weekday,
    time_of_day,
];

/// Every phrase of the text, by their places.
pub(super) fn all(tokens: &Tokens<'_>, reference: DateTime) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    for from in (0..tokens.len()).filter(|place| tokens.is_boundary(*place)) {
        for rule in RULES {
            if let Some((meaning, to)) = rule(tokens, from, reference)
                && tokens.is_boundary(to)
            {
                let Meaning { start, end, leads_to } = meaning;
                phrases.push(Phrase { from, to, start, end, leads_to });
            }
        }
    }
    phrases
}

fn casual_date(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let day = |days: i64| {
        let mut moment = Moment::exactly(reference.checked_add(days.days()).ok()?);
        for part in [&mut moment.hour, &mut moment.minute, &mut moment.second, &mut moment.millisecond] {
            part.known = false;
        }
        Some(moment)
    };
    let at = |mut moment: Moment, hour: i32| {
        (moment.hour, moment.minute, moment.second, moment.millisecond) =
            (meant(hour), meant(0), meant(0), meant(0));
        moment
    };
    let moment = match tokens.word(place)? {
        "now" => Moment::exactly(reference),
        "today" => day(0)?,
        "tomorrow" | "tmr" | "tmrw" => day(1)?,
        "yesterday" => day(-1)?,
        "tonight" => at(day(0)?, 22),
        "last" if tokens.is_word(place + 1, &["night"]) => {
            let days = if reference.hour() > 6 { -1 } else { 0 };
            return Some((at(day(days)?, 0).into(), place + 2));
        }
        _ => return None,
    };
    Some((moment.into(), place + 1))
}

fn casual_time(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let place = place + usize::from(tokens.is_word(place, &["this"]));
    let mut moment = Moment::of(reference);
    let hour = match tokens.word(place)? {
        "morning" => 6,
        "afternoon" => 15,
        "evening" | "night" => 20,
        "noon" | "midday" => 12,
        "midnight" => {
            // After the small hours it is the one to come.
            let day = if reference.hour() > 2 { reference.date().tomorrow().ok()? } else { reference.date() };
            moment.imply_date(day);
            moment.hour = known(0);
            return Some((moment.into(), place + 1));
        }
        _ => return None,
    };
    moment.hour = meant(hour);
    Some((moment.into(), place + 1))
}

/// `2 weeks ago`, `an hour from now`; `3 days before` and `3 days after` may lead to another date.
fn distance(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let (amounts, place) = amounts(tokens, place)?;
    let (sign, leads, length) = match tokens.word(place)? {
        "ago" | "earlier" => (-1.0, false, 1),
        "before" => (-1.0, true, 1),
        "after" => (1.0, true, 1),
        "later" | "henceforth" | "forward" | "out" => (1.0, false, 1),
        "from" if tokens.is_word(place + 1, &["now"]) => (1.0, false, 2),
        _ => return None,
    };
    let start = Moment::moved(reference, &amounts, sign)?;
    let leads_to = leads.then_some(Distance { amounts, sign });
    Some((Meaning { start, end: None, leads_to }, place + length))
}

/// `in 2 days`.
fn within(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    if !tokens.is_word(place, &["within", "in", "for"]) {
        return None;
    }
    let place = place + 1;
    let place = place + usize::from(tokens.is_word(place, &["roughly", "approximately", "just"]));
    let (amounts, place) = amounts(tokens, place)?;
    Some((Moment::moved(reference, &amounts, 1.0)?.into(), place))
}

/// `past 2 weeks`, `+3 days`.
fn counted_relative(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let sign = if tokens.is_sign(place, &['-']) || tokens.is_word(place, &["last", "past"]) {
        -1.0
    } else if tokens.is_sign(place, &['+']) || tokens.is_word(place, &["this", "next", "after"]) {
        1.0
    } else {
        return None;
    };
    let (amounts, place) = amounts(tokens, place + 1)?;
    Some((Moment::moved(reference, &amounts, sign)?.into(), place))
}

/// `past week`: the same time a week ago.
fn relative_unit(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let (sign, place) = match tokens.word(place)? {
        "next" => (1.0, place + 1),
        "after" if tokens.is_word(place + 1, &["this"]) => (1.0, place + 2),
        "last" | "past" => (-1.0, place + 1),
        "this" => {
            words::unit(tokens.word(place + 1)?)?;
            return Some((Moment::of(reference).into(), place + 2));
        }
        _ => return None,
    };
    let unit = words::unit(tokens.word(place)?)?;
    let mut amounts = Amounts::default();
    set(&mut amounts, unit, 1.0);
    Some((Moment::moved(reference, &amounts, sign)?.into(), place + 1))
}

/// Numbers with units, as many as follow each other.
fn amounts(tokens: &Tokens<'_>, place: usize) -> Option<(Amounts, usize)> {
    let mut amounts = Amounts::default();
    let mut place = place + usize::from(tokens.is_word(place, &["about", "around"]));
    let mut found = false;
    loop {
        let comma = usize::from(found && tokens.is_sign(place, &[',']));
        let Some((number, unit, next)) = amount(tokens, place + comma) else { break };
        set(&mut amounts, unit, number);
        place = next;
        found = true;
    }
    found.then_some((amounts, place))
}

fn set(amounts: &mut Amounts, unit: Unit, number: f64) {
    for (slot, _) in amounts.iter_mut().zip(UNITS).filter(|(_, known)| *known == unit) {
        *slot = Some(number);
    }
}

fn amount(tokens: &Tokens<'_>, place: usize) -> Option<(f64, Unit, usize)> {
    let (number, place) = number(tokens, place)?;
    let unit = words::unit(tokens.word(place)?)?;
    Some((number, unit, place + 1))
}

fn number(tokens: &Tokens<'_>, place: usize) -> Option<(f64, usize)> {
    if let Some(digits) = tokens.digits(place) {
        let fraction = tokens.digits(place + 2).filter(|_| {
            tokens.is_sign(place + 1, &['.']) && tokens.is_glued(place + 1) && tokens.is_glued(place + 2)
        });
        return match fraction {
            Some(fraction) => Some((format!("{digits}.{fraction}").parse().ok()?, place + 3)),
            None => Some((digits.parse().ok()?, place + 1)),
        };
    }
    let word = tokens.word(place)?;
    if let Some(number) = words::number(word) {
        return Some((number, place + 1));
    }
    let article = |place: usize| usize::from(tokens.is_word(place, &["a", "an"]));
    match word {
        "half" => Some((0.5, place + 1 + article(place + 1))),
        "a" | "an" if tokens.is_word(place + 1, &["few"]) => Some((3.0, place + 2)),
        "a" if tokens.is_word(place + 1, &["couple"]) => Some(couple(tokens, place + 1)),
        "a" | "an" | "the" => Some((1.0, place + 1)),
        "few" => Some((3.0, place + 1)),
        "several" => Some((7.0, place + 1)),
        "couple" => Some(couple(tokens, place)),
        _ => None,
    }
}

fn couple(tokens: &Tokens<'_>, place: usize) -> (f64, usize) {
    (2.0, place + 1 + usize::from(tokens.is_word(place + 1, &["of"])))
}

/// `2026-11-03`, perhaps with `T10:00`.
fn iso_date(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let year = tokens.digits(place).filter(|digits| digits.len() == 4)?;
    let (month, place) = separated(tokens, place + 1, &['-'])?;
    let (day, place) = separated(tokens, place, &['-'])?;
    let date = Moment::of(reference).say_date(known(year.parse().ok()?), month, day);
    let with_time = || {
        let is_time = tokens.is_word(place, &["t"]) && tokens.is_glued(place) && tokens.is_glued(place + 1);
        clock(tokens, place + 1, date).filter(|_| is_time)
    };
    match with_time() {
        Some((time, place)) => Some((time.into(), behind_offset(tokens, place))),
        None => Some((date.into(), place)),
    }
}

/// The place behind `z`, `+02:00` or `+0200`. The time is taken as it is written, as in Cube.
fn behind_offset(tokens: &Tokens<'_>, place: usize) -> usize {
    if tokens.is_glued(place) && tokens.is_word(place, &["z"]) {
        return place + 1;
    }
    let is_offset =
        tokens.is_sign(place, &['+', '-']) && tokens.is_glued(place) && tokens.is_glued(place + 1);
    match tokens.digits(place + 1).filter(|_| is_offset).map(str::len) {
        Some(2) => separated(tokens, place + 2, &[':']).map_or(place + 2, |(_, place)| place),
        Some(4) => place + 2,
        _ => place,
    }
}

/// A sign and a number of up to two digits, without spaces.
fn separated(tokens: &Tokens<'_>, place: usize, signs: &[char]) -> Option<(i32, usize)> {
    let is_separated = tokens.is_sign(place, signs) && tokens.is_glued(place) && tokens.is_glued(place + 1);
    let digits = tokens.digits(place + 1).filter(|digits| is_separated && digits.len() <= 2)?;
    Some((digits.parse().ok()?, place + 2))
}

/// Hours and minutes, perhaps seconds and a fraction.
fn clock(tokens: &Tokens<'_>, place: usize, date: Moment) -> Option<(Moment, usize)> {
    let hour = tokens.digits(place).filter(|digits| digits.len() <= 2)?;
    let (minute, place) = separated(tokens, place + 1, &[':'])?;
    let mut moment = date.say_time(hour.parse().ok()?, minute);
    let Some((second, mut place)) = separated(tokens, place, &[':']) else { return Some((moment, place)) };
    moment.second = known(second);
    let is_fraction = tokens.is_sign(place, &['.']) && tokens.is_glued(place) && tokens.is_glued(place + 1);
    if let Some(digits) = tokens.digits(place + 1).filter(|_| is_fraction) {
        moment.millisecond = known(format!("{digits:0<3}").get(..3)?.parse().ok()?);
        place += 2;
    }
    Some((moment, place))
}

/// `11/5/2026` and `11/5`; `5/11` where the first can't be a month.
fn slash_date(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let first = tokens.digits(place).filter(|digits| digits.len() <= 2)?;
    let (second, next) = separated(tokens, place + 1, &['/', '.', '-'])?;
    let year = tokens.digits(next + 1).filter(|digits| {
        tokens.is_sign(next, &['/', '.', '-'])
            && tokens.is_glued(next)
            && tokens.is_glued(next + 1)
            && matches!(digits.len(), 2 | 4)
    });
    if year.is_none() && !tokens.is_sign(place + 1, &['/']) {
        return None;
    }
    let (first, second): (i32, i32) = (first.parse().ok()?, second);
    let (month, day) = if first > 12 { (second, first) } else { (first, second) };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, next) = match year {
        Some(digits) => (known(century(digits.parse().ok()?)), next + 2),
        None => (meant(closest_year(reference, month, day)), next),
    };
    Some((Moment::of(reference).say_date(year, month, day).into(), next))
}

/// Years of two digits are of this century or the end of the last.
fn century(year: i32) -> i32 {
    match year {
        0..=50 => year + 2000,
        51..=99 => year + 1900,
        _ => year,
    }
}

/// `2026/11/5`, `2026 nov 5`.
fn year_first(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let year = tokens.digits(place).filter(|digits| digits.len() == 4)?.parse().ok()?;
    let place = separator(tokens, place + 1)?;
    let month = match tokens.word(place) {
        Some(word) => words::month(word)?.0,
        None => tokens.digits(place).filter(|digits| digits.len() <= 2)?.parse().ok()?,
    };
    let place = separator(tokens, place + 1)?;
    let day = tokens.digits(place).filter(|digits| digits.len() <= 2)?.parse().ok()?;
    (1..=12)
        .contains(&month)
        .then(|| (Moment::of(reference).say_date(known(year), month, day).into(), place + 1))
}

/// The place behind a dot, a slash or a space.
fn separator(tokens: &Tokens<'_>, place: usize) -> Option<usize> {
    if tokens.is_sign(place, &['.', '/']) {
        return (tokens.is_glued(place) && tokens.is_glued(place + 1)).then_some(place + 1);
    }
    (!tokens.is_glued(place)).then_some(place)
}

/// `11/2026`.
fn month_and_year(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let month = tokens.digits(place).filter(|digits| digits.len() <= 2)?.parse().ok()?;
    let is_slash =
        tokens.is_sign(place + 1, &['/']) && tokens.is_glued(place + 1) && tokens.is_glued(place + 2);
    let year = tokens.digits(place + 2).filter(|digits| is_slash && digits.len() == 4)?.parse().ok()?;
    let mut moment = Moment::of(reference).say_date(known(year), month, 1);
    moment.day.known = false;
    (month <= 12).then(|| (moment.into(), place + 3))
}

/// `5 november 2026`, `1st - 5th of nov`.
fn day_before_month(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let place = place + usize::from(tokens.is_word(place, &["on"]));
    let (day, place) = ordinal(tokens, place)?;
    let is_range =
        tokens.is_sign(place, &['-', '–']) || tokens.is_word(place, &["to", "until", "through", "till"]);
    let (last, place) = match ordinal(tokens, place + usize::from(is_range)) {
        Some((last, place)) => (Some(last), place),
        None => (None, place),
    };
    let place = place + usize::from(is_hyphen(tokens, place) || tokens.is_word(place, &["of"]));
    let (month, place) = month(tokens, place)?;
    let (year, place) = match year_behind(tokens, place) {
        Some((year, place)) => (known(year), place),
        None => (meant(closest_year(reference, month, day)), place),
    };
    days_of_month(reference, [Some(day), last], month, year, place)
}

/// `nov 5, 2026`, `nov 1 - 5`.
fn month_before_day(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let (month, place) = month(tokens, place)?;
    let place = place + usize::from(is_hyphen(tokens, place) || tokens.is_sign(place, &[',']));
    let (day, place) = ordinal(tokens, place)?;
    if tokens.is_word(place, &["am", "pm"]) || tokens.is_sign(place, &[':']) {
        return None;
    }
    let is_range = tokens.is_sign(place, &['-']) || tokens.is_word(place, &["to"]);
    let (last, place) = match ordinal(tokens, place + 1).filter(|_| is_range) {
        Some((last, next)) if tokens.is_boundary(next) && !tokens.is_sign(next, &[':']) => (Some(last), next),
        _ => (None, place),
    };
    let (year, place) = match year_behind(tokens, place) {
        Some((year, place)) => (known(year), place),
        None => (meant(closest_year(reference, month, day)), place),
    };
    days_of_month(reference, [Some(day), last], month, year, place)
}

fn days_of_month(reference: DateTime, days: [Option<i32>; 2], month: i32, year: Part, place: usize) -> Match {
    let moment = |day: i32| Moment::of(reference).say_date(year, month, day);
    let start = days[0].filter(|day| *day <= 31).map(moment)?;
    Some((Meaning { start, end: days[1].map(moment), leads_to: None }, place))
}

/// `november 2026`, `in may`: the first of the month.
fn month_alone(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let has_in = tokens.is_word(place, &["in"]);
    let name = place + usize::from(has_in);
    let (number, next) = month(tokens, name)?;
    let (year, next) = match year_behind(tokens, next) {
        Some((year, next)) => (known(year), next),
        None if ends_with_sign(tokens, next) => (meant(closest_year(reference, number, 1)), next + 1),
        // A short name alone is as likely something else.
        None if !has_in && tokens.length(name, next) <= 3 && !is_whole_name(tokens, name) => return None,
        // And before a number, this is no month without a day.
        None if tokens.digits(next).is_some() => return None,
        None => (meant(closest_year(reference, number, 1)), next),
    };
    let mut moment = Moment::of(reference).say_date(year, number, 1);
    moment.day.known = false;
    Some((moment.into(), next))
}

/// Whether a comma or hyphen belongs to the month before it: no number follows. So `november - december` is no range.
fn ends_with_sign(tokens: &Tokens<'_>, place: usize) -> bool {
    tokens.is_sign(place, &[',', '-']) && !tokens.is_glued(place + 1) && tokens.digits(place + 1).is_none()
}

fn is_whole_name(tokens: &Tokens<'_>, place: usize) -> bool {
    tokens.word(place).and_then(words::month).is_some_and(|(_, is_whole)| is_whole)
}

/// A month's name, or its short name, perhaps with a full stop.
fn month(tokens: &Tokens<'_>, place: usize) -> Option<(i32, usize)> {
    let (number, is_whole) = words::month(tokens.word(place)?)?;
    let has_stop = !is_whole && tokens.is_sign(place + 1, &['.']) && tokens.is_glued(place + 1);
    Some((number, place + 1 + usize::from(has_stop)))
}

/// Whether a sign joins two parts without spaces.
fn is_hyphen(tokens: &Tokens<'_>, place: usize) -> bool {
    tokens.is_sign(place, &['-', '/']) && tokens.is_glued(place) && tokens.is_glued(place + 1)
}

fn year_behind(tokens: &Tokens<'_>, place: usize) -> Option<(i32, usize)> {
    let place = place + usize::from(is_hyphen(tokens, place) || tokens.is_sign(place, &[',']));
    let digits = tokens.digits(place)?;
    let year: i32 = digits.parse().ok()?;
    let is_year = match digits.len() {
        4 => (1000..3000).contains(&year),
        2 => (50..100).contains(&year),
        _ => false,
    };
    (is_year && tokens.is_boundary(place + 1)).then(|| (century(year), place + 1))
}

/// `5`, `5th`, `fifth`, `twenty-first`.
fn ordinal(tokens: &Tokens<'_>, place: usize) -> Option<(i32, usize)> {
    if let Some(digits) = tokens.digits(place) {
        let number = (digits.len() <= 2).then(|| digits.parse().ok())??;
        let has_ending = tokens.is_glued(place + 1) && tokens.is_word(place + 1, &["st", "nd", "rd", "th"]);
        return Some((number, place + 1 + usize::from(has_ending)));
    }
    let word = tokens.word(place)?;
    if let Some(number) = words::ordinal(word) {
        return Some((number, place + 1));
    }
    let ones = place + 1 + usize::from(tokens.is_sign(place + 1, &['-']));
    let number = words::tens(word)? + words::ordinal(tokens.word(ones)?).filter(|number| *number < 10)?;
    (number <= 31).then_some((number, ones + 1))
}

/// `monday`, `last friday`, `friday, next week`.
fn weekday(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    const DIRECTIONS: [&str; 4] = ["this", "last", "past", "next"];
    let place = place + usize::from(tokens.is_sign(place, &[',', '(']));
    let place = place + usize::from(tokens.is_word(place, &["on"]));
    let before = tokens.word(place).filter(|word| DIRECTIONS.contains(word));
    let place = place + usize::from(before.is_some());
    let weekday = words::weekday(tokens.word(place)?)?;
    let mut place = place + 1;
    let behind = place + usize::from(tokens.is_sign(place, &[',', ')']));
    let after =
        tokens.word(behind).filter(|word| DIRECTIONS.contains(word) && tokens.is_word(behind + 1, &["week"]));
    if after.is_some() {
        place = behind + 2;
    }
    let days = days_to(reference, weekday, before.or(after));
    let mut moment = Moment::of(reference);
    moment.imply_date(reference.date().checked_add(i64::from(days).days()).ok()?);
    moment.weekday = true;
    Some((moment.into(), place))
}

/// How many days it is to a weekday: the one behind, the one ahead, that of next week, or the closest.
fn days_to(reference: DateTime, weekday: i32, direction: Option<&str>) -> i32 {
    let today = i32::from(reference.weekday().to_sunday_zero_offset());
    let ahead = (weekday - today).rem_euclid(7);
    let back = if ahead == 0 { -7 } else { ahead - 7 };
    match direction {
        Some("this") => ahead,
        Some("last" | "past") => back,
        Some("next") => match (today, weekday) {
            (0, 0) | (6, 6) => 7,
            (0, _) => weekday,
            (6, 0) => 8,
            (6, _) => 1 + weekday,
            _ if weekday < today && weekday != 0 => ahead,
            _ => ahead + 7,
        },
        _ if ahead < -back => ahead,
        _ => back,
    }
}

/// `10:00`, `at 5`, `5 pm`.
fn time_of_day(tokens: &Tokens<'_>, place: usize, reference: DateTime) -> Match {
    let has_prefix = tokens.is_word(place, &["at", "from"]);
    let place = place + usize::from(has_prefix);
    let moment = Moment::of(reference);
    let (mut moment, place, is_clock) = if let Some((moment, place)) = clock(tokens, place, moment) {
        (moment, place, true)
    } else {
        let hour = tokens.digits(place).filter(|digits| digits.len() <= 2)?.parse().ok()?;
        (moment.say_time(hour, 0), place + 1, false)
    };
    let half = tokens.word(place).filter(|word| ["am", "pm"].contains(word));
    if tokens.is_sign(place, &['/']) && tokens.is_glued(place) {
        return None;
    }
    match (half, moment.hour.value) {
        (None, _) if !is_clock && !has_prefix => return None,
        (Some(_), hour) if hour > 12 => return None,
        (Some("am"), 12) => moment.hour = known(0),
        (Some("pm"), hour) if hour < 12 => moment.hour = known(hour + 12),
        _ => {}
    }
    Some((moment.into(), place + usize::from(half.is_some())))
}
