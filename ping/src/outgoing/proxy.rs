//! The proxies that the environment names.
