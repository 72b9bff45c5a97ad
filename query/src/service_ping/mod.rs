//! The Service Ping's payload: definitions -> plan -> statements -> readings -> values -> payload tree. Each step has its
//! file, and each kind of source: `compile` and `execute` for counters, `sql`, `catalog` and `database` for SQL, `fact`,
//! `settings`, `license`, `promql`. How many queries a ping takes does not depend on how many metrics there are.

mod catalog;
mod category;
mod compile;
mod coverage;
mod database;
mod execute;
mod explain;
mod fact;
mod generate;
mod license;
mod payload;
mod plan;
mod promql;
mod reason;
mod settings;
mod source;
mod sql;
mod tree;
mod value;

pub use coverage::{Coverage, SourceCoverage, coverage};
pub use explain::{Explanation, explain};
pub use fact::unique_instance_id;
pub use generate::generate;
pub use payload::{Consent, Context, MetricMetadata, Payload, PayloadKind};
pub use plan::Plan;
pub use reason::Reason;

#[cfg(test)]
mod tests;
