//! The Events API over the contributions: parameters (parse and check) -> selection (whose events, out of which projects;
//! the tenancy filter) -> compile -> execute (rows) -> visibility (what the reader may see of the page) -> render, with
//! `page` for the pagination headers and `cursor` for keyset pagination.

mod compile;
mod cursor;
mod execute;
pub(crate) mod http;
pub(crate) mod page;
mod parameters;
mod reader;
mod render;
mod row;
mod selection;
mod visibility;

/// Label of the listing's queries in the metrics.
const PURPOSE: &str = "events";
