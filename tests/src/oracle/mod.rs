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

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that is free and that the kernel gives to no outgoing connection, so that a process which was killed gets it back.
pub fn lasting_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    loop {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
