//! The Events API over the contributions: parameters (parse and check) -> compile -> rows (execute) -> render, with `page`
//! for the pagination headers. Here are the token user's own events; other listings add to `Scope`, not to the steps.

mod compile;
pub(crate) mod http;
mod page;
mod parameters;
mod render;
mod row;

/// Label of the listing's queries in the metrics.
const PURPOSE: &str = "events";
