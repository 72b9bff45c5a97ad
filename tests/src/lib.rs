//! What the end-to-end tests stand on: the real `tally` binary as child processes, a real Kafka, the load generator and the
//! reference program. The tests themselves are in `tests/`.

pub mod instance;
pub mod kafka;
pub mod losing_proxy;
pub mod oracle;
pub mod outside;
pub mod process;
#[cfg(test)]
mod promises;
pub mod proxy;
pub mod reference;
pub mod wait;

/// A number from the environment, or its default.
pub fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
