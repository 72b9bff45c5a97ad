//! The oracle: a producer that records what was acknowledged, a topology of real processes with proxies between them,
//! faults that a seed draws, and a judge that compares what the tables say after the faults stopped. The tests that put them
//! together are in `tests/tests/oracle/`.

pub mod chaos_proxy;
pub mod fault;
pub mod judge;
pub mod ledger;
pub mod producer;
pub mod run;
pub mod service;
pub mod topology;
pub mod workload;
