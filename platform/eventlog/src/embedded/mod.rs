//! The log of one machine, kept in a local directory.
