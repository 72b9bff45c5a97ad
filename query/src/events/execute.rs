//! Runs a listing. Events lie in monthly partitions, each in the order of its author or project, so a page is looked for
//! in the nearest stretch of time first, and in longer ones only when that is too short: a page costs what lies in its
//! stretch, not what its author or project ever did.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::PURPOSE;
use super::compile::{self, Cut, Stretch};
use super::page::COUNTED_EVENTS;
use super::parameters::{Filter, Parameters, Place};
use super::row::ContributionRow;
use super::selection::{Projects, Selection};
use crate::warehouse::{Warehouse, WarehouseError};

/// How many years events are kept. The tables delete later than listings stop showing them.
const YEARS_KEPT: i32 = 3;

/// The last instant that the tables can hold, 2149-06-06T23:59:59.999Z.
pub(super) const LAST_INSTANT: i64 = 5_662_310_399_999;

const HOUR: i64 = 60 * 60 * 1000;

/// Where a page is looked for: within one or two partitions, then within a few.
const SHORT_STRETCHES: &[i64] = &[40 * HOUR, 17 * 24 * HOUR, 170 * 24 * HOUR];

/// The same for many projects, whose events are sorted after they are read.
const SHORT_STRETCHES_OF_MANY: &[i64] = &[4 * HOUR, 40 * HOUR, 17 * 24 * HOUR, 170 * 24 * HOUR];

/// How far back events are counted first.
const COUNTED_STRETCH: i64 = 17 * 24 * HOUR;

/// The most projects that one statement names: parameters travel in a URL, which must stay below 64 KiB.
const PROJECTS_IN_A_STATEMENT: usize = 4_000;

/// No page lies behind this many events.
const MAX_SKIPPED: u64 = 1 << 40;

/// One page and what is known about the others.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listing {
    pub rows: Vec<ContributionRow>,
    /// Whether there are events after this page.
    pub has_next: bool,
    /// How many events there are, as far as they are counted. Keyset pagination doesn't count.
    pub total: u64,
}

/// Reads the page that the parameters ask for out of what is selected.
pub(super) async fn execute(
    warehouse: &Warehouse,
    selection: &Selection,
    parameters: &Parameters,
    now: Timestamp,
) -> Result<Listing, WarehouseError> {
    let now_ms = now.as_millisecond();
    let whole = listed_stretch(parameters, now);
    let lister = Lister { warehouse, parts: parts(selection), filter: &parameters.filter, whole, now_ms };
    if lister.parts.is_empty() || whole.from >= whole.until {
        return Ok(Listing::default());
    }
    let per_page = parameters.per_page;
    let first = Cut { ascending: parameters.ascending, after: None, skipped: 0, limit: per_page + 1 };
    let (mut rows, total) = match parameters.place {
        Place::After(after) => (lister.nearest_rows(Cut { after, ..first }).await?, 0),
        Place::Page(number) => {
            let skipped = (number - 1).saturating_mul(per_page).min(MAX_SKIPPED);
            lister.counted_rows(Cut { skipped, ..first }).await?
        }
    };
    let has_next = rows.len() as u64 > per_page;
    rows.truncate(per_page as usize);
    Ok(Listing { rows, has_next, total })
}

struct Lister<'a> {
    warehouse: &'a Warehouse,
    /// The selection, in parts that a statement can name.
    parts: Vec<Selection>,
    filter: &'a Filter,
    whole: Stretch,
    now_ms: i64,
}

