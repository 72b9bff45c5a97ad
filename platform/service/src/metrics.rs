//! The process's Prometheus registry and its `/metrics` text. Which metrics there are is declared in each crate.

use prometheus::{Encoder, Registry, TextEncoder};

/// A fresh registry that already reports the process's own CPU, memory and file descriptors.
pub fn registry() -> Registry {
    let registry = Registry::new();
    #[cfg(target_os = "linux")]
    registry
        .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
        .expect("a fresh registry holds no process collector");
    registry
}

/// All metrics in Prometheus' text format.
pub fn render(registry: &Registry) -> String {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).expect("writing to memory can't fail");
    String::from_utf8(text).expect("the text format is UTF-8")
}
