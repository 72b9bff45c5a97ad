//! Dead letters, listed and shown: parameters (parse and check) -> selection (whose letters; the tenancy filter) -> compile ->
//! execute (rows, and what became of replaying them) -> render. The command line lists by the same steps, without a reader.

mod compile;
mod cursor;
mod execute;
pub(crate) mod http;
mod parameters;
mod render;
mod row;
mod selection;

pub use compile::Filter;
pub use cursor::Position;
pub use execute::{Wanted, find, list};
pub use row::{Letter, Replay};
pub use selection::Readable;

/// Label of the listing's queries in the metrics.
const PURPOSE: &str = "dead_letters";