impl Lister<'_> {
    /// A page, and how many events there are, up to one past [`COUNTED_EVENTS`]. Most listings are either so long that a
    /// recent stretch settles both, or so short that the rest is read at once.
    async fn counted_rows(&self, cut: Cut) -> Result<(Vec<ContributionRow>, u64), WarehouseError> {
        let stretches = self.short_stretches(cut).await?;
        let (first, longer) = match stretches.split_first() {
            Some((first, longer)) => (*first, longer),
            None => (self.whole, &[][..]),
        };
        let (recent, rows) = tokio::try_join!(self.count_in(self.recent()), self.rows(first, cut))?;
        let is_settled = recent > COUNTED_EVENTS || self.recent() == self.whole;
        let total = if is_settled { recent } else { self.count_in(self.whole).await? };
        if rows.len() as u64 >= cut.limit || first == self.whole {
            return Ok((rows, total));
        }
        let rows = match total {
            0..=COUNTED_EVENTS if cut.skipped >= total => Vec::new(),
            0..=COUNTED_EVENTS => self.rows(self.whole, cut).await?,
            _ => self.rows_of_nearest(longer, cut).await?,
        };
        Ok((rows, total))
    }

    /// Where most listings have enough events to tell that there are too many to count.
    fn recent(&self) -> Stretch {
        let from = self.whole.from.max(self.latest() - COUNTED_STRETCH);
        Stretch { from, ..self.whole }
    }

    async fn count_in(&self, stretch: Stretch) -> Result<u64, WarehouseError> {
        let mut total = 0;
        for part in &self.parts {
            let statement = compile::count(part, self.filter, stretch);
            total += self.warehouse.rows::<u64>(PURPOSE, &statement).await?.first().copied().unwrap_or(0);
            if total > COUNTED_EVENTS {
                break;
            }
        }
        Ok(total)
    }

    /// The rows of the shortest stretch that has enough of them.
    async fn nearest_rows(&self, cut: Cut) -> Result<Vec<ContributionRow>, WarehouseError> {
        self.rows_of_nearest(&self.short_stretches(cut).await?, cut).await
    }

    async fn rows_of_nearest(
        &self,
        stretches: &[Stretch],
        cut: Cut,
    ) -> Result<Vec<ContributionRow>, WarehouseError> {
        for stretch in stretches {
            let rows = self.rows(*stretch, cut).await?;
            if rows.len() as u64 >= cut.limit {
                return Ok(rows);
            }
        }
        self.rows(self.whole, cut).await
    }

    /// Stretches that begin where the page does, shorter than the whole.
    async fn short_stretches(&self, cut: Cut) -> Result<Vec<Stretch>, WarehouseError> {
        let lengths = match self.parts.as_slice() {
            [part] if part.is_one_run() => SHORT_STRETCHES,
            _ => SHORT_STRETCHES_OF_MANY,
        };
        let whole = self.whole;
        let cut_at = cut.after.map(|position| position.created_at_ms);
        let stretches: Vec<Stretch> = if cut.ascending {
            let begin = match cut_at {
                Some(begin) => begin.max(whole.from),
                None => self.earliest().await?.max(whole.from),
            };
            lengths.iter().map(|length| Stretch { until: begin.saturating_add(*length), ..whole }).collect()
        } else {
            let end = cut_at.map_or(self.latest(), |end| end.min(whole.until));
            lengths.iter().map(|length| Stretch { from: end - length, ..whole }).collect()
        };
        Ok(stretches
            .into_iter()
            .filter(|stretch| stretch.from > whole.from || stretch.until < whole.until)
            .collect())
    }

    /// Where the newest events are expected.
    fn latest(&self) -> i64 {
        self.whole.until.min(self.now_ms)
    }

    async fn earliest(&self) -> Result<i64, WarehouseError> {
        let Some(part) = self.parts.first() else { return Ok(0) };
        let earliest = self.warehouse.rows::<i64>(PURPOSE, &compile::earliest(part)).await?;
        Ok(earliest.first().copied().unwrap_or(0))
    }

    async fn rows(&self, stretch: Stretch, cut: Cut) -> Result<Vec<ContributionRow>, WarehouseError> {
        if let [part] = self.parts.as_slice() {
            return self.rows_of(part, stretch, cut).await;
        }
        let of_each = Cut { skipped: 0, limit: cut.skipped.saturating_add(cut.limit), ..cut };
        let mut rows = Vec::new();
        for part in &self.parts {
            rows.extend(self.rows_of(part, stretch, of_each).await?);
        }
        rows.sort_by_key(ContributionRow::position);
        if !cut.ascending {
            rows.reverse();
        }
        Ok(rows.into_iter().skip(cut.skipped as usize).take(cut.limit as usize).collect())
    }

    async fn rows_of(
        &self,
        part: &Selection,
        stretch: Stretch,
        cut: Cut,
    ) -> Result<Vec<ContributionRow>, WarehouseError> {
        self.warehouse.rows(PURPOSE, &compile::page(part, self.filter, stretch, cut)).await
    }
}

