//! Definitions: the contract as tables, the corpus, and the loader.
