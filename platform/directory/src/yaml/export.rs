//! Writes a directory's state as a YAML text that imports as the same state.