impl Selection {
    /// Whether the table has its events in the order of the listing.
    fn is_one_run(&self) -> bool {
        self.author_id.is_some() || matches!(&self.projects, Projects::Only(ids) if ids.len() == 1)
    }
}

/// The selection in parts, none if it is empty.
fn parts(selection: &Selection) -> Vec<Selection> {
    match &selection.projects {
        Projects::Any => vec![selection.clone()],
        Projects::Only(ids) => ids
            .chunks(PROJECTS_IN_A_STATEMENT)
            .map(|ids| Selection { projects: Projects::Only(ids.to_vec()), ..*selection })
            .collect(),
    }
}

/// The time that is listed: of what is kept, what the filter's days leave.
fn listed_stretch(parameters: &Parameters, now: Timestamp) -> Stretch {
    let begin =
        |day: Date| day.to_zoned(TimeZone::UTC).map_or(i64::MAX, |day| day.timestamp().as_millisecond());
    let kept_from = now.to_zoned(TimeZone::UTC).checked_sub(YEARS_KEPT.years());
    let kept_from = kept_from.map_or(0, |day| day.timestamp().as_millisecond());
    let after = parameters.filter.after.map_or(0, |day| day.tomorrow().map_or(i64::MAX, begin));
    Stretch {
        from: kept_from.max(after).clamp(0, LAST_INSTANT),
        until: parameters.filter.before.map_or(i64::MAX, |day| begin(day).clamp(0, LAST_INSTANT)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::parameters;
    use super::*;

    fn stretch(query: &[(&str, &str)]) -> (i64, i64) {
        let sent: HashMap<String, String> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let now = "2026-11-18T10:30:00Z".parse().unwrap();
        let stretch = listed_stretch(&parameters::parse(&sent).unwrap(), now);
        (stretch.from, stretch.until)
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn three_years_are_listed_and_named_days_are_left_out_on_both_sides() {
        let kept = at("2023-11-18T10:30:00Z");
        let row = |query: &[(&str, &str)], expected| assert_eq!(stretch(query), expected, "{query:?}");
        row(&[], (kept, i64::MAX));
        row(&[("after", "2026-11-01")], (at("2026-11-02T00:00:00Z"), i64::MAX));
        row(&[("before", "2026-11-01")], (kept, at("2026-11-01T00:00:00Z")));
        row(&[("after", "2000-01-01")], (kept, i64::MAX));
        row(&[("after", "9999-12-31")], (LAST_INSTANT, i64::MAX));
        row(&[("before", "0001-01-01")], (kept, 0));
        row(&[("before", "9999-12-31")], (kept, LAST_INSTANT));
    }

    #[test]
    fn many_projects_are_named_in_several_statements() {
        let selection =
            |ids: i64| Selection { author_id: Some(1), projects: Projects::Only((0..ids).collect()) };
        for (ids, expected) in [(0, 0), (1, 1), (4_000, 1), (4_001, 2), (12_000, 3)] {
            assert_eq!(parts(&selection(ids)).len(), expected, "{ids}");
        }
        assert_eq!(parts(&Selection { author_id: Some(1), projects: Projects::Any }).len(), 1);
    }
}
